"""Of several processes that deliver one does: each event arrives once, whoever ends or sleeps."""

import json
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from connectors.queues.redis import RedisConfig
from connectors.queues.redis.queue import RedisQueues
from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.store import DELIVER, Commit, LeaseOwner, Store
from pipeline.deployment.loader import load
from pipeline.runtime.ownership import LEASE_TTL, StoreLease
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience, wait_until
from tests.cli.commands import moonwatch
from tests.connectors.sinks.receiver import Receiver, receiving
from tests.contracts.event_tools import an_event
from tests.redis_server import Redis, free_port, shared
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.runtime.fleet import Member, wait_for

# From the death of whoever delivers to the next one's last event: four seconds on an idle machine.
TAKEN_OVER_S = 8.0
pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


@dataclass
class Site:
    """A deployment with a webhook, whose events the test makes itself."""

    folder: Path
    server: Redis
    hook: Receiver
    members: list[Member] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    made: int = 0
    shifts: "list[Shift]" = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = {"type": "redis", "url": self.server.url, "prefix": self.folder.name}
        content = deployment(self.folder, {"plaza": camera(CLIP)}, queue=keys)
        content["sinks"] = {"hook": {"type": "webhook", "url": self.hook.url, "from": "beginning"}}
        self.file = written(self.folder, content)
        self.store = StoreConfig(url=f"sqlite:///{self.folder}/events.db").build()

    def start(self, count: int = 1) -> None:
        """So many more processes that deliver."""
        for _ in range(count):
            port, name = free_port(), f"deliver{len(self.members)}"
            command = ["deliver", str(self.file), "--http", f":{port}"]
            self.members.append(Member(name, command, self.folder / f"{name}.log"))
            self.ports.append(port)
            self.members[-1].start()

    def happen(self, events: int = 20) -> None:
        """Events for the sink."""
        made = [an_event(number) for number in range(self.made, self.made + events)]
        self.made += events
        self.store.commit(Commit(events=made))

    def arrive(self, within_s: float = 20.0) -> None:
        """Wait until the sink has everything, and that is noted."""
        wait_for(lambda: self.store.cursor("hook").behind == 0, within_s, self.said)

    def ready(self, nth: int) -> str:
        """What a process says of its readiness."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports[nth]}/readyz", timeout=patience(5))
        except httpx.TransportError:
            return "away"
        return f"{answer.status_code} {answer.text.strip()}"

    def delivers(self) -> int:
        """Which process does, once one delivers and all others stand by."""

        def known() -> bool:
            said = [self.ready(nth) for nth in self.alive()]
            return sorted(said) == ["200 ready", *[STANDING_BY] * (len(said) - 1)]

        wait_for(known, 30, self.said)
        return next(nth for nth in self.alive() if self.ready(nth) == "200 ready")

    def alive(self) -> Sequence[int]:
        """The processes that have not ended."""
        found = enumerate(self.members)
        return [nth for nth, one in found if one.process and one.process.poll() is None]

    def said(self) -> str:
        """Everything that all of them wrote."""
        return "".join(f"--- {one.name}\n{one.said()}" for one in self.members)


STANDING_BY = "200 ready: another process is at work; standing by"


@pytest.fixture
def site(tmp_path: Path, server: Redis) -> Iterator[Site]:
    """Nobody delivers yet."""
    with receiving() as hook:
        site = Site(tmp_path, server, hook)
        yield site
        for one in site.shifts:
            one.end()
        for nth in site.alive():
            site.members[nth].kill()
        site.store.close()


@pytest.mark.slow
def test_of_two_one_delivers_and_the_other_goes_on(site: Site) -> None:
    """Each event arrives exactly once: while both run, after one stops, after one is killed."""
    site.happen()
    site.start(2)
    first = site.delivers()
    second = 1 - first
    site.happen()
    site.arrive()
    seen = json.loads(moonwatch("status", site.file, "--json")[1])
    assert sorted(one["stands_by"] for one in seen["processes"]) == [False, True]
    assert not any("delivery" in trouble for trouble in seen["troubles"])
    site.members[first].signal(signal.SIGTERM)
    wait_for(lambda: site.members[first].has_ended, 20, site.said)
    site.happen()
    site.arrive(within_s=TAKEN_OVER_S)
    site.start()
    assert site.delivers() == second
    site.members[second].kill()
    site.happen()
    site.arrive(within_s=TAKEN_OVER_S)
    assert len(site.hook.accepted) == len(set(site.hook.accepted)) == site.made
    for nth in (second, 2):
        assert site.members[nth].said().count("another process is delivering; standing by") == 1


@pytest.mark.slow
def test_one_that_was_paused_notices_and_stands_by(site: Site) -> None:
    """Another one has delivered meanwhile: on waking it sends nothing of what is there."""
    site.start(2)
    first = site.delivers()
    site.members[first].pause()
    site.happen()
    site.arrive(within_s=TAKEN_OVER_S)
    site.members[first].signal(signal.SIGCONT)
    lost = "the delivery lease was lost"
    wait_for(lambda: lost in site.members[first].said(), 10, site.said)
    site.happen()
    site.arrive()
    assert site.delivers() == 1 - first
    assert len(site.hook.accepted) == len(set(site.hook.accepted)) == site.made


class Refusing:
    """A store that cannot be written for a while."""

    def __init__(self, store: Store, refusals: int) -> None:
        self._store = store
        self.refusals = refusals

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def register_sinks(self, sinks: Sequence[str], from_beginning: Sequence[str]) -> None:
        """Refuse, or do it."""
        self.refusals -= 1
        if self.refusals >= 0:
            raise StoreError("the store is locked")
        self._store.register_sinks(sinks, from_beginning)


@dataclass
class Shift:
    """One process's stage of delivery, looked after by the test."""

    stage: DeliveryStage
    lease: StoreLease
    queues: RedisQueues
    metrics: Metrics
    clock: ManualClock
    is_over: bool = False

    def end(self) -> None:
        """Stop it, once: its sinks do not rest on a clock that nobody waits for."""
        if not self.is_over:
            self.is_over = True
            self.stage.stop(5.0)
            self.queues.close()


def shift(site: Site, store: SqlStore | Refusing) -> Shift:
    """A stage whose lease the test looks after as well."""
    loaded = load(site.file, [])
    assert isinstance(loaded.queue, RedisConfig)
    queues = loaded.queue.build(SystemClock())
    clock, metrics = ManualClock(), Metrics()
    lease = StoreLease(site.store, DELIVER, LeaseOwner("me", "here", 1), clock)
    context = StageContext(loaded, queues, metrics, clock)
    stage = DeliveryStage(context, store, lease)  # type: ignore[arg-type]
    site.shifts.append(Shift(stage, lease, queues, metrics, clock))
    return site.shifts[-1]


def test_a_store_that_is_away_is_waited_for(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and not ready; afterwards events arrive, and the metric says so."""
    mine = shift(site, Refusing(site.store, 3))
    site.happen()
    assert mine.stage.ready() == "has not found out yet whether another process is delivering"
    mine.lease.look()
    for _ in range(3):
        mine.stage.poll()
        assert mine.stage.ready() == "the store is not responding yet"
        assert mine.metrics.value("moonwatch_delivering") == 0
        mine.clock.advance(1.0)
    with caplog.at_level(logging.INFO):
        mine.stage.poll()
    site.arrive()
    assert mine.stage.ready() is None
    assert mine.metrics.value("moonwatch_delivering") == 1
    mine.end()
    assert mine.metrics.value("moonwatch_delivering") == 0
    assert caplog.text.count("store is not responding") == 1
    assert len(set(site.hook.accepted)) == site.made


def test_a_turn_that_was_lost_leaves_no_figures(site: Site) -> None:
    """What waits is the next one's to say; the sinks of a later turn begin where they are then."""
    site.hook.always = 503
    site.happen()
    mine = shift(site, site.store)
    mine.lease.look()
    mine.stage.poll()
    behind = 'moonwatch_sink_behind{sink="hook"}'
    wait_until(lambda: mine.metrics.value("moonwatch_sink_behind", sink="hook") == site.made)
    clock = ManualClock()
    other = StoreLease(site.store, DELIVER, LeaseOwner("other", "there", 2), clock)

    def taken_over() -> bool:
        """Its sinks renew the lease whenever they try again, also between two looks at it."""
        other.look()
        clock.advance(LEASE_TTL.total_seconds())
        other.look()
        return other.proof is not None

    wait_until(taken_over)
    mine.clock.advance(LEASE_TTL.total_seconds())
    mine.lease.look()
    mine.stage.poll()
    assert (mine.stage.stands_by, mine.stage.status(), mine.stage.ready()) == (True, (), None)
    assert f"{behind} 0.0" in mine.metrics.exposition().decode()
    site.store.advance("hook", site.made - 1)
    site.hook.always = 200
    other.end()
    mine.lease.look()
    mine.stage.poll()
    site.arrive()
    mine.end()
    assert len(site.hook.accepted) == 1


def test_the_sinks_of_a_changed_file_are_served(site: Site) -> None:
    """Reload: equal ones are not disturbed, new ones begin now, and a refused file changes none."""
    mine = shift(site, site.store)
    site.happen()
    mine.lease.look()
    mine.stage.poll()
    site.arrive()
    path = site.folder / "log.jsonl"
    with_log = load(site.file, [f"sinks.log={{type: jsonl, path: {path}}}"])
    threads = sink_threads()
    mine.stage.update(with_log)
    assert threads < sink_threads()
    site.happen(5)
    mine.stage.poll()
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 5)
    site.arrive()

    unusable = "sinks.hook.tls={ca: /nowhere/ca.pem}"
    with pytest.raises(SinkError):
        mine.stage.update(load(site.file, [unusable]))
    assert [lane.sink for lane in mine.stage.status()] == ["hook", "log"]

    elsewhere = site.folder / "other.jsonl"
    changed = load(site.file, [f"sinks={{log: {{type: jsonl, path: {elsewhere}}}}}"])
    former = sink_threads()
    mine.stage.update(changed)
    wait_until(lambda: not former & sink_threads())  # the step they were in is theirs
    site.happen(3)

    def arrived() -> bool:
        mine.stage.poll()
        return elsewhere.exists() and len(elsewhere.read_text().splitlines()) == 3

    wait_until(arrived)
    mine.end()
    assert len(site.hook.accepted) == len(set(site.hook.accepted)) == 25
    assert len(path.read_text().splitlines()) == 5


def test_sinks_learn_of_another_address_and_another_clock(site: Site) -> None:
    """Reload: what a sink is built with is a part of it, although its own section is the same."""
    mine = shift(site, site.store)
    mine.lease.look()
    mine.stage.poll()
    fields = ", ".join(f'"{name}": {{{{ {name} | json }}}}' for name in ("id", "at", "link"))
    hook = f"sinks.hook.body='{{{fields}}}'"
    told: list[tuple[str, str]] = []
    for number, (address, zone) in enumerate(
        (
            ("https://a.example", "UTC"),
            ("https://b.example", "UTC"),
            ("https://b.example", "Asia/Tokyo"),
        )
    ):
        former = sink_threads()
        mine.stage.update(
            load(site.file, [hook, f"web.public_url={address}", f"site.timezone={zone}"])
        )
        wait_until(lambda former=former: not former & sink_threads())  # type: ignore[misc]
        event = replace(an_event(number), media=(f"door/{number}.jpg",))
        site.store.commit(Commit(events=[event]))
        mine.stage.poll()
        site.arrive()
        (said,) = site.hook.requests[-1].events
        told.append((said["link"].partition("/media/")[0], said["at"]))
    mine.end()
    assert told == [
        ("https://a.example", "2023-11-14 22:13:20"),
        ("https://b.example", "2023-11-14 22:13:21"),
        ("https://b.example", "2023-11-15 07:13:22"),
    ]


def test_who_stands_by_learns_of_a_changed_file_too(site: Site) -> None:
    """Reload: it serves the new sinks once it has to."""
    mine = shift(site, site.store)
    other = StoreLease(site.store, DELIVER, LeaseOwner("other", "there", 2), mine.clock)
    other.look()
    mine.lease.look()
    mine.stage.poll()
    assert mine.stage.stands_by
    path = site.folder / "log.jsonl"
    log = f"sinks={{log: {{type: jsonl, path: {path}, from: beginning}}}}"
    mine.stage.update(load(site.file, [log]))
    site.happen(4)
    other.end()
    mine.lease.look()
    mine.stage.poll()
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 4)
    mine.end()
    assert site.hook.accepted == []


def sink_threads() -> set[int | None]:
    """The threads that serve sinks now."""
    return {one.ident for one in threading.enumerate() if one.name.startswith("sink-")}
