"""The number that a count task answers, held against a limit."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.core.tasks import Ask, Count, Detect, Point, Task
from pipeline.rules.base import TaskTypes
from pipeline.rules.limits import LimitFields

if TYPE_CHECKING:
    from pipeline.rules.at_work.count import CountRule
    from pipeline.rules.context import RuleContext


class CountConfig(LimitFields):
    """How many a task counts in the whole picture; without a limit it only fills the minutes."""

    type: Literal["count"] = "count"

    accepts: ClassVar[TaskTypes] = (Count, Detect, Point, Ask)

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; and a question has to be answered by a number."""
        if isinstance(task, Ask) and task.answers != "number":
            return (
                f"{task.id!r} is answered by {task.answers}, not by a number; give it "
                "`answers: number`, or judge it with a condition rule"
            )
        return super().problem_with(task)

    def build(self, context: "RuleContext") -> "CountRule":
        """The rule at work."""
        rule: CountRule = self.at_work("CountRule", context)
        return rule
