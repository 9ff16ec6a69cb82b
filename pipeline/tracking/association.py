"""Which box is which thing: the likelihood of each pair, and the best assignment over all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.geometry import Box
from pipeline.tracking.memory import TrackMemory
from pipeline.tracking.motion import MotionModel, centre_of, height_of

NEVER = 1e6
"""The cost of an impossible pair."""
SURPRISE = 7.0
"""How unlikely (negative log-likelihood per square height) a pair may be before a missed thing and
a new one are more likely. People enter a picture at a rate of about 0.001 per square of their
height and frame, and are missed once in ten frames: -log 0.001 = 6.9."""
TOP_SPEED = 4.0
"""The top speed as a multiple of the typical one: walkers at 0.7 heights per second may run at
2.8."""
HEIGHT_SPREAD = 0.25
"""Typical difference of a box's log height from the remembered one."""
MOST_HEIGHT_COST = 4.0
"""A half hidden thing may have any height: then only the position counts."""
DOUBT = 1.0
"""Added for a thing that is not confirmed yet and for a box with a low score: where two compete for
the same partner, the certain one wins."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was detected at one moment."""

    at: float
    boxes: Sequence[Box]
    faint: Sequence[bool]
    """Which of them have a score too low to begin a track."""


def costs(
    things: Sequence[TrackMemory], detections: Detections, model: MotionModel
) -> NDArray[np.float64]:
    """Costs (things, boxes): below 0 a pair is more likely than a missed thing and a new one.

    Position is judged by the Kalman filter's own uncertainty, so gates grow with the time since
    a thing was seen and with its height.
    """
    table = np.full((len(things), len(detections.boxes)), NEVER)
    seen = [(centre_of(box, model.aspect), height_of(box)) for box in detections.boxes]
    for row, thing in enumerate(things):
        expected = thing.expected(detections.at, model)
        height = thing.height
        variance = expected.p_xx / height**2 + model.blur**2
        base = math.log(2.0 * math.pi * variance) - SURPRISE + (DOUBT if thing.id is None else 0)
        x0, y0 = centre_of(thing.last_box, model.aspect)
        farthest = TOP_SPEED * model.speed * (detections.at - thing.last_at) + 3.0 * model.blur
        for column, ((x, y), box_height) in enumerate(seen):
            if math.hypot(x - x0, y - y0) > farthest * height:
                continue
            away = ((x - expected.x) ** 2 + (y - expected.y) ** 2) / height**2
            grown = math.log(box_height / height) / HEIGHT_SPREAD
            table[row, column] = (
                base
                + 0.5 * away / variance
                + min(0.5 * grown**2, MOST_HEIGHT_COST)
                + (DOUBT if detections.faint[column] else 0.0)
            )
    return table


def assigned(table: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs (row, column) of the cheapest assignment; rows and columns may stay unpaired."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.minimum(table, 0.0))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if table[row, column] < 0.0
    ]
