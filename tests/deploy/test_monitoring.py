"""Dashboard and alerts ask for what moonwatch measures, and each alert says what to do."""

import re
import shutil
import subprocess
from itertools import combinations
from typing import Any

import pytest

from pipeline.core.frames import DROP_REASONS
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience
from tests.deploy.material import (
    DASHBOARDS,
    DEPLOY,
    OPERATIONS,
    ROOT,
    alerts,
    anchors,
    dashboard,
    queries,
)

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# What Prometheus adds by itself.
FOREIGN_LABELS = {"le", "job", "instance", "service"}


def samples() -> dict[str, set[str]]:
    """Every sample that moonwatch exports, with the names of its labels."""
    found = {}
    for name, metric in Metrics().made.items():
        for suffix in SUFFIXES[metric._type]:
            found[f"moonwatch_{name}{suffix}"] = set(metric._labelnames)
    return found


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_a_query_asks_for_what_is_measured(query: str) -> None:
    """By its name and suffix, with labels that it has."""
    asked = set(re.findall(r"\bmoonwatch_\w+", query))
    assert asked <= samples().keys()
    assert asked or query.startswith("up{")
    known = FOREIGN_LABELS.union(*(samples()[name] for name in asked))
    inside = re.findall(r'[{,]\s*(\w+)\s*(?:=~|!~|!=|=)\s*"', query)
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
    named = {*inside, *(label.strip() for group in grouped for label in group.split(","))}
    assert named <= known, query


def test_every_metric_is_looked_at() -> None:
    """None is measured that no panel shows."""
    shown = " ".join(queries())
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in samples()}
    missing = {name for name in families if not re.search(rf"\b{name}(_|\b)", shown)}
    assert not missing


def test_a_reason_that_is_asked_for_exists() -> None:
    """A misspelt one would never fire."""
    asked = [
        reason
        for query in queries()
        for found in re.findall(r'frames_dropped_total\{[^}]*reason=~?"([^"]+)"', query)
        for reason in found.split("|")
    ]
    assert asked
    assert set(asked) <= set(DROP_REASONS)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """Its runbook is a section of the manual, which begins with how urgent it is."""
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == OPERATIONS
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(OPERATIONS)
    section = OPERATIONS.read_text().partition(f"### {rule['alert']}\n")[2].strip()
    assert section.startswith(f"**{rule['labels']['severity']}.**")
    assert rule["annotations"]["summary"]


def test_the_manual_has_no_alert_that_is_gone() -> None:
    """Headings and rules are the same, in the same order."""
    headings = re.findall(r"^### (Moonwatch\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts()]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    """Each has a number and a place of its own, in a grid of 24 columns, and says what it shows."""
    panels = dashboard(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["description"]
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@pytest.mark.parametrize(
    ("name", "mounted"), [("dashboard", "moonwatch"), ("numbers", "numbers")], ids=DASHBOARDS
)
def test_the_dashboard_is_found_where_compose_puts_it(name: str, mounted: str) -> None:
    """By Grafana's own provisioning, with the data source that its variable looks for."""
    compose = (ROOT / "docker-compose.yml").read_text()
    provider = (DEPLOY / "grafana/provisioning/dashboards/moonwatch.yaml").read_text()
    (folder,) = re.findall(r"path: ([^}\s]+)", provider)
    assert f"./deploy/grafana/{name}.json:{folder}/{mounted}.json" in compose
    variables = {one["name"]: one for one in dashboard(name)["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"


def test_dashboards_are_told_apart() -> None:
    """Grafana keeps them by their uid."""
    assert len({dashboard(name)["uid"] for name in DASHBOARDS}) == len(DASHBOARDS)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yaml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts.test.yaml"),
    ],
    ids=" ".join,
)
def test_prometheus_understands_the_alerts(words: tuple[str, ...]) -> None:
    """And they fire when they should, and only then."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH: apt-get install prometheus")
    folder = DEPLOY / "prometheus"
    done = subprocess.run(
        [program, *words], cwd=folder, capture_output=True, text=True, timeout=patience(50)
    )
    assert done.returncode == 0, done.stdout + done.stderr
