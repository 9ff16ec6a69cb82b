"""Counts crossings of a directed line, in and out, at low frame rates and with changing ids."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Config, Duration, all_left_out
from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, Passage, References, TaskTypes
from pipeline.rules.measures import Column, ManualCount, ManualNumber, Measure, SummaryTable
from pipeline.rules.staff import StaffFields

if TYPE_CHECKING:
    from pipeline.core.events import Event
    from pipeline.rules.at_work.line_crossing import LineCrossing
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

_IN, _OUT = Column("in"), Column("out")
_GROUPS_IN, _GROUPS_OUT = Column("groups_in", "groups in"), Column("groups_out", "groups out")
_GROUPS = (
    Measure("groups_in", "sum", "groups", _GROUPS_IN),
    Measure("groups_out", "sum", "groups", _GROUPS_OUT),
)
_STAFF_IN, _STAFF_OUT = Column("staff_in", "staff in"), Column("staff_out", "staff out")
_NET_IN, _NET_OUT = Column("net_in", "net in"), Column("net_out", "net out")
_STAFF = (
    Measure("staff_in", "sum", "crossings", _STAFF_IN),
    Measure("staff_out", "sum", "crossings", _STAFF_OUT),
)


class CrossingNames(Config):
    """The names of the two directions in events."""

    in_: str = Field(
        default="in", alias="in", min_length=1, description="The name for crossings to the right."
    )
    out: str = Field(default="out", min_length=1, description="The name for crossings to the left.")


class LineCrossingConfig(StaffFields):
    """Crossings of a line. Looking from its `from` to its `to`, right is `in` and left is `out`."""

    type: Literal["line_crossing"] = "line_crossing"
    line: str = Field(description="The name of one of the camera's lines.")
    names: CrossingNames = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Names for the directions, like {in: entered}.",
    )
    margin: float = Field(
        default=0.01,
        gt=0,
        le=0.25,
        description=(
            "How far past the line a person must get at least, as a share of the picture's height. "
            "Where boxes jitter more it takes more, until the side is sure."
        ),
    )
    door: bool = Field(
        default=False,
        description=(
            "For a line where the view ends, such as a door seen from inside: who appears at the "
            "line and goes away from it has crossed it, and so has who comes to it and vanishes."
        ),
    )

    groups: bool = Field(
        default=False,
        description=(
            "Count groups too, in figures of their own: those who cross close together are one "
            "group. What counts people stays as it is."
        ),
    )
    group_within: Duration = Field(
        default=timedelta(seconds=2),
        gt=timedelta(0),
        le=timedelta(seconds=30),
        description="A group has crossed within this time, from its first to its last.",
    )
    group_apart: float = Field(
        default=1.5,
        gt=0,
        le=10,
        description=(
            "Who belongs to a group crosses no farther than this from another of it, in metres. "
            "The measure is a body's height of 1.7 m."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(counted="has crossed the line, as long as it is followed")
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("entered", "sum", "crossings", _IN),
        Measure("left", "sum", "crossings", _OUT),
        *_GROUPS,
        *_STAFF,
    )
    table: ClassVar[SummaryTable | None] = SummaryTable("footfall", "footfall", (_IN, _OUT))
    further: ClassVar[tuple[SummaryTable, ...]] = (
        SummaryTable("groups", "groups", (_IN, _OUT, _GROUPS_IN, _GROUPS_OUT)),
        SummaryTable("staff", "staff", (_IN, _OUT, _STAFF_IN, _STAFF_OUT, _NET_IN, _NET_OUT)),
    )
    manual: ClassVar[ManualCount | None] = ManualCount(
        "lines",
        "line",
        (
            ManualNumber(_IN, ("in", "left_to_right"), whole=True),
            ManualNumber(_OUT, ("out", "right_to_left"), whole=True),
        ),
    )

    def references(self) -> References:
        """The line, and what staff is told by."""
        return self.with_staff(References(lines=(self.line,)))

    def recorded(self) -> tuple[Measure, ...]:
        """Groups and staff only where they are asked for."""
        left_out = ([] if self.groups else [*_GROUPS]) + ([] if self.staff else [*_STAFF])
        return tuple(measure for measure in self.measures if measure not in left_out)

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """As for every rule, with those who are not staff."""
        values = dict(super().sum_up(record) or {})
        for gross, staff, net in ((_IN, _STAFF_IN, _NET_IN), (_OUT, _STAFF_OUT, _NET_OUT)):
            everybody, own = values.get(gross.name), values.get(staff.name)
            if everybody is not None and own is not None:
                values[net.name] = max(0, everybody - own)
        return values

    def passage(self, event: "Event") -> Passage | None:
        """Every one of its events is a crossing; those of an older rule of this name are not."""
        if event.type != self.type:
            return None
        return Passage(self.line, str(event.data.get("direction")))

    def called_in(self) -> str | None:
        """As the file says."""
        return self.names.in_

    def build(self, context: "RuleContext") -> "LineCrossing":
        """A running rule; raises ConfigError where the line is missing or has no length."""
        context.crossable(self.line)
        rule: LineCrossing = self.at_work("LineCrossing", context)
        return rule
