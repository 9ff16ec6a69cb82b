"""The JSON Schema lets editors accept what moonwatch accepts, and mark the common slips."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.deployment.fields import all_models, descriptions
from pipeline.deployment.json_schema import json_schema
from pipeline.deployment.model import Deployment
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import plain

CONFIGS = sorted(Path("configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """A validator for deployment files."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def camera(**parts: Any) -> dict[str, Any]:
    """A file with one camera."""
    source = {"type": "file", "path": "x.mp4"}
    return {"version": 1, "cameras": {"door": {"source": source, **parts}}}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_shipped_files_suit_it(validator: Draft202012Validator, path: Path) -> None:
    """As an editor reads them: references stand as they are."""
    tree, _ = read_yaml(path.read_text())
    assert tree is not None
    content = plain(tree)
    assert [error.message for error in validator.iter_errors(content)] == []


@pytest.mark.parametrize(
    "content",
    [
        camera(),
        camera() | {"x-note": [1], "store": {"x-why": "because"}},
        camera(sample={"every": "${EVERY}", "max_side": "${SIDE:-640}", "motion": "yes"}),
        camera(tasks={"q": {"ask": "Is it?", "x-note": 1}}),
        camera(source={"type": "webcam", "device": 0}),
        {"version": 1, "defaults": camera()["cameras"]["door"], "cameras": {"a": {}, "b": None}},
        camera(source={"type": "rtsp", "url_file": "/run/secrets/door"}),
        camera(source="rtsp://door/1", site="north")
        | {"site": "Shop", "sites": {"north": "North"}},
        camera(
            rules={"r": {"type": "occupancy", "of": "people", "schedule": {"days": "mon-fri"}}},
        ),
        camera() | {"defaults": {"source": {"transport": "udp"}, "tasks": {"p": {"every": "1s"}}}},
        camera() | {"sinks": {"ops": {"type": "webhook", "url_file": "/run/secrets/hook"}}},
    ],
)
def test_what_may_be_written_suits_it(validator: Draft202012Validator, content: Any) -> None:
    """References, switches, notes, secret files and partial defaults."""
    assert [error.message for error in validator.iter_errors(content)] == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"version": 2, "cameras": camera()["cameras"]},
        camera(colour="red"),
        camera(sample={"every": 5}),
        camera(sample={"every": "5"}),
        camera(source={"path": "x.mp4"}),
        camera(source={"type": "tape", "path": "x.mp4"}),
        camera(source={"type": "rtsp"}),
        camera(tasks={"q": {}}),
        camera(tasks={"q": {"ask": "Is it?", "detect": "cat"}}),
        camera(zones={"till": {"polygon": [[0, 0], [1, 1]]}}),
        camera() | {"defaults": {"sample": {"evry": "1s"}}},
    ],
)
def test_common_slips_do_not(validator: Draft202012Validator, content: Any) -> None:
    """Unknown keys and types, durations without a unit, what must be there."""
    assert list(validator.iter_errors(content))


def test_defaults_are_written_as_an_operator_would() -> None:
    """`30s`, not `PT30S`."""
    definitions = json_schema()["$defs"]
    assert definitions["TrackerConfig"]["properties"]["forget_after"]["default"] == "2s"


def test_every_field_says_what_it_means() -> None:
    """In its description or the docstring below it; `type` speaks for itself."""
    silent = [
        f"{model.__name__}.{key}"
        for model in all_models(Deployment)
        for key, meaning in descriptions(model).items()
        if not meaning and key != "type"
    ]
    assert silent == []
