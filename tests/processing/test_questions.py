"""Questions beside the frames: what is shown, and how an answer finds back."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.geometry import Box
from pipeline.core.jobs import result_of
from pipeline.core.tasks import Ask
from pipeline.core.wire import decode_job, decode_result, encode_job, encode_result
from pipeline.processing.questions import (
    asked_about,
    picture_of,
    pixels_of,
    question_job,
    region_around,
)

PIXELS = np.full((48, 64, 3), 128, np.uint8)
QUESTION = Ask("climbing.verify", "wise", "Is it?", "yes/no")


def test_an_answer_says_what_it_is_about() -> None:
    """Through the queue and back; the result of a camera's frame is about nothing."""
    job = question_job("event/a.start", "yard", 1.5, QUESTION, PIXELS)
    travelled = decode_job(encode_job(job), PIXELS)
    result = decode_result(encode_result(result_of(travelled, {})))
    assert asked_about(result) == "event/a.start"
    assert (result.camera, result.engine, result.live) == ("yard", "wise", False)
    of_a_frame = replace(result, run="2026-06-01T12:00:00")
    assert asked_about(of_a_frame) is None


@pytest.mark.parametrize(
    ("box", "region"),
    [
        # Half its size on each side.
        ((0.4, 0.4, 0.6, 0.6), (0.3, 0.3, 0.7, 0.7)),
        # Somebody narrow is shown about square, so that there is something beside him.
        ((0.45, 0.3, 0.55, 0.7), (0.2, 0.1, 0.8, 0.9)),
        # At the edge only what is there.
        ((0.0, 0.8, 0.2, 1.0), (0.0, 0.7, 0.3, 1.0)),
        # A speck is shown with what is around it.
        ((0.5, 0.5, 0.5, 0.5), (0.425, 0.425, 0.575, 0.575)),
        # Beyond the picture, as a tracker may foresee it.
        ((0.9, 0.9, 1.3, 1.3), (0.7, 0.7, 1.0, 1.0)),
    ],
)
def test_a_subject_is_shown_with_its_surroundings(box: Box, region: Box) -> None:
    """Of a square picture."""
    assert region_around(box, 1.0) == pytest.approx(region)


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        (None, (48, 64)),
        ((0.25, 0.25, 0.75, 0.75), (48, 64)),
        ((0.4, 0.4, 0.6, 0.6), (20, 26)),
        ((1.2, 1.2, 1.3, 1.3), (1, 1)),
        ((0.0, 0.0, 0.0, 0.0), (4, 4)),
    ],
)
def test_a_picture_is_cut(box: Box | None, shape: tuple[int, int]) -> None:
    """Whatever the box, something of the picture is shown."""
    shown = pixels_of(picture_of(PIXELS, box))
    assert shown is not None
    assert shown.shape == (*shape, 3)
    assert abs(int(shown.mean()) - 128) < 3


def test_a_large_picture_is_made_smaller() -> None:
    """It travels and is kept; no engine sees more of it."""
    shown = pixels_of(picture_of(np.zeros((300, 4000, 3), np.uint8), None))
    assert shown is not None
    assert shown.shape == (120, 1600, 3)


def test_a_damaged_picture_is_none() -> None:
    """And no error."""
    assert pixels_of(b"no picture") is None
    assert pixels_of(b"") is None
