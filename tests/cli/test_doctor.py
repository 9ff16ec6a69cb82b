"""`doctor` and `check --with-memory`, on a deployment that really ran."""

import json
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from tests.cli.commands import moonwatch
from tests.runtime.clips import STARTS_AT, deployment, written
from tests.tracking.street import Detector, across, crowd, seen

SECONDS, RATE = 75.0, 2.0
LOOKS = list(seen(crowd(SECONDS, across), RATE, SECONDS, Detector()))


def grey(path: Path) -> Path:
    """A clip with one tiny picture for each look, in the street's shape."""
    with av.open(str(path), "w") as container:
        stream = cast(Any, container.add_stream("mpeg4", rate=round(RATE)))
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for _ in LOOKS:
            frame = av.VideoFrame.from_ndarray(np.full((36, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def street(folder: Path) -> dict[str, Any]:
    """A street with a line across the walk, and one above everybody's head."""
    camera = {
        "source": {"type": "file", "path": str(folder / "grey.mp4"), "starts_at": STARTS_AT},
        "sample": {"every": "500ms", "motion": False, "frozen": False, "black": False},
        "tasks": {"people": {"detect": "person"}},
        "lines": {
            "door": {"from": [0.5, 0.2], "to": [0.5, 1.0]},
            "roof": {"from": [0.1, 0.1], "to": [0.3, 0.1]},
        },
        "rules": {
            "visitors": {"type": "line_crossing", "of": "people", "line": "door"},
            "birds": {"type": "line_crossing", "of": "people", "line": "roof"},
        },
    }
    boxes = [[[round(edge, 4) for edge in box] for box in look.boxes] for look in LOOKS]
    engines = {"pretend": {"type": "scripted", "answers": {"people": boxes}}}
    return deployment(folder, {"street": camera}, engines=engines)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment that has run to its end."""
    folder = tmp_path_factory.mktemp("street")
    grey(folder / "grey.mp4")
    made = written(folder, street(folder))
    code, _, errors = moonwatch("run", made)
    assert code == 0, errors
    return made


def test_a_camera_is_described_in_plain_words(file: Path) -> None:
    """Its figures, and each line with what is wrong with it; exit code 1 where something is."""
    code, out, errors = moonwatch("doctor", file)
    assert code == 1, errors
    lines = out.splitlines()
    assert "camera street, task people (person, pretend)" in lines
    assert any(line.startswith("  looks        150 since 2026-06-01T13:00:00+01:00, 2.0 a second")
               for line in lines)  # fmt: skip
    assert any(line.startswith("  feet         jitter 1.") for line in lines) or any(
        line.startswith("  feet         jitter 2.") for line in lines
    )
    door = next(line for line in lines if "line door (visitors)" in line)
    assert "crossings in 75 seconds" in door
    assert door.endswith("nothing wrong")
    roof = next(index for index, line in enumerate(lines) if "line roof (birds)" in line)
    assert lines[roof + 1].startswith(
        "    ! nobody's feet were seen within half a body of this line"
    )


@pytest.mark.slow
def test_machines_are_told_the_same(file: Path) -> None:
    """As JSON, for the cameras that are named."""
    code, out, _ = moonwatch("doctor", file, "--json", "--camera", "street")
    said = json.loads(out)
    assert code == 1
    assert not said["ok"]
    detector = said["detectors"][0]
    assert detector["scene"]["looks"] == 150
    assert [problem["path"] for problem in said["problems"]] == ["cameras.street.lines.roof"]
    door = next(place for place in detector["places"] if place["name"] == "door")
    assert door["placement"]["remarks"] == []
    assert door["placement"]["degrees"] > 75


def test_check_warns_of_lines_in_bad_places(file: Path) -> None:
    """At their line of the file, beside the other warnings; the file is good all the same."""
    code, out, _ = moonwatch("check", file, "--with-memory")
    assert code == 0
    number = 1 + next(
        n for n, line in enumerate(file.read_text().splitlines()) if line.strip() == "roof:"
    )
    assert f"warning: cameras.street.lines.roof (line {number}): nobody's feet were seen" in out
    said = json.loads(moonwatch("check", file, "--with-memory", "--json")[1])
    assert [warning["path"] for warning in said["warnings"]] == ["cameras.street.lines.roof"]
    assert said["memory"] is None


@pytest.mark.slow
def test_without_observations_one_sentence_is_said(file: Path, tmp_path: Path) -> None:
    """By both commands, which then have found nothing wrong."""
    store = f"store.url=sqlite:///{tmp_path}/none.db"
    code, out, _ = moonwatch("check", file, "--with-memory", "--set", store)
    assert code == 0
    assert out.count("nothing is known of lines and zones yet") == 1
    code, out, _ = moonwatch("doctor", file, "--set", store)
    assert code == 0
    assert "nothing is known yet" in out


@pytest.mark.slow
def test_a_camera_that_is_not_there_is_refused(file: Path) -> None:
    """With the names of those that are."""
    code, _, errors = moonwatch("doctor", file, "--camera", "yard")
    assert code == 2
    assert "there is no camera 'yard'" in errors
    assert "it has street" in errors
