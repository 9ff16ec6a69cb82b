"""What `status` says of a deployment is true: troubles by name, and no calm where nobody knows."""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.stores import StoreConfig
from pipeline.core.clock import SystemClock
from pipeline.core.measures import Health
from pipeline.core.sinks import HELD_BACK, HeldBack
from pipeline.core.store import Commit, Undelivered
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.deployment.loader import load, read
from pipeline.insight.status import STAGES, DeploymentStatus, status_of
from pipeline.runtime.asked_reload import answers_to
from pipeline.runtime.process_group import Order, ScaledRun
from pipeline.runtime.reload import DeploymentFile
from pipeline.runtime.reports import Report, new_member
from pipeline.runtime.stage_process import shared_queues
from pipeline.telemetry.figures import CameraFigures
from pipeline.testing import patience, wait_until
from pipeline.web.reporting import ApplicationReporter
from tests.cli.commands import moonwatch
from tests.contracts.event_tools import an_event
from tests.redis_server import Redis, free_port, shared
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.web.applications import application

AT = 1_780_315_200.0  # 2026-06-01T12:00:00Z, 13:00 in London
BOTH = {"both": {"first": {"rule": "middle"}, "then": {"rule": "across"}, "within": "10s"}}
CALM = (Health("plaza", AT, "online"),)


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


def deployed(folder: Path, health: Sequence[Health] = CALM, **keys: Any) -> Path:
    """A deployment with a store, in which five events wait for the sink."""
    file = written(folder, deployment(folder, {"plaza": camera(CLIP)}, **keys))
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build()
    store.register_sinks(["log"])
    store.commit(Commit(events=[an_event(n) for n in range(5)], health=health))
    store.close()
    return file


def deliver(folder: Path, refused: int = 0) -> None:
    """The sink is past all events and took all of them but so many."""
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build()
    kept = store.events_after(0, 10)
    reasons = [f"[410] no {one.position}" for one in kept]
    letters = [
        Undelivered("log", one.position, one.event.record_id, reason, 1)
        for one, reason in zip(kept, reasons, strict=True)
    ]
    store.advance("log", kept[-1].position, letters[:refused])
    store.close()


def seen(file: Path) -> DeploymentStatus:
    """What is said of it now."""
    return status_of(load(file, []), SystemClock())


def redis_at(url: str, folder: Path) -> dict[str, Any]:
    """A queue of the test's own."""
    return {"type": "redis", "url": url, "prefix": folder.name}


def at_work(file: Path, *stages: str) -> None:
    """Processes of these stages say for a minute that they work, and own all partitions."""
    queues = shared_queues(load(file, []), SystemClock())
    ttl = timedelta(minutes=1)
    for stage in stages:
        sinks: dict[str, Any] = {"log": {"error": None}} if stage == "delivery" else {}
        samples = list(load(file, []).cameras) if stage == "sampling" else []
        judges = load(file, []).cameras if stage == "processing" else ()
        judged = {name: {"fast": None} for name in judges}
        report = Report(stage, "here", 1, 1.0, sinks=sinks, samples=samples, judged=judged)
        queues.presence.say(new_member(stage), report.to_bytes(), ttl)
    for partition in range(queues.results.partitions):
        assert queues.leases.acquire(partition, "a processor", ttl) is not None
    queues.close()


@pytest.mark.redis
def test_a_note_of_a_process_is_shown_and_is_no_trouble(tmp_path: Path, server: Redis) -> None:
    """Such as a net that runs on something else than what was preferred."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    at_work(file, *STAGES)
    queues = shared_queues(load(file, []), SystemClock())
    report = Report("inference", "there", 2, 1.0, notes=["engine net: it runs on cpu"])
    queues.presence.say(new_member("inference"), report.to_bytes(), timedelta(minutes=1))
    queues.close()
    found = seen(file)
    assert "inference on there (2): engine net: it runs on cpu" in found.notes
    assert found.ok


@pytest.mark.redis
def test_a_group_tells_of_the_application_beside_it(tmp_path: Path, server: Redis) -> None:
    """A port that is taken: said by the process that started it, and no longer once it answers."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    at_work(file, *STAGES)
    group = ScaledRun(DeploymentFile(file, (), read(file, [])), Order(file))
    group.poll()
    assert seen(file).ok
    said = "the application does not answer: it cannot listen on 127.0.0.1:80"
    group.beside = lambda: said

    def is_told() -> bool:
        group.poll()
        troubles = seen(file).troubles
        return len(troubles) == 1 and troubles[0].startswith("run on ") and said in troubles[0]

    wait_until(is_told, patience(10))
    group.beside = lambda: None
    wait_until(lambda: seen(file).ok is True, patience(20))
    group.close()


@pytest.mark.redis
def test_a_group_tells_of_what_goes_wrong_inside_the_application(
    tmp_path: Path, server: Redis
) -> None:
    """An error nobody foresaw in one of its threads: in `status` and in what `/readyz` says."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    at_work(file, *STAGES)
    group = ScaledRun(DeploymentFile(file, (), read(file, [])), Order(file))
    errors = UnforeseenErrors("the live page's news", SystemClock(), logging.getLogger(__name__))
    with application(file) as app:
        reporter = ApplicationReporter(app.state, SystemClock())
        app.state.said_beside.append(lambda: [errors.trouble or ""])
        errors.happened(KeyError("hunter2"))
        group.beside_pids = lambda: {os.getpid()}

        def is_told() -> bool:
            reporter.poll()
            group.poll()
            return "the live page's news failed: an unexpected KeyError" in (group.remark() or "")

        wait_until(is_told, patience(20))
        (trouble,) = seen(file).troubles
        assert trouble.startswith("web on ")
        assert "the live page's news failed: an unexpected KeyError" in trouble
        assert "hunter2" not in trouble
        # It reads the file by itself, and no reload waits for its answer.
        given = answers_to(load(file, []), "asked", "", SystemClock()).answers
        assert "web" not in {one.stage for one in given}
    wait_until(lambda: seen(file).ok is True, patience(20))
    group.close()


@pytest.mark.redis
def test_all_is_well_where_everything_answers(tmp_path: Path, server: Redis) -> None:
    """With all stages alive and the sink past everything: said, with code 0 and `ok`."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    at_work(file, *STAGES)
    code, out, errors = moonwatch("status", file)
    assert code == 0, out + errors
    assert "all is well" in out
    assert "no trouble" in out
    code, out, _ = moonwatch("status", file, "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


@pytest.mark.redis
def test_who_samples_a_camera_is_seen_and_that_nobody_does(tmp_path: Path, server: Redis) -> None:
    """A camera of a group without a sampler is named, with the command that starts one."""
    cameras = {name: camera(CLIP) for name in ("plaza", "yard")}
    cameras["yard"] |= {"group": "north"}
    content = deployment(tmp_path, cameras, queue=redis_at(server.url, tmp_path))
    file = written(tmp_path, content)
    queues = shared_queues(load(file, []), SystemClock())
    for report in (
        Report("sampling", "here", 0, 1.0, samples=["plaza"]),
        Report("sampling", "here", 1, 1.0, stands_by_for=["plaza"], stands_by=True),
    ):
        queues.presence.say(new_member("sampling"), report.to_bytes(), timedelta(minutes=1))
    queues.close()
    found = seen(file)
    plaza = found.cameras["plaza"]
    assert (plaza.sampled_by, plaza.standing_by) == ("here (0)", ["here (1)"])
    advice = "start one with `moonwatch sample FILE --group north`"
    assert f"camera yard of group north has no sampler; {advice}" in found.troubles
    assert not any("plaza" in trouble for trouble in found.troubles)
    _, out, _ = moonwatch("status", file)
    assert "sampling plaza" in out
    assert "on standby for plaza" in out


@pytest.mark.redis
def test_refused_events_are_a_trouble(tmp_path: Path, server: Redis) -> None:
    """Everybody works, but the sink refused some: how many, and why the last one."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path, refused=3)
    at_work(file, *STAGES)
    found = seen(file)
    shows = "`moonwatch undelivered list FILE` shows why"
    assert found.troubles == [f"sink log refused 3 events; {shows}"]
    assert found.sinks["log"].state == "refused 3 events, the last one: [410] no 3"
    code, out, _ = moonwatch("status", file)
    assert code == 1
    assert "[410]" in out
    assert "undelivered" in out
    for untrue in ("no trouble", "all is well", "dead letters"):
        assert untrue not in out
    code, out, _ = moonwatch("status", file, "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)


@pytest.mark.redis
def test_events_that_wait_for_nobody_are_a_trouble(tmp_path: Path, server: Redis) -> None:
    """A sink is behind and no process delivers."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    at_work(file, "sampling", "inference", "processing")
    found = seen(file)
    assert found.sinks["log"].state == "no delivery process is running"
    behind = "sink log is 5 events behind and no delivery process is running"
    assert found.troubles == ["no delivery process is running", behind]
    at_work(file, "delivery")
    assert seen(file).ok


@pytest.mark.parametrize(
    ("health", "trouble"),
    [
        (Health("plaza", AT, "offline", "refused"), "offline since {}: refused"),
        (
            Health("plaza", AT, "offline", "stream ended: camera: ended the stream"),
            "offline since {}: stream ended: camera: ended the stream",
        ),
        (Health("plaza", AT, "frozen", "still"), "frozen since {}: still"),
        (Health("plaza", AT, "black"), "black since {}"),
        (Health("plaza", AT, "moving"), None),
    ],
    ids=lambda value: value.state if isinstance(value, Health) else "",
)
def test_a_camera_in_trouble_is_one(tmp_path: Path, health: Health, trouble: str | None) -> None:
    """Its last state with since when, in the site's time, and why; others are no trouble."""
    found = seen(deployed(tmp_path, [Health("plaza", AT - 60, "online"), health]))
    since = "2026-06-01T13:00:00+01:00"
    expected = [] if trouble is None else [f"camera plaza has been {trouble.format(since)}"]
    assert found.troubles == expected
    assert found.ok is (None if trouble is None else False)


def test_a_camera_with_a_wrong_clock_is_in_trouble(tmp_path: Path) -> None:
    """In words that say what it has, not what it is."""
    health = Health("plaza", AT, "clock", "its timestamps stand still")
    (trouble,) = seen(deployed(tmp_path, [Health("plaza", AT - 60, "online"), health])).troubles
    since = "2026-06-01T13:00:00+01:00"
    assert trouble == f"camera plaza has a wrong clock (since {since}): {health.detail}"


def test_a_run_that_is_not_there_leaves_unknown(tmp_path: Path) -> None:
    """Nothing is wrong in the store: neither well nor not, and it is said what is missing."""
    file = deployed(tmp_path)
    deliver(tmp_path)
    code, out, _ = moonwatch("status", file)
    assert code == 1
    assert "No run is active, so only the contents of the store are known" in out
    for untrue in ("all is well", "no trouble", "none", "online"):
        assert untrue not in out
    code, out, _ = moonwatch("status", file, "--json")
    said = json.loads(out)
    assert (code, said["ok"], said["troubles"]) == (1, None, [])
    assert said["sinks"]["log"]["state"] == "unknown"


def test_a_redis_out_of_reach_leaves_unknown(tmp_path: Path) -> None:
    """It is the one trouble; what it could have told is unknown, what the store tells is there."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    file = deployed(tmp_path, queue=redis_at(url, tmp_path))
    found = seen(file)
    assert found.ok is False
    assert len(found.troubles) == 1
    assert found.sinks["log"].state == "unknown"
    assert found.sinks["log"].behind == 5
    code, out, _ = moonwatch("status", file)
    assert code == 1
    for untrue in ("all is well", "no trouble", "none"):
        assert untrue not in out


@pytest.mark.redis
def test_a_store_that_is_not_there_leaves_unknown(tmp_path: Path, server: Redis) -> None:
    """All stages work, but whether a sink refused something nobody can tell."""
    content = deployment(tmp_path, {"plaza": camera(CLIP)}, queue=redis_at(server.url, tmp_path))
    file = written(tmp_path, content)
    at_work(file, *STAGES)
    found = seen(file)
    assert found.ok is False
    assert [trouble.startswith("there is no store") for trouble in found.troubles] == [True]
    sink = found.sinks["log"]
    assert (sink.behind, sink.undelivered, sink.state) == (None, None, "unknown")
    assert found.cameras["plaza"].state is None


def test_status_changes_nothing(tmp_path: Path) -> None:
    """It neither makes a store nor touches the one there is, whichever release wrote it."""
    content = deployment(tmp_path, {"plaza": camera(CLIP)})
    file = written(tmp_path, content)
    (trouble,) = seen(file).troubles
    assert trouble.startswith(f"there is no store {tmp_path}/events.db yet on this machine")
    code, _, errors = moonwatch("undelivered", "list", file)
    assert (code, "there is no store" in errors) == (1, True)
    assert not (tmp_path / "events.db").exists()
    deployed(tmp_path)
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        connection.execute("DROP TABLE moonwatch_leases")
        connection.execute("DROP TABLE moonwatch_fences")
        connection.execute("UPDATE moonwatch_schema SET version = 1")
        connection.commit()
    before = (tmp_path / "events.db").read_bytes()
    assert seen(file).troubles == []
    assert moonwatch("undelivered", "list", file)[1] == "no undelivered events\n"
    assert (tmp_path / "events.db").read_bytes() == before


def told(file: Path, *reports: Report) -> DeploymentStatus:
    """What is said where these processes, besides all usual ones, say this of themselves."""
    at_work(file, *STAGES)
    queues = shared_queues(load(file, []), SystemClock())
    for report in reports:
        queues.presence.say(new_member(report.stage), report.to_bytes(), timedelta(minutes=1))
    queues.close()
    return seen(file)


@pytest.mark.redis
def test_who_works_by_another_version_of_the_file_is_named(tmp_path: Path, server: Redis) -> None:
    """With the version that the others have, and the way to bring all to one."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    usual = [Report(stage, "one", 1, 1.0, version="aaa") for stage in STAGES]
    found = told(file, *usual, Report("inference", "two", 7, 1.0, version="bbb"))
    assert found.troubles == [
        "inference on two (7) uses version bbb of the file, others use aaa; "
        "update all with `moonwatch reload FILE`"
    ]


@pytest.mark.redis
def test_who_could_not_take_a_changed_file_is_named(tmp_path: Path, server: Redis) -> None:
    """With what it said of it."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    said = ["engines.vlm: has changed; restart this process to load it"]
    refused = Report("inference", "two", 7, 1.0, outcome="needs a restart", said=said)
    assert told(file, refused).troubles == [
        f"inference on two (7) did not apply the file, needs a restart: {said[0]}"
    ]


@pytest.mark.redis
def test_what_a_process_complains_of_is_a_trouble(tmp_path: Path, server: Redis) -> None:
    """Although its work goes on."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    troubled = Report("processing", "two", 7, 1.0, troubles=["the disk is full"])
    assert told(file, troubled).troubles == ["processing on two (7): the disk is full"]


@pytest.mark.redis
def test_a_camera_that_is_sampled_and_not_judged_is_named(tmp_path: Path, server: Redis) -> None:
    """The sampler knows a new camera, the processor at work does not."""
    cameras = {name: camera(CLIP) for name in ("plaza", "yard")}
    content = deployment(tmp_path, cameras, queue=redis_at(server.url, tmp_path))
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    at_work(file, *STAGES)
    written(tmp_path, content)
    queues = shared_queues(load(file, []), SystemClock())
    report = Report("sampling", "two", 7, 1.0, samples=["yard"])
    queues.presence.say(new_member("sampling"), report.to_bytes(), timedelta(minutes=1))
    queues.close()
    assert seen(file).troubles == [
        "camera yard is sampled but not processed: no processor knows it; `moonwatch reload FILE` "
        "makes all processes read the file again"
    ]


@pytest.mark.redis
def test_a_camera_that_is_judged_late_is_named(tmp_path: Path, server: Redis) -> None:
    """Half a minute behind is not well, however busy everybody is."""
    file = deployed(tmp_path, queue=redis_at(server.url, tmp_path))
    deliver(tmp_path)
    until = SystemClock().now() - 27.0
    late = Report(
        "processing", "one", 1, 1.0, figures={"plaza": CameraFigures(up=True, judged_until=until)}
    )
    (trouble,) = told(file, late).troubles
    assert trouble.startswith("camera plaza is processed 2")
    assert trouble.endswith(" s late, so its events are late too")


def test_a_sequence_has_a_row(tmp_path: Path) -> None:
    """How many are stored and when the last one was, also while nothing runs."""
    file = deployed(tmp_path, sequences=BOTH)
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build()
    store.register_sinks(["log", "sequence both"])
    # The first one is of a clock that was ahead.
    told = [replace(an_event(n), type="sequence", rule="both", at=AT + n) for n in (900_000_000, 9)]
    store.commit(Commit(events=told))
    store.close()

    one = seen(file).sequences["both"]
    assert (one.behind, one.reported, one.last, one.awaiting) == (2, 2, AT + 9, None)
    _, out, _ = moonwatch("status", file)
    row = next(line for line in out.splitlines() if "both" in line)
    assert "2026-06-01T13:00:09+01:00" in row
    _, out, _ = moonwatch("status", file, "--json")
    assert json.loads(out)["sequences"]["both"]["reported"] == 2


@pytest.mark.redis
@pytest.mark.parametrize(
    ("lane", "behind", "state", "trouble"),
    [
        ({"error": None, "awaiting": 3, "unknown": 1, "behind": 0}, 0, "no trouble", None),
        (
            {"error": "the store is locked"},
            5,
            "the store is locked",
            "sequence both: the store is locked",
        ),
        (None, 5, "no delivery process is running", "sequence both is 5 events behind and no"),
    ],
)
def test_how_a_sequence_is_judged_is_said(
    tmp_path: Path,
    server: Redis,
    lane: dict[str, Any] | None,
    behind: int,
    state: str,
    trouble: str | None,
) -> None:
    """By the process that delivers; the cursor of one that waits stays where it is."""
    file = written(
        tmp_path,
        deployment(
            tmp_path,
            {"plaza": camera(CLIP)},
            sequences=BOTH,
            queue=redis_at(server.url, tmp_path),
        ),
    )
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build()
    store.register_sinks(["log", "sequence both"])
    store.commit(Commit(events=[an_event(n) for n in range(5)]))
    store.close()
    if lane is not None:
        queues = shared_queues(load(file, []), SystemClock())
        report = Report("delivery", "here", 1, 1.0, sinks={"sequence both": lane})
        queues.presence.say(new_member("delivery"), report.to_bytes(), timedelta(minutes=1))
        queues.close()

    found = seen(file)
    one = found.sequences["both"]
    assert (one.behind, one.state) == (behind, state)
    assert one.awaiting == (None if lane is None else lane.get("awaiting", 0))
    troubles = [said for said in found.troubles if "sequence both" in said]
    assert [said.startswith(trouble or "never") for said in troubles] == [True] * bool(trouble)


def test_what_a_sink_holds_back_is_seen(tmp_path: Path) -> None:
    """For people and for machines: messages sent, events that wait, and those nobody hears of."""
    guard = {"type": "notify", "url": "ntfys://ntfy.sh/topic"}
    file = deployed(tmp_path, sinks={"log": {"type": "stdout"}, "guard": guard})
    assert seen(file).sinks["guard"].held_back is None
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build()
    held = HeldBack(messages=6, held=40, waiting=14, silenced=3, reason="answers 403")
    store.notes_of("guard").take_down({HELD_BACK: held.as_text()})
    store.close()
    found = seen(file).sinks["guard"]
    assert found.held_back == held
    assert found.state.endswith(
        "; 6 messages sent, 14 events wait for one (40 held back so far), 3 silenced in quiet "
        "hours, what waits is refused: answers 403"
    )
    _, out, _ = moonwatch("status", file, "--json")
    assert json.loads(out)["sinks"]["guard"]["held_back"]["waiting"] == 14


def test_a_note_of_another_release_is_nothing() -> None:
    """What cannot be read counts nothing, and does not end the status."""
    assert HeldBack.read(None) == HeldBack.read("[]") == HeldBack.read('{"more": 1}') == HeldBack()
    assert HeldBack.read("no json") == HeldBack()
    assert HeldBack(messages=1).in_words() == "1 message sent"
