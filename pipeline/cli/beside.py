"""The application beside a run: whatever becomes of it, the run goes on."""

import importlib
import logging
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from pipeline.core.clock import Clock
from pipeline.core.errors import MoonwatchError
from pipeline.core.machine import how_to_install
from pipeline.core.queues import Queues
from pipeline.runtime.child_processes import Children

if TYPE_CHECKING:
    from pipeline.web.run import WebServer
    from pipeline.web.state import WebState

logger = logging.getLogger(__name__)

_AGAIN_AFTER_S = 10.0
_CHILD_AGAIN_AFTER_S = 60.0
_CHILD_WELL_AFTER_S = 15.0
_STOP_S = 5.0


class Beside(Protocol):
    """Something next to a run that may fail by itself."""

    @property
    def trouble(self) -> str | None:
        """Why it does not work; None while it does."""
        ...

    def poll(self) -> None:
        """Start it, or start it again where it has ended; never raises."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class ApplicationThread:
    """The application in threads of this process, which shows the pictures of its run live."""

    def __init__(
        self, file: Path, overrides: Sequence[str], clock: Clock, queues: Queues | None = None
    ) -> None:
        self._why_not: str | None = None
        self._file, self._overrides, self._clock = file, tuple(overrides), clock
        self._queues = queues
        self._state: WebState | None = None
        self._server: WebServer | None = None
        self._next_at = float("-inf")

    @property
    def trouble(self) -> str | None:
        """Why it does not answer, or else what is wrong although it does."""
        if self._why_not is not None or self._state is None:
            return self._why_not
        return "; ".join(self._state.troubles()) or None

    def poll(self) -> None:
        """Start it, or start it again after a pause."""
        if self._server is not None:
            if self._server.failure is None:
                return
            self._say(self._server.failure)
            self._close()
            self._next_at = self._clock.monotonic() + _AGAIN_AFTER_S
        if self._clock.monotonic() < self._next_at:
            return
        self._next_at = self._clock.monotonic() + _AGAIN_AFTER_S
        try:
            self._open()
        except ModuleNotFoundError as error:
            way_out = how_to_install("web")
            self._say(f"it needs {error.name}; install it with: {way_out}")
        except MoonwatchError as error:
            self._say(str(error))
        except Exception as error:  # whatever it is, the run goes on
            logger.exception("the application beside this run could not start")
            self._say(f"{type(error).__name__}: {error}")
        else:
            self._why_not = None
            return
        self._close()

    def stop(self) -> None:
        """End it; safe to repeat."""
        self._close()

    def _open(self) -> None:
        # Who has not installed it, or does not want it, need not wait for it to be imported.
        module = importlib.import_module("pipeline.web.run")
        state: WebState = module.open_state(
            self._file, self._overrides, self._clock, queues=self._queues
        )
        self._state = state
        server: WebServer = module.WebServer(state)
        server.start()
        self._server = server
        if not state.entrance.has_people():
            if sys.stderr.isatty():
                # To whoever started it, and never into what is kept of its output.
                link = f"{server.address}/set-up#{state.entrance.offer_set_up()}"
                typer.echo(f"make the first user of the application: {link}", err=True)
            logger.warning(
                "nobody can sign in to the application yet; make a user: `moonwatch user add %s "
                "NAME --role admin`",
                self._file,
            )

    def _close(self) -> None:
        server, self._server = self._server, None
        state, self._state = self._state, None
        if server is not None:
            server.stop()
        if state is not None:
            if state.live is not None:  # also where there was no server to end it
                state.live.stop()
            state.store.close()

    def _say(self, why: str) -> None:
        trouble = f"the application does not answer: {why}"
        if trouble != self._why_not:
            logger.error("%s", trouble)
        self._why_not = trouble


class ApplicationProcess:
    """The application as a child process of its own."""

    def __init__(self, file: Path, overrides: Sequence[str], log_format: str, clock: Clock) -> None:
        self.trouble: str | None = None
        self._command = ["web", str(file), "--log-format", log_format]
        for override in overrides:
            self._command += ["--set", override]
        self._clock = clock
        self._children: Children | None = None
        self._next_at = self._started_at = float("-inf")

    def poll(self) -> None:
        """Start it, or start it again; after many restarts at once it gets a longer pause."""
        if self._children is None:
            if self._clock.monotonic() < self._next_at:
                return
            self._children = Children({"web": self._command}, self._clock)
            self._children.start()
            self._started_at = self._clock.monotonic()
            return
        self._children.poll()
        if self._children.failure is None:
            if self._clock.monotonic() >= self._started_at + _CHILD_WELL_AFTER_S:
                self.trouble = None
            return
        trouble = f"the application does not answer: {self._children.failure}"
        if trouble != self.trouble:
            logger.error("%s", trouble)
        self.trouble = trouble
        self._children = None
        self._next_at = self._clock.monotonic() + _CHILD_AGAIN_AFTER_S

    @property
    def pids(self) -> Collection[int]:
        """Those of the processes that it was started as, this time."""
        return frozenset() if self._children is None else frozenset(self._children.pids)

    def stop(self) -> None:
        """End it; safe to repeat."""
        children, self._children = self._children, None
        if children is not None:
            children.stop("web", _STOP_S)
