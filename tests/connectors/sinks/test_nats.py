"""A stream of NATS holds every event once, whatever comes again; on a real nats-server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig
from connectors.sinks.nats import NatsConfig
from pipeline.core.errors import SinkError
from pipeline.core.events import to_cloudevent
from pipeline.core.sinks import Sink, SinkContext
from tests.connectors.sinks.nats_server import NatsServer
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract

STREAM = "events"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """One with an empty store."""
    started = NatsServer(tmp_path / "nats")
    yield started
    started.kill()


def sink_to(server: NatsServer, **fields: Any) -> Sink:
    """A sink as an operator writes it."""
    given = {"type": "nats", "url": server.url, "subject": "shop", "stream": STREAM, **fields}
    return NatsConfig.model_validate(given).build(SinkContext(SITE, {"yard": "Depot"}))


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _server(self, server: NatsServer) -> None:
        self.server = server

    def built(self) -> Sink:
        """A sink whose stream is not there yet."""
        return sink_to(self.server)

    def received(self) -> list[str]:
        """The ids in the stream."""
        from nats.js.errors import NotFoundError

        try:
            return [json.loads(content)["id"] for _, _, content in self.server.messages()]
        except NotFoundError:
            return []

    def fail(self) -> None:
        """The server is gone."""
        self.server.kill()

    def heal(self) -> None:
        """It is back."""
        self.server.start()


def test_a_message_is_a_cloudevent(server: NatsServer) -> None:
    """Under the camera and the rule; names that are no subjects are made ones."""
    sink = sink_to(server)
    sink.send([an_event(1, camera="yard"), an_event(2, camera="a.b *>", rule="ü")])
    sink.close()
    first, second = server.messages()
    assert first[0] == "shop.yard.footfall"
    assert first[1]["Nats-Msg-Id"] == an_event(1, camera="yard").record_id
    assert json.loads(first[2]) == to_cloudevent(an_event(1, camera="yard"), "Depot")
    assert second[0] == "shop.a_b___._"


def test_what_comes_again_is_there_once(server: NatsServer) -> None:
    """In another batch, from another process, and after the server was killed."""
    sink = sink_to(server)
    sink.send([an_event(2), an_event(3)])
    sink.close()
    server.kill()
    server.start()
    other = sink_to(server)
    other.send([an_event(number) for number in (1, 2, 3, 4)])
    other.send(odd_events())
    other.send(odd_events())
    other.close()
    ids = [json.loads(content)["id"] for _, _, content in server.messages()]
    assert ids == [
        *(an_event(number).record_id for number in (2, 3, 1, 4)),
        *(event.record_id for event in odd_events()),
    ]


def test_no_stream_is_said(server: NatsServer) -> None:
    """A message that nobody keeps would be lost: the sink waits for a stream."""
    sink = sink_to(server, stream=None)
    with pytest.raises(SinkError, match=r"no stream that takes shop\.>") as told:
        sink.send([an_event(1)])
    assert told.value.retryable
    maker = sink_to(server)
    maker.send([an_event(0)])
    maker.close()
    sink.send([an_event(1)])
    sink.close()
    assert len(server.messages()) == 2


def test_a_login_is_needed(tmp_path: Path) -> None:
    """It is said, without the password; with the right one it works."""
    server = NatsServer(tmp_path / "locked", "--user", "shop", "--pass", "s3cret")
    try:
        for login in ({}, {"username": "shop", "password": "wr0ng"}):
            sink = sink_to(server, **login)
            with pytest.raises(SinkError, match="check `username` and `password`") as told:
                sink.send([an_event(1)])
            assert "wr0ng" not in str(told.value)
            sink.close()
        sink = sink_to(server, username="shop", password="s3cret")
        sink.send([an_event(1)])
        sink.close()
        assert len(server.messages(user="shop", password="s3cret")) == 1
    finally:
        server.kill()


def test_nobody_is_there() -> None:
    """It is said within the time."""
    given = {"type": "nats", "url": "nats://127.0.0.1:1", "timeout": "1s"}
    sink = NatsConfig.model_validate(given).build(SinkContext(SITE))
    with pytest.raises(SinkError, match=r"nats at nats://127\.0\.0\.1:1 cannot be reached") as told:
        sink.send([an_event(1)])
    assert told.value.retryable
    sink.close()
    sink.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": []}, "at least 1"),
        ({"url": "http://h"}, "an address of NATS"),
        ({"subject": "a b"}, "is not a subject"),
        ({"subject": "a.>"}, "is not a subject"),
        ({"stream": "a.b"}, "is not a stream"),
        ({"username": "shop"}, "belong together"),
        ({"username": "a", "password": "b", "token": "c"}, "not with several"),
    ],
)
def test_bad_settings_are_named(fields: dict[str, Any], words: str) -> None:
    """With what is possible instead."""
    given = {"type": "nats", "url": "nats://h:4222", **fields}
    with pytest.raises(ValidationError) as told:
        TypeAdapter(SinkConfig).validate_python(given)
    assert words in str(told.value)
