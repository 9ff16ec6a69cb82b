"""A file costs what it names: what it does not name is neither imported nor built."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.queues import QueueConfig
from connectors.sinks import SinkConfig
from connectors.sources import SourceConfig
from pipeline.inference.engines import EngineConfig
from pipeline.rules import RuleConfig
from tests.architecture.source_tree import ROOT

SMALL = """
version: 1
cameras:
  yard:
    source: {type: rtsp, url: "rtsp://10.0.0.7/1"}
    tasks: {people: {detect: person}}
  door:
    source: {type: file, path: door.mp4}
    tasks: {people: {detect: person}}
    lines: {step: {from: [0.1, 0.6], to: [0.9, 0.6]}}
    rules: {footfall: {type: line_crossing, of: people, line: step}}
sinks:
  log: {type: jsonl, path: events.jsonl}
"""
UNIONS: tuple[Any, ...] = (SourceConfig, QueueConfig, RuleConfig, EngineConfig, SinkConfig)
ASKED = """
import json, sys
from pipeline.cli.main import app_for
from pipeline.core.config import Config

def below(model):
    for one in model.__subclasses__():
        yield one
        yield from below(one)

try:
    app_for(["check"])(["check", sys.argv[1]])
except SystemExit as ended:
    code = ended.code
built = {one.__name__ for one in below(Config) if one.__pydantic_complete__}
print(json.dumps({"code": code, "modules": sorted(sys.modules), "built": sorted(built)}))
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh process has imported and built after a check of the small file."""
    file = tmp_path_factory.mktemp("check") / "small.yaml"
    file.write_text(SMALL)
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0
    return found


def test_only_named_members_are_imported(facts: dict[str, Any]) -> None:
    """Of each union what the file names, and the defaults where it names nothing."""
    imported = {
        name
        for union in UNIONS
        for name in union.names
        if f"{union.package}.{name}" in facts["modules"]
    }
    assert imported == {"file", "rtsp", "memory", "line_crossing", "coco", "jsonl"}


def test_only_what_is_needed_is_built(facts: dict[str, Any]) -> None:
    """Validators of the whole and of the named members; the parts of these are built with them."""
    assert facts["built"] == [
        "CocoConfig",
        "Deployment",
        "FileConfig",
        "JsonlConfig",
        "LineCrossingConfig",
        "MemoryConfig",
        "ObservationsConfig",
        "RtspConfig",
    ]


@pytest.mark.parametrize(
    "module",
    [
        "pipeline.rules.at_work",
        "pipeline.tracking.tracker",
        "pipeline.core.store",
        "connectors.queues.memory.queue",
        "connectors.stores.sql",
        "connectors.stores.files",
        "connectors.sources.recordings.source",
        "connectors.sources.ffmpeg.decoder",
        "connectors.sources.live.reader",
    ],
)
def test_nothing_that_is_at_work_is_imported(facts: dict[str, Any], module: str) -> None:
    """Settings come without what they build."""
    assert module not in facts["modules"]


@pytest.mark.parametrize(
    "library", ["numpy", "asyncio", "ssl", "av", "cv2", "torch", "sqlalchemy", "httpx", "redis"]
)
def test_no_library_of_the_work_is_imported(facts: dict[str, Any], library: str) -> None:
    """A check opens nothing, and needs none of what does."""
    assert library not in facts["modules"]


@pytest.mark.parametrize("union", UNIONS, ids=lambda union: union.package)
def test_the_types_and_the_names_of_a_union_agree(union: Any) -> None:
    """The type checker sees the members that there are at run time, in the same order."""
    tree = ast.parse((ROOT / union.package.replace(".", "/") / "__init__.py").read_text())
    aliases = [n for n in ast.walk(tree) if isinstance(n, ast.AnnAssign)]
    (written,) = [n.value for n in aliases if ast.unparse(n.annotation) == "TypeAlias" and n.value]
    assert ast.unparse(written).split(" | ") == list(union.names.values())
    assert [member.__name__ for member in union.members()] == list(union.names.values())
    for name, member in zip(union.names, union.members(), strict=True):
        assert member.model_fields["type"].default == name


def test_a_member_that_there_is_not_is_none() -> None:
    """Whatever stands there; nothing is imported for it."""
    union: Any = SinkConfig
    assert union.member("_base") is None
    assert union.member("../x") is None
    assert Path(ROOT / "connectors/sinks/_base.py").exists()
