"""A person's count against ours: what a truth file may hold, and what is made of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.deployment.loader import load
from pipeline.deployment.model import CameraConfig
from pipeline.insight.evaluation import (
    Comparison,
    Truth,
    TruthLine,
    TruthZone,
    compare,
    read_truth,
    uncounted,
    worst_error,
)
from pipeline.insight.summary import Footfall, OccupancyFigures, Summary
from tests.runtime.clips import CLIP, camera, deployment, written

MIDDLE = TruthLine("middle", 8, 2)
CROWD = TruthZone("crossroads", 2.0)


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> CameraConfig:
    """The camera of the bundled clip: rules on two lines and on a zone."""
    folder = tmp_path_factory.mktemp("evaluate")
    file = written(folder, deployment(folder, {"plaza": camera(CLIP)}))
    return load(file, []).cameras["plaza"]


def summary(*found: Footfall | OccupancyFigures) -> Summary:
    """A run that found these."""
    return Summary(
        footfall=[one for one in found if isinstance(one, Footfall)],
        presence=[one for one in found if isinstance(one, OccupancyFigures)],
        stays=[],
        events={},
        flows=[],
        behind={},
        seconds=1.0,
    )


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
    assert truth == Truth((MIDDLE, TruthLine("across", 3, 4)), (CROWD,))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "must be a JSON object"),
        ({}, "neither `lines` nor `zones`"),
        ({"lines": {}}, "lines: must be a list"),
        ({"lines": ["middle"]}, "lines: must be a list of objects"),
        ({"lines": [{"name": "middle", "in": 1}]}, "lines.0: a line needs"),
        ({"lines": [{"name": "a", "in": 1, "out": 1}, {"in": 1, "out": 1}]}, "lines.1: a line"),
        ({"lines": [{"name": "middle", "in": 1.5, "out": 1}]}, "whole numbers"),
        ({"zones": [{"name": "x"}]}, "zones.0: a zone needs"),
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
        (Footfall("plaza", "middle", 8, 2, 60.0), 0.0, "in 8  out 2"),
        (Footfall("plaza", "middle", 7, 3, 60.0), 0.2, "in 7  out 3"),  # errors do not cancel
        (Footfall("plaza", "middle", 0, 0, 60.0), 1.0, "in 0  out 0"),
        (Footfall("plaza", "middle", None, None, 0.0), 1.0, "unknown"),
        (None, 1.0, "unknown"),
    ],
)
def test_a_lines_error(
    plaza: CameraConfig, found: Footfall | None, error: float, said: str
) -> None:
    """Wrong crossings, each way for itself, as a share of the true ones."""
    counted = summary(found) if found else summary()
    (row,) = compare(plaza, Truth((MIDDLE,), ()), counted)
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
    found = OccupancyFigures("plaza", "crowd", mean, 3, 60.0)
    (row,) = compare(plaza, Truth((), (CROWD,)), summary(found))
    assert (row.kind, row.rule, row.counted) == ("zone", "crowd", said)
    assert row.error == pytest.approx(error)


def test_where_nothing_is_to_be_counted(plaza: CameraConfig) -> None:
    """Nothing is right, anything is infinitely wrong."""
    truth = Truth((TruthLine("middle", 0, 0),), ())
    nothing = compare(plaza, truth, summary(Footfall("plaza", "middle", 0, 0, 60.0)))
    something = compare(plaza, truth, summary(Footfall("plaza", "middle", 1, 0, 60.0)))
    assert worst_error(nothing) == 0.0
    assert worst_error(something) == float("inf")


def test_the_worst_row_counts() -> None:
    """What `--max-error` is held against."""
    rows = [Comparison("line", name, name, "", "", e) for name, e in (("a", 0.1), ("b", 0.3))]
    assert worst_error(rows) == 0.3


def test_what_no_rule_counts_at_is_named(plaza: CameraConfig) -> None:
    """A misspelt line of a truth file is not passed over in silence."""
    truth = Truth((MIDDLE, TruthLine("midle", 1, 1)), (CROWD, TruthZone("till", 1.0)))
    assert uncounted(plaza, truth) == ["line 'midle'", "zone 'till'"]
    assert len(compare(plaza, truth, summary())) == 2
