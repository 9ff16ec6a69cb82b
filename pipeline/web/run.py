"""The application at work: its port, its thread, its end."""

import logging
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.queues import Queues
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.insight.simulation_workers import SimulationWorkers
from pipeline.serving.connections import KEEP_ALIVE_S, MOST_HEADER_BYTES, ConnectionBounds
from pipeline.web.access.entrance import Entrance
from pipeline.web.access.journal import StoreJournal
from pipeline.web.access.oidc import OidcEntrance
from pipeline.web.access.visitor import Doors
from pipeline.web.app import create_app
from pipeline.web.config import (
    DEFAULT_LISTEN,
    WebTlsConfig,
    is_this_machine_alone,
    listen_address,
)
from pipeline.web.deployment_view import DeploymentView
from pipeline.web.live.wall import LiveWall
from pipeline.web.pushing.desk import PushDesk
from pipeline.web.simulating.what_if import RUNNING
from pipeline.web.state import MOST_FOLLOWED, Journal, WebState

logger = logging.getLogger(__name__)

_CLOSE_S = 2
# Shorter than that of the pipeline: somebody waits before a screen.
_STORE_PATIENCE_S = 5.0
_CERTIFICATES_EVERY_S = 2.0
# Far more than the pages that a site has open; browsers keep up to six for each.
_MOST_CONNECTIONS = 512
# What a client may send over a WebSocket at once, in bytes.
_MOST_MESSAGE = 65_536


def open_state(
    path: Path,
    overrides: Sequence[str],
    clock: Clock,
    doors: Doors | None = None,
    journal: Journal | None = None,
    queues: Queues | None = None,
) -> WebState:
    """Read the file and open its store; raises ConfigError, StoreError.

    Who comes is told by the users of the store, unless tests have doors of their own. `queues` are
    those of a run in this process, whose pictures are shown live.
    """
    file = DeploymentView(path, overrides, clock)
    config = file.deployment.store
    store = config.build(clock, _STORE_PATIENCE_S)
    entrance = Entrance(store.people, clock, lambda: file.deployment.web)
    journal = journal or StoreJournal(store.people, clock)
    wall = LiveWall(lambda: file.deployment, store, clock, queues, path)
    media = config.build_media()
    oidc = OidcEntrance(clock, lambda: file.deployment.web.oidc)
    desk = PushDesk(lambda: file.deployment, store, clock)
    return WebState(
        file,
        store,
        media,
        clock,
        doors or entrance,
        journal,
        entrance,
        live=wall,
        oidc=oidc,
        push=desk,
        judges=SimulationWorkers(config, MOST_FOLLOWED),
    )


class WebServer:
    """Answers browsers from a thread of its own; the port is taken when it is made."""

    def __init__(
        self, state: WebState, listen: str | None = None, *, local_only: bool = False
    ) -> None:
        """Raises ConfigError where the address cannot be used, or nobody could be told apart.

        With `local_only` it answers this machine alone.
        """
        self._state = state
        self.failure: str | None = None
        """Why it has stopped by itself; None while it has not."""
        web = state.deployment.web
        host, port = listen_address(listen or web.listen or DEFAULT_LISTEN)
        place = "web.listen" if listen is None else "--listen"
        if not is_this_machine_alone(host):
            _must_be_guarded(state, host, place, local_only=local_only)
        if web.tls is not None:
            _check(web.tls)
        if web.oidc is not None:
            found = [Problem(f"web.oidc.{one.key}", one.message) for one in web.oidc.lacks()]
            if found:
                raise ConfigError(found)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            said = error.strerror or str(error)
            why = f"cannot listen on {host}:{port}: {said}"
            raise ConfigError([Problem(place, why)]) from None
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if web.tls is None else "https"
        self.address = f"{scheme}://{shown}:{self._socket.getsockname()[1]}"
        """Where it answers."""
        config = uvicorn.Config(
            create_app(state),
            http=ConnectionBounds(_MOST_CONNECTIONS).protocol(),
            ws="websockets-sansio",
            ws_per_message_deflate=False,  # pictures do not get smaller
            ws_max_size=_MOST_MESSAGE,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_keep_alive=int(KEEP_ALIVE_S),
            proxy_headers=False,
            timeout_graceful_shutdown=_CLOSE_S,
            ssl_certfile=None if web.tls is None else web.tls.certificate,
            ssl_keyfile=None if web.tls is None else str(web.tls.key),
        )
        config.load()
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
        self._server = uvicorn.Server(config)
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._certificates = None if config.ssl is None else WatchedCertificates(config.ssl, state)
        if self._certificates is not None:
            state.said_beside.append(self._certificates.troubles)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        if self._certificates is not None:
            self._certificates.start()
        if self._state.push is not None:
            self._state.push.start()
        logger.info("the application answers on %s", self.address)

    def stop(self) -> None:
        """Close all connections and end; safe to repeat."""
        self._is_ending.set()
        if self._certificates is not None:
            self._certificates.stop()
        if self._state.push is not None:
            self._state.push.stop()
        if self._state.live is not None:
            self._state.live.stop()
        RUNNING.end_all(id(self._state.store))
        if self._state.judges is not None:
            self._state.judges.close()
        self._state.heavy.end()
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
        if not self._is_ending.is_set() and self.failure is None:
            self.failure = "the application ended by itself"


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """The server takes a WebSocket that is refused with a sentence for one that was forgotten."""
    return "without completing handshake" not in record.getMessage()


def _must_be_guarded(state: WebState, host: str, place: str, *, local_only: bool) -> None:
    if local_only:
        why = f"--guest answers this machine alone, and {host} can be reached by others"
        raise ConfigError([Problem(place, f"{why}; use 127.0.0.1")])
    if not state.entrance.has_people():
        raise ConfigError(
            [
                Problem(
                    place,
                    f"{host} can be reached from other machines, and there is nobody who may sign "
                    f"in; make a user first: `moonwatch user add {state.file.path} NAME --role "
                    "admin`",
                )
            ]
        )


def _check(tls: WebTlsConfig) -> None:
    """Raises ConfigError where the files cannot be used."""
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)
    except (OSError, ValueError) as error:
        raise ConfigError([Problem("web.tls", str(error))]) from None


def _load(context: ssl.SSLContext, tls: WebTlsConfig) -> None:
    """Raises OSError or ValueError with a sentence."""

    def asked_for() -> str:
        raise ValueError(f"the key {tls.key} has a password; give one without")

    for path in (tls.certificate, tls.key):
        with path.open("rb"):
            pass
    try:
        context.load_cert_chain(tls.certificate, tls.key, asked_for)
    except ssl.SSLError as error:
        raise ValueError(
            f"{tls.certificate} and {tls.key} are no certificate with its key, as PEM "
            f"({error.reason or error})"
        ) from None


class WatchedCertificates:
    """Reads certificate and key again when they change; what cannot be read leaves those before."""

    def __init__(self, context: ssl.SSLContext, state: WebState) -> None:
        self._context, self._state = context, state
        self.trouble: str | None = None
        """Why those before go on; None while the newest ones are used."""
        self._stop = threading.Event()
        self._unforeseen = UnforeseenErrors("reading the certificate", state.clock, logger)
        self._stamp = self._look()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def troubles(self) -> list[str]:
        """What is wrong with the newest ones, as sentences."""
        return [one for one in (self.trouble, self._unforeseen.trouble) if one]

    def _run(self) -> None:
        while not self._stop.wait(_CERTIFICATES_EVERY_S):
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 - the next one may be read
                self._unforeseen.happened(error)

    def _follow(self) -> None:
        stamp, tls = self._look(), self._state.deployment.web.tls
        if tls is None or stamp == self._stamp:
            return
        try:
            # Tried on another one first: a half of a pair would break the one in use.
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)
            _load(self._context, tls)
        except (OSError, ValueError) as error:
            logger.warning("the certificate before goes on: %s", error)
            self.trouble = f"the certificate before goes on, as the new one is refused: {error}"
        else:
            logger.info("another certificate is used: %s", tls.certificate)
            self.trouble = None
        self._stamp = stamp

    def _look(self) -> tuple[object, ...]:
        tls = self._state.deployment.web.tls
        if tls is None:
            return ()
        return tuple(_stamp_of(path) for path in (tls.certificate, tls.key))


def _stamp_of(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError:
        return (str(path),)
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino
