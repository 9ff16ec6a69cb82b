"""A person's count against ours: what a truth file may hold, and what is made of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.core.errors import ConfigError
from pipeline.deployment.loader import load
from pipeline.deployment.model import CameraConfig
from pipeline.insight.evaluation import (
    Comparison,
    TrueCount,
    Truth,
    compare,
    manual_counts,
    read_truth,
    truth_schema,
    truth_template,
    uncounted,
    worst_error,
)
from pipeline.insight.summary import Summary, SummaryRow, SummaryRows
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig
from tests.architecture.source_tree import ROOT
from tests.runtime.clips import CLIP, camera, deployment, written

LINES, ZONES = manual_counts([LineCrossingConfig, OccupancyConfig])
MIDDLE = TrueCount(LINES, "middle", {"in": 8, "out": 2})
CROWD = TrueCount(ZONES, "crossroads", {"mean": 2.0})


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> CameraConfig:
    """The camera of the bundled clip: rules on two lines and on a zone."""
    folder = tmp_path_factory.mktemp("evaluate")
    file = written(folder, deployment(folder, {"plaza": camera(CLIP)}))
    return load(file, []).cameras["plaza"]


def summary(rule: str = "", **values: float | None) -> Summary:
    """A run in which one rule found this, or none found anything."""
    table = OccupancyConfig.table
    assert table is not None  # which of the tables it is makes no difference
    rows = [SummaryRow("plaza", rule, values, 60.0)] if rule else []
    return Summary([SummaryRows(table, rows)], events={}, flows=[], behind={}, seconds=1.0)


def read(folder: Path, content: Any) -> Truth:
    """A truth file with this content."""
    path = folder / "truth.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_truth(path)


def test_a_truth_file_has_lines_and_zones(tmp_path: Path) -> None:
    """A line's ways may be told as in and out, or as seen by whoever counted."""
    truth = read(
        tmp_path,
        {
            "source": "counted by hand",
            "lines": [
                {"name": "middle", "in": 8, "out": 2},
                {"name": "across", "left_to_right": 3, "right_to_left": 4},
            ],
            "zones": [{"name": "crossroads", "mean_occupancy": 2}],
        },
    )
    assert truth == [MIDDLE, TrueCount(LINES, "across", {"in": 3, "out": 4}), CROWD]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be a JSON object"),
        ({}, "neither `lines` nor `zones`"),
        ({"lines": {}}, "lines: must be a list"),
        ({"lines": ["middle"]}, "lines: must be a list of objects"),
        (
            {"lines": [{"name": "middle", "in": 1}]},
            "lines.0: a line needs `name`, and `in` and `out` as whole n",
        ),
        ({"lines": [{"name": "a", "in": 1, "out": 1}, {"in": 1, "out": 1}]}, "lines.1: a line"),
        ({"lines": [{"name": "middle", "in": 1.5, "out": 1}]}, "whole numbers"),
        ({"zones": [{"name": "x"}]}, "a zone needs `name`, and `mean_occupancy` as a number"),
        ('{"zones": [{"name": "x", "mean_occupancy": NaN}]}', "zones.0: a zone needs"),
    ],
)
def test_what_is_no_truth_is_said(tmp_path: Path, content: Any, words: str) -> None:
    """With the entry that is wrong."""
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, content)


def test_a_missing_truth_is_said(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=r"nowhere\.json: cannot be read"):
        read_truth(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("found", "error", "said"),
    [
        (summary("middle", **{"in": 8, "out": 2}), 0.0, "in 8  out 2"),
        (summary("middle", **{"in": 7, "out": 3}), 0.2, "in 7  out 3"),  # errors do not cancel
        (summary("middle", **{"in": 0, "out": 0}), 1.0, "in 0  out 0"),
        (summary("middle", **{"in": None, "out": None}), 1.0, "unknown"),
        (summary("middle", **{"in": 8, "out": None}), 1.0, "unknown"),  # half a count is none
        (summary(), 1.0, "unknown"),
    ],
)
def test_a_lines_error(plaza: CameraConfig, found: Summary, error: float, said: str) -> None:
    """Wrong crossings, each way for itself, as a share of the true ones."""
    (row,) = compare(plaza, [MIDDLE], found)
    assert (row.kind, row.name, row.rule) == ("line", "middle", "middle")
    assert row.true == "in 8  out 2"
    assert row.error == pytest.approx(error)
    assert row.counted == said


@pytest.mark.parametrize(
    ("mean", "error", "said"),
    [(2.0, 0.0, "mean 2.00"), (1.5, 0.25, "mean 1.50"), (None, 1.0, "unknown")],
)
def test_a_zones_error(plaza: CameraConfig, mean: float | None, error: float, said: str) -> None:
    """How far the mean is off; an unknown one is wrong altogether, not zero."""
    (row,) = compare(plaza, [CROWD], summary("crowd", mean=mean, max=3))
    assert (row.kind, row.rule, row.counted) == ("zone", "crowd", said)
    assert row.true == "mean 2.00"
    assert row.error == pytest.approx(error)


@pytest.mark.parametrize(("counted", "worst"), [(0, 0.0), (1, float("inf"))])
def test_where_nothing_is_to_be_counted(plaza: CameraConfig, counted: int, worst: float) -> None:
    """Nothing is right, anything is infinitely wrong."""
    truth = [TrueCount(LINES, "middle", {"in": 0, "out": 0})]
    rows = compare(plaza, truth, summary("middle", **{"in": counted, "out": 0}))
    assert worst_error(rows) == worst


def test_the_worst_row_counts() -> None:
    """What `--max-error` is held against."""
    rows = [Comparison("line", name, name, "", "", e) for name, e in (("a", 0.1), ("b", 0.3))]
    assert worst_error(rows) == 0.3


def test_what_no_rule_counts_at_is_named(plaza: CameraConfig) -> None:
    """A misspelt line of a truth file is not passed over in silence."""
    midle = TrueCount(LINES, "midle", {"in": 1, "out": 1})
    truth = [MIDDLE, midle, CROWD, TrueCount(ZONES, "till", {"mean": 1.0})]
    assert uncounted(plaza, truth) == ["line 'midle'", "zone 'till'"]
    assert len(compare(plaza, truth, summary())) == 2


def test_the_schema_says_what_is_read(plaza: CameraConfig) -> None:
    """It accepts the bundled truth and refuses what `read_truth` refuses."""
    check = Draft202012Validator(truth_schema())
    check.validate(json.loads((ROOT / "tests" / "data" / "plaza.truth.json").read_text()))
    refused: list[Any] = [
        {},
        {"lines": []},
        {"lines": [{"name": "a", "in": 1}]},
        {"lines": [{"name": "a", "in": 1.5, "out": 2}]},
        {"zones": [{"mean_occupancy": 2.0}]},
        [],
    ]
    assert not [wrong for wrong in refused if check.is_valid(wrong)]


def test_a_template_is_filled_in(tmp_path: Path, plaza: CameraConfig) -> None:
    """It has every line and zone that a rule counts at; what is still empty is said by name."""
    template: dict[str, Any] = truth_template(plaza)
    assert [one["name"] for one in template["lines"]] == ["middle", "across"]
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, template)
    assert "line 'middle' has no `in` and `out` yet; write what was counted" in str(caught.value)
    for section in template.values():
        for entry in section:
            for key in entry:
                entry[key] = entry[key] if key == "name" else 3
    truth = read(tmp_path, template)
    assert {one.name for one in truth} >= {"middle", "across", "crossroads"}
    assert uncounted(plaza, truth) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "a", "in": True, "out": 1}, "as whole numbers"),
        ({"name": "a", "in": -1, "out": 1}, "lines.0.in: -1 is less than nothing"),
        ({"name": "a", "in": None, "out": 1}, "has no `in` yet"),
    ],
)
def test_a_count_is_a_number_from_nothing(tmp_path: Path, entry: Any, said: str) -> None:
    """A switch is none, and neither is less than nothing."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, {"lines": [entry]})
    assert said in str(caught.value)
