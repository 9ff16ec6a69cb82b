"""The range of every number and text that comes from outside: cameras, engines, queue and store.

Within them, everything that follows can be computed, stored and delivered: a date has a calendar, a
whole number fits a database, a picture has a shape. They are wide: outside is what cannot be meant.
"""

import math
from typing import Any

EARLIEST = -2_208_988_800.0
"""1900-01-01: the earliest moment of capture, UTC seconds; old footage is dated before 1970."""
LATEST = 7_258_118_400.0
"""2200-01-01: the latest one."""
MOST_SIDE = 65_535
"""Pixels of a picture's side; no format of a camera has more."""
MOST_ORDINAL = 2**53
"""What JSON holds exactly: frames of a million years."""
PLACES = (-1.0, 2.0)
"""Coordinates of boxes and points: 0..1 is the picture, and as much again on each side."""
SCORES = (-0.01, 1.01)
"""Scores and probabilities: 0..1, with room for rounding."""
MOST_DIGITS = 30
"""Digits of a counted or read number."""
MOST_NUMBER = 10**MOST_DIGITS
MOST_FOUND = 10_000
"""Boxes or points in one answer."""
MOST_REGIONS = 256
"""Parts of one picture that are looked at."""
MOST_ANSWERS = 1000
"""Answers about one picture."""
LONGEST_NAME = 8192
"""Characters of a name; the run of a recording is named after its path."""
# Digits of a key that is a number, such as a track or the start of a minute.
_LONGEST_KEY = 16
_LONGEST_SHOWN = 4096
# A century in seconds: no process runs for longer, and a duration of it can be written.
_LONGEST_S = 3_200_000_000.0
LONGEST_TEXT = 65_536
"""Characters of an answer in words, a question or a reason."""


def is_moment(value: Any) -> bool:
    """Whether it is a time in UTC seconds with a date in the calendar."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and EARLIEST <= value <= LATEST


def nearest_moment(at: float) -> float:
    """The time itself, or the edge of what has a date; of what is not a number, the earliest."""
    return min(max(EARLIEST, at), LATEST)


def is_size(value: tuple[int, int]) -> bool:
    """Whether a picture can have this width and height."""
    return all(1 <= side <= MOST_SIDE for side in value)


def fault_of_picture(captured_at: float, size_wh: tuple[int, int]) -> str | None:
    """Why a picture cannot be worked with, if its time or its size is none."""
    if not is_moment(captured_at):
        return f"it is dated {captured_at:.6g} s from 1970, which is not between 1900 and 2200"
    if not is_size(size_wh):
        return f"it measures {size_wh[0]}×{size_wh[1]} pixels, which is not 1 to {MOST_SIDE}"
    return None


def is_finite(value: Any) -> bool:
    """Whether it is a number, whole or not, that arithmetic and JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= MOST_NUMBER


def holds_finite(value: Any) -> bool:
    """Whether all numbers in a stored state, also those that are keys, can be worked with."""
    match value:
        case dict():
            return all(
                len(str(name)) <= _LONGEST_KEY or not _is_whole(name) for name in value
            ) and all(map(holds_finite, value.values()))
        case list() | tuple():
            return all(map(holds_finite, value))
        case None | bool() | str():
            return True
        case _:
            return is_finite(value)


def _is_whole(name: Any) -> bool:
    return str(name).removeprefix("-").isdecimal()


def within(value: float, limits: tuple[float, float]) -> bool:
    """Whether it is in a range; what is not a number is in none."""
    return limits[0] <= value <= limits[1]


def cannot_stand_for(name: str) -> bool:
    """Whether a text cannot be a name in a database: PostgreSQL has no null character."""
    return "\0" in name


def readable(text: Any) -> str:
    """Words of another process as a terminal and a file can show them, and not without end."""
    shown = str(text)[:_LONGEST_SHOWN]
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in shown
    )


def one_line(text: str) -> str:
    """The same as one line: a name from outside cannot begin another."""
    return readable(text).replace("\n", " ")


def counted_number(value: Any) -> int:
    """A count of another process; raises ValueError for anything that is not one."""
    if not is_finite(value) or not 0 <= value <= MOST_ORDINAL:
        raise ValueError(f"{str(value)[:40]} is not a count")
    return int(value)


def measured_number(value: Any) -> float:
    """A duration or rate of another process; raises ValueError for anything that is not one."""
    if not is_finite(value) or not 0 <= value <= _LONGEST_S:
        raise ValueError(f"{str(value)[:40]} is not a duration or a rate")
    return float(value)
