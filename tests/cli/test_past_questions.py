"""`moonwatch ask FILE`: questions to the pictures of events and to recordings."""

import json
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from connectors.stores import StoreConfig
from pipeline.core.answers import Answer, Text
from pipeline.core.clock import SystemClock
from pipeline.core.frames import Pixels
from pipeline.core.store import Commit, EventFilter
from pipeline.core.tasks import Ask, Task
from pipeline.deployment.loader import load
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.scripted import Scripted
from pipeline.runtime.past_questions import PresentMasks, ask_events, event_pictures
from pipeline.testing import patience
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.contracts.event_tools import an_event
from tests.runtime.clips import CLIP, camera, cut, deployment, written

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


SECRET, SEEN = (220, 20, 200), (90, 120, 60)
MASK = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]


def coloured(left: tuple[int, int, int]) -> bytes:
    """A picture as it is stored: its left half in a colour, its right half in another one."""
    pixels = np.full((240, 320, 3), SEEN, np.uint8)
    pixels[:, :165] = left
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]))
    assert done
    return data.tobytes()


def masked_later(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A camera that got a mask after two events, and had one before that at the third."""
    made = content(folder, CLIP, ["yes"])
    store = StoreConfig.model_validate(made["store"])
    kept = store.build()
    media = store.build_media(kept)
    for number, left in enumerate((SECRET, SECRET, (0, 0, 0))):
        media.put(f"{number}.jpg", coloured(left))
        camera = "square" if number == 0 else "plaza"  # its name at that time
        event = replace(an_event(number), camera=camera, rule="crowd", type="occupancy")
        kept.commit(Commit(events=[event.with_media(f"{number}.jpg")]))
    kept.close()
    made["cameras"]["plaza"]["sample"]["masks"] = [MASK]
    made["cameras"]["plaza"]["was"] = ["square"]
    return written(folder, made), made


def left_of(picture: str) -> "np.ndarray[Any, Any]":
    """The mean colour of what the mask hides, RGB."""
    pixels = cv2.imread(picture, cv2.IMREAD_COLOR_RGB)
    assert pixels is not None
    right = np.asarray(pixels)[20:-20, 200:-20].reshape(-1, 3).mean(axis=0)
    assert np.abs(right - SEEN).max() < 6  # all else is there
    left: np.ndarray[Any, Any] = np.asarray(pixels)[:, :160].reshape(-1, 3).max(axis=0)
    return left


def test_pictures_from_before_a_mask_are_masked(tmp_path: Path) -> None:
    """What is linked is a copy without what present masks hide, also by a camera's name of then.

    A picture that is as the masks want it is itself linked, and the store stays as it is.
    """
    file, _ = masked_later(tmp_path)
    code, out, errors = moonwatch("ask", file, "--events", VAN, "--json")
    assert code == 0, errors
    answers = json.loads(out)["answers"]

    assert len(answers) == 3
    assert sorted("masked_copy" in one for one in answers) == [False, True, True]
    for one in answers:
        assert left_of(one["picture"]).max() <= 48
        assert stat.S_IMODE(Path(one["picture"]).stat().st_mode) & 0o077 == 0
    assert "2 pictures are older than the camera's masks" in errors
    media = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build_media()
    assert left_of(str(media.path("1.jpg"))).max() > 150
    originals = {str(media.path(f"{number}.jpg")) for number in (0, 1)}
    assert not any(original in out + errors for original in originals)


def test_the_engine_sees_nothing_of_what_a_mask_hides(tmp_path: Path) -> None:
    """By the colour of what it was given."""
    file, _ = masked_later(tmp_path)
    loaded = load(file, [])
    store = loaded.store.build_reader(SystemClock())
    found = event_pictures(loaded, store.history, EventFilter(), 10)
    store.close()
    given: list[int] = []

    def look(pixels: Pixels, _task: Task) -> Answer:
        given.append(int(pixels[:, :160].max()))
        return Text("vlm", "yes")

    question = Ask(VAN, "vlm", VAN, "yes/no")
    engine = BatchingEngine(Scripted(look), 4, 0.0)
    masks = PresentMasks(loaded)
    answers = list(
        ask_events(
            engine,
            found.pictures,
            question,
            masks,
            deadline_s=60.0,
            ahead=4,
            stopped=lambda: False,
        )
    )
    engine.close()
    assert masks.folder is not None
    shutil.rmtree(masks.folder)

    assert (len(answers), len(given)) == (3, 3)
    assert max(given) <= 48


def test_without_room_for_a_copy_nothing_is_shown(tmp_path: Path) -> None:
    """A sentence instead of the unmasked picture."""
    file, _ = masked_later(tmp_path)
    command = 'ulimit -f 1; exec "$0" -m pipeline ask "$1" --events "$2"'
    found = subprocess.run(
        ["bash", "-c", command, sys.executable, file, VAN],
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert (found.returncode, found.stdout) == (2, ""), found.stderr
    assert "no masked copy of a picture can be written: File too large" in found.stderr
