"""What the outputs of detectors mean: each reader gives the boxes of one picture.

Boxes are corners in 0..1 of the net's input. Readers leave out what is below the lowest score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.inference.engines._onnx.formats import Layout

Array = NDArray[Any]
Floats = NDArray[np.float64]

_MOST_OVERLAPPING = 3000
"""The best so many boxes are compared with each other."""
_LOOSE = 1e-3
"""Scores of half precision may be this much over 1."""
_LARGEST_LOG = 20.0
"""The logarithm of a box's side in strides; a larger one covers any picture."""


class BadOutputError(ValueError):
    """The net's values cannot be what its format says."""


@dataclass(frozen=True, slots=True)
class Found:
    """The boxes of one picture, in any order."""

    boxes_xyxy: Floats
    scores: Floats
    classes: NDArray[np.int64]
    is_full: bool = False
    """Whether there may be more than the net can list."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What the net gave for a batch, with what is needed to read it."""

    outputs: Sequence[Array]
    """Those that the layout names, in its order."""
    layout: Layout
    size_wh: tuple[int, int]
    """Of the net's input."""
    min_score: float


def read(given: Pass, index: int) -> Found:
    """The boxes of one picture of a batch; raises BadOutputError."""
    found = _READERS[given.layout.reader](given, index)
    if not (np.isfinite(found.scores).all() and not np.isnan(found.boxes_xyxy).any()):
        raise BadOutputError(
            "the net gives values that are not numbers (NaN); export it again, with float32 if it "
            "has float16"
        )
    if found.scores.size and found.scores.max() > 1 + _LOOSE:
        raise BadOutputError(
            f"the net gives scores of up to {found.scores.max():.3g}, more than 1: it is not "
            f"{given.layout.format}; say what it is with `format`"
        )
    return found


def without_doubles(found: Found, nms_iou: float) -> Found:
    """Of boxes of one class that overlap more than `nms_iou`, the best alone."""
    best = np.argsort(-found.scores, kind="stable")[:_MOST_OVERLAPPING]
    boxes, classes = found.boxes_xyxy[best], found.classes[best]
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)
    stays = np.ones(len(best), bool)
    for one in range(len(best)):
        if not stays[one]:
            continue
        low = np.maximum(boxes[one, :2], boxes[one + 1 :, :2])
        high = np.minimum(boxes[one, 2:], boxes[one + 1 :, 2:])
        shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
        union = area[one] + area[one + 1 :] - shared
        same = classes[one + 1 :] == classes[one]
        stays[one + 1 :] &= ~(same & (shared > nms_iou * union))
    kept = best[stays]
    return Found(found.boxes_xyxy[kept], found.scores[kept], found.classes[kept], found.is_full)


NEEDS_NMS = frozenset({"objectness_rows", "yolox", "score_columns", "score_rows"})
"""The readers whose boxes overlap: what gives queries or has it built in does not need it."""


def _objectness_rows(given: Pass, index: int) -> Found:
    """Centre and size in pixels, objectness, a score for each class."""
    return _of_best_class(given, _numbers(given.outputs[0][index]), given.size_wh)


def _yolox(given: Pass, index: int) -> Found:
    """The same relative to a grid, unless the file decodes it itself."""
    rows = _numbers(given.outputs[0][index])
    centres, strides = _grid(given.size_wh, given.layout.strides)
    # Decoded, a box is nearer to its place of the grid; not decoded, to the grid's corner.
    from_place = np.abs(rows[:, :2] - centres * strides) / strides
    from_corner = np.abs(rows[:, :2] - 0.5)
    if np.median(from_place.max(axis=1)) < np.median(from_corner.max(axis=1)):
        return _of_best_class(given, rows, given.size_wh)
    decoded = rows.copy()
    # The grid counts from the corner of each place.
    decoded[:, :2] = (rows[:, :2] + centres - 0.5) * strides
    decoded[:, 2:4] = np.exp(np.minimum(rows[:, 2:4], _LARGEST_LOG)) * strides
    return _of_best_class(given, decoded, given.size_wh)


def _grid(size_wh: tuple[int, int], strides: Sequence[int]) -> tuple[Array, Array]:
    """The middle of each place of a net's grids, in strides, and its stride."""
    centres, of_each = [], []
    for stride in strides:
        across, down = -(-size_wh[0] // stride), -(-size_wh[1] // stride)
        y, x = np.mgrid[:down, :across]
        centres.append(np.stack([x.ravel(), y.ravel()], 1) + 0.5)
        of_each.append(np.full((across * down, 1), stride))
    return np.concatenate(centres), np.concatenate(of_each)


def _of_best_class(given: Pass, rows: Array, size_wh: tuple[int, int]) -> Found:
    of_classes = rows[:, 5 : 5 + (given.layout.width or 0)]
    classes = of_classes.argmax(axis=1)
    scores = rows[:, 4] * of_classes[np.arange(len(rows)), classes]
    return _chosen(given, rows[:, :4], scores, classes, size_wh)


def _score_columns(given: Pass, index: int) -> Found:
    """A column for each box: centre and size in pixels, a score for each class."""
    return _scored(given, _numbers(given.outputs[0][index]), given.size_wh)


def _score_rows(given: Pass, index: int) -> Found:
    """The same with a row for each box."""
    return _scored(given, _numbers(given.outputs[0][index]).T, given.size_wh)


def _queries(given: Pass, index: int) -> Found:
    """The same in 0..1 of the input."""
    return _scored(given, _numbers(given.outputs[0][index]).T, (1, 1))


def _scored(given: Pass, columns: Array, size_wh: tuple[int, int]) -> Found:
    of_classes = columns[4 : 4 + (given.layout.width or 0)]
    classes = of_classes.argmax(axis=0)
    scores = of_classes[classes, np.arange(of_classes.shape[1])]
    return _chosen(given, columns[:4].T, scores, classes, size_wh)


def _chosen(
    given: Pass, centre_size: Array, scores: Array, classes: Array, size_wh: tuple[int, int]
) -> Found:
    """Those that are sure enough, as corners."""
    sure = ~(scores < given.min_score)  # what is not a number stays, and is said
    boxes = _corners(centre_size[sure]) / np.tile(np.asarray(size_wh, np.float64), 2)
    return Found(boxes, np.asarray(scores[sure], np.float64), classes[sure].astype(np.int64))


def _corners(centre_size: Array) -> Floats:
    middle = np.asarray(centre_size[:, :2], np.float64)
    half = np.asarray(centre_size[:, 2:4], np.float64) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def _corner_rows(given: Pass, index: int) -> Found:
    """Corners in pixels, score, class; rows of zeros fill it up."""
    rows = _numbers(given.outputs[0][index])
    return _listed(given, rows[:, :4], rows[:, 4], rows[:, 5], given.size_wh)


def _batched_rows(given: Pass, index: int) -> Found:
    """The picture's number, corners in pixels, class, score."""
    rows = _numbers(given.outputs[0])
    if not np.isfinite(rows[:, 0]).all():
        raise BadOutputError("the net gives pictures' numbers that are not numbers (NaN)")
    rows = rows[rows[:, 0].round() == index]
    found = _listed(given, rows[:, 1:5], rows[:, 6], rows[:, 5], given.size_wh)
    return Found(found.boxes_xyxy, found.scores, found.classes)  # as many rows as there are boxes


def _counted_boxes(given: Pass, index: int) -> Found:
    """How many there are, corners in pixels, scores, classes."""
    number, boxes, scores, classes = (output[index] for output in given.outputs)
    count = int(np.asarray(number).reshape(-1)[0])
    if not 0 <= count <= len(boxes):
        raise BadOutputError(f"the net says it found {count} things and lists {len(boxes)}")
    rows = _numbers(boxes)[:count]
    found = _listed(given, rows, _numbers(scores)[:count], classes[:count], given.size_wh)
    is_full = count == len(boxes) and found.is_full
    return Found(found.boxes_xyxy, found.scores, found.classes, is_full)


def _paddle_rows(given: Pass, index: int) -> Found:
    """The rows of all pictures (class, score, corners in pixels) and how many each has."""
    numbers = np.asarray(given.outputs[1]).reshape(-1)
    first = int(numbers[:index].sum())
    rows = _numbers(given.outputs[0])[first : first + int(numbers[index])]
    return _listed(given, rows[:, 2:6], rows[:, 1], rows[:, 0], given.size_wh)


def _sized_boxes(given: Pass, index: int) -> Found:
    """Classes, corners in the size that was asked for, scores."""
    classes, boxes, scores = (output[index] for output in given.outputs)
    side = asked_side(given.size_wh)
    return _listed(given, _numbers(boxes), _numbers(scores), classes, (side, side))


def asked_side(size_wh: tuple[int, int]) -> int:
    """The picture's size that such nets are told.

    A square, because some take the height first and others the width.
    """
    return max(size_wh)


def _logit_queries(given: Pass, index: int) -> Found:
    """A logit for each class and query, centre and size in 0..1; a query may be two classes."""
    logits, boxes = (_numbers(output[index]) for output in given.outputs)
    return _of_queries(given, _sigmoid(logits), boxes)


def _no_object_queries(given: Pass, index: int) -> Found:
    """The same, of which one class or nothing is true."""
    logits, boxes = (_numbers(output[index]) for output in given.outputs)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _of_queries(given, (powers / powers.sum(axis=1, keepdims=True))[:, :-1], boxes)


def _of_queries(given: Pass, scores: Array, boxes: Array) -> Found:
    queries, classes = np.nonzero(~(scores < given.min_score))
    return Found(
        _corners(boxes[queries]),
        np.asarray(scores[queries, classes], np.float64),
        classes.astype(np.int64),
        len(np.unique(queries)) == len(boxes),
    )


def _listed(
    given: Pass, corners: Array, scores: Array, classes: Array, size_wh: tuple[int, int]
) -> Found:
    """What a net lists itself; it may have left out more when every row is used."""
    sure = ~(scores < given.min_score)
    numbers = np.asarray(classes[sure], np.float64)
    if not np.isfinite(numbers).all():
        raise BadOutputError("the net gives classes that are not numbers (NaN)")
    boxes = np.asarray(corners[sure], np.float64) / np.tile(np.asarray(size_wh, np.float64), 2)
    is_full = bool(len(scores)) and bool(sure.all())
    return Found(
        boxes, np.asarray(scores[sure], np.float64), numbers.round().astype(np.int64), is_full
    )


def _numbers(values: Array) -> Array:
    """For calculating: half precision is widened."""
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def _sigmoid(logits: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))


_READERS: Mapping[str, Callable[[Pass, int], Found]] = {
    "objectness_rows": _objectness_rows,
    "yolox": _yolox,
    "score_columns": _score_columns,
    "score_rows": _score_rows,
    "queries": _queries,
    "corner_rows": _corner_rows,
    "batched_rows": _batched_rows,
    "counted_boxes": _counted_boxes,
    "paddle_rows": _paddle_rows,
    "sized_boxes": _sized_boxes,
    "logit_queries": _logit_queries,
    "no_object_queries": _no_object_queries,
}
