"""The list of metrics and the page about them say the same."""

import re

from pipeline.telemetry.metrics import Metrics
from tests.architecture.source_tree import ROOT

PAGE = ROOT / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(moonwatch_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", re.MULTILINE)
UNBOUNDED = {"seq", "run", "track", "id", "record_id", "url", "path", "detail", "message", "pid"}


def listed() -> dict[str, tuple[str, str, str]]:
    """Kind, labels and meaning of every metric, by the name that Prometheus knows."""
    found = {}
    for metric in Metrics().made.values():
        kind = metric._type
        name = f"{metric._name}_total" if kind == "counter" else metric._name
        labels = ", ".join(metric._labelnames) or "none"
        found[name] = (kind, labels, metric._documentation)
    return found


def test_every_metric_is_documented() -> None:
    """Name, kind, labels and meaning, and nothing that is gone."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert {name: (kind, labels, meaning) for name, kind, labels, meaning in rows} == listed()


def test_labels_are_bounded() -> None:
    """Cameras, engines, rules, sinks, keys and reasons; nothing that grows with time."""
    labels = {label for _, labels, _ in listed().values() for label in labels.split(", ")}
    assert not labels & UNBOUNDED
    known = {"camera", "engine", "sink", "rule", "measure", "reason", "phase", "hop", "stage"}
    of_callers = {"route", "status", "skill", "key", "kind"}
    assert labels <= known | of_callers | {"outcome", "provider", "period", "none"}


def test_units_are_base_units() -> None:
    """Seconds and counts; no milliseconds, no percentages."""
    assert not [name for name in listed() if re.search(r"_(ms|millis|minutes|percent)\b", name)]
