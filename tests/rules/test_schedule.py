"""Days and hours on the site's wall clock."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.core.opening_hours import opening_hours
from pipeline.rules import all_rules
from pipeline.rules.base import RuleBase
from pipeline.rules.schedule import Schedule, Window, Windows

BERLIN = "Europe/Berlin"


def schedule(*windows: dict[str, object], timezone: str = BERLIN) -> Schedule:
    """A schedule as an operator writes it."""
    return Schedule([Window.model_validate(window) for window in windows], timezone)


def utc(text: str) -> float:
    """UTC seconds of an ISO time that names its offset."""
    return datetime.fromisoformat(text).timestamp()


def berlin(text: str) -> float:
    """UTC seconds of a Berlin wall clock time outside of the changes."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()


NIGHT: dict[str, object] = {"days": ["mon-fri"], "from": "22:00", "to": "06:00"}
SHOP: dict[str, object] = {"days": ["mon-fri"], "from": "09:00", "to": "18:30"}
# 2026-06-01 is a Monday.
MOMENTS: list[tuple[dict[str, object], str, bool, str]] = [
    (SHOP, "2026-06-01T08:59:59", False, "before opening"),
    (SHOP, "2026-06-01T09:00:00", True, "the first second belongs to it"),
    (SHOP, "2026-06-01T18:29:59", True, "the last second"),
    (SHOP, "2026-06-01T18:30:00", False, "the end does not belong to it"),
    (SHOP, "2026-06-06T12:00:00", False, "a Saturday"),
    (NIGHT, "2026-06-01T22:00:00", True, "Monday evening"),
    (NIGHT, "2026-06-02T05:59:59", True, "the morning after"),
    (NIGHT, "2026-06-02T06:00:00", False, "the night is over"),
    (NIGHT, "2026-06-01T05:00:00", False, "Monday morning belongs to Sunday's night"),
    (NIGHT, "2026-06-06T05:00:00", True, "Saturday morning belongs to Friday's night"),
    (NIGHT, "2026-06-06T23:00:00", False, "no night begins on a Saturday"),
    ({"days": "sat, sun"}, "2026-06-06T00:00:00", True, "whole days, written as one text"),
    ({"days": "sat, sun"}, "2026-06-08T00:00:00", False, "until midnight"),
    ({"days": ["fri-mon"]}, "2026-06-07T12:00:00", True, "a range over the weekend"),
    ({"days": ["fri-mon"]}, "2026-06-02T12:00:00", False, "and no further"),
    ({"days": ["Monday"]}, "2026-06-01T12:00:00", True, "days in full"),
    ({"from": "20:00"}, "2026-06-01T23:59:59", True, "until the end of the day"),
    ({"to": "06:00"}, "2026-06-01T00:00:00", True, "from the day's beginning"),
    ({"from": "6:00", "to": "7:00"}, "2026-06-01T06:30:00", True, "one digit is enough"),
    ({"from": 1320, "to": 1380}, "2026-06-01T22:30:00", True, "YAML 1.1's reading of 22:00"),
]


@pytest.mark.parametrize(
    ("window", "local", "inside"), [row[:3] for row in MOMENTS], ids=[row[3] for row in MOMENTS]
)
def test_moments(window: dict[str, object], local: str, inside: bool) -> None:
    """A window holds its days and hours; one over midnight belongs to the day it begins on."""
    assert schedule(window).allows(berlin(local)) is inside


# In 2026 Berlin's clocks jump from 02:00 to 03:00 on 29 March, a Sunday, and go back from 03:00 to
# 02:00 on 25 October, a Sunday. Offsets tell the two showings of an hour apart.
CHANGES: list[tuple[str, str, str, bool, str]] = [
    ("22:00", "06:00", "2026-03-29T01:59:59+01:00", True, "a night before the jump"),
    ("22:00", "06:00", "2026-03-29T03:00:00+02:00", True, "and after it"),
    ("22:00", "06:00", "2026-03-29T05:59:59+02:00", True, "until six by the new clock"),
    ("22:00", "06:00", "2026-03-29T06:00:00+02:00", False, "which is an hour shorter"),
    ("02:30", "04:00", "2026-03-29T01:59:59+01:00", False, "a begin that is skipped"),
    ("02:30", "04:00", "2026-03-29T03:00:00+02:00", True, "is the moment of the jump"),
    ("01:00", "02:30", "2026-03-29T01:59:59+01:00", True, "an end that is skipped"),
    ("01:00", "02:30", "2026-03-29T03:00:00+02:00", False, "is the moment of the jump, too"),
    ("02:15", "02:45", "2026-03-29T01:59:59+01:00", False, "a window that is skipped as a whole"),
    ("02:15", "02:45", "2026-03-29T03:00:00+02:00", False, "is not made up for"),
    ("22:00", "06:00", "2026-10-25T02:59:59+02:00", True, "a night before the clocks go back"),
    ("22:00", "06:00", "2026-10-25T02:00:00+01:00", True, "the repeated hour"),
    ("22:00", "06:00", "2026-10-25T05:59:59+01:00", True, "until six by the new clock"),
    ("22:00", "06:00", "2026-10-25T06:00:00+01:00", False, "which is an hour longer"),
    ("02:30", "04:00", "2026-10-25T02:29:59+02:00", False, "before a begin that comes twice"),
    ("02:30", "04:00", "2026-10-25T02:30:00+02:00", True, "it begins the first time"),
    ("02:30", "04:00", "2026-10-25T02:10:00+01:00", True, "and does not pause"),
    ("01:00", "02:30", "2026-10-25T02:45:00+02:00", True, "an end that comes twice"),
    ("01:00", "02:30", "2026-10-25T02:29:59+01:00", True, "counts the second time"),
    ("01:00", "02:30", "2026-10-25T02:30:00+01:00", False, "and then it is over"),
]


@pytest.mark.parametrize(
    ("start", "end", "moment", "inside"),
    [row[:4] for row in CHANGES],
    ids=[row[4] for row in CHANGES],
)
def test_when_the_clocks_change(start: str, end: str, moment: str, inside: bool) -> None:
    """A window is one stretch of time, whatever the clocks do in it."""
    assert schedule({"from": start, "to": end}).allows(utc(moment)) is inside


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-06-01"])
@pytest.mark.parametrize(("start", "end"), [("22:00", "06:00"), ("02:15", "02:45"), ("01:30", "")])
def test_a_window_opens_and_closes_once_a_day(day: str, start: str, end: str) -> None:
    """Minute by minute around a change, no window has a hole in it."""
    times = schedule({"from": start, "to": end or "24:00"})
    noon = utc(f"{day}T12:00:00+00:00")
    inside = [times.allows(noon + 60.0 * minute) for minute in range(-24 * 60, 0)]
    openings = sum(now and not before for before, now in pairwise(inside))

    assert openings == (0 if (day, start) == ("2026-03-29", "02:15") else 1)


def test_any_window_will_do() -> None:
    """Windows add up."""
    times = schedule(SHOP, NIGHT)

    assert times.allows(berlin("2026-06-01T10:00:00"))
    assert times.allows(berlin("2026-06-01T23:00:00"))
    assert not times.allows(berlin("2026-06-01T20:00:00"))


def test_no_window_is_always() -> None:
    """Without a schedule there is no silence."""
    assert schedule().allows(0.0)


def test_the_site_decides_the_hour() -> None:
    """The same moment is another hour elsewhere."""
    moment = utc("2026-06-01T12:00:00+00:00")
    noon: dict[str, object] = {"from": "12:00", "to": "13:00"}

    assert schedule(noon, timezone="UTC").allows(moment)
    assert not schedule(noon, timezone="America/New_York").allows(moment)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"from": "25:00"}, "'25:00' is not a time of day; write it like \"22:00\""),
        ({"from": "12:60"}, "'12:60' is not a time of day"),
        ({"from": "10pm"}, "'10pm' is not a time of day"),
        ({"from": 22}, "22 is not a time of day; write 22:00"),
        ({"from": True}, "'?True'? is not a time of day"),
        ({"from": "24:00", "to": "06:00"}, 'from cannot be "24:00"'),
        ({"from": "06:00", "to": "06:00"}, "from and to are both 06:00"),
        ({"days": ["mo"]}, "'mo' is not a day; write mon, tue"),
        ({"days": ["mon-"]}, "'' is not a day"),
        ({"days": []}, "names no days; leave it out for every day"),
        ({"days": 3}, "valid tuple"),
        ({"hours": "9-17"}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_refused(window: dict[str, object], message: str) -> None:
    """A window that cannot be meant is refused with the way out."""
    with pytest.raises(ValidationError, match=message):
        Window.model_validate(window)


def test_a_window_can_be_written_down_again() -> None:
    """What was read is written in one form, and reading that gives the same."""
    window = Window.model_validate({"days": "Mon-Fri sunday", "from": 1320, "to": "6:00"})
    written = window.model_dump(mode="json", by_alias=True)

    assert written == {"days": ["mon-fri", "sun"], "from": "22:00", "to": "06:00"}
    assert TypeAdapter(Window).validate_python(written) == window


def test_open_means_the_hours_of_the_site() -> None:
    """A schedule that is `open` follows the opening hours; counting is not its business."""
    shop = opening_hours({"mon-sat": "9:00-20:00"}, BERLIN)
    kept = TypeAdapter(Windows).validate_python("open")
    assert Schedule(kept, BERLIN, shop).allows(berlin("2026-06-01T19:59:59"))
    assert not Schedule(kept, BERLIN, shop).allows(berlin("2026-06-01T20:00:00"))
    assert not Schedule(kept, BERLIN, shop).allows(berlin("2026-06-07T12:00:00"))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.__name__)
def test_every_rule_hands_on_the_hours_of_the_site(rule: type[RuleBase]) -> None:
    """No rule at work makes a schedule without them: `open` would be always."""
    name = rule.__module__.rpartition(".")[2]
    source = Path(f"pipeline/rules/at_work/{name}.py").read_text(encoding="utf-8")
    assert "Schedule(config.schedule, context.timezone)" not in source
