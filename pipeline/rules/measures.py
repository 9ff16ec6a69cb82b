"""What rules declare about their numbers: what a minute holds, how minutes add up, how it is shown.

Summary, tables, JSON and evaluation are loops over these; no other code knows a rule's numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.core.measures import Bucket

OverTime = Literal["sum", "mean", "max", "min", "last"]
"""How a measure is aggregated within a minute and over minutes. A sum adds up counts; the others
are for a sampled level, and the mean is weighted by the known time."""


@dataclass(frozen=True, slots=True)
class Column:
    """A number of the summary: its name in JSON, its heading and its format."""

    name: str
    heading: str = ""
    """The name if empty."""
    decimals: int = 0
    suffix: str = ""

    def written(self, value: float | None) -> str:
        """The number as text."""
        return "unknown" if value is None else f"{value:.{self.decimals}f}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A value of each of a rule's minutes."""

    name: str
    """Its name in a bucket; it never changes, because stored buckets contain it."""
    over_time: OverTime
    unit: str
    """What is counted, in the plural, such as `people`."""
    column: Column | None = None
    """The column of the summary that shows it; None where none does."""
    sampled: bool = True
    """Whether an extreme is of the sampled level; else it is of what happened in the minute."""

    def of(self, minutes: "Sequence[Bucket]") -> float | None:
        """The value over several minutes in time order; None where no minute knows it."""
        known = [
            (value, minute.coverage)
            for minute in minutes
            if (value := minute.values.get(self.name)) is not None
        ]
        return _MAKE[self.over_time](known) if known else None


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """A table of the summary; rules may share it."""

    name: str
    """Its key in JSON."""
    title: str
    columns: tuple[Column, ...]
    shows_known: bool = True
    """Whether a row shows how much time is known."""


@dataclass(frozen=True, slots=True)
class ManualNumber:
    """A number in a truth file, and the column of the summary it is compared with."""

    column: Column
    keys: tuple[str, ...]
    """What it may be called in the file."""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ManualCount:
    """How a truth file gives a manual count at a line or zone of a rule."""

    section: str
    """The name of the file's list of such counts."""
    kind: str
    """The name of one entry."""
    numbers: tuple[ManualNumber, ...]


Known = Sequence[tuple[float, float]]
"""Known values, each with the share of its minute that it covers."""


def _weighted_mean(known: Known) -> float | None:
    weight = sum(share for _, share in known)
    return sum(value * share for value, share in known) / weight if weight else None


_MAKE: Mapping[OverTime, Callable[[Known], float | None]] = MappingProxyType(
    {
        "sum": lambda known: sum(value for value, _ in known),
        "mean": _weighted_mean,
        "max": lambda known: max(value for value, _ in known),
        "min": lambda known: min(value for value, _ in known),
        "last": lambda known: known[-1][0],
    }
)
