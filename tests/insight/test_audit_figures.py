"""What a sample of judged clips says about all the others, and how sure that is."""

import numpy as np
import pytest

from pipeline.core.audits import AuditFigure
from pipeline.insight.audit_figures import AuditedTime, JudgedSpan, figures_of

RUNS = 2000
SAMPLES = 40


def covered(
    *,
    busy: int,
    silent: int,
    precise: float,
    more: float,
    missed: float,
    together: float,
    direction: float = 1.0,
) -> list[float]:
    """How often the intervals hold what an auditor of everything would have found.

    A counted crossing is right with the probability `precise`, a busy span has `more` uncounted
    ones on the mean, a silent one `missed`; a share `together` of busy spans has several events.
    Of these a share is in the `direction` that is judged.
    """
    rng = np.random.default_rng(20261127)
    hits = np.zeros(3)
    for run in range(RUNS):
        counted = np.where(rng.random(busy) < together, rng.integers(2, 5, busy), 1)
        counted = rng.binomial(counted, direction)
        true = rng.binomial(counted, precise) + rng.poisson(more, busy)
        unseen = rng.poisson(missed, silent)
        matched, whole = np.minimum(counted, true).sum(), true.sum() + unseen.sum()
        right = (matched / counted.sum(), matched / whole, counted.sum() / whole)
        figures = figures_of(
            AuditedTime(busy, int(counted.sum()), 20.0 * silent),
            [
                JudgedSpan(int(counted[i]), int(true[i]), 20.0)
                for i in rng.choice(busy, SAMPLES, replace=False)
            ],
            [
                JudgedSpan(0, int(unseen[i]), 20.0)
                for i in rng.choice(silent, SAMPLES, replace=False)
            ],
            seed=run,
            draws=1500,
        )
        found = (figures.precision, figures.recall, figures.accuracy)
        for number, (figure, value) in enumerate(zip(found, right, strict=True)):
            assert figure is not None
            hits[number] += figure.low <= value + 1e-12 and figure.high >= value - 1e-12
    return [float(hit) for hit in hits / RUNS]


@pytest.mark.parametrize(
    ("busy", "silent", "precise", "more", "missed", "together"),
    [
        # A good counter over a long time.
        pytest.param(300, 2000, 0.90, 0.03, 0.01, 0.15, marks=pytest.mark.slow),
        (200, 400, 0.85, 0.10, 0.10, 0.30),  # a busy place with groups
        (1000, 3000, 0.80, 0.10, 0.05, 0.20),  # a poor one
    ],
)
@pytest.mark.timeout(120)
def test_the_intervals_hold_as_often_as_they_say(
    busy: int, silent: int, precise: float, more: float, missed: float, together: float
) -> None:
    """Simulated auditors with known error rates: 93 to 97 % of the 95 % intervals are right."""
    shares = covered(
        busy=busy, silent=silent, precise=precise, more=more, missed=missed, together=together
    )
    assert all(0.93 <= share <= 0.97 for share in shares), shares


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_the_intervals_of_one_direction_hold_as_often() -> None:
    """In some of the judged spans nothing of it was counted: fewer of its events were looked at."""
    shares = covered(
        busy=200,
        silent=400,
        precise=0.85,
        more=0.1,
        missed=0.1,
        together=0.3,
        direction=0.5,
    )
    assert all(0.93 <= share <= 0.97 for share in shares), shares


def test_a_direction_of_which_nothing_was_looked_at_is_unknown() -> None:
    """It was counted elsewhere; what was judged says nothing of whether that is right."""
    time = AuditedTime(300, 7, 20_000.0)
    figures = figures_of(time, [JudgedSpan(0, 0, 20.0)] * 40, [JudgedSpan(0, 0, 20.0)] * 40)
    assert (figures.precision, figures.recall, figures.accuracy) == (None, None, None)
    never = figures_of(
        AuditedTime(300, 0, 20_000.0),
        [JudgedSpan(0, 1, 20.0)] + [JudgedSpan(0, 0, 20.0)] * 39,
        [JudgedSpan(0, 0, 20.0)] * 40,
    )
    assert never.precision is None
    assert never.recall is not None
    assert never.recall.value == 0.0


def test_who_has_seen_everything_knows_everything() -> None:
    """Intervals have no width where there is nothing left to guess."""
    busy = [JudgedSpan(1, 1, 20.0)] * 8 + [JudgedSpan(1, 0, 20.0), JudgedSpan(2, 3, 20.0)]
    silent = [JudgedSpan(0, 0, 20.0)] * 9 + [JudgedSpan(0, 1, 20.0)]
    figures = figures_of(AuditedTime(10, 11, 200.0), busy, silent)
    assert figures.precision == AuditFigure(10 / 11, 10 / 11, 10 / 11)
    assert figures.recall == AuditFigure(10 / 12, 10 / 12, 10 / 12)
    assert figures.accuracy == AuditFigure(11 / 12, 11 / 12, 11 / 12)
    assert figures.true == AuditFigure(12.0, 12.0, 12.0)


def test_no_error_seen_is_not_no_error() -> None:
    """The best value is in the interval, and so are worse ones."""
    figures = figures_of(
        AuditedTime(300, 300, 20_000.0),
        [JudgedSpan(1, 1, 20.0)] * 40,
        [JudgedSpan(0, 0, 20.0)] * 40,
    )
    assert figures.precision is not None
    assert figures.recall is not None
    assert figures.accuracy is not None
    assert (figures.precision.value, figures.precision.high) == (1.0, 1.0)
    assert 0.90 < figures.precision.low < 0.97
    assert figures.recall.high == 1.0
    assert figures.recall.low < 0.9
    assert figures.accuracy.low < 1.0 <= figures.accuracy.high


def test_what_was_not_looked_at_is_unknown() -> None:
    """Without silent spans nothing is known of what was missed; without busy ones, of precision."""
    time = AuditedTime(300, 300, 20_000.0)
    figures = figures_of(time, [JudgedSpan(1, 1, 20.0)] * 40, [])
    assert figures.precision is not None
    assert (figures.recall, figures.accuracy, figures.true) == (None, None, None)
    figures = figures_of(time, [], [JudgedSpan(0, 0, 20.0)] * 40)
    assert (figures.precision, figures.recall, figures.accuracy) == (None, None, None)


def test_errors_in_clusters_count_for_less() -> None:
    """Ten errors in two spans say less than ten errors in ten spans."""
    time = AuditedTime(400, 2000, 0.0)
    spread = [JudgedSpan(5, 4, 20.0)] * 10 + [JudgedSpan(5, 5, 20.0)] * 30
    lumped = [JudgedSpan(5, 0, 20.0)] * 2 + [JudgedSpan(5, 5, 20.0)] * 38
    one, other = figures_of(time, spread, []).precision, figures_of(time, lumped, []).precision
    assert one is not None
    assert other is not None
    assert one.value == other.value
    assert other.high - other.low > 1.5 * (one.high - one.low)


def test_a_rule_that_counted_nothing() -> None:
    """All there was was missed, or there was nothing."""
    time = AuditedTime(0, 0, 800.0)
    figures = figures_of(time, [], [JudgedSpan(0, 1, 20.0)] * 4 + [JudgedSpan(0, 0, 20.0)] * 36)
    assert figures.precision is None
    assert figures.recall is not None
    assert figures.recall.value == 0.0
    assert figures_of(time, [], [JudgedSpan(0, 0, 20.0)] * 40).recall is None
