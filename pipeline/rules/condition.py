"""An answer in words that must hold for a while, such as "is the fire door open?" `is: yes`."""

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import Duration
from pipeline.core.tasks import Ask, Task
from pipeline.rules.base import OnBoxes, RuleBase, TaskTypes
from pipeline.rules.words import Words, plain

if TYPE_CHECKING:
    from pipeline.rules.at_work.condition import Condition
    from pipeline.rules.context import RuleContext


class ConditionConfig(RuleBase):
    """An event that lasts as long as a question has the given answer."""

    type: Literal["condition"] = "condition"
    is_: Words = Field(
        alias="is", min_length=1, description="The answer to wait for, or a list of such answers."
    )
    min_probability: float | None = Field(
        default=None,
        ge=0.5,
        le=1.0,
        description=(
            "For yes and no: how sure the engine must be. Ignored for engines that give no "
            "probability."
        ),
    )
    for_: Duration = Field(
        default=timedelta(0),
        alias="for",
        description="It must last this long before an event starts.",
    )
    gap: Duration = Field(
        default=timedelta(0), description="Other answers that last less than this do not end it."
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes()
    accepts: ClassVar[TaskTypes] = (Ask,)

    @model_validator(mode="after")
    def _probable(self) -> Self:
        wanted = {plain(word) for word in self.is_}
        if self.min_probability is not None and wanted not in ({"yes"}, {"no"}):
            raise ValueError("min_probability works with `is: yes` or `is: no` only; leave it out")
        return self

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; the expected answer must also be a possible one."""
        if isinstance(task, Ask) and task.answers in ("yes/no", "one of"):
            possible = ("yes", "no") if task.answers == "yes/no" else task.choices
            known = {plain(choice) for choice in possible}
            for word in self.is_:
                if plain(word) not in known:
                    choices = ", ".join(possible)
                    return f"{task.id!r} is never answered {word!r}; the answers are {choices}"
        return super().problem_with(task)

    def build(self, context: "RuleContext") -> "Condition":
        """A running rule."""
        rule: Condition = self.at_work("Condition", context)
        return rule
