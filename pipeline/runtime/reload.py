"""A changed deployment file, applied to a running process.

`moonwatch reload` asks all processes, SIGHUP asks one of them, and with `--watch` each process
looks for changes itself. A process first reads its own file. If that has a mistake, nothing
changes. If something in it cannot be changed while running, that is named and nothing changes
either, so a process always works by one version of the whole file. Samplers apply a change last:
inference and processing must know a new camera before its frames arrive.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, MoonwatchError
from pipeline.core.private_files import let_group_read
from pipeline.deployment.loader import Loaded, read
from pipeline.deployment.model import Deployment

logger = logging.getLogger(__name__)

REQUEST_TTL = timedelta(seconds=30)
"""How long a request is valid: processes that start meanwhile answer it as well."""
# How long a sampler waits for the other processes to apply the new file.
_OTHERS_S = 10.0
# A file is read once it has not changed for so long: editors write in pieces.
_SETTLED_S = 1.0
_ASK_EVERY_S = 0.5
_PREFIX = "reload "


class Outcome(StrEnum):
    """What one process did with a changed file."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    """The file has mistakes."""
    NEEDS_RESTART = "needs a restart"
    FAILED = "failed"
    """The file is valid, but the process could not apply it."""


APPLIED = frozenset({Outcome.APPLIED, Outcome.UNCHANGED})
"""The outcomes after which a process works by the current file."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A process's answer to a request to read its file again."""

    request: str
    """The request's name; empty after SIGHUP or a change noticed by `--watch`."""
    outcome: Outcome
    said: tuple[str, ...] = ()
    """Why, in sentences: the mistakes, or what needs a restart."""


def _whole(deployment: Deployment) -> Deployment:
    return deployment


@dataclass(frozen=True, slots=True)
class DeploymentFile:
    """The file that a process has its deployment from, as read at its start."""

    path: Path
    overrides: tuple[str, ...]
    loaded: Loaded
    watch: bool = False
    """Whether the process watches the file for changes."""
    narrowed: Callable[[Deployment], Deployment] = _whole
    """Selects this process's part of a deployment; raises ConfigError if there is none."""

    @property
    def deployment(self) -> Deployment:
        """The deployment that this process starts with."""
        return self.narrowed(self.loaded.deployment)


def new_request() -> str:
    """A request to all processes to read their file again."""
    return f"{_PREFIX}{secrets.token_hex(6)}"


def unchangeable(old: Deployment, new: Deployment, engines: Collection[str]) -> list[str]:
    """The differences that a running process cannot apply, each as a sentence.

    `engines` are the ones that the process has loaded.
    """
    found = []
    if new.queue != old.queue:
        found.append("queue: has changed; restart all processes")
    if (new.store.url, new.store.media) != (old.store.url, old.store.media):
        found.append("store: has changed; restart all processes")
    found += [
        f"engines.{name}: has changed; restart this process to load it"
        for name in engines
        if name in new.engines and new.engines[name] != old.engines[name]
    ]
    return found


class Reloader:
    """Reads a process's file again on request. One thread polls it; any thread may `hang_up`."""

    def __init__(
        self,
        file: DeploymentFile,
        apply: Callable[[Deployment], None],
        clock: Clock,
        *,
        engines: Callable[[], Collection[str]] = tuple,
        asked: Callable[[], str | None] = lambda: None,
        others: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """`apply` makes the process work by a deployment; raises MoonwatchError if it cannot.

        `engines` returns the engines that it has loaded, `asked` the current request. `others`
        returns, for each process that has to apply a change first, the version of the file that it
        works by, or the request that it could not apply.
        """
        self._file = file
        self._loaded = file.loaded
        self.version = file.loaded.digest
        """The version of the file that this process works by."""
        self._apply = apply
        self._clock = clock
        self._engines = engines
        self._asked = asked
        self._others = others
        self._hung_up = threading.Event()
        self._answered: str | None = None
        self._asked_at = float("-inf")
        self._pending: tuple[str, Loaded, str, Deployment, float] | None = None
        self._stamps = _stamps_of(file.loaded.files)
        self._stamped_at: float | None = None
        self.last: Reloaded | None = None
        """The answer to the last request; None before the first."""

    def hang_up(self) -> None:
        """Read the file at the next poll; safe to call from a signal handler."""
        self._hung_up.set()

    def poll(self) -> None:
        """Read the file again if requested, and apply what has changed."""
        now = self._clock.monotonic()
        request = self._told(now)
        if request is not None:
            self._begin(request, now)
        if self._pending is not None:
            request, loaded, version, deployment, until = self._pending
            if (
                now >= until
                or self._others is None
                or all(seen in (version, request) for seen in self._others())
            ):
                self._pending = None
                self._finish(request, loaded, version, deployment)

    def _told(self, now: float) -> str | None:
        if self._hung_up.is_set():
            self._hung_up.clear()
            return ""
        if now - self._asked_at < _ASK_EVERY_S:
            return None
        self._asked_at = now
        if self._file.watch and self._has_settled(now):
            return ""
        asked = self._asked()
        if asked is None or not asked.startswith(_PREFIX) or asked == self._answered:
            return None
        self._answered = asked
        return asked

    def _has_settled(self, now: float) -> bool:
        """Whether the file, or one that it includes, has changed and then stayed the same."""
        stamps = _stamps_of(self._loaded.files)
        if stamps != self._stamps:
            self._stamps, self._stamped_at = stamps, now
            return False
        if self._stamped_at is None or now - self._stamped_at < _SETTLED_S:
            return False
        self._stamped_at = None
        return True

    def _begin(self, request: str, now: float) -> None:
        self._pending = None
        try:
            loaded = read(self._file.path, self._file.overrides)
            new = self._file.narrowed(loaded.deployment)
        except ConfigError as error:
            self._answer(request, Outcome.REFUSED, [str(problem) for problem in error.problems])
            return
        version = loaded.digest
        if version == self.version:
            self._loaded = loaded
            self._answer(request, Outcome.UNCHANGED)
            return
        old = self._file.narrowed(self._loaded.deployment)
        reasons = unchangeable(old, new, self._engines())
        if reasons:
            self._answer(request, Outcome.NEEDS_RESTART, reasons)
            return
        self._pending = (request, loaded, version, new, now + _OTHERS_S)

    def _finish(self, request: str, loaded: Loaded, version: str, deployment: Deployment) -> None:
        try:
            self._apply(deployment)
            let_group_read(deployment.files.group)
        except MoonwatchError as error:
            self._answer(request, Outcome.FAILED, [str(error)])
            return
        self._loaded, self.version = loaded, version
        self._stamps = _stamps_of(loaded.files)
        self._answer(request, Outcome.APPLIED)

    def _answer(self, request: str, outcome: Outcome, said: Sequence[str] = ()) -> None:
        self.last = Reloaded(request, outcome, tuple(said))
        level = logging.INFO if outcome in APPLIED else logging.ERROR
        reasons = "".join(f"\n  {reason}" for reason in said)
        going_on = (
            "" if outcome in APPLIED else "; continuing with the previous version of the file"
        )
        logger.log(level, "%s: %s%s%s", self._file.path, outcome, going_on, reasons)


def _stamps_of(files: Sequence[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    """What usually changes with a file's content: inode, size and time of change."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
