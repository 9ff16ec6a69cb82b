"""One camera of a deployment, as the sampler sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from pipeline.core.clock import Clock
from pipeline.core.measures import Health
from pipeline.core.queues import Queues
from pipeline.core.retrying import Rests
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


@runtime_checkable
class Waiting(Protocol):
    """A source that can say what it waits for."""

    @property
    def waiting_for(self) -> str | None:
        """Why there is no picture although data arrive, as a sentence; None if that is unknown."""
        ...


@runtime_checkable
class Pausing(Protocol):
    """A source that has pauses of its own, as one that is asked for each picture."""

    @property
    def pause_s(self) -> float:
        """How long it sends nothing between two pictures, because nothing is asked for."""
        ...


def rests_of(source: Source) -> Rests:
    """How long to wait before a lost camera is tried again: doubling, for ever.

    As its own settings say, or the usual where it has none. Chance cuts up to half of each rest, so
    that a switch that comes back is not met by all its cameras at once.
    """
    if not isinstance(source, Reconnecting):
        return Rests(1.0, 30.0, jitter=0.5)
    wanted = source.reconnect
    return Rests(wanted.first.total_seconds(), wanted.most.total_seconds(), jitter=0.5)


@dataclass(frozen=True, slots=True)
class Looking:
    """How a task looks that looks where something moves."""

    confirm_s: float
    """How often it looks at the whole picture."""
    side: int
    """The side in pixels of the smallest part that its engine is shown."""


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
    looking: Mapping[str, Looking] = field(default_factory=dict)
    """How each of the tasks looks that look where it moves."""


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What samplers work with: the queues, the receiver of camera states, metrics and a clock."""

    queues: Queues
    on_health: Callable[[Health], None]
    metrics: Metrics
    clock: Clock
