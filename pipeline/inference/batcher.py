"""Gathers jobs into a batch: full at once, or what is there after the longest wait.

The round-robin over cameras is the queue's promise: every claim begins where the last one ended.
"""

from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.core.queues import Claim, JobQueue


@dataclass(frozen=True, slots=True)
class Batching:
    """How a batch is gathered: at most `size` jobs, waiting at most `longest_wait_s` for them."""

    size: int
    longest_wait_s: float


class Batcher:
    """Takes batches of one engine's jobs from a queue."""

    def __init__(self, jobs: JobQueue, engine: str, batching: Batching, clock: Clock) -> None:
        self._jobs = jobs
        self._engine = engine
        self._batching = batching
        self._clock = clock

    def take(self, idle_s: float) -> list[Claim]:
        """The next batch; empty when there was no job for `idle_s`."""
        batch = self._jobs.claim(self._engine, self._batching.size, idle_s)
        deadline = self._clock.monotonic() + self._batching.longest_wait_s
        while batch and len(batch) < self._batching.size:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                break
            batch += self._jobs.claim(self._engine, self._batching.size - len(batch), left)
        return batch
