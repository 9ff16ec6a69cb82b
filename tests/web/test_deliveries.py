"""What became of events at sinks that refuse them, and sending them again."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.core.clock import SystemClock
from pipeline.core.store import Undelivered
from pipeline.delivery.lane import SinkLane
from pipeline.deployment.loader import load
from pipeline.runtime.assembly import routes_of
from pipeline.telemetry.metrics import Metrics
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from pipeline.web.events import sending
from tests.web.applications import application
from tests.web.happened import BEGAN_AT, crossing, keep, shop, store_of


class _Answers(http.server.ThreadingHTTPServer):
    """A server that answers every post with the status that a test sets."""

    status = 400
    bodies: list[bytes]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Answers

    def do_POST(self) -> None:
        """Take it down."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.bodies.append(body)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _server() -> Iterator[_Answers]:
    server = _Answers(("127.0.0.1", 0), _Handler)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server() -> Iterator[_Answers]:
    """It refuses what it is sent until a test says otherwise."""
    with _server() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path, server: _Answers) -> Path:
    """A shop that posts its events to the server."""
    url = f"http://127.0.0.1:{server.server_address[1]}/in"
    return shop(tmp_path, f'  hook: {{type: webhook, url: "{url}"}}')


def _deliver(file: Path, sink: str, steps: int) -> None:
    """The lane of one sink does so many steps, as the process that delivers has it."""
    deployment, clock = load(file), SystemClock()
    store = store_of(file)
    for route, built in routes_of(deployment, store, clock):
        if route.sink == sink:
            lane = SinkLane(route, built, store, clock, Metrics())
            for _ in range(steps):
                lane.step()
        built.close()
    store.close()


def test_refused_events_are_sent_again_or_dropped(file: Path, server: _Answers) -> None:
    """By operators, who see how it stands; the server gets each only while it accepts it."""
    store = store_of(file)
    store.register_sinks(["log", "hook"])
    now = time.time()
    first, second = crossing(1, now - 3), crossing(2, now - 2)
    keep(store, [first, second])
    _deliver(file, "log", 3)
    with application(file) as app:
        told = app.client.get(f"/events/{first.id}").json()
        log, hook = sorted(told["sent"], key=lambda one: one["sink"], reverse=True)
        assert (log["state"], hook["state"]) == ("delivered", "waiting")
        assert log["after_s"] > 0
        assert log["at"] is not None
        assert hook["reason"] == "its turn has not come"
        _deliver(file, "hook", 6)
        posts = len(server.bodies)
        told = app.client.get(f"/events/{first.id}").json()
        hook = next(one for one in told["sent"] if one["sink"] == "hook")
        assert (hook["state"], hook["attempts"]) == ("refused", 1)
        assert "400" in hook["reason"]
        assert told["event"]["sending"] == {"delivered": 1, "waiting": 0, "refused": 1}
        listed = app.client.get("/deliveries/refused").json()
        assert [one["event"] for one in listed["refused"]] == [second.id, first.id]
        found = app.client.get("/events", params={"sent": "refused"}).json()["events"]
        assert len(found) == 2

        app.doors.who = Visitor.of_role("eve", Role.VIEWER)
        choice = {"event": first.id, "sink": "hook"}
        assert app.client.post("/deliveries/retry", json=choice).status_code == 403
        app.doors.who = Visitor.of_role("tom", Role.OPERATOR, ["till"])
        assert app.client.post("/deliveries/retry", json=choice).status_code == 404
        assert app.client.get("/deliveries/refused").json()["total"] == 0

        app.doors.who = Visitor.of_role("anne", Role.OPERATOR)
        again = app.client.post("/deliveries/retry", json=choice).json()
        assert (again["delivered"], again["left"]) == (0, 1)
        assert "400" in again["trouble"]
        server.status = 200
        again = app.client.post("/deliveries/retry", json=choice).json()
        assert (again["delivered"], again["left"], again["trouble"]) == (1, 0, "")
        hook = next(one for one in again["sent"] if one["sink"] == "hook")
        assert hook["state"] == "delivered"
        assert len(server.bodies) == posts + 2
        assert first.id.encode() in server.bodies[-1]
        gone = app.client.post("/deliveries/retry", json=choice)
        assert gone.status_code == 409

        done = app.client.post("/deliveries/drop", json={"event": second.id}).json()
        assert done["dropped"] == 1
        nothing = {"refused": [], "total": 0, "beyond": None}
        assert app.client.get("/deliveries/refused").json() == nothing
        assert len(server.bodies) == posts + 2
        actions = [note[1] for note in app.journal.notes]
        assert actions == ["sent again", "sent again", "dropped"]
    store.close()


def test_what_a_removed_sink_refused_can_only_be_dropped(file: Path) -> None:
    """The file does not say any more how it would be sent."""
    store = store_of(file)
    store.register_sinks(["old"])
    event = crossing(1, BEGAN_AT)
    keep(store, [event])
    store.advance("old", 1, [Undelivered("old", 1, event.record_id, "no room", 3)])
    with application(file) as app:
        again = app.client.post("/deliveries/retry", json={"event": event.id}).json()
        assert again["left"] == 1
        assert "no longer has this sink" in again["trouble"]
        done = app.client.post("/deliveries/drop", json={"event": event.id, "sink": "old"})
        assert done.json()["dropped"] == 1
    store.close()


def test_who_waits_for_the_sending_of_others_is_told_so(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a server takes: the threads that answer everybody do not all wait for it."""
    monkeypatch.setattr(sending, "_TURN_S", 0.1)
    store = store_of(file)
    store.register_sinks(["hook"])
    event = crossing(1, BEGAN_AT)
    keep(store, [event])
    store.advance("hook", 1, [Undelivered("hook", 1, event.record_id, "no room", 3)])
    with application(file) as app:
        with sending._again:
            busy = app.client.post("/deliveries/retry", json={"event": event.id})
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
        assert app.client.get("/deliveries/refused").json()["total"] == 1
    store.close()
