"""What is masked is constant in every frame, whatever its size."""

import functools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.geometry import Point, Polygon, contains
from pipeline.sampling.masks import Masks
from tests.sampling.fakes import START, Bench, PaintedPicture, ScriptedSource, camera, sampled

TRIANGLE = ((0.2, 0.1), (0.9, 0.35), (0.45, 0.8))
CORNER = ((0.0, 0.0), (0.25, 0.0), (0.25, 0.3), (0.0, 0.3))
SIZES = [(97, 61), (32, 18)]


@functools.cache
def inside(corners: tuple[Point, ...], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of which some of five points lie in the polygon, worked out point by point."""
    width, height = size_wh
    polygon = Polygon(corners)
    marks = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            for dx, dy in ((0.5, 0.5), (0.01, 0.01), (0.99, 0.01), (0.01, 0.99), (0.99, 0.99)):
                if contains(polygon, ((x + dx) / width, (y + dy) / height)):
                    marks[y, x] = True
    return marks


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize("corners", [TRIANGLE, CORNER])
def test_every_touched_pixel_is_covered(
    corners: tuple[Point, ...], size_wh: tuple[int, int]
) -> None:
    """A pixel with any part in the polygon is hidden, and those far from it are not."""
    hidden = Masks([Polygon(corners)]).hidden(size_wh)
    assert hidden is not None
    touched = inside(corners, size_wh)
    assert hidden[touched].all()
    # Two pixels of margin, and one of rounding.
    near = cv2.dilate(touched.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert not hidden[~near].any()


@pytest.mark.parametrize("max_side", [None, 320, 150, 64])
def test_masked_pixels_are_constant_in_every_job(max_side: int | None) -> None:
    """Noise under a mask leaves no trace in any frame, at full size and after every resize."""
    noise = np.random.default_rng(3)
    pictures = [
        PaintedPicture(noise.integers(1, 256, (180, 320, 3), np.uint8), START + n) for n in range(4)
    ]
    bench = Bench()
    source = ScriptedSource(pictures)
    sampled(bench, camera(source, max_side=max_side, masks=[TRIANGLE, CORNER]))
    jobs = bench.jobs()
    assert len(jobs) == 4
    for job in jobs:
        height, width = job.frame.pixels.shape[:2]
        for corners in (TRIANGLE, CORNER):
            assert not job.frame.pixels[inside(corners, (width, height))].any()
        assert job.frame.pixels.any()


def test_a_change_under_a_mask_changes_nothing_around_it() -> None:
    """Scaling blends neighbours, but no pixel that is shown depends on what is masked."""
    rng = np.random.default_rng(4)
    first = rng.integers(0, 256, (180, 320, 3), np.uint8)
    second = first.copy()
    where = inside(CORNER, (320, 180))
    second[where] = 255 - second[where]
    frames = []
    for pixels in (first, second):
        bench = Bench()
        source = ScriptedSource([PaintedPicture(pixels, START)])
        sampled(bench, camera(source, max_side=90, masks=[CORNER]))
        frames.append(bench.jobs()[0].frame.pixels)
    assert np.array_equal(frames[0], frames[1])


def test_what_is_masked_makes_no_difference_to_likeness() -> None:
    """Something that moves under a mask does not make a frame of a picture like the last one."""
    pictures = []
    for n in range(8):
        pixels = np.full((180, 320, 3), 120, np.uint8)
        pixels[5:40, 5 + 8 * n : 20 + 8 * n] = 250
        pictures.append(PaintedPicture(pixels, START + n))
    bench = Bench()
    masked = camera(ScriptedSource(pictures), duplicates="drop", masks=[CORNER])
    sampled(bench, masked)
    assert len(bench.jobs()) == 1


def test_pixels_that_cannot_be_written_are_copied() -> None:
    """A decoder's own memory is left as it is."""
    pixels = np.full((40, 60, 3), 9, np.uint8)
    pixels.flags.writeable = False
    masked = Masks([Polygon(CORNER)]).fill(pixels)
    assert masked[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 0].tolist() == [9, 9, 9]


def test_no_masks_touch_nothing() -> None:
    """Without masks the pixels are handed on as they are."""
    pixels = np.full((40, 60, 3), 9, np.uint8)
    masks = Masks([])
    assert masks.fill(pixels) is pixels
    assert masks.hidden((60, 40)) is None


def test_a_camera_may_change_its_size() -> None:
    """Masks are drawn anew for each size, of which only a few are kept."""
    masks = Masks([Polygon(CORNER)])
    for width in range(40, 60):
        hidden = masks.hidden((width, 30))
        assert hidden is not None
        assert hidden.shape == (30, width)
        assert hidden[0, 0]
        assert not hidden[-1, -1]
