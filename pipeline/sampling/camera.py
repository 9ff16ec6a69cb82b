"""One camera of a deployment, as the sampler sees it."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.core.measures import Health
from pipeline.core.ports import Queues, Source
from pipeline.core.tasks import Task
from pipeline.sampling.config import SampleConfig
from pipeline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a lost camera is tried again: doubling, with jitter, for ever."""

    first_s: float = 1.0
    most_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Camera:
    """A source, what to sample of it, and the tasks with their own seconds (None: every frame)."""

    name: str
    source: Source
    sample: SampleConfig
    tasks: tuple[tuple[Task, float | None], ...]
    max_side: int | None = None
    """Longest side in pixels that any engine asked can use; None for no limit."""
    backoff: Backoff = Backoff()


@dataclass(frozen=True, slots=True)
class Outside:
    """What samplers work with: where jobs go, who hears of a camera's state, what counts."""

    queues: Queues
    on_health: Callable[[Health], None]
    metrics: Metrics
    clock: Clock
