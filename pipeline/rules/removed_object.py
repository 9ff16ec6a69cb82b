"""Things that stood at their place and go: goods, pictures, fire extinguishers."""

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Duration
from pipeline.rules.base import OnBoxes
from pipeline.rules.measures import Column, Measure, SummaryTable
from pipeline.rules.unattended import ThingFields

if TYPE_CHECKING:
    from pipeline.rules.at_work.removed_object import RemovedObject
    from pipeline.rules.context import RuleContext

_REMOVED = Column("removed")


class RemovedObjectConfig(ThingFields):
    """What has stood for `stood` and is then not there for `gap`: one event for each."""

    type: Literal["removed_object"] = "removed_object"
    stood: Duration = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="What has stood for less than this was only passing by.",
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="has stood for `stood`, so that it would be missed",
        alarm="has gone from its place, for ten seconds where it is still seen",
    )
    measures: ClassVar[tuple[Measure, ...]] = (Measure("removed", "sum", "things", _REMOVED),)
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "removed_objects", "removed objects", (_REMOVED,)
    )

    def build(self, context: "RuleContext") -> "RemovedObject":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: RemovedObject = self.at_work("RemovedObject", context)
        return rule
