"""Two things close together, or two boxes of one: told apart by what happens look after look."""

from collections.abc import Collection

from pipeline.core.geometry import Box, iou

CLOSE_IOU = 0.35
"""A new box that overlaps that of a followed thing by this much may be a second box of it."""
CLOSE_SHARE = 0.8
"""So may one that lies within it with this share of its area."""
APART_IOU = 0.25
"""Boxes that overlap less are not of one thing."""
BOTH, ONE = 0.98, -1.25
"""Evidence of a look with boxes of both, and with a box of one alone: somebody beside another is
seen in eight looks of ten, log(.8 / .3), and a second box of one comes in three, log(.2 / .7)."""
CALM_S = 0.3
"""Looks that follow each other faster than this show the same mistakes."""
ENOUGH, TOO_LITTLE = 2.9, -2.5
"""With this evidence there are two, or one: three looks after the first with boxes of both."""
TOP, MIDDLE = 0.1, 0.2
"""The head or the upper half of a body has its upper edge (in heights) and its middle (in widths)
where the body has them."""


def is_close(box: Box, other: Box) -> bool:
    """Whether both may be boxes of one thing."""
    return iou(box, other) > CLOSE_IOU or _share_within(box, other) > CLOSE_SHARE


def is_part(box: Box, whole: Box) -> bool:
    """Whether a box is that of a body's upper part: within the whole one, under its top."""
    width, height = whole[2] - whole[0], whole[3] - whole[1]
    return (
        _share_within(box, whole) > CLOSE_SHARE
        and box[3] - box[1] < 0.75 * height
        and abs(box[1] - whole[1]) < TOP * height
        and abs(box[0] + box[2] - whole[0] - whole[2]) / 2.0 < MIDDLE * width
    )


def evidence(
    before: float,
    box: Box | None,
    around: Box,
    others: Collection[tuple[Box, bool]],
    elapsed_s: float,
) -> float | None:
    """The evidence after one more look in which the doubtful one had `box`, or none.

    `around` is its last box, `others` those of the things that are followed, and whether they were
    seen in this look. None when it stands alone now, and is a thing of its own.
    """
    weight = min(elapsed_s / CALM_S, 1.0)
    if box is None:
        shown = any(seen and is_close(around, other) for other, seen in others)
        return before + (ONE * weight if shown else 0.0)
    near = [
        (other, seen)
        for other, seen in others
        if iou(box, other) > APART_IOU or is_close(box, other)
    ]
    if not near:
        return None
    if any(not seen or is_part(box, other) for other, seen in near):
        return before + ONE * weight
    return before + BOTH * weight


def _share_within(box: Box, other: Box) -> float:
    """The share of a box's area that lies within the other."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(width, 0.0) * max(height, 0.0) / area if area > 0 else 1.0
