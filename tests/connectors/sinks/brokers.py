"""A real broker for tests: it can go away and come back, and be kept from answering.

That is mosquitto, where it is installed, or else rumqttd, which the package iotcore carries.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pipeline.testing import patience, wait_until

_HOST = "127.0.0.1"
_PLACES = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"


GIVEN = "MOONWATCH_TEST_BROKER"
"""Set to `rumqttd` to use that one although there is mosquitto."""
PLAIN = ("allow_anonymous true",)
_RUMQTTD = """
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "tests"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 2000000
max_inflight_count = 100
"""


def mosquitto() -> str | None:
    """The program, if it is to be used."""
    if os.environ.get(GIVEN) == "rumqttd":
        return None
    return shutil.which("mosquitto", path=_PLACES)


def needs_mosquitto() -> None:
    """Skip a test that asks for more than every broker can."""
    if mosquitto() is None:
        pytest.skip("the broker mosquitto is not installed here; `.ci/system-packages` installs it")


def free_port() -> int:
    """One that no system gives to whoever asks for any: it must still be free after an outage."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind((_HOST, port))
            return port


class Broker:
    """One broker, which remembers what was retained only while it runs."""

    def __init__(self, folder: Path, options: Sequence[str] = PLAIN) -> None:
        self.port = free_port()
        self.url = f"mqtt://{_HOST}:{self.port}"
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Begin, and return once it accepts connections."""
        config, said = self._folder / "broker.toml", self._folder / "broker.log"
        program = mosquitto()
        if program is not None:
            lines = [f"listener {self.port} {_HOST}", *self._options]
            if os.geteuid() == 0:  # else it becomes a user who cannot read what tests have written
                lines.append("user root")
            config.write_text("\n".join(lines) + "\n")
            command = [program, "-c", str(config)]
        else:
            config.write_text(_RUMQTTD.format(host=_HOST, port=self.port))
            command = [sys.executable, "-m", "iotcore", "--log-level", "CRITICAL"]
            command += ["--config", str(config)]
        with said.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._process = process

        def listens() -> bool:
            assert process.poll() is None, said.read_text()
            with socket.socket() as tried:
                return tried.connect_ex((_HOST, self.port)) == 0

        wait_until(listens)

    def stop(self) -> None:
        """End as by kill -9; what was retained is gone."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)  # rumqttd runs in a child
            process.wait(patience(10))


@contextmanager
def broker(folder: Path, *options: str) -> Iterator[Broker]:
    """A broker with these lines in its config; without any it lets everybody in."""
    if options:
        needs_mosquitto()
    made = Broker(folder, options or PLAIN)
    try:
        yield made
    finally:
        made.stop()


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it arrived."""

    topic: str
    payload: bytes
    retained: bool
    content_type: str | None
    user_properties: dict[str, str]


class Listener:
    """Somebody who has subscribed to everything, and may publish too."""

    def __init__(self, url: str, topics: str = "#", user: str | None = None) -> None:
        self.heard: list[Heard] = []
        host, _, port = url.partition("://")[2].partition(":")
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if user is not None:
            client.username_pw_set(user, user)
        subscribed = threading.Event()

        def on_connect(*_: Any) -> None:
            client.subscribe(topics, 1)

        client.on_message = self._on_message
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_connect = on_connect
        client.connect(host, int(port))
        client.loop_start()
        self._client = client
        assert subscribed.wait(patience(10))

    def say(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish, and wait for the acknowledgement."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(patience(10))

    def last(self, topic: str) -> bytes | None:
        """What a topic said last; None before it said anything."""
        return next((one.payload for one in reversed(self.heard) if one.topic == topic), None)

    def on(self, topic: str) -> list[bytes]:
        """Everything a topic has said."""
        return [one.payload for one in self.heard if one.topic == topic]

    def wait_for(self, fact: Callable[["Listener"], bool]) -> None:
        """Return once it holds."""
        wait_until(lambda: fact(self), 20)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        properties: Any = message.properties
        self.heard.append(
            Heard(
                message.topic,
                bytes(message.payload),
                message.retain,
                getattr(properties, "ContentType", None),
                dict(getattr(properties, "UserProperty", [])),
            )
        )


@contextmanager
def listening(url: str, topics: str = "#", user: str | None = None) -> Iterator[Listener]:
    """Somebody who listens, and leaves at the end."""
    listener = Listener(url, topics, user)
    try:
        yield listener
    finally:
        listener.close()


class Relay:
    """The way to a broker, which can be cut and mended while the broker and others go on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server((_HOST, 0))
        self.port = int(self._server.getsockname()[1])
        self.url = f"mqtt://{_HOST}:{self.port}"
        self._links: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_cut = self._is_silent = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and those that come."""
        with self._lock:
            self._is_cut = True
            links, self._links = self._links, []
        for link in links:
            _end(link)

    def mend(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._is_cut = self._is_silent = False

    def silence(self) -> None:
        """Keep the connections, and let nothing through."""
        with self._lock:
            self._is_silent = True

    def close(self) -> None:
        """End."""
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection((_HOST, self._to))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    is_cut = self._is_cut
                    if not is_cut:
                        self._links += [near, far]
                if is_cut:
                    near.close()
                    far.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                with self._lock:
                    if self._is_silent:
                        continue
                other.sendall(data)
        _end(one)
        _end(other)


def _end(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()


@contextmanager
def relay_to(made: Broker) -> Iterator[Relay]:
    """A way to a broker."""
    relay = Relay(made.port)
    try:
        yield relay
    finally:
        relay.close()


@contextmanager
def silent_place() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server((_HOST, 0)) as server:
        yield int(server.getsockname()[1])
