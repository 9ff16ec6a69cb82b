"""The frame of the server on a real port: ids, keys, bounds for bodies and connections, its end."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
from fastapi import Request
from PIL import Image

from connectors.stores import StoreConfig
from pipeline.core.accounts import KeyLimits, KeyScope
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, EngineError
from pipeline.deployment.loader import parse
from pipeline.inference.callers import Call, Callers, CallFacts, CallTicket, OverloadedError
from pipeline.inference.engines._moondream import MoondreamEngine
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.moondream import QueryRequest
from pipeline.runtime.stages.inference import InferenceStage
from pipeline.server.accounts import Accounts
from pipeline.server.app import create_app
from pipeline.server.asking import CallerVisit, Wish
from pipeline.server.config import ServeConfig
from pipeline.server.keys import make_key
from pipeline.server.loading import LateCallers
from pipeline.server.run import ModelServer, open_callers, settings_of
from pipeline.server.stage import ServingStage
from pipeline.server.streaming import event
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import ROOT

PATIENCE_S = patience(20)


@dataclass(eq=False)
class AtWork:
    """A server that runs, and its keys."""

    server: ModelServer
    engine: MoondreamEngine
    key: str
    metrics_key: str
    metrics: Metrics

    @property
    def place(self) -> tuple[str, int]:
        """Its host and port."""
        url = httpx.URL(self.server.address)
        assert url.port is not None
        return url.host, url.port

    def client(self, key: str | None = None) -> httpx.Client:
        """A client with a key, by default the one that opens the model."""
        return httpx.Client(
            base_url=self.server.address,
            headers={"authorization": f"Bearer {key or self.key}"},
            timeout=PATIENCE_S,
            trust_env=False,
        )


def at_work(folder: Path, engine: MoondreamEngine, **settings: object) -> AtWork:
    """Start a server on a free port."""
    clock, metrics = SystemClock(), Metrics()
    config = ServeConfig.model_validate({"listen": "127.0.0.1:0", **settings})
    store = StoreConfig.model_validate({"url": f"sqlite:///{folder / 'accounts.db'}"})
    accounts = Accounts(store, clock, spool=folder / "spool")
    keys = []
    for name, scope in (("tester", KeyScope.SERVE), ("monitor", KeyScope.METRICS)):
        secret, record = make_key(name, clock.now(), scopes=[scope], limits=KeyLimits())
        assert accounts.store.accounts.add_key(record)
        keys.append(secret.reveal())
    accounts.gate.follow()
    callers = open_callers(engine, "vlm", config)
    server = ModelServer(callers, accounts, config, metrics, clock)
    server.start()
    wait_until(lambda: callers.ready is None)
    return AtWork(server, engine, keys[0], keys[1], metrics)


@pytest.fixture
def engine() -> Iterator[MoondreamEngine]:
    """The golden model."""
    golden = str(ROOT / "tests" / "golden")
    made = MoondreamConfig(model=golden, device="cpu", max_crops=1, max_batch=2).build()
    yield made
    made.close()


@pytest.fixture
def served(tmp_path: Path, engine: MoondreamEngine) -> Iterator[AtWork]:
    """A server with small bounds."""
    found = at_work(
        tmp_path,
        engine,
        body_limit=200_000,
        body_timeout="500ms",
        connections=8,
        cors=["https://a"],
    )
    yield found
    found.server.stop(5.0)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes a connection without a word; waits for it."""
    connection.settimeout(PATIENCE_S)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


QUESTION = {"question": "What is this?", "settings": {"max_tokens": 3}}


def test_every_path_but_health_wants_a_key(served: AtWork) -> None:
    """Also those that are not there, and those of operation; metrics want a scope of their own."""
    with httpx.Client(base_url=served.server.address, trust_env=False) as stranger:
        assert stranger.get("/health").json() == {"status": "ok", "server": "moonwatch"}
        for path in ("/v1/models", "/metrics", "/version", "/openapi.json", "/nowhere"):
            refused = stranger.get(path)
            assert refused.status_code == 401, path
            assert refused.json()["error"]["type"] == "authentication_error"
    with served.client() as client, served.client(served.metrics_key) as monitor:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/metrics").status_code == 403
        assert "moonwatch_server_waiting" in monitor.get("/metrics").text
        assert monitor.get("/v1/models").status_code == 403
        assert client.get("/version").json()["model"]["release"] == "2025-06-21"


def test_a_request_has_an_id_and_errors_have_one_shape(served: AtWork) -> None:
    """A sane id of the caller is taken over; any other is replaced."""
    with served.client() as client:
        own = client.post("/v1/query", json=QUESTION, headers={"x-request-id": "shop-17"})
        assert own.status_code == 200
        assert own.headers["x-request-id"] == "shop-17"
        assert int(own.headers["openai-processing-ms"]) >= 0
        odd = client.get("/v1/models", headers={"x-request-id": "a b<script>"})
        assert odd.headers["x-request-id"].startswith("req_")
        for method, path, status in (
            ("GET", "/v1/nothing", 404),
            ("DELETE", "/v1/query", 405),
            ("POST", "/v1/query", 400),
        ):
            wrong = client.request(
                method,
                path,
                content=b"{" if method == "POST" else None,
                headers={"content-type": "application/json"},
            )
            assert wrong.status_code == status
            assert set(wrong.json()["error"]) == {"message", "type", "param", "code"}
        wrong = client.delete("/v1/query")
        assert wrong.json()["error"]["message"] == "DELETE /v1/query is not possible; use POST"


def test_requests_are_counted_by_skill_key_and_status(served: AtWork) -> None:
    """Tokens, pictures and seconds of what was answered are in the metrics."""
    with served.client() as client:
        assert client.post("/v1/query", json=QUESTION).status_code == 200
    wait_until(
        lambda: (
            served.metrics.value(
                "moonwatch_server_requests_total", skill="query", key="tester", status="200"
            )
            == 1
        )
    )
    value = served.metrics.value
    assert value("moonwatch_server_tokens_total", key="tester", kind="text") > 0
    assert 0 < value("moonwatch_server_tokens_total", key="tester", kind="answer") <= 3
    assert value("moonwatch_server_first_token_seconds_count", skill="query") == 1


def test_a_large_body_is_refused_before_it_is_read(served: AtWork) -> None:
    """By what it says of itself, or when it turns out; the client reads why in both cases."""
    large = b" " * 5_000_000
    with served.client() as client:
        said = client.post("/v1/query", content=large)
        assert said.status_code == 413
        assert said.json()["error"]["code"] == "request_too_large"
        assert said.headers["connection"] == "close"
        chunks = (large[:100_000] for _ in range(50))
        assert client.post("/v1/query", content=chunks).status_code == 413
        assert client.post("/v1/query", json=QUESTION).status_code == 200


def test_a_stranger_with_a_large_body_is_refused_at_once(served: AtWork) -> None:
    """Nothing they send is kept, and they read why."""
    with httpx.Client(base_url=served.server.address, trust_env=False) as stranger:
        refused = stranger.post("/v1/query", content=b" " * 150_000)
    assert refused.status_code == 401


def test_a_body_that_does_not_arrive_is_not_waited_for(served: AtWork) -> None:
    """One byte every now and then does not keep a request alive."""
    head = (
        "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {served.key}\r\ncontent-length: 1000\r\n\r\n{{"
    )
    with socket.create_connection(served.place, timeout=PATIENCE_S) as slow:
        slow.sendall(head.encode())
        answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer


def test_silent_connections_give_way_to_new_ones(served: AtWork) -> None:
    """Twenty that send no headers do not keep a caller out, whatever they drip."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(closing(socket.create_connection(served.place))) for _ in range(20)
        ]
        for one in silent[-4:]:
            one.sendall(b"GET / HT")
        with served.client() as client:
            assert client.get("/v1/models").status_code == 200
        assert is_closed(silent[0])


def test_headers_have_a_size_and_a_deadline(
    served: AtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large ones are refused; those that do not come to an end are cut off."""
    with socket.create_connection(served.place, timeout=PATIENCE_S) as large:
        large.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000)
        try:
            answer = large.recv(65536)
        except ConnectionResetError:
            answer = b""
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    bounds = served.server.bounds
    monkeypatch.setattr(bounds, "headers_s", 0.2)
    with socket.create_connection(served.place, timeout=PATIENCE_S) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\n")
        assert is_closed(slow)


def test_when_all_connections_are_busy_the_newest_is_refused(served: AtWork) -> None:
    """Those with a request in progress keep it."""
    head = (
        f"POST /v1/query HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\n"
        "content-length: 1000\r\n\r\n"
    )
    with ExitStack() as stack:
        busy = [
            stack.enter_context(closing(socket.create_connection(served.place, PATIENCE_S)))
            for _ in range(8)
        ]
        for one in busy:
            one.sendall(head.encode())
        wait_until(lambda: served.server.state.work.running == 8)
        with httpx.Client(base_url=served.server.address, trust_env=False) as late:
            refused = late.get("/health")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "overloaded"


def test_answers_are_sent_at_once(served: AtWork) -> None:
    """No part of them waits for the client to acknowledge another part."""
    with closing(socket.create_connection(served.place)):
        wait_until(lambda: bool(served.server.bounds.idle))
        (protocol,) = served.server.bounds.idle
        connection = protocol.transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_body_of_a_stranger_is_read(served: AtWork) -> None:
    """Not even where everybody may ask how the server is: it would take the place of others."""
    with httpx.Client(base_url=served.server.address, trust_env=False) as stranger:
        for path in ("/health", "/healthz", "/readyz"):
            refused = stranger.post(path, content=b"x" * 1000)
            assert refused.status_code == 401, path


@pytest.mark.parametrize("framing", ["content-length: 190000", "transfer-encoding: chunked"])
def test_slow_bodies_of_a_key_leave_room_for_others(
    tmp_path: Path, engine: MoondreamEngine, framing: str
) -> None:
    """Also where a small length is said of a body that comes in chunks of any number."""
    served = at_work(tmp_path, engine, body_limit=200_000)
    secret, record = make_key("other", 0.0, limits=KeyLimits())
    assert served.server._accounts.store.accounts.add_key(record)
    served.server.state.gate.follow()
    head = (
        f"POST /v1/query HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.key}\r\n"
        f"content-type: application/json\r\n{framing}\r\n"
    )
    if "chunked" in framing:
        head += "content-length: 1\r\n"
    with ExitStack() as stack:
        for _ in range(3):
            slow = stack.enter_context(closing(socket.create_connection(served.place, PATIENCE_S)))
            slow.sendall(f"{head}\r\n".encode())
        wait_until(lambda: served.server.state.work.running == 3)
        # So large that a fourth one does not fit beside them.
        question = {**QUESTION, "padding": "x" * 50_000}
        with served.client() as own, served.client(secret.reveal()) as other:
            refused = own.post("/v1/query", json=question)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "overloaded"
            assert other.post("/v1/query", json=question).status_code == 200
    served.server.stop(5.0)


def test_pages_of_named_origins_may_ask(served: AtWork) -> None:
    """And no others."""
    asking = {"access-control-request-method": "POST"}
    with httpx.Client(base_url=served.server.address, trust_env=False) as browser:
        allowed = browser.options("/v1/query", headers={"origin": "https://a", **asking})
        assert allowed.headers["access-control-allow-origin"] == "https://a"
        # What OpenAI's client for browsers sends besides.
        more = {"access-control-request-headers": "authorization,x-stainless-lang"}
        asked = browser.options("/v1/query", headers={"origin": "https://a", **asking, **more})
        assert asked.status_code == 200
        assert "x-stainless-lang" in asked.headers["access-control-allow-headers"]
        other = browser.options("/v1/query", headers={"origin": "https://b", **asking})
        assert "access-control-allow-origin" not in other.headers


def test_an_event_is_one_line_for_every_client() -> None:
    """Whatever the model says, also where a client splits text as Python does."""
    said = "a\u2028b\u0085c\nd\x1ce é"
    lines = event({"chunk": said}).splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0].removeprefix("data: ")) == {"chunk": said}


def test_why_a_model_cannot_be_loaded_is_not_for_strangers() -> None:
    """It names folders; /health says that there is none, and the log why."""

    def load() -> Callers:
        raise EngineError("/srv/models/shop holds no model")

    late = LateCallers(load)
    late.start()
    wait_until(lambda: late.failure is not None)
    assert late.failure == "the model cannot be loaded: /srv/models/shop holds no model"
    assert late.ready == "the model cannot be loaded; the log says why"
    with pytest.raises(OverloadedError, match="the log says why"):
        late.reserve("shop")


def test_no_piece_is_lost_that_comes_while_others_are_sent(served: AtWork) -> None:
    """The model writes on while a client reads."""
    ticket, pieces = CallTicket(Call(QueryRequest("What?"), None)), ["a", "b"]
    ticket.grow(pieces, CallFacts())

    async def read() -> list[str]:
        app = create_app(served.server.state)
        visit = CallerVisit(Request({"type": "http", "app": app, "headers": [], "state": {}}))
        visit.tickets.append(ticket)
        visit._wish = Wish("query", QueryRequest("What?"))
        stream = visit.pieces()
        first = await anext(stream)
        pieces.append("c")
        ticket.fail("model", "it ends")
        visit._tell()
        second, third = await anext(stream), await anext(stream)
        return [news[1] for news in (first, second, third) if news is not None]

    assert asyncio.run(read()) == ["a", "b", "c"]


def long_caption() -> dict[str, object]:
    """A request for a stream of a hundred pieces."""
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    png = BytesIO()
    Image.fromarray(noise).save(png, "PNG")
    return {"image_url": base64.b64encode(png.getvalue()).decode(), "stream": True}


def held(engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Let the model take a few steps, and as many more as are released."""
    assert engine._model is not None
    batcher, steps = engine._model.engine, threading.Semaphore(45)
    step = batcher.step

    def patient() -> None:
        assert steps.acquire(timeout=PATIENCE_S)
        step()

    monkeypatch.setattr(batcher, "step", patient)
    return steps


def test_a_stopped_server_finishes_what_runs(
    tmp_path: Path, engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream goes on to its end; a new request meanwhile is refused and told to come again."""
    served = at_work(tmp_path, engine)
    steps = held(engine, monkeypatch)
    with served.client() as client, served.client() as other:
        assert other.get("/v1/models").status_code == 200
        with client.stream("POST", "/v1/caption", json=long_caption()) as answer:
            lines = answer.iter_lines()
            first = next(line for line in lines if line.startswith("data:"))
            ending = threading.Thread(target=served.server.stop, args=(PATIENCE_S,))
            ending.start()
            wait_until(lambda: served.server.state.work.is_ending)
            refused = other.get("/v1/models")
            assert refused.status_code == 503
            assert refused.headers["connection"] == "close"
            assert refused.headers["retry-after"]
            with httpx.Client(base_url=served.server.address, trust_env=False) as probe:
                assert probe.get("/health").status_code == 503
            steps.release(10_000)
            rest = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
        ending.join(PATIENCE_S)
        assert not ending.is_alive()
    assert not json.loads(first[5:])["completed"]
    assert rest[-1]["completed"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(served.place)


class NoCameras:
    """The part of a worker that has nothing to do with callers."""

    stopped_within_s: float | None = None

    def stop(self, within_s: float) -> None:
        """Note that it was stopped."""
        self.stopped_within_s = within_s


def test_a_worker_that_is_stopped_lets_callers_have_their_time(
    tmp_path: Path, engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is `finish_within`, whatever cameras have; these are stopped after them."""
    served, cameras = at_work(tmp_path, engine), NoCameras()
    stage = ServingStage(
        cast(InferenceStage, cameras), served.server, "vlm", served.server.state.settings
    )
    steps = held(engine, monkeypatch)
    with (
        served.client() as client,
        client.stream("POST", "/v1/caption", json=long_caption()) as answer,
    ):
        lines = answer.iter_lines()
        next(line for line in lines if line.startswith("data:"))
        ending = threading.Thread(target=stage.stop, args=(0.0,))
        ending.start()
        wait_until(lambda: served.server.state.work.is_ending)
        # What had no time would be cut off meanwhile.
        ending.join(0.3)
        assert ending.is_alive()
        assert cameras.stopped_within_s is None
        steps.release(10_000)
        rest = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
    ending.join(PATIENCE_S)
    assert rest[-1]["completed"]
    assert cameras.stopped_within_s == 0.0


def test_what_does_not_end_in_time_is_cut_off(
    tmp_path: Path, engine: MoondreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline of the end holds, and the row is freed."""
    served = at_work(tmp_path, engine)
    steps = held(engine, monkeypatch)
    with (
        served.client() as client,
        client.stream("POST", "/v1/caption", json=long_caption()) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        began = time.monotonic()
        served.server.stop(0.1)
        assert time.monotonic() - began < PATIENCE_S
        with pytest.raises(httpx.HTTPError):
            list(lines)
        steps.release(10_000)
    assert engine._model is not None
    batcher = engine._model.engine
    wait_until(lambda: batcher.in_use().rows == 0)


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path, served: AtWork) -> None:
    """Two servers on one port: the second one ends, and the first goes on."""
    host, port = served.place
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="another process uses it"):
        at_work(tmp_path / "other", served.engine, listen=f"{host}:{port}")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.4", "127.0.0.1.example.com"])
def test_without_keys_only_this_machine_is_served(host: str) -> None:
    """Everybody could use the model otherwise."""
    text = "version: 1\ncameras: {a: {source: {type: file, path: a}}}\n"
    deployment = parse(text, [f"server.listen='{host}:8080'"]).deployment
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        settings_of(deployment, None, no_auth=True)
    assert settings_of(deployment, "127.0.0.1:1", no_auth=True).address == ("127.0.0.1", 1)
