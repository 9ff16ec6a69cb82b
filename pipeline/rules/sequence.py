"""One event after another, also across cameras: what is looked for, and within which time."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import Config, Duration
from pipeline.core.events import Event, Phase
from pipeline.core.verifying import outcome_of

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
    """An event for each `then` before which, within a time, there was a `first`."""

    first: HappeningConfig = Field(description="What comes first.")
    then: HappeningConfig = Field(description="What must follow it.")
    within: Duration = Field(
        gt=timedelta(0),
        le=timedelta(days=1),
        description="How much later it may be, by the times at which both happened.",
    )
    same: Literal["track"] | None = Field(
        default=None,
        description=("`track`: both must be about the same track, which only one camera can tell."),
    )

    @model_validator(mode="after")
    def _one_camera(self) -> Self:
        if self.same == "track" and (
            self.first.camera is None or self.first.camera != self.then.camera
        ):
            raise ValueError(
                "`same: track` works within one camera, as no other camera knows its tracks; name "
                "the same camera in first and then, or leave it out"
            )
        return self
