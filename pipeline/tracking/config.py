"""The settings of tracking."""

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.core.config import Config, Duration, PositiveDuration

if TYPE_CHECKING:
    from pipeline.tracking.tracker import BoxTracker

USUAL_ASPECT = 16 / 9
"""The shape of nearly every camera's picture, for callers that do not know theirs."""


class TrackerConfig(Config):
    """How boxes become tracks. The defaults suit people and animals at 1 to 10 frames a second."""

    start_score: float = Field(
        default=0.4,
        ge=0.0,
        le=1.0,
        description="Boxes with this score or more can start a track; others only continue one.",
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

    def build(self, label: str, aspect: float = USUAL_ASPECT) -> "BoxTracker":
        """A tracker for one task of one camera whose picture is `aspect` times as wide as high."""
        # The tracker needs NumPy, which `check` does not.
        tracker = importlib.import_module("pipeline.tracking.tracker")
        built: BoxTracker = tracker.BoxTracker(
            tracker.TrackerSettings(
                label=label,
                start_score=self.start_score,
                confirm_after_s=self.confirm_after.total_seconds(),
                forget_after_s=self.forget_after.total_seconds(),
                speed=self.speed,
                aspect=aspect,
            )
        )
        return built
