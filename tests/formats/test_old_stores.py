"""The present tree goes on with the stores of old releases as if it had written them."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.events import Event
from pipeline.core.measures import Bucket
from pipeline.core.observations import DECIMALS
from pipeline.deployment.model import Deployment
from pipeline.rules.coverage import COVERAGE
from tests.formats import scene
from tests.formats.present import FOLDER, deployment, judge

RELEASES = sorted(path.parent.name for path in FOLDER.glob("*/store.db"))


def found(
    made: Deployment, running: bool = True
) -> tuple[dict[str, Event], Mapping[tuple[str, int], Bucket]]:
    """Every event by its record id, and every minute with the values that are known.

    The first release wrote nothing of a minute that was still running, its events did not say how
    much they stand on, and its boxes had more decimals than are judged by now.
    """
    store = made.store.build()
    try:
        events = {
            stored.event.record_id: _comparable(stored.event)
            for stored in store.events_after(0, 100_000)
        }
        minutes = {
            (bucket.rule, bucket.minute): replace(
                bucket, values={n: v for n, v in bucket.values.items() if v is not None}
            )
            for bucket in store.history.buckets()
            if running or not bucket.unfinished
        }
    finally:
        store.close()
    return events, minutes


def _comparable(event: Event) -> Event:
    event = replace(event, data={n: v for n, v in event.data.items() if n != COVERAGE})
    if event.subject is None or event.subject.box is None:
        return event
    left, top, right, bottom = (round(value, DECIMALS) for value in event.subject.box)
    return replace(event, subject=replace(event.subject, box=(left, top, right, bottom)))


@pytest.fixture
def left(tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    """A deployment on a copy of an old release's store."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(FOLDER / request.param / "store.db", folder / "store.db")
    return deployment(folder)


def check_alike(old: Deployment, fresh: Deployment, *, running: bool = True) -> None:
    """What is in a store that an old release began is what the present tree would have concluded.

    All is equal, id for id and value for value, but for what a better judgement of tracks changes:
    that release dated a crossing when its walker was clear of the line by the margin, up to a
    second after the crossing itself, and an id follows from the time; and it took who stands close
    to a zone's border for being inside at other moments. Crossings are still the same, in order,
    each by the same track, in the same minute, with the same totals.
    """
    (events, minutes), (expected, expected_minutes) = found(old, running), found(fresh, running)
    crossings, expected_crossings = _take_crossings(events), _take_crossings(expected)
    assert events == expected
    assert [_undated(event) for event in crossings] == [_undated(e) for e in expected_crossings]
    for event, dated in zip(crossings, expected_crossings, strict=True):
        assert -0.002 <= event.at - dated.at <= 1.002
        assert event.at // 60 == dated.at // 60
    assert minutes.keys() == expected_minutes.keys()
    for key, minute in minutes.items():
        assert minute == replace(expected_minutes[key], values=minute.values)
        assert minute.values == pytest.approx(
            expected_minutes[key].values, rel=0, abs=0.03 if minute.rule == "busy" else 0
        )


def _take_crossings(events: dict[str, Event]) -> list[Event]:
    crossings = [event for event in events.values() if event.type == "line_crossing"]
    for event in crossings:
        del events[event.record_id]
    return sorted(crossings, key=lambda event: event.at)


def _undated(event: Event) -> Event:
    """A crossing without what depends on the look at which it was sure."""
    assert event.subject is not None
    return replace(event, id="", at=0.0, seq=0, subject=replace(event.subject, box=None))


@pytest.mark.parametrize("left", RELEASES, indirect=True)
def test_an_old_store_holds_what_the_present_tree_would_have_concluded(
    tmp_path: Path, left: Deployment
) -> None:
    """Events are equal id for id, and minutes value for value; crossings differ in their date."""
    fresh = deployment(tmp_path)
    judge(fresh, 0, scene.BREAK)
    check_alike(left, fresh, running=False)


@pytest.mark.parametrize("left", RELEASES, indirect=True)
def test_an_old_store_is_gone_on_with(
    tmp_path: Path, left: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """From the middle of a minute and of a visit, nothing is lost, doubled or begun anew."""
    fresh = deployment(tmp_path)
    judge(fresh, 0, scene.FRAMES)
    with caplog.at_level(logging.INFO):
        judge(left, scene.BREAK, scene.FRAMES)
    assert caplog.messages == []
    check_alike(left, fresh)
    events, _ = found(left)
    assert len(events) > 40
    since = scene.captured_at(scene.BREAK)
    dates, expected = (
        [event.at for event in _take_crossings(found(made)[0]) if event.at >= since]
        for made in (left, fresh)
    )
    assert dates == pytest.approx(expected, rel=0, abs=2e-3)


@pytest.mark.parametrize("left", RELEASES, indirect=True)
def test_cursors_and_refused_events_of_an_old_store_are_kept(left: Deployment) -> None:
    """Sinks go on where they were, and what one refused is still listed."""
    store = left.store.build()
    try:
        assert [(c.sink, c.position, c.behind) for c in store.history.cursors()] == [
            ("hook", 5, 19),
            ("log", 10, 14),
        ]
        (refused,) = store.undelivered()
        assert (refused.sink, refused.position, refused.reason) == ("hook", 3, "answers 400")
        assert store.history.latest_health()[0].state == "black"
    finally:
        store.close()
