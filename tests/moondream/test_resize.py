"""Resizing is Pillow's, byte for byte: horizontal pass first, as Pillow up to 12 always does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.moondream.errors import PictureError
from pipeline.moondream.pictures.resize import resize


def pillow(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize one axis after the other, so that no version of Pillow can choose the order."""
    image = Image.fromarray(picture)
    image = image.resize((width, image.height), Image.Resampling.LANCZOS)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Half random bytes, half hard black and white, which overshoots the byte range."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture[: height // 2] = rng.integers(0, 2, (height // 2, width, 3), dtype=np.uint8) * 255
    return picture


def assert_same(picture: NDArray[np.uint8], width: int, height: int) -> None:
    """Compare one size with Pillow."""
    (ours,) = resize(torch.from_numpy(picture), [(width, height)])
    np.testing.assert_array_equal(ours.numpy(), pillow(picture, width, height))


@pytest.mark.parametrize(
    ("size_wh", "to_wh"),
    [
        ((320, 240), (378, 378)),  # both sides enlarged
        ((640, 480), (1176, 644)),  # the local crops of a small camera stream
        ((1280, 720), (1176, 644)),  # both sides reduced
        ((300, 900), (644, 378)),  # one enlarged, one reduced
        ((378, 500), (378, 378)),  # no horizontal pass
        ((500, 378), (378, 378)),  # no vertical pass
        ((378, 378), (378, 378)),  # no pass at all
        ((1, 1), (378, 378)),  # one pixel
        ((9000, 3), (378, 20)),  # more than 128 taps
        ((60000, 1), (378, 2)),  # the longest side that is taken
    ],
)
def test_sizes_match_pillow(size_wh: tuple[int, int], to_wh: tuple[int, int]) -> None:
    """Every byte is Pillow's."""
    assert_same(noise(*size_wh), *to_wh)


side = st.integers(min_value=1, max_value=90)


@settings(max_examples=150, deadline=None)
@given(width=side, height=side, to_width=side, to_height=side, seed=st.integers(0, 9))
def test_any_size_matches_pillow(
    width: int, height: int, to_width: int, to_height: int, seed: int
) -> None:
    """Any pair of sizes gives Pillow's bytes."""
    assert_same(noise(width, height, seed), to_width, to_height)


def test_several_sizes_at_once_are_those_one_by_one() -> None:
    """The work shared between sizes changes nothing."""
    picture = torch.from_numpy(noise(100, 80))
    sizes = [(50, 60), (120, 80), (100, 90)]
    for together, size in zip(resize(picture, sizes), sizes, strict=True):
        assert torch.equal(together, resize(picture, [size])[0])


def test_a_side_too_long_for_exact_sums_is_refused() -> None:
    """The bound is a sentence, not a wrong byte."""
    with pytest.raises(PictureError, match="side of 200000 pixels is too long"):
        resize(torch.zeros((1, 200_000, 3), dtype=torch.uint8), [(378, 1)])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_same_bytes() -> None:
    """The device does not matter."""
    picture = torch.from_numpy(noise(1280, 720))
    sizes = [(378, 378), (1176, 644)]
    for cpu, gpu in zip(resize(picture, sizes), resize(picture.cuda(), sizes), strict=True):
        assert torch.equal(cpu, gpu.cpu())
