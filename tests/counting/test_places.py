"""Places seen by a pinhole camera: what is true of them is told truly."""

import numpy as np
import pytest

from benchmarks.counting.places import PLACES, Camera, PlaceName, place
from benchmarks.counting.synthetic import Cast, make


def test_a_camera_sees_the_ground_where_trigonometry_puts_it() -> None:
    """Straight ahead of a tilted camera is the picture's middle; the horizon is that far up."""
    camera = Camera(height=4.0, tilt=45.0, view=90.0)
    assert camera.ground(0.0, 4.0) == pytest.approx((0.5, 0.5))
    assert Camera(2.0, 0.0, 90.0).ground(1e6, 1e6) == pytest.approx((1.0, 0.5), abs=1e-4)
    # At 10 m the picture is 20 m wide: a metre is a twentieth of it.
    assert Camera(2.0, 0.0, 90.0).ground(1.0, 10.0)[0] == pytest.approx(0.55)


@pytest.mark.parametrize("name", PLACES)
def test_boxes_are_what_is_visible_of_bodies_on_their_feet(name: PlaceName) -> None:
    """A whole body ends near its feet; a covered one may end above, but never far below them."""
    scene = place(name, seed=7, seconds=15.0)
    cast = Cast(np.random.default_rng((7, scene.number)), 10.0)
    scene.enact(cast)
    seen = 0
    for id_, path in cast.boxes.items():
        for frame, (x0, y0, x1, y1) in path.items():
            x, y = cast.feet[id_][frame]
            assert 0.0 <= x0 < x1 <= 1.0
            assert 0.0 <= y0 < y1 <= 1.0
            assert y1 - y < 0.3 * max(y1 - y0, 0.25)
            assert abs((x0 + x1) / 2 - x) < x1 - x0 + 0.05
            seen += 1
    hidden = sum(len(cast.feet[id_]) - len(path) for id_, path in cast.boxes.items())
    assert seen > hidden >= 0
    assert seen > 200


def test_a_place_is_the_same_again_and_counts_what_crosses() -> None:
    """The seed decides every number, and crossings come from the feet of those who made them."""
    one, again = (make(place("yard", 3, 20.0), seed=3) for _ in range(2))
    assert np.array_equal(one.detections, again.detections)
    assert one.crossings == again.crossings
    assert one.crossings_made >= 3
