"""Which box is which thing: likelihoods of pairs, and the best assignment over all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.geometry import Box
from pipeline.tracking.memory import Memory
from pipeline.tracking.motion import Manner, centre_of, height_of

NEVER = 1e6
"""Cost of a pair that cannot be; larger than any sum of costs that can."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a pair must be worth."""

    surprise: float
    """Largest negative log-likelihood (per square height) of a pair: beyond it, a missed thing
    and a new one are the likelier story."""
    top_speed: float
    """Heights a second that nothing exceeds."""
    height_spread: float
    """Typical difference of a box's log height from the remembered one."""


def costs(
    things: Sequence[Memory], boxes: Sequence[Box], at: float, manner: Manner, gate: Gate
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Negative log-likelihood of each pair less the gate's `surprise`: below 0 means plausible."""
    table = np.full((len(things), len(boxes)), NEVER)
    seen = [(centre_of(box), height_of(box)) for box in boxes]
    for row, thing in enumerate(things):
        expected = thing.expected(at, manner)
        height = thing.height
        variance = expected.p_xx / height**2 + manner.blur**2
        x0, y0 = centre_of(thing.last_box)
        reach = (gate.top_speed * (at - thing.last_at) + 3.0 * manner.blur) * height
        base = math.log(2.0 * math.pi * variance) - gate.surprise
        for column, ((x, y), box_height) in enumerate(seen):
            if math.hypot(x - x0, y - y0) > reach:
                continue
            away = ((x - expected.x) ** 2 + (y - expected.y) ** 2) / height**2
            grown = math.log(box_height / height) / gate.height_spread
            table[row, column] = base + 0.5 * away / variance + min(0.5 * grown**2, 4.0)
    return table


def assigned(
    table: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> list[tuple[int, int]]:
    """The pairs (row, column) of the cheapest assignment in which a pair may also stay apart."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.minimum(table, 0.0))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if table[row, column] < 0.0
    ]
