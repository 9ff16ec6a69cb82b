"""A Kafka cluster for tests: librdkafka's own, in a process that can be stopped and killed.

`python -m tests.connectors.sinks.kafka_cluster` prints its address and stays until it is ended.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.pausing import pause

ROOT = Path(__file__).parents[3]


class KafkaCluster:
    """One broker, in memory."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address, "the cluster did not start"

    def hang(self) -> None:
        """Answer nothing from now on."""
        pause(self._process.pid)

    def go_on(self) -> None:
        """Answer again."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, with all that it has."""
        self._process.kill()
        self._process.communicate(timeout=20)

    def records(self, topic: str) -> list[tuple[bytes | None, bytes, dict[str, str]]]:
        """Key, value and headers of all that is in a topic, in order within each partition."""
        from confluent_kafka import Consumer, TopicPartition

        settings: dict[str, str | int] = {
            "bootstrap.servers": self.address, "group.id": "test", "log_level": 0,
        }  # fmt: skip
        reader = Consumer(settings)
        found = []
        try:
            partitions = reader.list_topics(topic, timeout=20).topics[topic].partitions
            for number in sorted(partitions):
                place = TopicPartition(topic, number, 0)
                _, end = reader.get_watermark_offsets(place, timeout=20)
                reader.assign([place])
                got, deadline = 0, time.monotonic() + 20
                while got < end and time.monotonic() < deadline:
                    message = reader.poll(1.0)
                    if message is None or message.error() is not None:
                        continue
                    got += 1
                    told: Any = message.headers()
                    headers = {name: value.decode() for name, value in told}
                    found.append((message.key(), message.value() or b"", headers))
                assert got == end
        finally:
            reader.close()
        return found


def _serve() -> None:
    from confluent_kafka import Producer

    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = cluster.list_topics(timeout=20).brokers.values()
    sys.stdout.write(f"{broker.host}:{broker.port}\n")
    sys.stdout.flush()
    os.read(0, 1)  # until whoever started it is gone


if __name__ == "__main__":
    _serve()
