"""Things that stand still in a zone for longer than they may: cars, trolleys, pallets."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Duration
from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, References, RuleBase, TaskTypes
from pipeline.rules.measures import Column, Measure, SummaryTable

if TYPE_CHECKING:
    from pipeline.rules.at_work.parking import Parking
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

_PARKED = Column("parked")
_MEAN_S = Column("mean_s", "mean", decimals=0, suffix=" s")
_MEAN = Column("mean_parked", "at a time", decimals=2)
_MOST = Column("max_parked", "most")


class ParkingConfig(RuleBase):
    """What stands still in a zone for longer than `longer_than`: one happening for each."""

    type: Literal["parking"] = "parking"
    zone: str | None = Field(
        default=None,
        description="The name of one of the camera's zones; the whole picture when left out.",
    )
    longer_than: Duration = Field(
        gt=timedelta(0), description="What stands for this long is parked; an event starts then."
    )
    gap: Duration = Field(
        default=timedelta(seconds=30),
        description=(
            "What is hidden for less than this, and is then found at its place, stood there all "
            "the while, whatever its id. What is seen to move off has left at once."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="is parked", alarm="is parked and was reported, until it leaves"
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("parked", "sum", "things", _PARKED),
        Measure("left", "sum", "things"),
        Measure("left_s", "sum", "seconds"),
        Measure("mean", "mean", "things", _MEAN),
        Measure("maximum", "max", "things", _MOST),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "parking", "parking", (_PARKED, _MEAN_S, _MEAN, _MOST)
    )

    def references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """As for every rule, with the mean time of those that have left."""
        _, left, left_s, *_ = (measure.of(record.minutes) for measure in self.measures)
        mean_s = left_s / left if left and left_s is not None else None
        return {**(super().sum_up(record) or {}), _MEAN_S.name: mean_s}

    def build(self, context: "RuleContext") -> "Parking":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: Parking = self.at_work("Parking", context)
        return rule
