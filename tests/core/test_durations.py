"""Durations have a unit, in both directions; coordinates are shares of the picture."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.core.address import Secret
from pipeline.core.config import (
    XY,
    Config,
    Duration,
    PositiveDuration,
    format_duration,
    parse_duration,
)

ms = timedelta(milliseconds=1)


class Door(Config):
    """A small piece of a file."""

    hold: PositiveDuration = timedelta(seconds=1)
    gap: Duration = timedelta(0)
    at: XY = (0.5, 0.5)
    key: Secret | None = None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("500ms", 500 * ms),
        ("10s", timedelta(seconds=10)),
        ("5m", timedelta(minutes=5)),
        ("5min", timedelta(minutes=5)),
        ("1h30m", timedelta(hours=1.5)),
        ("1h 30m", timedelta(hours=1.5)),
        (" 2 d ", timedelta(days=2)),
        ("1w", timedelta(days=7)),
        ("0.5s", 500 * ms),
        ("0s", timedelta(0)),
        (timedelta(seconds=3), timedelta(seconds=3)),  # from Python
    ],
)
def test_durations_mean(written: object, meant: timedelta) -> None:
    """Units from milliseconds to weeks, several of them together."""
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("5", "write 5s, 5ms or 5m"),
        (5, "write 5s, 5ms or 5m"),
        (2.5, "write 2.5s"),
        (0, "write 0s"),
        ("", "is not a valid duration"),
        ("soon", "is not a valid duration"),
        ("-5s", "is not a valid duration"),
        ("1e3s", "is not a valid duration"),
        ("5 s 3", "is not a valid duration"),
        ("5S", "is not a valid duration"),
        ("99999999999d", "longer than a hundred years"),
        ("9" * 400 + "d", "longer than a hundred years"),
    ],
)
def test_what_is_no_duration_is_said(written: object, words: str) -> None:
    """With the way to write it."""
    with pytest.raises(ValueError, match=words):
        parse_duration(written)


@given(st.integers(0, 10**11))
def test_a_written_duration_is_read_as_the_same(milliseconds: int) -> None:
    """To the millisecond, whatever units it is written in."""
    assert parse_duration(format_duration(milliseconds * ms)) == milliseconds * ms


def test_the_shortest_way_to_write_a_duration() -> None:
    """Whole units where there are any."""
    assert [format_duration(timedelta(seconds=s)) for s in (0, 0.5, 1.5, 90, 3600, 90061)] == [
        "0s",
        "500ms",
        "1500ms",
        "1m30s",
        "1h",
        "1d1h1m1s",
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"hold": "0s"}, ("hold",)),  # must be longer
        ({"gap": True}, ("gap",)),
        ({"gap": None}, ("gap",)),
        ({"at": [0.5, 1.01]}, ("at", 1)),
        ({"at": [float("nan"), 0.5]}, ("at", 0)),
        ({"hodl": "1s"}, ("hodl",)),  # no such key
    ],
)
def test_mistakes_are_found_where_they_are(
    content: dict[str, object], place: tuple[str | int, ...]
) -> None:
    """A file's piece is strict: no unknown key, no point outside the picture."""
    with pytest.raises(ValidationError) as caught:
        Door.model_validate(content)
    assert [error["loc"] for error in caught.value.errors()] == [place]


def test_values_stay_as_they_are_and_secrets_hidden() -> None:
    """A piece of a file cannot be changed, and shows no secret."""
    door = Door.model_validate({"gap": "0s", "key": "hunter2"})
    assert "hunter2" not in f"{door!r} {door} {door.model_dump()} {door.model_dump_json()}"
    with pytest.raises(ValidationError, match="frozen"):
        door.gap = timedelta(1)  # type: ignore[misc]


@pytest.mark.parametrize("written", ["500ms", "10s", "1h30m", "1h 30m", "0.5s", "2d"])
def test_an_editor_learns_how_durations_are_written(written: str) -> None:
    """The schema's pattern takes what is understood, and a bare number it does not."""
    pattern = TypeAdapter(Duration).json_schema()["pattern"]
    assert re.search(pattern, written)
    assert not re.search(pattern, written.rstrip("msdh"))
