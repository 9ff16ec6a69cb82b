"""A real nats-server with JetStream for tests, which can be killed and started again."""

import asyncio
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import free_port


class NatsServer:
    """One server with a folder of its own. `start` it again after `kill`."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = shutil.which("nats-server")
        if program is None:
            pytest.skip("no nats-server on PATH: install the package nats-server")
        self._program, self._folder, self._options = program, folder, options
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        command = [self._program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd"]
        self._process = subprocess.Popen(
            [*command, str(self._folder), *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "nats-server ended at once"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("nats-server did not start")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait(20)

    def messages(
        self, stream: str = "events", **login: Any
    ) -> list[tuple[str, dict[str, str], bytes]]:
        """Subject, headers and content of all that the stream has."""

        async def read() -> list[tuple[str, dict[str, str], bytes]]:
            import nats

            client = await nats.connect(self.url, allow_reconnect=False, **login)
            try:
                streams: Any = client.jetstream(timeout=20)
                state = (await streams.stream_info(stream)).state
                found = []
                for number in range(state.first_seq, state.last_seq + 1):
                    one = await streams.get_msg(stream, number)
                    found.append((one.subject, dict(one.headers or {}), one.data or b""))
                return found
            finally:
                await client.close()

        return asyncio.run(read())
