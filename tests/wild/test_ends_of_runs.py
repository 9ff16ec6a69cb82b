"""The end of a run over recordings: who gets the last events, and what the exit code says."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.store import Commit
from pipeline.delivery import LaneStatus
from pipeline.deployment.loader import load
from pipeline.runtime.final_delivery import FinalDelivery
from pipeline.testing import ManualClock, patience, wait_until
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.connectors.sinks.receiver import receiving
from tests.contracts.event_tools import an_event
from tests.redis_server import Redis, shared
from tests.runtime.clips import camera, cut, deployment, written

BEFORE = 30


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A Redis server."""
    yield from shared()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", 1.0)


def left_over(folder: Path, sinks: dict[str, Any], clip: Path, **more: Any) -> Path:
    """A recording whose store holds events that no sink has got yet."""
    content = deployment(folder, {"plaza": camera(clip)}, **more)
    content["sinks"] = {name: {"from": "beginning", **sink} for name, sink in sinks.items()}
    file = written(folder, content)
    store = StoreConfig(url=content["store"]["url"]).build()
    store.register_sinks(list(sinks), list(sinks))
    store.commit(Commit(events=[an_event(number) for number in range(BEFORE)]))
    store.close()
    return file


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_slow_receiver_gets_everything_and_a_dead_one_holds_nothing_up(
    tmp_path: Path, clip: Path
) -> None:
    """One answers 200 after a fifth of a second, the other not at all: one is done, one is said."""
    dead = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}
    with receiving() as receiver:
        receiver.slow_s = 0.2
        slow = {"type": "webhook", "url": receiver.url}
        code, _, errors = moonwatch("run", left_over(tmp_path, {"slow": slow, "dead": dead}, clip))
        got = len(set(receiver.accepted))
    assert code == 1
    assert f"({got} for dead)" in errors
    assert "for slow)" not in errors
    assert got >= BEFORE
    assert len(receiver.accepted) == got


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.redis
def test_a_slow_receiver_alone_is_no_failure(tmp_path: Path, clip: Path, server: Redis) -> None:
    """Also where each stage is a process: exit code 0 once the last event is accepted."""
    more = {"queue": {"type": "redis", "url": server.url, "prefix": tmp_path.name}}
    with receiving() as receiver:
        receiver.slow_s = 0.2
        file = left_over(tmp_path, {"slow": {"type": "webhook", "url": receiver.url}}, clip, **more)
        code, _, errors = moonwatch("run", file)
    assert code == 0, errors
    assert len(set(receiver.accepted)) >= BEFORE


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_operator_who_has_no_time_for_the_rest(tmp_path: Path, clip: Path) -> None:
    """`deliver_within` or SIGTERM ends the wait: what is left is counted, and sent later."""
    with receiving() as receiver:
        receiver.slow_s = 1.0
        slow = {"type": "webhook", "url": receiver.url, "deliver_within": "1s"}
        file = left_over(tmp_path, {"slow": slow}, clip)
        code, _, errors = moonwatch("run", file)
        assert code == 1
        assert "will be sent by the next run" in errors
        assert 0 < len(receiver.accepted) < BEFORE
        file.write_text(file.read_text().replace("deliver_within: 1s", "deliver_within: 1h"))
        some = len(receiver.accepted)
        with start("run", file) as process:
            wait_until(lambda: len(receiver.accepted) > some, within_s=20)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=patience(20))
        assert process.returncode == 0, errors
        assert "for slow) and will be sent by the next run" in errors
        receiver.slow_s = 0.0
        assert moonwatch("run", file)[0] == 0
    assert len(set(receiver.accepted)) == len(receiver.accepted) >= BEFORE


def test_the_exit_code_of_a_file_that_is_refused(tmp_path: Path, clip: Path) -> None:
    """2 for what cannot work, before anything is started."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip, speed="backwards")}))
    code, _, errors = moonwatch("run", file)
    assert code == 2
    assert "Traceback" not in errors


class Ending:
    """A run whose recordings are judged, with ten events left for a sink."""

    def __init__(self, folder: Path, **sink: Any) -> None:
        self.clock = ManualClock()
        hook = {"type": "webhook", "url": "http://127.0.0.1:9/hook", **sink}
        content = deployment(folder, {"plaza": camera(folder / "x.mp4")}, sinks={"hook": hook})
        (folder / "deployment.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        self.deployment = load(folder / "deployment.yaml", [])
        self.store: SqlStore = self.deployment.store.build(self.clock)
        self.store.register_sinks(["hook"], ["hook"])
        self.store.commit(Commit(events=[an_event(number) for number in range(10)]))
        self.ending = FinalDelivery(self.store.history, self.clock)
        self.lane = LaneStatus("hook")

    def goes_on(self, after_s: float = 1.0) -> bool:
        """Whether the run stays, some time later."""
        self.clock.advance(after_s)
        return self.ending.goes_on(self.deployment, [self.lane])

    def accept(self, position: int) -> None:
        """The sink accepts events up to this one."""
        self.store.advance("hook", position)
        self.lane = replace(self.lane, error=None, delivered=position)

    def fail(self) -> None:
        """The sink answers 503."""
        self.lane = replace(self.lane, error="answers 503")


def test_a_receiver_that_stumbles_is_waited_for(tmp_path: Path) -> None:
    """It was restarted in the middle: a minute later it goes on, and so did the run."""
    run = Ending(tmp_path)
    run.accept(3)
    assert run.goes_on()
    run.fail()
    assert run.goes_on(60)
    run.accept(4)
    assert run.goes_on()
    run.fail()
    assert not run.goes_on(120)
    run.store.close()


def test_a_receiver_that_was_never_there_is_not_waited_for(tmp_path: Path) -> None:
    """Its first attempt is, whose outcome is not known yet."""
    run = Ending(tmp_path)
    assert run.goes_on()
    run.fail()
    assert not run.goes_on()
    run.store.close()


def test_a_receiver_that_takes_a_request_and_hangs_is_not_waited_for_for_ever(
    tmp_path: Path,
) -> None:
    """A sink of a mounted disk that is gone has no deadline of its own."""
    run = Ending(tmp_path)
    assert run.goes_on(200)
    assert run.goes_on(200)
    assert not run.goes_on(200)
    run.store.close()


def test_the_last_event_ends_the_wait(tmp_path: Path) -> None:
    """And a limit does, though the sink accepts one event after another."""
    run = Ending(tmp_path, deliver_within="1m")
    for position in range(1, 10):
        run.accept(position)
        assert run.goes_on(5.0)
    assert not run.goes_on(30)
    run.accept(10)
    assert not run.goes_on()
    run.store.close()


def test_events_that_another_process_delivers(tmp_path: Path) -> None:
    """Only the cursor is seen: while it moves the run stays, and not much longer."""
    run = Ending(tmp_path)
    for position in range(1, 4):
        run.store.advance("hook", position)
        run.clock.advance(20)
        assert run.ending.goes_on(run.deployment, [])
    run.clock.advance(31)
    assert not run.ending.goes_on(run.deployment, [])
    run.store.close()
