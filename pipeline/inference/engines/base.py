"""What every engine's config has in common."""

from datetime import timedelta

from pydantic import Field

from pipeline.core.config import Config, Duration


class EngineConfigBase(Config):
    """How frames are gathered for an engine."""

    max_batch: int = Field(8, ge=1, le=256, description="Frames answered together, at most.")
    max_wait: Duration = Field(
        timedelta(milliseconds=20),
        description="How long a batch that is not full waits for more frames.",
    )
