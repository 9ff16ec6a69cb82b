"""How a deployment is, in the application: what `moonwatch status` says, and what helps."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from connectors.stores.sql import SqlStore
from pipeline.cli import status as command
from pipeline.core.clock import SystemClock
from pipeline.core.delivery_figures import FIGURES, DeliveryFigures
from pipeline.core.events import Event, JsonValue, event_id
from pipeline.core.measures import Bucket, Health
from pipeline.core.people import Role
from pipeline.core.store import Commit, Undelivered
from pipeline.deployment.loader import load
from pipeline.insight.status import status_of
from pipeline.runtime.assembly import used_engines
from pipeline.runtime.reports import Report, new_member
from pipeline.telemetry.figures import CameraFigures
from pipeline.telemetry.metrics import LATENCY_BUCKETS
from pipeline.telemetry.spreads import EngineSpeed, LatencyCounts
from pipeline.testing import ManualClock, patience
from pipeline.web.access.visitor import Visitor
from pipeline.web.caching import ShortMemory
from pipeline.web.health import seeing
from pipeline.web.health.seeing import Advice
from tests.architecture.source_tree import ROOT
from tests.web.applications import Application, application

NOW = 1_780_315_200.0
TEXTS = ROOT / "pipeline" / "web" / "ui" / "src" / "views" / "health" / "texts.ts"
_FILE = """
version: 1
site: {{name: Shop, timezone: Europe/Berlin}}
store: {{url: "sqlite:///{folder}/health.db"}}
cameras:
  door:
    source: {{type: rtsp, url: "rtsp://boss:hunter2secret@10.0.0.7/stream"}}
    tasks: {{people: {{detect: person}}}}
    lines: {{sill: {{from: [0.5, 0.1], to: [0.5, 0.9]}}}}
    rules: {{in: {{type: line_crossing, of: people, line: sill}}}}
  till:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
sinks:
  hook: {{type: webhook, url: "https://user:hook4secret@shop.example/in"}}
  log: {{type: stdout}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A shop of which an engine's answer failed, a sink refused an event and a camera is gone."""
    path = tmp_path / "shop.yaml"
    path.write_text(_FILE.format(folder=tmp_path), encoding="utf-8")
    clock = ManualClock(NOW)
    store = SqlStore(f"sqlite:///{tmp_path / 'health.db'}", clock)
    store.register_sinks(["hook", "log"])
    events = [
        Event(
            id=event_id("door", "in", str(n), NOW - 60),
            type="line_crossing",
            phase="single",
            camera="door",
            rule="in",
            at=NOW - took,
        )
        for n, took in enumerate((1.0, 2.0, 3.0, 4.0, 5.0))
    ]
    day = [Bucket("door", "in", int(NOW - 4 * 86_400), 60, 1.0, {"entered": 1.0, "left": 0.0})]
    store.commit(
        Commit(
            events=events,
            buckets=day,
            health=[Health("door", NOW - 60, "offline", "refused: the camera refuses the login")],
        )
    )
    first = store.events_after(0, 1)[0]
    refused = Undelivered("hook", 1, first.event.record_id, "[410] token=abc1234 gone", 1)
    store.advance("hook", 1, [refused])
    noted = DeliveryFigures(NOW - 5, "x", 1.5, 4.5, 1, 7, {"[410] gone": 1}, NOW - 1, 2.5)
    store.notes_of("log").take_down({FIGURES: noted.to_text()})
    store.close()
    return path


@pytest.fixture
def app(file: Path) -> Iterator[Application]:
    """The application at that moment."""
    with application(file, clock=ManualClock(NOW)) as found:
        yield found


def got(answer: httpx.Response) -> Any:
    """What a good answer says."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_it_is_what_status_says(app: Application, file: Path) -> None:
    """The same troubles, notes, cameras and sinks as `status --json`, each with what helps."""
    assert vars(seeing)["status_of"] is vars(command)["status_of"] is status_of
    told = got(app.client.get("/health"))
    said = json.dumps(status_of(load(file, []), ManualClock(NOW)).as_json())
    status = json.loads(said.replace("abc1234", "***"))
    assert [one["sentence"] for one in told["troubles"]] == status["troubles"]
    assert (told["ok"], told["unseen"]) == (status["ok"], status["unseen"])
    assert told["notes"] == status["notes"]
    for camera in told["cameras"]:
        for key in ("state", "since", "reason", "message", "lag_s"):
            assert camera[key] == status["cameras"][camera["name"]][key]
    for sink in told["sinks"]:
        known = status["sinks"][sink["name"]]
        for key in ("behind", "lag_s", "undelivered", "error", "waits_s", "state"):
            assert sink[key] == known[key]
        assert sink["p95_s"] == known["figures"]["p95_s"]
    about = {(one["about"], one["name"]): one["advice"] for one in told["troubles"]}
    assert about["sink", "hook"] == "sink_refused"
    log = next(one for one in told["sinks"] if one["name"] == "log")
    assert (log["p50_s"], log["p95_s"], log["last_hour"]) == (2.5, 4.5, 7)


def test_how_long_events_take_is_told(app: Application) -> None:
    """From capture to the store, of live cameras in the last hour."""
    told = got(app.client.get("/health"))
    door, till = told["cameras"]
    assert (door["events_last_hour"], door["stored_p50_s"]) == (5, 3.0)
    assert door["stored_p95_s"] == pytest.approx(4.8)
    assert (till["events_last_hour"], till["stored_p50_s"]) == (0, None)
    assert told["stored_p50_s"] == 3.0


def test_how_long_the_disk_lasts_is_told(app: Application, tmp_path: Path) -> None:
    """By how fast the store has grown in four days."""
    storage = got(app.client.get("/health"))["storage"]
    assert storage["place"] == "health.db"
    assert storage["bytes"] > 0
    assert storage["grows_bytes_a_day"] == pytest.approx(storage["bytes"] / 4)
    left = storage["free_bytes"] / storage["grows_bytes_a_day"]
    assert storage["days_left"] == pytest.approx(left)


def test_of_a_store_without_minutes_nothing_is_foretold(tmp_path: Path) -> None:
    """Unknown is no number."""
    path = tmp_path / "shop.yaml"
    path.write_text(_FILE.format(folder=tmp_path), encoding="utf-8")
    with application(path) as app:
        told = got(app.client.get("/health"))
    assert told["storage"]["days_left"] is None
    assert told["cameras"][0]["stored_p50_s"] is None
    assert told["ok"] is None
    assert told["unseen"].startswith("No run is active, "), "it is a sentence on a page"


def test_many_viewers_cost_one_status(app: Application, file: Path) -> None:
    """Within two seconds all get the same; then it is asked anew."""
    assert got(app.client.get("/health"))["cameras"][0]["state"] == "offline"
    store = SqlStore(f"sqlite:///{file.parent / 'health.db'}")
    store.commit(Commit(health=[Health("door", NOW, "frozen")]))
    store.close()
    clock = app.state.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1.5)
    assert got(app.client.get("/health"))["cameras"][0]["state"] == "offline"
    clock.advance(1.0)
    assert got(app.client.get("/health"))["cameras"][0]["state"] == "frozen"


def test_who_asks_while_it_is_asked_waits_for_it() -> None:
    """Eight at once are one question; a mistake is for who asked, and is not kept."""
    memory: ShortMemory[int] = ShortMemory(SystemClock(), 60.0)
    asked: list[int] = []
    all_there = threading.Barrier(8)

    def make() -> int:
        asked.append(1)
        return 7

    def ask() -> int:
        all_there.wait(patience(10))
        return memory.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        found = [one.result() for one in [pool.submit(ask) for _ in range(8)]]
    assert (found, len(asked)) == ([7] * 8, 1)
    with pytest.raises(ZeroDivisionError):
        memory.get("other", lambda: 1 // 0)
    assert memory.get("other", lambda: 3) == 3


def test_a_viewer_sees_his_cameras_alone(app: Application) -> None:
    """Nothing of other cameras, of sinks, of processes and of the store."""
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
    answer = app.client.get("/health")
    told = got(answer)
    assert [one["name"] for one in told["cameras"]] == ["till"]
    assert (told["sinks"], told["engines"], told["processes"]) == ([], [], [])
    assert (told["storage"], told["is_whole"], told["troubles"]) == (None, False, [])
    for text in (answer.text, app.client.get("/health/diagnostic").text):
        assert "door" not in text
        assert "hook" not in text


def test_the_diagnostic_has_no_secrets(app: Application) -> None:
    """Nor has the page: not those of addresses, nor what a sink quoted."""
    text = app.client.get("/health/diagnostic").text
    assert text.startswith("moonwatch: ")
    assert "hook" in text
    for secret in ("hunter2secret", "hook4secret", "abc1234"):
        assert secret not in text
        assert secret not in app.client.get("/health").text


def say(file: Path, *reports: Report) -> None:
    """What processes publish about themselves, in the store of this shop."""
    store = SqlStore(f"sqlite:///{file.parent / 'health.db'}", ManualClock(NOW))
    for report in reports:
        member = new_member(report.stage)
        store.presence.say(member, report.to_bytes(), timedelta(minutes=5))
    store.close()


def counted(bound: float, number: int) -> LatencyCounts:
    """So many that took so long."""
    return LatencyCounts(tuple(number if one == bound else 0 for one in (*LATENCY_BUCKETS, None)))


def test_how_engines_do_and_how_late_frames_are_judged(app: Application, file: Path) -> None:
    """As the run with a queue in memory publishes it; the same as `status --json` says."""
    (engine,) = used_engines(load(file, []))
    speed = EngineSpeed(counted(0.5, 98).plus(counted(10, 2)), 100, 420, 3, 1.25)
    judged = {"door": counted(1, 95).plus(counted(30, 5))}
    figures = {"door": CameraFigures(dropped={"rate": 142, "stale": 3})}
    say(
        file,
        Report("run", "here", 7, 900.0, figures=figures, speeds={engine: speed}, judged_in=judged),
    )
    told = got(app.client.get("/health"))
    (seen,) = told["engines"]
    assert (seen["waiting"], seen["oldest_s"], seen["answers"], seen["batch"]) == (
        3,
        1.25,
        100,
        4.2,
    )
    assert 0.25 < seen["answer_p50_s"] <= 0.5
    assert 5 < seen["answer_p99_s"] <= 10
    door = told["cameras"][0]
    assert door["dropped"] == {"stale": 3}, "what the file leaves out is not lost"
    assert 0.5 < door["judged_p50_s"] <= 1 == door["judged_p95_s"]
    status = status_of(load(file, []), ManualClock(NOW)).as_json()
    assert isinstance(status["engines"], dict)
    known = status["engines"][engine]
    assert isinstance(known, dict)
    for key in ("waiting", "oldest_s", "answers", "batch", "answer_p50_s", "answer_p99_s"):
        assert seen[key] == known[key]


def test_of_more_events_than_are_read_it_is_said(app: Application, file: Path) -> None:
    """The times are then of the newest, and the page names how many."""
    assert got(app.client.get("/health"))["stored_of_newest"] is None
    store = SqlStore(f"sqlite:///{file.parent / 'health.db'}", ManualClock(NOW))
    crowd = [
        Event(event_id("door", "in", f"n{n}", NOW), "line_crossing", "single", "door", "in", NOW)
        for n in range(2000)
    ]
    store.commit(Commit(events=crowd))
    store.close()
    clock = app.state.clock
    assert isinstance(clock, ManualClock)
    clock.advance(2.5)
    told = got(app.client.get("/health"))
    assert told["stored_of_newest"] == told["cameras"][0]["events_last_hour"] == 2000
    assert told["cameras"][0]["stored_p95_s"] == 0.0


def test_every_trouble_says_what_helps_and_quotes_no_secret(app: Application, file: Path) -> None:
    """Of cameras, sinks, sequences, processes, the file and the store, whoever quotes them."""
    quoted = (
        "rtsp://boss:hunter2secret@10.0.0.7/stream?token=t0kenplanted answers hunter2secret, "
        "https://user:hook4secret@shop.example/in with password='pl4ntedword' hook4secret"
    )
    lost: dict[str, JsonValue] = {
        "state": "offline",
        "since": NOW,
        "sentence": f"is offline: {quoted}",
        "help": quoted,
    }
    say(
        file,
        Report(
            "run",
            "here",
            7,
            900.0,
            not_ready=quoted,
            samples=["door", "till"],
            wellness={"door": [lost]},
            sinks={"log": {"sink": "log", "error": quoted, "behind": 4}},
            troubles=[quoted],
            notes=[quoted],
            outcome="invalid",
            said=[quoted],
        ),
    )
    answer = app.client.get("/health")
    told = got(answer)
    kinds = {one["about"] for one in told["troubles"]}
    assert {"camera", "sink", "process"} <= kinds
    texts = TEXTS.read_text(encoding="utf-8")
    for one in told["troubles"]:
        assert one["sentence"]
        helps = f'"health.advice.{one["advice"]}"'
        # What a process says of a camera has its help within the sentence.
        assert one["advice"] == "camera" or texts.count(helps) == 2, one
    for advice in get_args(Advice):
        assert advice == "camera" or texts.count(f'"health.advice.{advice}"') == 2, advice
    diagnostic = app.client.get("/health/diagnostic").text
    assert "rtsp://***" in diagnostic
    short = app.client.get("/today")
    for secret in ("hunter2secret", "hook4secret", "t0kenplanted", "pl4ntedword", "abc1234"):
        for text in (diagnostic, answer.text, short.text):
            assert secret not in text


def test_a_store_out_of_reach_is_a_trouble(app: Application, file: Path) -> None:
    """Said in a sentence, in time, with an answer."""
    with sqlite3.connect(file.parent / "health.db") as database:
        database.execute("DROP TABLE moonwatch_events")
    told = got(app.client.get("/health"))
    assert told["ok"] is False
    assert told["troubles"]
