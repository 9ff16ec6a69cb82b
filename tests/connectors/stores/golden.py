"""A store as the first release left it, version 2 of the tables, and its summary of then."""

import json
from pathlib import Path
from typing import Any

from connectors.stores.sql import SqlStore
from pipeline.deployment.loader import load
from pipeline.insight.summary import summarise
from pipeline.telemetry.figures import CameraFigures
from tests.architecture.source_tree import ROOT
from tests.runtime.clips import CLIP, camera, deployment, written

FORMATS = ROOT / "tests" / "formats" / "35f8f1b"


def dump(database: str) -> str:
    """The SQL that makes the store in an empty database."""
    return (FORMATS / f"counts.{database}.sql").read_text(encoding="utf-8")


def summary_then() -> Any:
    """What `run --json` said of it."""
    return json.loads((FORMATS / "summary.json").read_text(encoding="utf-8"))


def summary_now(store: SqlStore, folder: Path) -> Any:
    """What it says today, of the same deployment, without what it did not say then."""
    plaza = camera(CLIP)
    plaza["rules"]["heads"] = {"type": "count", "of": "people"}
    loaded = load(written(folder, deployment(folder, {"plaza": plaza})), [])
    figures = {"plaza": CameraFigures(up=True, sampled=30)}
    now = json.loads(json.dumps(summarise(loaded, store.history, figures, 10.0).as_json()))
    assert [flow.pop("left_out") for flow in now["frames"]] == [{}]
    # Kinds of rules that came later have a table too, and nothing in it.
    known = summary_then().keys()
    return {name: said for name, said in now.items() if name in known or said != []}
