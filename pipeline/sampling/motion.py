"""The motion gate: how much of a picture moves, against a learned background and its noise."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.sampling.glance import Glance

Plane = NDArray[np.float32]

# Share of the picture that opens the gate, at sensitivity 0 and at 1; between them geometric.
_LARGEST_SHARE, _SMALLEST_SHARE = 0.02, 0.0005
# A pixel moves when it differs by this many levels, or by this many times its usual difference.
_LEAST_LEVELS = 10.0
_TIMES_NOISE = 4.0
# Above this share the scene itself has changed (light switched, camera turned): learn it again.
_NEW_SCENE_SHARE = 0.6
# Seconds to learn what is still, and what moves (so that a parked car becomes background).
_STILL_S, _MOVING_S = 10.0, 60.0
# Swaying leaves become noise slowly, and a passer-by leaves little trace.
_RESTLESS_S = 120.0
_NOISE_AT_FIRST, _MOST_NOISE = 2.0, 40.0
_STEADY_GAIN = (0.5, 2.0)


def opening_share(sensitivity: float) -> float:
    """The share of the picture (0..1) that must move to open the gate, at a sensitivity of 0..1."""
    return float(_LARGEST_SHARE * (_SMALLEST_SHARE / _LARGEST_SHARE) ** sensitivity)


class MotionGate:
    """Scores glances of one camera in time order; the state is a background and its noise."""

    def __init__(self) -> None:
        self._background: Plane = np.zeros((0, 0), np.float32)
        self._noise: Plane = self._background
        self._began_at = self._at = 0.0

    def score(self, glance: Glance) -> float:
        """The share (0..1) of what is visible that moves; 1 for the first picture of a scene."""
        plane = _smooth(glance.grey.astype(np.float32))
        if self._background.shape != plane.shape:
            self._start(plane, glance.at)
            return 1.0
        expected = _under_same_light(self._background, plane, glance.hidden)
        difference = np.abs(plane - expected)
        moving = difference > np.maximum(_LEAST_LEVELS, _TIMES_NOISE * self._noise)
        visible: int = moving.size
        if glance.hidden is not None:
            moving &= ~glance.hidden
            visible -= int(glance.hidden.sum())
        # A moving thing has a body; a lone pixel is noise.
        moving &= _smooth(moving.astype(np.float32)) > 0.5
        share = float(moving.sum()) / max(1, visible)
        # Not twice in a row: what changes everywhere all the time is flicker, which can be learned.
        is_young = glance.at - self._began_at < _STILL_S
        if share > _NEW_SCENE_SHARE and not is_young:
            self._start(plane, glance.at)
        else:
            self._learn(plane, difference, moving & (not is_young), glance.at)
        return share

    def _start(self, plane: Plane, at: float) -> None:
        self._background = plane
        self._noise = np.full(plane.shape, _NOISE_AT_FIRST, np.float32)
        self._began_at = self._at = at

    def _learn(self, plane: Plane, difference: Plane, moving: NDArray[np.bool_], at: float) -> None:
        elapsed_s, self._at = max(0.0, at - self._at), at
        still, passing = _weight(elapsed_s, _STILL_S), _weight(elapsed_s, _MOVING_S)
        restless = _weight(elapsed_s, _RESTLESS_S)
        self._background = _moved(self._background, plane, np.where(moving, passing, still))
        usual = np.minimum(difference, _MOST_NOISE)
        self._noise = _moved(self._noise, usual, np.where(moving, restless, still))


def _weight(elapsed_s: float, time_constant_s: float) -> float:
    return 1.0 - math.exp(-elapsed_s / time_constant_s)


def _moved(plane: Plane, towards: Plane, weight: NDArray[np.float64]) -> Plane:
    return np.asarray(plane + weight * (towards - plane), np.float32)


def _smooth(plane: Plane) -> Plane:
    """The mean over 3 by 3 pixels, with the border repeated."""
    wide = np.pad(plane, 1, mode="edge")
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return np.asarray(total / 9, np.float32)


def _under_same_light(background: Plane, plane: Plane, hidden: NDArray[np.bool_] | None) -> Plane:
    """The background as it would look in the light of `plane`: one gain and one offset for all.

    Fitted to the pixels with a usual difference, so that moving ones have no influence. This keeps
    flicker, exposure steps and clouds from counting as motion.
    """
    shown = slice(None) if hidden is None else ~hidden
    before, now = background[shown].ravel(), plane[shown].ravel()
    if before.size == 0:
        return background
    change = now - before
    middle = np.median(change)
    unusual = np.abs(change - middle)
    usual = unusual <= 3 * np.median(unusual) + 2
    before, now = before[usual], now[usual]
    spread = float(before.var())
    gain = 1.0
    if spread > 25:  # a flat picture says nothing about a gain
        covariance = float(((before - before.mean()) * (now - now.mean())).mean())
        gain = min(max(covariance / spread, _STEADY_GAIN[0]), _STEADY_GAIN[1])
    offset = float(now.mean()) - gain * float(before.mean())
    return np.asarray(gain * background + offset, np.float32)
