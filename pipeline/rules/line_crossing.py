"""Counts crossings of a directed line, in and out, at low frame rates and with changing ids."""

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Config, Duration, all_left_out
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.tasks import Detect
from pipeline.rules.base import Passage, References, RuleBase, TaskTypes
from pipeline.rules.measures import Column, ManualCount, ManualNumber, Measure, SummaryTable

if TYPE_CHECKING:
    from pipeline.core.events import Event
    from pipeline.core.geometry import Line
    from pipeline.rules.at_work.line_crossing import LineCrossing
    from pipeline.rules.context import RuleContext

_IN, _OUT = Column("in"), Column("out")
_GROUPS_IN, _GROUPS_OUT = Column("groups_in", "groups in"), Column("groups_out", "groups out")
_GROUPS = (
    Measure("groups_in", "sum", "groups", _GROUPS_IN),
    Measure("groups_out", "sum", "groups", _GROUPS_OUT),
)


class CrossingNames(Config):
    """The names of the two directions in events."""

    in_: str = Field(
        default="in", alias="in", min_length=1, description="The name for crossings to the right."
    )
    out: str = Field(default="out", min_length=1, description="The name for crossings to the left.")


class LineCrossingConfig(RuleBase):
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

    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("entered", "sum", "crossings", _IN),
        Measure("left", "sum", "crossings", _OUT),
        *_GROUPS,
    )
    table: ClassVar[SummaryTable | None] = SummaryTable("footfall", "footfall", (_IN, _OUT))
    further: ClassVar[tuple[SummaryTable, ...]] = (
        SummaryTable("groups", "groups", (_IN, _OUT, _GROUPS_IN, _GROUPS_OUT)),
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
        """The line."""
        return References(lines=(self.line,))

    def recorded(self) -> tuple[Measure, ...]:
        """Groups only where they are asked for."""
        return self.measures if self.groups else tuple(m for m in self.measures if m not in _GROUPS)

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
        at_line(self.line, context)
        rule: LineCrossing = self.at_work("LineCrossing", context)
        return rule


def at_line(name: str, context: "RuleContext") -> "Line":
    """The line of that name; raises ConfigError where it is missing or has no length."""
    line = context.line(name)
    if line.start == line.end:
        path = f"cameras.{context.camera}.lines.{name}"
        raise ConfigError([Problem(path, "begins and ends at the same point; move one of them")])
    return line
