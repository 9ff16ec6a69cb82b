"""The present tree goes on with the stores of old releases as if it had written them."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.events import Event, event_to_json
from pipeline.deployment.model import Deployment
from pipeline.rules.coverage import COVERAGE
from tests.formats import scene
from tests.formats.present import FOLDER, deployment, judge

RELEASES = sorted(path.parent.name for path in FOLDER.glob("*/store.db"))


def found(
    made: Deployment, *, running: bool = True
) -> tuple[Mapping[str, str], Mapping[tuple[str, int], Any]]:
    """Every event by its record id, and every minute with the values that are known.

    The first release wrote nothing of a minute that was still running, and its events did not say
    how much they stand on.
    """
    store = made.store.build()
    try:
        events = {
            stored.event.record_id: event_to_json(_without_coverage(stored.event))
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


def _without_coverage(event: Event) -> Event:
    return replace(event, data={n: v for n, v in event.data.items() if n != COVERAGE})


@pytest.fixture
def left(tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    """A deployment on a copy of an old release's store."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(FOLDER / request.param / "store.db", folder / "store.db")
    return deployment(folder)


@pytest.mark.parametrize("left", RELEASES, indirect=True)
def test_an_old_store_holds_what_the_present_tree_would_have_concluded(
    tmp_path: Path, left: Deployment
) -> None:
    """Events are equal id for id, and minutes value for value."""
    fresh = deployment(tmp_path)
    judge(fresh, 0, scene.BREAK)
    assert found(left, running=False) == found(fresh, running=False)


@pytest.mark.parametrize("left", RELEASES, indirect=True)
def test_an_old_store_is_gone_on_with(tmp_path: Path, left: Deployment) -> None:
    """From the middle of a minute and of a visit, nothing is lost, doubled or begun anew."""
    fresh = deployment(tmp_path)
    judge(fresh, 0, scene.FRAMES)
    judge(left, scene.BREAK, scene.FRAMES)
    assert found(left) == found(fresh)
    assert len(found(fresh)[0]) > 40


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
