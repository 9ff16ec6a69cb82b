"""A camera gets another name in the file: what was counted under the old one goes on."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError
from pipeline.core.events import Event
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import Commit, StoredEvent
from pipeline.deployment.loader import parse
from pipeline.insight.status import status_of
from tests.contracts.event_tools import an_event
from tests.processing.life_scene import SHOP, results, shop
from tests.processing.test_life import EDIT_AT, EDITS, LOOKS, Edit, Site


def named(name: str, **more: Any) -> dict[str, Any]:
    """The deployment with its camera under another name."""
    edited = shop()
    edited["cameras"] = {name: {**SHOP["cameras"]["door"], **more}}
    return edited


def seen(name: str, first: int, until: int) -> list[Result]:
    """What the camera sees, under its name."""
    return [replace(result, camera=name) for result in results(first, until)]


def minutes(site: Site) -> Mapping[tuple[str, int], Bucket]:
    """All minutes, whichever camera's."""
    return {(b.rule, b.minute): replace(b, camera="") for b in site.store.history.buckets()}


def comparable(events: list[Event]) -> list[Event]:
    """Events without what depends on the camera's name."""
    return [replace(event, camera="", id="") for event in events]


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Two sites."""
    both = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        both.append(Site(tmp_path / name))
    yield both[0], both[1]
    for site in both:
        site.store.close()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_renamed_in_the_middle_of_a_minute(sites: tuple[Site, Site], edit: Edit) -> None:
    """Minutes, totals, open visits and the order of frames go on as if nothing had happened."""
    site, undisturbed = sites
    undisturbed.feed(results(0, LOOKS))
    site.feed(results(0, EDIT_AT))
    health = Health("door", 1.0, "online")
    site.store.commit(Commit(health=[health]))
    before = site.events()
    edit(site, named("entry", was="door"))
    assert [replace(event, camera="door") for event in site.events()] == before
    site.feed(seen("entry", EDIT_AT, LOOKS))
    assert minutes(site) == minutes(undisturbed)
    assert comparable(site.events()) == comparable(undisturbed.events())
    assert {event.camera for event in site.events()} == {"entry"}
    assert {bucket.camera for bucket in site.store.history.buckets()} == {"entry"}
    assert {point.camera for point in site.store.checkpoints()} == {"entry"}
    assert site.store.history.latest_health() == [replace(health, camera="entry")]
    assert site.passed_over("unknown camera", "entry") == 0


def test_renamed_once_and_started_often(
    sites: tuple[Site, Site], caplog: pytest.LogCaptureFixture
) -> None:
    """`was:` may stay in the file: it is said once, and changes nothing later."""
    caplog.set_level(logging.INFO)
    site, _ = sites
    site.feed(results(0, EDIT_AT))
    for _ in range(3):
        site.restart(named("entry", was=["door"]))
    assert caplog.text.count("camera entry was door") == 1


def test_renamed_twice(sites: tuple[Site, Site]) -> None:
    """Also when the store has not seen the name in between."""
    site, undisturbed = sites
    undisturbed.feed(results(0, LOOKS))
    site.feed(results(0, EDIT_AT))
    site.restart(named("entry", was="door"))
    site.restart(named("shop-entry", was=["entry", "door"]))
    site.feed(seen("shop-entry", EDIT_AT, LOOKS))
    assert minutes(site) == minutes(undisturbed)


def test_renamed_and_only_later_said_so(sites: tuple[Site, Site]) -> None:
    """A week of counts under both names: nothing is lost, and of a shared minute the better half
    is kept.
    """
    site, _ = sites
    old = [Bucket("door", "entrance", minute * 60, 10, 0.9) for minute in range(3)]
    new = [Bucket("entry", "entrance", minute * 60, 5, 0.4) for minute in range(2, 5)]
    site.store.commit(Commit(buckets=old, events=[an_event(1)]))
    site.store.commit(Commit(buckets=new, events=[an_event(2, camera="entry")]))
    site.restart(named("entry", was="door"))
    known = {b.minute // 60: b.coverage for b in site.store.history.buckets("entry", "entrance")}
    assert known == {0: 0.9, 1: 0.9, 2: 0.9, 3: 0.4, 4: 0.4}
    assert [event.camera for event in site.events()] == ["entry", "entry"]


def test_results_of_the_old_name_that_still_wait(
    sites: tuple[Site, Site], caplog: pytest.LogCaptureFixture
) -> None:
    """They were asked before the restart: counted as passed over, and no reason to worry."""
    site, _ = sites
    site.feed(results(0, 20))
    site.restart(named("entry", was="door"))
    site.feed(results(20, 24))
    site.feed(seen("entry", 24, 60))
    assert site.passed_over("unknown camera") == 6
    assert "is not in this processor's file" not in caplog.text
    assert {event.camera for event in site.events()} <= {"entry"}


def test_an_event_that_cannot_be_read_is_renamed_as_far_as_possible(tmp_path: Path) -> None:
    """A field of a later release stays, and a damaged record is no reason to stop."""
    site = Site(tmp_path)
    site.store.commit(Commit(events=[an_event(1), an_event(2)]))
    with site.store._database.write("damage it") as connection:
        connection.exec_driver_sql("UPDATE moonwatch_events SET body = '{' WHERE position = 1")
        connection.exec_driver_sql(
            'UPDATE moonwatch_events SET body = replace(body, \'{"id"\', \'{"mood":"😀","id"\')'
            " WHERE position = 2"
        )
    site.restart(named("entry", was="door"))
    with site.store._database.read("look") as connection:
        rows = connection.exec_driver_sql(
            "SELECT camera, body FROM moonwatch_events ORDER BY position"
        ).all()
    assert [row[0] for row in rows] == ["entry", "entry"]
    assert rows[0][1] == "{"
    assert '"mood":"' in rows[1][1]
    (readable,) = site.store.outbox(1, 1)
    assert isinstance(readable, StoredEvent)
    assert readable.event == replace(an_event(2), camera="entry")
    site.store.close()


CAMERA = {"source": {"type": "rtsp", "url": "rtsp://10.0.0.9/door"}}


@pytest.mark.parametrize(
    ("cameras", "words"),
    [
        ({"a": {"was": "b"}, "b": {"was": "a"}}, ["still a camera of this file", "third name"]),
        ({"a": {"was": "b"}, "b": {}}, ["cameras.a.was", "'b' is still a camera"]),
        ({"a": {"was": "a"}}, ["this camera's present name; remove it"]),
        ({"a": {"was": "c"}, "b": {"was": ["d", "c"]}}, ["'c' is also an earlier name of 'a'"]),
        ({"a": {"was": "front door"}}, ["'front door' is not a valid name"]),
    ],
)
def test_names_that_cannot_be_meant(cameras: dict[str, Any], words: list[str]) -> None:
    """Swapped names would swap back at each start: refused, with the way out."""
    content = {"version": 1, "cameras": {name: {**CAMERA, **c} for name, c in cameras.items()}}
    with pytest.raises(ConfigError) as refused:
        parse(yaml.safe_dump(content))
    for word in words:
        assert word in str(refused.value)


def test_a_camera_that_is_no_longer_in_the_file(tmp_path: Path) -> None:
    """`status` says that its history is there, and how it goes on."""
    content = {
        "version": 1,
        "store": {"url": f"sqlite:///{tmp_path}/events.db"},
        "cameras": {"entry": CAMERA},
    }
    deployment = parse(yaml.safe_dump(content)).deployment
    store = deployment.store.build()
    store.commit(Commit(health=[Health("door", SystemClock().now(), "online")]))
    store.close()
    notes = [note for note in status_of(deployment, SystemClock()).notes if "door" in note]
    assert notes == [
        "the store has a history of camera door, which is not in the file; if it has another name "
        "now, write `was: door` there"
    ]
    content["cameras"] = {"entry": {**CAMERA, "was": "door"}}
    deployment = parse(yaml.safe_dump(content)).deployment
    assert not [note for note in status_of(deployment, SystemClock()).notes if "door" in note]
