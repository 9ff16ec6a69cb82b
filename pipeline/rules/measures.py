"""What rules say of their numbers: what a minute holds, what the minutes make, how it is shown.

Summary, tables, JSON and evaluation are loops over these; nothing else knows a rule's numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.core.measures import Bucket

OverTime = Literal["sum", "mean", "max", "min", "last"]
"""What many moments make of a measure, within a minute and over minutes. A sum adds what was
counted; the others are of a level that was sampled, the mean weighted by the time that is known."""


@dataclass(frozen=True, slots=True)
class Column:
    """A number of the summary: its name for machines, its heading and how it is written."""

    name: str
    heading: str = ""
    """The name unless given."""
    decimals: int = 0
    suffix: str = ""

    def written(self, value: float | None) -> str:
        """The number as a person reads it."""
        return "unknown" if value is None else f"{value:.{self.decimals}f}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A value of each of a rule's minutes."""

    name: str
    """Its name in a bucket; what is stored keeps it, so it is never changed."""
    over_time: OverTime
    unit: str
    """What is counted, in the plural, such as `people`."""
    column: Column | None = None
    """Where the summary shows what the minutes make; None where it does not."""

    def of(self, minutes: "Sequence[Bucket]") -> float | None:
        """What minutes in the order of time make together; None where none of them knows it."""
        known = [
            (value, minute.coverage)
            for minute in minutes
            if (value := minute.values.get(self.name)) is not None
        ]
        return _MAKE[self.over_time](known) if known else None


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """A table of the summary. Rules with the same table share it."""

    name: str
    """Its key for machines."""
    title: str
    columns: tuple[Column, ...]
    shows_known: bool = True
    """Whether a row says how much time is known."""


@dataclass(frozen=True, slots=True)
class ManualNumber:
    """A number of a truth file, and the column of the summary that it is compared with."""

    column: Column
    keys: tuple[str, ...]
    """What it may be called in the file."""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ManualCount:
    """How a truth file tells what a person counted at a line or zone of a rule."""

    section: str
    """The file's list of such counts."""
    kind: str
    """What one of them is called."""
    numbers: tuple[ManualNumber, ...]


Known = Sequence[tuple[float, float]]
"""Values that are known, each with the part of its minute that it stands for."""


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
