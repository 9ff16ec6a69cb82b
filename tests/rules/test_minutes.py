"""Minutes stay open for what comes late, and no longer."""

from pipeline.core.measures import Bucket
from pipeline.rules.minutes import Minutes
from tests.rules.scene import context


def test_what_comes_too_late_lands_in_the_oldest_open_minute() -> None:
    """Nothing that was counted is lost, however late it is recognised."""
    minutes = Minutes(context(1.0), "crossings")
    for second in range(0, 600, 10):
        minutes.sample(float(second))
        minutes.closed(float(second))

    minutes.count(5.0, entered=1)

    assert [(b.minute, b.entered) for b in minutes.closed(599.0)] == [(360, 1)]


def test_what_is_remembered_is_bounded() -> None:
    """A month of minutes is handed out, not kept."""
    minutes = Minutes(context(30.0), "level")
    handed_out: list[Bucket] = []
    for second in range(0, 100_000, 30):
        minutes.sample(float(second), 1)
        handed_out += minutes.closed(float(second))

    assert len(handed_out) == 100_000 // 60
    assert len(minutes.memory.minutes) <= 5


def test_a_long_interval_covers_the_minutes_between() -> None:
    """A task asked every five minutes speaks for all five, and says that it was asked once."""
    minutes = Minutes(context(300.0), "level")
    minutes.sample(0.0, 3)
    minutes.sample(300.0, 5)

    closed = minutes.closed(300.0)

    assert [(b.minute, b.mean, b.maximum, b.samples, b.coverage) for b in closed] == [
        (0, 3.0, 3, 1, 1.0),
        *[(start, 3.0, 3, 0, 1.0) for start in (60, 120, 180, 240)],
    ]
