"""Minute buckets: what was measured, from how many samples, and how much of it is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.errors import SourceFailure

BUCKET_S = 60.0
_FAILURES = frozenset(failure.value for failure in SourceFailure)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One minute of one rule. A later one for the same minute replaces it."""

    camera: str
    rule: str
    minute: int
    """The start of the minute in UTC seconds, a multiple of 60."""
    samples: int
    """The number of known samples in it."""
    coverage: float
    """The share of the minute (0..1) that known samples cover."""
    values: Mapping[str, float | None] = field(default_factory=dict)
    """What was measured, by the rule's names for its measures; None, never 0, where unknown."""
    unfinished: bool = False
    """Written before the minute was over, with what is known so far."""


@dataclass(frozen=True, slots=True)
class Health:
    """A change of a camera's state, such as online, offline, frozen, black, or seen again."""

    camera: str
    at: float
    state: str
    detail: str = ""
    """What is known about it; of a failed source, what `failed_with` makes of it."""
    rate: float | None = None
    """Of a camera whose clock is wrong: the seconds that it advances in one second, where it has a
    rate. Not stored; it is in the event."""

    @property
    def reason(self) -> str:
        """Why, in a word or two where a source failed (see `SourceFailure`), else the detail."""
        return self._parts[0]

    @property
    def message(self) -> str:
        """The sentence of a source that failed: what happened, and the way out; else empty."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str]:
        reason, colon, message = self.detail.partition(": ")
        return (reason, message) if colon and reason in _FAILURES else (self.detail, "")


def failed_with(reason: SourceFailure, message: str) -> str:
    """A source's failure as the detail of a camera's state.

    One text: a release that knows no message shows it whole.
    """
    return f"{reason.value}: {message}"


def minute_of(at: float) -> int:
    """The start of the minute that contains `at`, in UTC seconds."""
    return int(at // BUCKET_S * BUCKET_S)
