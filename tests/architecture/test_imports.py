"""Who may import whom: the table of ARCHITECTURE.md, held."""

import ast
import subprocess
import sys

import pytest

from pipeline.rules import all_rules
from tests.architecture.source_tree import ROOT, Import, imports_of, modules

TABLE: dict[str, tuple[str, ...]] = {
    "pipeline.core": (),
    "pipeline.moondream": (),
    "pipeline.telemetry": ("pipeline.core",),
    "pipeline.sampling": ("pipeline.core", "pipeline.telemetry"),
    "pipeline.inference": ("pipeline.core", "pipeline.telemetry", "pipeline.moondream"),
    "pipeline.benchmarking": (
        "pipeline.core",
        "pipeline.inference",
        "pipeline.moondream",
        "pipeline.deployment",
    ),
    "pipeline.tracking": ("pipeline.core",),
    "pipeline.rules": ("pipeline.core",),
    "pipeline.processing": (
        "pipeline.core",
        "pipeline.telemetry",
        "pipeline.tracking",
        "pipeline.rules",
    ),
    "pipeline.delivery": ("pipeline.core", "pipeline.telemetry"),
    "pipeline.testing": ("pipeline.core",),
    "connectors": ("pipeline.core",),
    "pipeline.deployment": (
        "pipeline.core",
        "pipeline.tracking",
        "pipeline.rules",
        "pipeline.sampling.config",
        "pipeline.inference.engines",
        "pipeline.server.config",
        "pipeline.web.config",
        "connectors",
    ),
    "pipeline.reports": ("pipeline.core", "pipeline.rules", "pipeline.deployment"),
    "pipeline.runtime": (
        "pipeline.core",
        "pipeline.reports",
        "pipeline.telemetry",
        "pipeline.sampling",
        "pipeline.inference",
        "pipeline.processing",
        "pipeline.delivery",
        "pipeline.rules",
        "pipeline.tracking",
        "pipeline.deployment",
        "connectors",
    ),
    "pipeline.insight": (
        "pipeline.core",
        "pipeline.reports",
        "pipeline.telemetry",
        "pipeline.tracking",
        "pipeline.processing",
        "pipeline.rules",
        "pipeline.deployment",
        "pipeline.runtime",
        "connectors",
    ),
    "pipeline.render": (
        "pipeline.core",
        "pipeline.sampling.masks",
        "pipeline.processing",
        "pipeline.rules",
        "pipeline.deployment",
        "pipeline.runtime",
        "pipeline.insight",
        "connectors",
    ),
    "pipeline.server.config": (
        "pipeline.core",
        "pipeline.server.fetch_config",
        "pipeline.server.prices",
    ),
    "pipeline.server.fetch_config": ("pipeline.core",),
    "pipeline.server.prices": ("pipeline.core",),
    "pipeline.serving": (),
    "pipeline.server": (
        "pipeline.core",
        "pipeline.serving",
        "pipeline.telemetry",
        "pipeline.moondream",
        "pipeline.inference",
        "pipeline.deployment",
        "pipeline.runtime",
        "connectors",
    ),
    "pipeline.web.config": ("pipeline.core",),
    "pipeline.web": (
        "pipeline.core",
        "pipeline.serving",
        "pipeline.telemetry",
        "pipeline.reports",
        "pipeline.tracking",
        "pipeline.processing",
        "pipeline.rules",
        "pipeline.inference",
        "pipeline.sampling",
        "pipeline.delivery",
        "pipeline.deployment",
        "pipeline.runtime",
        "pipeline.insight",
        "pipeline.render",
        "connectors",
    ),
    "pipeline.cli": ("pipeline", "connectors"),
    "pipeline.__main__": ("pipeline.cli",),
    "pipeline": ("pipeline.core",),
}
"""Each part and the parts it may import, beside itself. The first name that fits counts."""

OF_THE_MODEL = ("pictures", "network", "checkpoints", "device", "skills", "batch")
"""Folders of `pipeline.moondream`, each of which imports only those before it."""

HEAVY = (
    "torch",
    "transformers",
    "av",
    "cv2",
    "onnxruntime",
    "sqlalchemy",
    "httpx",
    "scipy",
    "rich",
    "redis",
    "jinja2",
    "paho",
)


def part_of(module: str) -> str:
    """The row of the table that a module belongs to."""
    return next(p for p in TABLE if module == p or module.startswith(p + "."))


def imported_everywhere() -> list[Import]:
    """All imports of our own modules."""
    return [found for module in modules() for found in imports_of(module)]


def test_every_part_imports_only_what_it_may() -> None:
    """A stage knows neither a connector nor another stage."""
    breaches = []
    for found in imported_everywhere():
        part = part_of(found.module)
        allowed = (part, *TABLE[part])
        if not any(found.imported == a or found.imported.startswith(a + ".") for a in allowed):
            breaches.append(f"{found.module} imports {found.imported}")
    assert breaches == []


def test_folders_of_the_model_lie_upon_each_other() -> None:
    """Layers do not know that requests share them, and nobody below knows the front door."""
    breaches = []
    for found in imported_everywhere():
        folder, other = (
            name.split(".")[2] if name.startswith("pipeline.moondream.") else ""
            for name in (found.module, found.imported)
        )
        if folder in OF_THE_MODEL and (
            other == "api" or other in OF_THE_MODEL[OF_THE_MODEL.index(folder) + 1 :]
        ):
            breaches.append(f"{found.module} imports {found.imported}")
    assert breaches == []


def test_a_connector_imports_no_connector_of_another_kind() -> None:
    """Sources, queues, stores and sinks do not know of each other, only the places they share."""
    breaches = [
        f"{found.module} imports {found.imported}"
        for found in imported_everywhere()
        if found.module.startswith("connectors.")
        and found.imported.startswith("connectors.")
        and found.imported.split(".")[1] not in (found.module.split(".")[1], "places")
    ]
    assert breaches == []


def test_only_rules_know_which_rules_there_are() -> None:
    """Everybody else goes through what a rule says of itself, so a new one touches nobody."""
    rules = {rule.__name__ for rule in all_rules()}
    knowing = [
        f"{module.name} names {alias.name}"
        for module in modules()
        if not module.name.startswith("pipeline.rules")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in rules
    ]
    assert knowing == []


def test_no_import_of_ours_stands_inside_a_function() -> None:
    """What a module needs is said at its top."""
    inside = [
        f"{i.module} imports {i.imported}" for i in imported_everywhere() if i.inside_function
    ]
    assert inside == []


def test_there_is_no_import_cycle() -> None:
    """Modules can be read in an order in which each needs only those before it."""
    graph: dict[str, set[str]] = {module.name: set() for module in modules()}
    for found in imported_everywhere():
        if found.imported != found.module and not found.for_types_only:
            graph[found.module].add(found.imported)
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert not graph, f"cycle among: {', '.join(sorted(graph))}"


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ("pipeline.cli.check", ()),
        ("pipeline.sampling.supervisor", ("cv2",)),
        ("connectors.queues", ()),
    ],
)
def test_heavy_libraries_wait_until_they_are_needed(entry: str, allowed: tuple[str, ...]) -> None:
    """`moonwatch check` starts at once, and a sampler's host needs no torch."""
    code = f"import sys, {entry}; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert set(done.stdout.split()) <= set(allowed)
