"""A deployment over months and years: wrong clocks, restarts, edits, other releases."""

import json
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, StoreError
from pipeline.core.jobs import health_result
from pipeline.core.measures import Bucket, Health
from pipeline.core.membership import camera_lease
from pipeline.core.store import Commit, Undelivered
from pipeline.delivery import Route, SinkLane
from pipeline.deployment.loader import parse
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.reports import Report, reports_of
from pipeline.runtime.stages.delivery import introduce_sinks
from pipeline.runtime.stages.retention import Retention
from pipeline.sampling.camera import Camera
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.sampler import Sampler
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ListSink, ManualClock, wait_until
from tests.cli.commands import moonwatch
from tests.connectors.queues.redis.tools import built
from tests.contracts.event_tools import an_event
from tests.formats.present import FOLDER
from tests.processing.life_scene import RUN, START, results, shop
from tests.processing.test_life import EDIT_AT, EDITS, LOOKS, Edit, Site
from tests.redis_server import Redis, Server, binary, shared
from tests.runtime.clips import CLIP, camera, cut, deployment, written
from tests.runtime.test_growing_folder import FRAMES, played
from tests.sampling.fakes import DOOR, ScriptedSource, painted
from tests.sampling.fakes import Bench as SamplingBench
from tests.sampling.test_watch import black, living, states

DAY = 86400.0
TODAY = 1_800_000_000.0  # January 2027
YEARS = 365.25 * DAY
TEXT = """
version: 1
store: {url: "sqlite:///FOLDER/events.db", keep: 30d, counts: {keep: 30d}}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://127.0.0.1:9/door"}
"""


class Machine:
    """A machine whose clock can be set, with a store of 29 days."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.runs: list[tuple[SqlStore, Retention]] = []
        self.start(TODAY - 29 * DAY)
        for _ in range(29):
            self.keep()
            self.clock.advance(DAY)

    def start(self, at: float) -> None:
        """Moonwatch is started while the machine's clock says `at`; nothing is written yet."""
        self.close()
        self.clock = ManualClock(at)
        deployment = parse(TEXT.replace("FOLDER", str(self.folder))).deployment
        self.store: SqlStore = deployment.store.build(self.clock)
        self.retention = Retention(
            deployment, self.store, deployment.store.build_media(self.store), self.clock
        )
        self.runs.append((self.store, self.retention))

    def keep(self) -> None:
        """Keep an event, a minute and a camera's state."""
        self.number += 1
        minute = Bucket("door", "footfall", self.number * 60, 1, 1.0)
        change = Health("door", float(self.number), "online")
        self.store.commit(Commit([an_event(self.number)], [minute], [change]))

    def work(self, days: float) -> None:
        """Be at work for some days."""
        self.retention.look()
        for _ in range(round(days * 4)):
            self.clock.advance(DAY / 4)
            self.retention.look()

    def kept(self) -> int:
        """How many events are left, of as many minutes and states."""
        events = len(self.store.events_after(0, 1000))
        assert len(self.store.history.buckets()) == events
        assert len(self.store.history.health()) == events
        return events

    def close(self) -> None:
        """End what runs."""
        for store, retention in self.runs:
            retention.close()
            store.close()
        self.runs.clear()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine."""
    made = Machine(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    "ahead_s",
    [
        31 * DAY,
        *(pytest.param(ahead_s, marks=pytest.mark.slow) for ahead_s in (200 * DAY, 9 * YEARS)),
        5000 * YEARS,
    ],
)
def test_started_while_the_clock_was_ahead(
    machine: Machine, ahead_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is forgotten that has not aged, also at the second start; it is said what helps."""
    for _ in range(2):
        machine.start(TODAY + ahead_s)
        machine.keep()
        machine.work(0.5)
        assert machine.kept() == machine.number
        assert "this machine's clock says" in str(machine.retention.trouble)
        assert "if the clock is wrong, correct it" in caplog.text
    caplog.clear()
    caplog.set_level(logging.INFO)
    machine.start(TODAY + DAY)
    machine.work(1)
    assert machine.retention.trouble is None
    assert machine.kept() == 30  # the oldest one is 31 days old by now
    assert "records that a wrong clock dated: 6; they count as stored now" in caplog.text
    machine.work(31)
    assert machine.kept() == 0


@pytest.mark.parametrize("clock_says", [0.0, 3600.0, 200 * DAY])
def test_started_before_the_clock_was_set(
    machine: Machine, clock_says: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A board without a battery begins in 1970: nothing is forgotten, neither now nor once it is
    set.
    """
    machine.start(clock_says)
    machine.keep()
    machine.work(0.5)
    assert machine.kept() == 30
    assert "nothing is deleted until it is set" in str(machine.retention.trouble)
    machine.start(TODAY)
    machine.keep()
    machine.work(0)
    assert machine.kept() == 31
    assert machine.retention.trouble is None


@pytest.mark.slow
def test_set_while_at_work_on_a_new_store(tmp_path: Path) -> None:
    """The first start of all is in 1970, and minutes later the network sets the clock."""
    machine = Machine(tmp_path / "other")
    machine.folder = tmp_path  # with nothing in it yet
    machine.start(10.0)
    machine.keep()
    machine.work(0)
    machine.start(TODAY)
    machine.keep()
    machine.work(29)
    assert machine.kept() == 2
    machine.work(2)
    assert machine.kept() == 0
    machine.close()


def test_a_clock_that_is_a_year_behind(machine: Machine) -> None:
    """What was stored meanwhile is forgotten in the order of its arrival, not by its date."""
    machine.start(TODAY - YEARS)
    machine.keep()
    machine.work(0.5)
    machine.start(TODAY)
    machine.keep()
    machine.work(0)
    events = [stored.event for stored in machine.store.events_after(0, 100)]
    assert len(events) == 31


@pytest.mark.slow
def test_switched_off_for_six_weeks(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """What is too old is forgotten later but in time again after as many weeks, as was said."""
    machine.start(TODAY + 42 * DAY)
    machine.work(0)
    assert machine.kept() == 29
    assert "so what is older than `store.keep` is deleted later" in caplog.text
    machine.work(2)
    assert machine.kept() == 27
    machine.work(28)
    assert machine.kept() == 0
    machine.work(14)
    assert machine.retention.trouble is None


def test_switched_off_every_night_and_at_weekends(machine: Machine) -> None:
    """That is no reason to doubt the clock."""
    for days in (0.5, 1.5, 3.5, 4.5, 7):
        machine.start(TODAY + days * DAY)
        machine.work(0.5)
        assert machine.retention.trouble is None


@pytest.mark.slow
def test_the_clock_is_ahead_while_a_receiver_is_away(machine: Machine) -> None:
    """An event of today has not waited for a month, whatever the clock says: it is not given up."""
    machine.start(TODAY)
    machine.keep()
    machine.retention.look()
    machine.start(TODAY + 31 * DAY)
    machine.retention.look()
    sink = ListSink(failures=1000)
    sending = lane(machine, sink)
    machine.store.advance("ops", 29)
    for _ in range(100):
        sending.step()
        machine.clock.advance(30)
    assert sink.attempts > 20
    assert machine.store.undelivered("ops") == []
    for _ in range(8 * 24):
        machine.clock.advance(3600)
        machine.retention.look()
        sending.step()
    (given_up,) = machine.store.undelivered("ops")
    assert "given up after 7d" in given_up.reason


def test_the_clock_is_put_back_while_a_run_is_dead(machine: Machine) -> None:
    """A run that was killed in 2036 is not alive for nine years, nor is what it was asked."""
    machine.start(TODAY + 9 * YEARS)
    machine.store.presence.say("run:here:1:a", b"{}", timedelta(seconds=7))
    machine.store.requests.ask("reload", timedelta(seconds=60))
    machine.start(TODAY)
    assert machine.store.presence.members() == {}
    assert machine.store.requests.asked() is None


def test_started_twice_on_one_file(tmp_path: Path) -> None:
    """The second is refused with the process that is at work, until that one has ended."""
    deployed = parse(TEXT.replace("FOLDER", str(tmp_path))).deployment
    stop = threading.Event()
    with RunOwnership(deployed) as first, RunOwnership(deployed) as second:
        assert first.take(stop=stop)
        with pytest.raises(ConfigError, match=rf"is in use: process {os.getpid()} on "):
            second.take(stop=stop)
        first.end()
        assert second.take(stop=stop)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A shop door and what it is judged by."""
    (tmp_path / "site").mkdir()
    made = Site(tmp_path / "site")
    yield made
    made.store.close()


def test_black_before_and_after_a_restart(site: Site) -> None:
    """Somebody took the cap off while moonwatch was restarted: the trouble ends, and may return."""

    def watched(pictures: Sequence[Any], since: float) -> None:
        for number, state in states(pictures):
            said = Health("door", since + number, state)
            site.results.publish([health_result(said, run=RUN)], 0.0)
        while site.processor.step(0.0):
            pass

    watched([black(n) for n in range(20)], START)
    site.restart(shop())
    watched([*(living(n) for n in range(5)), *(black(n) for n in range(20))], START + 100)
    found = [(event.type, event.phase) for event in site.events()]
    assert found == [("camera_black", phase) for phase in ("start", "end", "start")]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_one_line_is_moved_in_the_middle_of_a_minute(
    tmp_path: Path, site: Site, edit: Edit
) -> None:
    """What has nothing to do with it is counted as if nobody had touched the file."""
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Site(tmp_path / "undisturbed")
    undisturbed.feed(results(0, LOOKS))
    site.feed(results(0, EDIT_AT))
    edit(site, shop(cameras__door__lines__till={"from": [0.1, 0.7], "to": [0.9, 0.7]}))
    site.feed(results(EDIT_AT, LOOKS))
    for rule in ("entrance", "stay", "carts", "closed", "crowd"):
        assert site.minutes(rule) == undisturbed.minutes(rule), rule
        assert site.of(rule) == undisturbed.of(rule), rule
    assert len(site.minutes("paid")) == len(undisturbed.minutes("paid"))
    undisturbed.store.close()


@pytest.mark.parametrize(
    "state",
    [
        "null",
        "[]",
        "{",
        "{}",
        '{"version": 99}',
        '{"version": 2}',
        '{"version": 2, "tasks": {"people": {"rules": {"entrance": {}}}}}',
        '{"version": 2, "tasks": {"people": 7}}',
        '{"version": 2, "tasks": {}, "aspect": "wide", "last_at": 1e999}',
        '{"fingerprint": "of an older release"}',
    ],
)
def test_a_checkpoint_of_another_layout(
    site: Site, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Begun anew, with at most one line for it and no traceback, and judged from then on."""
    site.feed(results(0, EDIT_AT))
    with site.store._database.write("change it") as connection:
        changed = "UPDATE moonwatch_checkpoints SET state = ? WHERE engine = 'fast'"
        connection.exec_driver_sql(changed, (state,))
    caplog.clear()
    site.restart(shop())
    assert "Traceback" not in caplog.text
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) <= 1
    before = len(site.events())
    site.feed(results(EDIT_AT, LOOKS))
    assert len(site.events()) > before + 5


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_folder_that_grows_by_several_recordings(tmp_path: Path) -> None:
    """None of their frames is lost between two runs, at no seam."""
    clip = cut(tmp_path / "clip.mp4", 2.0)
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    copies = 0
    for more in (1, 3):
        for _ in range(more):
            copy = shutil.copy(clip, recordings / f"{copies}.mp4")
            copies += 1
            os.utime(copy, (TODAY + 2 * copies, TODAY + 2 * copies))  # one follows the other
        assert played(tmp_path, recordings) == more * FRAMES


@pytest.mark.slow
@pytest.mark.parametrize("folder", sorted(FOLDER.glob("*/store.db")), ids=lambda f: f.parent.name)
def test_status_beside_an_older_release(tmp_path: Path, folder: Path) -> None:
    """Somebody looks with the new one: not a byte of the old one's store is changed."""
    shutil.copy(folder, tmp_path / "events.db")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    content = yaml.safe_dump(deployment(tmp_path, {"hall": camera(CLIP)}))
    file = tmp_path / "shop.yaml"
    file.write_text(content)
    for command in (["status"], ["undelivered", "list"]):
        code, _, errors = moonwatch(*command, file)
        assert code in (0, 1)
        assert "Traceback" not in errors
    file.unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_process_of_a_later_release(machine: Machine) -> None:
    """It reports what this release does not know: it is seen all the same."""
    said = json.loads(Report("sampling", "attic", 7, 1.5).to_bytes()) | {"mood": "good"}
    machine.store.presence.say(
        "sampling:attic:7:a", json.dumps(said).encode(), timedelta(minutes=1)
    )
    (seen,) = reports_of(machine.store.presence).values()
    assert (seen.stage, seen.place) == ("sampling", "attic (7)")


def test_a_sink_is_added_after_a_month(machine: Machine) -> None:
    """It begins with the next event and not with 29 old alarms, unless it asks for them."""
    hook = {"type": "webhook", "url": "http://127.0.0.1:9/x"}
    content = yaml.safe_load(TEXT.replace("FOLDER", str(machine.folder)))
    content["sinks"] = {
        "new": hook,
        "curious": {**hook, "url": hook["url"] + "y", "from": "beginning"},
    }
    introduce_sinks(parse(yaml.safe_dump(content)).deployment, machine.store)
    machine.keep()
    behind = {cursor.sink: cursor.behind for cursor in machine.store.history.cursors()}
    assert behind == {"new": 1, "curious": 30}


def lane(machine: Machine, sink: ListSink, at_once: int = 1) -> SinkLane:
    """A lane to a sink that wants everything."""
    machine.store.register_sinks(["ops"], ["ops"])
    return SinkLane(Route("ops", at_once=at_once), sink, machine.store, machine.clock, Metrics())


def test_a_receiver_that_takes_one_event_a_request(machine: Machine) -> None:
    """Events are read once, however few are sent at once."""
    asked: list[str] = []
    engine = machine.store._database._opened.engine

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        asked.extend([statement] if "moonwatch_events.body" in statement else [])

    sink = ListSink()
    sending = lane(machine, sink)
    while sending.step() == 0.0:
        pass
    assert len(sink.events) == 29
    assert len(asked) <= 2


def test_an_event_of_a_later_release(machine: Machine) -> None:
    """One more field is nothing to stop for; what cannot be read is a dead letter by itself."""
    changes = {
        3: """replace(body, '{"id"', '{"mood":{"deep":[1]},"id"')""",
        5: """replace(body, '"phase":"single"', '"phase":"foreseen"')""",
        7: "'{}'",
        9: "'not JSON'",
    }
    with machine.store._database.write("change them") as connection:
        for position, change in changes.items():
            connection.exec_driver_sql(
                f"UPDATE moonwatch_events SET body = {change} WHERE position = {position}"
            )
    sink = ListSink()
    sending = lane(machine, sink, at_once=100)
    while sending.step() == 0.0:
        pass
    assert [e.at - an_event(0).at for e in sink.events] == [
        n for n in range(1, 30) if n not in (5, 7, 9)
    ]
    letters: Sequence[Undelivered] = machine.store.undelivered("ops")
    assert [letter.position for letter in letters] == [5, 7, 9]


@pytest.mark.parametrize("how", ["restored", "deleted"])
def test_the_database_is_replaced_under_a_running_process(
    machine: Machine, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens next goes into the file that is there, and from it to the sinks; it is said."""
    monkeypatch.setattr("connectors.stores._database._PUT_BACK_S", 0.0)
    file = machine.folder / "events.db"
    sink = ListSink()
    sending = lane(machine, sink, at_once=100)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(machine.folder / "backup.db"),))
    if how == "restored":
        (machine.folder / "backup.db").replace(file)
    else:
        file.unlink()
    for _ in range(5):
        try:
            machine.keep()
        except StoreError:
            continue
        break
    assert f"the store {file} was" in caplog.text
    for _ in range(5):
        sending.step()
        machine.clock.advance(10)
    assert sink.events[-1] == an_event(machine.number)
    with closing(sqlite3.connect(file)) as connection:
        (kept,) = connection.execute("SELECT count(*) FROM moonwatch_events").fetchone()
    assert kept == (30 if how == "restored" else 1)


PASSWORDS = {
    "store": {"url": "postgresql://moon:hun/hunter2@db/x"},
    "sinks": {"ops": {"type": "webhook", "url": "http://x/y", "headers": "Authorization: hunter2"}},
}


@pytest.mark.parametrize("part", PASSWORDS)
@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_password_in_the_wrong_shape(tmp_path: Path, part: str, command: str) -> None:
    """An unescaped slash, or headers written as text: refused without a piece of it."""
    content = {**deployment(tmp_path, {"plaza": camera(CLIP)}), part: PASSWORDS[part]}
    code, out, errors = moonwatch(command, written(tmp_path, content))
    assert "hunter2" not in out + errors
    assert code in (0, 2)


def test_values_that_come_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """`true` from the environment is true, and a sink may ask for cameras that go offline."""
    monkeypatch.setenv("M", "true")
    text = TEXT.replace("keep: 30d", "keep: 1d").replace("FOLDER", "shop")
    text += '    sample: {motion: "${M}"}\n'
    text += "sinks: {log: {type: jsonl, path: e.jsonl, only: [camera_offline]}}\n"
    read = parse(text).deployment
    assert read.cameras["door"].sample.motion
    assert read.sinks["log"].only == ("camera_offline",)


def test_a_file_nested_nine_hundred_deep() -> None:
    """Somebody's generator went wrong: a sentence."""
    with pytest.raises(ConfigError, match="deep"):
        parse("version: 1\ncameras: " + "[" * 900 + "]" * 900)


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A Redis server."""
    yield from shared()


@pytest.mark.redis
def test_a_second_sampler_of_a_camera(server: Redis, tmp_path: Path) -> None:
    """It waits while the first one lives, and has a later number once that one has ended."""
    queues = built(server.url, tmp_path.name)
    leases, name, ttl = queues.leases, camera_lease("door"), timedelta(minutes=1)
    first = leases.acquire(name, "one", ttl)
    assert first is not None
    assert leases.acquire(name, "two", ttl) is None
    assert leases.renew(name, first, ttl)
    leases.release(name, first)
    second = leases.acquire(name, "two", ttl)
    assert second is not None
    assert second > first
    assert not leases.renew(name, first, ttl)
    queues.close()


@pytest.mark.redis
def test_redis_came_back_empty_with_its_clock_behind(server: Redis, tmp_path: Path) -> None:
    """The store has higher numbers than Redis would give: the next one is above those."""
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(SystemClock())
    ahead = 10 * round(SystemClock().now() * 1e6)
    store.commit(Commit(fences={3: ahead}))
    queues = built(server.url, tmp_path.name)
    floor = store.fences()[3]
    token = queues.leases.acquire(3, "processor", timedelta(minutes=1), floor)
    assert token is not None
    store.commit(Commit(events=[an_event(1)], fences={3: token}))
    assert len(store.events_after(0, 10)) == 1
    queues.close()
    store.close()


@pytest.mark.redis
def test_redis_is_away_at_the_one_frame_of_the_day() -> None:
    """A question that is asked once a day is asked as soon as Redis is back, not a day later."""
    if binary() is None:
        pytest.skip("no redis-server")
    redis = Server(("--save", "", "--appendonly", "no")).start()
    try:
        queues = built(redis.url, "daily")
        bench = SamplingBench()
        bench.front = queues
        source = ScriptedSource(live=True)
        door = Camera("door", source, SampleConfig(), ((DOOR, 86400.0),))
        health = CameraHealth("door", bench.said.append, bench.metrics)
        sampler = Sampler(door, bench.outside, health, threading.Event())
        sampler.begin("run-1")

        def offer(at: float) -> None:
            bench.clock.wait(1.0)
            sampler.offer(painted(at))

        redis.kill()
        offer(0.0)
        assert bench.dropped("queue away") == 1
        redis.start()
        moments = count(1)

        def is_asked() -> bool:
            offer(next(moments))
            return not sampler.need.is_owed()

        wait_until(is_asked)
        offer(80_000.0)
        assert len(queues.jobs.claim("slow", 10, 0.1)) == 1
        queues.close()
    finally:
        redis.close()
