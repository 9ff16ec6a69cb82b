"""The application at work: its port, its thread, its end."""

import logging
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.queues import Queues
from pipeline.web.access.visitor import Doors
from pipeline.web.app import create_app
from pipeline.web.config import DEFAULT_LISTEN, listen_address
from pipeline.web.deployment_view import DeploymentView
from pipeline.web.live.wall import LiveWall
from pipeline.web.state import Journal, WebState

logger = logging.getLogger(__name__)

_CLOSE_S = 2
# What a client may send over a WebSocket at once, in bytes.
_MOST_MESSAGE = 65_536


def open_state(
    path: Path,
    overrides: Sequence[str],
    clock: Clock,
    doors: Doors,
    journal: Journal,
    queues: Queues | None = None,
) -> WebState:
    """Read the file and open its store; raises ConfigError, StoreError.

    `queues` are those of a run in this process, whose pictures are shown live.
    """
    file = DeploymentView(path, overrides, clock)
    config = file.deployment.store
    store = config.build(clock)
    wall = LiveWall(lambda: file.deployment, store, clock, queues)
    return WebState(file, store, config.build_media(), clock, doors, journal, live=wall)


class WebServer:
    """Answers browsers from a thread of its own; the port is taken when it is made."""

    def __init__(self, state: WebState, listen: str | None = None) -> None:
        """Raises ConfigError where the address cannot be used."""
        self._state = state
        self.failure: str | None = None
        """Why it has stopped by itself; None while it has not."""
        host, port = listen_address(listen or state.deployment.web.listen or DEFAULT_LISTEN)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            said = error.strerror or str(error)
            why = f"cannot listen on {host}:{port}: {said}"
            raise ConfigError([Problem("web.listen", why)]) from None
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._socket.getsockname()[1]}"
        """Where it answers."""
        config = uvicorn.Config(
            create_app(state),
            ws="websockets-sansio",
            ws_per_message_deflate=False,  # pictures do not get smaller
            ws_max_size=_MOST_MESSAGE,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_CLOSE_S,
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._server = uvicorn.Server(config)
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        logger.info("the application answers on %s", self.address)

    def stop(self) -> None:
        """Close all connections and end; safe to repeat."""
        self._is_ending = True
        if self._state.live is not None:
            self._state.live.stop()
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * _CLOSE_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception as error:
            logger.exception("the application failed")
            self.failure = f"the application failed: {type(error).__name__}"
        if not self._is_ending and self.failure is None:
            self.failure = "the application ended by itself"
