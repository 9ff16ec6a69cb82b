"""Tiling, crops and what counts as a picture."""

import hashlib
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.moondream.checkpoints.releases import RELEASES
from pipeline.moondream.dims import VisionDims
from pipeline.moondream.errors import PictureError
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.crops import make_crops, pixel_lut, tiling, to_rgb
from tests.moondream.checkpoints import TINY_DIMS, random_weights

VISION = VisionDims()
GOLDEN = Path(__file__).parents[1] / "golden"
PICTURES = json.loads((GOLDEN / "images.json").read_text())


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        ((320, 240), (1, 1)),
        ((4000, 300), (1, 1)),  # one short side is enough
        ((378, 5000), (1, 1)),  # exactly one crop wide
        ((379, 379), (3, 3)),  # one pixel more is enlarged
        ((640, 480), (2, 4)),
        ((1920, 1080), (2, 4)),
        ((3840, 2160), (2, 4)),
        ((720, 1280), (4, 2)),
        ((1280, 960), (3, 3)),
        ((1024, 768), (3, 4)),
        ((2000, 400), (1, 6)),
        ((10000, 379), (1, 15)),  # the bound of 12 is not hard
    ],
)
def test_tiling_of_known_sizes(size_wh: tuple[int, int], expected: tuple[int, int]) -> None:
    """Rows and columns are those the model was trained with."""
    assert tiling(size_wh[1], size_wh[0], VISION) == expected


@pytest.mark.parametrize("cap", range(1, 12))
def test_a_smaller_budget_is_kept(cap: int) -> None:
    """No size makes more local crops than asked for."""
    for width, height in ((640, 480), (10000, 379), (379, 10000), (1024, 768), (500, 500)):
        rows, cols = tiling(height, width, VISION, cap)
        assert 1 <= rows * cols <= cap
    with pytest.raises(PictureError, match="max_crops is 0"):
        tiling(480, 640, VISION, 0)


@pytest.mark.parametrize("name", PICTURES)
def test_crops_are_the_recorded_ones(name: str) -> None:
    """Every byte of every crop matches the reference, from PIL images of several modes."""
    expected = PICTURES[name]
    with Image.open(GOLDEN / expected["file"]) as image:
        crops = make_crops(image, VISION)
    assert [crops.rows, crops.cols] == expected["tiling"]
    assert crops.size_wh == (expected["width"], expected["height"])
    # The reference keeps the only crop of a 1 x 1 tiling twice.
    pixels = crops.pixels.repeat(2, 1, 1, 1) if crops.is_single else crops.pixels
    assert len(pixels) == expected["n_crops"]
    assert hashlib.sha256(pixels.numpy().tobytes()).hexdigest() == expected["crops_sha256"]


def test_one_crop_is_the_global_view() -> None:
    """A budget of one leaves crop 0 as it was."""
    picture = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    only = make_crops(picture, VISION, max_crops=1)
    assert only.pixels.shape == (1, 378, 378, 3)
    assert torch.equal(only.pixels[0], make_crops(picture, VISION).pixels[0])


def test_neighbouring_crops_overlap() -> None:
    """Windows are 266 pixels apart and 378 wide."""
    picture = np.random.default_rng(2).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    crops = make_crops(picture, VISION)
    assert torch.equal(crops.pixels[1][:, 266:], crops.pixels[2][:, :112])
    assert torch.equal(crops.pixels[1][266:], crops.pixels[1 + crops.cols][:112])


def test_a_shared_read_only_frame_is_taken() -> None:
    """Frames shared by several tasks cannot be written to, and are not."""
    picture = np.zeros((400, 400, 3), dtype=np.uint8)
    picture.flags.writeable = False
    assert make_crops(picture, VISION).pixels.shape == (10, 378, 378, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pil_images_follow_pils_rules(mode: str) -> None:
    """Any mode becomes what PIL makes of it."""
    image = Image.effect_mandelbrot((40, 30), (-3, -2.5, 2, 2.5), 20).convert("RGB").convert(mode)
    np.testing.assert_array_equal(to_rgb(image), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped_and_not_blended() -> None:
    """An invisible red pixel is red."""
    assert to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4), np.uint8), "must be uint8 of shape"),  # grey
        (np.zeros((4, 4, 4), np.uint8), "must be uint8 of shape"),  # with alpha
        (np.zeros((4, 4, 3), np.float32), "not float32"),
        (np.zeros((0, 4, 3), np.uint8), "4 x 0 pixels is empty"),
        ("photo.jpg", "not str"),  # a path is not a picture
        (None, "not NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(picture: object, said: str) -> None:
    """The sentence says what came instead."""
    with pytest.raises(PictureError, match=said):
        to_rgb(picture)


def test_a_truncated_file_is_a_picture_error() -> None:
    """PIL opens lazily: a broken file shows only when its pixels are read."""
    data = BytesIO()
    Image.effect_noise((200, 200), 60).save(data, "PNG")
    with (
        Image.open(BytesIO(data.getvalue()[:-3000])) as image,
        pytest.raises(PictureError, match="cannot be read"),
    ):
        to_rgb(image)


def test_normalised_values_are_the_recorded_ones() -> None:
    """The table has 256 values within 0.004 of the exact ones."""
    exact = torch.arange(256) / 127.5 - 1
    assert len(set(pixel_lut().tolist())) == 256
    assert (pixel_lut() - exact).abs().max() < 0.004
    np.testing.assert_array_equal(pixel_lut().numpy(), np.load(GOLDEN / "pixel_lut.npy"))


@pytest.mark.parametrize(
    ("release", "precision", "black", "one", "hundred", "white", "furthest"),
    [
        ("2025-06-21", "bfloat16", -1.0, -0.9921875, -0.21484375, 1.0, 0.0039),
        ("2025-04-14", "float16", -1.0, -0.9921875, -0.2158203125, 1.0, 0.0005),
        ("2025-03-27", "float16", -1.0, -0.9921875, -0.2158203125, 1.0, 0.0005),
        ("2025-01-09", "float16", -1.0, -0.9921875, -0.2158203125, 1.0, 0.0005),
    ],
)
def test_each_release_has_its_own_precision_of_pixels(
    release: str,
    precision: str,
    black: float,
    one: float,
    hundred: float,
    white: float,
    furthest: float,
) -> None:
    """The four early checkpoints were normalised in float16, the 4-bit one as its release."""
    assert RELEASES[release].pixels == precision
    table = pixel_lut(RELEASES[release].pixels)
    assert [table[value].item() for value in (0, 1, 100, 255)] == [black, one, hundred, white]
    distance = (table - (torch.arange(256) / 127.5 - 1)).abs().max().item()
    assert furthest * 0.9 < distance <= furthest * 1.01


def test_a_network_normalises_as_its_release(tmp_path: Path) -> None:
    """The same weights and picture give other features where the pixels are rounded otherwise."""
    weights = random_weights()
    crops = make_crops(np.full((20, 20, 3), 100, np.uint8), TINY_DIMS.vision).pixels
    june, april = (
        Network.from_state(weights, TINY_DIMS, RELEASES[name]).vision.encode(crops)
        for name in ("2025-06-21", "2025-04-14")
    )
    assert not torch.equal(june, april)
    assert torch.allclose(june, april, atol=0.2)


@pytest.mark.parametrize(
    ("size_wh", "bound"),
    [
        ((320, 240), 6.0),  # enlarged: another filter, half a pixel further
        ((1280, 720), 0.5),  # shrunk: the same filter
    ],
)
def test_libvips_makes_other_pictures_of_the_same_shape(
    size_wh: tuple[int, int], bound: float
) -> None:
    """Close where it shrinks, visibly different where it enlarges, for every crop."""
    pytest.importorskip("pyvips")
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 256, (size_wh[1] // 16, size_wh[0] // 16, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize(size_wh, Image.Resampling.BICUBIC))
    ours = make_crops(picture, VISION)
    theirs = make_crops(picture, VISION, resizer="vips")
    assert theirs.pixels.shape == ours.pixels.shape
    assert theirs.pixels.dtype == torch.uint8
    difference = (ours.pixels.int() - theirs.pixels.int()).abs().float().mean().item()
    assert 0 < difference < bound


def test_libvips_leaves_a_frame_of_the_right_size_alone() -> None:
    """Nothing is resized, and the frame that tasks share is copied, not handed out."""
    pytest.importorskip("pyvips")
    picture = np.random.default_rng(4).integers(0, 256, (378, 378, 3), dtype=np.uint8)
    crops = make_crops(picture, VISION, resizer="vips")
    assert torch.equal(crops.pixels[0], torch.from_numpy(picture))
    crops.pixels.zero_()
    assert picture.any()
