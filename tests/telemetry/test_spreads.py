"""How long things took lately: counted by bucket, of a window, and added up over processes."""

import pytest

from pipeline.telemetry.metrics import LATENCY_BUCKETS, Metrics
from pipeline.telemetry.spreads import (
    EngineSpeed,
    Lately,
    LatencyCounts,
    speeds_added,
    spreads_added,
)


def test_what_is_told_is_of_the_last_minutes_and_of_the_last_hour() -> None:
    """Slow answers of long ago are not among an engine's; queues in memory are told with it."""
    metrics = Metrics()
    lately = Lately(metrics)
    assert lately.speeds(0.0, has_queue=True) == {}
    for _ in range(10):
        metrics.answer_seconds.labels("moondream").observe(40.0)
        metrics.batch_size.labels("moondream").observe(1)
        metrics.end_to_end_seconds.labels("door").observe(40.0)
    old = lately.speeds(60.0, has_queue=False)["moondream"]
    assert (old.took.total, old.jobs, old.batched, old.waiting) == (10, 10, 10, None)
    for _ in range(99):
        metrics.answer_seconds.labels("moondream").observe(0.3)
        metrics.batch_size.labels("moondream").observe(4)
        metrics.end_to_end_seconds.labels("door").observe(0.3)
    metrics.answer_seconds.labels("moondream").observe(4.0)
    metrics.queue_length.labels("moondream").set(7)
    metrics.queue_oldest_seconds.labels("moondream").set(2.5)
    now = lately.speeds(700.0, has_queue=True)["moondream"]
    assert (now.took.total, now.jobs, now.batched) == (100, 99, 396)
    assert (now.waiting, now.oldest_s) == (7, 2.5)
    half, most = now.took.quantile(0.5), now.took.quantile(0.99)
    assert half is not None
    assert most is not None
    assert 0.25 < half <= most <= 0.5
    hour = lately.judged(700.0)["door"]
    assert hour.total == 109
    for minute in range(12, 70):
        lately.judged(minute * 60.0)
    assert lately.judged(70 * 60.0)["door"].total == 99
    assert lately.judged(100 * 60.0) == {}


def test_several_workers_are_added_up_and_not_averaged() -> None:
    """A slow worker with one job in a hundred is what the slowest hundredth is of."""
    fast = LatencyCounts(tuple(99 if bound == 0.1 else 0 for bound in (*LATENCY_BUCKETS, None)))
    slow = LatencyCounts(tuple(2 if bound == 10 else 0 for bound in (*LATENCY_BUCKETS, None)))
    both = speeds_added([EngineSpeed(fast, 99, 198, 3, 1.0), EngineSpeed(slow, 2, 2, None, None)])
    assert (both.jobs, both.batched, both.waiting, both.oldest_s) == (101, 200, 3, 1.0)
    assert (both.took.quantile(0.5) or 0) <= 0.1
    assert 5 < (both.took.quantile(0.99) or 0) <= 10
    assert EngineSpeed.of_json(both.as_json()) == both
    assert spreads_added([]).quantile(0.5) is None
    beyond = LatencyCounts((*(0 for _ in LATENCY_BUCKETS), 1))
    assert beyond.quantile(0.5) == LATENCY_BUCKETS[-1]
    with pytest.raises(ValueError, match="other buckets"):
        LatencyCounts.of_json([1, 2, 3])
