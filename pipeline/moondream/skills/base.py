"""The shape of a skill, and what all of them need to plan a prompt."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from pipeline.moondream.device.reads import Read, RowKind
from pipeline.moondream.dims import Dims
from pipeline.moondream.errors import RequestError
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.templates import Release


@dataclass(frozen=True, slots=True)
class Language:
    """How the model is addressed: its release, tokenizer and sizes."""

    release: Release
    tokenizer: TextTokenizer
    dims: Dims

    def room(self, prompt: Prompt, has_picture: bool) -> int:
        """Return how many positions are left after a prompt; RequestError where none is."""
        before = self.dims.prefix_len if has_picture else 0
        room = self.dims.text.max_context - before - len(prompt.ids)
        if room < 1:
            raise RequestError(
                f"the prompt has {len(prompt.ids)} tokens, but the model has "
                f"{self.dims.text.max_context} positions, {before} of them for the picture; "
                "use fewer words"
            )
        return room


class Turn(NamedTuple):
    """What a row does next: feed `token` as `kind`, after `fed` of the last steps counted."""

    kind: RowKind
    token: int = 0
    fed: int = 0


class Skill(ABC):
    """One row's purpose, from the prompt to the result.

    `positions` is what it may append to its prompt at most. `begin` gets what the prefill
    read, `advance` what each step of a cycle read; both return None when the skill is done.
    """

    temperature = 0.0
    top_p = 1.0

    def __init__(self, prompt: Prompt, positions: int) -> None:
        self.prompt = prompt
        self.positions = positions

    @abstractmethod
    def begin(self, reads: Sequence[Read]) -> Turn | None:
        """Take what the prefill read after the prompt, one entry for each token judged."""

    @abstractmethod
    def advance(self, reads: Sequence[Read]) -> Turn | None:
        """Take what each step of a cycle read, in order."""

    def draw(self, ahead: int) -> float:
        """Return the uniform number for the token `ahead` of the next one."""
        del ahead
        return 0.0


def need_count(name: str, value: int) -> int:
    """Return a count of at least one, or raise RequestError."""
    if value < 1:
        raise RequestError(f"{name} is {value}; it must be at least 1")
    return value


def need_words(name: str, words: object) -> str:
    """Return words that are not empty, or raise RequestError."""
    if not isinstance(words, str) or not words.strip():
        raise RequestError(f"{name} is {words!r}; it must be a text that is not empty")
    return words
