"""The script that runs the containers knows docker-compose.yml, and the shop works as one."""

import importlib.util
import os
import shutil
import subprocess
import sys
from types import ModuleType

import pytest

from tests.deploy.material import DEPLOY, services

SCRIPT = DEPLOY / "containers/trial.py"
CONTAINERS = {**os.environ, "CONTAINERS_CONF": str(DEPLOY / "containers/containers.conf")}
IMAGES = ("moonwatch-core:local", "moonwatch-camera:local")


@pytest.fixture(name="trial", scope="module")
def _trial() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("trial", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_it_takes_away_every_service_of_the_demo(trial: ModuleType) -> None:
    """None is left that was not missed once."""
    assert trial.NOTICED.keys() == {
        name for name, one in services().items() if "demo" in one["profiles"]
    }


def test_it_understands_what_it_starts(trial: ModuleType) -> None:
    """No setting of these services is passed over in silence."""
    for name in (*trial.NOTICED, "shop"):
        assert services()[name].keys() <= trial.UNDERSTOOD, name


@pytest.mark.slow
@pytest.mark.containers
@pytest.mark.timeout(600)
def test_the_shop_runs_in_one_container() -> None:
    """Events of a camera arrive, a killed container goes on, and it stops in order."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("needs root and podman: `make containers` says what else")
    for image in IMAGES:
        words = ["podman", "image", "exists", image]
        if subprocess.run(words, env=CONTAINERS, timeout=60, check=False).returncode != 0:
            pytest.skip(f"there is no image {image}: `make containers` builds it")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "shop"],
        env=CONTAINERS,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
