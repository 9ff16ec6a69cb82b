"""Where the feet of somebody are who comes into the picture bit by bit."""

import pytest

from pipeline.core.geometry import Box
from pipeline.tracking.feet import feet_from_json, first_feet
from pipeline.tracking.motion import MotionModel

MODEL = MotionModel(speed=0.7, aspect=16 / 9)


def entering(seconds: float) -> Box:
    """Somebody of half the picture's height who comes up from under its lower edge."""
    bottom = 1.35 - 0.35 * seconds
    return (0.45, bottom - 0.5, 0.55, min(bottom, 1.0))


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_who_comes_in_over_the_lower_edge_has_feet_where_the_box_ends(fps: int) -> None:
    """The height of what has come into the picture grows fast: it tells nothing of the body's."""
    feet = first_feet(0.0, entering(0.0), MODEL)
    whole = 0
    for look in range(1, 2 * fps + 1):
        at = look / fps
        box = entering(at)
        seen = feet.see(at, box, MODEL)
        if box[3] < 0.98:
            whole += 1
            assert seen.seen[1] == pytest.approx(box[3])
            assert seen.place[1] == pytest.approx(box[3], abs=0.05)
            assert seen.height == pytest.approx(0.5, abs=0.02)
    assert whole >= fps / 2


def test_whether_it_was_whole_is_kept() -> None:
    """A state resumes with it, and one of an earlier release stands for somebody seen whole."""
    kept = first_feet(0.0, entering(0.0), MODEL).to_json()
    assert not feet_from_json(kept).whole
    del kept["whole"]
    assert feet_from_json(kept).whole
