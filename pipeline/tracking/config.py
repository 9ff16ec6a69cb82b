"""What an operator can say about tracking."""

from datetime import timedelta

from pydantic import Field

from pipeline.core.config import Config, Duration, PositiveDuration
from pipeline.tracking.tracker import BoxTracker, Habits


class TrackerConfig(Config):
    """How boxes become tracks. The defaults suit people and animals at 1 to 10 frames a second."""

    start_score: float = Field(default=0.4, ge=0.0, le=1.0)
    """A box begins a track from this score up; lower ones only continue a track."""
    confirm_after: Duration = timedelta(milliseconds=400)
    """A track is shown to rules when it was seen twice, over at least this long. Its first
    positions are not lost: they come with it then."""
    forget_after: PositiveDuration = timedelta(seconds=2)
    """A track not seen for this long is over; what appears there later is somebody new."""
    speed: float = Field(default=0.7, gt=0.0)
    """Typical speed of the things in their own heights a second: 0.7 for walkers, 5 for cars."""

    def build(self, label: str) -> BoxTracker:
        """A tracker with nothing in it, for one task of one camera."""
        return BoxTracker(
            label,
            Habits(
                start_score=self.start_score,
                confirm_after_s=self.confirm_after.total_seconds(),
                forget_after_s=self.forget_after.total_seconds(),
                speed=self.speed,
            ),
        )
