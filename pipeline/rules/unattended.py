"""What `left_object` and `removed_object` have in common: things, and the people near them."""

from datetime import timedelta
from typing import ClassVar, Self

from pydantic import Field, model_validator

from pipeline.core.config import Duration
from pipeline.core.tasks import Ask, Count, Detect, Task
from pipeline.rules.base import References, RuleBase, TaskTypes
from pipeline.rules.words import Words


class ThingFields(RuleBase):
    """Fields of rules about things that people leave or take."""

    zone: str | None = Field(
        default=None,
        description=(
            "The name of one of the camera's zones; the whole picture when left out. Only for a "
            "detect task: a question tells no places."
        ),
    )
    people: str | None = Field(
        default=None,
        description=(
            "The name of a detect task that finds people, of the same engine: who stays with a "
            "thing, or stands in front of it, keeps it from being left or gone."
        ),
    )
    near: float = Field(
        default=1.5,
        gt=0,
        le=20,
        description=(
            "Who is no farther from a thing than this is with it, in metres. The measure is a "
            "person's height of 1.7 m."
        ),
    )
    gap: Duration = Field(
        default=timedelta(seconds=10),
        description=(
            "What is not seen for less than this was there all the while. With a question, other "
            "answers that last less than this do not end it."
        ),
    )
    is_: Words | None = Field(
        default=None,
        alias="is",
        description="For a question in words: the answer that says that the thing is there.",
    )

    accepts: ClassVar[TaskTypes] = (Detect, Count, Ask)

    @model_validator(mode="after")
    def _people_are_others(self) -> Self:
        if self.people is not None and self.people == self.of:
            raise ValueError("`people` names a task that finds people, and `of` one that does not")
        return self

    def references(self) -> References:
        """The zone and the task that finds people, where there are any."""
        return References(
            zones=() if self.zone is None else (self.zone,),
            tasks=() if self.people is None else (self.people,),
        )

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; a question must be answered by a number, or `is` says by what."""
        why = super().problem_with(task)
        if why is not None or isinstance(task, Detect):
            if why is None and self.is_ is not None:
                return f"{task.id!r} finds things by itself; `is` is for a question, so remove it"
            return why
        if self.zone is not None or self.people is not None:
            return (
                f"{task.id!r} gives no places, so it cannot tell what is in a zone or who is near; "
                "remove `zone` and `people`, or use a detect task"
            )
        words = isinstance(task, Ask) and task.answers != "number"
        if words and self.is_ is None:
            return f"{task.id!r} is answered in words; say which with `is`, such as `is: yes`"
        if not words and self.is_ is not None:
            return f"{task.id!r} is answered with a number, so `is` has no use; remove it"
        return None
