"""Sequences are found again over what was simulated: the present file gives those that are stored.

Everything here was judged by real processors; the sequences of the store by those who deliver.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.events import timestamp
from pipeline.core.store import Span
from pipeline.insight.simulation import RuleHour, SimulatedHour, summed
from tests.insight.lived_scene import EVERY_S, Look, Place, Walker, deployment, results_of

pytestmark = pytest.mark.timeout(180)
BEGAN = 1_700_002_700.0
"""100 s before the clock strikes."""
HOUR = 1_700_002_800.0
WALKERS = (Walker(0.35, 40, 10), Walker(0.7, 54, 12, down=False), Walker(0.2, 150, 10, stop=12))
CROSSED = {"type": "line_crossing", "of": "people", "line": "sill"}
PAID = {"type": "line_crossing", "of": "people", "line": "till"}
STAY = {"type": "dwell", "of": "people", "zone": "mat", "longer_than": "2s"}
CAMERAS = {"door": {"entrance": CROSSED, "stay": STAY}, "yard": {"paid": PAID}}
VISIT = {
    "first": {"camera": "door", "rule": "entrance", "direction": "in"},
    "then": {"camera": "yard", "rule": "paid"},
    "within": "5s",
}
SCENE = deployment(CAMERAS, {"visit": VISIT})


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes places in which both cameras saw the same for some time."""
    made: list[Place] = []

    def make(scene: dict[str, Any] = SCENE, looks: int = 500) -> Place:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        place = Place(folder, scene, BEGAN)
        made.append(place)
        for first in range(0, looks, 20):
            for camera, config in scene["cameras"].items():
                some = [Look(n, BEGAN + n * EVERY_S, "run", n) for n in range(first, first + 20)]
                live = config["source"]["type"] == "rtsp"
                place.feed(results_of(camera, some, WALKERS, live=live))
        return place

    yield make
    for place in made:
        place.store.close()


def total(hours: list[SimulatedHour], name: str) -> RuleHour:
    """All hours of a sequence."""
    (found,) = [one for _, one in summed(hours) if one.rule == name]
    return found


def ids(hours: list[SimulatedHour], name: str) -> set[str]:
    """Which sequences there would have been."""
    here = total(hours, name).here
    assert here is not None
    return {event.record_id for event in here.events}


NESTED = {
    "visit": VISIT,
    "again": {"first": {"rule": "visit"}, "then": {"rule": "visit"}, "within": "1m"},
    "stays": {
        "first": {"camera": "door", "rule": "entrance"},
        "then": {"camera": "door", "rule": "stay", "phase": "end"},
        "within": "10s",
        "same": "track",
    },
    "late": {"first": {"rule": "stay"}, "then": {"rule": "again"}, "within": "1d"},
    "alone": {
        "first": {"rule": "stay", "phase": "end"},
        "without": {"camera": "yard", "rule": "paid"},
        "within": "4s",
    },
    "after_alone": {"first": {"rule": "alone"}, "then": {"rule": "entrance"}, "within": "1m"},
    "nobody": {
        "first": {"rule": "alone"},
        "without": {"rule": "stay"},
        "within": "2s",
        "min_coverage": 0,
    },
    "rarely": {
        "first": {"rule": "entrance"},
        "then": {"rule": "paid"},
        "within": "30s",
        "cooldown": "25s",
    },
    "early": {**VISIT, "schedule": [{"to": "0:01"}]},
    "to": {"first": {"rule": "fro"}, "then": {"rule": "entrance"}, "within": "30s"},
    "fro": {"first": {"rule": "visit"}, "then": {"rule": "paid"}, "within": "30s"},
}


@pytest.mark.parametrize("recordings", [(), pytest.param(("yard",), marks=pytest.mark.slow)])
def test_the_present_file_gives_the_sequences_that_are_stored(
    lived: Callable[..., Place], recordings: tuple[str, ...]
) -> None:
    """Id for id, over a full hour: of both cameras, of one track, and those made of others."""
    place = lived(deployment(CAMERAS, NESTED, recordings=recordings))
    hours = place.simulated()
    assert list(place.differences(hours)) == []
    for name in NESTED:
        cameras = [hour.camera for hour in hours for one in hour.rules if one.rule == name]
        assert len(ids(hours, name)) >= 2, name
        assert len(set(cameras)) == 1
        assert len(cameras) == 2
        found = total(hours, name)
        assert (found.only_here, found.only_there) == ((), ())


def test_they_are_what_they_are_stored_as(lived: Callable[..., Place]) -> None:
    """With both parts, their times and the subject."""
    place = lived()
    here = total(place.simulated(), "visit").here
    assert here is not None
    assert {event.record_id: event for event in here.events} == place.stored("yard", "visit")


def test_another_line_or_time_gives_other_sequences(lived: Callable[..., Place]) -> None:
    """As if it had been so from the beginning, and which are new or gone is told."""
    place = lived()
    moved = deployment(
        {**CAMERAS, "yard": {"paid": {**PAID, "line": "sill"}}}, {"visit": {**VISIT}}
    )
    wanted = lived(moved)
    assert ids(place.simulated(moved), "visit") == wanted.stored("yard", "visit").keys()
    longer = deployment(CAMERAS, {"visit": {**VISIT, "within": "20s"}})
    found = total(place.simulated(longer), "visit")
    assert {event.record_id for event in found.only_here} == (
        lived(longer).stored("yard", "visit").keys() - place.stored("yard", "visit").keys()
    )
    assert found.only_here
    assert not found.only_there


def test_one_that_is_new_and_one_that_was_removed(lived: Callable[..., Place]) -> None:
    """The new one counts for all of the past; the other is shown as it is stored."""
    place = lived()
    other = deployment(CAMERAS, {"stays": NESTED["stays"]})
    hours = place.simulated(other)
    assert ids(hours, "stays") == lived(other).stored("door", "stays").keys()
    visit = total(hours, "visit")
    assert visit.here is None
    assert visit.there is not None
    assert {event.record_id for event in visit.there.events} == place.stored("yard", "visit").keys()


@pytest.mark.parametrize(
    "scope",
    [
        {"rules": ("visit",)},
        {"cameras": ("yard",)},
        {"span": Span(HOUR, HOUR + 60.0)},
        {"span": Span(HOUR - 40.0, HOUR + 60.0), "cameras": ("yard",), "rules": ("visit",)},
        {"span": Span(BEGAN + 33.0, None), "rules": ("visit", "paid")},
    ],
)
def test_what_is_asked_for_is_whole(lived: Callable[..., Place], scope: dict[str, Any]) -> None:
    """What another camera, rule or moment must be known for is judged, and not shown."""
    place = lived()
    hours = place.simulated(**scope)
    span = scope.get("span", Span())
    assert ids(hours, "visit") == {
        key
        for key, event in place.stored("yard", "visit").items()
        if (span.since or 0.0) <= event.at < (span.until or 1e12)
    }
    assert ids(hours, "visit")
    shown = {(hour.camera, one.rule) for hour in hours for one in hour.rules}
    assert {camera for camera, _ in shown} <= set(scope.get("cameras", ("door", "yard")))
    assert {rule for _, rule in shown} <= set(
        scope.get("rules", ("entrance", "stay", "paid", "visit"))
    )


def test_what_began_before_anything_was_kept_is_taken_from_the_store(
    lived: Callable[..., Place],
) -> None:
    """What was seen is kept for a shorter time than events."""
    cameras: dict[str, dict[str, Any]] = {
        **CAMERAS,
        "yard": {"carts": {"type": "count", "of": "carts", "more_than": 1}},
    }
    laden = {**VISIT, "then": {"rule": "carts"}, "within": "20s"}
    place = lived(deployment(cameras, {"visit": laden}), looks=200)
    place.clock.advance(86400.0)
    place.store.prune_observations(place.clock.now() - 3600.0)
    for camera in CAMERAS:
        some = [Look(n, BEGAN + n * EVERY_S, "run", n) for n in range(200, 500)]
        place.feed(results_of(camera, some, WALKERS))
    hours = place.simulated()
    begun = min(bucket.first for bucket in place.store.observed())
    assert begun > BEGAN
    stored = place.stored("yard", "visit")
    assert ids(hours, "visit") == {key for key, event in stored.items() if event.at >= begun}
    firsts = [event.data["first"] for event in stored.values() if event.at >= begun]
    times = [str(first["time"]) for first in firsts if isinstance(first, dict)]
    assert min(times) < timestamp(begun)
    for hour in hours:
        for one in hour.rules:
            assert (one.only_here, one.only_there) == ((), ()), one.rule


def test_of_a_part_that_was_not_recorded_nothing_is_known(lived: Callable[..., Place]) -> None:
    """Which is said, with the part, and is not zero."""
    place = lived()
    other = deployment(CAMERAS, {"visit": VISIT})
    other["cameras"]["door"] = {
        **other["cameras"]["door"],
        "tasks": {
            **other["cameras"]["door"]["tasks"],
            "people": {"engine": "fast", "detect": "man"},
        },
    }
    visit = total(place.simulated(other), "visit")
    assert visit.here is None
    assert "a part of it is: door, entrance: nothing was recorded for it" in visit.unknown


def test_a_camera_of_which_nothing_is_kept_gives_what_is_stored(
    lived: Callable[..., Place],
) -> None:
    """And it is said once."""
    place = lived()
    place.store.rename_cameras({"gate": "door"})
    with place.store._database.write("forget what the door saw") as connection:
        for table in ("moonwatch_observations", "moonwatch_waypoints"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE camera = 'door'")
    hours = place.simulated()
    assert ids(hours, "visit") == place.stored("yard", "visit").keys()
    notes = [note for hour in hours for note in hour.notes]
    assert [note for note in notes if "of camera 'door' nothing that was seen is kept" in note] == (
        notes
    )
    assert len(notes) == 1
