"""Where the motion map sees something move, and what does not fool it."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.geometry import Box
from pipeline.sampling.moving import MOST_PLACES, MotionMap, SeenMotion, places_of

SIZE_WH = (640, 360)
EVERY_S = 0.5
LEARN = 20
"""Pictures of the still scene before what is tested begins: 10 s."""
Levels = NDArray[np.float64]
Paint = Callable[[Levels, int], Levels]
NOISE = [np.random.default_rng(n).normal(0, 1, SIZE_WH[::-1]) for n in range(7)]


def ground() -> Levels:
    """Dark, bright and textured places, (360, 640)."""
    rng = np.random.default_rng(7)
    coarse = cv2.resize(rng.uniform(40, 190, (9, 16)), SIZE_WH, interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.uniform(-12, 12, (72, 128)), SIZE_WH, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(coarse + fine, 15, 230), np.float64)


def noisy(levels: Levels, n: int, sigma: float = 1.5) -> Levels:
    """Sensor noise of a picture that was averaged down, another one in each."""
    return levels + sigma * np.roll(NOISE[n % 7], 31 * n, axis=1)


def flicker(levels: Levels, n: int) -> Levels:
    """Lamps and exposure that swing by a tenth from picture to picture."""
    return noisy(levels * (1.0, 0.9, 1.08, 0.94)[n % 4], n)


def dawn(levels: Levels, n: int) -> Levels:
    """The light doubles within a minute."""
    return noisy(levels * (0.6 + 0.6 * min(1.0, max(0, n) / 120)), n)


def shaken(levels: Levels, n: int) -> Levels:
    """A mast in the wind: the picture jumps by up to three pixels."""
    by = ((n * 7) % 7 - 3, (n * 5) % 5 - 2) if n >= 0 else (0, 0)
    return noisy(np.roll(levels, by, axis=(1, 0)), n)


def walker(n: int) -> tuple[int, int, int, int]:
    """Where a person of 2 % of the height is: x, y, width and height in pixels of the map."""
    return 60 + 9 * n % 500, 200, 3, 7


def walking(levels: Levels, n: int) -> Levels:
    """The same, painted."""
    levels = levels.copy()
    x, y, w, h = walker(n)
    place = levels[y : y + h, x : x + w]
    place += np.where(place < 120, 55, -55)
    return levels


def seen(paint: Paint, count: int, learned: Paint = noisy) -> Iterator[tuple[int, SeenMotion]]:
    """The still scene for a while, then what is painted; what the map says of the latter."""
    map_, base = MotionMap(), ground()
    for n in range(-LEARN, count):
        levels = (paint if n >= 0 else learned)(base, n)
        grey = np.clip(levels, 0, 255).astype(np.uint8)
        found = map_.look(grey, 1000.0 + (n + LEARN) * EVERY_S, None)
        if n >= 0:
            yield n, found


def places(found: SeenMotion) -> list[Box]:
    """The places, of which there cannot be too many."""
    boxes = places_of(found.moving)
    assert boxes is not None
    return list(boxes)


@pytest.mark.parametrize(
    ("paint", "learned"),
    [
        pytest.param(noisy, noisy, id="sensor noise"),
        pytest.param(flicker, flicker, id="flickering lamps"),
        pytest.param(dawn, lambda levels, n: dawn(levels, 0), id="dawn"),
        pytest.param(shaken, noisy, id="a shaken camera"),
    ],
)
def test_noise_light_and_shaking_are_no_motion(paint: Paint, learned: Paint) -> None:
    """In hardly any picture is any place looked at because of them."""
    with_places = [len(places(found)) for _, found in seen(paint, 30, learned)]
    assert sum(number > 0 for number in with_places) <= 1


@pytest.mark.parametrize(
    "paint",
    [
        pytest.param(lambda levels, n: noisy(walking(levels, n), n), id="in noise"),
        pytest.param(lambda levels, n: flicker(walking(levels, n), n), id="under flickering lamps"),
        pytest.param(lambda levels, n: shaken(walking(levels, n), n), id="by a shaken camera"),
    ],
)
def test_a_small_person_is_seen(paint: Paint) -> None:
    """Of 2 % of the picture's height, in nearly every picture, and where he is."""
    learned = flicker if paint(ground(), 1).mean() < 0.95 * ground().mean() else noisy
    hits = 0
    for n, found in seen(paint, 25, learned):
        x, y, w, h = walker(n)
        middle = ((x + w / 2) / SIZE_WH[0], (y + h / 2) / SIZE_WH[1])
        hits += any(
            b[0] - 0.01 <= middle[0] <= b[2] + 0.01 and b[1] - 0.02 <= middle[1] <= b[3] + 0.02
            for b in places(found)
        )
    assert hits >= 23


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(lambda levels: 255 - levels, id="infrared"),
        pytest.param(lambda levels: levels[::-1, ::-1], id="another view"),
    ],
)
def test_a_new_scene_is_not_known_until_it_is_learned(after: Callable[[Levels], Levels]) -> None:
    """Infrared switched on, or a camera turned: nothing is taken for still until it is learned."""

    def switched(levels: Levels, n: int) -> Levels:
        return noisy(after(levels), n)

    found = [one for _, one in seen(switched, 30)]
    assert [one.is_known for one in found[:3]] == [False] * 3
    assert all(one.is_known for one in found[4:])
    assert not any(places(one) for one in found[4:])


def test_what_stands_becomes_background_and_its_leaving_is_motion() -> None:
    """A van stops for 30 s and drives off: seen while it is new, at rest, and seen when it left."""

    def van(levels: Levels, n: int) -> Levels:
        levels = levels.copy()
        if n < 60:
            levels[150:190, 300:370] = 240
        return noisy(levels, n)

    map_, base = MotionMap(), ground()
    moving, resting = {}, {}
    for n in range(-8, 96):
        grey = np.clip(van(base, n) if n >= 0 else noisy(base, n), 0, 255).astype(np.uint8)
        found = map_.look(grey, 1000.0 + (n + 8) * EVERY_S, None)
        moving[n] = bool(found.moving[160:180, 320:350].all())
        resting[n] = bool(map_.resting()[160:180, 320:350].all())
    assert all(moving[n] for n in range(15))
    assert not any(moving[n] for n in range(30, 60))
    assert all(moving[n] for n in range(60, 75))
    assert not any(moving[n] for n in range(90, 96))
    assert not resting[10]
    assert resting[40]


def test_a_place_under_a_mask_does_not_move() -> None:
    """What a privacy mask hides is not looked at."""
    map_, base = MotionMap(), ground()
    hidden = np.zeros(SIZE_WH[::-1], np.bool_)
    hidden[190:220] = True
    for n in range(LEARN + 30):
        levels = noisy(base if n < LEARN else walking(base, n), n)
        grey = np.where(hidden, 0, np.clip(levels, 0, 255)).astype(np.uint8)
        assert not map_.look(grey, 1000.0 + n * EVERY_S, hidden).moving.any()


def test_more_places_than_can_be_meant_are_none() -> None:
    """Heavy snow is everywhere, and a list of flakes helps nobody."""
    mask = np.zeros(SIZE_WH[::-1], np.bool_)
    for n in range(MOST_PLACES):
        y, x = 20 + 40 * (n // 12), 10 + 50 * (n % 12)
        mask[y : y + 3, x : x + 3] = True
    assert len(places_of(mask) or ()) == MOST_PLACES
    mask[300:303, 300:303] = True
    assert places_of(mask) is None


@pytest.mark.parametrize("size_wh", [(640, 1), (640, 3), (2, 640)])
def test_a_strip_of_a_picture_is_looked_at_as_any_other(size_wh: tuple[int, int]) -> None:
    """A line scan, or a camera's test picture: what moves there moves, and nothing fails."""
    scene = MotionMap()
    ground = np.full(size_wh[::-1], 90, np.uint8)
    for n in range(LEARN):
        scene.look(ground, n * EVERY_S, None)
    ground[: size_wh[1] // 4 + 1, : size_wh[0] // 4 + 1] = 250
    assert scene.look(ground, LEARN * EVERY_S, None).moving.any()


def test_a_clock_that_is_set_back_begins_anew() -> None:
    """And so does a picture of another size."""
    map_ = MotionMap()
    grey = np.full((360, 640), 90, np.uint8)
    for at in (10.0, 11.0, 12.0, 13.0):
        known = map_.look(grey, at, None).is_known
    assert known
    assert not map_.look(grey, 5.0, None).is_known
    assert not map_.look(grey[:180], 6.0, None).is_known
