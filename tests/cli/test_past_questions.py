"""`moonwatch ask FILE`: questions to the pictures of events and to recordings."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from pipeline.testing import patience
from tests.cli.test_run import moonwatch, start
from tests.runtime.clips import camera, cut, deployment, written

VAN = "Is there a white van?"
ANSWERS = ["yes", "no", "no", "yes", {"fail": "too dark"}, "no", "yes", "no"]


def content(folder: Path, clip: Path, answers: list[Any] = ANSWERS) -> dict[str, Any]:
    """The bundled clip with a rule that keeps pictures, and an engine that answers by a list."""
    engines = {"fast": {"type": "coco"}, "vlm": {"type": "scripted", "answers": {VAN: answers}}}
    plaza = camera(clip)
    plaza["tasks"]["people"]["engine"] = "fast"
    return deployment(folder, {"plaza": plaza}, engines=engines)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment that has run to its end."""
    folder = tmp_path_factory.mktemp("plaza")
    made = written(folder, content(folder, cut(folder / "plaza.mp4", 12.0)))
    code, _, errors = moonwatch("run", made)
    assert code == 0, errors
    return made


def asked(*arguments: str | Path) -> dict[str, Any]:
    """What the command prints as JSON."""
    code, out, errors = moonwatch("ask", *arguments, "--json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def test_pictures_of_events_are_asked(file: Path) -> None:
    """Each once, the likeliest first, with its file; events without a picture are named."""
    found = asked(file, "--events", VAN)
    assert len(found["answers"]) >= 3
    pictures = [one["picture"] for one in found["answers"]]
    assert len(set(pictures)) == len(pictures)
    assert all(Path(one).is_file() for one in pictures)
    likely = [one["yes_probability"] for one in found["answers"] if "yes_probability" in one]
    assert likely == sorted(likely, reverse=True)
    assert found["without_picture"], "crossings keep no pictures here"
    assert {"crowd"} == {one["rule"] for one in found["answers"]}
    assert "add `snapshot: true` to plaza.middle" in json.dumps(found["without_picture"])
    assert found["go_on"] is None


def test_a_limit_says_how_to_go_on(file: Path) -> None:
    """Piece by piece, all are asked, and none twice."""
    whole = {one["picture"] for one in asked(file, "--events", VAN)["answers"]}
    pieces: list[str] = []
    go_on: list[str] = []
    while True:
        piece = asked(file, "--events", "--limit", "2", *go_on, VAN)
        pieces += [one["picture"] for one in piece["answers"]]
        if piece["go_on"] is None:
            break
        go_on = piece["go_on"].split()
    assert sorted(pieces) == sorted(whole)


def test_a_period_a_camera_and_a_rule_are_chosen(file: Path) -> None:
    """Times are the site's; where nothing is left, that is said."""
    assert asked(file, "--events", "--camera", "plaza", "--rule", "crowd", VAN)["answers"]
    since = asked(file, "--events", "--since", "2026-06-01T13:00:05", VAN)["answers"]
    assert all(one["at"] >= "2026-06-01T12:00:05" for one in since)
    code, out, errors = moonwatch("ask", file, "--events", "--since", "2h", VAN)
    assert (code, out) == (0, "")
    assert "no picture was asked about" in errors


def test_a_recording_is_asked_at_intervals(file: Path) -> None:
    """On a grid from its beginning, wherever one begins to ask."""
    found = asked(file, "--every", "2s", VAN)["answers"]
    assert sorted(one["at"][17:19] for one in found) == ["00", "02", "04", "06", "08", "10"]
    part = asked(file, "--every", "2s", "--since", "2026-06-01T13:00:05", VAN)["answers"]
    assert sorted(one["at"][17:19] for one in part) == ["06", "08", "10"]


def test_an_interruption_shows_what_was_answered(tmp_path: Path) -> None:
    """And says how to go on; the exit code is that of an interruption."""
    slow = content(tmp_path, cut(tmp_path / "plaza.mp4", 12.0), ["yes"])
    slow["engines"]["vlm"] |= {"max_batch": 1}
    file = written(tmp_path, slow)
    with start("ask", file, "--every", "1ms", VAN) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=patience(20))
    assert "Ctrl-C" in first
    assert process.returncode == 130, errors
    assert "yes" in out
    assert re.search(r"go on with --since 2026-06-01T12:00:\d\d\.\d{3}Z", errors)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--events"], "QUESTION: is missing"),
        ([VAN], "--every are both missing"),
        (["--events", "--every", "1s", VAN], "cannot go together"),
        (["--events", "--camera", "plazza", VAN], "did you mean 'plaza'?"),
        (["--events", "--rule", "crowds", VAN], "did you mean 'crowd'?"),
        (["--events", "--since", "noonish", VAN], "--since: 'noonish' is not a moment"),
        (["--events", "--engine", "vln", VAN], "there are fast, vlm"),
        (["--events", "--engine", "fast", VAN], "engine 'fast'"),
        (["--events", "--answers", "maybe", VAN], "is not a kind of answer"),
        (["--events", "Is it?"], "none of the file's engines can answer it"),
        (["--every", "soon", VAN], "--every"),
        (["--every", "1s", "--since", "2h", VAN], "has nothing then"),
        (["--events", "--detect", "van", VAN], "--detect: is for pictures and clips"),
    ],
)
def test_bad_input_is_a_sentence(file: Path, arguments: list[str], said: str) -> None:
    """With the way out, and exit code 2."""
    code, _, errors = moonwatch("ask", file, *arguments)
    assert code == 2, errors
    assert said in errors


def test_the_other_form_stays(tmp_path: Path) -> None:
    """A clip is asked as before, and refuses what is for deployments."""
    clip = cut(tmp_path / "plaza.mp4", 1.0)
    code, out, errors = moonwatch("ask", clip, "--count", "person", "--json")
    assert code == 0, errors
    assert json.loads(out.splitlines()[0])["answers"]["count person"]["number"] > 0
    code, _, errors = moonwatch("ask", clip, "--events", VAN)
    assert code == 2
    assert "is for a deployment file" in errors
