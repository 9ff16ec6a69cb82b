"""How long each visitor stays in a zone: one happening per visit, from entering to leaving."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Duration
from pipeline.core.store import JUDGED_LAST
from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, References, TaskTypes
from pipeline.rules.measures import Column, Measure, SummaryTable
from pipeline.rules.staff import StaffFields

if TYPE_CHECKING:
    from pipeline.core.events import JsonValue
    from pipeline.rules.at_work.dwell import Dwell
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

_VISITS = Column("visits")
_MEAN = Column("mean_s", "mean", decimals=1, suffix=" s")
_LONGEST = Column("longest_s", "longest", decimals=1, suffix=" s")
_ALL, _STAFF, _NET = Column("entered", "visits"), Column("staff_visits", "staff"), Column("net")
_BY_STAFF = Measure("staff_entered", "sum", "visits")


class DwellConfig(StaffFields):
    """Visits to a zone. Those shorter than `longer_than` are counted, but are not events."""

    type: Literal["dwell"] = "dwell"
    zone: str | None = Field(
        default=None,
        description="The name of one of the camera's zones; the whole picture when left out.",
    )
    longer_than: Duration = Field(
        default=timedelta(0),
        description="An event starts once the visit has lasted this long; at once when left out.",
    )
    gap: Duration = Field(
        default=timedelta(seconds=3),
        description=(
            "A visitor who returns within this time, or reappears in the same place, never left."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="is in the zone, from entering to leaving",
        alarm="has been in the zone for `longer_than`, until it leaves",
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("entered", "sum", "visits"),
        Measure("left", "sum", "visits"),
        _BY_STAFF,
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "dwell", "visits", (_VISITS, _MEAN, _LONGEST), shows_known=False
    )

    further: ClassVar[tuple[SummaryTable, ...]] = (
        SummaryTable("staff_visits", "visits and staff", (_ALL, _STAFF, _NET)),
    )

    def references(self) -> References:
        """The zone, if there is one, and what staff is told by."""
        return self.with_staff(References(zones=() if self.zone is None else (self.zone,)))

    def recorded(self) -> tuple[Measure, ...]:
        """Staff only where it is told."""
        return (
            self.measures if self.staff else tuple(m for m in self.measures if m is not _BY_STAFF)
        )

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """From the end events of visits: each has the running totals of all visits so far.

        These are counted like minutes, whatever a second look says of the visit that tells them.
        """
        ends = [event.data for event in record.events("end", counted_as=JUDGED_LAST)]
        if not ends:
            return None
        latest = max(ends, key=lambda data: _number(data, "visits"))
        lasted = [_number(event.data, "seconds") for event in record.events("end")]
        staff = {}
        if self.staff is not None:
            everybody = self.measures[0].of(record.minutes)
            own = _BY_STAFF.of(record.minutes)
            net = None if everybody is None or own is None else max(0, everybody - own)
            staff = {_ALL.name: everybody, _STAFF.name: own, _NET.name: net}
        return staff | {
            _VISITS.name: round(_number(latest, "visits")),
            _MEAN.name: _number(latest, "mean_seconds"),
            _LONGEST.name: max(lasted, default=None),
        }

    def build(self, context: "RuleContext") -> "Dwell":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: Dwell = self.at_work("Dwell", context)
        return rule


def _number(data: "Mapping[str, JsonValue]", key: str) -> float:
    value = data.get(key)
    return float(value) if isinstance(value, int | float) else 0.0
