"""Minute buckets: what was measured, how often it was looked at, and how much of it is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BUCKET_S = 60.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """One minute of one rule. Writing it again replaces it."""

    camera: str
    rule: str
    minute: int
    """UTC seconds of the minute's beginning, a multiple of 60."""
    samples: int
    """Known samples in it."""
    coverage: float
    """Part of the minute (0..1) that known samples stand for."""
    values: Mapping[str, float | None] = field(default_factory=dict)
    """What was measured, by the names that the rule gives its measures; None, never 0, where it
    is not known."""
    unfinished: bool = False
    """Written while the minute was still running: what is known of it so far."""


@dataclass(frozen=True, slots=True)
class Health:
    """A change of a camera's state, such as online, offline, frozen, black, or seen again."""

    camera: str
    at: float
    state: str
    detail: str = ""


def minute_of(at: float) -> int:
    """The beginning of the minute that holds `at`, in UTC seconds."""
    return int(at // BUCKET_S * BUCKET_S)
