"""Scores of answers: each metric as sums over the items, and what the sums amount to.

Sums can be added up over any part of the items, and drawn again for an interval.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.benchmarking.items import Json
from pipeline.benchmarking.metrics import boxes as on_boxes
from pipeline.benchmarking.metrics import text as on_text
from pipeline.benchmarking.metrics import vqa

Sums = tuple[float, ...]
Totals = NDArray[np.float64]
Given = Mapping[str, Json]
Definition = Literal["official", "literature", "lmms-eval", "moonwatch"]

SCREEN_PARTS = tuple(f"{d} {k}" for d in ("mobile", "desktop", "web") for k in ("text", "icon"))


@dataclass(frozen=True, slots=True)
class BenchmarkMetric:
    """A figure from 0 to 100.

    `sums` gives an item's part from its answer, what is right and its parts, or None where the
    item is not asked for this; `value` makes the figure of the totals along the last axis.
    `needs_raw` says that it is of boxes as the model gave them, which a server does not give.
    """

    name: str
    definition: Definition
    says: str
    sums: Callable[[Given, Given, tuple[str, ...]], Sums | None]
    value: Callable[[Totals], Totals]
    needs_raw: bool = False


def mean_of(totals: Totals) -> Totals:
    """The mean in per cent, of sums that are a score and 1."""
    return 100.0 * _share(totals[..., 0], totals[..., 1])


def precision_of(totals: Totals) -> Totals:
    """The share of found boxes that are right, of sums that are right, wrong and missed."""
    return 100.0 * _share(totals[..., 0], totals[..., 0] + totals[..., 1])


def recall_of(totals: Totals) -> Totals:
    """The share of gold boxes that were found, of the same sums."""
    return 100.0 * _share(totals[..., 0], totals[..., 0] + totals[..., 2])


def f1_of(totals: Totals) -> Totals:
    """The harmonic mean of both, of the same sums."""
    found = 2 * totals[..., 0]
    return 100.0 * _share(found, found + totals[..., 1] + totals[..., 2])


def mean_of_parts(totals: Totals) -> Totals:
    """The mean over parts of each part's mean, of a score and a number for each part in turn."""
    scores, numbers = totals[..., 0::2], totals[..., 1::2]
    return 100.0 * _share(_share(scores, numbers).sum(axis=-1), (numbers > 0).sum(axis=-1))


def _share(of: Any, whole: Any) -> Totals:
    whole = np.asarray(whole, dtype=np.float64)
    shares: Totals = np.divide(of, whole, out=np.zeros_like(whole), where=whole > 0)
    return shares


def _of_text(score: Callable[[str, Given], float]) -> Callable[..., Sums]:
    def sums(answer: Given, gold: Given, parts: tuple[str, ...]) -> Sums:
        text = answer.get("text")
        return (float(score(text, gold)) if text is not None else 0.0, 1.0)

    return sums


CHARTQA_METRICS = (
    BenchmarkMetric(
        "relaxed_accuracy_official", "official",
        "numbers within 5 %, else equal; stripped, small letters, lists element by element",
        _of_text(lambda text, gold: on_text.relaxed_match_official(text, gold["answer"])), mean_of,
    ),
    BenchmarkMetric(
        "relaxed_accuracy", "literature",
        "numbers within 5 %, else equal but for case; nothing is stripped (lmms-eval)",
        _of_text(lambda text, gold: on_text.relaxed_match(text, gold["answer"])), mean_of,
    ),
)  # fmt: skip
DOCVQA_METRICS = (
    BenchmarkMetric(
        "anls_official", "official",
        "best 1 - edits / longer length over the gold answers, 0 below 0.5; stripped, small "
        "letters",
        _of_text(lambda text, gold: on_text.anls_official(text, gold["answers"])), mean_of,
    ),
    BenchmarkMetric(
        "anls_lmms", "lmms-eval",
        "the same with inner white space collapsed, and the lengths of the unchanged texts",
        _of_text(lambda text, gold: on_text.anls_lmms(text, gold["answers"])), mean_of,
    ),
)  # fmt: skip
TEXTVQA_METRICS = (
    BenchmarkMetric(
        "vqa_official", "official",
        "min(1, people who agree / 3), nobody left out; up to a tenth above the other for a "
        "borderline answer",
        _of_text(lambda text, gold: vqa.vqa_official(text, gold["answers"])), mean_of,
    ),
    BenchmarkMetric(
        "vqa_accuracy", "literature",
        "the mean of min(1, others who agree / 3) over the ten ways to leave one out (EvalAI)",
        _of_text(lambda text, gold: vqa.vqa_accuracy(text, gold["answers"])), mean_of,
    ),
)  # fmt: skip
COUNTBENCHQA_METRICS = (
    BenchmarkMetric(
        "exact_match", "official", "the answer is the number in digits and nothing else",
        _of_text(lambda text, gold: on_text.same_count(text, gold["number"])), mean_of,
    ),
)  # fmt: skip
OCRBENCH_METRICS = (
    BenchmarkMetric(
        "contains_gold", "literature",
        "a gold text is part of the answer, small letters; of handwritten maths without blanks "
        "and with case; 61.2 are 612 of 1,000 points",
        _of_text(lambda text, gold: on_text.contains(text, gold["answers"], gold["dataset"])),
        mean_of,
    ),
    BenchmarkMetric(
        "contains_gold_lmms", "lmms-eval", "the same with full-width letters made ordinary ones",
        _of_text(
            lambda text, gold: on_text.contains_lmms(text, gold["answers"], gold["dataset"])
        ),
        mean_of,
    ),
)  # fmt: skip


def _gold_boxes(gold: Given) -> list[list[float]]:
    return gold["boxes"] if "boxes" in gold else [gold["box"]]


def found_boxes(answer: Given, gold: Given, kind: str) -> list[list[float]]:
    """The boxes of an answer in the unit of the gold boxes: pixels where their size is known."""
    width, height = gold.get("size", (1, 1))
    return [
        [b[0] * width, b[1] * height, b[2] * width, b[3] * height] for b in answer.get(kind, ())
    ]


def _matched(kind: str) -> Callable[..., Sums | None]:
    def sums(answer: Given, gold: Given, parts: tuple[str, ...]) -> Sums | None:
        wanted = _gold_boxes(gold)
        if not wanted:  # a class that is not in the picture
            return None
        found = on_boxes.match(found_boxes(answer, gold, kind), wanted)
        return (found.found, found.wrong, found.missed)

    return sums


def _eleven_points(kind: str) -> Callable[..., Sums | None]:
    def sums(answer: Given, gold: Given, parts: tuple[str, ...]) -> Sums | None:
        wanted = _gold_boxes(gold)
        if not wanted:
            return None
        found = on_boxes.match(found_boxes(answer, gold, kind), wanted)
        return (on_boxes.eleven_point_precision(found), 1.0)

    return sums


def _box_metrics(prefix: Definition, told: str) -> tuple[BenchmarkMetric, ...]:
    """F1, precision and recall, of the model's boxes and of those that users get."""
    made = []
    for kind, suffix, of in (
        ("raw", "_raw", "as the model gave them"),
        ("boxes", "", "as users get them: clamped, repeats dropped"),
    ):
        whose: Definition = prefix if kind == "raw" else "moonwatch"
        for name, value in (("f1", f1_of), ("precision", precision_of), ("recall", recall_of)):
            said = f"{told}; boxes {of}" if name == "f1" else f"of the same boxes as f1_50{suffix}"
            made.append(
                BenchmarkMetric(
                    f"{name}_50{suffix}", whose, said, _matched(kind), value, kind == "raw"
                )
            )
    return tuple(made)


_GREEDY = "greedy one-to-one matching at IoU 0.5 in the model's order, summed over the set"
COCO_METRICS = (
    BenchmarkMetric(
        "ap11_50_raw", "official",
        "not COCO's AP: of each class that is in a picture, the 11-point AP at IoU 0.5 by the "
        "model's order; mean over all pairs of picture and class; boxes as the model gave them",
        _eleven_points("raw"), mean_of, needs_raw=True,
    ),
    BenchmarkMetric(
        "ap11_50", "moonwatch", "the same of boxes as users get them",
        _eleven_points("boxes"), mean_of,
    ),
    *_box_metrics("moonwatch", _GREEDY),
)  # fmt: skip


def _click(answer: Given, gold: Given) -> float:
    points = answer.get("points", ())
    return float(bool(points) and on_boxes.is_inside(points[0], gold["box"]))


def _click_on_box(answer: Given, gold: Given) -> float:
    boxes = answer.get("boxes", ())
    return float(bool(boxes) and on_boxes.is_inside(on_boxes.centre(boxes[0]), gold["box"]))


def _first_box(answer: Given, gold: Given) -> float:
    boxes = answer.get("boxes", ())
    return float(bool(boxes) and on_boxes.iou(gold["box"], boxes[0][:4]) >= on_boxes.IOU_THRESHOLD)


def _over_all(score: Callable[[Given, Given], float]) -> Callable[..., Sums]:
    return lambda answer, gold, parts: (score(answer, gold), 1.0)


def _over_parts(score: Callable[[Given, Given], float]) -> Callable[..., Sums]:
    def sums(answer: Given, gold: Given, parts: tuple[str, ...]) -> Sums:
        made = [0.0] * (2 * len(SCREEN_PARTS))
        at = 2 * SCREEN_PARTS.index(parts[0])
        made[at : at + 2] = score(answer, gold), 1.0
        return tuple(made)

    return sums


SCREENSPOT_METRICS = (
    *_box_metrics("official", f"{_GREEDY} (the card says F1@0.5; no script is published)"),
    BenchmarkMetric(
        "click_accuracy", "literature",
        "the first point is inside the gold box, all instructions alike",
        _over_all(_click), mean_of,
    ),
    BenchmarkMetric(
        "click_accuracy_parts", "literature",
        "the same as the mean over mobile, desktop and web, text and icon (SeeClick's average)",
        _over_parts(_click), mean_of_parts,
    ),
    BenchmarkMetric(
        "box_click_accuracy", "lmms-eval", "the centre of the first box is inside the gold box",
        _over_all(_click_on_box), mean_of,
    ),
    BenchmarkMetric(
        "first_box_50", "lmms-eval", "the first box has IoU 0.5 or more (ACC@0.5)",
        _over_all(_first_box), mean_of,
    ),
)  # fmt: skip
