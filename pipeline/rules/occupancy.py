"""How many are in a zone or the whole picture, minute by minute, and whether there are too many or
too few for too long.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.tasks import Count, Detect, Task
from pipeline.core.tasks import Point as PointTask
from pipeline.rules.base import OnBoxes, References, TaskTypes
from pipeline.rules.limits import MEAN, LimitFields
from pipeline.rules.measures import ManualCount, ManualNumber
from pipeline.rules.staff import StaffLeftOut

if TYPE_CHECKING:
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext


class OccupancyConfig(LimitFields, StaffLeftOut):
    """How many are there at a time; without a limit it only fills minute buckets."""

    type: Literal["occupancy"] = "occupancy"
    zone: str | None = Field(
        default=None,
        description="The name of one of the camera's zones; the whole picture when left out.",
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="is in the zone", alarm="is in the zone while there are too many or too few"
    )
    accepts: ClassVar[TaskTypes] = (Detect, PointTask, Count)
    manual: ClassVar[ManualCount | None] = ManualCount(
        "zones", "zone", (ManualNumber(MEAN, ("mean_occupancy",)),)
    )

    def own_references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; with a zone, the task must also give positions."""
        if self.zone is not None and isinstance(task, Count):
            return (
                f"{task.id!r} counts without positions, so it cannot tell who is in zone "
                f"{self.zone!r}; use a detect or point task"
            )
        return super().problem_with(task)

    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: Rule = self.at_work("Occupancy", context)
        return rule
