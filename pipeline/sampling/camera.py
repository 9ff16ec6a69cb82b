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
    """How soon an operator wants a lost camera opened again."""

    @property
    def first(self) -> timedelta:
        """Wait after the first failure."""
        ...

    @property
    def most(self) -> timedelta:
        """Longest wait."""
        ...


@runtime_checkable
class Reconnecting(Protocol):
    """A source that says how soon it wants to be opened again."""

    @property
    def reconnect(self) -> Reconnect:
        """The operator's settings."""
        ...


@dataclass(frozen=True, slots=True)
class ReconnectPause:
    """How long to wait before a lost camera is tried again: doubling, with jitter, for ever."""

    first_s: float = 1.0
    most_s: float = 30.0

    @classmethod
    def of(cls, source: Source) -> "ReconnectPause":
        """What a source's own settings say, or the usual where it has none."""
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
    """Longest side in pixels that any engine asked can use; None for no limit."""
    judged: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """For each engine the run and the last job that were judged before a restart: jobs of that run
    up to there are numbered, but not sent again."""


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What samplers work with: where jobs go, who hears of a camera's state, what counts."""

    queues: Queues
    on_health: Callable[[Health], None]
    metrics: Metrics
    clock: Clock
