"""Metrics of boxes and points: who found what, in the order the model named it.

Boxes are (x_min, y_min, x_max, y_max) in any unit, the same for both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = Sequence[float]
Point = Sequence[float]

IOU_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Matches:
    """Which of the found boxes are right, in their order, and how many there should have been."""

    hits: tuple[bool, ...]
    wanted: int

    @property
    def found(self) -> int:
        """Gold boxes that were found."""
        return sum(self.hits)

    @property
    def wrong(self) -> int:
        """Boxes that fit no gold box, or one that was found already."""
        return len(self.hits) - self.found

    @property
    def missed(self) -> int:
        """Gold boxes that were not found."""
        return self.wanted - self.found


def iou(one: Box, other: Box) -> float:
    """Shared area over joint area; 0 where neither has an area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    joint = _area(one) + _area(other) - shared
    return shared / joint if joint else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def match(found: Sequence[Box], gold: Sequence[Box], threshold: float = IOU_THRESHOLD) -> Matches:
    """Give each found box, in order, the best gold box that is still free, if it fits well enough.

    Both official scripts match like this. A later box that fits better does not take it back.
    """
    free = list(range(len(gold)))
    hits = []
    for box in found:
        fits = [(iou(box, gold[index]), index) for index in free]
        # The first of the best, as a comparison with > finds it.
        best, taken = max(fits, key=lambda fit: fit[0], default=(0.0, -1))
        is_hit = best > 0.0 and best >= threshold
        if is_hit:
            free.remove(taken)
        hits.append(is_hit)
    return Matches(tuple(hits), len(gold))


def eleven_point_precision(matches: Matches) -> float:
    """The average precision of `coco_map.py`: the mean at recalls 0, 0.1, …, 1, VOC 2007's way.

    The order of the boxes stands for their scores, because that script gives all of them 1.0. Its
    thresholds are those of `numpy.arange`, so 0.3 is 0.30000000000000004, and 3 of 10 found are
    below it.
    """
    if not matches.wanted:
        return 0.0
    hits = np.cumsum(np.array(matches.hits, dtype=np.float64))
    recalls = hits / matches.wanted
    precisions = hits / np.arange(1, len(hits) + 1)
    reached = [precisions[recalls >= least] for least in np.arange(0, 1.1, 0.1)]
    return float(sum(best.max() / 11 for best in reached if best.size))


def is_inside(point: Point, box: Box) -> bool:
    """Whether a click there hits the box; its edge belongs to it."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def centre(box: Box) -> tuple[float, float]:
    """Where a click on the box would land."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
