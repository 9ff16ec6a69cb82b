"""Where people stand and walk."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.measures import Bucket
from pipeline.core.rules import Rule
from pipeline.render.heat import draw_heat
from pipeline.rules.heat_map import HeatGrid, cell_name, heat_of
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    judged,
    late,
    people,
    seen,
    through_json,
    track,
)


def heat_map(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """A grid of eight by eight cells, as the picture is square."""
    return config(**{"type": "heat_map", "columns": 8, **fields}).build(context(every_s))


def cells(buckets: tuple[Bucket, ...]) -> dict[tuple[int, int], float]:
    """The seconds of each cell that was entered."""
    grid = heat_of(buckets)
    return {} if grid is None else dict(grid.seconds)


def test_time_is_where_the_feet_are() -> None:
    """Five seconds here, then three there; the first look has nothing before it."""
    path: list[Place | None] = [*[(0.3, 0.5)] * 6, *[(0.9, 0.99)] * 3]
    verdict = judged(heat_map(), people({1: path}, 1.0), end=9.0)

    assert verdict.events == ()
    assert cells(verdict.buckets) == {(2, 4): 5.0, (7, 7): 3.0}
    (bucket,) = verdict.buckets
    assert bucket.values == {
        "person_s": 8.0,
        "cell_8x8_2_4": 5.0,
        "cell_8x8_7_7": 3.0,
    }


def test_minutes_add_up_to_any_time() -> None:
    """An hour is the sum of its minutes, cell by cell."""
    path: list[Place | None] = [(0.3, 0.5)] * 300
    verdict = judged(heat_map(), people({1: path, 2: path}, 1.0), end=300.0)

    assert len(verdict.buckets) == 5
    assert cells(verdict.buckets) == {(2, 4): 598.0}
    assert cells(verdict.buckets[1:2]) == {(2, 4): 120.0}


def test_the_zone() -> None:
    """Whoever stands elsewhere leaves no trace."""
    paths: dict[int, list[Place | None]] = {1: [(0.3, 0.5)] * 5, 2: [(0.7, 0.5)] * 5}

    assert cells(judged(heat_map(zone="left"), people(paths, 1.0), end=5.0).buckets) == {
        (2, 4): 4.0
    }


def test_a_gap_is_not_guessed() -> None:
    """After a minute without sight somebody counts for the two looks that one look stands for."""
    here = (0.3, 0.5)
    frames = [seen(t, track(1, t, *here)) for t in (0.0, 1.0, 61.0)]
    assert cells(judged(heat_map(), frames, end=62.0).buckets) == {(2, 4): 3.0}
    failed = [frames[0], *(seen(1.0 + t, answer=FAILED) for t in range(60)), frames[-1]]
    assert cells(judged(heat_map(), failed, end=62.0).buckets) == {(2, 4): 2.0}
    again = [frames[0], seen(61.0, track(1, 61.0, *here), run="r2")]
    assert cells(judged(heat_map(), again, end=62.0).buckets) == {}


def test_who_is_shown_late_stood_there() -> None:
    """Each of his steps has its place and its time."""
    steps = [(1.0, 0.1, 0.5), (2.0, 0.3, 0.5), (3.0, 0.3, 0.5)]
    frames = [seen(0.0), seen(1.0), seen(2.0), seen(3.0, late(1, steps))]

    assert cells(judged(heat_map(), frames, end=4.0).buckets) == {(0, 4): 1.0, (2, 4): 2.0}


def test_feet_beyond_the_edge_are_in_the_last_cell() -> None:
    """A box may reach a little over the picture."""
    frames = [seen(t, track(1, t, 1.02, 1.01)) for t in (0.0, 1.0)]

    assert cells(judged(heat_map(), frames, end=2.0).buckets) == {(7, 7): 1.0}


def test_a_restart_at_any_frame_changes_nothing() -> None:
    """Minutes are the same, also those that were open."""
    path: list[Place | None] = [(n / 90, n / 90) for n in range(90)]
    frames = list(people({1: path}, 1.0))
    whole = judged(heat_map(), frames, end=90.0)
    for cut in range(0, len(frames), 7):
        first = heat_map()
        one = judged(first, frames[:cut])
        two = judged(through_json(first, heat_map()), frames[cut:], end=90.0)
        assert (*one.buckets, *two.buckets) == whole.buckets


def test_another_grid_is_another_map() -> None:
    """After an edit a minute holds cells of both; the map is that of the newer one."""
    old, new = heat_map(), heat_map(columns=4)
    judged(old, [seen(t, track(1, t, 0.3, 0.5)) for t in (0.0, 1.0, 2.0)])
    old.finish(3.0, "edited")
    new.inherit(old.state(), 3.0)
    later = [seen(t, track(1, t, 0.3, 0.5)) for t in (60.0, 61.0)]
    verdict = judged(new, later, end=62.0)

    assert verdict.buckets[0].values == {"person_s": 2.0, "cell_8x8_2_4": 2.0}
    assert cells(verdict.buckets) == {(1, 2): 1.0}
    assert heat_of([]) is None


def test_its_minutes_are_small() -> None:
    """Six people who walk about in a grid of 32 cells across leave less than two kilobytes."""
    paths: dict[int, list[Place | None]] = {
        n: [((n * 0.13 + t * 0.004) % 1.0, (n * 0.17 + t * 0.003) % 1.0) for t in range(61)]
        for n in range(1, 7)
    }
    wide = heat_map(columns=32)
    (bucket, _) = judged(wide, people(paths, 1.0), end=61.0).buckets

    assert 20 < len(bucket.values) < 100
    assert len(str(dict(bucket.values))) < 2048


@pytest.mark.parametrize("size", [(90, 160), (7, 5)])
def test_it_is_drawn_where_it_is_warm(size: tuple[int, int]) -> None:
    """The warmest cell is red, what nobody entered is the picture itself."""
    grey = np.full((*size, 3), 100, dtype=np.uint8)
    drawn = draw_heat(grey, HeatGrid(4, 2, {(0, 0): 100.0, (1, 0): 100.0, (0, 1): 100.0}))

    assert drawn.shape == grey.shape
    assert drawn.dtype == np.uint8
    red, green, blue = (int(value) for value in drawn[0, 0])
    assert red > green
    assert red > blue
    assert abs(drawn[-1, -1].astype(int) - 100).max() <= 2


def test_a_cell_is_named_with_its_grid() -> None:
    """The names are stored, and stay what they are."""
    assert cell_name(32, 18, 12, 7) == "cell_32x18_12_7"
