"""What is asked about a picture, what is right, and what was answered: small frozen values."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from pipeline.core.errors import MoonwatchError

Json = Any


class BenchmarkError(MoonwatchError):
    """A benchmark cannot be run or go on: its data, its record or its engine, in one sentence."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question in words; `seed` is None where the answer is greedy."""

    prompt: str
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class FindBoxes:
    """Boxes around everything `label` names."""

    label: str


@dataclass(frozen=True, slots=True)
class FindPoints:
    """Points on everything `label` names."""

    label: str


Ask = Question | FindBoxes | FindPoints


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """One row of a benchmark, or one of a row's questions.

    `picture` identifies the picture by its bytes, `gold` is what the metrics need to know and
    `parts` are the parts of the benchmark for which figures are given apart.
    """

    id: str
    picture: str
    encoded: bytes = field(repr=False)
    asks: tuple[Ask, ...]
    gold: Mapping[str, Json]
    parts: tuple[str, ...] = ()

    @property
    def asked(self) -> str:
        """The question, or the label that was looked for."""
        first = self.asks[0]
        return first.prompt if isinstance(first, Question) else first.label


@dataclass(frozen=True, slots=True)
class PictureWork:
    """A picture with all that is asked about it, so that it is encoded once."""

    encoded: bytes
    items: tuple[BenchmarkItem, ...]


def by_picture(items: Iterable[BenchmarkItem]) -> Iterator[PictureWork]:
    """Neighbours that are about the same picture, together."""
    for _, group in groupby(items, key=lambda item: item.picture):
        same = tuple(group)
        yield PictureWork(same[0].encoded, same)


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What was answered to an item, as the record keeps it.

    `found` has `text` and `finish`, or `boxes` (x_min, y_min, x_max, y_max, score), `raw` boxes and
    `points` (x, y, score) as fractions of the picture; and `failed`, a reason, where something has
    no answer. `ms` is the time from when it was asked, waiting included.
    """

    item: BenchmarkItem
    found: Mapping[str, Json]
    ms: float


class Answerer(Protocol):
    """Something that answers: the model in this process, or a server."""

    @property
    def facts(self) -> Mapping[str, Json]:
        """What answers, as far as it decides the answers; runs with other facts are not mixed."""
        ...

    @property
    def gives_raw_boxes(self) -> bool:
        """Whether boxes are also had as the model gave them."""
        ...

    def answer(self, works: Iterable[PictureWork]) -> Iterator[ItemAnswer]:
        """Answer everything, in any order, taking no more work ahead than is needed."""
        ...

    def close(self) -> None:
        """Free what it holds. Safe to repeat."""
        ...
