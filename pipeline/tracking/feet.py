"""Where a thing touches the ground, and how sure that is: from its boxes, with measured noise."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from typing import Any

from pipeline.core.geometry import Box
from pipeline.core.tracks import Feet
from pipeline.tracking.motion import WIDTH_SHARE, Motion, MotionModel, height_of, shape_of

USUAL_NOISE = 0.03
"""Standard deviation of a box's lower edge in body heights, until it was measured."""
LEAST_NOISE, MOST_NOISE = 0.005, 0.15
PRIOR_BOXES, MOST_BOXES = 8.0, 60.0
"""How many measurements the noise known before counts for, and how many are remembered."""
POOLED_BOXES = 100.0
"""How many measurements of things that have gone the camera's own noise stands for."""
APART_S = 0.4
"""Boxes are compared this far apart to measure their noise: closer ones share their errors."""
OLD_S = 4.0
"""A body may change its height within this time: boxes farther apart are not compared."""
CALM_S = 0.25
"""How long a detector's error lasts. Looks that follow each other faster say less than their number
(errors of the boxes of three detectors halve within .1 to .3 s)."""
GROWTH = 0.2
"""Typical change of a body's log height per second: somebody walks towards a near camera."""
GROWTH_STEADINESS_S = 2.0
EDGE = 0.01
"""A box this close to an edge of the picture, in 0..1, may be cut off by it."""
KNOWN_AFTER = 3
"""Boxes after which an unlikely height is taken for hiding."""
SURPRISING = 2.5
"""Standard deviations beyond which the lower edge, or the height, is not where it should be."""
HIDDEN_S = 2.0
"""A thing whose height stays unlikely for longer than this has another height, as when sitting
down."""
HIDDEN_NOISE = 1.5
"""How much less sure feet are that were put below the head."""
OUTLIER = 3.0
"""Feet farther off than this many standard deviations move the estimate no farther than that."""

_SHAPE = MotionModel(speed=GROWTH, aspect=1.0, steadiness_s=GROWTH_STEADINESS_S)


@dataclass(slots=True)
class FeetMemory:
    """The state of the estimate: Kalman filters for the feet and for the shape of the body.

    Walking towards a near camera, or away from it, changes a body's height slowly, and the filter
    follows. A height that is suddenly another one is a body with a hidden or merged part: then the
    edge that is not where it should be is not believed.
    """

    at: float
    motion: Motion
    """Of the feet, in picture heights."""
    shape: Motion
    """Of the logarithms of height (x) and width (y) in picture heights."""
    noise: float = USUAL_NOISE
    """Standard deviation of one box's lower edge, in body heights."""
    measured: float = PRIOR_BOXES
    """How many measurements `noise` stands for."""
    seen: int = 1
    odd_since: float | None = None
    """Since when the height is an unlikely one."""
    earlier: list[tuple[float, float]] = field(default_factory=list)
    """(time, log height) of the last two boxes that are APART_S apart."""
    whole: bool = True
    """Whether a box was seen that neither the upper nor the lower edge cuts: before, the height is
    how much has come into the picture, and grows as no body does."""

    def see(self, at: float, box: Box, size: tuple[float, float], model: MotionModel) -> Feet:
        """Update the estimate with the thing's next box; returns where the feet are.

        `size` is that box's `shape_of`.
        """
        elapsed_s = at - self.at
        if elapsed_s < 0.0:
            elapsed_s = 0.0
        self.seen += 1
        feet = self.motion.predicted(elapsed_s, math.exp(self.shape.x), model)
        shape = self.shape.predicted(elapsed_s, 1.0, _SHAPE)
        body = math.exp(shape.x)
        noise = self.noise * body
        log_height, log_width = size[1], size[0] / WIDTH_SHARE
        left, top, right, y = box
        cut = top < EDGE or y > 1.0 - EDGE
        cut_x = left < EDGE or right > 1.0 - EDGE
        x = self._middle(box, model) if cut_x else (left + right) / 2 * model.aspect
        doubt = 1.0
        hidden = False
        if not (cut or self.whole):
            self.whole, shape = True, _first_shape(box, model, self.noise)
        if (
            self.seen <= KNOWN_AFTER
            or cut
            or abs(log_height - shape.x)
            <= SURPRISING * math.sqrt(shape.p_xx + 2.0 * self.noise * self.noise)
        ):
            self.odd_since = None
        else:
            self.odd_since = at if self.odd_since is None else self.odd_since
            if at - self.odd_since > HIDDEN_S:
                self.odd_since, shape = None, _first_shape(box, model, self.noise)
            else:
                below_head = top + body
                off = abs(y - feet.y)
                unlikely = off > SURPRISING * math.sqrt(feet.p_xx + noise**2)
                if unlikely and abs(below_head - feet.y) < off:
                    hidden, y, doubt = True, min(below_head, 1.0), HIDDEN_NOISE
        earlier = self.earlier
        if not (hidden or cut or (earlier and at - earlier[-1][0] < APART_S - 1e-3)):
            self._measure(at, log_height)
        if self.odd_since is None:
            if cut_x and self.seen > KNOWN_AFTER:
                log_width = max(log_width, shape.y)  # the rest of it is beyond the edge
            # Strides change the shape, too, more than they move the lower edge.
            shape.correct((log_height, log_width), 1.5 * self.noise)
        away = math.hypot(x - feet.x, y - feet.y) / math.sqrt(feet.p_xx + noise * noise)
        if away > OUTLIER:
            doubt *= away / OUTLIER
        seen_noise, seen = noise * doubt * _alike(elapsed_s), (x, y)
        feet.correct(seen, seen_noise)
        self.at, self.motion, self.shape = at, feet, shape
        return self.feet(model, seen, seen_noise)

    def feet(
        self,
        model: MotionModel,
        seen: tuple[float, float] | None = None,
        seen_noise: float | None = None,
    ) -> Feet:
        """Where the feet are; `seen` is what the last box alone said, in picture heights."""
        motion, aspect = self.motion, model.aspect
        noise, y_now = math.sqrt(motion.p_xx), motion.y
        x, y = (motion.x, y_now) if seen is None else seen
        return Feet(
            (motion.x / aspect, y_now if y_now < 1.0 else 1.0),
            noise,
            (x / aspect, y),
            noise if seen_noise is None else seen_noise,
            math.exp(self.shape.x),
        )

    def copied(self) -> "FeetMemory":
        """The same estimate, to go on with independently."""
        return FeetMemory(
            self.at,
            self.motion,
            self.shape,
            self.noise,
            self.measured,
            self.seen,
            self.odd_since,
            list(self.earlier),
            self.whole,
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, exactly."""
        return {
            "at": self.at,
            "motion": list(astuple(self.motion)),
            "shape": list(astuple(self.shape)),
            "noise": self.noise,
            "measured": self.measured,
            "seen": self.seen,
            "odd_since": self.odd_since,
            "earlier": [list(one) for one in self.earlier],
            "whole": self.whole,
        }

    def _middle(self, box: Box, model: MotionModel) -> float:
        """The middle of the body in picture heights: half a width from the edge that is seen."""
        left, right = box[0] < EDGE, box[2] > 1.0 - EDGE
        if left != right and self.seen > KNOWN_AFTER:
            width = math.exp(self.shape.y) / model.aspect
            if box[2] - box[0] < width:
                return (box[2] - width / 2 if left else box[0] + width / 2) * model.aspect
        return (box[0] + box[2]) / 2 * model.aspect

    def _measure(self, at: float, log_height: float) -> None:
        """Learn the noise: how far the middle one of three boxes is from between the others.

        A body's height changes slowly whatever its feet do, so this holds for walkers, too, and at
        any frame rate. Both edges jitter: one has the height's error divided by the root of 2.
        """
        if len(self.earlier) == 2:
            (first_at, first), (middle_at, middle) = self.earlier
            if at - first_at < OLD_S:
                part = (middle_at - first_at) / (at - first_at)
                error = middle - (first + part * (log_height - first))
                variance = error**2 / (1.0 + part**2 + (1.0 - part) ** 2) / 2.0
                variance = min(variance, (OUTLIER * self.noise) ** 2)
                mean = (self.noise**2 * self.measured + variance) / (self.measured + 1.0)
                self.noise = min(max(math.sqrt(mean), LEAST_NOISE), MOST_NOISE)
                self.measured = min(self.measured + 1.0, MOST_BOXES)
            del self.earlier[0]
        self.earlier.append((at, log_height))


def first_feet(at: float, box: Box, model: MotionModel, noise: float = USUAL_NOISE) -> FeetMemory:
    """The estimate of a thing that was just seen for the first time."""
    height = height_of(box)
    x, y = (box[0] + box[2]) / 2 * model.aspect, box[3]
    motion = Motion(x, y, 0.0, 0.0, (noise * height) ** 2, 0.0, (model.speed * height) ** 2)
    whole = box[1] >= EDGE and box[3] <= 1.0 - EDGE
    return FeetMemory(at, motion, _first_shape(box, model, noise), noise, whole=whole)


def pooled(noise: float, ended: FeetMemory) -> float:
    """The camera's noise after a thing has gone of which some boxes were measured."""
    share = min((ended.measured - PRIOR_BOXES) / POOLED_BOXES, 0.25)
    return noise + share * (ended.noise - noise)


def feet_from_json(kept: Mapping[str, Any]) -> FeetMemory:
    """The estimate that `to_json` wrote; raises TypeError, KeyError or ValueError for others."""
    odd_since = kept["odd_since"]
    return FeetMemory(
        at=float(kept["at"]),
        motion=Motion(*map(float, kept["motion"])),
        shape=Motion(*map(float, kept["shape"])),
        noise=float(kept["noise"]),
        measured=float(kept["measured"]),
        seen=int(kept["seen"]),
        odd_since=None if odd_since is None else float(odd_since),
        earlier=[(float(at), float(height)) for at, height in kept["earlier"]],
        whole=bool(kept.get("whole", True)),  # earlier releases did not ask
    )


@lru_cache(maxsize=256)
def _alike(elapsed_s: float) -> float:
    """How much less a box says that is so close to the one before.

    The variance of a mean over errors that decay like this is larger by (1 + k) / (1 - k).
    """
    alike = math.exp(-max(elapsed_s, 1e-3) / CALM_S)
    return math.sqrt((1.0 + alike) / (1.0 - alike))


def _first_shape(box: Box, model: MotionModel, noise: float) -> Motion:
    log_width, log_height = shape_of(box, model.aspect)
    return Motion(log_height, log_width / WIDTH_SHARE, 0.0, 0.0, 2.0 * noise**2, 0.0, GROWTH**2)
