"""The application's port: who may reach it, https, and what its death changes."""

import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError
from pipeline.core.people import Role
from pipeline.testing import patience, wait_until
from pipeline.web.run import WebServer, open_state
from tests.redis_server import Server, binary
from tests.web.houses import PASSWORD, house, shop_file, sign_in

MOONWATCH = (sys.executable, "-m", "pipeline")


def _certificate(folder: Path, name: str) -> None:
    """A new certificate and key of 127.0.0.1, under the names that the file has."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "new.key", "-out", folder / "new.crt"),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "new.key").replace(folder / "web.key")
    (folder / "new.crt").replace(folder / "web.crt")


def _with_tls(folder: Path) -> Path:
    more = f"\nweb: {{tls: {{certificate: {folder}/web.crt, key: {folder}/web.key}}}}\n"
    return shop_file(folder, more)


def _common_name(url: str) -> str:
    """Whose certificate a new connection is shown."""
    host, _, port = url.removeprefix("https://").partition(":")
    shown = ssl.get_server_certificate((host, int(port)), timeout=patience(10))
    command = ["openssl", "x509", "-noout", "-subject"]
    told = subprocess.run(command, input=shown.encode(), capture_output=True, check=True)
    return told.stdout.decode().rpartition("=")[2].strip()


def test_it_is_refused_to_listen_on_the_network_without_anybody_who_may_sign_in(
    tmp_path: Path,
) -> None:
    """A user is enough, and so is a proxy that people sign in at."""
    file = shop_file(tmp_path)
    state = open_state(file, [], SystemClock())
    with closing(state.store):
        with pytest.raises(ConfigError, match="moonwatch user add"):
            WebServer(state, "0.0.0.0:0")
        with pytest.raises(ConfigError, match=r"use 127\.0\.0\.1"):
            WebServer(state, "0.0.0.0:0", local_only=True)
    with house(file) as home:
        home.person("ada", Role.VIEWER)
        WebServer(home.state, "0.0.0.0:0").stop()


def test_https_is_answered_and_a_renewed_certificate_taken(tmp_path: Path) -> None:
    """While the server goes on; one that cannot be read leaves the one before."""
    _certificate(tmp_path, "first")
    with house(_with_tls(tmp_path)) as home:
        assert home.url.startswith("https://127.0.0.1:")
        home.person("ada", Role.ADMIN)
        context = ssl.create_default_context(cafile=str(tmp_path / "web.crt"))
        with httpx.Client(
            base_url=f"{home.url}/api/v1",
            verify=context,
            headers={"X-Moonwatch": "1"},
            timeout=patience(20),
        ) as browser:
            answer = sign_in(browser, "ada")
            assert answer.headers["set-cookie"].startswith("__Host-moonwatch=")
            assert "Secure" in answer.headers["set-cookie"]
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert browser.get("/site").status_code == 200
            (tmp_path / "web.crt").write_text("no certificate at all")
            assert _common_name(home.url) == "first"

            def said() -> str:
                return "; ".join(home.state.troubles())

            wait_until(lambda: "certificate before goes on" in said(), patience(20))
            told = browser.get("/health").json()
            assert f"new one is refused: {tmp_path}/web.crt" in told["troubles"][-1]["sentence"]
            _certificate(tmp_path, "second")
            wait_until(lambda: _common_name(home.url) == "second", patience(20))
            wait_until(lambda: said() == "", patience(20))


@pytest.mark.parametrize("what", ["none", "other"])
def test_files_that_are_no_certificate_with_its_key_are_said(tmp_path: Path, what: str) -> None:
    """At the start, and not by the first browser."""
    file = _with_tls(tmp_path)
    if what == "other":
        _certificate(tmp_path, "first")
        kept = (tmp_path / "web.key").read_bytes()
        _certificate(tmp_path, "second")
        (tmp_path / "web.key").write_bytes(kept)
    state = open_state(file, [], SystemClock())
    with closing(state.store), pytest.raises(ConfigError, match=r"web\.tls.*web\.crt"):
        WebServer(state, "127.0.0.1:0")


def test_a_store_that_is_locked_is_said_in_time(tmp_path: Path) -> None:
    """Who has signed in goes on reading; what has to be written is refused in a sentence."""
    file = shop_file(tmp_path)
    with house(file) as home:
        browser = home.signed_in("ada")
        with closing(sqlite3.connect(tmp_path / "moonwatch.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert browser.get("/site").status_code == 200
            refused = sign_in(home.stranger(), "ada")
            assert refused.status_code == 503
            assert "another process" in refused.json()["error"]["message"] or (
                "lock" in refused.json()["error"]["message"]
            )
            other.execute("ROLLBACK")
        assert sign_in(home.stranger(), "ada").status_code == 200


@contextmanager
def _started(*arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*MOONWATCH, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=patience(10))


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=patience(5)).status_code == 200
    except httpx.TransportError:
        return False


def test_the_command_says_the_link_once_and_never_in_the_log(tmp_path: Path) -> None:
    """With a user there is none; with --guest there is another."""
    file = shop_file(tmp_path)
    with _started("web", file, "--listen", "127.0.0.1:0", "--log-format", "json") as process:
        lines = _lines_until(process, "make the first one")
        told = [line for line in lines if "/set-up#" in line]
        assert len(told) == 1
        assert not told[0].startswith("{"), "that is a line of the log"
        address, _, secret = told[0].strip().rpartition(": ")[2].partition("/set-up#")
        wanted = {"link": secret, "name": "ada", "password": PASSWORD}
        own = {"X-Moonwatch": "1"}
        made = httpx.post(
            f"{address}/api/v1/set-up", json=wanted, headers=own, timeout=patience(20)
        )
        assert made.status_code == 200
    with _started("web", file, "--listen", "127.0.0.1:0", "--guest") as process:
        lines = _lines_until(process, "look without a name")
        assert not any("/set-up" in line for line in lines)
        address, _, secret = lines[-1].strip().rpartition(": ")[2].partition("/sign-in#guest=")
        came = httpx.post(
            f"{address}/api/v1/session", json={"link": secret}, headers=own, timeout=patience(20)
        )
        assert came.json()["visitor"] == "guest"
    with _started("web", file, "--listen", "0.0.0.0:0", "--guest") as process:
        assert process.wait(patience(30)) == 2


def _lines_until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError("".join(lines))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _endless(folder: Path, more: str) -> Path:
    """The shop, whose recordings begin again whenever they have ended."""
    file = shop_file(folder, more)
    file.write_text(file.read_text().replace("plaza.mp4}", "plaza.mp4, loop: true}"))
    return file


def test_a_run_answers_too_and_goes_on_while_it_cannot(tmp_path: Path) -> None:
    """A port that is taken is said in the log and in the status; freed, it is used."""
    port = _free_port()
    file = _endless(tmp_path, f"\nweb: {{listen: '127.0.0.1:{port}'}}\n")
    with _started("run", file) as process:
        with socket.create_server(("127.0.0.1", port)):
            said = _lines_until(process, "the application does not answer")
            assert "cannot listen" in said[-1]
            status = [*MOONWATCH, "status", str(file), "--json"]

            def is_told() -> bool:
                done = subprocess.run(status, capture_output=True, text=True, check=False)
                return "the application does not answer" in done.stdout

            wait_until(is_told, patience(30))
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}"), patience(30))
        assert process.poll() is None


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis of the test's own."""
    if binary() is None:
        pytest.skip("no redis-server on PATH: apt-get install redis-server")
    server = Server().start()
    yield server.url
    server.close()


@pytest.mark.redis
@pytest.mark.slow
def test_killing_the_application_of_a_run_with_processes_changes_nothing_else(
    tmp_path: Path, redis_url: str
) -> None:
    """It comes back by itself; no stage is started again."""
    port = _free_port()
    more = f"\nweb: {{listen: '127.0.0.1:{port}'}}\nqueue: {{type: redis, url: '{redis_url}'}}\n"
    file = _endless(tmp_path, more)
    url = f"http://127.0.0.1:{port}"
    with _started("run", file) as process:
        wait_until(lambda: _answers(url), patience(60))
        stages = {name: pid for pid, name in _children(process.pid).items()}
        assert set(stages) == {"web", "sample", "infer", "process", "deliver"}
        os.kill(stages["web"], signal.SIGKILL)
        wait_until(lambda: _children(process.pid).get(stages["web"]) is None, patience(10))
        wait_until(lambda: _answers(url), patience(60))
        again = {name: pid for pid, name in _children(process.pid).items()}
        assert again.pop("web") != stages.pop("web")
        assert again == stages
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=patience(60))


def _children(pid: int) -> dict[int, str]:
    """The command of each child of a process."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    found = {}
    for child in map(int, listed):
        with suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if len(words) > 3:
                found[child] = words[3].decode()
    return found
