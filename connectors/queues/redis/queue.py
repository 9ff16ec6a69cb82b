"""The queue between processes at work; nothing is connected before its first use."""

from dataclasses import dataclass

from connectors.places.redis_place import Target
from connectors.queues.redis.client.link import Link
from connectors.queues.redis.clips import RedisClips
from connectors.queues.redis.jobs import RedisJobs
from connectors.queues.redis.leases import CameraFence, RedisLeases
from connectors.queues.redis.limits import Limits
from connectors.queues.redis.live import RedisLive
from connectors.queues.redis.membership import RedisAgreement, RedisPresence, RedisRequests
from connectors.queues.redis.pictures import Codec, RedisShelf
from connectors.queues.redis.results import RedisResults
from connectors.queues.redis.spending import RedisSpending
from pipeline.core.clock import Clock
from pipeline.core.queues import Queues


@dataclass(frozen=True, slots=True)
class RedisQueues(Queues):
    """Both halves of the queue, and what processes need beside it."""

    jobs: RedisJobs
    results: RedisResults
    shelf: RedisShelf
    leases: RedisLeases
    presence: RedisPresence
    agreement: RedisAgreement
    requests: RedisRequests
    spending: RedisSpending
    link: Link
    clips: RedisClips
    live: RedisLive

    def of_camera(self, camera: str, token: int) -> Queues:
        """The queue for the sampler that has a camera's lease with this token.

        Putting and publishing raise CameraTakenError once another sampler has the camera.
        """
        fence = CameraFence(camera, token)
        return Queues(
            self.jobs.fenced(fence),
            self.results.fenced(fence),
            self.shelf,
            clips=self.clips.fenced(fence),
            live=self.live,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.link.close()


def build(target: Target, limits: Limits, codec: Codec, clock: Clock) -> RedisQueues:
    """The queue of a Redis; leases follow its own clock."""
    link = Link(target, clock)
    return RedisQueues(
        jobs=RedisJobs(link, limits, codec, clock),
        results=RedisResults(link, limits, clock),
        leases=RedisLeases(link, limits.partitions),
        shelf=RedisShelf(link, codec),
        presence=RedisPresence(link),
        agreement=RedisAgreement(link),
        requests=RedisRequests(link),
        spending=RedisSpending(link),
        clips=RedisClips(link),
        live=RedisLive(link, clock),
        link=link,
    )
