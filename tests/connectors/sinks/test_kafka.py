"""Kafka gets every event as a CloudEvent, in order for each camera; on librdkafka's own cluster."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig
from connectors.sinks.kafka import KafkaConfig
from pipeline.core.errors import SinkError
from pipeline.core.events import to_cloudevent
from pipeline.core.sinks import Sink, SinkContext
from tests.connectors.sinks.kafka_cluster import KafkaCluster
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract

TOPIC = "shop.events"


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    """An empty one."""
    started = KafkaCluster()
    yield started
    started.close()


def sink_to(address: str, **fields: Any) -> Sink:
    """A sink as an operator writes it."""
    given = {"type": "kafka", "brokers": address, "topic": TOPIC, **fields}
    return KafkaConfig.model_validate(given).build(SinkContext(SITE, {"yard": "Depot"}))


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster
        self.failing = False

    def built(self) -> Sink:
        """A sink with an empty topic."""
        return sink_to(self.cluster.address, timeout="6s")

    def received(self) -> list[str]:
        """The ids in the topic; what is sent again after a hang may be there twice."""
        ids = [headers["ce_id"] for _, _, headers in self.cluster.records(TOPIC)]
        # Cameras lie in partitions of their own, and within each is the order.
        order = {event.record_id: number for number, event in enumerate(odd_events())}
        return sorted(dict.fromkeys(ids), key=lambda one: order.get(one, 0))

    def fail(self) -> None:
        """The broker hangs."""
        self.cluster.hang()

    def heal(self) -> None:
        """It answers again."""
        self.cluster.go_on()


def test_a_record_is_a_cloudevent_in_binary_mode(cluster: KafkaCluster) -> None:
    """The headers have its attributes, the value its data, and the key is the camera."""
    sink = sink_to(cluster.address)
    sink.send([an_event(1, camera="yard")])
    sink.close()
    ((key, value, headers),) = cluster.records(TOPIC)
    wanted = to_cloudevent(an_event(1, camera="yard"), "Depot")
    assert key == b"yard"
    assert json.loads(value) == wanted["data"]
    assert headers == {
        **{f"ce_{name}": wanted[name] for name in ("specversion", "id", "source", "type", "time")},
        "ce_subject": "footfall",
        "content-type": "application/json",
    }


def test_each_camera_keeps_its_order(cluster: KafkaCluster) -> None:
    """Over many loads, and only once where nothing failed."""
    sink = sink_to(cluster.address)
    for first in range(0, 600, 100):
        sink.send(
            [
                an_event(number, camera=f"camera-{number % 7}")
                for number in range(first, first + 100)
            ]
        )
    sink.close()
    times: dict[bytes | None, list[str]] = {}
    for key, _, headers in cluster.records(TOPIC):
        times.setdefault(key, []).append(headers["ce_time"])
    assert sum(map(len, times.values())) == 600
    assert all(seen == sorted(seen) for seen in times.values())


def test_nobody_is_there() -> None:
    """It is said within the time, with the reason, and nothing of the login."""
    sink = sink_to("127.0.0.1:1", timeout="1s", username="shop", password="s3cret")
    with pytest.raises(SinkError, match=r"kafka at 127\.0\.0\.1:1 cannot be reached") as told:
        sink.send([an_event(1)])
    assert told.value.retryable
    assert "s3cret" not in str(told.value)
    sink.close()
    sink.close()


def test_an_event_that_is_too_large_is_refused_for_good(cluster: KafkaCluster) -> None:
    """So that it becomes a dead letter and the others go on."""
    large = an_event(1).with_media(*(f"door/{number:0100d}.jpg" for number in range(20_000)))
    sink = sink_to(cluster.address)
    with pytest.raises(SinkError, match="too large") as told:
        sink.send([large])
    assert not told.value.retryable
    sink.send([an_event(2)])
    sink.close()
    assert [headers["ce_id"] for _, _, headers in cluster.records(TOPIC)] == [an_event(2).record_id]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"brokers": []}, "at least 1"),
        ({"brokers": "http://kafka:9092"}, "is not a broker"),
        ({"topic": "a b"}, "is not a topic"),
        ({"username": "shop"}, "belong together"),
        ({"username": "a", "password": "b", "mechanism": "plain"}, "in the clear"),
        ({"ca": "ca.pem"}, "certificates but no TLS"),
        ({"tls": True, "certificate": "own.pem"}, "belong together"),
    ],
)
def test_bad_settings_are_named(fields: dict[str, Any], words: str) -> None:
    """With what is possible instead."""
    given = {"type": "kafka", "brokers": "kafka:9092", **fields}
    with pytest.raises(ValidationError) as told:
        TypeAdapter(SinkConfig).validate_python(given)
    assert words in str(told.value)


def test_the_librarys_settings() -> None:
    """TLS, a login and its files reach it; without them neither does."""
    plain = KafkaConfig.model_validate({"brokers": ["a", "b:1"]}).settings()
    assert plain["bootstrap.servers"] == "a,b:1"
    assert plain["security.protocol"] == "plaintext"
    written = {"brokers": "a", "tls": True, "ca": "ca.pem", "username": "u", "password": "p"}
    locked = KafkaConfig.model_validate(written).settings()
    assert locked["security.protocol"] == "sasl_ssl"
    assert (locked["sasl.mechanism"], locked["sasl.password"]) == ("SCRAM-SHA-512", "p")
    assert locked["ssl.ca.location"] == "ca.pem"
