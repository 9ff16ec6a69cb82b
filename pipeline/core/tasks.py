"""A task is one question to an engine about a frame."""

import hashlib
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Literal, get_args

AnswerKind = Literal["yes/no", "number", "text", "one of"]
CaptionLength = Literal["short", "normal", "long"]


@dataclass(frozen=True, slots=True)
class Detect:
    """Boxes around everything that the label names."""

    id: str
    engine: str
    label: str
    max_objects: int = 50


@dataclass(frozen=True, slots=True)
class Point:
    """One point on everything that the label names."""

    id: str
    engine: str
    label: str
    max_objects: int = 50


@dataclass(frozen=True, slots=True)
class Count:
    """How many of the label there are."""

    id: str
    engine: str
    label: str
    max_objects: int = 50


@dataclass(frozen=True, slots=True)
class Ask:
    """A question in plain words, and the kind of answer expected."""

    id: str
    engine: str
    question: str
    answers: AnswerKind = "text"
    choices: tuple[str, ...] = ()
    """The possible answers, for `one of`."""
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Caption:
    """A description of the picture."""

    id: str
    engine: str
    length: CaptionLength = "normal"
    max_tokens: int = 256


Task = Detect | Point | Count | Ask | Caption
TASK_TYPES: tuple[type[Task], ...] = get_args(Task)


def subject_label(task: Task) -> str | None:
    """The label a task looks for, or None where it asks for words."""
    return task.label if isinstance(task, Detect | Point | Count) else None


@lru_cache(maxsize=1024)
def question_of(task: Task) -> str:
    """A short key of what is asked: the same for the same question, whatever task and engine."""
    _id, _engine, *asked = astuple(task)
    text = repr((type(task).__name__, *asked))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
