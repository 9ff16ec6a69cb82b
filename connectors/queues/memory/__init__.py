"""The in-process queue: pixels are handed over without copying or encoding, and it is bounded."""

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Config, PositiveDuration

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.queues import Queues


class MemoryConfig(Config):
    """Stages in one process. Nothing survives its end; a file is simply played again."""

    type: Literal["memory"] = "memory"
    is_shared: ClassVar[Literal[False]] = False
    """Whether several processes can use it."""
    live_room: int = Field(default=4, ge=1)
    """Frames of a live camera that may wait for an engine; newer ones replace the oldest."""
    file_room: int = Field(default=16, ge=1)
    """Frames of a file that may wait for an engine; the sampler waits when there are as many."""
    megabytes: int = Field(default=1024, ge=1)
    """Pixels held at once, over all cameras; each camera may exceed it by one frame."""
    results_room: int = Field(default=1024, ge=1)
    """Results that may wait for the processor."""
    visibility: PositiveDuration = timedelta(minutes=5)
    """How long a worker may keep a frame before another worker gets it."""
    max_attempts: int = Field(default=3, ge=1)
    """How many workers may fail on a frame before it becomes a dead letter."""
    dead_letters: int = Field(default=20, ge=0)
    """Dead letters kept, pixels included; the oldest are forgotten."""

    def build(self, clock: "Clock") -> "Queues":
        """A fresh queue; leases are measured on `clock`, waiting is real."""
        # A check knows from these settings all it needs, and need not wait for the rest.
        queue = importlib.import_module("connectors.queues.memory.queue")
        built: Queues = queue.build(self, clock)
        return built
