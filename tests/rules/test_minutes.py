"""Minutes stay open for what comes late, and no longer."""

import pytest

from pipeline.core.answers import Number
from pipeline.core.measures import Bucket
from pipeline.core.rules import Observation
from pipeline.rules.limits import LEVEL
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.minutes import Minutes
from tests.rules.scene import ENGINE, FAILED, config, context, judged, numbers, seen

COUNTS = LineCrossingConfig(of="people", line="across").recorded()


def test_what_comes_too_late_lands_in_the_oldest_open_minute() -> None:
    """Nothing that was counted is lost, however late it is recognised."""
    minutes = Minutes(context(1.0), COUNTS)
    for second in range(0, 600, 10):
        minutes.sample(float(second))
        minutes.closed(float(second))

    minutes.count(5.0, entered=1)

    assert [(b.minute, b.values["entered"]) for b in minutes.closed(599.0)] == [(360, 1)]


def test_what_is_remembered_is_bounded() -> None:
    """A month of minutes is handed out, not kept."""
    minutes = Minutes(context(30.0), LEVEL)
    handed_out: list[Bucket] = []
    for second in range(0, 100_000, 30):
        minutes.sample(float(second), 1)
        handed_out += minutes.closed(float(second))

    assert len(handed_out) == 100_000 // 60
    assert len(minutes.memory.minutes) <= 5


def test_a_long_interval_covers_the_minutes_between() -> None:
    """A task asked every five minutes speaks for all five, and says that it was asked once."""
    minutes = Minutes(context(300.0), LEVEL)
    minutes.sample(0.0, 3)
    minutes.sample(300.0, 5)

    closed = minutes.closed(300.0)

    assert {tuple(b.values.items()) for b in closed} == {(("mean", 3.0), ("maximum", 3))}
    assert [(b.minute, b.samples, b.coverage) for b in closed] == [
        (0, 1, 1.0),
        *[(start, 0, 1.0) for start in (60, 120, 180, 240)],
    ]


@pytest.mark.parametrize(
    ("frames", "every_s", "expected"),
    [
        # 4 for a quarter of the time, 0 for the rest
        (numbers([4] * 15 + [0] * 45), 1.0, (1.0, 4, 60, 1.0)),
        # unequal steps weigh by time: 1 for 10 s, 5 for 1 s (and 49 s of nothing)
        ([*numbers([1] * 10), seen(10.0, answer=Number(ENGINE, 5)), seen(11.0, answer=FAILED)], 1.0,
         (round(15 / 11, 6), 5, 11, round(11 / 60, 6))),
        # after a silence of 30 s, 2 s belong to the last sample and 28 s to nobody
        ([seen(0.0, answer=Number(ENGINE, 2)), seen(30.0, answer=Number(ENGINE, 2))], 1.0,
         (2.0, 2, 2, round(4 / 60, 6))),
        # one sample in 30 s is all there should be
        ([seen(0.0, answer=Number(ENGINE, 2)), seen(30.0, answer=Number(ENGINE, 4))], 30.0,
         (3.0, 4, 2, 1.0)),
        # nothing but failures is unknown
        (numbers([None] * 60), 1.0, (None, None, 0, 0.0)),
    ],
)  # fmt: skip
def test_minutes(
    frames: list[Observation],
    every_s: float,
    expected: tuple[float | None, int | None, int, float],
) -> None:
    """Mean by time, maximum, samples, and the part of the minute that is known."""
    (bucket,) = judged(config(type="occupancy").build(context(every_s)), frames, end=60.0).buckets

    mean, maximum, samples, coverage = expected
    assert bucket.values == {"mean": mean, "maximum": maximum}
    assert (bucket.samples, bucket.coverage) == (samples, coverage)


def test_a_sample_speaks_into_the_next_minute() -> None:
    """Time is cut at the full minute, not samples."""
    frames = [seen(50.0, answer=Number(ENGINE, 3)), seen(70.0, answer=Number(ENGINE, 0))]
    first, second = judged(config(type="occupancy").build(context(10.0)), frames, end=80.0).buckets

    assert (first.samples, first.values["mean"], first.coverage) == (1, 3.0, round(10 / 60, 6))
    assert (second.samples, second.values["mean"], second.values["maximum"]) == (1, 1.5, 3)


def test_the_running_minute_is_known_so_far() -> None:
    """Asking changes nothing: the minute is handed out when it is over, with all it has by then."""
    minutes = Minutes(context(1.0), COUNTS)
    minutes.sample(50.0)
    minutes.count(50.0, entered=2)
    minutes.sample(51.0)

    (running,) = minutes.unfinished()
    again = minutes.unfinished()
    assert (running.values, running.unfinished) == ({"entered": 2, "left": 0}, True)
    assert running.coverage == round(1 / 60, 6)
    assert again == (running,)

    minutes.count(52.0, left=1)
    minutes.sample(60.0)
    (closed,) = minutes.closed(60.0)
    assert (closed.values, closed.unfinished) == ({"entered": 2, "left": 1}, False)
    (running,) = minutes.unfinished()
    assert (running.minute, running.values) == (60, {"entered": 0, "left": 0})
    minutes.finish(61.0)
    assert minutes.unfinished() == ()


def test_a_rule_without_samples_has_no_running_minute() -> None:
    """A minute in which nothing was looked at is not there; failed looks make an unknown one."""
    minutes = Minutes(context(1.0), LEVEL)
    assert minutes.unfinished() == ()
    minutes.sample(1.0, None)
    (running,) = minutes.unfinished()
    assert (running.values, running.coverage) == ({"mean": None, "maximum": None}, 0.0)


def test_a_stream_that_goes_on_in_the_same_minute_adds_to_it() -> None:
    """A restart within a minute does not lose what was counted before it."""
    minutes = Minutes(context(1.0), COUNTS)
    minutes.sample(10.0)
    minutes.count(10.0, entered=1)
    (before,) = minutes.finish(11.0)
    minutes.sample(20.0)
    minutes.count(20.0, entered=1)
    (after,) = minutes.finish(21.0)

    assert (before.values["entered"], before.samples) == (1, 1)
    assert (after.values["entered"], after.samples, after.coverage) == (2, 2, round(2 / 60, 6))
