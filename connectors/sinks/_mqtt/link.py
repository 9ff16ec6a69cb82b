"""One connection to a broker: made once, published on until it breaks, never mended.

paho would queue what is published while there is no connection, and send it later without anybody
knowing. What must not be lost waits in the store instead, so a link that breaks is over, with all
that it had not yet delivered; whoever uses it makes another one.
"""

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from connectors.sinks._text import printable
from pipeline.core.address import without_secrets
from pipeline.core.errors import SinkError

# Brokers allow a client so many unacknowledged messages unless they say otherwise.
_IN_FLIGHT = 20
# paho looks after its connection this often.
_LOOK_S = 0.5
_ENDING_S = 2.0
_REFUSALS = {
    "Unsupported protocol version": "; write `protocol: 3.1.1`, or update the broker",
    "Bad user name or password": "; check `user` and `password`",
    "Not authorized": "; check `user`, `password` and the broker's access rules",
    "Client identifier not valid": "; the broker allows only certain client ids",
    "Banned": "; the broker has banned this client",
}


@dataclass(frozen=True, slots=True)
class Publication:
    """Something to publish."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str | None = None
    """MQTT 5 only, like `properties`."""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BrokerTerms:
    """How to connect."""

    place: str
    """What sentences call the broker."""
    host: str
    port: int
    client_id: str
    is_5: bool
    user: str | None
    password: str | None
    tls: ssl.SSLContext | None
    keep_alive_s: int
    timeout_s: float
    will: Publication | None = None


Hears = Callable[[str, bytes, bool], None]
"""Takes a message of a topic, and whether it was retained; called by another thread."""


class BrokerLink:
    """Published on by one thread."""

    def __init__(self, terms: BrokerTerms, hears: Hears) -> None:
        """Connects; SinkError where the broker does not accept the connection in time."""
        self._terms = terms
        self._hears = hears
        self._changed = threading.Condition()
        self._is_up = False
        self._over: str | None = None
        self._acked: dict[int, ReasonCode] = {}
        self._unheard: dict[int, tuple[str, ...]] = {}
        self.unheard: deque[str] = deque()
        """Topics that the broker does not let us hear."""
        self._room = _IN_FLIGHT
        self._largest: int | None = None
        self._client = self._made()
        # Looking a name up, and the handshake of TLS, have no deadline of their own.
        threading.Thread(target=self._connect, name=f"mqtt-{terms.host}", daemon=True).start()
        deadline = time.monotonic() + terms.timeout_s
        with self._changed:
            while not self._is_up and self._over is None:
                if not self._changed.wait(deadline - time.monotonic()) and not self._is_up:
                    self._over = f"does not answer within {terms.timeout_s:g} s"
        if self._over is not None:
            self.drop()
            raise SinkError(f"{terms.place} {self._over}", retry_after_s=None)

    @property
    def over(self) -> str | None:
        """Why the link can no longer be used; None while it can."""
        return self._over

    def subscribe(self, topics: Sequence[str]) -> None:
        """Hear these topics; where the broker does not allow it, `unheard` gets them."""
        with self._changed:
            result, mid = self._client.subscribe([(topic, 1) for topic in topics])
            if result == MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
                self._unheard[mid] = tuple(topics)

    def publish(self, messages: Sequence[Publication]) -> None:
        """Return once the broker has acknowledged all of them; SinkError otherwise.

        The deadline begins anew with each acknowledgement.
        """
        waiting: dict[int, Publication] = {}
        left = deque(messages)
        try:
            while left or waiting:
                while left and len(waiting) < self._room:
                    message = left.popleft()
                    waiting[self._begin(message)] = message
                self._collect(waiting)
        except SinkError as error:
            if error.retryable:
                self.drop()  # what paho still holds must not go out later
            raise

    def end(self) -> None:
        """Say goodbye, and wait a moment until that has gone out; safe to call twice."""
        with suppress(OSError, ValueError):
            self._client.disconnect()
        deadline = time.monotonic() + _ENDING_S
        with self._changed:
            while self._over is None and (rest := deadline - time.monotonic()) > 0:
                self._changed.wait(rest)
        self.drop()

    def drop(self) -> None:
        """End it at once; the broker says what our will is."""
        with self._changed:
            self._over = self._over or "was left"
            self._changed.notify_all()
        client = self._client
        link: Any = client.socket()
        if link is not None:
            with suppress(OSError, ValueError):
                link.shutdown(socket.SHUT_RDWR)
        # It holds sockets of its own, which would else stay until the collector finds the circle.
        client.on_connect = client.on_connect_fail = client.on_disconnect = None
        client.on_publish = client.on_subscribe = client.on_message = None

    def _made(self) -> paho.Client:
        terms = self._terms
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=terms.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if terms.is_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = terms.timeout_s
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(_IN_FLIGHT)
        if terms.user is not None:
            client.username_pw_set(terms.user, terms.password)
        if terms.tls is not None:
            terms.tls.sslsocket_class = _ClosedSocket
            client.tls_set_context(terms.tls)
        if terms.will is not None:
            client.will_set(terms.will.topic, terms.will.payload, qos=1, retain=terms.will.retain)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._ends("cannot be reached")
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _connect(self) -> None:
        terms = self._terms
        try:
            self._client.connect(terms.host, terms.port, keepalive=terms.keep_alive_s)
            with self._changed:
                if self._over is None:
                    self._client.loop_start()
                    return
        except OSError as error:
            self._ends(_cause(error))
        except Exception as error:  # noqa: BLE001 - a fault in this thread is the link's
            self._ends(f"cannot be used: unexpected {type(error).__name__}; please report it")
        self.drop()

    def _begin(self, message: Publication) -> int:
        if self._largest is not None and len(message.payload) + 512 > self._largest:
            raise SinkError(
                f"{self._terms.place} takes messages of at most {self._largest} bytes, and one for "
                f"{message.topic} has {len(message.payload)}",
                retryable=False,
            )
        properties: Any = None
        if self._terms.is_5 and (message.content_type or message.properties):
            properties = _properties()
            if message.content_type:
                properties.ContentType = message.content_type
            if message.properties:
                properties.UserProperty = list(message.properties.items())
        if self._over is not None:
            raise SinkError(f"{self._terms.place} {self._over}")
        info = self._client.publish(
            message.topic, message.payload, qos=1, retain=message.retain, properties=properties
        )
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            self._ends("broke the connection off")
            raise SinkError(f"{self._terms.place} {self._over}")
        return info.mid

    def _collect(self, waiting: dict[int, Publication]) -> None:
        """Wait until some are acknowledged."""
        deadline = time.monotonic() + self._terms.timeout_s
        with self._changed:
            while not (acked := [mid for mid in waiting if mid in self._acked]):
                if self._over is not None:
                    raise SinkError(f"{self._terms.place} {self._over}")
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise SinkError(
                        f"{self._terms.place} has acknowledged nothing for "
                        f"{self._terms.timeout_s:g} s"
                    )
                self._changed.wait(rest)
            for mid in acked:
                message, code = waiting.pop(mid), self._acked.pop(mid)
                if code.is_failure:
                    raise SinkError(
                        f"{self._terms.place} refuses messages for {message.topic}: "
                        f"{_said(code)}{_REFUSALS.get(str(code), '')}"
                    )

    def _ends(self, reason: str) -> None:
        with self._changed:
            self._over = self._over or reason
            self._changed.notify_all()

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if code.is_failure:
            self._ends(f"refuses the connection: {_said(code)}{_REFUSALS.get(str(code), '')}")
            return
        with self._changed:
            self._room = min(_IN_FLIGHT, getattr(properties, "ReceiveMaximum", _IN_FLIGHT))
            self._largest = getattr(properties, "MaximumPacketSize", None)
            self._is_up = True
            self._changed.notify_all()

    def _on_disconnect(
        self, client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        by_broker = getattr(flags, "is_disconnect_packet_from_server", False)
        said = f" ({_said(code)})" if by_broker else ""
        self._ends(f"broke the connection off{said}")

    def _on_publish(
        self, client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        with self._changed:
            self._acked[mid] = code
            self._changed.notify_all()

    def _on_subscribe(
        self, client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        with self._changed:
            topics = self._unheard.pop(mid, ())
        refused = zip(topics, codes, strict=False)
        self.unheard.extend(topic for topic, code in refused if code.is_failure)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if self._over is None:
            self._hears(message.topic, bytes(message.payload), message.retain)


class _ClosedSocket(ssl.SSLSocket):
    """Closed where the handshake fails, which paho leaves open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _properties() -> Any:
    make: Any = Properties  # it has no types
    return make(PacketTypes.PUBLISH)


def _said(code: ReasonCode) -> str:
    return printable(without_secrets(str(code)))


def _cause(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return "does not speak TLS as asked; check the url's port and `tls`"
        case TimeoutError():
            return "does not answer in time"
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return f"broke the connection off ({type(error).__name__})"
        case _:
            return f"cannot be reached: {error.strerror or type(error).__name__}"
