"""The settings of tracking."""

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from pipeline.core.config import Config, Duration, PositiveDuration

if TYPE_CHECKING:
    from pipeline.tracking.tracker import BoxTracker

USUAL_ASPECT = 16 / 9
"""The shape of nearly every camera's picture, for callers that do not know theirs."""


APART = "no"
"""The name by which a task is followed together with no other."""


def _or_no(value: Any) -> Any:
    """`false` is how JSON says `no`."""
    return APART if value is False else value


class TrackerConfig(Config):
    """How boxes become tracks. The defaults suit people and animals at 1 to 10 frames a second."""

    start_score: float = Field(
        default=0.4,
        ge=0.0,
        le=1.0,
        description="Boxes with this score or more can start a track; others only continue one.",
    )
    still_score: float = Field(
        default=0.56,
        ge=0.0,
        le=1.0,
        description=(
            "A thing that was never seen to move is shown to rules only if its scores are above "
            "this on the mean; 0 shows everything. Whoever was seen to move is shown at any score."
        ),
    )
    confirm_after: Duration = Field(
        default=timedelta(milliseconds=400),
        description=(
            "A track is shown to rules once it was seen twice, at least this long apart. Its "
            "first positions are not lost: they are shown with it."
        ),
    )
    forget_after: PositiveDuration = Field(
        default=timedelta(seconds=2),
        description=(
            "A track ends when it was missed in two frames and not seen for this long; what "
            "appears there later is a new one."
        ),
    )
    speed: float | None = Field(
        default=None,
        gt=0.0,
        description=(
            "Typical speed in body heights per second. When absent it follows from the word that "
            "is detected (0.7 for people, 2.5 for bicycles, 5 for cars) and from how fast things "
            "were seen to move."
        ),
    )

    together: Annotated[str, BeforeValidator(_or_no)] | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description=(
            "Tasks of one camera and engine with the same name here follow the same things, each "
            "of them of one of their kinds: what is taken for the other now and then is counted "
            "once. When absent, kinds that exclude each other by their words (`car` and `truck`) "
            "are followed together where these settings are equal; `no` keeps this task apart."
        ),
    )

    def build(self, label: str, aspect: float = USUAL_ASPECT) -> "BoxTracker":
        """A tracker for one task of one camera whose picture is `aspect` times as wide as high."""
        # The tracker needs NumPy, which `check` does not.
        tracker = importlib.import_module("pipeline.tracking.tracker")
        built: BoxTracker = tracker.BoxTracker(
            tracker.TrackerSettings(
                label=label,
                start_score=self.start_score,
                still_score=self.still_score,
                confirm_after_s=self.confirm_after.total_seconds(),
                forget_after_s=self.forget_after.total_seconds(),
                speed=self.speed,
                aspect=aspect,
            )
        )
        return built
