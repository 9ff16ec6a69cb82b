"""How many things there are by a question to a model, against how many there used to be."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.core.answers import Answer, Number, Text
from pipeline.rules.words import plain


@dataclass(slots=True)
class AmountMemory:
    """How many there used to be, and since when it is something else."""

    usual: int | None = None
    now: int = 0
    other_since: float | None = None
    nearest: int = 0
    """The number that was the least of a change since then."""


class Amount:
    """Compares a number with the usual one, which follows what changes the other way for long."""

    def __init__(self, sign: int, after_s: float) -> None:
        self._sign = sign
        self._after_s = after_s
        self.memory = AmountMemory()

    def see(self, at: float, number: int) -> bool:
        """Process one answer; whether there are more (with `sign` -1: fewer) than usual."""
        memory = self.memory
        memory.now = number
        if memory.usual is None:
            memory.usual = number
        change = self._sign * (number - memory.usual)
        if change >= 0:
            memory.other_since = None
            return change > 0
        if memory.other_since is None:
            memory.other_since, memory.nearest = at, number
        elif self._sign * (number - memory.nearest) > 0:
            memory.nearest = number
        if at - memory.other_since >= self._after_s:
            memory.usual, memory.other_since = memory.nearest, None
        return False

    def accept(self) -> None:
        """What there is now is what is usual."""
        self.memory.usual, self.memory.other_since = self.memory.now, None


def amount_of(answer: Answer, wanted: Collection[str]) -> int | None:
    """How many an answer says that there are; by words, one or none. None for no such answer."""
    if isinstance(answer, Number):
        return answer.value
    if not isinstance(answer, Text):
        return None
    if wanted:
        said = plain(answer.text)
        first = re.match(r"(yes|no)\b", said)
        known = said in wanted or (first is not None and first[1] in wanted)
        return int(known) if said else None
    number = re.fullmatch(r"\s*(\d+)\s*\.?\s*", answer.text)
    return int(number[1]) if number else None
