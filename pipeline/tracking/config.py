"""What an operator can say about tracking."""

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.core.config import Config, Duration, PositiveDuration

if TYPE_CHECKING:
    from pipeline.tracking.tracker import BoxTracker

USUAL_ASPECT = 16 / 9
"""Shape of nearly every camera's picture, for callers that do not know better."""


class TrackerConfig(Config):
    """How boxes become tracks. The defaults suit people and animals at 1 to 10 frames a second."""

    start_score: float = Field(
        default=0.4,
        ge=0.0,
        le=1.0,
        description="A box begins a track from this score up; fainter ones only continue one.",
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
            "A track missed in two looks and not seen for this long is over; what appears there "
            "later is somebody new."
        ),
    )
    speed: float = Field(
        default=0.7,
        gt=0.0,
        description="Typical speed in own heights a second: 0.7 for walkers, 5 for cars.",
    )

    def build(self, label: str, aspect: float = USUAL_ASPECT) -> "BoxTracker":
        """A tracker for one task of one camera whose picture is `aspect` times as wide as high."""
        # The tracker needs NumPy, for which `check` need not wait.
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
