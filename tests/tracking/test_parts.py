"""The filter and the assignment, against what they should compute."""

from itertools import combinations, permutations

import numpy as np
import pytest

from pipeline.tracking.association import NEVER, assigned
from pipeline.tracking.motion import Motion, MotionModel

WALKER = MotionModel(speed=0.7, aspect=16 / 9)


@pytest.mark.parametrize("parts", [2, 3, 10])
def test_one_long_prediction_is_many_short_ones(parts: int) -> None:
    """Predicting a second at once or in parts gives the same place and the same doubt."""
    motion = Motion(0.3, 0.4, 0.1, -0.05, 0.001, 0.0005, 0.01)
    once = motion.predicted(1.0, 0.15, WALKER)
    step_by_step = motion
    for _ in range(parts):
        step_by_step = step_by_step.predicted(1.0 / parts, 0.15, WALKER)
    for name in Motion.__slots__:
        assert getattr(step_by_step, name) == pytest.approx(getattr(once, name), rel=1e-9)


def test_doubt_grows_with_time_and_size() -> None:
    """The uncertainty of a place grows with the time passed, and with the thing's height."""
    motion = Motion(0.3, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0)
    by_time = [motion.predicted(s, 0.15, WALKER).p_xx for s in (0.1, 0.2, 0.5, 1.0, 5.0, 60.0)]
    assert by_time == sorted(by_time)
    small, tall = (motion.predicted(1.0, height, WALKER).p_xx for height in (0.1, 0.2))
    assert tall == pytest.approx(4 * small)


def test_after_long_a_thing_is_somewhere_around() -> None:
    """A velocity fades: a minute later a walker is expected a few steps on, not far away."""
    walker = Motion(0.3, 0.5, 0.1, 0.0, 0.0, 0.0, 0.0).predicted(60.0, 0.15, WALKER)
    assert walker.x == pytest.approx(0.3 + 0.1 * WALKER.steadiness_s, rel=1e-3)
    assert walker.vx == pytest.approx(0.0, abs=1e-6)


def test_a_steady_walker_is_understood() -> None:
    """After a few looks the filter knows the speed, at 10 and at 1 a second."""
    for fps, looks in ((10, 20), (1, 5)):
        motion = Motion(0.0, 0.5, 0.0, 0.0, 0.0001, 0.0, 0.01)
        for look in range(1, looks + 1):
            motion = motion.predicted(1 / fps, 0.15, WALKER)
            motion.correct((0.1 * look / fps, 0.5), 0.15 * WALKER.blur)
        assert motion.vx == pytest.approx(0.1, rel=0.15)
        assert motion.vy == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_the_assignment_is_the_cheapest_of_all(seed: int) -> None:
    """Against trying everything: no other set of pairs costs less, and none costs 0 or more."""
    random = np.random.default_rng(seed)
    rows, columns = (int(n) for n in random.integers(0, 5, 2))
    table = random.normal(0.0, 3.0, (rows, columns))
    table[random.random((rows, columns)) < 0.3] = NEVER
    pairs = assigned(table)
    assert all(table[pair] < 0 for pair in pairs)
    cost = sum(float(table[pair]) for pair in pairs)
    assert cost == pytest.approx(_cheapest(table), abs=1e-9)


def _cheapest(table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    rows, columns = table.shape
    costs = [0.0]
    for size in range(1, min(rows, columns) + 1):
        for some_rows in combinations(range(rows), size):
            for some_columns in permutations(range(columns), size):
                pairs = zip(some_rows, some_columns, strict=True)
                costs.append(sum(float(table[pair]) for pair in pairs))
    return min(costs)
