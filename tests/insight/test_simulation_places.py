"""All types of rules at sites all over the world, on days on which clocks are changed."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.core.store import Span
from pipeline.insight.simulation import end_of, hour_of, summed
from tests.connectors.stores.postgres import server_url
from tests.insight.lived_scene import (
    EVERY_RULE,
    EVERY_S,
    LIVELY,
    Look,
    Place,
    as_json,
    deployment,
    results_of,
)

pytestmark = pytest.mark.timeout(180)
LOOKS = 250
AT_THE_YARD = {
    name: EVERY_RULE[name] for name in ("entrance", "customers", "carts", "empty", "warmth")
}
SEQUENCES = {
    "visit": {"first": {"rule": "entrance"}, "then": {"rule": "customers"}, "within": "5s"},
    "served": {"first": {"rule": "visit"}, "then": {"rule": "carts"}, "within": "1m"},
}


def lived(place: Place, began: float, looks: int = LOOKS, pause_s: float = 0.0) -> None:
    """Both cameras see the same; processes end in between, and nobody looks for a while."""
    for first in range(0, looks, 50):
        for camera, config in place.scene["cameras"].items():
            live = config["source"]["type"] == "rtsp"
            at = began + first // 50 * pause_s
            some = [Look(n, at + n * EVERY_S, "run", n) for n in range(first, first + 50)]
            place.feed(results_of(camera, some, LIVELY, live=live, failing=frozenset({31, 92})))
        if first % 100:
            place.restart()


def scene_of(
    site: Mapping[str, Any], other: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A camera with rules of all types and one with some, at the other site if there is one."""
    scene = deployment({"door": EVERY_RULE, "yard": AT_THE_YARD}, SEQUENCES, site, **more)
    if other is not None:
        scene["sites"] = {"far": {"name": "Far", **other}}
        scene["cameras"]["yard"]["site"] = "far"
    return scene


def said(place: Place) -> Counter[str]:
    """How many events of each rule are stored."""
    return Counter(one.event.rule for one in place.store.events_after(0, 100_000))


# Each begins 50 s before the moment that is named, around which the site closes or opens.
DAYS: dict[str, tuple[str, float, str]] = {
    "clocks go back in Berlin": ("Europe/Berlin", 1_698_541_200.0, "0:00-2:01"),
    "clocks go forward in Berlin": ("Europe/Berlin", 1_711_846_800.0, "3:00-20:00"),
    "clocks go back half an hour": ("Australia/Lord_Howe", 1_712_415_600.0, "0:00-1:31"),
    "clocks go forward half an hour": ("Australia/Lord_Howe", 1_728_142_200.0, "2:30-9:00"),
    "midnight in Kolkata": ("Asia/Kolkata", 1_700_073_000.0, "0:00-23:59"),
    "midnight in Kathmandu": ("Asia/Kathmandu", 1_700_072_100.0, "0:00-23:59"),
}


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        pytest.param(
            *day, id=name, marks=[] if name == "clocks go back half an hour" else [pytest.mark.slow]
        )
        for name, day in DAYS.items()
    ],
)
def test_all_rules_on_days_of_all_kinds(
    tmp_path: Path, zone: str, moment: float, hours: str
) -> None:
    """Events, minutes and sequences are as they are stored, with hours of opening in between."""
    began = moment - 50.0
    scene = scene_of({"timezone": zone, "hours": {"mon-sun": hours}})
    place = Place(tmp_path, scene, began)
    try:
        lived(place, began)
        found = place.simulated()
        assert list(place.differences(found)) == []
        told = said(place)
        assert told.keys() == {*EVERY_RULE, *SEQUENCES} - {"warmth"}
        assert 0 < told["opened"] < told["groups"]
        assert len({hour.since for hour in found}) == 2
        since, until = moment - 33.3, moment + 21.0
        cut = place.simulated(span=Span(since, until))
        for camera, config in place.deployment.cameras.items():
            for rule in (*config.rules, *SEQUENCES):
                here = next(
                    one.here for name, one in summed(cut) if (name, one.rule) == (camera, rule)
                )
                assert here is not None
                wanted = place.stored(camera, rule).items()
                within = {key for key, event in wanted if since <= event.at < until}
                assert {event.record_id for event in here.events} == within, rule
    finally:
        place.store.close()


@pytest.mark.parametrize(
    "moment", [1_712_415_600.0, pytest.param(1_728_142_200.0, marks=pytest.mark.slow)]
)
def test_hours_in_which_clocks_are_changed_by_half_an_hour(tmp_path: Path, moment: float) -> None:
    """No moment belongs to two of them, and none is left out."""
    began = moment - 50 * 60.0
    scene = scene_of({"timezone": "Australia/Lord_Howe"}, {"timezone": "Asia/Kolkata"})
    place = Place(tmp_path, scene, began)
    try:
        lived(place, began, pause_s=18 * 60.0)
        hours = place.simulated()
        assert list(place.differences(hours)) == []
        rows = sorted({(one.since, one.until) for one in hours if one.camera == "door"})
        assert all(end <= begin for (_, end), (begin, _) in pairwise(rows))
        assert moment in {since for since, _ in rows}
    finally:
        place.store.close()


@pytest.mark.parametrize("name", ["Australia/Lord_Howe", "Asia/Kathmandu", "Europe/Berlin"])
def test_hours_follow_each_other(name: str) -> None:
    """Over a year each ends where the next one begins."""
    zone = ZoneInfo(name)
    at = hour_of(1_704_067_200.0, zone)
    odd = []
    while at < 1_735_689_600.0:
        end = end_of(at, zone)
        assert hour_of(at, zone) == hour_of(end - 0.5, zone) == at
        assert hour_of(end, zone) == end
        if end - at != 3600.0:
            odd.append(end - at)
        at = end
    assert odd == ([1800.0] * 2 if name == "Australia/Lord_Howe" else [])


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URL of a server."""
    with server_url() as url:
        yield url


@pytest.mark.slow
def test_in_postgresql(postgresql: str, tmp_path: Path) -> None:
    """All types of rules, byte for byte as in SQLite."""
    began = 1_700_002_700.0
    scene = scene_of({"hours": {"mon-sun": "0:00-0:01"}}, recordings=("yard",))
    scene["site"]["timezone"] = "Asia/Kathmandu"
    found = []
    for number, url in enumerate((postgresql, None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        place = Place(folder, scene, began, url)
        try:
            lived(place, began)
            hours = place.simulated()
            assert list(place.differences(hours)) == []
            assert sum(said(place).values()) > 200
            found.append(as_json(hours))
        finally:
            place.store.close()
    assert found[0] == found[1]
