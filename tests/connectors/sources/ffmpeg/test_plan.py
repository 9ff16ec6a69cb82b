"""Which packets are worth decoding."""

from collections.abc import Callable
from functools import partial

import pytest

from connectors.sources.ffmpeg.plan import KeyIntervals, Thinning, WantedPictures

KEY_CASES = [
    # remark, every_s, key frame times, whether key frames alone are enough after them
    ("nothing seen yet", 5.0, [0], False),
    ("one interval is not enough to know", 5.0, [0, 1], False),
    ("key frames come more often than needed", 5.0, [0, 1, 2], True),
    ("exactly as often", 1.0, [0, 1, 2], True),
    ("as often, but for rounding", 1.0, [0, 1.001, 2.002], True),
    ("too rarely", 0.5, [0, 1, 2], False),
    ("every picture is needed", 0.0, [0, 0.1, 0.2], False),
    ("one long interval of a camera that varies them", 5.0, [0, 1, 2, 10], False),
    ("long ago enough", 5.0, [0, 10, *range(11, 19)], True),
    ("a jump of the clock is no interval", 5.0, [0, 1, 2, 90_000, 90_001], True),
    ("nor is a wrap", 5.0, [90_000, 90_001, 90_002, 0, 1], True),
    ("without timestamps nothing is known", 5.0, [None, None, None, None], False),
]


@pytest.mark.parametrize(
    ("every_s", "times", "expected"), [row[1:] for row in KEY_CASES], ids=[r[0] for r in KEY_CASES]
)
def test_when_key_frames_are_enough(
    every_s: float, times: list[float | None], expected: bool
) -> None:
    """They are, when the longest of the last eight intervals serves the need."""
    intervals = KeyIntervals(every_s)
    for at in times:
        intervals.see(at)
    assert intervals.suffice() is expected


def on_grid(times: list[float], every_s: float, early_s: float = 0.0) -> list[float]:
    """What a consumer takes that keeps to a grid from the first picture on."""
    taken, slot = [times[0]], 0
    for at in times[1:]:
        if (now := int((at - times[0] + early_s) / every_s)) > slot:
            taken.append(at)
            slot = now
    return taken


def since_last(times: list[float], every_s: float) -> list[float]:
    """What a consumer takes that wants a picture every so long after the last one."""
    taken = [times[0]]
    for at in times[1:]:
        if at >= taken[-1] + every_s:
            taken.append(at)
    return taken


@pytest.mark.parametrize(
    "consumer",
    [on_grid, partial(on_grid, early_s=0.001), since_last],
    ids=["grid", "early", "last"],
)
@pytest.mark.parametrize("interval", [1.0, 0.99999, 1.00001, 0.97, 2.5])
@pytest.mark.parametrize("every_s", [2.5, 5.0, 7.0])
def test_no_consumer_misses_what_it_would_take(
    consumer: Callable[[list[float], float], list[float]], interval: float, every_s: float
) -> None:
    """Of the wanted pictures it takes as many, as soon, as of all of them."""
    times = [1_700_000_000.0 + n * interval for n in range(400)]
    wanted = WantedPictures(every_s)
    offered = [at for at in times if wanted.take(at)]
    assert consumer(offered, every_s) == consumer(times, every_s)


def test_unwanted_pictures_are_few() -> None:
    """Where key frames fall on the grid, nothing but what is needed is decoded."""
    wanted = WantedPictures(5.0)
    assert sum(wanted.take(1_700_000_000.0 + n) for n in range(100)) == 20


def test_after_a_gap_one_picture_is_wanted() -> None:
    """What was missed is not made up for."""
    wanted = WantedPictures(5.0)
    assert [wanted.take(at) for at in (0.0, 1000.0, 1001.0, 1002.0)] == [True, True, False, False]


def test_a_picture_that_is_owed_is_wanted_at_once() -> None:
    """The next one counts from it, unless it is owed again."""
    owed = iter([False, True, False, False, False])
    wanted = WantedPictures(5.0, lambda: next(owed))
    assert [wanted.take(at) for at in (0.0, 1.0, 2.0, 3.0, 4.0, 7.0)] == [
        *(True, False, True, False, False, True)
    ]


@pytest.mark.parametrize(
    ("every_s", "gap_after", "thin"),
    [
        (0.0, 0.3, False),  # every picture is needed
        (0.3, 0.3, False),  # a picture in three is needed: too close to leave any out
        (0.4, 0.1, True),
        (1.2, 0.3, True),
        (0.5, 0.3, False),  # what is left out leaves gaps that are too long
    ],
)
def test_when_other_frames_are_left_out(every_s: float, gap_after: float, thin: bool) -> None:
    """Only where pictures come four times as often as needed, with and without them."""
    thinning = Thinning(every_s)
    at = 0.0
    for _ in range(16):
        at += 0.1
        thinning.see(at)
    assert thinning.see(at + gap_after) is thin
