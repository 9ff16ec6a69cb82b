"""Events: ids that never change, records that tell phases apart, CloudEvents for everybody."""

import json
import string
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.events import Event, Phase, Subject, event_id, timestamp, to_cloudevent

AT = 1_700_000_000.25
CROSSING = Event(
    id=event_id("door", "footfall", "7", AT),
    type="line_crossing",
    phase="single",
    camera="door",
    rule="footfall",
    at=AT,
    subject=Subject("person", track=7, box=(0.123456, 0.2, 0.3, 0.9)),
    data={"direction": "in", "in": 3, "out": 2},
)


def test_an_id_is_what_it_was_when_it_was_first_given_out() -> None:
    """Stores and sinks of deployments hold ids: another way to make them would double events."""
    assert event_id("door", "footfall", "7", 1_700_000_000.25) == "8c9cbbe72f8873f8f62f09c2f2"


@pytest.mark.parametrize(
    "other",
    [
        ("yard", "footfall", "7", AT),
        ("door", "queue", "7", AT),
        ("door", "footfall", "8", AT),
        ("door", "footfall", "7", AT + 0.001),
        ("doorfootfall", "", "7", AT),  # parts are kept apart
    ],
)
def test_whatever_differs_gives_another_id(other: tuple[str, str, str, float]) -> None:
    """Camera, rule, subject and start time are all in it."""
    assert event_id(*other) != CROSSING.id


@given(st.floats(1, 4e9), st.floats(-4e-7, 4e-7))
def test_the_last_bits_of_a_time_do_not_matter(at: float, noise: float) -> None:
    """A time that went through a file and back names the same happening."""
    whole = round(at, 3)
    assert event_id("a", "b", "c", whole) == event_id("a", "b", "c", whole + noise)


@given(st.text(max_size=20), st.floats(-1e9, 4e9))
def test_ids_are_short_plain_words(name: str, at: float) -> None:
    """26 letters and digits, for any name: they are file names and keys."""
    made = event_id(name, name, name, at)
    assert len(made) == 26
    assert set(made) <= set(string.hexdigits)


@pytest.mark.parametrize(
    ("phase", "update", "ending"),
    [("single", 0, ""), ("start", 0, ".start"), ("update", 2, ".update-2"), ("end", 0, ".end")],
)
def test_each_phase_is_a_record_of_its_own(phase: Phase, update: int, ending: str) -> None:
    """Start, updates and end of one happening share its id and are told apart."""
    event = replace(CROSSING, phase=phase, update=update)
    assert event.record_id == event.id + ending


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (AT, "2023-11-14T22:13:20.250Z"),
        (1_700_000_000.0006, "2023-11-14T22:13:20.001Z"),  # rounded, not cut off
        (1_700_000_000.9996, "2023-11-14T22:13:21.000Z"),
        (-1.0, "1969-12-31T23:59:59.000Z"),
    ],
)
def test_times_are_written_for_everybody(at: float, written: str) -> None:
    """RFC 3339 in UTC, always with milliseconds, so that texts sort like times."""
    assert timestamp(at) == written
    assert datetime.fromisoformat(written).timestamp() == pytest.approx(at, abs=0.0006)


def test_a_cloudevent_has_all_that_is_asked_of_it() -> None:
    """CloudEvents 1.0: the attributes every receiver may rely on, and our data."""
    told = to_cloudevent(replace(CROSSING, media=("door/2023-11-14/x.jpg",)), "Shop 12")
    data = told.pop("data")
    assert told == {
        "specversion": "1.0",
        "id": CROSSING.id,
        "source": "/moonwatch/Shop%2012/door",
        "type": "io.moonwatch.line_crossing.v1",
        "subject": "footfall",
        "time": "2023-11-14T22:13:20.250Z",
        "datacontenttype": "application/json",
    }
    assert data == {
        "camera": "door",
        "rule": "footfall",
        "phase": "single",
        "happening": CROSSING.id,
        "subject": {"label": "person", "track": 7, "box": [0.1235, 0.2, 0.3, 0.9]},
        "direction": "in",
        "in": 3,
        "out": 2,
        "media": ["door/2023-11-14/x.jpg"],
    }


def test_what_is_not_known_is_left_out() -> None:
    """No subject and no picture are no keys, rather than empty ones."""
    bare = replace(CROSSING, subject=None, data={})
    assert to_cloudevent(bare, "x")["data"] == {
        "camera": "door",
        "rule": "footfall",
        "phase": "single",
        "happening": CROSSING.id,
    }
    nobody = replace(CROSSING, subject=Subject("person"))
    data = to_cloudevent(nobody, "x")["data"]
    assert isinstance(data, dict)
    assert data["subject"] == {"label": "person"}


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_name_makes_a_valid_source(site: str, camera: str) -> None:
    """Slashes and spaces of a name do not change the shape of the address."""
    source = to_cloudevent(replace(CROSSING, camera=camera), site)["source"]
    assert isinstance(source, str)
    assert source.isascii()
    assert source.count("/") == 3
    assert " " not in source


def test_it_is_json() -> None:
    """As it goes over the wire."""
    told = to_cloudevent(CROSSING, "x")
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_pictures_are_added_to_those_there_are() -> None:
    """The event itself stays as it was."""
    once = CROSSING.with_media("a.jpg")
    assert once.with_media("b.jpg").media == ("a.jpg", "b.jpg")
    assert CROSSING.media == ()
