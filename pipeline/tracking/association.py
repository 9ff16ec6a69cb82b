"""Which box is which thing: the likelihood of each pair, and the best assignment over all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.geometry import Box
from pipeline.tracking.kinds import WALKER
from pipeline.tracking.memory import TrackMemory
from pipeline.tracking.motion import WIDTH_SHARE, MotionModel, centre_of, height_of, shape_of

NEVER = 1e6
"""The cost of an impossible pair."""
SURPRISE = 5.0
"""How unlikely (negative log-likelihood per square height, for walkers) a pair may be before a
missed thing and a new one are more likely. People enter a picture at a rate of about 0.001 per
square of their height and frame, and are missed once in ten frames: between -log 0.001 = 6.9 and
4.6. Faster things keep more distance, in proportion to their speed."""
SHAPE_SPREAD = 0.2
"""How much things at one place differ in log height and log width: a shape known better than this
says who it is."""
TOP_SPEED = 4.0
"""The top speed as a multiple of the typical one: walkers at 0.7 heights per second may run at
2.8."""
PART_COST = 4.0
"""A half hidden thing may have any height and width: one box in fifty is that of a part."""
PART_BLUR = 0.08
"""How far the box of a part is typically from where its upper, lower edge or middle should be."""
AT_EDGE = 0.01
"""A box this close to an edge of the picture, in 0..1, may be cut by it."""
CUT = 0.15
"""How far, in widths and heights, the middle of what is cut typically is from where it should
be."""
KNOWN_AFTER = 3
"""After so many boxes it is known which way a thing goes."""
LEFT = 7.0
"""Added for a box at the edge and a thing that has likely left at one: it is somebody who comes
in."""
AWAY = 1.0
"""Added for a thing that was not seen in the last look: whom another hides stays hidden for a
while, and a box that may be of both is of the one who was there."""
LEAST = 0.1
"""A thing that was away is found again at this cost where nobody competes."""
DOUBT = 1.0
"""Added for a thing that is not confirmed yet and for a box with a low score: where two compete for
the same partner, the certain one wins."""
BESIDE = 1.5
"""Added for what may be a second box of another thing."""


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
    if not things or not detections.boxes:
        return np.full((len(things), len(detections.boxes)), NEVER)
    rows = []
    surprise = SURPRISE + 2.0 * math.log(model.speed / WALKER)
    for thing in things:
        expected = thing.expected(detections.at, model)
        shape = thing.expected_shape(detections.at, model)
        height = thing.height
        x0, y0 = centre_of(thing.last_box, model.aspect)
        known = expected.p_xx / height**2
        variance, loose = known + model.blur**2, known + max(model.blur, PART_BLUR) ** 2
        vague = shape.p_xx + model.shape_blur**2
        rows.append(
            (
                expected.x,
                expected.y,
                height,
                variance,
                loose,
                shape.x,
                shape.y,
                vague,
                math.log(min(vague / SHAPE_SPREAD**2, 1.0)) / 2.0,
                *_cut(thing.last_box),
                LEFT if _is_leaving(thing, detections.at, model) else 0.0,
                (DOUBT + (AWAY if thing.missed else 0.0) if thing.id is None else 0.0)
                + (BESIDE if thing.beside is not None else 0.0),
                AWAY if thing.missed and thing.id is not None else 0.0,
                x0,
                y0,
                (TOP_SPEED * model.speed * (detections.at - thing.last_at) + 3.0 * model.blur)
                * height,
            )
        )
    (
        x,
        y,
        height,
        variance,
        loose,
        log_w,
        log_h,
        vague,
        sharp,
        cut_x,
        cut_y,
        left,
        young,
        away,
        x0,
        y0,
        reach,
    ) = (column[:, None] for column in np.array(rows).T)
    seen = np.array(
        [
            (
                *centre_of(box, model.aspect),
                height_of(box),
                *shape_of(box, model.aspect),
                (DOUBT if faint else 0.0) - surprise,
                *_cut(box),
                min(box[0] * model.aspect, (1.0 - box[2]) * model.aspect, box[1], 1.0 - box[3]),
            )
            for box, faint in zip(detections.boxes, detections.faint, strict=True)
        ]
    )
    bx, by, bh, blw, blh, doubt, bcx, bcy, edge = seen.T[:, None, :]
    dx, dy = bx - x, by - y
    across = dx**2
    square = height**2
    # Who is cut by an edge of the picture may be any wider or taller, and the middle elsewhere.
    wider, taller = blw - log_w, blh - log_h
    enters = edge < np.maximum(reach / TOP_SPEED, AT_EDGE)
    cut_x = np.where(wider > 0.0, cut_x, bcx)
    cut_y = np.where(taller > 0.0, cut_y, bcy)
    unsure = (CUT * cut_x * np.exp(log_w / WIDTH_SHARE)) ** 2 / square + (CUT * cut_y) ** 2
    variance, loose = variance + unsure, loose + unsure
    whole = (
        np.log(2.0 * math.pi * variance)
        + (across + dy**2) / (2.0 * variance * square)
        + (1.0 - cut_x) * (sharp + wider**2 / (2.0 * vague))
        + (1.0 - cut_y) * (sharp + taller**2 / (2.0 * vague))
    )
    # A part of a thing has its upper or lower edge where the whole one's is.
    off = (bh - np.exp(log_h)) / 2.0
    ends = np.minimum(np.minimum(np.abs(dy - off), np.abs(dy + off)), np.abs(dy))
    part = PART_COST + np.log(2.0 * math.pi * loose) + (across + ends**2) / (2.0 * loose * square)
    table = np.minimum(whole, part) + young + doubt + left * enters
    # Who was away gives way to competitors, and is found again where there are none.
    table = np.where(table < 0.0, np.minimum(table + away, -LEAST), table)
    far = (bx - x0) ** 2 + (by - y0) ** 2 > reach**2
    return np.where(far, NEVER, table)


def _is_leaving(thing: TrackMemory, at: float, model: MotionModel) -> bool:
    """Whether it was cut by an edge of the picture and has likely gone out there since."""
    if thing.seen < KNOWN_AFTER:
        return False
    box = thing.last_box
    cut = any(_cut(box))
    # The middle of what is cut goes half as fast as what leaves.
    way = (2.0 if cut else 1.0) * (at - thing.last_at)
    dx, dy = way * thing.motion.vx / model.aspect, way * thing.motion.vy
    return box[2] + dx < 0.0 or box[0] + dx > 1.0 or box[3] + dy < 0.0 or box[1] + dy > 1.0


def _cut(box: Box) -> tuple[float, float]:
    """Whether the picture's edge may cut the width and the height of what is in the box."""
    return (
        float(box[0] < AT_EDGE or box[2] > 1.0 - AT_EDGE),
        float(box[1] < AT_EDGE or box[3] > 1.0 - AT_EDGE),
    )


def assigned(table: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs (row, column) of the cheapest assignment; rows and columns may stay unpaired."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.minimum(table, 0.0))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if table[row, column] < 0.0
    ]
