"""COCO's own average precision, computed by pycocotools."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.benchmarking.metrics.boxes import Box

MOST_PER_PICTURE = 100


@dataclass(frozen=True, slots=True)
class FoundBox:
    """A box that was found of a class, with its score."""

    picture: str
    label: int
    box: Box
    score: float


def coco_average_precision(
    gold: Mapping[str, Sequence[tuple[int, Box]]], found: Sequence[FoundBox]
) -> dict[str, float]:
    """AP over IoU 0.5 to 0.95, AP50 and AR100 of the pictures in `gold`, 0 to 1.

    `gold` has each picture's classes and boxes, in pixels. The mean is over the classes that occur
    in it, so boxes of other classes are left out. Of equal scores the earlier box counts first.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbers = {name: number for number, name in enumerate(gold, 1)}
    annotations: list[dict[str, Any]] = []
    for name, objects in gold.items():
        for label, box in objects:
            entry = _entry(numbers[name], label, box)
            annotations.append(entry | {"id": len(annotations) + 1, "iscrowd": 0})
    labels = sorted({entry["category_id"] for entry in annotations})
    results = [
        _entry(numbers[one.picture], one.label, one.box) | {"score": one.score, "id": at}
        for at, one in enumerate(found, 1)
        if one.label in labels
    ]
    # It reports its progress on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _dataset(COCO(), numbers, labels, annotations),
            _dataset(COCO(), numbers, labels, results),
            "bbox",
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = [max(0.0, float(value)) for value in evaluation.stats]
    return {"ap": stats[0], "ap50": stats[1], "ar100": stats[8]}


def _entry(picture: int, label: int, box: Box) -> dict[str, Any]:
    x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
    return {
        "image_id": picture,
        "category_id": label,
        "bbox": [x, y, width, height],
        "area": width * height,
    }


def _dataset(
    empty: Any, numbers: Mapping[str, int], labels: Sequence[int], entries: Sequence[Any]
) -> Any:
    empty.dataset = {
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": label} for label in labels],
        "annotations": list(entries),
    }
    empty.createIndex()
    return empty
