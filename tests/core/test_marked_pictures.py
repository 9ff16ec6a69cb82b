"""Pictures that say where their subject is, and are drawn only for those who look."""

import cv2
import numpy as np
import pytest

from pipeline.core.marked_pictures import box_in, drawn, with_box

_ORANGE_BGR = np.array([0, 176, 255])


def _jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((240, 320, 3), 90, np.uint8))[1].tobytes()


def _pixels(content: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(int)


def test_the_box_is_beside_the_picture_and_drawn_on_demand() -> None:
    """Its pixels are the camera's until somebody draws."""
    plain = _jpeg()
    marked = with_box(plain, (0.25, 0.25, 0.75, 0.5))
    assert box_in(marked) == (0.25, 0.25, 0.75, 0.5)
    assert (_pixels(marked) == _pixels(plain)).all()
    shown = _pixels(drawn(marked))
    for y, x in ((60, 160), (120, 160), (90, 80), (90, 240)):
        assert np.abs(shown[y, x] - _ORANGE_BGR).max() < 60
    assert np.abs(shown[90, 160] - 90).max() < 10
    assert np.abs(shown[200, 160] - 90).max() < 10


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)),
        ((-0.2, 1e-9, 1 / 3, 1 - 1e-12), (0.0, 0.0, 0.33333, 1.0)),
    ],
)
def test_boxes_stay_within_the_picture(
    box: tuple[float, float, float, float], told: tuple[float, float, float, float]
) -> None:
    """To a hundredth of a pixel of a thousand."""
    assert box_in(with_box(_jpeg(), box)) == told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.7",
        _jpeg(),
        b"\xff\xd8\xff\xfe\x00\x09another",
        b"\xff\xd8\xff\xfe\x00\x20moonwatch box 0.1 0.2 0.3 zz",
        with_box(_jpeg(), (0.1, 0.1, 0.2, 0.2))[:60],
    ],
)
def test_what_tells_of_no_box_or_is_damaged_stays_as_it_is(content: bytes) -> None:
    """Reports, clips, and pictures of earlier releases, which have it in their pixels."""
    assert drawn(content) == content
