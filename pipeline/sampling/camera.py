"""One camera of a deployment, as the sampler sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from pipeline.core.clock import Clock
from pipeline.core.measures import Health
from pipeline.core.queues import Queues
from pipeline.core.sources import Source
from pipeline.core.tasks import Task
from pipeline.sampling.config import SampleConfig
from pipeline.telemetry.metrics import Metrics


class Reconnect(Protocol):
    """How soon a lost camera is opened again."""

    @property
    def first(self) -> timedelta:
        """The wait after the first failure."""
        ...

    @property
    def most(self) -> timedelta:
        """The longest wait."""
        ...


@runtime_checkable
class Reconnecting(Protocol):
    """A source with its own settings for reopening."""

    @property
    def reconnect(self) -> Reconnect:
        """The settings from the deployment file."""
        ...


@dataclass(frozen=True, slots=True)
class ReconnectPause:
    """How long to wait before a lost camera is retried: doubling, with jitter, for ever."""

    first_s: float = 1.0
    most_s: float = 30.0

    @classmethod
    def of(cls, source: Source) -> "ReconnectPause":
        """The source's own settings, or the defaults where it has none."""
        if not isinstance(source, Reconnecting):
            return cls()
        wanted = source.reconnect
        return cls(wanted.first.total_seconds(), wanted.most.total_seconds())


@dataclass(frozen=True, slots=True)
class Camera:
    """A source, what to sample of it, and the tasks with their own seconds (None: every frame)."""

    name: str
    source: Source
    sample: SampleConfig
    tasks: tuple[tuple[Task, float | None], ...]
    max_side: int | None = None
    """The longest side in pixels that any of its engines can use; None for no limit."""
    judged: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """For each engine, the run and the last job that were processed before a restart: jobs of that
    run up to there are numbered, but not sent again."""


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What samplers work with: the queues, the receiver of camera states, metrics and a clock."""

    queues: Queues
    on_health: Callable[[Health], None]
    metrics: Metrics
    clock: Clock
