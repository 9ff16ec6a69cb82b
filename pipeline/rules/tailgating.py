"""Two who go through one after the other where each should go alone, such as at a badge door."""

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Duration
from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, Passage, References, TaskTypes
from pipeline.rules.measures import Column, Measure, SummaryTable
from pipeline.rules.staff import StaffLeftOut, Treatment

if TYPE_CHECKING:
    from pipeline.core.events import Event
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext

_PASSED, _FOLLOWED = Column("passed"), Column("followed")


class TailgatingConfig(StaffLeftOut):
    """Who crosses a line too soon after somebody else, in the same direction: one event for each
    who follows.
    """

    type: Literal["tailgating"] = "tailgating"
    line: str = Field(description="The name of one of the camera's lines.")
    within: Duration = Field(
        default=timedelta(seconds=2),
        gt=timedelta(0),
        le=timedelta(minutes=1),
        description="Who crosses within this time after somebody else has followed.",
    )
    apart: float | None = Field(
        default=None,
        gt=0,
        le=20,
        description=(
            "Only who crosses no farther than this from the one before has followed, in metres, "
            "for lines that are wider than a door. The measure is a body's height of 1.7 m."
        ),
    )
    direction: Literal["in", "out", "both"] = Field(
        default="both",
        description="The direction that is watched; looking from the line's start, right is `in`.",
    )
    margin: float = Field(
        default=0.01,
        gt=0,
        le=0.25,
        description="How far past the line a person must get, as for `line_crossing`.",
    )
    door: bool = Field(
        default=False,
        description=(
            "For a line where the view ends, as for `line_crossing`: who appears there has come in."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="has gone over the line, last in a direction that is watched",
        alarm="has followed somebody too soon, for ten seconds",
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    treatment: ClassVar[Treatment] = "unreported"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("passed", "sum", "crossings", _PASSED),
        Measure("followed", "sum", "crossings", _FOLLOWED),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "tailgating", "tailgating", (_PASSED, _FOLLOWED)
    )

    def own_references(self) -> References:
        """The line."""
        return References(lines=(self.line,))

    def passage(self, event: "Event") -> Passage | None:
        """The crossing of the one who followed; those of an older rule of this name are not."""
        if event.type != self.type:
            return None
        return Passage(self.line, str(event.data.get("direction")), "followed")

    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where the line is missing or has no length."""
        context.crossable(self.line)
        rule: Rule = self.at_work("Tailgating", context)
        return rule
