"""A deployment at work, from the clip to the file of events, and whatever happens to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest

from connectors.stores import StoreConfig
from pipeline.core.errors import StoreError
from pipeline.core.store import RUN
from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import ROOT
from tests.cli.commands import moonwatch
from tests.runtime.clips import CLIP, camera, cut, deployment, written

SECONDS = 8.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", SECONDS)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, content: dict[str, Any]) -> bytes:
    """What a deployment writes into its sink."""
    code, _, errors = moonwatch("run", written(folder, content))
    assert code == 0, errors
    return (folder / "events.jsonl").read_bytes()


def ids(content: bytes) -> list[str]:
    """Ids of the events in a sink."""
    return [json.loads(line)["id"] for line in content.splitlines()]


def test_the_same_file_gives_the_same_events_at_any_speed(tmp_path: Path, clip: Path) -> None:
    """Byte for byte: twice at full speed, and once at the speed it was recorded."""
    first = run(tmp_path / "a", deployment(tmp_path / "a", {"plaza": camera(clip)}))
    second = run(tmp_path / "b", deployment(tmp_path / "b", {"plaza": camera(clip)}))
    slow = camera(clip, speed="realtime")
    third = run(tmp_path / "c", deployment(tmp_path / "c", {"plaza": slow}))
    assert len(first.splitlines()) > 5
    assert first == second == third


def test_running_again_adds_nothing(tmp_path: Path, clip: Path) -> None:
    """A second run on the same store finds nothing new, and ends."""
    content = deployment(tmp_path, {"plaza": camera(clip)})
    assert run(tmp_path, content) == run(tmp_path, content)


def test_events_carry_their_pictures(tmp_path: Path, clip: Path) -> None:
    """A rule with `snapshot: true` leaves the frame as a JPEG beside the store."""
    lines = run(tmp_path, deployment(tmp_path, {"plaza": camera(clip)})).splitlines()
    crowd = [json.loads(line)["data"] for line in lines if b'"crowd"' in line]
    begun = [data for data in crowd if data["phase"] == "start"]
    assert begun
    for data in begun:
        shown = cv2.imread(str(tmp_path / "events.media" / data["media"][0]))
        assert shown is not None
        assert shown.shape == (576, 768, 3)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_at_any_moment_it_goes_on_and_doubles_nothing(tmp_path: Path, clip: Path) -> None:
    """After `kill -9` again and again, store and sink hold each event once."""
    # So many frames that also a quick machine is not through before it is killed.
    plaza = camera(clip, every="100ms")
    undisturbed = run(tmp_path / "a", deployment(tmp_path / "a", {"plaza": plaza}))
    content = deployment(tmp_path / "b", {"plaza": plaza})
    file = written(tmp_path / "b", content)
    database = tmp_path / "b" / "events.db"
    kills = 0
    for wait_s in (0.3, 0.6, 0.9, 1.2, 1.5, 1.8):
        with start("run", file) as process:
            # The one before was killed: its store is taken over once it counts as left.
            wait_until(lambda process=process: owner(database) == process.pid, within_s=30)  # type: ignore[misc]
            try:
                process.wait(timeout=wait_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.communicate()
    assert kills >= 3
    assert run(tmp_path / "b", content) == undisturbed


def owner(database: Path) -> int | None:
    """The process that owns a store, or owned it last."""
    try:
        store = StoreConfig(url=f"sqlite:///{database}").build_reader()
    except StoreError:
        return None
    try:
        record = store.lease(RUN)
        return record.owner.pid if record is not None else None
    finally:
        store.close()


def test_a_signal_stops_it_and_it_goes_on_later(tmp_path: Path, clip: Path) -> None:
    """SIGTERM drains and ends well within seconds; the next run does the rest."""
    whole = run(tmp_path / "a", deployment(tmp_path / "a", {"plaza": camera(clip)}))
    content = deployment(tmp_path / "b", {"plaza": camera(clip, speed="realtime")})
    file = written(tmp_path / "b", content)
    with start("run", file) as process:
        wait_until(lambda: (tmp_path / "b" / "events.jsonl").exists())
        process.terminate()
        out, errors = process.communicate(timeout=patience(20))
    assert process.returncode == 0, errors
    assert "run it again to resume" in errors
    assert "unfinished" in out  # the running minute is counted as far as it is known
    footfall = out[out.index("footfall") : out.index("occupancy")]
    assert "unknown" not in footfall
    content["cameras"]["plaza"]["source"]["speed"] = "max"
    assert run(tmp_path / "b", content) == whole


def test_a_second_signal_stops_it_at_once(tmp_path: Path) -> None:
    """Whoever is in a hurry signals twice; the exit code tells."""
    endless = camera(CLIP, loop=True)
    with start("run", written(tmp_path, deployment(tmp_path, {"plaza": endless}))) as process:
        wait_until(lambda: (tmp_path / "events.db").exists(), within_s=20)
        os.kill(process.pid, signal.SIGINT)
        while process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
            if _ended(process):
                break
        process.communicate(timeout=patience(10))
    assert process.returncode in (0, 128 + signal.SIGINT)


def _ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.slow
def test_cameras_share_an_engine_fairly(tmp_path: Path, clip: Path) -> None:
    """Of eight cameras none gets less than 80 % of the mean, however long it runs."""
    cameras = {f"cam{n}": camera(clip, loop=True) for n in range(8)}
    content = deployment(tmp_path, cameras)
    content["cameras"]["cam0"]["sample"] = {"every": "100ms"}
    with start("run", written(tmp_path, content), "--json") as process:
        wait_until(lambda: (tmp_path / "events.db").exists(), within_s=20)
        _ended_after(process, 8.0)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=patience(30))
    assert process.returncode == 0, errors
    sampled = {row["camera"]: row["sampled"] for row in json.loads(out)["frames"]}
    mean = sum(sampled.values()) / 8
    assert mean >= 5
    assert min(sampled.values()) >= 0.8 * mean, sampled


def _ended_after(process: subprocess.Popen[str], seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": {"type": "file", "path": "nowhere.mp4"}}, ["nowhere.mp4", "does not exist"]),
        ({"tasks": {"people": {"detect": "persn"}}}, ["persn", "person"]),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(
    tmp_path: Path, change: dict[str, Any], words: Sequence[str]
) -> None:
    """A missing file ends with 1, a mistake of the file with 2; neither with a traceback."""
    content = deployment(tmp_path, {"plaza": {**camera(CLIP), **change}})
    code, _, errors = moonwatch("run", written(tmp_path, content))
    assert code == (1 if "source" in change else 2)
    assert "Traceback" not in errors
    for word in words:
        assert word in errors


def test_one_unreadable_file_does_not_stop_the_others(tmp_path: Path, clip: Path) -> None:
    """The good camera is judged to its end; the exit code and a sentence tell of the bad one."""
    cameras = {"good": camera(clip), "bad": camera(tmp_path / "nowhere.mp4")}
    code, out, errors = moonwatch("run", written(tmp_path, deployment(tmp_path, cameras)), "--json")
    assert code == 1
    assert "nowhere.mp4" in errors
    assert "camera bad" in errors
    sampled = {row["camera"]: row["sampled"] for row in json.loads(out)["frames"]}
    assert sampled == {"good": round(SECONDS * 2), "bad": 0}


def test_events_that_no_sink_took_are_said_at_the_end(tmp_path: Path, clip: Path) -> None:
    """A webhook that is down costs nothing but its own events, and the exit code tells."""
    content = deployment(tmp_path, {"plaza": camera(clip)})
    content["sinks"]["ops"] = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}
    code, out, errors = moonwatch("run", written(tmp_path, content), "--json")
    assert code == 1
    assert "will be sent by the next run" in errors
    kept = len((tmp_path / "events.jsonl").read_bytes().splitlines())
    assert json.loads(out)["undelivered"] == {"ops": kept}


def test_evaluate_compares_with_a_persons_count(tmp_path: Path, clip: Path) -> None:
    """Rows for each line and zone; above `--max-error` the exit code is 1."""
    truth = tmp_path / "truth.json"
    truth.write_text(
        json.dumps(
            {
                "lines": [{"name": "middle", "in": 1, "out": 1}],
                "zones": [{"name": "crossroads", "mean_occupancy": 300}],
            }
        )
    )
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip)}))
    code, out, errors = moonwatch("evaluate", file, truth, "--json", "--max-error", "0.5")
    assert code == 1
    assert "--max-error 0.5" in errors
    rows = {row["name"]: row for row in json.loads(out)["rows"]}
    assert rows["middle"]["true"] == "in 1  out 1"
    assert rows["middle"]["error"] <= 0.5
    assert rows["crossroads"]["error"] > 0.9
    assert not (tmp_path / "events.jsonl").exists()


def test_a_clip_can_be_drawn_on(tmp_path: Path, clip: Path) -> None:
    """`render` writes a clip as long as the original, with something drawn on it."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip)}))
    tracks, out = tmp_path / "tracks.jsonl", tmp_path / "annotated.mp4"
    assert moonwatch("run", file, "--record", tracks)[0] == 0
    code, said, errors = moonwatch("render", file, "--tracks", tracks, "--out", out)
    assert code == 0, errors
    assert f"{round(SECONDS * 10)} pictures" in said
    before, after = cv2.VideoCapture(str(clip)), cv2.VideoCapture(str(out))
    before.set(cv2.CAP_PROP_POS_FRAMES, 50)
    after.set(cv2.CAP_PROP_POS_FRAMES, 50)
    assert (cv2.absdiff(before.read()[1], after.read()[1]) > 60).mean() > 0.002
    before.release()
    after.release()


def test_ask_answers_about_a_clip(clip: Path) -> None:
    """One line of JSON for each frame asked about."""
    code, out, errors = moonwatch(
        "ask", clip, "--detect", "person", "--count", "person", "--every", "4s", "--json"
    )
    assert code == 0, errors
    replies = [json.loads(line) for line in out.splitlines()]
    assert [reply["at_s"] for reply in replies] == [0.0, 4.0]
    for reply in replies:
        assert reply["answers"]["count person"]["number"] >= 1
        assert len(reply["answers"]["detect person"]["boxes"]) >= 1


def test_ask_refuses_what_the_engine_cannot_answer(clip: Path) -> None:
    """An open-vocabulary label on the detector of 80 names says which are near."""
    code, _, errors = moonwatch("ask", clip, "--detect", "persons")
    assert code == 2
    assert "person" in errors
