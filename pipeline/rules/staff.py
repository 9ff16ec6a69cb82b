"""Who belongs to the house: those who come from, or go through, where only staff goes, and those
whom a model knows by what they wear.

What staff does is counted like what everybody does, and once more in figures of its own: nothing
that was counted changes its meaning.
"""

import importlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import Config, PositiveDuration
from pipeline.core.tasks import Ask, Detect, Task
from pipeline.core.verifying import SecondLook
from pipeline.rules.base import References, RuleBase
from pipeline.rules.verify import Question, Sentence, unanswerable
from pipeline.rules.words import Words

if TYPE_CHECKING:
    from pipeline.rules.context import RuleContext

Treatment = Literal["hidden", "unreported", "wanted"]
"""What a rule makes of staff that leaves it out: it does not see it, it reports nothing about it,
or it sees nobody else."""
_OF_QUESTIONS = ("engine", "is_", "choices", "at_least", "deadline")


def staff_question_name(rule: str) -> str:
    """The name of the question by which a rule knows staff; no task can have it."""
    return f"{rule}.staff"


class StaffConfig(Config):
    """How staff is told from others: by a zone, by a line, by a question, or by several of them."""

    zone: str | None = Field(
        default=None,
        description=(
            "The name of a zone where only staff goes, such as behind the counter: whoever begins "
            "there or passes through it is staff, also for what he did before."
        ),
    )
    line: str | None = Field(
        default=None,
        description="The name of a line that only staff crosses, such as a door to the back.",
    )
    ask: Question | None = Field(
        default=None,
        description=(
            "A question about a picture of somebody, such as `Is this person wearing a red "
            "apron?`. It is asked once about each track, when it first matters to the rule."
        ),
    )
    engine: str | None = Field(
        default=None,
        description="Name of the engine that is asked; optional where only one engine can.",
    )
    is_: Words = Field(
        default=("yes",),
        alias="is",
        min_length=1,
        description="The answer, or answers, that staff gets.",
    )
    choices: tuple[Sentence, ...] = Field(
        default=(), description="The possible answers, where they are not yes and no."
    )
    at_least: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description=(
            "For yes and no: how probable the answer of `is` has to be. When left out, and for "
            "engines that give no probability, the answer itself decides."
        ),
    )
    deadline: PositiveDuration = Field(
        default=timedelta(seconds=10),
        description=(
            "How long an event waits for the answer; then it says that it is `unknown` whether it "
            "is staff. Recordings wait as long as it takes."
        ),
    )

    @model_validator(mode="after")
    def _any(self) -> Self:
        if self.zone is None and self.line is None and self.ask is None:
            raise ValueError(
                "name a `zone` or a `line` where only staff goes, or `ask` by what it is known"
            )
        if self.ask is None:
            for name in _OF_QUESTIONS:
                if name in self.model_fields_set:
                    raise ValueError(f"`{name.rstrip('_')}` is for a question; add `ask`")
            return self
        problem = unanswerable(self.choices, self.is_, self.at_least)
        if problem is not None:
            raise ValueError(problem)
        return self

    def look(self) -> SecondLook | None:
        """What is asked about each track; None where nothing is."""
        if self.ask is None:
            return None
        return SecondLook(
            engine=self.engine or "",
            question=self.ask,
            wanted=self.is_,
            choices=self.choices,
            at_least=self.at_least,
            deadline_s=self.deadline.total_seconds(),
        )


class StaffFields(RuleBase):
    """The field of rules that tell staff from others."""

    staff: StaffConfig | None = Field(
        default=None,
        description=(
            "Where only staff goes, such as {zone: counter}, or a question by which it is known, "
            'such as {ask: "Is this person wearing a red apron?"}. What staff does is then also '
            "counted in figures of its own; what counts everybody stays as it is."
        ),
    )

    def with_staff(self, own: References) -> References:
        """What the rule itself uses, and what staff is told by."""
        zone, line = (None, None) if self.staff is None else (self.staff.zone, self.staff.line)
        return References(
            lines=(*own.lines, *([] if line is None else [line])),
            zones=(*own.zones, *([] if zone is None else [zone])),
            tasks=own.tasks,
        )

    def questions(self, rule: str) -> Mapping[str, Ask]:
        """With the one by which staff is known."""
        look = None if self.staff is None else self.staff.look()
        own = super().questions(rule)
        return own if look is None else {**own, "staff": look.task(staff_question_name(rule))}

    def waits_s(self) -> float:
        """As long as for the answer of the question by which staff is known."""
        look = None if self.staff is None else self.staff.look()
        return 0.0 if look is None else look.deadline_s


class StaffLeftOut(StaffFields):
    """The field of rules that leave staff out."""

    staff: StaffConfig | None = Field(
        default=None,
        description=(
            "Who is staff, by a zone, a line or a question, as for `line_crossing`: staff is left "
            "out from the moment in which it is known."
        ),
    )

    treatment: ClassVar[Treatment] = "hidden"
    """What it makes of staff."""

    def own_references(self) -> References:
        """The lines and zones that it is about."""
        return References()

    def references(self) -> References:
        """With what staff is told by."""
        return self.with_staff(self.own_references())

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; staff is told by tracks, which only detect tasks have."""
        if self.staff is not None and not isinstance(task, Detect):
            return f"`staff` needs a detect task, whose things are followed; {task.id!r} is none"
        return super().problem_with(task)

    def at_work(self, class_name: str, context: "RuleContext") -> Any:
        """The rule of that name, and what leaves staff out of it."""
        rule = super().at_work(class_name, context)
        if self.staff is None:
            return rule
        aside = importlib.import_module("pipeline.rules.at_work.staff_aside")
        return aside.StaffAside(rule, self.staff, context, self.own_references(), self.treatment)
