"""What all live sources can be told; `check` reads it without what reads them."""

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Config, PositiveDuration, all_left_out


class ReconnectConfig(Config):
    """How soon a broken stream is opened again: the wait doubles on failure, up to `most`."""

    first: PositiveDuration = timedelta(seconds=1)
    """Wait after the first failure."""
    most: PositiveDuration = timedelta(seconds=30)
    """Longest wait."""


class LiveConfig(Config):
    """What all live sources can be told."""

    is_recording: ClassVar[Literal[False]] = False
    """Its pictures are taken now; one that waits too long is of no use any more."""
    is_finite: ClassVar[Literal[False]] = False
    """Whether it comes to an end."""
    open_timeout: PositiveDuration = timedelta(seconds=10)
    """How long connecting may take, name resolution and the first packets included."""
    read_timeout: PositiveDuration = timedelta(seconds=10)
    """How long the stream may be silent before it counts as broken."""
    reconnect: ReconnectConfig = Field(default_factory=all_left_out, validate_default=True)
    """How soon it is opened again."""
