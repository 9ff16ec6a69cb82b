"""Where in a picture something moves: a small map of one camera, against a learned background.

Finer than a glance, because it has to find a person of 2 % of the picture's height, and much
cheaper than a detector. What it flags is looked at, so that it may flag too much: a wrong place
costs a look, and a missed one is found by the next look at the whole picture.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.core.frames import Grey
from pipeline.core.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

MAP_SIDE = 640
"""The longest side of the map in pixels: a person of 40 pixels in a 4K picture has 7 of them."""
# A pixel moves when it differs by this many levels, or by this many times its usual difference.
_LEAST_LEVELS = 8.0
_TIMES_NOISE = 4.0
# Of the nine pixels around a moving one so many move: a lone one is noise.
_FEWEST_AROUND = 3
# The fewest pixels of a thing.
_FEWEST_PIXELS = 6
# Parts of one thing lie no farther apart than this, in pixels of the map.
_APART_PX = 5
# Above this share the scene itself has changed (light switched, infrared, camera turned).
_NEW_SCENE_SHARE = 0.5
# So long, and for so many pictures, a new scene is only learned, and the whole of it is looked at.
_SETTLING_S, _SETTLING_PICTURES = 1.0, 3
# Seconds to learn what is still, and what changes all the time (leaves, water).
_STILL_S, _RESTLESS_S = 10.0, 120.0
_NOISE_AT_FIRST, _MOST_NOISE = 2.0, 40.0
# What differs from the background and has not changed for so long is background from then on.
_ABSORBED_S = 8.0
# A place where something was absorbed may hold a thing that stands there, for so long.
_RESTS_S = 600.0
# Above this share of moving pixels it is worth knowing whether the camera itself was shaken.
_SHAKEN_SHARE = 0.01
# The farthest shake in pixels of the map, and how much of the motion it has to explain.
_FARTHEST_PX, _EXPLAINED = 12.0, 0.6
# A camera that stays where it was pushed shows another scene.
_PUSHED_S = 10.0
# Every so many pixels are compared to find out how the light has changed.
_LIGHT_STEP = 4
_STEADY_GAIN = (0.5, 2.0)
MOST_PLACES = 48
"""More moving places than these are rain or a shaken camera: the whole picture is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenMotion:
    """What one picture shows: where it moves, and whether the map knows the scene at all."""

    moving: Mask
    """(h, w) of the map; false everywhere where the scene is not known."""
    is_known: bool


class MotionMap:
    """The background of one camera and its noise; pictures come in time order."""

    def __init__(self) -> None:
        self._background: Plane = np.zeros((0, 0), np.float32)
        self._noise = self._last = self._background
        self._steady_since = self._rests_since = np.zeros((0, 0), np.float64)
        self._began_at = self._at = 0.0
        self._pictures = 0
        self._pushed_at: float | None = None

    def look(self, grey: Grey, at: float, hidden: Mask | None) -> SeenMotion:
        """Compare a small grey picture with the background, and learn from it."""
        import cv2

        plane = np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (3, 3), 0), np.float32)
        if self._background.shape != plane.shape or at < self._at:
            return self._start(plane, at)
        expected = _in_this_light(self._background, plane, hidden)
        difference = np.abs(plane - expected)
        moving = self._flagged(difference, hidden)
        shown = moving.size if hidden is None else max(1, int(moving.size - hidden.sum()))
        share = float(moving.sum()) / shown
        if share > _SHAKEN_SHARE:
            steadied = self._steadied(plane, expected, hidden)
            if steadied is not None and steadied.sum() < (1.0 - _EXPLAINED) * moving.sum():
                return self._shaken(plane, steadied, at)
        self._pushed_at = None
        is_settling = at - self._began_at < _SETTLING_S or self._pictures < _SETTLING_PICTURES
        if share > _NEW_SCENE_SHARE and not is_settling:
            return self._start(plane, at)
        self._learn(plane, difference, moving & (not is_settling), at)
        return SeenMotion(moving, not is_settling)

    def resting(self) -> Mask:
        """Where something came to a stop within the last ten minutes, and may still be."""
        return np.asarray(self._at - self._rests_since < _RESTS_S, np.bool_)

    def _start(self, plane: Plane, at: float) -> SeenMotion:
        if self._rests_since.shape != plane.shape:
            self._rests_since = np.full(plane.shape, -math.inf)
        self._background = self._last = plane
        self._noise = np.full(plane.shape, _NOISE_AT_FIRST, np.float32)
        self._steady_since = np.full(plane.shape, at)
        self._began_at = self._at = at
        self._pictures = 1
        self._pushed_at = None
        return SeenMotion(np.zeros(plane.shape, np.bool_), is_known=False)

    def _flagged(self, difference: Plane, hidden: Mask | None) -> Mask:
        import cv2

        moving = difference > np.maximum(_LEAST_LEVELS, _TIMES_NOISE * self._noise)
        if hidden is not None:
            moving &= ~hidden
        around = cv2.boxFilter(moving.astype(np.uint8), -1, (3, 3), normalize=False)
        return np.asarray(moving & (around >= _FEWEST_AROUND), np.bool_)

    def _steadied(self, plane: Plane, expected: Plane, hidden: Mask | None) -> Mask | None:
        """What moves if the camera itself was shaken; None if it was not."""
        import cv2

        half = (plane.shape[1] // 2, plane.shape[0] // 2)
        if min(half) < 2:
            return None  # a strip, in which no shift is seen
        small, before = cv2.resize(plane, half), cv2.resize(expected, half)
        (dx, dy), _ = cv2.phaseCorrelate(before, small, cv2.createHanningWindow(half, cv2.CV_32F))
        way = 2.0 * math.hypot(dx, dy)
        if not 0.1 < way <= _FARTHEST_PX:
            return None
        by = np.array([[1, 0, 2.0 * dx], [0, 1, 2.0 * dy]], np.float32)
        size_wh = (plane.shape[1], plane.shape[0])
        moved = cv2.warpAffine(expected, by, size_wh, borderMode=cv2.BORDER_REPLICATE)
        # What is shifted by a part of a pixel is blurred a little: edges may be off by that.
        edges = cv2.morphologyEx(moved, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        difference = np.maximum(np.abs(plane - moved) - 0.25 * edges, 0.0)
        # What came into the picture at its border is not known.
        across, down = math.ceil(2.0 * abs(dx)) + 1, math.ceil(2.0 * abs(dy)) + 1
        difference[:, :across] = difference[:, -across:] = 0.0
        difference[:down] = difference[-down:] = 0.0
        return self._flagged(np.asarray(difference, np.float32), hidden)

    def _shaken(self, plane: Plane, moving: Mask, at: float) -> SeenMotion:
        """Learn nothing from a picture that lies beside the background, unless it stays there."""
        self._pushed_at = at if self._pushed_at is None else self._pushed_at
        if at - self._pushed_at > _PUSHED_S:
            return self._start(plane, at)
        self._at, self._last = at, plane
        return SeenMotion(moving, is_known=True)

    def _learn(self, plane: Plane, difference: Plane, moving: Mask, at: float) -> None:
        elapsed_s, self._at = at - self._at, at
        self._pictures += 1
        still = np.float32(1.0 - math.exp(-elapsed_s / _STILL_S))
        restless = np.float32(1.0 - math.exp(-elapsed_s / _RESTLESS_S))
        steps = np.abs(plane - self._last) > np.maximum(_LEAST_LEVELS, _TIMES_NOISE * self._noise)
        self._steady_since[steps | ~moving] = at
        self._last = plane
        absorbed = moving & (at - self._steady_since >= _ABSORBED_S)
        self._rests_since[absorbed] = at
        background = self._background + np.where(moving, np.float32(0), still) * (
            plane - self._background
        )
        self._background = np.where(absorbed, plane, background)
        usual = np.minimum(difference, np.float32(_MOST_NOISE))
        noise = self._noise + np.where(moving, restless, still) * (usual - self._noise)
        self._noise = np.where(absorbed, np.float32(_NOISE_AT_FIRST), noise)


def places_of(mask: Mask) -> "Sequence[Box] | None":
    """A box around each thing of a map, in 0..1 of the picture; None for more than can be meant."""
    import cv2

    height, width = mask.shape
    joined = cv2.dilate(mask.astype(np.uint8), np.ones((_APART_PX, _APART_PX), np.uint8))
    number, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    pixels = np.bincount(labels[mask], minlength=number)
    found: list[Box] = []
    for label in range(1, number):
        if pixels[label] < _FEWEST_PIXELS:
            continue
        left, top, wide, high = (int(value) for value in stats[label][:4])
        found.append((left / width, top / height, (left + wide) / width, (top + high) / height))
    return found if len(found) <= MOST_PLACES else None


def _in_this_light(background: Plane, plane: Plane, hidden: Mask | None) -> Plane:
    """The background as it would look in the light of `plane`: one gain and one offset for all.

    As the motion gate has it, from every fourth pixel across and down.
    """
    step = slice(None, None, _LIGHT_STEP)
    before, now = background[step, step].ravel(), plane[step, step].ravel()
    if hidden is not None:
        shown = ~hidden[step, step].ravel()
        before, now = before[shown], now[shown]
    if before.size == 0:
        return background
    change = now - before
    unusual = np.abs(change - np.median(change))
    usual = unusual <= 3 * np.median(unusual) + 2
    before, now = before[usual], now[usual]
    spread = float(before.var())
    gain = 1.0
    if spread > 25:  # a flat picture says nothing about a gain
        covariance = float(((before - before.mean()) * (now - now.mean())).mean())
        gain = min(max(covariance / spread, _STEADY_GAIN[0]), _STEADY_GAIN[1])
    offset = float(now.mean()) - gain * float(before.mean())
    return np.asarray(gain * background + offset, np.float32)
