"""What the guide is written with: an empty folder with a clip, and the command line."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.connectors.sinks.receiver import Receiver, receiving
from tests.runtime.clips import cut

COMMAND_S = patience(20)
"""More than any command of the guide needs."""
PROGRAM = (sys.executable, "-m", "pipeline")
SMALL_MODEL = ROOT / "tests" / "golden"
Event = dict[str, Any]
Picture = NDArray[np.uint8]


class WriteFile(Protocol):
    """Writes a file into the folder."""

    def __call__(self, name: str, text: str) -> None:
        """Write the text, without the empty line that it begins with."""


class Command(Protocol):
    """Runs a command line, waits for its end and returns what it printed."""

    def __call__(self, line: str, fails: int = 0, **environment: str) -> str:
        """Return its output; its messages where it has to fail with this exit code."""


def environment_with(more: dict[str, str]) -> dict[str, str]:
    """The environment of a command, wherever it is started."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **more}


@contextmanager
def started(line: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that goes on while the test does something; its end is waited for."""
    words = line.removeprefix("moonwatch ").split()
    process = subprocess.Popen(
        [*PROGRAM, *words], env=environment_with({}), stdout=subprocess.DEVNULL
    )
    try:
        yield process
        process.wait(COMMAND_S)
    finally:
        process.kill()
        process.wait()


def events_in(name: str) -> list[Event]:
    """The events that a `jsonl` sink wrote; none where it has not begun."""
    path = Path(name)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]  # one may be half written


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("guide") / "plaza.mp4", seconds=12)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would be: a folder of their own with a recording in it."""
    (tmp_path / "plaza.mp4").symlink_to(clip)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def file(folder: Path) -> WriteFile:
    """Write a file."""

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text.lstrip("\n"), encoding="utf-8")

    return write


@pytest.fixture
def moonwatch(folder: Path) -> Command:
    """The command, in a process of its own."""

    def run(line: str, fails: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [*PROGRAM, *shlex.split(line)],
            cwd=folder,
            env=environment_with(environment),
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def server() -> Iterator[Receiver]:
    """A web server that accepts whatever is sent to it."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def picture() -> Picture:
    """A dark picture with something bright in it."""
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[60:180, 100:160] = 230
    return pixels
