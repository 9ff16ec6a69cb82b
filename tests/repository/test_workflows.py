"""The workflows of the host: well formed, safe, and calling what `.ci/run` calls."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.testing import patience
from tests.architecture.source_tree import ROOT

GITHUB = ROOT / ".github"
TOOLS = Path(sys.executable).parent
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [GITHUB / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
SCHEMAS = [
    *[("vendor.github-workflows", path) for path in WORKFLOWS],
    *[("custom.github-workflows-require-timeout", path) for path in WORKFLOWS],
    ("vendor.dependabot", GITHUB / "dependabot.yml"),
    *[("vendor.github-issue-forms", path) for path in FORMS],
    ("vendor.github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml"),
]


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((GITHUB / "workflows" / name).read_text())
    return found["jobs"]


def made(text: str) -> set[str]:
    """The targets that a text calls with `make`."""
    return set(re.findall(r"\bmake ([a-z][a-z-]*)", text))


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A checker, on the repository."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(10),
        check=False,
    )


@pytest.mark.parametrize(
    ("schema", "path"), SCHEMAS, ids=[f"{path.name}-{schema}" for schema, path in SCHEMAS]
)
def test_what_the_host_reads_is_well_formed(schema: str, path: Path) -> None:
    """By the published schemas, which the checker carries; every job has a timeout."""
    done = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_are_safe() -> None:
    """No broad permission, no action that is not pinned, no text of strangers in a shell."""
    done = run(TOOLS / "zizmor", "--offline", "--persona", "pedantic", "--no-progress", GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="no actionlint on PATH")
def test_the_expressions_hold() -> None:
    """What the schema does not see: contexts, matrices, shell."""
    done = run("actionlint", *WORKFLOWS)
    assert done.returncode == 0, done.stdout


def test_every_action_is_pinned_with_its_version() -> None:
    """By commit, and with the version beside it that dependabot raises."""
    used = [
        line
        for path in WORKFLOWS
        for line in path.read_text().splitlines()
        if re.match(r"\s*(- )?uses:", line)
    ]
    assert used
    for line in used:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_the_host_runs_what_one_machine_runs() -> None:
    """Each target of `.ci/run` has its job; two more run slow tests and count what is covered."""
    here = made((ROOT / ".ci" / "run").read_text())
    steps = [step for job in jobs("ci.yml").values() for step in job["steps"]]
    variants = {one["tests"] for one in jobs("ci.yml")["test"]["strategy"]["matrix"]["include"]}
    there = made("\n".join(str(step.get("run", "")) for step in steps)) | variants
    assert here == {"check", "test", "docs", "wheel"}
    assert there == here | {"test-slow", "coverage"}
    assert "$(MAKE) test COVERAGE=1" in (ROOT / "Makefile").read_text()


def test_every_target_that_is_called_exists() -> None:
    """In the workflows, in `.ci/run` and in CONTRIBUTING.md."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for path in [*WORKFLOWS, ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md", ROOT / "README.md"]:
        assert made(path.read_text()) <= targets, path.name


def test_the_versions_are_those_that_are_promised() -> None:
    """The matrix is the list of classifiers in pyproject.toml."""
    project = (ROOT / "pyproject.toml").read_text()
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    tested = [one["python"] for one in jobs("ci.yml")["test"]["strategy"]["matrix"]["include"]]
    assert tested == promised


def test_one_job_waits_for_all() -> None:
    """Branch protection asks for it alone, so it may forget none."""
    found = jobs("ci.yml")
    assert set(found["passed"]["needs"]) == set(found) - {"passed"}
    assert " ".join(["success"] * len(found["passed"]["needs"])) in str(found["passed"]["steps"])
