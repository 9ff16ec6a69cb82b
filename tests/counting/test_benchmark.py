"""The benchmark of counting itself: what it runs, what it leaves out, and what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.counting.__main__ import PARTS, main, write
from benchmarks.counting.cost import cost
from benchmarks.counting.page import PAGE, Goal, Section, begin, end, replaced
from benchmarks.counting.scenes import Scene, recorded
from benchmarks.counting.synthetic import Noise, Walkers, make
from pipeline.core.errors import ConfigError

ROOT = Path(__file__).parents[2]


def written(folder: Path, scene: Scene) -> Path:
    """A folder of recorded scenes with one in it."""
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{scene.name}.npz", truth=scene.truth, detections=scene.detections)
    described = {
        "label": scene.label,
        "fps": scene.fps,
        "aspect": scene.aspect,
        "frames": scene.frames,
        "lines": {name: [line.start, line.end] for name, line in scene.lines.items()},
        "zones": {name: zone.corners for name, zone in scene.zones.items()},
        "crossings": {
            line: [[made.at, made.track, made.direction] for made in all_made]
            for line, all_made in scene.crossings.items()
        },
        "occupancy": scene.occupancy,
        "floor": {"10": 0.0},
    }
    (folder / "scenes.json").write_text(json.dumps({scene.name: described}))
    return folder


STREET = make(Walkers(seconds=15.0), Noise(jitter=0.02), seed=1, name="street")


def test_recorded_scenes_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Arrays without pickle, and what `scenes.json` says of them."""
    (scene,) = recorded(written(tmp_path, STREET))
    assert np.array_equal(scene.truth, STREET.truth)
    assert (scene.crossings, scene.lines, scene.zones) == (
        STREET.crossings,
        STREET.lines,
        STREET.zones,
    )
    assert scene.floor == {10: 0.0}


@pytest.mark.parametrize("harm", ["none", "json", "array", "pickle"])
def test_scenes_that_cannot_be_read_are_named(tmp_path: Path, harm: str) -> None:
    """A sentence with the folder, and nothing is unpickled."""
    folder = tmp_path / "scenes"
    if harm != "none":
        written(folder, STREET)
    if harm == "json":
        (folder / "scenes.json").write_text('{"street": {"label": "person"}}')
    if harm == "array":
        (folder / "street.npz").write_bytes(b"no archive")
    if harm == "pickle":
        objects = np.array([print], dtype=object)
        np.savez(folder / "street.npz", truth=objects, detections=objects)
    with pytest.raises(ConfigError, match=r"scenes there cannot be read .*counting\.md"):
        recorded(folder)


def test_a_quick_run_prints_tables_and_goals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Perfect and detected boxes of a recorded scene, the delay, and what was to be reached."""
    folder = str(written(tmp_path, STREET))
    arguments = ["--quick", "--ours", "--scenes", folder, "--only", "perfect", "detected", "delay"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "| street (5) | moonwatch | 0.0 (0.0%) |" in said
    assert "| street (5) | true ids, our rule | 0.0 (0.0%) |" in said
    assert "perfect boxes: no scene more than 5 points above its floor | at most +0.0" in said
    assert "| looks | crossings | 99 % within | longest | bound |" in said
    assert "at most 1 s or 2 looks after the moment it is dated at | " in said


def test_other_trackers_are_left_out_with_a_sentence_where_they_are_not_installed(
    tmp_path: Path,
) -> None:
    """Their package is no requirement."""
    code = (
        "import sys; sys.modules['trackers'] = None; from benchmarks.counting.__main__ import main;"
        f"main(['--scenes', {str(written(tmp_path, STREET))!r}, '--only', 'perfect'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the package `trackers` is not installed") == 1
    assert "ByteTrack scaled" not in done.stdout


def test_processor_time_is_measured_beside_another_commit() -> None:
    """The same looks through this version of the package and through an earlier one."""
    section = cost("HEAD", people=(3,), rounds=1)
    assert section.lines[0] == "| people |  | ms a look | at HEAD | ratio |"
    parts = ("tracker", "a line", "a zone", "together")
    for line, part in zip(section.lines[2:], parts, strict=True):
        assert line.startswith(f"| 3 | {part} | ")
    assert [goal.text for goal in section.goals] == [
        "processor time of tracker and rules ≤ 1.5 × that of HEAD"
    ]


def test_a_commit_that_is_not_there_is_named() -> None:
    """Instead of figures of some other one."""
    with pytest.raises(RuntimeError, match="there is no commit 'yesterday' here"):
        cost("yesterday", people=(3,), rounds=1)


def test_the_page_has_a_place_for_every_part() -> None:
    """And a part that has none is named."""
    page = PAGE.read_text(encoding="utf-8")
    for name in (*PARTS, "goals"):
        assert "new text" in replaced(page, Section(name, ["new text"]))
    with pytest.raises(ValueError, match="has no place for 'weather'"):
        replaced(page, Section("weather", []))


def test_a_part_is_replaced_between_its_marks() -> None:
    """What stands before and behind stays."""
    page = f"a\n{begin('cost')}\n\nold\n\n{end('cost')}\nb\n"
    assert replaced(page, Section("cost", ["new"])) == (
        f"a\n{begin('cost')}\n\nnew\n\n{end('cost')}\nb\n"
    )


def test_a_run_of_one_part_keeps_what_the_others_reached(tmp_path: Path) -> None:
    """The table of goals is that of all parts, each as it was last run."""
    page, kept = tmp_path / "counting.md", tmp_path / "build" / "goals.json"
    marks = [mark for name in ("goals", "flips", "cost") for mark in (begin(name), end(name))]
    page.write_text("\n".join(marks))
    write([Section("cost", ["dear"], [Goal("cheap", "dear", met=False)])], page, kept)
    write([Section("flips", ["none"], [Goal("no flips", "none", met=True)])], page, kept)
    write([Section("cost", ["cheaper"], [Goal("cheap", "cheaper", met=True)])], page, kept)
    text = page.read_text()
    assert "| flips | no flips | none | met |\n| cost | cheap | cheaper | met |" in text
    assert "dear" not in text
