"""Minute buckets: what was measured, from how many samples, and how much of it is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BUCKET_S = 60.0


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


def minute_of(at: float) -> int:
    """The start of the minute that contains `at`, in UTC seconds."""
    return int(at // BUCKET_S * BUCKET_S)
