"""Compares the number that a count task answers with a limit."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.core.tasks import Ask, Count, Detect, Point, Task
from pipeline.rules.base import OnBoxes, TaskTypes
from pipeline.rules.limits import LimitFields

if TYPE_CHECKING:
    from pipeline.rules.at_work.count import CountRule
    from pipeline.rules.context import RuleContext


class CountConfig(LimitFields):
    """How many a task counts in the whole picture; without a limit it only fills minute buckets."""

    type: Literal["count"] = "count"

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="is followed anywhere in the picture",
        alarm="the same while there are too many or too few",
    )
    accepts: ClassVar[TaskTypes] = (Count, Detect, Point, Ask)

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; a question must also have a number as its answer."""
        if isinstance(task, Ask) and task.answers != "number":
            return (
                f"{task.id!r} is answered with {task.answers}, not with a number; give it "
                "`answers: number`, or use a condition rule"
            )
        return super().problem_with(task)

    def build(self, context: "RuleContext") -> "CountRule":
        """A running rule."""
        rule: CountRule = self.at_work("CountRule", context)
        return rule
