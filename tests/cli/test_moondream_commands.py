"""Moondream from the command line: asked about a clip, listed, verified."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.runtime.clips import CLIP

GOLDEN = ROOT / "tests" / "golden"


def moonwatch(cache: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with an empty cache and no network."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )


@pytest.mark.slow
def test_ask_with_the_moondream_engine(tmp_path: Path) -> None:
    """A local folder of weights answers every kind of task about a frame."""
    model = ["--engine", "moondream", "--option", f"model={GOLDEN}", "--option", "max_crops=1"]
    kinds = ["--detect", "red umbrella", "--count", "person", "--ask", "Is it day?"]
    done = moonwatch(tmp_path, "ask", CLIP, *model, *kinds, "--every", "1h", "--json")
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    answers = json.loads(line)["answers"]
    assert len(answers["detect red umbrella"]["boxes"]) == len(
        answers["detect red umbrella"]["scores"]
    )
    assert isinstance(answers["count person"]["number"], int)
    assert isinstance(answers["Is it day?"]["text"], str)


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    """What is missing is named, the exit code is 1, and there is no traceback."""
    done = moonwatch(
        tmp_path, "ask", CLIP, "--caption", "short", "--engine", "moondream",
        "--option", f"model={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "tokenizer.json does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_known_models_are_listed(tmp_path: Path) -> None:
    """Each with the state of its files; with an empty cache all are missing."""
    done = moonwatch(tmp_path, "models", "list", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed[0]["model"] == "vikhyatk/moondream2"
    assert listed[0]["revision"] == "2025-06-21"
    assert {file["state"] for entry in listed for file in entry["files"]} == {"missing"}
    said = {
        (
            entry["release"],
            entry["stored"],
            entry["tokenizer"],
            entry["pixels"],
            entry["resizer"],
        ): [file["hash"] for file in entry["files"]]
        for entry in listed
    }
    assert said == {
        ("2025-06-21", "bfloat16", "starmie-v1", "bfloat16", "pillow"): ["pinned", "pinned"],
        ("2025-04-14", "float16", "codegen", "float16", "vips"): ["unchecked", "pinned"],
        ("2025-03-27", "float16", "codegen", "float16", "vips"): ["unchecked", "pinned"],
        ("2025-01-09", "float16", "codegen", "float16", "vips"): ["unchecked", "pinned"],
        ("2025-04-14", "4-bit", "codegen", "float16", "vips"): ["unchecked", "pinned"],
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list",), 0, "pinned = known to moonwatch"),
        (("verify",), 0, "there is no 0.5b model"),
        (("verify", "vikhyatk/moondream2"), 1, "missing"),
        (("verify", "somebody/else"), 1, "is not a known model"),
        (("verify", "./my-model"), 1, "an engine reads it as it is, with `model: ./my-model`"),
        (("pull", "/models/my-model"), 1, "is a folder of this machine and no repository"),
        (("pull",), 1, "offline"),
        (("pull", "vikhyatk/moondream2", "--revision", "main"), 1, "is not a release"),
    ],
)
def test_models_say_what_they_find(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """All of an empty cache is fine; the one named must be there, and cannot come offline."""
    done = moonwatch(tmp_path, "models", *arguments)
    assert done.returncode == code, done.stderr
    assert words in " ".join((done.stdout + done.stderr).lower().split())
    assert "Traceback" not in done.stderr
