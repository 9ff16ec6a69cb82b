"""Minute buckets: what was measured, how often it was looked at, and how much of it is known."""

from dataclasses import dataclass

BUCKET_S = 60.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """One minute of one measure of one rule. Writing it again replaces it.

    A value that was not measured is None, never 0: a line's bucket has `entered` and `left`, an
    occupancy's has `mean` and `maximum`.
    """

    camera: str
    rule: str
    minute: int
    """UTC seconds of the minute's beginning, a multiple of 60."""
    samples: int
    """Known samples in it."""
    coverage: float
    """Part of the minute (0..1) that known samples stand for."""
    entered: int | None = None
    left: int | None = None
    mean: float | None = None
    maximum: int | None = None


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
