"""Where a thing touches the ground, and how sure that is: from its boxes, with measured noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.geometry import Box
from pipeline.core.tracks import Feet
from pipeline.tracking.motion import Motion, MotionModel, height_of

USUAL_NOISE = 0.03
"""Standard deviation of a box's lower edge in body heights, before it was measured."""
LEAST_NOISE = 0.005
MOST_NOISE = 0.15
NOISE_BOXES = 8.0
"""How many measurements the noise that was known before counts for."""
LONGEST_NOISE_BOXES = 60.0
"""The memory of the measured noise, in measurements."""
CALM_S = 0.25
"""How long a detector's error of a box lasts: looks that follow each other faster say less than
their number (measured on three detectors: .2 to .3 s)."""
APART_S = 0.4
"""Boxes are compared this far apart to measure their noise."""
GROWTH = 0.2
"""Typical change of the log size per second: somebody who walks towards a near camera."""
GROWTH_STEADINESS_S = 2.0
EDGE = 0.01
"""A box this close to an edge of the picture, in 0..1, may be cut off by it."""
KNOWN_AFTER = 3
"""Boxes after which a sudden change of the height is taken for hiding."""
SURPRISING = 2.5
"""Standard deviations beyond which the lower edge, or the height, is not where it should be."""
HIDDEN_S = 2.0
"""A thing whose height stays different for longer than this has another height, as when sitting
down."""

_SHAPE = MotionModel(speed=GROWTH, aspect=1.0, steadiness_s=GROWTH_STEADINESS_S)


@dataclass(slots=True)
class FeetMemory:
    """The state of the estimate."""

    motion: Motion
    """Of the feet, in picture heights."""
    shape: Motion
    """Of the logarithms of height (x) and width (y), both in picture heights."""
    at: float
    noise: float = USUAL_NOISE
    """Standard deviation of one box's lower edge, in body heights."""
    weight: float = NOISE_BOXES
    """How many measurements `noise` stands for."""
    seen: int = 1
    odd_since: float | None = None
    """Since when the height is not what it should be."""
    earlier: list[tuple[float, float]] = field(default_factory=list)
    """(time, log height) of up to two boxes, APART_S and more apart, to measure the noise with."""

    def see(self, at: float, box: Box, model: MotionModel) -> Feet:
        """Update the estimate with a box; returns where the feet are."""
        elapsed_s = max(at - self.at, 0.0)
        self.seen += 1
        height, width = height_of(box), max((box[2] - box[0]) * model.aspect, 1e-4)
        usual = math.exp(self.shape.x)
        feet = self.motion.predicted(elapsed_s, usual, model)
        shape = self.shape.predicted(elapsed_s, 1.0, _SHAPE)
        body = math.exp(shape.x)
        cut_below, cut_above = box[3] > 1.0 - EDGE, box[1] < EDGE
        noise = self.noise * body
        x, y = self._x(box, model), box[3]
        doubt = 1.0
        error_y = y - feet.y
        spread_y = math.sqrt(feet.p_xx + noise**2)
        error_h = math.log(height / body)
        spread_h = math.sqrt(shape.p_xx + 2.0 * self.noise**2)
        odd = (
            self.seen > KNOWN_AFTER
            and not (cut_below or cut_above)
            and abs(error_h) > SURPRISING * spread_h
        )
        if odd:
            self.odd_since = at if self.odd_since is None else self.odd_since
            if at - self.odd_since > HIDDEN_S:
                odd = False
        if odd:
            error_top = box[1] - (feet.y - body)
            if abs(error_y) > SURPRISING * spread_y and abs(error_top) < abs(error_y):
                y, doubt = min(box[1] + body, 1.0), 1.5
            else:
                self._measure(at, math.log(height))
        else:
            if not (cut_below or cut_above):
                if self.odd_since is not None:
                    if at - self.odd_since > HIDDEN_S:
                        shape = _first_shape(height, width, self.noise)
                self._measure(at, math.log(height))
            self.odd_since = None
            shape = shape.corrected((math.log(height), math.log(width)), 1.5 * self.noise)
        away = math.hypot(x - feet.x, y - feet.y)
        spread = math.sqrt(feet.p_xx + noise**2)
        if away > 3.0 * spread:  # an outlier moves the estimate no farther than a likely one
            doubt *= away / (3.0 * spread)
        keep = math.exp(-max(elapsed_s, 1e-3) / CALM_S)
        alike = math.sqrt((1.0 + keep) / (1.0 - keep))
        self.motion = feet.corrected((x, y), noise * doubt * alike)
        self.shape, self.at = shape, at
        return self.feet(model, (x, y), noise * doubt * alike)

    def feet(self, model: MotionModel, seen, blur) -> Feet:
        """Where the feet are now."""
        place = (self.motion.x / model.aspect, min(self.motion.y, 1.0))
        return Feet(
            place,
            math.exp(self.shape.x),
            math.sqrt(self.motion.p_xx),
            (seen[0] / model.aspect, seen[1]),
            blur,
        )

    def _x(self, box: Box, model: MotionModel) -> float:
        """The middle of the body: half of the usual width from the edge that is not cut."""
        left, right = box[0] < EDGE, box[2] > 1.0 - EDGE
        width = math.exp(self.shape.y) / model.aspect
        if left != right and self.seen > KNOWN_AFTER and box[2] - box[0] < width:
            x = box[2] - width / 2 if left else box[0] + width / 2
        else:
            x = (box[0] + box[2]) / 2
        return x * model.aspect

    def _measure(self, at: float, log_height: float) -> None:
        """Learn the noise: how far the middle of three boxes is from between the other two.

        A body's height changes slowly, whatever its feet do, and both edges jitter: the noise of
        one is the height's by the square root of 2.
        """
        if self.earlier and at - self.earlier[-1][0] < APART_S - 1e-3:
            return
        if len(self.earlier) == 2:
            (t0, h0), (t1, h1) = self.earlier
            if at - t0 < 6.0 * APART_S + 2.0:
                part = (t1 - t0) / (at - t0)
                error = h1 - (h0 + part * (log_height - h0))
                variance = error**2 / (1.0 + part**2 + (1.0 - part) ** 2) / 2.0
                variance = min(variance, (3.0 * self.noise) ** 2)
                mean = (self.noise**2 * self.weight + variance) / (self.weight + 1.0)
                self.noise = min(max(math.sqrt(mean), LEAST_NOISE), MOST_NOISE)
                self.weight = min(self.weight + 1.0, LONGEST_NOISE_BOXES)
            del self.earlier[0]
        self.earlier.append((at, log_height))


def first_feet(at: float, box: Box, model: MotionModel, noise: float = USUAL_NOISE) -> FeetMemory:
    """The estimate of a thing that was just seen for the first time."""
    height, width = height_of(box), max((box[2] - box[0]) * model.aspect, 1e-4)
    x, y = (box[0] + box[2]) / 2 * model.aspect, box[3]
    motion = Motion(x, y, 0.0, 0.0, (noise * height) ** 2, 0.0, (model.speed * height) ** 2)
    return FeetMemory(motion, _first_shape(height, width, noise), at, noise)


def _first_shape(height: float, width: float, noise: float) -> Motion:
    return Motion(math.log(height), math.log(width), 0.0, 0.0, 2.0 * noise**2, 0.0, GROWTH**2)
