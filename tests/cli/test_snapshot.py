"""`moonwatch snapshot`: a camera's picture for those who draw in YAML."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from connectors.stores import StoreConfig
from pipeline.core.measures import Bucket
from pipeline.core.store import Commit
from tests.cli.test_run import moonwatch
from tests.connectors.sources.servers import http_camera
from tests.runtime.clips import camera, cut, deployment, written

MASK = [[0.02, 0.05], [0.3, 0.05], [0.3, 0.4], [0.02, 0.4]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip."""
    return cut(tmp_path_factory.mktemp("clip") / "plaza.mp4", 8.0)


def plaza(clip: Path, **more: Any) -> dict[str, Any]:
    """The clip's camera."""
    return {**camera(clip), **more}


def test_a_moment_of_a_recording_is_drawn(tmp_path: Path, clip: Path) -> None:
    """By position, by time of day and by date: the same picture three times, and no other one."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": plaza(clip)}))
    content = {}
    for number, at in enumerate(("4s", "13:00:04", "2026-06-01T12:00:04+00:00", "6s")):
        out = tmp_path / "pictures" / f"{number}.png"
        code, said, errors = moonwatch("snapshot", file, "plaza", "--at", at, "--out", out)
        assert (code, errors) == (0, ""), errors
        assert said.strip() == str(out)
        content[at] = out.read_bytes()
    assert len(set(content.values())) == 2
    assert content["6s"] != content["4s"]
    sheet = cv2.imread(str(tmp_path / "pictures" / "0.png"))
    assert sheet is not None
    assert sheet.shape[1] > 960


def test_without_room_the_picture_before_stays(tmp_path: Path, clip: Path) -> None:
    """A disk that is full leaves what was there, and nothing of half a picture."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip)}))
    out = tmp_path / "plaza.png"
    out.write_bytes(b"the picture before")
    command = 'ulimit -f 8; exec "$0" -m pipeline snapshot "$1" plaza --out "$2"'
    found = subprocess.run(
        ["bash", "-c", command, sys.executable, file, out],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 2
    assert "plaza.png cannot be written: File too large; name another file" in found.stderr
    assert out.read_bytes() == b"the picture before"
    assert not list(tmp_path.glob("*.part"))


def test_what_is_wrong_is_said_and_the_rest_is_drawn(tmp_path: Path, clip: Path) -> None:
    """A line outside the picture is missing in it, together with its sentence; two lines stay."""
    lines = {**camera(clip)["lines"], "bad": {"from": [0.9, 1.9], "to": [0.7, 0.8]}}
    file = written(tmp_path, deployment(tmp_path, {"plaza": plaza(clip, lines=lines)}))
    out = tmp_path / "a.png"
    code, _, errors = moonwatch("snapshot", file, "plaza", "--out", out)
    assert code == 0
    assert "cameras.plaza.lines.bad.from.1" in errors
    assert "is not drawn" in errors
    sheet = cv2.imread(str(out), cv2.IMREAD_COLOR_RGB)
    assert sheet is not None
    assert np.count_nonzero((np.asarray(sheet) == (255, 176, 0)).all(axis=2)) > 1000


def test_a_heat_map_is_drawn_from_the_store(tmp_path: Path, clip: Path) -> None:
    """Red where people stood longest; and a sentence where there is nothing to draw."""
    rules = {**camera(clip)["rules"], "warmth": {"type": "heat_map", "of": "people"}}
    content = deployment(tmp_path, {"plaza": plaza(clip, rules=rules)})
    file, out = written(tmp_path, content), tmp_path / "a.png"
    StoreConfig.model_validate(content["store"]).build().close()
    asked = ("snapshot", file, "plaza", "--out", out)
    code, _, errors = moonwatch(*asked, "--heat", "warmth")
    assert (code, out.exists()) == (2, False)
    assert "holds nothing of 'warmth' yet" in errors
    code, _, errors = moonwatch(*asked, "--heat", "middle")
    assert code == 2
    assert "its heat maps are warmth" in errors

    store = StoreConfig.model_validate(content["store"]).build()
    values = {"person_s": 9.0, "cell_4x2_0_1": 9.0, "cell_4x2_3_0": 0.1}
    store.commit(Commit(buckets=[Bucket("plaza", "warmth", 60, 60, 1.0, values)]))
    store.close()
    redness = []
    for more in ((), ("--heat", "warmth")):
        assert moonwatch(*asked, *more)[0] == 0
        sheet = cv2.imread(str(out), cv2.IMREAD_COLOR_RGB)
        assert sheet is not None
        left = np.asarray(sheet)[sheet.shape[0] // 2 :, : sheet.shape[1] // 4].astype(int)
        redness.append((left[..., 0] - left[..., 2]).mean())
    assert redness[1] > redness[0] + 30


def test_masks_hide_also_here(tmp_path: Path, clip: Path) -> None:
    """Nothing of the picture is left under a mask, and a mask that is wrong is a refusal."""
    masked = plaza(clip, sample={"every": "1s", "masks": [MASK]})
    file = written(tmp_path, deployment(tmp_path, {"plaza": masked}))
    out = tmp_path / "a.png"
    assert moonwatch("snapshot", file, "plaza", "--out", out)[0] == 0
    bare = written(tmp_path / "b", deployment(tmp_path, {"plaza": plaza(clip)}))
    other = tmp_path / "b.png"
    assert moonwatch("snapshot", bare, "plaza", "--out", other)[0] == 0
    sheet, seen = cv2.imread(str(out)), cv2.imread(str(other))
    assert sheet is not None
    assert seen is not None
    height, width = 720, 960
    left, top = 48, 48
    inside = (
        slice(top + round(0.15 * height), top + round(0.35 * height)),
        slice(left + round(0.05 * width), left + round(0.25 * width)),
    )
    assert len(np.unique(np.asarray(sheet)[inside].reshape(-1, 3), axis=0)) < 10
    assert len(np.unique(np.asarray(seen)[inside].reshape(-1, 3), axis=0)) > 1000

    broken = plaza(clip, sample={"every": "1s", "masks": [MASK[:2]]})
    file = written(tmp_path, deployment(tmp_path, {"plaza": broken}))
    refused = tmp_path / "c.png"
    code, _, errors = moonwatch("snapshot", file, "plaza", "--out", refused)
    assert code == 2
    assert "masks" in errors
    assert not refused.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plazza"], "did you mean 'plaza'?"),
        (["plaza", "--at", "noonish"], "'noonish' is no moment of a recording; write 90s"),
        (["plaza", "--at", "14:00"], "which is not in the recording; it lasts from 2026-06-01T13"),
        (["plaza", "--out", "/dev/null/a.png"], "name another file"),
    ],
)
def test_bad_input_is_a_sentence(
    tmp_path: Path, clip: Path, arguments: list[str], said: str
) -> None:
    """With the way out, and exit code 2."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": plaza(clip)}))
    code, _, errors = moonwatch("snapshot", file, *arguments)
    assert code == 2
    assert said in errors


def test_a_live_camera_is_looked_at_now(tmp_path: Path) -> None:
    """It cannot be asked for its past; one that gives nothing says why."""
    done, data = cv2.imencode(".jpg", np.full((120, 160, 3), 77, np.uint8))
    assert done

    def page(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "image/jpeg")
        request.send_header("Content-Length", str(data.nbytes))
        request.end_headers()
        request.wfile.write(data.tobytes())

    with http_camera(page) as url:
        content = {"door": {"source": {"type": "http", "url": url, "poll": "1s"}}}
        file = written(tmp_path, deployment(tmp_path, content))
        out = tmp_path / "door.png"
        code, _, errors = moonwatch("snapshot", file, "door", "--out", out)
        assert code == 0, errors
        assert out.exists()
        code, _, errors = moonwatch("snapshot", file, "door", "--at", "12:30")
        assert code == 2
        assert "is live and shows what there is now" in errors
    code, _, errors = moonwatch("snapshot", file, "door", "--out", out)
    assert code == 1
    assert "refused" in errors.lower()
