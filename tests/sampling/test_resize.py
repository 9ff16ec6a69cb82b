"""How large frames are."""

import pytest

from pipeline.sampling.resize import fitted, smallest_limit


@pytest.mark.parametrize(
    ("size_wh", "max_side", "expected"),
    [
        ((1920, 1080), 640, (640, 360)),
        ((1080, 1920), 640, (360, 640)),  # upright
        ((640, 480), 640, (640, 480)),  # fits exactly
        ((320, 240), 640, (320, 240)),  # never up
        ((1920, 1080), None, (1920, 1080)),  # no limit
        ((1279, 717), 378, (378, 212)),  # odd
        ((4000, 3), 100, (100, 1)),  # never nothing
    ],
)
def test_fitted(size_wh: tuple[int, int], max_side: int | None, expected: tuple[int, int]) -> None:
    """Frames are scaled down to the limit with their aspect kept."""
    assert fitted(size_wh, max_side) == expected


def test_smallest_limit() -> None:
    """None is no limit."""
    assert smallest_limit(None, 300, 200) == 200
    assert smallest_limit(None, None) is None
