"""What opens the motion gate, and what must not."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.geometry import Polygon
from pipeline.sampling.glance import Glance, glance_at
from pipeline.sampling.masks import Masks
from pipeline.sampling.motion import MotionGate, opening_share
from tests.sampling.fakes import START, Bench, PaintedPicture, ScriptedSource, camera, sampled

CLIP = Path(__file__).parents[2] / "configs" / "media" / "plaza.mp4"
SIZE_WH = (640, 360)
EVERY_S = 0.5
LEARN = 40
"""Pictures a gate is shown of the still scene before what is tested begins: 20 s."""
Paint = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
RNG = np.random.default_rng(1)
NOISE = [RNG.normal(0, 1, (360, 640, 1)) for _ in range(7)]


def scene() -> NDArray[np.float64]:
    """A scene with dark, bright and textured places, (H, W, 1)."""
    rng = np.random.default_rng(7)
    coarse = rng.uniform(30, 210, (9, 16)).astype(np.float32)
    grey = cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC)
    return np.clip(grey, 15, 230)[:, :, None].astype(np.float64)


def noisy(pixels: NDArray[np.float64], n: int, sigma: float = 4.0) -> NDArray[np.float64]:
    """Sensor noise, another one in each picture."""
    return pixels + sigma * np.roll(NOISE[n % len(NOISE)], 31 * n, axis=1)


def ramp(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Dawn: the light doubles within a minute."""
    return noisy(pixels * (0.6 + 0.6 * min(1.0, n / 120)), n)


def flicker(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Lamps and exposure that swing by a tenth from picture to picture."""
    return noisy(pixels * (1.0, 0.9, 1.08, 0.94)[n % 4], n)


def bands(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Lamps flickering against a rolling shutter: dark bands that wander."""
    rows = np.arange(360)[:, None, None]
    return noisy(pixels + 11 * np.sin(2 * np.pi * (rows / 120 + 0.37 * n)), n)


def cloud(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Half of the picture fades by a third within a minute."""
    pixels = pixels.copy()
    pixels[:, :320] *= 1 - 0.33 * min(1.0, n / 120)
    return noisy(pixels, n)


def mover(width: int, height: int, contrast: float = 60, speed: int = 12) -> Paint:
    """Something that walks across the picture."""

    def paint(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        pixels = noisy(pixels, n)
        x = 20 + (n * speed) % (600 - width)
        place = pixels[150 : 150 + height, x : x + width]
        place += np.where(place < 128, contrast, -contrast)
        return pixels

    return paint


def in_flicker(paint: Paint) -> Paint:
    """The same under flickering lamps."""
    return lambda pixels, n: flicker(paint(pixels, n), n)


def before(paint: Paint) -> Paint:
    """What the gate learns first: the same light, and nobody in it."""
    if paint is ramp:
        return lambda pixels, n: ramp(pixels, 0)
    return paint if paint in (flicker, bands) else noisy


def glances(
    paint: Paint, count: int, masks: Masks, learned: Paint | None = None
) -> Iterator[Glance]:
    """The still scene for a while under the same noise, then what is painted into it."""
    base, still = scene(), learned or before(paint)
    for n in range(LEARN + count):
        painted = paint(base, n - LEARN) if n >= LEARN else still(base, n)
        pixels = np.repeat(np.clip(painted, 0, 255).astype(np.uint8), 3, axis=2)
        yield glance_at(PaintedPicture(pixels, START + n * EVERY_S), masks)


def open_share(paint: Paint, count: int = 50, sensitivity: float = 0.5) -> float:
    """Of the pictures after learning, how many open the gate."""
    gate = MotionGate()
    scores = [gate.score(glance) for glance in glances(paint, count, Masks([]))]
    assert scores[0] == 1.0
    return float(np.mean([score >= opening_share(sensitivity) for score in scores[LEARN:]]))


@pytest.mark.parametrize(
    "paint",
    [
        pytest.param(noisy, id="sensor noise"),
        pytest.param(lambda p, n: noisy(p, n, 12.0), id="three times the noise, suddenly"),
        pytest.param(ramp, id="dawn"),
        pytest.param(flicker, id="flickering lamps"),
        pytest.param(bands, id="rolling bands"),
        pytest.param(cloud, id="a cloud over half of it"),
        pytest.param(mover(6, 6), id="a fly"),
    ],
)
def test_stays_shut(paint: Paint) -> None:
    """Noise and light are no motion."""
    assert open_share(paint) == 0.0


@pytest.mark.parametrize(
    ("paint", "least"),
    [
        pytest.param(mover(50, 130), 0.97, id="a person of 3 %"),
        pytest.param(mover(26, 70), 0.97, id="a person of 1 %"),
        pytest.param(mover(50, 130, contrast=25), 0.97, id="a person in the colour of the wall"),
        pytest.param(in_flicker(mover(50, 130)), 0.97, id="a person under flickering lamps"),
        pytest.param(mover(200, 200), 0.97, id="a lorry"),
        pytest.param(mover(50, 130, speed=1), 0.9, id="somebody who hardly moves"),
    ],
)
def test_opens(paint: Paint, least: float) -> None:
    """Things that move are motion, in nearly every picture."""
    assert open_share(paint) >= least


def test_sensitivity() -> None:
    """A bird opens a sensitive gate only, and the share that opens falls with sensitivity."""
    bird = mover(20, 20)
    assert open_share(bird, sensitivity=0.2) == 0.0
    assert open_share(bird, sensitivity=0.9) > 0.9
    shares = [opening_share(n / 10) for n in range(11)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("sigma", [4.0, 25.0, 80.0])
def test_grain_opens_not_even_the_most_sensitive_gate(sigma: float) -> None:
    """Any amount of noise is learned, with its rare large values."""
    gate = MotionGate()
    grain: Paint = lambda pixels, n: noisy(pixels, n, sigma)  # noqa: E731
    glances_ = glances(grain, 60, Masks([]), learned=grain)
    scores = [gate.score(glance) for glance in glances_][LEARN:]
    assert max(scores) < opening_share(1.0)


def test_what_stays_becomes_background() -> None:
    """A parked car opens the gate when it comes, and no longer after some minutes."""

    def parked(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        pixels = noisy(pixels, n)
        pixels[200:280, 300:420] += 60
        return pixels

    gate = MotionGate()
    scores = [gate.score(glance) for glance in glances(parked, 320, Masks([]))][LEARN:]
    assert min(scores[:20]) >= opening_share(0.5)
    assert max(scores[-60:]) < opening_share(0.5)


def test_a_new_scene_opens_once() -> None:
    """Lights switched off, or a camera turned: motion at once, and still again right after."""

    def turned(pixels: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        return noisy(pixels[::-1, ::-1], n)

    gate = MotionGate()
    scores = [gate.score(glance) for glance in glances(turned, 10, Masks([]))][LEARN:]
    assert scores[0] >= opening_share(0.5)
    assert max(scores[1:]) < opening_share(0.5)


def test_motion_under_a_mask_is_none() -> None:
    """What a privacy mask hides opens no gate."""
    everything = Masks([Polygon(((0.0, 0.35), (1.0, 0.35), (1.0, 0.85), (0.0, 0.85)))])
    gate = MotionGate()
    scores = [gate.score(glance) for glance in glances(mover(50, 130), 30, everything)]
    assert max(scores[LEARN:]) < opening_share(0.5)


def test_a_camera_that_changes_its_size_starts_anew() -> None:
    """A picture of another size is a new scene, not an error."""
    gate = MotionGate()
    for size, at in (((360, 640), 0.0), ((480, 640), 0.5)):
        picture = PaintedPicture(np.full((*size, 3), 90, np.uint8), START + at)
        assert gate.score(glance_at(picture, Masks([]))) == 1.0


def clip_pictures(every: int, count: int) -> list[PaintedPicture]:
    """Every n-th picture of the bundled clip (10 a second)."""
    video = cv2.VideoCapture(str(CLIP))
    pictures: list[PaintedPicture] = []
    for n in itertools.count():
        read, bgr = video.read()
        if not read or len(pictures) == count:
            break
        if n % every == 0:
            rgb = np.ascontiguousarray(bgr[:, :, ::-1])
            pictures.append(PaintedPicture(rgb.astype(np.uint8), START + n / 10))
    video.release()
    return pictures


def test_a_place_full_of_people_is_never_still() -> None:
    """On the bundled clip, where people walk all the time, the gate is nearly always open."""
    bench = Bench()
    pictures = clip_pictures(every=5, count=100)
    source = ScriptedSource(pictures)
    sampled(bench, camera(source, motion={"linger": "0s"}, frozen=False))
    assert len(bench.jobs()) >= 0.95 * len(pictures)
