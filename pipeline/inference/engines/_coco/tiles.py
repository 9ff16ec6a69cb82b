"""Cuts a picture into overlapping tiles, and puts the tiles' boxes together again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    """Rows of x_min, y_min, x_max, y_max in 0..1 of the picture."""

OVERLAP = 0.2
"""Share of a tile that its neighbour sees too: wide enough for the small objects tiles are for."""
DUPLICATE_IOU = 0.6
"""Two boxes of one class that overlap more are the same thing, seen twice."""
CUT_COVERED = 0.6
"""A box cut off by its tile's edge is part of another box that covers this share of it."""
EDGE = 0.006
"""A box this near to its tile's inner edge (in tile sizes, 3 pixels of 512) is cut off by it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the picture, in 0..1 of it."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def size(self) -> "NDArray[np.float64]":
        """Width and height, twice, to scale boxes with."""
        import numpy as np

        width, height = self.x_max - self.x_min, self.y_max - self.y_min
        return np.array([width, height, width, height])

    @property
    def origin(self) -> "NDArray[np.float64]":
        """The upper left corner, twice, to shift boxes by."""
        import numpy as np

        return np.array([self.x_min, self.y_min, self.x_min, self.y_min])


WHOLE = Tile(0.0, 0.0, 1.0, 1.0)


def tiles_of(columns: int, rows: int) -> list[Tile]:
    """The whole picture and, where there is more than one part, its overlapping parts.

    The whole comes along because what is larger than the overlap is cut in every part.
    """
    if columns * rows == 1:
        return [WHOLE]
    parts = [
        Tile(x_min, y_min, x_max, y_max)
        for y_min, y_max in _spans(rows)
        for x_min, x_max in _spans(columns)
    ]
    return [WHOLE, *parts]


def _spans(parts: int) -> list[tuple[float, float]]:
    length = 1.0 / (parts - (parts - 1) * OVERLAP)
    step = length * (1.0 - OVERLAP)
    return [(i * step, 1.0 if i == parts - 1 else i * step + length) for i in range(parts)]


def placed(tile: Tile, boxes: "Boxes") -> "tuple[Boxes, NDArray[np.bool_]]":
    """A tile's boxes (0..1 of the tile) in the picture, and which of them its inner edges cut."""
    import numpy as np

    inner = np.array([tile.x_min > 0, tile.y_min > 0, tile.x_max < 1, tile.y_max < 1])
    at_edge = np.column_stack([boxes[:, :2] <= EDGE, boxes[:, 2:] >= 1.0 - EDGE])
    return boxes * tile.size + tile.origin, (at_edge & inner).any(axis=1)


def kept(boxes: "Boxes", classes: "NDArray[np.int64]", cut: "NDArray[np.bool_]") -> list[int]:
    """Indices of the boxes that stay, for boxes sorted best first.

    Whole boxes come before cut ones; a box goes when one that stays is of the same class and
    overlaps it by more than DUPLICATE_IOU, or covers a cut one.
    """
    stay: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (bool(cut[i]), i)):
        same = [other for other in stay if classes[other] == classes[index]]
        if same and _is_known(boxes[index], boxes[same], bool(cut[index])):
            continue
        stay.append(index)
    return sorted(stay)


def _is_known(box: "NDArray[np.float64]", others: "Boxes", cut: bool) -> bool:
    import numpy as np

    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    area = float(np.prod(box[2:] - box[:2]))
    union = area + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    if bool((shared > DUPLICATE_IOU * union).any()):
        return True
    return cut and bool((shared > CUT_COVERED * area).any())
