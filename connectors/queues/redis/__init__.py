"""The queue between processes and machines: Redis Streams with consumer groups.

A plain stream is first in, first out, and one camera with a thousand frames would hold up all
others. So each engine, kind (live or file) and camera has a stream of its own, its *lane*, with one
consumer group; and a sorted set for each engine, the *ring*, holds the lanes in which jobs wait, by
when their turn was last. A claim goes round the ring with XREADGROUP, so a camera waits at most one
round, however much others have. A claimed entry stays in its group's list of pending entries: what
is idle there for longer than `visibility` is claimed by the next worker (what XAUTOCLAIM does, with
the number of deliveries looked at first), and after `max_attempts` becomes a dead letter.
What visitors ask goes ahead: their lanes lie below 0 in the ring, and have every second turn while
frames wait.

What belongs together happens in one Lua script, and so in one round trip and entirely or not at
all: a put enters the job, lets the oldest go and publishes their failed results; an answer
publishes results and removes their jobs, and pictures no longer needed. Pictures bypass the
scripts, which would copy them several times: a put sends its own in the same round trip, a claim
fetches all of its in a second one. Whoever waits blocks in Redis, and a job wakes one worker. All
keys, with what ends them, stand in `keys.py`.

Jobs of a picture refer to one copy of it by counting. A job put again while it or its result is on
its way changes nothing, so a sampler may repeat what it is unsure of. Results have a stream for
each partition of cameras; `Leases` say whose it is, and every take and acknowledgement of an owner
is checked against its fencing token inside Redis. A camera has a lease as well, of the sampler that
has it: a put or a result of a sampler whose camera was given to another since is refused.
"""

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from connectors.places.redis_place import RedisAccess
from connectors.queues.redis.keys import base_of
from connectors.queues.redis.limits import Limits
from pipeline.core.config import PositiveDuration

if TYPE_CHECKING:
    from connectors.queues.redis.pictures import Codec
    from connectors.queues.redis.queue import RedisQueues
    from pipeline.core.clock import Clock


class RedisConfig(RedisAccess):
    """Stages in many processes and machines, with Redis 6.2 or later, or Valkey, between them."""

    type: Literal["redis"] = "redis"
    is_shared: ClassVar[Literal[True]] = True
    """Whether several processes can use it."""
    prefix: str = Field(default="moonwatch", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """What all keys of this deployment begin with, in braces."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    """JPEG quality of the pictures in the queue, 1 to 100."""
    lossless: bool = False
    """Send pictures losslessly, as PNG; several times the size and time."""
    max_side: int | None = Field(default=None, ge=16)
    """Longest side in pixels; larger pictures are scaled down before they are sent."""
    live_room: int = Field(default=4, ge=1)
    """Frames of a live camera that may wait for an engine; newer ones replace the oldest."""
    live_age: PositiveDuration = timedelta(seconds=30)
    """How long a live camera's frame may wait; then it is dropped, unless it is the newest."""
    file_room: int = Field(default=16, ge=1)
    """Frames of a file that may wait for an engine; the sampler waits when there are as many."""
    partitions: int = Field(default=8, ge=1, le=256)
    """Parts into which the cameras' results are divided among processors; the same in all
    processes: one that differs from those at work ends with exit code 2."""
    results_room: int = Field(default=1024, ge=1)
    """Results that may wait for a processor, in each partition."""
    visibility: PositiveDuration = timedelta(minutes=5)
    """How long a worker may keep a frame before another worker gets it."""
    max_attempts: int = Field(default=3, ge=1)
    """How many workers may fail on a frame before it becomes a dead letter."""
    dead_letters: int = Field(default=100, ge=0)
    """Dead letters kept, pictures included; the oldest are forgotten."""
    keep_pictures: PositiveDuration = timedelta(minutes=2)
    """How long a picture that an event may need is kept after the frame was answered."""

    def build(self, clock: "Clock", codec: "Codec | None" = None) -> "RedisQueues":
        """The queue; nothing is connected before its first use. Leases follow Redis' own clock.

        `codec` replaces the compression of pictures that the keys above ask for.
        """
        # A check knows from these settings all it needs, and need not wait for the rest.
        queue = importlib.import_module("connectors.queues.redis.queue")
        codec = codec or queue.Codec(self.jpeg_quality, self.max_side, lossless=self.lossless)
        built: RedisQueues = queue.build(
            self.target(base_of(self.prefix)), self._limits(), codec, clock
        )
        return built

    def _limits(self) -> Limits:
        return Limits(
            live_room=self.live_room,
            file_room=self.file_room,
            results_room=self.results_room,
            live_age_ms=_ms(self.live_age),
            visibility_ms=_ms(self.visibility),
            max_attempts=self.max_attempts,
            dead_letters=self.dead_letters,
            partitions=self.partitions,
            keep_ms=_ms(self.keep_pictures),
        )


def _ms(duration: timedelta) -> int:
    return max(1, round(duration.total_seconds() * 1000))
