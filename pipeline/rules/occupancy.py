"""How many are in a zone or the whole picture, minute by minute, and whether that is too many or
too few for long.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.tasks import Count, Detect, Task
from pipeline.core.tasks import Point as PointTask
from pipeline.rules.base import References, TaskTypes
from pipeline.rules.limits import MEAN, LimitFields
from pipeline.rules.measures import ManualCount, ManualNumber

if TYPE_CHECKING:
    from pipeline.rules.at_work.occupancy import Occupancy
    from pipeline.rules.context import RuleContext


class OccupancyConfig(LimitFields):
    """How many there are at a time; without a limit it only fills the minutes."""

    type: Literal["occupancy"] = "occupancy"
    zone: str | None = Field(
        default=None, description="Name of one of the camera's zones; the whole picture without."
    )

    accepts: ClassVar[TaskTypes] = (Detect, PointTask, Count)
    manual: ClassVar[ManualCount | None] = ManualCount(
        "zones", "zone", (ManualNumber(MEAN, ("mean_occupancy",)),)
    )

    def references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; and a bare number has no place in the picture."""
        if self.zone is not None and isinstance(task, Count):
            return (
                f"{task.id!r} counts without saying where, so it cannot tell who is in zone "
                f"{self.zone!r}; use a detect or point task"
            )
        return super().problem_with(task)

    def build(self, context: "RuleContext") -> "Occupancy":
        """The rule at work; raises ConfigError where the zone is missing."""
        rule: Occupancy = self.at_work("Occupancy", context)
        return rule
