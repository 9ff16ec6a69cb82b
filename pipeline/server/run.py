"""The server at work: its port, its thread, its end."""

import errno
import ipaddress
import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Collection

import uvicorn

from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, EngineError, Problem
from pipeline.deployment.model import Deployment
from pipeline.inference.call_line import CallLimits
from pipeline.inference.callers import Callers
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.server.accounts import Accounts
from pipeline.server.app import create_app
from pipeline.server.config import ServeConfig, listen_address
from pipeline.server.fetching import Fetcher
from pipeline.server.pictures import PictureReader
from pipeline.server.state import ServerState
from pipeline.serving.connections import KEEP_ALIVE_S, MOST_HEADER_BYTES, ConnectionBounds
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_BACKLOG = 512
# After all requests are finished, connections only have to be closed.
_CLOSE_S = 2
_SWITCH_S = 0.0005


def limits_of(settings: ServeConfig) -> CallLimits:
    """What callers may take of an engine."""
    return CallLimits(
        share=settings.share,
        queue=settings.queue,
        wait_s=settings.wait.total_seconds(),
        stalled_after_s=settings.stalled_after.total_seconds(),
    )


def served_engine(
    deployment: Deployment, asked: str | None, loaded: Collection[str] | None = None
) -> str:
    """The name of the engine that answers callers; raises ConfigError.

    `loaded` are those it can be one of, all of the file by default.
    """
    names = [
        name
        for name, config in deployment.engines.items()
        if isinstance(config, MoondreamConfig) and (loaded is None or name in loaded)
    ]
    place = "--engine" if asked else "server.engine"
    chosen = asked or deployment.server.engine
    if chosen is None and len(names) == 1:
        return names[0]
    if chosen in names:
        return str(chosen)
    known = ", ".join(names)
    idle = [n for n, e in deployment.engines.items() if isinstance(e, MoondreamConfig)]
    if not names and idle:
        raise ConfigError(
            [
                Problem(
                    "engines",
                    f"callers are answered by an engine that this process loads for cameras, and "
                    f"{' and '.join(idle)} is not among them; let a task use it, or answer callers "
                    "with `moonwatch serve FILE`",
                )
            ]
        )
    if not names:
        raise ConfigError(
            [Problem("engines", "callers are answered by an engine of the type moondream; add one")]
        )
    if chosen is None:
        message = f"there are several engines that can answer callers; choose one of: {known}"
    else:
        message = f"{chosen!r} is not an engine that can answer callers; use one of: {known}"
    raise ConfigError([Problem(place, message)])


def settings_of(
    deployment: Deployment, listen: str | None, *, no_auth: bool, option: str = "--listen"
) -> ServeConfig:
    """The server's settings with what the command line says; raises ConfigError.

    `option` is the one that `listen` was given by.
    """
    settings = deployment.server
    if listen is not None:
        try:
            listen_address(listen)
        except ValueError as error:
            raise ConfigError([Problem(option, str(error))]) from None
        settings = settings.model_copy(update={"listen": listen.strip()})
    host, _ = settings.address
    if no_auth and not _is_loopback(host):
        raise ConfigError(
            [
                Problem(
                    "--no-auth",
                    f"{settings.listen} can be reached from other machines, where anybody could "
                    "use the model; listen on 127.0.0.1, or make keys with `moonwatch token add` "
                    "and leave out --no-auth",
                )
            ]
        )
    return settings


class ModelServer:
    """Answers callers over HTTP from a thread of its own.

    The port is taken when it is made, so that a second server on it ends with a sentence.
    """

    def __init__(
        self,
        callers: Callers,
        accounts: Accounts,
        settings: ServeConfig,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Raises ConfigError where the address cannot be used."""
        self.failure: str | None = None
        """Why it has stopped by itself; None while it has not."""
        self._settings = settings
        self._accounts = accounts
        self._fetcher = Fetcher(settings.pictures)
        self._pictures = PictureReader(self._fetcher)
        self.state = ServerState(
            callers=callers,
            gate=accounts.gate,
            pictures=self._pictures,
            settings=settings,
            metrics=metrics,
            clock=clock,
        )
        self._socket = _listening(settings)
        self.address = _shown(self._socket, settings)
        """Where it answers, such as http://127.0.0.1:8080."""
        self.bounds = ConnectionBounds(settings.connections)
        config = uvicorn.Config(
            create_app(self.state),
            http=self.bounds.protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_keep_alive=int(KEEP_ALIVE_S),
            timeout_graceful_shutdown=_CLOSE_S,
            backlog=_BACKLOG,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        lacks = [Problem(f"server.{lack.key}", lack.message) for lack in settings.lacks()]
        if lacks:
            self._socket.close()
            raise ConfigError(lacks)
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise ConfigError(
                [Problem("server.tls_cert", _why_no_https(settings, error))]
            ) from None
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        # Beside a busy engine every answer would wait several times for Python's lock, 5 ms each.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._accounts.start()
        self._thread.start()
        logger.info("answering callers on %s/v1", self.address)

    def ready(self) -> str | None:
        """Why callers are not answered; None when they are."""
        return self.failure or self.state.callers.ready

    def remark(self) -> str | None:
        """What is wrong although callers are answered; None if nothing is."""
        return "; ".join(self._accounts.troubles) or None

    def stop(self, within_s: float) -> None:
        """Refuse new requests, finish those that run, and end; safe to repeat."""
        until = time.monotonic() + within_s
        if not self.state.work.end(within_s):
            left = self.state.work.running
            logger.warning("%d requests did not end within %g s and are cut off", left, within_s)
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(max(0.0, until - time.monotonic()) + 2 * _CLOSE_S)
            if self._thread.is_alive():
                self._server.force_exit = True
                self._thread.join(_CLOSE_S)
        self._socket.close()
        self._pictures.close()
        self._fetcher.close()
        self._accounts.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception as error:
            logger.exception("the server failed")
            self.failure = f"the server failed: {type(error).__name__}"
        if not self.state.work.is_ending and self.failure is None:
            self.failure = "the server ended by itself"


def open_callers(engine: object, name: str, settings: ServeConfig) -> Callers:
    """Let callers ask an engine that is loaded; raises EngineError."""
    if not hasattr(engine, "open_callers"):
        raise EngineError(f"engine {name!r} cannot answer callers; it is not of the type moondream")
    callers: Callers = engine.open_callers(limits_of(settings))
    return callers


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why_no_https(settings: ServeConfig, error: OSError) -> str:
    files = f"{settings.tls_cert} cannot be used with the key {settings.tls_key}"
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return f"{files}: they belong to different certificates"
    if isinstance(error, ssl.SSLError):
        return (
            f"{files}: one of them is not what its name says; both must be PEM, the key without "
            "a password"
        )
    return f"{files}: {error.strerror or error}"


def _listening(settings: ServeConfig) -> socket.socket:
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        # Python adds the address once more to the text of the system.
        number = getattr(error, "errno", None)
        # Names that nobody knows have numbers below zero, of another kind than the system's.
        if isinstance(error, UnicodeError) or (number is not None and number < 0):
            said = f"nothing is known under the name {host!r}; give an address of this machine"
        elif number == errno.EADDRINUSE:
            said = (
                "Address already in use; another process uses it, so choose another port with "
                "--listen"
            )
        elif number == errno.EADDRNOTAVAIL:
            said = "this machine has no such address; 0.0.0.0 is all of them"
        elif number == errno.EACCES:
            said = "Permission denied; choose a port above 1023"
        else:
            said = os.strerror(number) if number is not None else str(error)
        raise ConfigError(
            [Problem("server.listen", f"cannot listen on {host}:{port}: {said}")]
        ) from None


def _shown(listener: socket.socket, settings: ServeConfig) -> str:
    host, _ = settings.address
    port = listener.getsockname()[1]
    scheme = "https" if settings.tls_cert is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
