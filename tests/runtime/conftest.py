"""What tests of several processes share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.redis_server import Server, binary
from tests.runtime.fleet import DURABLE, Fleet


@pytest.fixture
def server() -> Iterator[Server]:
    """A Redis of the test's own, which forgets nothing when it is killed."""
    if binary() is None:
        pytest.skip("no redis-server on PATH: apt-get install redis-server")
    server = Server(DURABLE).start()
    yield server
    server.close()


@pytest.fixture
def fleet_of() -> Iterator[Callable[..., Fleet]]:
    """Starts fleets; whatever of them is left is ended after the test."""
    fleets: list[Fleet] = []

    def started(*args: Any, **keys: Any) -> Fleet:
        fleets.append(Fleet(*args, **keys))
        return fleets[-1].start()

    yield started
    for fleet in fleets:
        fleet.kill_all()
