"""Events to Apache Kafka, or what speaks its protocol: CloudEvents in binary mode, by camera."""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.sinks._base import BaseSinkConfig, Listed
from connectors.sinks._text import json_line
from pipeline.core.address import Secret
from pipeline.core.config import PositiveDuration, parse_duration
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, to_cloudevent
from pipeline.core.machine import Lack, missing_libraries, unreadable_file
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_log = logging.getLogger(__name__)
_AT_ONCE = 500
_BROKER = re.compile(
    r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?"
)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# Beyond the time that a message has: the library answers for each of them by then.
_ANSWER_S = 2.0
_CLOSE_S = 1.0


class KafkaConfig(BaseSinkConfig):
    """Send events to a topic of Kafka."""

    type: Literal["kafka"] = "kafka"
    brokers: Annotated[tuple[str, ...], Listed] = Field(min_length=1)
    """`HOST:PORT` of one or more brokers, from which the others are learned; the port is 9092
    when left out."""
    topic: str = "moonwatch.events"
    """The topic. Whether one that is missing is made is up to the brokers."""
    tls: bool = False
    """Whether the connection is encrypted."""
    ca: Path | None = None
    """PEM file of the authorities to trust instead of the usual ones; with `tls: yes`."""
    certificate: Path | None = None
    """PEM file of our own certificate, where the brokers want one."""
    key: Path | None = None
    """PEM file of its key."""
    username: str | None = None
    """Name to log in with (SASL); without it nobody logs in."""
    password: Secret | None = None
    """Its password; `password_file` names a file."""
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512"] = "scram-sha-512"
    """How to log in; `plain` needs `tls: yes`."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("30s"))
    """How long the brokers have to take a load of events."""

    @field_validator("brokers")
    @classmethod
    def _are_brokers(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for broker in brokers:
            if not _BROKER.fullmatch(broker):
                raise ValueError(f"{broker[:60]!r} is not a broker; write it like kafka-1.lan:9092")
        return brokers

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str) -> str:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise ValueError(
                f"{topic[:60]!r} is not a topic; write up to 249 letters, digits, ., _ and -"
            )
        return topic

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` (or `password_file`) belong together")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` belong together")
        if not self.tls and (self.ca or self.certificate):
            raise ValueError("has certificates but no TLS: write `tls: yes`")
        if self.username is not None and self.mechanism == "plain" and not self.tls:
            raise ValueError(
                "with `mechanism: plain` the password would cross the network in the clear; write "
                "`tls: yes`, or use scram-sha-512"
            )
        return self

    @property
    def at_once(self) -> int:
        """How many events are handed over together, at most."""
        return _AT_ONCE

    def lacks(self) -> Iterator[Lack]:
        """Whether the library is installed, and the files can be read here."""
        yield from missing_libraries("sinks of type kafka", ["confluent_kafka"], "kafka")
        for name in ("ca", "certificate", "key"):
            yield from unreadable_file(name, getattr(self, name))

    def build(self, context: SinkContext) -> "KafkaSink":
        """A sink that connects when the first event comes."""
        return KafkaSink(self, context)

    def settings(self) -> dict[str, Any]:
        """What librdkafka is told."""
        timeout_ms = round(self.timeout.total_seconds() * 1000)
        told: dict[str, Any] = {
            "bootstrap.servers": ",".join(self.brokers),
            "client.id": "moonwatch",
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "zstd",
            "linger.ms": 5,
            "message.timeout.ms": timeout_ms,
            "request.timeout.ms": max(1000, timeout_ms // 2),
            "socket.connection.setup.timeout.ms": max(1000, min(10_000, timeout_ms)),
            "reconnect.backoff.max.ms": 1000,
            # What it would write on standard error is told by its error callback, in our words.
            "log_level": 0,
            "security.protocol": ("sasl_" if self.username else "")
            + ("ssl" if self.tls else "plaintext"),
        }
        if self.username is not None and self.password is not None:
            told |= {
                "sasl.mechanism": self.mechanism.upper(),
                "sasl.username": self.username,
                "sasl.password": self.password.reveal(),
            }
        files = {
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
        }
        return told | {name: str(path) for name, path in files.items() if path is not None}

    def probe(self, context: SinkContext) -> str:
        """Ask the brokers for the topic. Raises SinkError."""
        sink = self.build(context)
        try:
            return sink.probe()
        finally:
            sink.close()


class KafkaSink:
    """An idempotent producer: what it repeats itself is there once, and in order for each camera.

    What comes again after a failed attempt, or after a kill, has the same `ce_id`.
    """

    def __init__(self, config: KafkaConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._producer: Producer | None = None
        self._said: KafkaError | None = None

    def send(self, events: Sequence[Event]) -> None:
        """Hand them over and wait for the brokers' word on each; SinkError if one is missing."""
        if not events:
            return
        from confluent_kafka import KafkaException, Producer

        failed: list[KafkaError] = []
        answered = 0

        def hear(error: "KafkaError | None", _: "Message") -> None:
            nonlocal answered
            answered += 1
            if error is not None:
                failed.append(error)

        self._said = None
        try:
            if self._producer is None:
                settings = {**self._config.settings(), "error_cb": self._hear_error}
                self._producer = Producer(settings)
            for event in events:
                record = to_cloudevent(event, self._context.site_of(event))
                self._producer.produce(
                    self._config.topic,
                    key=event.camera.encode("utf-8", "backslashreplace"),
                    value=json_line(record["data"])[:-1],
                    headers=_headers(record),
                    on_delivery=hear,
                )
            self._producer.flush(self._config.timeout.total_seconds() + _ANSWER_S)
        except (KafkaException, BufferError) as error:
            self._drop()
            raise self._error(_error_of(error)) from None
        if failed or answered < len(events):
            self._drop()
            raise self._error(failed[0] if failed else None)

    def probe(self) -> str:
        """Ask the brokers for the topic, without sending; what was found. Raises SinkError."""
        from confluent_kafka import KafkaException, Producer

        config, self._said = self._config, None
        try:
            if self._producer is None:
                settings = {**config.settings(), "error_cb": self._hear_error}
                self._producer = Producer(settings)
            # Of all topics: asking for one would make it where brokers make what is missing.
            found = self._producer.list_topics(timeout=config.timeout.total_seconds())
        except KafkaException as error:
            if self._producer is not None:
                self._producer.poll(0)
            raise self._error(_error_of(error)) from None
        topic = found.topics.get(config.topic)
        count = f"{len(found.brokers)} broker{'s' if len(found.brokers) != 1 else ''}"
        if topic is None:
            return (
                f"answers, with {count}; the topic {config.topic} is not there, or this user does "
                "not see it: the first event shows whether it is made"
            )
        if topic.error is not None:
            raise self._error(topic.error)
        return f"answers, with {count} and the topic {config.topic}"

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._drop()

    def _drop(self) -> None:
        """Begin anew with the next attempt: nothing of this one is sent any more."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(_CLOSE_S)

    def _hear_error(self, error: "KafkaError") -> None:
        # The first one is the cause; that all brokers are down is only what follows.
        if self._said is None:
            self._said = error

    def _error(self, error: "KafkaError | None") -> SinkError:
        from confluent_kafka import KafkaError

        config = self._config
        place = f"kafka at {','.join(config.brokers)}"
        code = None if error is None else error.code()
        match code:
            case KafkaError.MSG_SIZE_TOO_LARGE | KafkaError._INVALID_ARG:
                return SinkError(f"{place}: this event is too large for it", retryable=False)
            case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError._UNKNOWN_TOPIC:
                return SinkError(
                    f"{place} has no topic {config.topic}, and makes none by itself; create it"
                )
            case KafkaError.TOPIC_AUTHORIZATION_FAILED | KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                return SinkError(f"{place} does not let this user write to {config.topic}")
        said = self._said
        if said is not None and said.code() in (
            KafkaError._AUTHENTICATION,
            KafkaError.SASL_AUTHENTICATION_FAILED,
        ):
            return SinkError(f"{place} does not accept the login; check `username` and `password`")
        if said is not None and said.code() == KafkaError._SSL:
            return SinkError(f"{place} does not speak TLS as asked; check `tls`, `ca` and the port")
        if said is not None and said.code() in (KafkaError._TRANSPORT, KafkaError._RESOLVE):
            return SinkError(f"{place} cannot be reached{_reason(said)}")
        if code in (None, KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT):
            return SinkError(f"{place} does not answer within {config.timeout.total_seconds():g} s")
        name = "?" if error is None else error.name()
        return SinkError(f"{place} did not take it ({name})")


def _headers(record: dict[str, Any]) -> "list[tuple[str, str | bytes | None]]":
    """Those of the binding of CloudEvents 1.0 to Kafka, in binary mode."""
    attributes = ("specversion", "id", "source", "type", "subject", "time")
    found = [(f"ce_{name}", str(record[name])) for name in attributes]
    found.append(("content-type", record["datacontenttype"]))
    return [(name, value.encode("utf-8", "backslashreplace")) for name, value in found]


def _error_of(error: Exception) -> "KafkaError | None":
    from confluent_kafka import KafkaError

    found = error.args[0] if error.args else None
    return found if isinstance(found, KafkaError) else None


def _reason(error: "KafkaError") -> str:
    """`: Connection refused` out of the library's sentence, which also has counts and states."""
    found = re.search(r"failed: ([A-Za-z ]+?)(?: \(after|$)", error.str())
    return f": {found[1]}" if found else ""
