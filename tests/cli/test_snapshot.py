"""`moonwatch snapshot`: a camera's picture for those who draw in YAML."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from connectors.stores import StoreConfig
from pipeline.core.clock import SystemClock
from pipeline.core.events import Event, JsonValue, Subject
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job, result_of
from pipeline.core.measures import Bucket
from pipeline.core.store import Commit
from pipeline.deployment.loader import load
from pipeline.runtime.reports import Report, new_member
from pipeline.runtime.stage_process import shared_queues
from tests.cli.commands import moonwatch
from tests.connectors.sources.servers import http_camera
from tests.contracts.event_tools import an_event
from tests.redis_server import Redis, free_port, shared
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


GREEN, BLUE, RED = (20, 160, 40), (40, 60, 190), (200, 30, 30)


def plain(colour: tuple[int, int, int]) -> Pixels:
    """A picture of one colour, RGB."""
    return np.full((240, 320, 3), colour, np.uint8)


def compressed(colour: tuple[int, int, int]) -> bytes:
    """The same as a JPEG."""
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(plain(colour)[:, :, ::-1]))
    assert done
    return data.tobytes()


class Watched:
    """A live camera that shows green and counts who looks, with a mask in its file."""

    def __init__(self, folder: Path, url: str, **more: Any) -> None:
        door = {
            "source": {"type": "http", "url": url, "poll": "1s"},
            "sample": {"every": "1s", "masks": [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]},
            "tasks": {"people": {"detect": "person"}},
        }
        self.file = written(folder, deployment(folder, {"door": door}, **more))
        self.out = folder / "door.png"
        self.store = load(self.file, []).store.build(SystemClock())

    def keep(self, colour: tuple[int, int, int], age_s: float) -> None:
        """An event of so long ago kept a picture."""
        reference = f"{age_s:.0f}.jpg"
        load(self.file, []).store.build_media(self.store).put(reference, compressed(colour))
        event = replace(an_event(), id=reference, camera="door", at=time.time() - age_s)
        self.store.commit(Commit(events=[event.with_media(reference)]))

    def look(self) -> tuple[tuple[int, int, int], str]:
        """The colour of what is drawn, and what is said of it; the mask is filled."""
        code, said, errors = moonwatch("snapshot", self.file, "door", "--out", self.out)
        assert code == 0, errors
        assert said.strip() == str(self.out)
        sheet = cv2.imread(str(self.out), cv2.IMREAD_COLOR_RGB)
        assert sheet is not None
        pixels = np.asarray(sheet).reshape(-1, 3).astype(int)
        shown = [c for c in (GREEN, BLUE, RED) if (np.abs(pixels - c).max(1) < 12).sum() > 5000]
        assert len(shown) == 1
        height, width = np.asarray(sheet).shape[:2]
        left = np.asarray(sheet)[height // 3 : height // 2, width // 6 : width // 3]
        assert not (np.abs(left.astype(int) - shown[0]).max(2) < 12).any()
        return shown[0], errors


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


@pytest.fixture
def looks() -> list[str]:
    """Who has looked at the camera."""
    return []


@pytest.fixture
def url(looks: list[str]) -> Iterator[str]:
    """A camera that shows green."""

    def page(request: BaseHTTPRequestHandler) -> None:
        looks.append(request.path)
        data = compressed(GREEN)
        request.send_response(200)
        request.send_header("Content-Type", "image/jpeg")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    with http_camera(page) as address:
        yield address


def test_a_fresh_picture_of_an_event_spares_the_camera(
    tmp_path: Path, url: str, looks: list[str]
) -> None:
    """An old one does not, unless the camera gives none; how old it is is said."""
    watched = Watched(tmp_path, url)
    colour, said = watched.look()
    assert (colour, bool(looks)) == (GREEN, True)
    assert "the camera was opened for this picture" in said
    watched.keep(RED, 3 * 3600.0)
    assert watched.look()[0] == GREEN
    looks.clear()
    watched.keep(BLUE, 20.0)
    colour, said = watched.look()
    assert (colour, looks) == (BLUE, [])
    assert re.search(r"was kept of the camera's last event; it is \d+s old", said)
    watched.store.close()


def test_where_the_camera_gives_nothing_an_old_picture_is_drawn(tmp_path: Path) -> None:
    """With both said."""
    watched = Watched(tmp_path, f"http://127.0.0.1:{free_port()}/a.jpg")
    watched.keep(RED, 3 * 3600.0)
    colour, said = watched.look()
    assert colour == RED
    assert "the camera gives no picture now" in said
    assert re.search(r"was kept of its last event with one; it is 3h\d*m? old", said)
    watched.store.close()


@pytest.mark.redis
def test_what_is_on_its_way_through_redis_spares_the_camera(
    tmp_path: Path, url: str, looks: list[str], server: Redis
) -> None:
    """Where somebody samples it; otherwise nothing of it can be fresh."""
    queue = {"type": "redis", "url": server.url, "prefix": tmp_path.name}
    watched = Watched(tmp_path, url, queue=queue)
    loaded = load(watched.file, [])
    queues = shared_queues(loaded, SystemClock())
    engine = next(iter(loaded.engines))
    task = loaded.cameras["door"].questions()[0]
    report = Report("sampling", "here", 1, 1.0, samples=["door"])
    member = new_member("sampling")
    queues.presence.say(member, report.to_bytes(), timedelta(minutes=5))
    done = threading.Event()

    def sample() -> None:
        seq = 0
        while not done.wait(0.02):
            colour = RED if seq < 2 else BLUE
            frame = Frame("door", "run", seq, time.time(), plain(colour), (320, 240))
            queues.jobs.put(Job(frame, engine, seq, (task,), live=True), 0.0)
            seq += 1

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        colour, said = watched.look()
    finally:
        done.set()
        sampler.join()
    assert (colour, looks) == (BLUE, []), said
    assert re.search(r"is on its way through Redis; it is [\d.]+m?s old", said)

    # Nobody puts any more, and what is left is answered: it is there no more.
    while claims := queues.jobs.claim(engine, 100, 0.1):
        assert queues.jobs.answer(claims, [result_of(one.job, {}) for one in claims], 5.0)
    colour, said = watched.look()
    assert (colour, bool(looks)) == (GREEN, True)
    assert "no picture came through Redis in time; the camera was opened" in said
    queues.close()
    watched.store.close()


def test_a_redis_out_of_reach_is_said(tmp_path: Path, url: str) -> None:
    """And the camera is opened."""
    queue = {"type": "redis", "url": f"redis://127.0.0.1:{free_port()}", "prefix": tmp_path.name}
    watched = Watched(tmp_path, url, queue=queue)
    colour, said = watched.look()
    assert colour == GREEN
    assert "redis at 127.0.0.1" in said
    assert "the camera was opened for this picture" in said
    watched.store.close()


def events_in(tmp_path: Path, *events: Event) -> None:
    """Events in the store of the deployment, as a run leaves them."""
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build()
    store.commit(Commit(events=events))
    store.close()


def crossing(seconds: float, x: float, **data: JsonValue) -> Event:
    """Somebody crossed the line so many seconds after the clip began."""
    return Event(
        id=f"at-{seconds:g}",
        type="line_crossing",
        phase="single",
        camera="plaza",
        rule="across",
        at=1780315200.0 + seconds,
        subject=Subject("person", 4, (x, 0.2, x + 0.1, 0.5)),
        data={"line": "across", "direction": "in", "in": 1, "staff": True, **data},
    )


def test_an_event_is_drawn(tmp_path: Path, clip: Path) -> None:
    """The last one, or the one nearest to a moment: its box, and its rule's line alone."""
    lines = {**camera(clip)["lines"], "other": {"from": [0.1, 0.9], "to": [0.9, 0.9]}}
    file = written(tmp_path, deployment(tmp_path, {"plaza": plaza(clip, lines=lines)}))
    events_in(tmp_path, crossing(2.0, 0.1), crossing(5.0, 0.6, name="in"))
    places = {}
    for name, asked in (("last", []), ("first", ["--at", "1s"])):
        out = tmp_path / f"{name}.png"
        code, said, errors = moonwatch(
            "snapshot", file, "plaza", "--rule", "across", "--width", "640", "--out", out, *asked
        )
        assert (code, errors, said.strip()) == (0, "", str(out))
        sheet = np.asarray(cv2.imread(str(out), cv2.IMREAD_COLOR_RGB))
        assert sheet.shape[1] == 640
        _, columns = np.nonzero((sheet == (255, 92, 138)).all(axis=2))
        places[name] = (columns.min() + columns.max()) / 2 / 640
        rows, _ = np.nonzero((sheet == (255, 176, 0)).all(axis=2))
        assert rows.max() < 0.8 * sheet.shape[0]  # the other line is not drawn
    assert abs(places["first"] - 0.15) < 0.05
    assert abs(places["last"] - 0.65) < 0.05
    out = tmp_path / "small.jpg"
    code, _, errors = moonwatch("snapshot", file, "plaza", "--rule", "across", "--out", out)
    assert (code, errors) == (0, "")
    assert out.read_bytes()[:2] == b"\xff\xd8"


def test_an_event_that_cannot_be_drawn(tmp_path: Path, clip: Path) -> None:
    """Where there is none, or no such rule, or no recording: a sentence each."""
    cameras = {
        "plaza": plaza(clip),
        "gate": {**plaza(clip), "source": {"type": "rtsp", "url": "rtsp://10.0.0.9/gate"}},
    }
    file = written(tmp_path, deployment(tmp_path, cameras))
    events_in(tmp_path)
    for asked, said in (
        (("plaza", "--rule", "across"), "the store holds no event of 'across' yet"),
        (("plaza", "--rule", "foot"), "there is no rule 'foot'; there are middle, across"),
        (("gate", "--rule", "across"), "is for a recording; camera 'gate' is live"),
        (("plaza", "--rule", "across", "--heat", "a"), "leave one out"),
    ):
        code, _, errors = moonwatch("snapshot", file, *asked, "--out", tmp_path / "a.png")
        assert (code, said in errors) == (2, True), (asked, errors)
    assert not (tmp_path / "a.png").exists()


def test_an_event_beyond_the_recording(tmp_path: Path, clip: Path) -> None:
    """As of a loop: it is named in place of a moment nobody gave, with the picture kept of it."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": plaza(clip)}))
    kept = replace(crossing(50_000.0, 0.1), media=("plaza/2026-06-02/a.jpg",))
    events_in(tmp_path, kept)
    asked = ("plaza", "--rule", "across", "--out", tmp_path / "a.png")
    code, _, errors = moonwatch("snapshot", file, *asked)
    assert code == 2
    assert "--rule: the picture of its event at-50000 cannot be found" in errors
    assert "not in the recording" in errors
    assert "plaza/2026-06-02/a.jpg in the media folder" in errors
    assert "--at" not in errors
