"""Where people stand and walk: the time that feet spent in each cell of a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, References, RuleBase, TaskTypes
from pipeline.rules.measures import Column, Measure, SummaryTable

if TYPE_CHECKING:
    from pipeline.core.measures import Bucket
    from pipeline.rules.at_work.heat_map import HeatMap
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

CELL = "cell_"
"""How the values of a minute begin that are about one cell, such as `cell_32x18_12_7`."""
_TOTAL = Column("person_s", "seconds of people")
_USED = Column("used", "used of the picture", decimals=1, suffix=" %")


@dataclass(frozen=True, slots=True)
class HeatGrid:
    """How many seconds feet spent in each cell; cells that nobody entered are left out."""

    columns: int
    rows: int
    seconds: Mapping[tuple[int, int], float]
    """By column and row, from the upper left corner."""


def cell_name(columns: int, rows: int, column: int, row: int) -> str:
    """The name of a cell's value; it tells the grid, so that no other grid is mixed in."""
    return f"{CELL}{columns}x{rows}_{column}_{row}"


def heat_of(minutes: "Sequence[Bucket]") -> HeatGrid | None:
    """The sum of several minutes in time order, by the grid of the last; None without any cell."""
    grid: tuple[int, int] | None = None
    seconds: dict[tuple[int, int], float] = {}
    for minute in reversed(minutes):
        for name, value in minute.values.items():
            if not name.startswith(CELL) or not value:
                continue
            size, column, row = name.removeprefix(CELL).split("_")
            columns, rows = size.split("x")
            grid = grid or (int(columns), int(rows))
            if grid == (int(columns), int(rows)):
                place = (int(column), int(row))
                seconds[place] = seconds.get(place, 0.0) + value
    return None if grid is None else HeatGrid(*grid, dict(sorted(seconds.items())))


class HeatMapConfig(RuleBase):
    """The time that feet spent in each cell of a grid over the picture; it reports no events."""

    type: Literal["heat_map"] = "heat_map"
    zone: str | None = Field(
        default=None,
        description="The name of the zone in which feet count; the whole picture when left out.",
    )
    columns: int = Field(
        default=32,
        ge=2,
        le=128,
        description="Cells across the picture; there are as many down as make them square.",
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(counted="has the feet where time is added")
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (Measure("person_s", "sum", "seconds", _TOTAL),)
    table: ClassVar[SummaryTable | None] = SummaryTable("heat_map", "heat maps", (_TOTAL, _USED))
    has_map: ClassVar[bool] = True

    def references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """The time of all people together, and the share of the cells where anybody stood."""
        grid = heat_of(record.minutes)
        used = None if grid is None else 100 * len(grid.seconds) / (grid.columns * grid.rows)
        return {**(super().sum_up(record) or {}), _USED.name: used}

    def build(self, context: "RuleContext") -> "HeatMap":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: HeatMap = self.at_work("HeatMap", context)
        return rule
