"""What an operator may write about sampling, and what is refused."""

import pytest
from pydantic import ValidationError

from pipeline.sampling.config import BlackConfig, FrozenConfig, MotionConfig, SampleConfig


@pytest.mark.parametrize(
    ("written", "interval_s"),
    [
        ({}, 0.5),  # the default
        ({"every": "2s"}, 2.0),
        ({"max_fps": 4}, 0.25),
        ({"max_fps": 0.1}, 10.0),
    ],
)
def test_rates(written: dict[str, object], interval_s: float) -> None:
    """A rate is written as an interval or in frames a second."""
    assert SampleConfig.model_validate(written).interval_s == pytest.approx(interval_s)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"every": "1s", "max_fps": 2}, "keep one of them"),
        ({"every": 2}, "needs a unit"),
        ({"every": "0s"}, "longer than 0s"),
        ({"max_fps": 0}, "greater than 0"),
        ({"max_fps": 1001}, "less than or equal to 1000"),
        ({"max_fps": float("inf")}, "finite number"),
        ({"motion": {"sensitivty": 1}}, "Extra inputs"),
        ({"motion": {"sensitivity": 3}}, "outside 0..1"),
        ({"masks": [[[0, 0], [1, 1]]]}, "at least 3"),
        ({"masks": [[[0, 0], [1, 1], [1, 0], [0, 1]]]}, "crosses itself"),
        ({"masks": [[[0, 0], [1, 1], [0, 2]]]}, "outside 0..1"),
        ({"max_side": 8}, "greater than or equal to 32"),
        ({"duplicates": "maybe"}, "'keep' or 'drop'"),
    ],
)
def test_refusals(written: dict[str, object], sentence: str) -> None:
    """Each mistake is one problem with a sentence that says what is wrong."""
    with pytest.raises(ValidationError) as refused:
        SampleConfig.model_validate(written)
    (problem,) = refused.value.errors()
    assert sentence in problem["msg"]


def test_switches() -> None:
    """`true`, `false` and settings are all ways to write motion, frozen and black."""
    assert SampleConfig.model_validate({"motion": True}).motion == MotionConfig()
    assert SampleConfig.model_validate({"motion": False}).motion is None
    assert SampleConfig.model_validate({"frozen": False, "black": False}).frozen is None
    sample = SampleConfig.model_validate({"motion": {"heartbeat": "1m"}, "black": {"level": 0.2}})
    assert sample.heartbeat_s == 60
    assert sample.black == BlackConfig(level=0.2)
    assert sample.frozen == FrozenConfig()


def test_schema_allows_switches() -> None:
    """An editor is told that `motion: true` is right."""
    schema = SampleConfig.model_json_schema()
    kinds = [kind.get("type") for kind in schema["properties"]["motion"]["anyOf"]]
    assert "boolean" in kinds
