"""Frozen and black pictures are noticed, each change once, and how things are at the beginning."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.core.frames import Pixels
from pipeline.sampling.config import BlackConfig, FrozenConfig
from pipeline.sampling.glance import alike, glance_at, identical
from pipeline.sampling.masks import Masks
from pipeline.sampling.watch import PictureWatch
from tests.sampling.fakes import START, PaintedPicture

RNG = np.random.default_rng(11)
SCENE = RNG.integers(30, 220, (90, 160, 3)).astype(np.uint8)


def still(n: int) -> Pixels:
    """The very same picture."""
    return SCENE


def encoded(n: int) -> Pixels:
    """The same picture after an encoder has rounded a few of its pixels."""
    pixels = SCENE.copy()
    pixels[n % 90, :10] += 1
    return pixels


def living(n: int) -> Pixels:
    """A still scene as a sensor sees it."""
    noise = np.random.default_rng(n).normal(0, 2.0, SCENE.shape)
    return np.clip(SCENE + noise, 0, 255).astype(np.uint8)


def black(n: int) -> Pixels:
    """Nothing, with a little noise."""
    return np.random.default_rng(n).integers(0, 20, SCENE.shape).astype(np.uint8)


def night(n: int) -> Pixels:
    """A dark yard with one lamp."""
    pixels = black(n).copy()
    pixels[10:30, 20:50] = 90
    return pixels


def clock_on_black(n: int) -> Pixels:
    """Nothing but a burnt-in clock, on 3 % of the picture."""
    pixels = np.zeros_like(SCENE)
    pixels[:9, : 50 - n % 2] = 200
    return pixels


SEEN = (0, "visible")
"""What is said of the first picture that is not black."""


def states(pictures: Sequence[Pixels], every_s: float = 1.0) -> list[tuple[int, str]]:
    """What is said at which picture."""
    watch = PictureWatch(FrozenConfig(), BlackConfig())
    said = []
    for n, pixels in enumerate(pictures):
        glance = glance_at(PaintedPicture(pixels, START + n * every_s), Masks([]))
        said += [(n, change.state) for change in watch.look(glance)]
    return said


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ([living(n) for n in range(60)], [SEEN, (1, "moving")]),  # noise is life
        ([night(n) for n in range(60)], [(1, "moving")]),  # dark is not black
        ([still(n) for n in range(30)], [SEEN]),  # not long enough: 29 s
        ([still(n) for n in range(60)], [SEEN, (30, "frozen")]),  # once
        ([encoded(n) for n in range(60)], [SEEN, (30, "frozen")]),  # re-encoded is the same
        (
            [still(n) for n in range(40)] + [living(n) for n in range(40)],
            [SEEN, (30, "frozen"), (40, "moving")],
        ),
        # the flash of a shutter
        ([living(0)] + [black(n) for n in range(5)], [SEEN, (1, "moving")]),
        # a camera that is dark at the beginning is not the one that stood still
        (
            [black(n) for n in range(20)] + [living(n) for n in range(5)],
            [(0, "moving"), (5, "black"), (20, "visible")],
        ),
        # black and the same all the time is one trouble, not two
        ([np.zeros_like(SCENE)] * 60, [(0, "moving"), (5, "black")]),
        # a frozen camera that goes black is no longer frozen
        (
            [still(n) for n in range(40)] + [black(n) for n in range(20)],
            [SEEN, (30, "frozen"), (40, "moving"), (45, "black")],
        ),
        # nearly black is neither for certain, until it was clearly one of them
        ([clock_on_black(n) for n in range(20)], [(1, "moving")]),
        (
            [black(n) for n in range(6)] + [clock_on_black(n) for n in range(20)],
            [(0, "moving"), (5, "black")],
        ),
    ],
)
def test_states(pictures: Sequence[Pixels], said: list[tuple[int, str]]) -> None:
    """Each state is said when it begins and when it ends, the first as soon as it is certain."""
    assert states(pictures) == said


def test_the_first_word_is_marked() -> None:
    """Who reads the log is not told at each start that all is well."""
    watch = PictureWatch(FrozenConfig(), BlackConfig())
    changes = [
        change
        for n in range(50)
        for change in watch.look(
            glance_at(PaintedPicture(living(n) if n < 2 or n > 40 else SCENE, START + n), Masks([]))
        )
    ]
    assert [(change.state, change.is_first_word) for change in changes] == [
        ("visible", True),
        ("moving", True),
        ("frozen", False),
        ("moving", False),
    ]


def test_two_pictures_prove_nothing() -> None:
    """Where pictures are rare, it takes three of them to call a camera frozen."""
    assert states([SCENE] * 4, every_s=60) == [SEEN, (2, "frozen")]


def test_switched_off() -> None:
    """Without either there is nothing to look for."""
    assert not PictureWatch(None, None).is_on
    assert PictureWatch(None, BlackConfig()).is_on


def test_likeness() -> None:
    """Noise makes no difference to likeness, a small thing does; only identity is frozen."""
    # A camera's picture is larger than a glance, which averages some of the noise away.
    large = np.kron(SCENE, np.ones((6, 6, 1), np.uint8))
    noise = np.random.default_rng(2)
    first, second, third = (
        np.clip(large + noise.normal(0, 3, large.shape), 0, 255).astype(np.uint8) for _ in range(3)
    )
    third[240:290, 360:380] //= 2
    glances = [glance_at(PaintedPicture(pixels), Masks([])) for pixels in (first, second, third)]
    assert identical(glances[0], glances[0])
    assert not identical(glances[0], glances[1])
    assert alike(glances[0], glances[1])
    assert not alike(glances[0], glances[2])


def test_another_size_is_never_the_same() -> None:
    """Pictures of different shapes are compared without an error."""
    square = glance_at(PaintedPicture(SCENE[:, :90]), Masks([]))
    wide = glance_at(PaintedPicture(SCENE), Masks([]))
    assert not alike(square, wide)
    assert not identical(square, wide)
