"""Where a thing will be: a constant-velocity Kalman filter for uneven time steps."""

import math
from dataclasses import dataclass
from functools import lru_cache

from pipeline.core.geometry import Box

SHAPE_SPEED = 0.2
"""How fast the logarithms of a box's width and height change, a second: by a tenth for who comes
nearer at a walk, by more near the camera."""
WIDTH_SHARE = 0.5
"""Strides and turns change a walker's width by a quarter, and the height by a tenth."""
SHAPE_STEADINESS_S = 2.0
"""How long they go on so."""
LEAST_SIDE = 1e-4
"""No box is narrower or lower than this, in picture heights, lest something be divided by 0."""


@dataclass(frozen=True, slots=True)
class MotionModel:
    """How tracked things move and are detected, in their own heights."""

    speed: float
    """Typical speed in heights per second."""
    aspect: float
    """Width ÷ height of the picture: boxes are fractions of both, distances need one unit."""
    steadiness_s: float = 4.0
    """How long a thing keeps its velocity: walkers turn or stop every few seconds."""
    blur: float = 0.08
    """How far a box's centre typically is from the thing's: a stride moves it that much."""
    shape_blur: float = 0.15
    """The same of the logarithms of a box's height and width: strides and turns."""


SHAPES = MotionModel(SHAPE_SPEED, 1.0, SHAPE_STEADINESS_S)
"""How the logarithms of a box's width and height move, for a height of 1."""


@dataclass(slots=True)
class Motion:
    """Position and velocity of a thing's centre, and their uncertainty, in picture heights.

    The velocity is an Ornstein-Uhlenbeck process: it wanders around zero with the typical speed
    and decays within `steadiness_s`. So a prediction over a long gap says "somewhere
    around here" and not "far ahead", and its uncertainty follows from the time passed, at any
    frame rate. Both axes share one 2 x 2 covariance. (R. E. Kalman 1960; G. E. Uhlenbeck and
    L. S. Ornstein 1930.) A prediction is a new one, which its correction changes in place: each of
    a thing's filters then makes one object in a look, and not two.
    """

    x: float
    y: float
    vx: float
    vy: float
    p_xx: float
    p_xv: float
    p_vv: float

    def predicted(self, elapsed_s: float, height: float, model: MotionModel) -> "Motion":
        """The motion `elapsed_s` later, for a thing of that height."""
        keep, reach, wander, drift, stir = _passage(elapsed_s, model.steadiness_s)
        power = model.speed * height
        power *= power
        vx, vy, p_xv, p_vv = self.vx, self.vy, self.p_xv, self.p_vv
        return Motion(
            self.x + vx * reach,
            self.y + vy * reach,
            vx * keep,
            vy * keep,
            self.p_xx + 2.0 * reach * p_xv + reach * reach * p_vv + power * wander,
            keep * (p_xv + reach * p_vv) + power * drift,
            keep * keep * p_vv + power * stir,
        )

    def correct(self, seen: tuple[float, float], noise: float) -> None:
        """It was seen at `seen`, with that standard deviation."""
        x, y, p_xx, p_xv = self.x, self.y, self.p_xx, self.p_xv
        total = p_xx + noise * noise
        gain_x, gain_v = p_xx / total, p_xv / total
        dx, dy, rest = seen[0] - x, seen[1] - y, 1.0 - gain_x
        self.x, self.y = x + gain_x * dx, y + gain_x * dy
        self.vx += gain_v * dx
        self.vy += gain_v * dy
        self.p_xx, self.p_xv = rest * p_xx, rest * p_xv
        self.p_vv -= gain_v * p_xv


@lru_cache(maxsize=256)
def _passage(elapsed_s: float, tau: float) -> tuple[float, float, float, float, float]:
    """What the time passed does to any motion; most things were last seen in the same look.

    The share of the velocity that is kept, for how many seconds the velocity carries, and the
    growth of p_xx, p_xv and p_vv for a variance of the velocity of 1.
    """
    keep = math.exp(-elapsed_s / tau)
    wander = tau**2 * (2.0 * elapsed_s / tau - 3.0 + 4.0 * keep - keep**2)
    return (
        keep,
        tau * (1.0 - keep),
        max(wander, 0.0),
        tau * (1.0 - keep) ** 2,
        1.0 - keep**2,
    )


def first_seen(box: Box, model: MotionModel) -> Motion:
    """The motion of a thing that was just seen for the first time: any direction, typical speed."""
    height = height_of(box)
    x, y = centre_of(box, model.aspect)
    return Motion(x, y, 0.0, 0.0, (model.blur * height) ** 2, 0.0, (model.speed * height) ** 2)


def first_shape(box: Box, model: MotionModel) -> Motion:
    """The shape of a thing that was just seen for the first time, as logarithms."""
    return Motion(*shape_of(box, model.aspect), 0.0, 0.0, model.shape_blur**2, 0.0, SHAPE_SPEED**2)


def centre_of(box: Box, aspect: float) -> tuple[float, float]:
    """A box's centre in picture heights."""
    return ((box[0] + box[2]) / 2 * aspect, (box[1] + box[3]) / 2)


def shape_of(box: Box, aspect: float) -> tuple[float, float]:
    """Logarithms of a box's width and height in picture heights, as exact as each other."""
    width, height = (box[2] - box[0]) * aspect, box[3] - box[1]
    return (
        WIDTH_SHARE * math.log(width if width > LEAST_SIDE else LEAST_SIDE),
        math.log(height if height > LEAST_SIDE else LEAST_SIDE),
    )


def height_of(box: Box) -> float:
    """A box's height in picture heights; never 0, so that it can be a divisor."""
    height = box[3] - box[1]
    return height if height > LEAST_SIDE else LEAST_SIDE
