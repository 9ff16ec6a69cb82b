"""Child processes that are kept running: started again when they end, until that is no use."""

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
# What ends more often than this many times in so many seconds is not started again.
MOST_RESTARTS = 5
WITHIN_S = 60.0
_FIRST_PAUSE_S = 0.5
# How long a child may take beyond its own deadline before it is killed.
_GRACE_S = 5.0


@dataclass(slots=True)
class _Child:
    """One process, now and again."""

    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    start_at: float | None = None
    """When it is started again; None while it runs, or is over."""
    is_over: bool = False


class Children:
    """Processes of this one. They end when it ends, however it does: each holds its pipe."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        clock: Clock,
        program: Sequence[str] = MOONWATCH,
    ) -> None:
        """What to tell the program for each child, by its name."""
        self._program = program
        self._children = {name: _Child(command) for name, command in commands.items()}
        self._clock = clock
        self._restarts: deque[float] = deque()
        self.pids: set[int] = set()
        """Of every process that was ever started here."""
        self.failure: str | None = None

    def start(self) -> None:
        """Start all of them."""
        for child in self._children.values():
            self._spawn(child)

    def is_over(self, name: str) -> bool:
        """Whether a child has ended because it had nothing left to do."""
        return self._children[name].is_over

    def revive(self, name: str) -> None:
        """Start one again that has ended because it had nothing left to do."""
        child = self._children[name]
        if child.is_over and self.failure is None:
            child.is_over = False
            self._spawn(child)

    def restarts(self) -> Mapping[str, int]:
        """How often each was started again."""
        return {name: child.restarts for name, child in self._children.items()}

    def poll(self) -> None:
        """Notice who has ended, and start again what should run."""
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
            self._let_go(child.process)
            if code == 0:
                child.is_over = True
            else:
                self._plan_restart(name, child, code)

    def stop(self, name: str, within_s: float) -> None:
        """End a child in order, or by force when it takes too long."""
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
        self._let_go(process)

    def _spawn(self, child: _Child) -> None:
        child.start_at = None
        # A session of its own: Ctrl-C is for this process, which ends its children in order.
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
    def _let_go(process: "subprocess.Popen[bytes]") -> None:
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
