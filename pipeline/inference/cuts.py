"""Which parts of a picture an engine is shown, and how their boxes become one answer."""

from collections.abc import Sequence
from itertools import combinations, pairwise

from pipeline.core.answers import Answer, Boxes, Failed
from pipeline.core.geometry import Box, iou
from pipeline.core.jobs import WHOLE

Cut = tuple[int, int, int, int]
"""x_min, y_min, x_max, y_max in pixels."""

MOST_CUTS = 8
"""More parts than these are joined, so that they are shown smaller: each takes as long as a whole
picture."""
WHOLE_SHARE = 0.5
"""A part of more than this share of the picture shows little more than the whole of it."""
_AROUND = 0.5
"""What is shown around a place, in its own sizes: motion may be seen of a part of a body alone."""
_LEAST_AROUND = 1 / 16
"""The least of it, in sides of the net's input."""
_JOINED_SIDES = 1.5
"""Parts are joined where what holds both is no larger than so many sides of the net's input."""
_JOINED_AREA = 1.1
"""They are also joined where one holds nearly all of the other: that is hardly any larger."""
_DUPLICATE_IOU = 0.6
"""Two boxes that overlap more are the same thing, seen in two parts."""
_CUT_COVERED = 0.6
"""A box that is cut off by its part's border is of another one that covers this share of it."""
_EDGE_PX = 3
"""A box this near to its part's inner border, in pixels of the net's input, is cut off by it."""


def cuts_of(regions: Sequence[Box], size_wh: tuple[int, int], side: int) -> list[Cut]:
    """The parts to show of a picture so that all regions are seen, each at most `side` pixels wide
    and high where that is enough: there the net sees the picture's own pixels.

    The whole picture is one of them if it is a region, or if a part would be most of it.
    """
    width, height = size_wh
    whole = (0, 0, width, height)
    cuts = [_shown(region, size_wh, side) for region in regions if region != WHOLE]
    cuts = _joined(cuts, side)
    large = [cut for cut in cuts if _area(cut) > WHOLE_SHARE * width * height]
    if large:
        # What lies in them is seen in the whole picture; the others are still seen larger.
        cuts = [cut for cut in cuts if cut not in large]
    return [whole, *cuts] if large or WHOLE in regions else cuts


def as_region(cut: Cut, size_wh: tuple[int, int]) -> Box:
    """A part in 0..1 of the picture."""
    width, height = size_wh
    return (cut[0] / width, cut[1] / height, cut[2] / width, cut[3] / height)


def share_of(regions: Sequence[Box]) -> float:
    """The share of the picture that lies in any of these regions."""
    columns = sorted({edge for region in regions for edge in (region[0], region[2])})
    total = 0.0
    for left, right in pairwise(columns):
        spans = sorted((r[1], r[3]) for r in regions if r[0] <= left and right <= r[2])
        reached, covered = 0.0, 0.0
        for top, bottom in spans:
            covered += max(0.0, bottom - max(top, reached))
            reached = max(reached, bottom)
        total += (right - left) * covered
    return total


def together(
    looks: Sequence[tuple[Box, Boxes]], engine: str, limit: int, side: int, size_wh: tuple[int, int]
) -> Boxes:
    """One answer about the picture from those about its parts, best first.

    A box goes where a better one of the same thing stays; whole boxes come before those that the
    border of a part cuts off.
    """
    found: list[tuple[bool, float, Box]] = []
    for region, answer in looks:
        for box, score in zip(answer.boxes_xyxy, answer.scores, strict=True):
            cut_off = _is_cut_off(box, region, side, size_wh)
            found.append((cut_off, -score, _placed(box, region)))
    stay: list[tuple[float, Box]] = []
    for cut_off, minus_score, box in sorted(found):
        if not any(_is_same(box, other, cut_off=cut_off) for _, other in stay):
            stay.append((-minus_score, box))
    stay.sort(key=lambda one: (-one[0], one[1]))
    saturated = len(stay) > limit or any(answer.saturated for _, answer in looks)
    kept = stay[:limit]
    return Boxes(
        engine, tuple(box for _, box in kept), tuple(score for score, _ in kept), saturated
    )


def one_answer(
    looks: Sequence[tuple[Box, Answer]],
    engine: str,
    limit: int,
    side: int,
    size_wh: tuple[int, int],
) -> Answer:
    """The same of any answers: where one part was not answered, the place is not known."""
    boxes: list[tuple[Box, Boxes]] = []
    for region, answer in looks:
        match answer:
            case Boxes():
                boxes.append((region, answer))
            case Failed():
                return answer
            case _:
                kind = type(answer).__name__.lower()
                return Failed(engine, f"the engine answered with a {kind} instead of boxes")
    if len(boxes) == 1 and boxes[0][0] == WHOLE:
        return boxes[0][1]
    return together(boxes, engine, limit, side, size_wh)


def _shown(region: Box, size_wh: tuple[int, int], side: int) -> Cut:
    left, right = _span(region[0] * size_wh[0], region[2] * size_wh[0], size_wh[0], side)
    top, bottom = _span(region[1] * size_wh[1], region[3] * size_wh[1], size_wh[1], side)
    return (left, top, right, bottom)


def _span(low: float, high: float, length: int, side: int) -> tuple[int, int]:
    """One side of a part: what is around a place, at least `side` pixels, within the picture."""
    around = max(_AROUND * (high - low), _LEAST_AROUND * side)
    wide = min(length, max(side, round(high - low + 2 * around)))
    start = round((low + high - wide) / 2)
    start = min(max(0, start), length - wide)
    return start, start + wide


def _joined(cuts: Sequence[Cut], side: int) -> list[Cut]:
    """Join parts, the ones that fit best first, as long as what is in them is not shown smaller.

    Only where there are too many of them, it is.
    """
    joined = sorted(set(cuts))
    while len(joined) > 1:
        _, _, first, second = min(
            (not _fit(a, b, side), _area(_both(a, b)) / (_area(a) + _area(b)), a, b)
            for a, b in combinations(joined, 2)
        )
        if not _fit(first, second, side) and len(joined) <= MOST_CUTS:
            break
        both = _both(first, second)
        joined = sorted({cut for cut in joined if not _holds(both, cut)} | {both})
    return joined


def _fit(a: Cut, b: Cut, side: int) -> bool:
    """Whether both are shown in one part as they are in two."""
    both = _both(a, b)
    is_small = max(both[2] - both[0], both[3] - both[1]) <= _JOINED_SIDES * side
    return is_small or _area(both) <= _JOINED_AREA * max(_area(a), _area(b))


def _both(a: Cut, b: Cut) -> Cut:
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _holds(outer: Cut, inner: Cut) -> bool:
    return _both(outer, inner) == outer


def _area(cut: Cut) -> int:
    return (cut[2] - cut[0]) * (cut[3] - cut[1])


def _placed(box: Box, region: Box) -> Box:
    width, height = region[2] - region[0], region[3] - region[1]
    return (
        region[0] + box[0] * width,
        region[1] + box[1] * height,
        region[0] + box[2] * width,
        region[1] + box[3] * height,
    )


def _is_cut_off(box: Box, region: Box, side: int, size_wh: tuple[int, int]) -> bool:
    """Whether the border of its part, where that is not the picture's, cuts a box of it."""
    edge_x = _EDGE_PX / min(side, max(1.0, (region[2] - region[0]) * size_wh[0]))
    edge_y = _EDGE_PX / min(side, max(1.0, (region[3] - region[1]) * size_wh[1]))
    return (
        (region[0] > 0 and box[0] <= edge_x)
        or (region[1] > 0 and box[1] <= edge_y)
        or (region[2] < 1 and box[2] >= 1 - edge_x)
        or (region[3] < 1 and box[3] >= 1 - edge_y)
    )


def _is_same(box: Box, other: Box, *, cut_off: bool) -> bool:
    if iou(box, other) > _DUPLICATE_IOU:
        return True
    if not cut_off:
        return False
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return min(width, height) > 0 and width * height > _CUT_COVERED * area
