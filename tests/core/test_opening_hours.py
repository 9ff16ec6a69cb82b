"""When a site is open: days, dates, holidays, nights and changes of the clocks."""

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.core.opening_hours import (
    ALWAYS,
    OpeningHours,
    known_country,
    opening_hours,
    parse_hours,
)

BERLIN = "Europe/Berlin"
SHOP = {"mon-sat": "9:00-20:00", "sun": "closed", "2026-12-24": "9:00-14:00", "12-31": "closed"}
BAR = {"thu": "20:00-24:00", "fri, sat": "18:00-03:00"}
SPLIT = {"mon-fri": "9:00-12:30, 14-18"}


def berlin(text: str, fold: int = 0) -> float:
    """UTC seconds of a time in Berlin; `fold` 1 is the second of two."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=fold)
    return local.timestamp()


# 2026-11-23 is a Monday.
MOMENTS: list[tuple[dict[str, str], str, str, bool, str]] = [
    (SHOP, "", "2026-11-23T08:59:59", False, "before opening"),
    (SHOP, "", "2026-11-23T09:00:00", True, "the first second"),
    (SHOP, "", "2026-11-23T20:00:00", False, "the end does not belong to it"),
    (SHOP, "", "2026-11-29T12:00:00", False, "a Sunday"),
    (SHOP, "", "2026-12-24T14:00:00", False, "a date wins over its weekday"),
    (SHOP, "", "2027-12-31T12:00:00", False, "a day of every year"),
    (SHOP, "", "2026-12-25T12:00:00", True, "without a country there are no holidays"),
    (SHOP, "DE", "2026-12-25T12:00:00", False, "a public holiday is closed"),
    (SHOP, "DE", "2026-11-23T12:00:00", True, "and other days are not"),
    ({**SHOP, "12-25": "10:00-12:00"}, "DE", "2026-12-25T11:00:00", True, "a date opens it"),
    ({**SHOP, "holidays": "11:00-13:00"}, "DE", "2026-12-25T12:59:00", True, "its own hours"),
    (SHOP, "DE-BY", "2027-01-06T12:00:00", False, "a holiday of one part of the country"),
    (SHOP, "DE", "2027-01-06T12:00:00", True, "and not of the whole"),
    (BAR, "", "2026-11-28T02:59:59", True, "Friday's night lasts into Saturday"),
    (BAR, "", "2026-11-28T03:00:00", False, "and ends"),
    (BAR, "", "2026-11-27T00:30:00", False, "24:00 is midnight"),
    (SPLIT, "", "2026-11-23T13:00:00", False, "closed for lunch"),
    (SPLIT, "", "2026-11-23T14:00:00", True, "hours without minutes"),
    ({}, "", "2026-11-23T03:00:00", True, "no hours: always open"),
]


@pytest.mark.parametrize(
    ("written", "country", "local", "is_open"),
    [row[:4] for row in MOMENTS],
    ids=[row[4] for row in MOMENTS],
)
def test_moments(written: dict[str, str], country: str, local: str, is_open: bool) -> None:
    """Whether a site is open at a moment; kept as JSON, it says the same."""
    hours = opening_hours(written, BERLIN, country)
    assert hours.is_open(berlin(local)) == is_open
    assert OpeningHours.from_json(hours.as_json()).is_open(berlin(local)) == is_open


def test_a_business_day_lasts_past_midnight() -> None:
    """What happens after midnight, and until it closes, is the business of the day before."""
    bar = opening_hours(BAR, BERLIN)
    saturday = date(2026, 11, 28)
    assert bar.begins(saturday) == berlin("2026-11-28T03:00")
    assert bar.day_of(berlin("2026-11-28T02:59:59")) == date(2026, 11, 27)
    assert bar.day_of(berlin("2026-11-28T03:00:00")) == saturday
    assert bar.begins(date(2026, 11, 27)) == berlin("2026-11-27T00:00")


def test_days_follow_each_other_without_a_gap() -> None:
    """A site that never closes has its days end where the next ones begin."""
    never = opening_hours({"mon-sun": "0:00-24:00"}, BERLIN)
    assert never.begins(date(2026, 11, 28)) == berlin("2026-11-28T00:00")
    early = opening_hours({"fri": "18:00-06:00", "sat": "5:00-20:00"}, BERLIN)
    assert early.begins(date(2026, 11, 28)) == berlin("2026-11-28T05:00")


@pytest.mark.parametrize(
    ("day", "hours", "seconds", "remark"),
    [
        ("2026-03-29", "1:00-4:00", 2 * 3600, "the clocks skip an hour"),
        ("2026-10-25", "1:00-4:00", 4 * 3600, "an hour comes twice"),
        ("2026-03-29", "2:30-4:00", 3600, "an opening that is skipped is the change itself"),
        ("2026-03-28", "22:00-2:30", 4 * 3600, "a closing that is skipped too"),
        ("2026-10-25", "2:30-3:00", 90 * 60, "from the first 2:30 to the last 3:00"),
    ],
)
def test_changes_of_the_clocks(day: str, hours: str, seconds: int, remark: str) -> None:
    """Hours are as long as the clocks make them."""
    site = OpeningHours(BERLIN, dates={day: parse_hours(hours)})
    begins = site.begins(date.fromisoformat(day))
    assert site.open_seconds(begins, begins + 2 * 86400) == seconds, remark


def test_seconds_open_in_a_part_of_a_day() -> None:
    """Only what lies inside a period counts; without hours all of it does."""
    shop = opening_hours(SHOP, BERLIN)
    assert shop.open_seconds(berlin("2026-11-23T08:00"), berlin("2026-11-23T10:00")) == 3600
    assert shop.open_seconds(berlin("2026-11-23T00:00"), berlin("2026-11-30T00:00")) == 66 * 3600
    assert ALWAYS.open_seconds(10.0, 70.0) == 60.0


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("mon", "9-25", "mon: '9-25' are not opening hours; a day goes from 0:00 to 24:00"),
        ("mon", "nine to five", "mon: 'nine to five' are not opening hours; write it like"),
        ("mon", "9:00-9:00", "a day goes from"),
        ("mon", "9:00-12:00, 11:00-13:00", "overlap; write each hour once"),
        ("mon", "", "mon: no hours are written"),
        ("monn", "closed", "'monn' is not a day; write a day such as mon"),
        ("2026-13-01", "closed", "'2026-13-01' is not a date; write it like 2026-12-24, or 12-24"),
        ("13-40", "closed", "'13-40' is not a date"),
    ],
)
def test_what_are_no_hours(key: str, value: str, sentence: str) -> None:
    """A sentence names what was written and how to write it."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        opening_hours({key: value})


def test_countries() -> None:
    """A code and its part are known, or a sentence says which are."""
    assert known_country("de-by") == "DE-BY"
    with pytest.raises(ValueError, match="'Germany' is not a known country; write its ISO code"):
        known_country("Germany")
    with pytest.raises(ValueError, match="DE has no part 'XX'; there are: BB, BE"):
        known_country("DE-XX")
