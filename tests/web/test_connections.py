"""Whoever only connects, or sends a byte now and then, keeps nobody out."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from pipeline.serving.connections import ConnectionBounds
from pipeline.testing import patience
from pipeline.web import run
from pipeline.web.access import protection
from tests.web.applications import Application, application
from tests.web.live import connected

_MOST = 4
_FILE = """
version: 1
store: {url: "sqlite:///FOLDER/moonwatch.db"}
cameras:
  door: {source: {type: file, path: configs/media/plaza.mp4}, tasks: {people: {detect: person}}}
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """An application for few connections, which may not be silent for long."""
    monkeypatch.setattr(run, "ConnectionBounds", lambda most: ConnectionBounds(_MOST, 1.0))
    monkeypatch.setattr(protection, "BODY_S", 1.0)
    file = tmp_path / "shop.yaml"
    file.write_text(_FILE.replace("FOLDER", str(tmp_path)))
    with application(file) as running:
        yield running


def _connected(app: Application) -> socket.socket:
    parts = urlsplit(app.url)
    return socket.create_connection((parts.hostname, parts.port or 80), patience(20))


def _is_closed(one: socket.socket) -> bool:
    """Waits for it, as long as the socket does."""
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def test_silent_connections_make_room(app: Application) -> None:
    """The one that was silent for longest goes first; all others after their time."""
    silent = [_connected(app) for _ in range(3 * _MOST)]
    try:
        assert httpx.get(f"{app.url}/healthz", timeout=patience(20)).status_code == 200
        silent[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: 127")
        assert all(_is_closed(one) for one in silent)
    finally:
        for one in silent:
            one.close()


def test_a_websocket_stays(app: Application) -> None:
    """Its headers have come: what holds for those who are silent does not hold for it."""
    with connected(app.url) as live:
        later = _connected(app)
        assert _is_closed(later)
        later.close()
        assert live.ping().wait(patience(20))


def test_a_request_that_does_not_come_is_refused(app: Application) -> None:
    """Its headers come, and its body does not."""
    with _connected(app) as slow:
        slow.sendall(
            b"POST /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Moonwatch: 1\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        answer = slow.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408")
