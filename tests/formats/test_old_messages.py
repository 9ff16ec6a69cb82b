"""Messages, reports and records of old releases are read as they were meant."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pipeline.core.answers import Boxes, Failed, Number, Points, Text
from pipeline.core.errors import QueueError
from pipeline.core.events import event_from_json, event_to_json
from pipeline.core.jobs import Result, health_result
from pipeline.core.measures import Health
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point
from pipeline.core.wire import decode_job, decode_result, encode_job, encode_result
from pipeline.runtime.reports import Report
from pipeline.telemetry.figures import CameraFigures
from tests.formats.present import FOLDER

AT = 1780315200.123456789
RUN = "2026-06-01T12:00:00Z golden"
RESULT = Result(
    *("hall", RUN, "fake", 678, 12345, AT, (1920, 1080)),
    live=True,
    answers={
        "people": Boxes(
            "fake", ((0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.75, 0.875)), (0.9, 0.123456789), True
        ),
        "plates": Points("fake", ((0.25, 0.5),), (0.75,)),
        "boxes": Number("fake", 10**30, 0.5),
        "door": Text("fake", "yes ✓", 0.97),
        "sort": Text("fake", "red"),
        "words": Failed("fake", "no answer"),
    },
)
LAST = Result("clip", "run", "fake", 9, 9, 12.5, (0, 0), live=False, last=True)
OFFLINE = health_result(Health("hall", 1780315200.5, "offline", "timeout"), run="r")
TASKS = (
    Detect("people", "fake", "person", 7),
    Point("plates", "fake", "license plate"),
    Count("boxes", "fake", "box", 9),
    Ask("door", "fake", "Is the door open? äöü"),
    Ask("sort", "fake", "Which?", "one of", ("red", "blue"), 5),
    Caption("words", "fake", "long", 33),
)
RELEASES = sorted(path.parent for path in FOLDER.glob("*/job.bin"))
releases = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)


@releases
def test_results_are_read(release: Path) -> None:
    """Answers of every kind, the end of a run, a camera's state."""
    assert decode_result((release / "result.bin").read_bytes()) == RESULT
    assert decode_result((release / "last.bin").read_bytes()) == LAST
    assert decode_result((release / "health.bin").read_bytes()) == OFFLINE


@releases
def test_jobs_are_read(release: Path) -> None:
    """Tasks of every kind."""
    pixels = np.zeros((0, 0, 3), np.uint8)
    job = decode_job((release / "job.bin").read_bytes(), pixels)
    assert job.tasks == TASKS
    assert (job.frame.camera, job.frame.run, job.frame.seq) == ("hall", RUN, 12345)
    assert (job.engine, job.ordinal, job.live) == ("fake", 678, True)
    assert (job.frame.captured_at, job.frame.size_wh) == (AT, (1920, 1080))


def test_a_later_release_only_adds_at_the_end() -> None:
    """What the first release wrote is how every message begins."""
    first = FOLDER / "35f8f1b"
    job = decode_job((first / "job.bin").read_bytes(), np.zeros((0, 0, 3), np.uint8))
    written = {
        "result": encode_result(RESULT),
        "last": encode_result(LAST),
        "health": encode_result(OFFLINE),
        "job": encode_job(job),
    }
    for name, data in written.items():
        then = (first / f"{name}.bin").read_bytes()
        assert data[:1] == then[:1]
        assert begins_with(msgspec.msgpack.decode(data[1:]), msgspec.msgpack.decode(then[1:]))


def begins_with(now: Any, then: Any) -> bool:
    """Whether every list of a message starts as it did."""
    if not isinstance(then, list):
        return bool(now == then)
    return len(now) >= len(then) and all(map(begins_with, now, then))


@releases
def test_events_are_read(release: Path) -> None:
    """An event's record comes back as it was, and one with more fields as far as it is known."""
    text = (release / "event.json").read_text()
    event = event_from_json(text)
    assert json.loads(event_to_json(event)) == json.loads(text)
    assert event_from_json(json.dumps({**json.loads(text), "added": [1]})) == event


def test_an_event_that_lacks_what_matters_is_refused() -> None:
    """One sentence says what is wrong."""
    with pytest.raises(ValueError, match="missing or malformed: 'camera'"):
        event_from_json('{"id": "a", "type": "x", "phase": "single"}')


@releases
def test_reports_are_read(release: Path) -> None:
    """With all that a process said of itself."""
    report = Report.of_bytes((release / "report.json").read_bytes())
    assert report is not None
    assert (report.stage, report.host, report.pid, report.up_s) == (
        *("processing", "host-1", 4711, 12.3),
    )
    assert report.figures["hall"] == CameraFigures(sampled=5, judged=4, dropped={"stale": 1})
    assert report.judged == {"hall": {"fake": ("run", 7, False), "vlm": None}}
    assert list(report.partitions) == [0, 3]


@pytest.mark.parametrize("changed", [{"added": 1}, {"figures": None, "stage": "delivery"}, {}])
def test_a_report_of_another_release_is_read(changed: dict[str, object]) -> None:
    """Unknown keys are passed over, and missing or unreadable ones have their default."""
    said = json.loads((FOLDER / "35f8f1b" / "report.json").read_bytes())
    said.pop("progress")
    report = Report.of_bytes(json.dumps({**said, **changed}).encode())
    assert report is not None
    assert (report.host, report.pid, report.progress) == ("host-1", 4711, None)


def test_damaged_messages_are_refused() -> None:
    """With a sentence, whatever was cut off."""
    data = (FOLDER / "35f8f1b" / "result.bin").read_bytes()
    for end in range(len(data)):
        with pytest.raises(QueueError):
            decode_result(data[:end])
