"""The filter and the assignment, against what they should compute."""

import subprocess
import sys
from itertools import combinations, permutations

import numpy as np
import pytest

from pipeline.tracking.association import NEVER, assigned, matched
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


@pytest.mark.parametrize("seed", range(40))
def test_few_are_matched_as_many_are(seed: int) -> None:
    """Trying all of a few gives the pairs that the assignment of whole tables gives.

    Among them are some that cost exactly the same, where the assignment decides.
    """
    random = np.random.default_rng(seed)
    rows, columns = (int(n) for n in random.integers(1, 6, 2))
    table = -np.round(random.gamma(2.0, 1.0, (rows, columns)), 0 if seed % 4 == 0 else 15) - 0.1
    table[random.random((rows, columns)) < 0.4] = NEVER
    prices = {
        (row, column): float(table[row, column])
        for row in range(rows)
        for column in range(columns)
        if table[row, column] < 0.0
    }
    assert matched(prices) == sorted(assigned(table))


ALONE = """
import sys
from pipeline.tracking.config import TrackerConfig

tracker = TrackerConfig().build("person")
for look in range(20):
    x = 0.2 + 0.03 * look
    walkers = [(x, 0.3, x + 0.1, 0.8), (0.8 - x, 0.32, 0.9 - x, 0.82)]
    tracks = tracker.update(1000.0 + look / 2, walkers, [0.9, 0.8])
assert len(tracks) == 2, tracks
print(*sorted({"scipy"} & sys.modules.keys()))
"""


def test_two_who_pass_each_other_are_followed_without_loading_scipy() -> None:
    """It takes as long to load as all else that a command needs; only a crowd is worth it."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, check=True, text=True)
    assert done.stdout.split() == []


def _cheapest(table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    rows, columns = table.shape
    costs = [0.0]
    for size in range(1, min(rows, columns) + 1):
        for some_rows in combinations(range(rows), size):
            for some_columns in permutations(range(columns), size):
                pairs = zip(some_rows, some_columns, strict=True)
                costs.append(sum(float(table[pair]) for pair in pairs))
    return min(costs)
