"""Other processes judge what was seen: the answer is the same, whatever happens to them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import SimulatedHour, Simulation, SimulationScope
from pipeline.insight.simulation_workers import SimulationWorkers
from pipeline.testing import ManualClock, patience
from tests.insight.test_simulation import MOVED, looks
from tests.processing.life_scene import SHOP, START, shop
from tests.processing.test_life import Site

_ROOM = 10_000_000
_LATER_S = 4000.0
_FURTHER = {**MOVED, "cameras__door__rules__crowd__more_than": 1}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Something was seen around two full hours."""
    made = Site(tmp_path_factory.mktemp("site"), SHOP)
    made.feed(looks(0, 300))
    made.clock.advance(_LATER_S)
    later = [
        replace(
            one,
            captured_at=one.captured_at + _LATER_S,
            ordinal=one.ordinal + (300 if one.engine == "fast" else 150),
            seq=one.seq + 300,
        )
        for one in looks(0, 300)
    ]
    made.feed(later)
    yield made
    made.store.close()


@contextmanager
def _workers(site: Site) -> Iterator[SimulationWorkers]:
    workers = SimulationWorkers(site.config, _ROOM, count=2)
    try:
        yield workers
    finally:
        workers.close()


def _simulation(site: Site, help_of: SimulationWorkers | None, **changes: object) -> Simulation:
    reader = site.config.build_reader()
    return Simulation(
        Deployment.model_validate(shop(**(changes or MOVED))),
        reader,
        reader.history,
        SimulationScope(),
        ManualClock(START),
        help_of=help_of,
    )


def _hours(site: Site, help_of: SimulationWorkers | None, **changes: object) -> list[SimulatedHour]:
    return list(_simulation(site, help_of, **changes).hours())


def test_they_conclude_the_same(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Of one edit and the next, and when one of them was killed meanwhile."""
    alone = _hours(site, None)
    assert len(alone) >= 3
    unchanged = _hours(site, None, cameras__door__rules__paid=None)
    further = _hours(site, None, **_FURTHER)
    assert further != alone
    with _workers(site) as workers:
        workers.prepare(_simulation(site, None))
        assert workers.held() > 0
        assert _hours(site, workers) == alone
        assert len(workers.pids()) == 2
        assert _hours(site, workers, cameras__door__rules__paid=None) == unchanged
        assert _hours(site, workers) == alone
        assert not caplog.records
        # What an edit needs is followed ahead, once.
        held = workers.held()
        assert 0 < held <= _ROOM
        workers.prepare(_simulation(site, None))
        assert _hours(site, workers, **_FURTHER) == further
        assert workers.held() == held
        os.kill(workers.pids()[0], signal.SIGKILL)
        assert _hours(site, workers) == alone
        assert _hours(site, workers) == alone
        (said,) = [one.message for one in caplog.records]
        assert "a process that judged what was seen has ended" in said


def test_one_question_at_a_time_and_one_that_is_left_leaves_nothing(site: Site) -> None:
    """A second question is judged where it is asked; what is not waited for is stopped."""
    alone = _hours(site, None)
    with _workers(site) as workers:
        first = _simulation(site, workers).hours()
        assert next(first) == alone[0]
        assert _hours(site, workers) == alone
        assert isinstance(first, Generator)
        first.close()  # nobody wants the rest of it
        assert _hours(site, workers) == alone
        pids = workers.pids()
    _until(lambda: not any(_runs(pid) for pid in pids))


def test_they_end_with_the_process_that_began_them(tmp_path: Path) -> None:
    """Also with one that is killed."""
    code = (
        "import sys, time\n"
        "from connectors.stores import StoreConfig\n"
        "from pipeline.insight.simulation_workers import SimulationWorkers\n"
        "if __name__ == '__main__':\n"
        "    workers = SimulationWorkers(StoreConfig(url=sys.argv[1]), 1000, count=2)\n"
        "    workers.wake()\n"
        "    print(*workers.pids(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    # Read from a pipe, there would be no file that another process could begin with.
    script = tmp_path / "waking.py"
    script.write_text(code)
    url = f"sqlite:///{tmp_path}/events.db"
    command = [sys.executable, str(script), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(one) for one in process.stdout.readline().split()]
        assert len(pids) == 2
        process.kill()
    _until(lambda: not any(_runs(pid) for pid in pids))


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience(2.0)
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False
