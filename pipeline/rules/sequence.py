"""One event after another, or one that stays away, also across cameras, within a time."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import Config, Duration, Fraction
from pipeline.core.events import Event, Phase
from pipeline.core.verifying import outcome_of
from pipeline.rules.schedule import Windows

SEQUENCE = "sequence"
"""The type of the events that report one."""


class HappeningConfig(Config):
    """Events of one rule."""

    camera: str | None = Field(
        default=None, description="The name of the camera; any one when left out."
    )
    rule: str = Field(description="The name of the rule, or of another sequence.")
    direction: Literal["in", "out"] | None = Field(
        default=None, description="Only crossings in this direction; of a line's rule."
    )
    phase: Phase | None = Field(
        default=None,
        description=(
            "Only events of this phase; when left out, those that start a happening or that have "
            "no length."
        ),
    )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the events that are meant."""
        return ("start", "single") if self.phase is None else (self.phase,)

    def describes(self, event: Event) -> bool:
        """Whether it is one of these events; one that a second look rejected is not."""
        outcome = outcome_of(event)
        if outcome is not None and outcome.outcome == "rejected":
            return False
        return (
            event.rule == self.rule
            and self.camera in (None, event.camera)
            and event.phase in self.phases
            and (self.direction is None or event.data.get("direction") == self.direction)
        )


class SequenceConfig(Config):
    """An event for each `then` that follows a `first`, or each `first` that nothing follows."""

    first: HappeningConfig = Field(description="What comes first.")
    then: HappeningConfig | None = Field(
        default=None, description="What must follow it; this or `without`."
    )
    without: HappeningConfig | None = Field(
        default=None,
        description=(
            "What should have followed: an event is reported when it has stayed away for `within`."
        ),
    )
    within: Duration = Field(
        gt=timedelta(0),
        le=timedelta(days=1),
        description="How much later it may be, by the times at which both happened.",
    )
    same: Literal["track"] | None = Field(
        default=None,
        description=("`track`: both must be about the same track, which only one camera can tell."),
    )
    cooldown: Duration = Field(
        default=timedelta(0),
        le=timedelta(days=1),
        description="Around an event, by the same camera, no other is reported for this long.",
    )
    schedule: Windows = Field(
        default=(),
        description=(
            "Days and hours, in the time zone of the event's camera, in which events are reported, "
            "or `open` for its site's opening hours; always when left out."
        ),
    )
    min_coverage: Fraction = Field(
        default=0.5,
        description=(
            "With `without`: what is reported has been looked at for at least this share of the "
            "time; 0 reports also what nobody could see."
        ),
    )

    @property
    def other(self) -> HappeningConfig:
        """What follows the first, or should have."""
        other = self.without if self.then is None else self.then
        assert other is not None  # as is checked below
        return other

    @model_validator(mode="after")
    def _one_other(self) -> Self:
        if (self.then is None) == (self.without is None):
            raise ValueError(
                "a sequence takes either `then` (what must follow) or `without` (what should have "
                "followed and stayed away)"
            )
        if self.then is not None and "min_coverage" in self.model_fields_set:
            raise ValueError(
                "`min_coverage` is for `without`; with `then`, write it at the rules of both parts"
            )
        return self

    @model_validator(mode="after")
    def _one_camera(self) -> Self:
        if self.same == "track" and (
            self.first.camera is None or self.first.camera != self.other.camera
        ):
            raise ValueError(
                "`same: track` works within one camera, as no other camera knows its tracks; name "
                "the same camera in both parts, or leave it out"
            )
        return self
