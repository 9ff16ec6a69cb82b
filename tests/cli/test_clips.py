"""`moonwatch clips` and the export: what became of the clips of events."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from pipeline.core.clips import ClipAnswer, ClipFile, ClipWish
from pipeline.core.events import JsonValue
from pipeline.core.store import Commit
from pipeline.testing import ManualClock
from tests.cli.commands import moonwatch
from tests.contracts.event_tools import an_event
from tests.runtime.clips import deployment, written

AT = 1_780_000_000.0
READY, GONE = "door/2026-05-28/a.mp4", "door/2026-05-28/b.mp4"


def a_file(since: float, until: float) -> ClipFile:
    """What is in a file."""
    return ClipFile(since, until, 1_500_000, "d" * 64, "h264", 640, 360, 100)


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> Path:
    """A deployment whose store has three events with clips: ready, failed and still to come."""
    camera = {
        "source": {"type": "rtsp", "url": "rtsp://192.0.2.1/a"},
        "tasks": {"people": {"detect": "person"}},
        "rules": {"stay": {"type": "dwell", "of": "people", "longer_than": "2s", "clip": True}},
    }
    content = deployment(tmp_path, {"door": camera, "gate": camera})
    store = StoreConfig(url=content["store"]["url"]).build(ManualClock(AT))
    wishes = [
        ClipWish(READY, "door", "run", AT - 5, AT + 10, AT),
        ClipWish(GONE, "door", "run", AT + 995, AT + 1010, AT + 1000),
        ClipWish("gate/2026-05-28/c.mp4", "gate", "run", AT + 1995, AT + 2010, AT + 2000),
    ]
    events = []
    for nth, wish in enumerate(wishes):
        event = an_event(nth + 1, camera=wish.camera)
        clip: dict[str, JsonValue] = {"reference": wish.reference}
        events.append(replace(event, data={**event.data, "clip": clip}))
    store.commit(Commit(events=[*events, an_event(9)], clips=wishes))
    more = (a_file(AT + 3, AT + 10.5),)
    store.clips.settle_clip(
        ClipAnswer(READY, "door", "ready", "", a_file(AT - 6.3, AT + 3), "/m", AT + 10, more)
    )
    store.clips.settle_clip(ClipAnswer(GONE, "door", "failed", "no room [left]", until=AT + 1010))
    store.close()
    return written(tmp_path, content)


def test_clips_are_listed_with_what_they_show(shop: Path) -> None:
    """In words for people, and as JSON for machines."""
    code, told, errors = moonwatch("clips", shop)
    assert code == 0, errors
    lines = told.splitlines()
    assert [line.split("state ")[1].split(",")[0] for line in lines] == [
        "ready",
        "failed",
        "wanted",
    ]
    assert "before 6.3 of 5.0 s, length 16.8 s, size 3.0 MB" in lines[0]
    assert f"files {READY} door/2026-05-28/a.2.mp4" in lines[0]
    assert "before nothing of 5.0 s" in lines[1]
    assert "reason no room [left]" in lines[1]
    code, told, errors = moonwatch("clips", shop, "--json", "--state", "ready", "--camera", "door")
    assert code == 0, errors
    [clip] = json.loads(told)
    assert clip["before"] == {"asked": 5.0, "got": 6.3}
    assert [one["reference"] for one in clip["files"]] == [READY, "door/2026-05-28/a.2.mp4"]
    assert clip["files"][1]["bytes"] == 1_500_000


def test_a_period_is_that_of_the_events(shop: Path) -> None:
    """From a moment on, and up to another one."""
    words = ("--since", "2026-05-28T21:41", "--until", "2026-05-28T22:00", "--json")
    code, told, errors = moonwatch("clips", shop, *words)
    assert code == 0, errors
    assert [one["reference"] for one in json.loads(told)] == [GONE]


def test_no_clips_and_no_such_camera_are_said(shop: Path, tmp_path: Path) -> None:
    """With the reason, where the file has no rule that asks for any."""
    code, told, _ = moonwatch("clips", shop, "--state", "partial")
    assert (code, told.strip()) == (0, "no clips")
    code, told, errors = moonwatch("clips", shop, "--camera", "dor")
    assert code == 2
    assert "there is no camera 'dor'; did you mean 'door'?" in told + errors
    plain = {"source": {"type": "rtsp", "url": "rtsp://192.0.2.1/a"}}
    other = deployment(tmp_path / "other", {"door": plain})
    file = written(tmp_path / "other", other)
    StoreConfig(url=other["store"]["url"]).build(ManualClock(AT)).close()
    code, told, errors = moonwatch("clips", file)
    assert (code, told.strip()) == (0, "no clips: no rule has `clip: true`"), errors


def test_an_export_of_events_says_what_became_of_their_clips(shop: Path) -> None:
    """Its files, its state, and how much before the event was asked for and is there."""
    code, told, errors = moonwatch("export", shop, "--what", "events")
    assert code == 0, errors
    rows = list(csv.DictReader(io.StringIO(told)))
    found = [
        (row["clip"], row["clip_state"], row["clip_before_asked"], row["clip_before"])
        for row in rows
    ]
    assert found == [
        (f"{READY} door/2026-05-28/a.2.mp4", "ready", "5", "6.3"),
        (GONE, "failed", "5", ""),
        ("gate/2026-05-28/c.mp4", "wanted", "5", ""),
        ("", "", "", ""),
    ]
