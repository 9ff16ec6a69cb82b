"""The hooks before a commit: they run, and fetch nothing."""

import subprocess
import sys
from pathlib import Path

import yaml

from pipeline.testing import patience
from tests.architecture.source_tree import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"


def test_the_hooks_are_understood() -> None:
    """By the runner that is part of the development environment."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "prek"), "validate-config", str(CONFIG)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(10),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_hook_is_fetched() -> None:
    """All are commands of this repository's own environment."""
    repositories = yaml.safe_load(CONFIG.read_text())["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {"ruff-format", "ruff-check", "codespell", "architecture"} <= {h["id"] for h in hooks}
