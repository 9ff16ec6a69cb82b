"""When a picture is due: due times are on a fixed grid of capture time, so that a gap never causes
a burst and the same file always gives the same frames.
"""

import math
from collections.abc import Sequence

from pipeline.core.tasks import Task

# Timestamps are rounded to a stream's time base; a picture that is this little early is on time.
_EARLY_S = 0.001


class Grid:
    """Due times every `every_s` (above 0) seconds of capture time from the first picture on."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._early_s = min(_EARLY_S, every_s / 100)
        self._origin: float | None = None
        self._slot = 0

    def is_due(self, at: float) -> bool:
        """Whether a due time has passed since the last picture that was taken."""
        # One slot back is jitter of a stream's clock; further back the clock was set anew.
        return self._origin is None or not self._slot - 1 <= self._slot_of(at) <= self._slot

    def take(self, at: float) -> None:
        """The picture of `at`, which must be due, is taken for all due times up to it."""
        if self._origin is None or self._slot_of(at) < self._slot:
            self._origin = at
        self._slot = self._slot_of(at)

    def _slot_of(self, at: float) -> int:
        if self._origin is None:
            return 0
        return math.floor((at - self._origin + self._early_s) / self._every_s)


class TaskSchedule:
    """The tasks of a camera, each with its own rate: seconds, or None for every frame."""

    def __init__(self, tasks: Sequence[tuple[Task, float | None]]) -> None:
        self._tasks = tuple((task, every and Grid(every)) for task, every in tasks)
        self._engines = tuple(dict.fromkeys(task.engine for task, _ in tasks))
        self._shortest_s = min((every or 0.0 for _, every in tasks), default=0.0)

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines used, in order of their first task."""
        return self._engines

    @property
    def shortest_s(self) -> float:
        """Shortest time in seconds between two frames with a due task; 0 for every frame."""
        return self._shortest_s

    def is_due(self, at: float) -> bool:
        """Whether any task is due for a frame of `at`."""
        return any(not grid or grid.is_due(at) for _, grid in self._tasks)

    def due(self, at: float) -> dict[str, tuple[Task, ...]]:
        """The due tasks for a frame of `at`, by engine; they stay due until they are taken."""
        due: dict[str, tuple[Task, ...]] = {}
        for task, grid in self._tasks:
            if not grid or grid.is_due(at):
                due[task.engine] = (*due.get(task.engine, ()), task)
        return due

    def take(self, engine: str, at: float) -> None:
        """An engine's due tasks were sent with the frame of `at`; they are not due for a while."""
        for task, grid in self._tasks:
            if grid and task.engine == engine and grid.is_due(at):
                grid.take(at)
