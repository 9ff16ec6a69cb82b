"""Summaries: figures worked out by hand, intervals against theory, nothing depends on the order."""

import random
from typing import Any

import numpy as np
import pytest

from pipeline.benchmarking.record import AnswerRecord
from pipeline.benchmarking.suite import benchmark_named
from pipeline.benchmarking.summary import summarise


def answered(number: int, answer: dict[str, Any], gold: dict[str, Any], **how: Any) -> AnswerRecord:
    """A record of an answer about a picture of its own."""
    about: dict[str, Any] = {
        "id": f"{number}.0", "seed": 0, "picture": str(number), "parts": (), "prompt": "?",
        "score": {}, "ms": 100.0, "session": 1, "at_s": number + 1.0,
    }  # fmt: skip
    return AnswerRecord(**{**about, "answer": answer, "gold": gold, **how})


def counted(number: int, *, right: bool, **how: Any) -> AnswerRecord:
    """An answer to CountBenchQA."""
    text = {"text": "5" if right else "many", "finish": "end"}
    return answered(number, text, {"number": 5}, **how)


def summary_of(name: str, records: list[AnswerRecord]) -> dict[str, Any]:
    """The summary of a local run."""
    return summarise(benchmark_named(name), {}, records, gives_raw_boxes=True)


def test_the_interval_is_that_of_theory_for_independent_answers() -> None:
    """About 1.96 standard errors to each side."""
    records = [counted(n, right=n % 4 != 0) for n in range(400)]
    told = summary_of("countbenchqa", records)["metrics"]["exact_match"]
    error = 100 * (0.75 * 0.25 / 400) ** 0.5
    assert told["value"] == 75.0
    low, high = told["interval_95"]
    assert low == pytest.approx(75 - 1.96 * error, abs=0.4)
    assert high == pytest.approx(75 + 1.96 * error, abs=0.4)


def test_questions_about_one_picture_are_drawn_together() -> None:
    """Four questions that stand and fall together double the interval."""
    apart = [counted(n, right=n % 2 == 0) for n in range(400)]
    together = [
        counted(n, right=(n // 4) % 2 == 0, picture=str(n // 4), id=f"{n // 4}.{n % 4}")
        for n in range(400)
    ]
    widths = []
    for records in (apart, together):
        low, high = summary_of("countbenchqa", records)["metrics"]["exact_match"]["interval_95"]
        widths.append(high - low)
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.15)


def test_a_summary_does_not_depend_on_the_order_of_the_answers() -> None:
    """Nor on sessions, but for the speed; draws are the same each time."""
    records = [
        answered(n, {"text": "a" * (n % 7)}, {"answers": ["aaaa", "aaaaaa"]}) for n in range(50)
    ]
    first = summary_of("docvqa", records)
    random.Random(1).shuffle(records)
    assert summary_of("docvqa", records) == first


def test_one_picture_has_no_interval() -> None:
    """There is nothing to draw from."""
    told = summary_of("countbenchqa", [counted(0, right=True)])["metrics"]["exact_match"]
    assert told["interval_95"] is None


def test_what_went_wrong_is_counted() -> None:
    """Failed, cut short, empty, and what is not a number; all of them are wrong."""
    gold = {"number": 5}
    records = [
        counted(0, right=True),
        answered(1, {"failed": "too long"}, gold),
        answered(2, {"text": "5 or 6 or", "finish": "length"}, gold),
        answered(3, {"text": " ", "finish": "end"}, gold),
    ]
    summary = summary_of("countbenchqa", records)
    assert summary["answers"] == {
        "answers": 4, "questions": 4, "pictures": 4, "failed": 1, "cut_short": 1, "empty": 1,
        "not_a_number": 2, "reasons": {"too long": 1},
    }  # fmt: skip
    assert summary["metrics"]["exact_match"]["value"] == 25.0
    assert "questions without an answer count as wrong" in summary["notes"]
    assert "4 of the 491 questions of the whole data set" in summary["notes"]


def test_speed_is_that_of_all_sessions() -> None:
    """From the first question of each to its last answer."""
    records = [counted(n, right=True, session=1 + n // 2, at_s=10.0) for n in range(4)]
    speed = summary_of("countbenchqa", records)["speed"]
    assert speed == {
        "seconds": 20.0, "sessions": 2, "pictures_per_s": 0.2, "answers_per_s": 0.2,
        "median_ms": 100.0,
    }  # fmt: skip


def test_seeds_have_their_figures_and_their_spread() -> None:
    """Three rounds of two questions."""
    rights = ((True, True), (True, False), (False, False))
    records = [
        counted(n, right=right, seed=seed)
        for seed, round_ in enumerate(rights)
        for n, right in enumerate(round_)
    ]
    told = summary_of("countbenchqa", records)["metrics"]["exact_match"]
    assert told["by_seed"] == [100.0, 50.0, 0.0]
    assert told["value"] == 50.0
    assert told["deviation_of_seeds"] == pytest.approx(float(np.std([100, 50, 0], ddof=1)))


def test_screens_are_averaged_over_their_parts_too() -> None:
    """One of one on mobile icons and one of three on web texts: 50, or two thirds of 100."""
    box = {"box": [0.4, 0.4, 0.6, 0.6]}
    hit, miss = {"points": [[0.5, 0.5, 1.0]]}, {"points": [[0.9, 0.5, 1.0], [0.5, 0.5, 1.0]]}
    records = [
        answered(0, hit, box, parts=("mobile icon",)),
        answered(1, hit, box, parts=("web text",)),
        answered(2, miss, box, parts=("web text",)),
        answered(3, {"points": []}, box, parts=("web text",)),
    ]
    summary = summary_of("screenspot", records)
    assert summary["metrics"]["click_accuracy"]["value"] == 50.0
    assert summary["metrics"]["click_accuracy_parts"]["value"] == pytest.approx(200 / 3, abs=1e-3)
    assert summary["parts"]["web text"]["click_accuracy"] == pytest.approx(100 / 3, abs=1e-3)
    assert summary["parts"]["web text"]["questions"] == 3


def test_boxes_are_summed_over_the_set_before_they_become_a_figure() -> None:
    """One found of one with a wrong one beside it, and two that are missed: F1 is 2 of 5."""
    gold = {"boxes": [[0, 0, 10, 10]], "label": 1, "size": [20, 20]}
    both = [[0, 0, 0.5, 0.5, 0.9], [0.5, 0.5, 1, 1, 0.8]]
    records = [
        answered(0, {"raw": both, "boxes": both[:1]}, gold, id="0.1"),
        answered(1, {"failed": "no"}, gold | {"boxes": [[0, 0, 5, 5], [5, 5, 9, 9]]}, id="1.1"),
    ]
    summary = summary_of("coco", records)
    values = {name: told["value"] for name, told in summary["metrics"].items()}
    assert values["f1_50_raw"] == 40.0
    assert values["precision_50_raw"] == 50.0
    assert values["f1_50"] == 50.0
    assert values["precision_50"] == 100.0
    assert values["recall_50"] == pytest.approx(100 / 3, abs=1e-3)
    assert values["ap11_50"] == 50.0
    assert summary["coco"]["ap50"] == pytest.approx(33.66, abs=0.01)  # 34 of 101 recalls
