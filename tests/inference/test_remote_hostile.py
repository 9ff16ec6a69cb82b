"""Servers that mean ill, or are broken: each is one failed answer with a sentence, in time."""

import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.answers import Failed, Text
from pipeline.core.engines import EngineRequest
from pipeline.core.errors import EngineError
from pipeline.inference.engines.remote import RemoteConfig
from tests.inference.elsewhere import Reply, elsewhere, said, wire
from tests.inference.test_remote import BOX, GREY, PEOPLE, SIGN, ask

KEY = "sk-do-not-show-me-1234"
# Far below the deadline of a frame, far above what an answer takes here.
TIMEOUT_S = 1.5


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """What an engine started ends with it."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + 5.0
    while left := {t for t in threading.enumerate() if t not in before and t.is_alive()}:
        assert time.monotonic() < until, f"threads are left: {left}"
        next(iter(left)).join(0.1)


def failure(url: str, *, task: Any = PEOPLE, **more: Any) -> str:
    """Why one question was not answered; it must not take much longer than a request may."""
    settings = {
        "type": "remote",
        "api": "moondream",
        "url": url,
        "key": KEY,
        "timeout": f"{TIMEOUT_S}s",
        "retries": 0,
        **more,
    }
    engine = RemoteConfig.model_validate(settings).build()
    try:
        began = time.monotonic()
        (answer,) = engine.submit(EngineRequest(GREY, (task,), 30.0)).result(30.0)
        assert time.monotonic() - began < TIMEOUT_S + 3.0
    finally:
        engine.close()
    assert isinstance(answer, Failed), answer
    assert answer.engine == "vlm"
    host = url.partition("://")[2].partition("/")[0]
    assert host in answer.reason
    assert KEY not in answer.reason
    return answer.reason.replace(host, "HOST")


def objects(*found: Any, **more: Any) -> Reply:
    """An answer of detect."""
    return Reply({"objects": list(found), **more})


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"<html>Sign in</html>"), "the answer of HOST is no JSON; is its address right?"),
        (Reply(b'{"objects": [{"x_min": 0.'), "the answer of HOST is no JSON"),
        (Reply(b"[" * 100_000), "the answer of HOST is no JSON"),
        (Reply(b'{"a": ' + b"9" * 10_000 + b"}"), "the answer of HOST is no JSON"),
        (Reply(b"\xff\xfe\x00"), "the answer of HOST is no JSON"),
        (Reply(b""), "the answer of HOST is no JSON"),
        (Reply([1, 2]), "the answer of HOST is no JSON object"),
        (Reply({"error": "the model is not loaded"}), "HOST answers: the model is not loaded"),
        (Reply({"error": {"message": f"bad key {KEY}"}}), "HOST answers: bad key ***"),
        (Reply({"error": {"code": 7}}), "HOST answers: 7"),
        (Reply({"error": "a\nb\x1b[31m"}), "HOST answers: a b�[31m"),
        (Reply({}), "HOST answered no list of `objects`"),
        (Reply({"objects": {"x_min": 1}}), "HOST answered no list of `objects`"),
        (Reply({"objects": None}), "HOST answered no list of `objects`"),
        (objects("box"), "HOST answered 'box' instead of x_min, y_min, x_max, y_max"),
        (objects({**BOX, "x_min": "0.1"}), "HOST answered {'x_min': '0.1'"),
        (objects({**BOX, "x_min": True}), "HOST answered {'x_min': True"),
        (objects({**BOX, "x_min": float("nan")}), "HOST answered {'x_min': nan"),
        (objects({**BOX, "x_max": float("inf")}), "HOST answered {'x_min': 0.1"),
        (objects({**BOX, "x_max": 10**400}), "HOST answered {'x_min': 0.1"),
        (objects({**BOX, "x_max": 640}), "HOST answered a place outside the picture"),
        (objects({**BOX, "x_max": -0.4}), "HOST answered a box that ends before it begins"),
        (objects(*[BOX] * 10_000), "HOST answered 10000 objects, of which 3 were asked for"),
        (objects(BOX, scores=[]), "HOST answered 1 places with [] as their scores"),
        (objects(BOX, scores=[7]), "HOST answered scores that are not 0 to 1"),
        (objects(BOX, scores="high"), "HOST answered 1 places with 'high'"),
        (Reply(b"x" * 5_000_000), "HOST answered with more than 4 MB"),
        (Reply({}, 302, {"location": "http://elsewhere/"}), "HOST answers 302, a redirect, which"),
        (Reply({}, 307, {"location": "file:///etc/passwd"}), "write the final address into `url`"),
        (Reply(b"", 500), "HOST cannot answer now (500)"),
        (Reply(b"\x00" * 1000, 502), "HOST cannot answer now (502)"),
        (Reply({"error": {"message": f"no {KEY}"}}, 401), "HOST refuses the key; see `key` or "),
        (Reply({"error": {"message": "x" * 9999}}, 503), "HOST cannot answer now (503: xxx"),
        (Reply({"detail": "Not Found"}, 404), "check --probe` (404: Not Found)"),
        (
            Reply({"error": {"message": "pay", "code": "insufficient_quota"}}, 429),
            "HOST wants to be paid (429: pay; insufficient_quota)",
        ),
    ],
)
def test_an_answer_that_is_none(reply: Reply, words: str) -> None:
    """Whatever comes: it is not believed, not repeated at length, and not taken for nothing."""
    with elsewhere(lambda _: reply) as server:
        reason = failure(server.url)
    assert words in reason
    assert len(reason) < 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no `choices` with a message"),
        ({"choices": []}, "no `choices` with a message"),
        ({"choices": [{"message": "hello"}]}, "no `choices` with a message"),
        ({"choices": [{"message": {"content": None}}]}, "None instead of words"),
        ({"choices": [{"message": {"content": [{"text": "x"}]}}]}, "instead of words"),
        ({"choices": [{"message": {"content": 7}}]}, "7 instead of words"),
        ({"choices": [{"message": {"content": "", "refusal": "I cannot"}}]}, "refuses to answer"),
        ({"choices": [{"message": {"content": "x"}, "logprobs": 7}]}, "no `choices` with"),
    ],
)
def test_a_chat_that_is_none(body: Any, words: str) -> None:
    """The same for chat completions."""
    with elsewhere(lambda _: Reply(body)) as server:
        assert words in failure(server.url, api="openai", model="m", task=SIGN)


def test_a_bomb_is_not_unpacked() -> None:
    """Nobody asked for a packed answer."""
    bomb = Reply(gzip.compress(b"0" * 50_000_000), headers={"content-encoding": "gzip"})
    with elsewhere(lambda _: bomb) as server:
        assert failure(server.url) == "HOST packs its answers (gzip), unasked"


def test_no_redirect_is_followed() -> None:
    """Neither the key nor the picture goes where somebody else says."""
    with elsewhere(lambda _: objects()) as other:
        moved = Reply({}, 308, {"location": f"{other.url}/detect"})
        with elsewhere(lambda _: moved) as server:
            failure(server.url)
        assert other.seen == []


def hangs(connection: socket.socket, over: threading.Event) -> None:
    """Say nothing."""
    over.wait(20.0)


def trickles(connection: socket.socket, over: threading.Event) -> None:
    """Say a little, again and again, with never an end to it."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b" ")


def stays_silent_in_between(connection: socket.socket, over: threading.Event) -> None:
    """Begin an answer."""
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"objects"')
    over.wait(20.0)


def streams(connection: socket.socket, over: threading.Event) -> None:
    """Say more and more."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def many_headers(connection: socket.socket, over: threading.Event) -> None:
    """Never come to the answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        connection.sendall(b"x-filler: " + b"y" * 1000 + b"\r\n")


def breaks_off(connection: socket.socket, over: threading.Event) -> None:
    """End in the middle of an answer."""
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"objects"')


def hangs_up(connection: socket.socket, over: threading.Event) -> None:
    """Say nothing, and go."""


def is_no_server(connection: socket.socket, over: threading.Event) -> None:
    """Speak something else."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (hangs, "HOST did not answer within 1.5 s"),
        (trickles, "HOST did not answer within 1.5 s"),
        (stays_silent_in_between, "HOST did not answer within 1.5 s"),
        (streams, "HOST answered with more than 4 MB"),
        (many_headers, "HOST broke the connection off"),
        (breaks_off, "HOST broke the connection off"),
        (hangs_up, "HOST broke the connection off"),
        (is_no_server, "HOST "),  # cut off, or reset before the request had left
    ],
)
def test_a_connection_that_leads_to_nothing(
    talk: Callable[[socket.socket, threading.Event], None], words: str
) -> None:
    """In the time that a request has, and with a bound on what is read."""
    with wire(talk) as url:
        assert words in failure(url)


def test_nobody_is_there() -> None:
    """A port that nothing listens at, a name that is none, an address that leads nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/v1") == "HOST cannot be reached: Connection refused"
    assert "HOST cannot be reached" in failure("http://gpu.invalid/v1", key=None)


def test_a_dead_server_holds_no_frame_for_long() -> None:
    """After three that waited, the next are failed at once."""
    with wire(hangs) as url:
        settings = {"type": "remote", "api": "moondream", "url": url, "timeout": "0.2s"}
        engine = RemoteConfig.model_validate(settings).build()
        for _ in range(3):
            ask(engine, PEOPLE)
        began = time.monotonic()
        for _ in range(20):
            (answer,) = ask(engine, PEOPLE)
        assert time.monotonic() - began < 1.0
        engine.close()
    assert isinstance(answer, Failed)
    assert "did not answer within 0.2 s; it is asked again in" in answer.reason


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody trusts, for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    wanted = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gpu -addext"
    names = "subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *wanted.split(), names, *files], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def served_by_tls(certificate: tuple[Path, Path]) -> AbstractContextManager[Any]:
    """A server with the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return elsewhere(lambda _: said("x"), context)


def test_a_certificate_must_be_trusted(certificate: tuple[Path, Path]) -> None:
    """By the authorities of the machine, or by those that the file names."""
    with served_by_tls(certificate) as server:
        reason = failure(server.url)
        assert reason == "HOST has a certificate that is not trusted: self-signed certificate"
        assert server.seen == []
        settings = {"api": "openai", "model": "m", "url": server.url, "ca": certificate[0]}
        engine = RemoteConfig.model_validate(settings).build()
        assert ask(engine, SIGN) == (Text("vlm", "x"),)
        engine.close()


def test_http_where_https_is_meant(certificate: tuple[Path, Path]) -> None:
    """And the other way round."""
    with served_by_tls(certificate) as server:
        failure(server.url.replace("https", "http"))
    with elsewhere(lambda _: said("x")) as server:
        reason = failure(server.url.replace("http", "https"))
    assert reason == "HOST does not speak TLS as it should; is it http:// that is meant?"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    """The engine does not start without them."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = {"api": "moondream", "url": "https://gpu/v1", "ca": file}
    with pytest.raises(EngineError, match=r"the file of `ca`, .*ca.pem, cannot be used: "):
        RemoteConfig.model_validate(settings).build()


def test_the_environment_sends_nobody_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file does."""
    with elsewhere(lambda _: said("through")) as proxy, elsewhere(lambda _: said("x")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.place}")
        settings = {"api": "openai", "model": "m", "url": server.url}
        engine = RemoteConfig.model_validate(settings).build()
        assert ask(engine, SIGN) == (Text("vlm", "x"),)
        engine.close()
        assert proxy.seen == []
        settings["proxy"] = f"http://{proxy.place}"
        engine = RemoteConfig.model_validate(settings).build()
        assert ask(engine, SIGN) == (Text("vlm", "through"),)
        engine.close()


def test_nothing_that_is_shown_holds_the_key() -> None:
    """Not the config, not its identity, not what it is written as."""
    settings = {"api": "moondream", "url": "https://gpu/v1", "key": KEY}
    config = RemoteConfig.model_validate(settings)
    shown = [repr(config), str(config.identity()), json.dumps(config.model_dump(mode="json"))]
    assert not any(KEY in text for text in shown)
