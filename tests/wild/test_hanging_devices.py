"""A device whose driver never returns from a read, opened again and again."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.sources.live.config import LiveConfig
from connectors.sources.live.reader import LiveSource, Watch
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SourceError
from pipeline.core.frames import Picture
from pipeline.core.sources import Need
from pipeline.testing import wait_until

ATTEMPTS = 12


class Hanging(LiveSource):
    """Its driver does not return until it is released."""

    def __init__(self) -> None:
        config = LiveConfig(open_timeout=timedelta(milliseconds=20))
        super().__init__("device 7", config, SystemClock())
        self.released = threading.Event()
        self.inside: list[threading.Thread] = []

    def _read(self, need: Need, watch: Watch) -> Iterator[Picture]:
        self.inside.append(threading.current_thread())
        self.released.wait()
        yield from ()


def test_a_driver_that_never_returns_keeps_few_threads() -> None:
    """Each attempt ends in time, all say why, and the number of threads is bounded."""
    source = Hanging()
    said = []
    for _ in range(ATTEMPTS):
        with pytest.raises(SourceError) as refused:
            source.open(Need())
        said.append(str(refused.value))
    assert len(source.inside) == 3
    assert said[0] == "device 7 did not answer in time; check the address and the network"
    assert "still holds up 3 earlier attempts" in said[-1]
    source.released.set()
    wait_until(lambda: not any(thread.is_alive() for thread in source.inside))
    source.open(Need())
    with pytest.raises(SourceError, match="ended"):
        list(source.pictures())
    assert len(source.inside) == 4
