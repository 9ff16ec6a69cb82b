"""`verify:` at a rule: its events are looked at a second time, by another engine.

verify: "Is there a person climbing the fence?"            # short for {ask: ...}
verify: {ask: "What is it?", choices: [person, animal], is: person, engine: moondream}
"""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.core.config import Config, PositiveDuration
from pipeline.core.tasks import Ask
from pipeline.core.verifying import SecondLook, question_name
from pipeline.rules.words import Words, plain


def _question(value: str) -> str:
    if not value.split():
        raise ValueError("must not be empty")
    if plain(value) in _NO_QUESTIONS:
        raise ValueError(
            f"{value!r} is not a question; write one that yes or no can answer, such as "
            "`Is there a person climbing the fence?`"
        )
    return value


_NO_QUESTIONS = frozenset({"yes", "no", "true", "false", "on", "off"})
Sentence = Annotated[str, Field(min_length=1, max_length=2000)]
Question = Annotated[Sentence, AfterValidator(_question)]
_YES_NO = frozenset({"yes", "no"})


def unanswerable(
    choices: tuple[str, ...], wanted: tuple[str, ...], at_least: float | None
) -> str | None:
    """Why no answer to a question could ever decide anything; None where it can."""
    possible = {plain(choice) for choice in choices} or _YES_NO
    if choices and len(possible) < 2:
        return "`choices` needs at least two different answers, or leave it out"
    for word in wanted:
        if plain(word) not in possible:
            known = ", ".join(choices) or "yes, no; for others, name the `choices`"
            return f"it is never answered {word!r}; the answers are {known}"
    if at_least is not None and choices:
        return "at_least is for questions with yes or no; leave it or `choices` out"
    if at_least is not None and len({plain(word) for word in wanted}) > 1:
        return "at_least works with `is: yes` or `is: no` only; leave it out"
    if {plain(word) for word in wanted} >= possible:
        return "`is` names every possible answer, so nothing would be rejected"
    return None


class VerifyConfig(Config):
    """A question to another engine, asked once about each happening before it is reported."""

    ask: Question = Field(
        description="The question, such as `Is there a person climbing the fence?`."
    )
    engine: str | None = Field(
        None, description="Name of the engine that is asked; optional where only one engine can."
    )
    is_: Words = Field(
        ("yes",), alias="is", min_length=1, description="The answer, or answers, that confirm."
    )
    choices: tuple[Sentence, ...] = Field(
        (), description="The possible answers, where they are not yes and no."
    )
    at_least: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description=(
            "For yes and no: how probable the answer of `is` has to be to confirm. When left out, "
            "and for engines that give no probability, the answer itself decides."
        ),
    )
    of: Literal["subject", "frame"] = Field(
        "subject",
        description=(
            "What is shown: the event's `subject` with its surroundings, or the whole `frame`. "
            "An event without a box shows the frame in any case."
        ),
    )
    rejected: Literal["keep", "drop"] = Field(
        "keep",
        description=(
            "What becomes of rejected events: `keep` sends them to sinks whose `verified` names "
            "them, `drop` to none. Both are stored."
        ),
    )
    deadline: PositiveDuration = Field(
        default=timedelta(seconds=20),
        description=(
            "How long an event of a live camera waits for the answer; then it is reported as "
            "unverified. Events of recordings wait as long as it takes."
        ),
    )

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        problem = unanswerable(self.choices, self.is_, self.at_least)
        if problem is not None:
            raise ValueError(problem)
        return self

    def look(self) -> SecondLook:
        """What is asked."""
        return SecondLook(
            engine=self.engine or "",
            question=self.ask,
            wanted=self.is_,
            choices=self.choices,
            at_least=self.at_least,
            of=self.of,
            drops=self.rejected == "drop",
            deadline_s=self.deadline.total_seconds(),
        )

    def task(self, rule: str) -> Ask:
        """The question as engines see it."""
        return self.look().task(question_name(rule))
