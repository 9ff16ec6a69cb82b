"""A Redis stream holds every event once, whoever sends it again; on a real Redis."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig
from connectors.sinks.redis_stream import RedisStreamConfig
from pipeline.core.errors import SinkError
from pipeline.core.events import to_cloudevent
from pipeline.core.sinks import Sink, SinkContext
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract
from tests.redis_server import Server

STREAM = "shop:events"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Redis that keeps what it has over a restart."""
    started = Server(options=("--appendonly", "yes", "--appendfsync", "always")).start()
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _empty(server: Server) -> None:
    server.client().flushall()


def config(server: Server, **fields: Any) -> RedisStreamConfig:
    """A sink's config as an operator writes it."""
    given = {"type": "redis_stream", "url": server.url, "stream": STREAM, **fields}
    return RedisStreamConfig.model_validate(given)


def entries(server: Server, stream: str = STREAM) -> list[dict[str, str]]:
    """What a reader of the stream gets."""
    found: Any = server.client().xrange(stream)
    return [{k.decode(): v.decode("utf-8", "replace") for k, v in one.items()} for _, one in found]


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _server(self, server: Server) -> None:
        self.server = server

    def built(self) -> Sink:
        """A sink with an empty stream."""
        return config(self.server).build(SinkContext(SITE))

    def received(self) -> list[str]:
        """The ids in the stream."""
        return [entry["ce_id"] for entry in entries(self.server)]

    def fail(self) -> None:
        """End the server, as a power cut would."""
        self.server.kill()

    def heal(self) -> None:
        """Start it again, and wait until it has read what it had."""
        self.server.start()
        self.server.wait_until_loaded()


def test_an_entry_is_a_cloudevent(server: Server) -> None:
    """With what a reader sorts by beside it."""
    sink = config(server).build(SinkContext(SITE, {"yard": "Depot"}))
    sink.send([an_event(1, camera="yard")])
    sink.close()
    (entry,) = entries(server)
    assert json.loads(entry["data"]) == to_cloudevent(an_event(1, camera="yard"), "Depot")
    assert (entry["camera"], entry["rule"]) == ("yard", "footfall")
    assert entry["ce_source"] == "/moonwatch/Depot/yard"


def test_what_comes_again_is_there_once(server: Server) -> None:
    """Also in another batch, from another process, and after a dead letter was sent again."""
    sink = config(server).build(SinkContext(SITE))
    sink.send([an_event(2), an_event(3)])
    sink.close()
    other = config(server).build(SinkContext(SITE))
    other.send([an_event(number) for number in (1, 2, 3, 4)])
    other.send(odd_events())
    other.send(odd_events())
    other.close()
    ids = [entry["ce_id"] for entry in entries(server)]
    assert ids == [
        *(an_event(number).record_id for number in (2, 3, 1, 4)),
        *(event.record_id for event in odd_events()),
    ]


def test_two_that_send_at_once(server: Server) -> None:
    """As when a lease was lost: each event is there once."""

    def life() -> None:
        sink = config(server).build(SinkContext(SITE))
        for first in range(0, 300, 10):
            sink.send([an_event(number) for number in range(first, first + 10)])
        sink.close()

    threads = [threading.Thread(target=life) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ids = [entry["ce_id"] for entry in entries(server)]
    assert sorted(ids) == sorted({an_event(number).record_id for number in range(300)})


def test_it_stays_small(server: Server) -> None:
    """Of the stream and of the ids beside it."""
    sink = config(server, keep=100).build(SinkContext(SITE))
    for first in range(0, 1000, 100):
        sink.send([an_event(number) for number in range(first, first + 100)])
    sink.close()
    assert 100 <= len(entries(server)) < 400  # Redis trims whole blocks
    assert server.client().zcard(f"{{{STREAM}}}:seen") == 1000


@pytest.mark.parametrize(("stream", "seen"), [("a", "{a}:seen"), ("{shop}:a", "{shop}:a:seen")])
def test_both_keys_lie_in_one_slot(server: Server, stream: str, seen: str) -> None:
    """So that a cluster takes the script."""
    sink = config(server, stream=stream).build(SinkContext(SITE))
    sink.send([an_event(1)])
    sink.close()
    client = server.client()
    assert sorted(key.decode() for key in client.keys("*")) == sorted([stream, seen])


def test_sentences_say_what_helps(server: Server) -> None:
    """And never the password."""
    client = server.client()
    client.set(STREAM, "a text")
    sink = config(server).build(SinkContext(SITE))
    with pytest.raises(SinkError, match="something else than a stream under shop:events") as told:
        sink.send([an_event(1)])
    assert told.value.retryable
    client.delete(STREAM)
    sink.send([an_event(1)])
    sink.close()
    client.acl_setuser("reader", enabled=True, passwords=["+s3cret"], categories=["+@read"])
    for login, words in (
        ({"username": "reader", "password": "s3cret"}, "does not allow it"),
        ({"username": "nobody", "password": "s3cret"}, "check `username`"),
    ):
        locked = config(server, **login).build(SinkContext(SITE))
        with pytest.raises(SinkError, match=words) as said:
            locked.send([an_event(2)])
        assert "s3cret" not in str(said.value)
        locked.close()
    client.config_set("requirepass", "s3cret")
    try:
        # Of one who has not logged in, Redis refuses a long text in other words than a short one.
        for event in (an_event(2), replace(an_event(2), data={"much": "x" * 20_000})):
            stranger = config(server).build(SinkContext(SITE))
            with pytest.raises(SinkError, match="check `username`") as said:
                stranger.send([event])
            assert said.value.retryable
            stranger.close()
    finally:
        client.config_set("requirepass", "")


def test_no_memory_is_waited_for(server: Server) -> None:
    """Nothing of a load is added then, and all of it later."""
    client = server.client()
    sink = config(server).build(SinkContext(SITE))
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(SinkError, match="has no memory left") as told:
            sink.send([an_event(1), an_event(2)])
        assert told.value.retryable
    finally:
        client.config_set("maxmemory", 0)
    sink.send([an_event(1), an_event(2)])
    sink.close()
    assert len(entries(server)) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "http://h"}, "is not a Redis address"),
        ({"stream": ""}, "at least 1"),
        ({"keep": 0}, "greater than or equal to 1"),
        ({"ca": "ca.pem"}, "certificates but no TLS"),
    ],
)
def test_bad_settings_are_named(fields: dict[str, Any], words: str) -> None:
    """With what is possible instead."""
    given = {"type": "redis_stream", "url": "redis://h", **fields}
    with pytest.raises(ValidationError) as told:
        TypeAdapter(SinkConfig).validate_python(given)
    assert words in str(told.value)
