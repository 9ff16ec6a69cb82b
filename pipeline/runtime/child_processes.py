"""Child processes that are kept running: restarted when they fail, up to a limit."""

import logging
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.core.clock import Clock

logger = logging.getLogger(__name__)

MOONWATCH = (sys.executable, "-m", "pipeline")
# Children that fail more often than this within so many seconds are not restarted.
MOST_RESTARTS = 5
WITHIN_S = 60.0
_FIRST_PAUSE_S = 0.5
# Time beyond a child's own deadline before it is killed.
_GRACE_S = 5.0


@dataclass(slots=True)
class _Child:
    """One child, across its restarts."""

    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    start_at: float | None = None
    """When it will be restarted; None while it runs, or once it is over."""
    is_over: bool = False


class Children:
    """Children of this process. They end when it does, however it ends: each holds a pipe to it."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        clock: Clock,
        program: Sequence[str] = MOONWATCH,
    ) -> None:
        """`commands` has the program's arguments for each child, by its name."""
        self._program = program
        self._children = {name: _Child(command) for name, command in commands.items()}
        self._clock = clock
        self._restarts: deque[float] = deque()
        self.pids: set[int] = set()
        """Those of all processes ever started here."""
        self.failure: str | None = None

    def start(self) -> None:
        """Start all of them."""
        for child in self._children.values():
            self._spawn(child)

    def is_over(self, name: str) -> bool:
        """Whether a child has finished its work."""
        return self._children[name].is_over

    def revive(self, name: str) -> None:
        """Start a child again that has finished its work."""
        child = self._children[name]
        if child.is_over and self.failure is None:
            child.is_over = False
            self._spawn(child)

    def restarts(self) -> Mapping[str, int]:
        """How often each child was restarted."""
        return {name: child.restarts for name, child in self._children.items()}

    def poll(self) -> None:
        """Notice which children have ended, and restart those that should run."""
        now = self._clock.monotonic()
        for name, child in self._children.items():
            if child.start_at is not None:
                if now >= child.start_at:
                    self._spawn(child)
                continue
            if child.process is None or child.is_over:
                continue
            code = child.process.poll()
            if code is None:
                continue
            self._close_pipe(child.process)
            if code == 0:
                child.is_over = True
            else:
                self._plan_restart(name, child, code)

    def stop(self, name: str, within_s: float) -> None:
        """Stop a child; kill it if that takes too long."""
        child = self._children[name]
        child.start_at, child.is_over = None, True
        process = child.process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(within_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop in time and was killed", name)
            process.kill()
            process.wait(_GRACE_S)
        self._close_pipe(process)

    def _spawn(self, child: _Child) -> None:
        child.start_at = None
        # A session of its own: Ctrl-C goes to this process, which stops its children in order.
        child.process = subprocess.Popen(
            [*self._program, *child.command, "--with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pids.add(child.process.pid)

    def _plan_restart(self, name: str, child: _Child, code: int) -> None:
        now = self._clock.monotonic()
        while self._restarts and now - self._restarts[0] > WITHIN_S:
            self._restarts.popleft()
        how = f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"
        if code == 2 or len(self._restarts) >= MOST_RESTARTS:
            child.is_over = True
            often = f", after {len(self._restarts)} restarts within a minute" if code != 2 else ""
            self.failure = f"{name} {how}{often}; its own error message is above"
            return
        pause_s = _FIRST_PAUSE_S * 2 ** len(self._restarts)
        self._restarts.append(now)
        child.restarts += 1
        child.start_at = now + pause_s
        logger.warning("%s %s; restarting it in %g s", name, how, pause_s)

    @staticmethod
    def _close_pipe(process: "subprocess.Popen[bytes]") -> None:
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
