"""Metrics, against the figures that the programs which define them give for made-up answers."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.benchmarking.metrics import boxes as on_boxes
from pipeline.benchmarking.metrics import text as on_text
from pipeline.benchmarking.metrics import vqa
from pipeline.benchmarking.metrics.coco import FoundBox, coco_average_precision

FIGURES = Path(__file__).parents[1] / "data" / "benchmark_figures.json"


@cache
def figures() -> dict[str, list[Any]]:
    """The recorded cases; the note in the file says how they were made."""
    loaded: dict[str, list[Any]] = json.loads(FIGURES.read_text())
    return loaded


def test_relaxed_accuracy_is_that_of_lmms_eval_and_of_the_official_script() -> None:
    """Percent signs, commas, units, lists, zero and what Python takes for a number."""
    for answer, gold, lmms, official in figures()["relaxed"]:
        assert on_text.relaxed_match(answer, gold) == lmms, (answer, gold)
        assert on_text.relaxed_match_official(answer, gold) == official, (answer, gold)


def test_the_two_definitions_of_relaxed_accuracy_differ() -> None:
    """Otherwise it would not be worth giving both."""
    assert any(lmms != official for _, _, lmms, official in figures()["relaxed"])


def test_anls_is_that_of_lmms_eval_and_of_the_official_script() -> None:
    """Case, white space, letters that grow with capitals, several gold answers."""
    for answer, golds, lmms, official in figures()["anls"]:
        assert on_text.anls_lmms(answer, golds) == pytest.approx(lmms, abs=1e-12), (answer, golds)
        if official is not None:  # that script divides by zero for two empty texts
            found = on_text.anls_official(answer, golds)
            assert found == pytest.approx(official, abs=1e-12), (answer, golds)


def test_vqa_accuracy_is_that_of_lmms_eval_and_of_the_official_script() -> None:
    """Every contraction, digits in words, articles, punctuation, commas in numbers, periods."""
    for answer, golds, lmms, official in figures()["vqa"]:
        assert vqa.vqa_accuracy(answer, golds) == pytest.approx(lmms, abs=1e-12), (answer, golds)
        assert vqa.vqa_official(answer, golds) == pytest.approx(official), (answer, golds)


def test_the_official_vqa_accuracy_is_a_tenth_higher_for_a_borderline_answer() -> None:
    """Three of ten agree: 1 by the official script, 0.9 with one left out in turn."""
    golds = ["red"] * 3 + ["blue"] * 7
    assert vqa.vqa_official("red", golds) == 1.0
    assert vqa.vqa_accuracy("red", golds) == pytest.approx(0.9)


def test_counts_match_as_in_lmms_eval() -> None:
    """Digits alone; 3 is not right for 13, and 'ten' is not 10."""
    for answer, number, right in figures()["count"]:
        assert on_text.same_count(answer, number) == right, (answer, number)
    assert not on_text.same_count("13", 3)


def test_ocrbench_is_that_of_lmms_eval() -> None:
    """Full-width letters are folded, but not in handwritten mathematics, where case counts."""
    for answer, golds, dataset, right in figures()["ocr"]:
        assert on_text.contains_lmms(answer, golds, dataset) == right, (answer, golds, dataset)


def test_ocrbench_as_published_does_not_fold_full_width_letters() -> None:
    """The published definition compares them as they are."""
    assert on_text.contains_lmms("Ｎｏ．１", ["no.1"], "IIIT5K")
    assert not on_text.contains("Ｎｏ．１", ["no.1"], "IIIT5K")
    assert on_text.contains("It is x ^ 2.", ["x^2"], "HME100k")
    assert not on_text.contains("X^2", ["x^2"], "HME100k")


def test_matching_and_the_eleven_point_precision_are_the_official_ones() -> None:
    """Crowds, repeats, boxes that fit two gold ones, and 0 to 10 of 10 found."""
    for found, gold, precision, counts in figures()["boxes"]:
        matches = on_boxes.match(found, gold)
        assert [matches.found, matches.wrong, matches.missed] == counts, (found, gold)
        assert on_boxes.eleven_point_precision(matches) == pytest.approx(precision, abs=1e-12)


def test_three_of_ten_are_below_the_official_threshold_of_three_tenths() -> None:
    """Numpy's 0.3 is a little more than 3 / 10, so three thresholds are reached and not four."""
    matches = on_boxes.Matches((True,) * 3, 10)
    assert on_boxes.eleven_point_precision(matches) == pytest.approx(3 / 11)


def test_clicks_and_boxes_on_screens_are_those_of_lmms_eval() -> None:
    """Overlap of one half or more, and a centre inside the gold box."""
    for box, gold, fits, hits in figures()["screen"]:
        assert (on_boxes.iou(gold, box) >= on_boxes.IOU_THRESHOLD) == fits, (box, gold)
        assert on_boxes.is_inside(on_boxes.centre(box), gold) == hits, (box, gold)


texts = st.text(max_size=12)


@given(texts, texts, texts)
def test_edit_distance_is_a_distance(one: str, two: str, three: str) -> None:
    """Zero for equal texts alone, the same both ways, and never longer than a detour."""
    apart = on_text.edit_distance(one, two)
    assert (apart == 0) == (one == two)
    assert apart == on_text.edit_distance(two, one)
    assert apart <= on_text.edit_distance(one, three) + on_text.edit_distance(three, two)
    assert abs(len(one) - len(two)) <= apart <= max(len(one), len(two))


@given(st.text(max_size=20), st.lists(st.text(max_size=20), min_size=1, max_size=10))
def test_scores_are_shares_whatever_is_answered(answer: str, golds: list[str]) -> None:
    """No text raises, and every score is between 0 and 1."""
    for score in (on_text.anls_official, on_text.anls_lmms, vqa.vqa_official, vqa.vqa_accuracy):
        assert 0.0 <= score(answer, golds) <= 1.0
    for gold in golds:
        is_number = any(name in gold.lower() for name in ("nan", "inf"))  # unequal to themselves
        assert on_text.relaxed_match(gold, gold) or is_number
        assert on_text.anls_official(gold, golds) == 1.0
        assert on_text.contains(gold, golds, "IIIT5K")
    on_text.relaxed_match_official(answer, golds[0])


spans = st.tuples(st.floats(0, 0.9), st.floats(0.01, 0.5))
some_boxes = st.lists(
    st.tuples(spans, spans).map(
        lambda xy: [xy[0][0], xy[1][0], xy[0][0] + xy[0][1], xy[1][0] + xy[1][1]]
    ),
    max_size=8,
)


@given(some_boxes, some_boxes)
def test_every_box_is_counted_once(found: list[list[float]], gold: list[list[float]]) -> None:
    """Right and wrong are what was found, right and missed what was there."""
    matches = on_boxes.match(found, gold)
    assert matches.found + matches.wrong == len(found)
    assert matches.found + matches.missed == len(gold)
    assert 0.0 <= on_boxes.eleven_point_precision(matches) <= 1.0 + 1e-12
    if gold:
        assert on_boxes.eleven_point_precision(on_boxes.match(gold, gold)) == pytest.approx(1.0)


def test_coco_average_precision_is_that_of_pycocotools_from_its_own_files(tmp_path: Path) -> None:
    """The library reads the same boxes from its JSON files, the way its users do."""
    chance = np.random.default_rng(3)
    gold: dict[str, list[tuple[int, list[float]]]] = {}
    found: list[FoundBox] = []
    for picture in range(20):
        for _ in range(int(chance.integers(1, 6))):
            x, y, width, height = chance.uniform(5, 100, 4).round(2).tolist()
            box, label = [x, y, x + width, y + height], int(chance.integers(1, 5))
            gold.setdefault(str(picture), []).append((label, box))
            for _ in range(int(chance.integers(0, 3))):
                moved = (np.array(box) + chance.normal(0, 4, 4)).tolist()
                score = float(chance.uniform())
                found.append(FoundBox(str(picture), label, moved, score))
    entries = [
        {
            "id": number, "image_id": int(picture), "category_id": label, "iscrowd": 0,
            "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]], "area": (b[2] - b[0]) * (b[3] - b[1]),
        }
        for number, (picture, label, b) in enumerate(
            ((p, label, box) for p, objects in gold.items() for label, box in objects), 1
        )
    ]  # fmt: skip
    results = [
        {
            "image_id": int(one.picture), "category_id": one.label, "score": one.score,
            "bbox": [
                one.box[0], one.box[1], one.box[2] - one.box[0], one.box[3] - one.box[1],
            ],
        }
        for one in found
    ]  # fmt: skip
    (tmp_path / "gold.json").write_text(
        json.dumps(
            {
                "images": [{"id": int(picture)} for picture in gold],
                "categories": [{"id": label} for label in range(1, 5)],
                "annotations": entries,
            }
        )
    )
    (tmp_path / "found.json").write_text(json.dumps(results))
    truth = COCO(str(tmp_path / "gold.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "found.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = coco_average_precision(gold, found)
    assert 0.05 < values["ap"] < values["ap50"] < 1.0
    for name, at in (("ap", 0), ("ap50", 1), ("ar100", 8)):
        assert values[name] == pytest.approx(float(evaluation.stats[at]), abs=1e-12)


def test_recall_of_our_matcher_is_that_of_pycocotools_at_one_half() -> None:
    """Where no box fits two gold boxes, both find the same ones at IoU 0.5."""
    chance = np.random.default_rng(5)
    gold: dict[str, list[tuple[int, list[float]]]] = {"1": []}
    found: list[list[float]] = []
    for place in range(40):  # far from each other
        box = [100.0 * place, 0.0, 100.0 * place + 50, 50.0]
        gold["1"].append((1, box))
        found.append([box[0] + float(chance.uniform(0, 40)), 0.0, box[2], 50.0])
    ours = on_boxes.match(found, [box for _, box in gold["1"]])
    boxes = [FoundBox("1", 1, box, 1.0 - i / 100) for i, box in enumerate(found)]
    theirs = coco_average_precision(gold, boxes)
    precision = np.cumsum(ours.hits) / np.arange(1, 41)
    recall = np.cumsum(ours.hits) / 40
    at = [max((precision[recall >= r]), default=0.0) for r in np.linspace(0, 1, 101)]
    assert 0 < ours.found < 40
    assert theirs["ap50"] == pytest.approx(float(np.mean(at)))


def test_coco_average_precision_says_nothing_and_takes_an_empty_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing found is zero, and the library's progress is not printed."""
    gold = {"1": [(1, [0.0, 0.0, 10.0, 10.0])], "2": []}
    assert coco_average_precision(gold, []) == {"ap": 0.0, "ap50": 0.0, "ar100": 0.0}
    absent = [FoundBox("2", 7, [0.0, 0.0, 5.0, 5.0], 0.5)]
    assert coco_average_precision(gold, absent)["ap"] == 0.0
    assert capsys.readouterr().out == ""
