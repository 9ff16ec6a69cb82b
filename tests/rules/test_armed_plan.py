"""When a site is armed by plan, over nights, weekends and changes of the clock."""

import math
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.core.opening_hours import opening_hours
from pipeline.rules.armed_plan import ArmedWhen, arming_plan

BERLIN = "Europe/Berlin"
SHOP = opening_hours({"mon-sat": "9:00-20:00", "sun": "closed"}, BERLIN)
NIGHTS = [{"days": "mon-fri", "from": "22:00", "to": "6:00"}]


def plan(written: Any) -> Any:
    """The plan as an operator writes it."""
    return arming_plan(TypeAdapter(ArmedWhen).validate_python(written), SHOP)


def moment(text: str) -> float:
    """A time of the shop's clock, in UTC seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()


@pytest.mark.parametrize(
    ("written", "at", "is_armed", "since", "until"),
    [
        # In the night to Tuesday, and in the day after it.
        (NIGHTS, "2026-11-24 02:00", True, "2026-11-23 22:00", "2026-11-24 06:00"),
        (NIGHTS, "2026-11-24 12:00", False, "2026-11-24 06:00", "2026-11-24 22:00"),
        # Over the weekend: the last night begins on Friday.
        (NIGHTS, "2026-11-29 02:00", False, "2026-11-28 06:00", "2026-11-30 22:00"),
        # While it is closed, also over Sunday.
        ("closed", "2026-11-24 12:00", False, "2026-11-24 09:00", "2026-11-24 20:00"),
        ("closed", "2026-11-29 12:00", True, "2026-11-28 20:00", "2026-11-30 09:00"),
        # The night in which the clocks go back.
        (NIGHTS, "2026-03-27 23:00", True, "2026-03-27 22:00", "2026-03-28 06:00"),
    ],
)
def test_a_moment_of_a_plan(written: Any, at: str, is_armed: bool, since: str, until: str) -> None:
    """What holds, and from when to when."""
    found = plan(written).at(moment(at))
    assert (found.is_armed, found.since, found.until) == (is_armed, moment(since), moment(until))


def test_windows_that_touch_are_one() -> None:
    """Midnight changes nothing where one window ends and the next begins."""
    touching = plan(
        [
            {"days": "fri", "from": "20:00", "to": "24:00"},
            {"days": "sat", "from": "00:00", "to": "08:00"},
        ]
    )
    found = touching.at(moment("2026-11-28 00:00"))
    assert (found.since, found.until) == (moment("2026-11-27 20:00"), moment("2026-11-28 08:00"))


def test_the_night_of_the_change_of_clocks() -> None:
    """Eight hours on the clock are nine when it goes back, and it is armed for all of them."""
    found = plan([{"from": "22:00", "to": "6:00"}]).at(moment("2026-10-25 04:00"))
    assert found.is_armed
    assert found.until - found.since == 9 * 3600


def test_one_window_needs_no_list() -> None:
    """As everywhere in the file."""
    assert plan(NIGHTS[0]).as_json() == plan(NIGHTS).as_json()


def test_without_end() -> None:
    """`yes` and `no` never change."""
    for word, is_armed in (
        (True, True),
        (False, False),
        ("yes", True),
        ("No", False),
        ("off", False),
    ):
        found = plan(word).at(0.0)
        assert (found.is_armed, found.since, found.until) == (is_armed, -math.inf, math.inf)


@pytest.mark.parametrize("written", ["open", "sometimes", 3, [{"days": "someday"}], None])
def test_what_is_no_plan_is_refused(written: Any) -> None:
    """With pydantic's error, which `check` puts into words."""
    with pytest.raises(ValidationError):
        plan(written)


def test_equal_plans_have_equal_terms() -> None:
    """By which a rule knows that it is still the same one."""
    assert plan(NIGHTS).as_json() == plan(NIGHTS).as_json()
    assert plan(NIGHTS).as_json() != plan("closed").as_json() != plan(True).as_json()
