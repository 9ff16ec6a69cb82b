"""The shape of a skill, and what all of them need to plan a prompt."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from pipeline.moondream.device.reads import Read, RowKind
from pipeline.moondream.dims import Dims
from pipeline.moondream.errors import RequestError, TooLongError
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.templates import Release

# Longer words than these are not even counted in tokens, which would take long.
MAX_LETTERS = 100_000


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
            raise self.too_long(prompt, has_picture, "an answer")
        return room

    def too_long(
        self, prompt: Prompt, has_picture: bool, what: str, least: int = 1
    ) -> TooLongError:
        """Return the error of a prompt that leaves fewer positions than the `least` of a thing."""
        before = self.dims.prefix_len if has_picture else 0
        most, tokens = self.dims.text.max_context, len(prompt.ids)
        room = most - before - least
        return TooLongError(
            f"the prompt has {tokens} tokens, {tokens - room} too many: of the model's {most} "
            f"positions {before} are for the picture and at least {least} for {what}; "
            "use fewer words",
            tokens,
            room,
        )


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

    @property
    def completion_tokens(self) -> int:
        """How many tokens were generated so far, the end not counted."""
        return 0

    @property
    def reasoning_tokens(self) -> int:
        """How many of them in thinking."""
        return 0

    @property
    def wants_likely(self) -> bool:
        """Whether the next reads are to say how likely tokens were."""
        return False

    @property
    def allowed(self) -> NDArray[np.int32] | None:
        """Which tokens may come next, as `MaskState.allowed` says; None where any may."""
        return None

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
        raise RequestError(f"{name} is {words!r:.60}; it must be a text that is not empty")
    if len(words) > MAX_LETTERS:
        raise TooLongError(
            f"{name} has {len(words)} letters; more than {MAX_LETTERS} do not fit the model's "
            "positions whatever they are; use fewer words"
        )
    return words
