"""Pictures for those who watch are no larger than they need be, and show what the frame shows."""

import cv2
import numpy as np

from pipeline.core.frames import Frame
from pipeline.core.tasks import Ask, Detect, Task
from pipeline.sampling.live import preview_of

RED, BLUE = (255, 0, 0), (0, 0, 255)
ASKED: dict[str, list[Task]] = {
    "finder": [Detect("people", "finder", "person")],
    "teller": [Ask("lights", "teller", "Is the light on?")],
}


def frame_of(width: int, height: int) -> Frame:
    """Red on the left, blue on the right, and black in the upper left, as a mask leaves it."""
    pixels = np.full((height, width, 3), BLUE, np.uint8)
    pixels[:, : width // 2] = RED
    pixels[: height // 4, : width // 4] = 0
    return Frame("door", "run", 7, 1.0, pixels, (width, height))


def test_a_preview_is_about_as_wide_as_asked_for_and_shows_the_whole_frame() -> None:
    """However much smaller it has to be made, with sides that are even or odd."""
    for own_wh in ((1920, 1080), (1281, 721), (768, 576), (500, 281), (300, 2), (64, 1200)):
        for width in (64, 160, 286, 480, 1920):
            preview = preview_of(frame_of(*own_wh), width, ASKED)
            pixels = cv2.imdecode(np.frombuffer(preview.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
            assert pixels is not None
            high, wide = pixels.shape[:2]
            assert preview.size_wh == (wide, high)
            assert min(width, own_wh[0]) <= wide <= min(1.25 * width, own_wh[0])
            assert abs(high - own_wh[1] * wide / own_wh[0]) <= 0.02 * high + 1
            if high < 16:
                continue
            for x, y, colour in (
                (0.4, 0.5, RED),
                (0.1, 0.5, RED),
                (0.6, 0.5, BLUE),
                (0.97, 0.97, BLUE),
                (0.1, 0.1, (0, 0, 0)),
            ):
                seen = pixels[int(y * high), int(x * wide)].astype(int)
                assert np.abs(seen - colour).max() < 60, (own_wh, width, x, y, seen)
    assert preview.engines == ("finder",)
