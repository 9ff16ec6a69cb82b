"""Which box is which thing: the likelihood of each pair, and the best assignment over all."""

import importlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from pipeline.core.geometry import Box
from pipeline.tracking.kinds import WALKER
from pipeline.tracking.memory import TrackMemory
from pipeline.tracking.motion import LEAST_SIDE, WIDTH_SHARE, MotionModel, height_of, shape_of

NEVER = 1e6
"""The cost of an impossible pair."""
FEW_PAIRS = 9
"""So many pairs that compete are weighed by trying all: three things and three boxes."""
ROUNDING = 1e-6
"""Assignments whose costs differ by no more than this are the same to rounding."""
SURPRISE = 5.0
"""How unlikely (negative log-likelihood per square height, for walkers) a pair may be before a
missed thing and a new one are more likely. People enter a picture at a rate of about 0.001 per
square of their height and frame, and are missed once in ten frames: between -log 0.001 = 6.9 and
4.6."""
HASTE = 2.5
"""Faster things keep more distance, in proportion to their speed: the area of a step grows with its
square (2), and so does the length of a queue of cars (a half)."""
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
ALIKE = 0.25
"""A box whose log height differs by less may be due to a thing that a second box competes with."""
ROUNDED = 1.0 + 1e-9
"""A search goes this much farther, lest rounding decides."""


@dataclass(slots=True)
class Detections:
    """What was detected at one moment; never changed, but, like a Track, not frozen."""

    at: float
    boxes: Sequence[Box]
    faint: Sequence[bool]
    """Which of them have a score too low to begin a track."""


def matched(prices: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """The pairs of the cheapest assignment at these costs, in order."""
    if len(prices) < 2:
        return list(prices)
    rows, columns = {row for row, _ in prices}, {column for _, column in prices}
    if len(rows) == len(columns) == len(prices):
        return sorted(prices)  # nobody competes
    if len(prices) == 4 and len(rows) == len(columns) == 2:
        pairs = sorted(prices)
        first, other_first, other_second, second = pairs
        gain = prices[first] + prices[second] - prices[other_first] - prices[other_second]
        if abs(gain) > ROUNDING and max(prices.values()) < -ROUNDING:
            return [first, second] if gain < 0.0 else [other_first, other_second]
    choices: dict[int, int] = {}
    suitors: dict[int, int] = {}
    for row, column in prices:
        choices[row] = choices.get(row, 0) + 1
        suitors[column] = suitors.get(column, 0) + 1
    # Nobody competes for most pairs: only the rest has to be weighed against each other.
    rivals = {
        pair: price
        for pair, price in prices.items()
        if choices[pair[0]] > 1 or suitors[pair[1]] > 1
    }
    best = _tried(rivals)
    if best is None:
        best = _weighed(rivals)
    if len(rivals) == len(prices):
        return sorted(best)
    return sorted([*best, *(pair for pair in prices if pair not in rivals)])


def _tried(rivals: Mapping[tuple[int, int], float]) -> list[tuple[int, int]] | None:
    """The cheapest assignment of a few, found by trying all.

    None where there are too many to try, or where rounding may decide between two.
    """
    if len(rivals) > FEW_PAIRS:
        return None
    choices: dict[int, list[tuple[float, int, tuple[int, int]]]] = {}
    for pair, price in rivals.items():
        if price > -ROUNDING:
            return None
        choices.setdefault(pair[0], []).append((price, 1 << pair[1], pair))
    # What it costs, which columns are taken as bits of a number, and the pairs.
    found: list[tuple[float, int, tuple[tuple[int, int], ...]]] = [(0.0, 0, ())]
    for options in choices.values():
        found += [
            (total + price, taken | column, (*pairs, pair))
            for total, taken, pairs in found
            for price, column, pair in options
            if not taken & column
        ]
    found.sort()
    cheapest, next_one = found[:2]
    return list(cheapest[2]) if next_one[0] - cheapest[0] > ROUNDING else None


def _weighed(rivals: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """The cheapest assignment of any number."""
    rows, columns = (sorted({pair[axis] for pair in rivals}) for axis in (0, 1))
    table = np.array(
        [[rivals.get((row, column), NEVER) for column in columns] for row in rows], np.float64
    )
    return [(rows[row], columns[column]) for row, column in assigned(table)]


def handed_back(
    pairs: Sequence[tuple[int, int]],
    things: Sequence[TrackMemory],
    boxes: Sequence[Box],
    prices: Mapping[tuple[int, int], float],
) -> list[tuple[int, int]]:
    """The pairs, but no second box of a thing goes on with the boxes that are due to that thing.

    After a look with two boxes of one body the thing itself may have followed the worse one. If the
    second then took the next box of that body, the thing would be lost, and the second be taken
    for somebody who stands alone: one body, and two tracks.
    """
    kept = list(pairs)
    followed = {row for row, _ in pairs}
    for index, (row, column) in enumerate(pairs):
        second = things[row]
        if second.beside is None:
            continue
        heirs = [
            (price, other)
            for (other, box), price in prices.items()
            if box == column
            and other not in followed
            and things[other].beside is None
            and things[other].last_at >= second.last_at
            and abs(math.log(height_of(boxes[column])) - things[other].shape.y) < ALIKE
        ]
        if heirs:
            heir = min(heirs)[1]
            kept[index] = (heir, column)
            followed.add(heir)
    return sorted(kept)


@dataclass(slots=True)
class _Candidate:
    """A box, as every thing near it needs it; lengths are picture heights."""

    x: float
    y: float
    column: int
    height: float
    log_w: float
    log_h: float
    doubt: float
    cut_x: bool
    cut_y: bool
    edge: float
    """How far it is from the nearest edge of the picture."""


def costs(
    things: Sequence[TrackMemory], detections: Detections, model: MotionModel
) -> dict[tuple[int, int], float]:
    """The costs below 0, by (thing, box): a pair more likely than a missed thing and a new one.

    Position is judged by the Kalman filter's own uncertainty, so gates grow with the time since a
    thing was seen and with its height. There are few boxes within the reach of a thing, so that
    plain numbers cost less than whole tables, in which most would be far apart.
    """
    at, aspect = detections.at, model.aspect
    boxes = _candidates(detections, model)
    xs = [box.x for box in boxes]
    found: dict[tuple[int, int], float] = {}
    least, part_least = model.blur**2, max(model.blur, PART_BLUR) ** 2
    shape_least, shape_spread = model.shape_blur**2, SHAPE_SPREAD**2
    farthest, blurred = TOP_SPEED * model.speed, 3.0 * model.blur
    for row, thing in enumerate(things):
        expected, shape = thing.ahead(at, model)
        height, last = thing.height, thing.last_box
        reach = (farthest * (at - thing.last_at) + blurred) * height
        x0, y0 = (last[0] + last[2]) / 2 * aspect, (last[1] + last[3]) / 2
        wide, square = reach * ROUNDED, reach * reach
        first = bisect_left(xs, x0 - wide)
        near = [
            box
            for box in boxes[first : bisect_right(xs, x0 + wide, first)]
            if (off := box.x - x0) * off + (down := box.y - y0) * down <= square
        ]
        if not near:
            continue
        x, y, log_w, log_h = expected.x, expected.y, shape.x, shape.y
        square = height * height
        known = expected.p_xx / square
        vague = shape.p_xx + shape_least
        sharp = math.log(vague / shape_spread) / 2.0 if vague < shape_spread else 0.0
        usual = math.log(math.tau * (known + least))
        # A part costs no less than this, so that few have to be tried.
        part_usual = PART_COST + math.log(math.tau * (known + part_least))
        cut_thing_x = last[0] < AT_EDGE or last[2] > 1.0 - AT_EDGE
        cut_thing_y = last[1] < AT_EDGE or last[3] > 1.0 - AT_EDGE
        young = (0.0 if thing.id is not None else DOUBT + (AWAY if thing.missed else 0.0)) + (
            BESIDE if thing.beside is not None else 0.0
        )
        away = AWAY if thing.missed and thing.id is not None else 0.0
        entry = max(reach / TOP_SPEED, AT_EDGE)
        usual_spread = 2.0 * (known + least) * square
        part_usual_spread = 2.0 * (known + part_least) * square
        for box in near:
            dx, dy = box.x - x, box.y - y
            across = dx * dx
            wider, taller = box.log_w - log_w, box.log_h - log_h
            # Who is cut by an edge of the picture may be any wider or taller, and the middle
            # elsewhere.
            any_wider = cut_thing_x if wider > 0.0 else box.cut_x
            any_taller = cut_thing_y if taller > 0.0 else box.cut_y
            doubt = young + box.doubt
            if any_wider or any_taller:
                unlike = unsure = 0.0
                if any_wider:
                    unsure = (CUT * math.exp(log_w / WIDTH_SHARE)) ** 2 / square
                else:
                    unlike = sharp + wider * wider / (2.0 * vague)
                if any_taller:
                    unsure += CUT**2
                else:
                    unlike += sharp + taller * taller / (2.0 * vague)
                variance, loose = known + least + unsure, known + part_least + unsure
                whole, spread = math.log(math.tau * variance), 2.0 * variance * square
                part_least_cost, part_spread = (
                    PART_COST + math.log(math.tau * loose),
                    2.0 * loose * square,
                )
            else:
                unlike = (sharp + wider * wider / (2.0 * vague)) + (
                    sharp + taller * taller / (2.0 * vague)
                )
                whole, spread = usual, usual_spread
                part_least_cost, part_spread = part_usual, part_usual_spread
            cost = whole + (across + dy * dy) / spread + unlike
            if cost > part_usual and part_least_cost + across / part_spread + doubt < 0.0:
                # A part of a thing has its upper or lower edge where the whole one's is.
                off = (box.height - math.exp(log_h)) / 2.0
                ends = min(abs(dy - off), abs(dy + off), abs(dy))
                cost = min(cost, part_least_cost + (across + ends * ends) / part_spread)
            cost += doubt
            if cost >= 0.0:
                continue
            if box.edge < entry and _is_leaving(thing, at, model, cut=cut_thing_x or cut_thing_y):
                cost += LEFT
                if cost >= 0.0:
                    continue
            # Who was away gives way to competitors, and is found again where there are none.
            found[row, box.column] = min(cost + away, -LEAST) if away else cost
    return found


def _candidates(detections: Detections, model: MotionModel) -> list[_Candidate]:
    """The boxes, from left to right."""
    surprise = SURPRISE + HASTE * math.log(model.speed / WALKER)
    aspect = model.aspect
    found = []
    for column, (box, faint) in enumerate(zip(detections.boxes, detections.faint, strict=True)):
        left, top, right, bottom = box
        log_w, log_h = shape_of(box, aspect)
        found.append(
            _Candidate(
                (left + right) / 2 * aspect,
                (top + bottom) / 2,
                column,
                max(bottom - top, LEAST_SIDE),
                log_w,
                log_h,
                (DOUBT if faint else 0.0) - surprise,
                left < AT_EDGE or right > 1.0 - AT_EDGE,
                top < AT_EDGE or bottom > 1.0 - AT_EDGE,
                min(left * aspect, (1.0 - right) * aspect, top, 1.0 - bottom),
            )
        )
    found.sort(key=attrgetter("x"))
    return found


def _is_leaving(thing: TrackMemory, at: float, model: MotionModel, *, cut: bool) -> bool:
    """Whether it, perhaps cut by an edge of the picture, has likely gone out there since."""
    if thing.seen < KNOWN_AFTER:
        return False
    left, top, right, bottom = thing.last_box
    # The middle of what is cut goes half as fast as what leaves.
    way = (2.0 if cut else 1.0) * (at - thing.last_at)
    dx, dy = way * thing.motion.vx / model.aspect, way * thing.motion.vy
    return right + dx < 0.0 or left + dx > 1.0 or bottom + dy < 0.0 or top + dy > 1.0


def assigned(table: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs (row, column) of the cheapest assignment; rows and columns may stay unpaired."""
    # SciPy takes as long to load as a judge for an hour of pictures, and few crowds need it.
    linear_sum_assignment = importlib.import_module("scipy.optimize").linear_sum_assignment
    rows, columns = linear_sum_assignment(np.minimum(table, 0.0))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if table[row, column] < 0.0
    ]
