"""The command line itself: help, names, and what a lean host is told."""

import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from pipeline.cli.main import COMMANDS, EXTRAS, app_for
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT

HIDE = "import sys; sys.modules[{library!r}] = None; sys.argv[1:] = {arguments!r}; "


def moonwatch(
    *arguments: str, without: str = "no_such_library"
) -> subprocess.CompletedProcess[str]:
    """The command line in an interpreter that lacks a library."""
    code = HIDE.format(library=without, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", f"{code}from pipeline.cli.main import main; main()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )


def test_help_lists_every_command() -> None:
    """Also those whose libraries are not installed."""
    done = moonwatch("--help", without="supervision")
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE), name
    assert "needs supervision" in done.stdout


def test_help_says_of_each_command_what_the_command_says() -> None:
    """Though none of them is imported for it."""
    shown: Any = typer.main.get_command(app_for([]))
    for name in COMMANDS:
        alone: Any = typer.main.get_command(app_for([name]))
        assert shown.commands[name].help, name
        assert shown.commands[name].help == alone.commands[name].help, name


def test_neither_help_nor_version_imports_a_command() -> None:
    """`--version` is asked by scripts, and help by people in a hurry."""
    code = "import sys; from pipeline.cli.main import app_for; app_for(['--version']); "
    code += "print([one for one in ('torch', 'cv2', 'numpy', 'fastapi') if one in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("command", "library"), [("render", "supervision"), ("models", "huggingface_hub")]
)
def test_a_missing_library_is_a_sentence_with_the_way_out(command: str, library: str) -> None:
    """The extra to install is named; exit code 1, no traceback."""
    done = moonwatch(command, "anything", "--at", "all", without=library)
    assert done.returncode == 1
    assert f"needs {library}" in done.stderr
    assert f"pip install -e '.[{EXTRAS[command]}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_refused() -> None:
    """With exit code 2, like all refused input."""
    done = moonwatch("chek", "configs/demo.yaml")
    assert done.returncode == 2
    assert "chek" in done.stderr


def test_the_version_is_said() -> None:
    """That of the installed package, or that there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(30),
        check=True,
    )
    assert re.fullmatch(
        r"moonwatch (\d+\.\d+.*|from a checkout that is not installed)\n", done.stdout
    )


AT_WORK = """
import sys, threading, cv2, numpy
picture = numpy.zeros((2000, 2000, 3), numpy.uint8)
begun = threading.Event()
def work():
    while True:
        cv2.GaussianBlur(picture, (31, 31), 5)
        begun.set()
threading.Thread(target=work, name="model", daemon=True).start()
begun.wait()
from pipeline.cli.main import main
sys.argv = ["moonwatch", {argument!r}]
main()
"""


@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("no-such-command", 2)])
def test_a_thread_inside_native_code_does_not_abort_the_end(argument: str, code: int) -> None:
    """The exit code stays what it was, and the log says who was still at work."""
    done = subprocess.run(
        [sys.executable, "-c", AT_WORK.format(argument=argument)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "exiting while threads are still running: model" in done.stderr
    assert "terminate" not in done.stderr
