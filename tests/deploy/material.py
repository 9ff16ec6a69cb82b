"""The deployment files as data, and the command line that they are held against."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml

from pipeline.cli.main import app_for

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OPERATIONS = ROOT / "docs" / "operations.md"
PORT = 9100
"""Where every process of the deployments answers for its health and metrics."""
STAGES = {"sample", "infer", "process", "deliver"}


def documents(path: Path) -> list[dict[str, Any]]:
    """All YAML documents of a file."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found is not None]


@cache
def compose() -> dict[str, Any]:
    """docker-compose.yml, anchors and merge keys resolved."""
    (found,) = documents(ROOT / "docker-compose.yml")
    return found


def services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


@cache
def manifests() -> tuple[tuple[Path, dict[str, Any]], ...]:
    """Every Kubernetes object below deploy/, with its file; no kustomization."""
    files = [*KUBERNETES.rglob("*.yaml"), *(DEPLOY / "redis").glob("*.yaml")]
    return tuple(
        (path, document)
        for path in sorted(files)
        for document in documents(path)
        if "apiVersion" in document and path.name != "kustomization.yaml"
    )


def objects(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Those of one kind."""
    return ((path, found) for path, found in manifests() if found["kind"] == kind)


def workloads() -> dict[str, dict[str, Any]]:
    """Deployments and StatefulSets, by name."""
    kinds = ("Deployment", "StatefulSet")
    return {one["metadata"]["name"]: one for kind in kinds for _, one in objects(kind)}


def container_of(workload: Mapping[str, Any]) -> dict[str, Any]:
    """The only container of a workload."""
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@dataclass(frozen=True)
class Called:
    """A stage as some deployment starts it."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return self.place


def called() -> list[Called]:
    """Every `moonwatch` command of compose and Kubernetes."""
    found = [
        Called(f"compose: {name}", tuple(service["command"]))
        for name, service in services().items()
        if service["image"].startswith(("moonwatch-core", "moonwatch-gpu"))
    ]
    for name, workload in workloads().items():
        container = container_of(workload)
        if container["image"] in ("moonwatch-core", "moonwatch-gpu"):
            found.append(Called(f"kubernetes: {name}", tuple(container["args"])))
    return found


def option(words: Sequence[str], name: str) -> str:
    """The value after an option."""
    return words[words.index(name) + 1]


def problem_with(words: Sequence[str]) -> str | None:
    """Why `moonwatch WORDS` is no command of ours; None when it is. Values are not looked at."""
    known = typer.main.get_command(app_for(words))
    path = list(words)
    while hasattr(known, "commands"):
        if not path or path[0] not in known.commands:
            return f"there is no command {' '.join(words)!r}"
        known = known.commands[path.pop(0)]
    options = {name for parameter in known.params for name in parameter.opts}
    unknown = [word for word in path if word.startswith("--") and word not in options]
    return f"{words[0]} has no option {unknown}" if unknown else None


@cache
def alerts() -> tuple[dict[str, Any], ...]:
    """Every rule of alerts.yaml."""
    (found,) = documents(DEPLOY / "prometheus" / "alerts.yaml")
    return tuple(rule for group in found["groups"] for rule in group["rules"])


DASHBOARDS = ("dashboard", "numbers")
"""The dashboards by the names of their files."""


@cache
def dashboard(name: str) -> dict[str, Any]:
    """One of the dashboards."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / f"{name}.json").read_text())
    return found


def queries() -> list[str]:
    """Every PromQL expression of the dashboards, the alerts and the autoscaler."""
    found = [dashboard(name) for name in DASHBOARDS]
    panels = [
        target["expr"]
        for board in found
        for one in board["panels"]
        for target in one.get("targets", ())
    ]
    variables = [
        one["definition"]
        for board in found
        for one in board["templating"]["list"]
        if "definition" in one
    ]
    scaled = [
        trigger["metadata"]["query"]
        for _, one in objects("ScaledObject")
        for trigger in one["spec"]["triggers"]
    ]
    return [*panels, *variables, *(rule["expr"] for rule in alerts()), *scaled]


def anchors(page: Path) -> set[str]:
    """What `#...` may name in a Markdown page, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
