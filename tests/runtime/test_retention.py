"""What is too old is forgotten, and where that is not possible an operator is told."""

import logging
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from pipeline.core.errors import StoreError
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket
from pipeline.core.observations import ObservationTail, ObservedFrame, Waypoint, tail
from pipeline.core.store import Commit, EventFilter
from pipeline.deployment.loader import parse
from pipeline.runtime.stages.retention import Retention
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event

TEXT = """
version: 1
store: {url: "sqlite:///FOLDER/events.db", keep: 1d}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://127.0.0.1:9/door"}
"""


def test_pictures_that_cannot_be_deleted_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log when it begins and when it ends, and as a trouble for `status` between."""
    caplog.set_level(logging.INFO)
    config = StoreConfig(url=f"sqlite:///{tmp_path}/events.db")
    clock = ManualClock()
    store, media = config.build(clock), config.build_media()
    deployment = parse(TEXT.replace("FOLDER", str(tmp_path))).deployment
    retention = Retention(deployment, store, media, clock)
    retention.look()

    def refuse(before: float) -> int:
        raise StoreError("old pictures in /media cannot be deleted: Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(media, "prune", refuse)
        for _ in range(24):
            clock.advance(3601.0)
            retention.look()
        assert "Permission denied" in str(retention.trouble)
    clock.advance(3601.0)
    retention.look()
    assert retention.trouble is None
    said = [record.message for record in caplog.records if "store.keep" in record.message]
    assert len(said) == 2
    assert "cannot be deleted: old pictures in /media" in said[0]
    assert "is deleted again" in said[1]
    store.close()


RESULT = Result("door", "run", "fast", 0, 0, 60.0, (640, 480), live=True)


@pytest.mark.parametrize(
    ("store", "left"),
    [
        ("keep: 30d", [3, 2, 0]),
        ("keep: 1d", [1, 0, 0]),
        ("keep: null", [3, 2, 0]),
        ("keep: 30d, observations: {keep: 4d}", [2, 1, 0]),
        ("keep: 1d, observations: {keep: 4d}", [1, 0, 0]),
        ("keep: null, observations: {keep: 0}", [0, 0, 0]),
    ],
)
def test_what_was_seen_is_kept_for_its_own_time(
    tmp_path: Path, store: str, left: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Seven days unless said otherwise, never longer than events, and not at all where it is off.

    Of days 0, 3 and 6, as looked at on days 6, 8 and 16.
    """
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    deployment = parse(TEXT.replace("FOLDER", str(tmp_path)).replace("keep: 1d", store)).deployment
    kept, media = deployment.store.build(clock), deployment.store.build_media()
    retention = Retention(deployment, kept, media, clock)
    found: list[int] = []
    for day in range(17):
        if day in (0, 3, 6):
            content = tail([ObservedFrame(RESULT)])
            one = ObservationTail("door", "fast", "run", 60 * day, 1, content, ends=True)
            kept.commit(Commit(observations=[one]))
        retention.look()
        if day in (6, 8, 16):
            found.append(len(list(kept.observations("door"))))
        clock.advance(86_400.0)
    retention.close()
    assert found == left
    said = [line for line in caplog.messages if "forgot what was seen in" in line]
    assert sum(int(line.split(" frames")[0].split()[-1]) for line in said) == 3
    kept.close()


@pytest.mark.parametrize(
    ("store", "events", "minutes"),
    [
        ("keep: 5d", 5, 16),  # what was kept before stays, and longer
        ("keep: 5d, counts: {keep: 10d}", 5, 10),
        ("keep: 12d, counts: {keep: 10d}", 12, 12),  # never shorter than events
        ("keep: 5d, counts: {keep: null}", 5, 16),
        ("keep: null, counts: {keep: 10d}", 16, 16),
    ],
)
def test_counts_are_kept_longer_than_events(
    tmp_path: Path, store: str, events: int, minutes: int
) -> None:
    """With 16 days of one event and one minute each, as looked at on the last."""
    clock = ManualClock()
    deployment = parse(TEXT.replace("FOLDER", str(tmp_path)).replace("keep: 1d", store)).deployment
    kept, media = deployment.store.build(clock), deployment.store.build_media()
    retention = Retention(deployment, kept, media, clock)
    for day in range(16):
        bucket = Bucket("door", "footfall", 86_400 * day, 1, 1.0)
        kept.commit(Commit(events=[an_event(day)], buckets=[bucket]))
        clock.advance(86_400.0)
        retention.look()
    assert len(kept.history.events(EventFilter())) == events
    assert len(kept.history.buckets()) == minutes
    kept.close()


def test_what_was_kept_before_it_was_switched_off_is_forgotten(tmp_path: Path) -> None:
    """Within the hour: who switches it off wants it gone."""
    clock = ManualClock()
    deployment = parse(TEXT.replace("FOLDER", str(tmp_path))).deployment
    kept, media = deployment.store.build(clock), deployment.store.build_media()
    retention = Retention(deployment, kept, media, clock)
    content = tail([ObservedFrame(RESULT)])
    one = ObservationTail("door", "fast", "run", 60, 1, content, begins=True)
    point = Waypoint("door", "fast", "run", 0, 60.0, None)
    kept.commit(Commit(observations=[one], waypoints=[point]))
    retention.look()
    assert len(list(kept.observations("door"))) == 1
    off = TEXT.replace("FOLDER", str(tmp_path)).replace("1d", "1d, observations: {keep: 0}")
    retention.update(parse(off).deployment)
    clock.advance(3601.0)
    retention.look()
    assert (list(kept.observations("door")), list(kept.waypoints("door"))) == ([], [])
    kept.close()
