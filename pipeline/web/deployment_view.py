"""The deployment as its file is now."""

import threading
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import Loaded, read
from pipeline.deployment.model import Deployment

_LOOK_S = 1.0


class DeploymentView:
    """Reads the file again when it changes; a version with mistakes is told, and not used."""

    def __init__(self, path: Path, overrides: Sequence[str], clock: Clock) -> None:
        """Read the file; raises ConfigError."""
        self.path = path
        self.overrides = tuple(overrides)
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded = read(path, overrides)
        self._stamps = self._stamp()
        self._looked_at = clock.monotonic()
        self._problems: tuple[Problem, ...] = ()

    @property
    def loaded(self) -> Loaded:
        """The last version without mistakes."""
        self._look()
        return self._loaded

    @property
    def deployment(self) -> Deployment:
        """What the last version without mistakes says."""
        return self.loaded.deployment

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The mistakes of the file as it is now; empty if it is what is used."""
        self._look()
        return self._problems

    def look_now(self) -> None:
        """Look at the file at once, after it was written."""
        self._looked_at = float("-inf")
        self._look()

    def _look(self) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if now - self._looked_at < _LOOK_S:
                return
            self._looked_at = now
            stamps = self._stamp()
            if stamps == self._stamps:
                return
            self._stamps = stamps
            try:
                self._loaded = read(self.path, self.overrides)
            except ConfigError as error:
                self._problems = tuple(error.problems)
            else:
                self._problems = ()
                self._stamps = self._stamp()

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp_of(file) for file in self._loaded.files)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
