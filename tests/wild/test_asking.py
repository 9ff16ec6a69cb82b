"""One-off questions about what a camera sees now, and about everything else one may point at."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.core.errors import ConfigError, SourceError, SourceFailure
from pipeline.runtime.questions import Shot, shots_of
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.connectors.sources.clips import Clip, write_clip
from tests.connectors.sources.servers import FileServer, free_port
from tests.runtime.clips import CLIP
from tests.wild.mjpeg_streams import sample
from tests.wild.raw_server import head, raw_camera

JPEG = sample("baseline", 0)
STREAM = (
    head("Content-Type: multipart/x-mixed-replace; boundary=frame")
    + b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    + JPEG
    + b"\r\n--frame\r\n"
)


def moonwatch(*arguments: str | Path, piped: bytes = b"", **world: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **world},
        input=piped,
        capture_output=True,
        timeout=patience(60),
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def sizes(shots: Sequence[Shot]) -> list[tuple[int, ...]]:
    """Height and width of pictures."""
    return [shot.pixels.shape[:2] for shot in shots]


@pytest.mark.parametrize(
    "answer", [STREAM, head("Content-Type: image/jpeg", f"Content-Length: {len(JPEG)}") + JPEG]
)
def test_an_http_camera_is_asked_for_one_picture(answer: bytes) -> None:
    """Whether its address is that of a stream, which stays open, or of a still picture."""
    with raw_camera(lambda _nth, _: [answer], stays=True) as url:
        assert sizes(list(shots_of(url, 1.0, None))) == [(96, 128)]


@pytest.mark.slow
def test_an_rtsp_camera_is_asked_for_one_picture(tmp_path: Path) -> None:
    """The first that it sends."""
    write_clip(tmp_path / "door.mp4", Clip(frames=40))
    with FileServer(tmp_path) as camera:
        assert sizes(list(shots_of(camera.url("door.mp4"), 1.0, None))) == [(48, 64)]


def test_people_are_counted_in_what_a_camera_shows() -> None:
    """From the address to the answer, on the command line."""
    with av.open(str(CLIP)) as clip:
        pixels = next(clip.decode(video=0)).to_ndarray(format="bgr24")
    picture = cv2.imencode(".jpg", pixels)[1].tobytes()
    answer = head("Content-Type: image/jpeg") + picture
    with raw_camera(lambda _nth, _: [answer]) as url:
        code, said, errors = moonwatch("ask", url, "--count", "person")
    assert code == 0, errors
    assert re.search(r"0\.00 s  count person: [1-9]", said)


@pytest.mark.parametrize(
    ("place", "reason", "words"),
    [
        ("rtsp://us:hunter2@127.0.0.1:{port}/a", SourceFailure.REFUSED, "refused the connection"),
        ("http://us:hunter2@127.0.0.1:{port}/a", SourceFailure.REFUSED, "refused the connection"),
        ("https://us:hunter2@no-camera.invalid/", SourceFailure.DNS, "cannot be resolved"),
        ("webcam:97", SourceFailure.NOT_FOUND, "does not exist"),
        ("/dev/video98", SourceFailure.NOT_FOUND, "does not exist"),
    ],
)
def test_a_camera_that_does_not_answer(place: str, reason: SourceFailure, words: str) -> None:
    """The reason is said in a sentence, without the login."""
    with pytest.raises(SourceError) as caught:
        list(shots_of(place.format(port=free_port()), 1.0, None))
    assert caught.value.reason is reason
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("rtsp://us:hunter2@", "has no host that could be read"),
        ("http://", "has no host that could be read"),
        ("rtmp://us:hunter2@10.0.0.1/live", "cannot look at rtmp:// addresses; use rtsp://"),
        ("us:hunter2@10.0.0.1/live", "there is no file ***@10.0.0.1/live"),
        ("10.0.0.1/live", "for a camera, begin with rtsp:// or http://"),
        ("camera.local:554/live", "for a camera, begin with rtsp:// or http://"),
        ("rtsp:/10.0.0.1/live", "there is no file rtsp:/10.0.0.1/live"),
        ("no-such-file.jpg", "there is no file no-such-file.jpg"),
        ("file:///no/such%20file.jpg", "there is no file /no/such file.jpg"),
    ],
)
def test_places_that_are_none(place: str, words: str) -> None:
    """What was typed is named, without a password in it, and the way out."""
    with pytest.raises(ConfigError) as caught:
        list(shots_of(place, 1.0, None))
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_clip_is_asked_at_a_time(tmp_path: Path) -> None:
    """One picture at the time wanted, or a sentence where the clip is shorter."""
    path = write_clip(tmp_path / "walk.mp4", Clip(frames=20, rate=10))
    assert [shot.at_s for shot in shots_of(str(path), 1.0, 1.2)] == [1.2]
    assert [shot.at_s for shot in shots_of(path.as_uri(), 0.5, None)] == [0.0, 0.5, 1.0, 1.5]
    with pytest.raises(ConfigError, match=r"--at: .* has no picture after 1\.9 s"):
        list(shots_of(str(path), 1.0, 12.0))
    with pytest.raises(ConfigError, match="--at: is for a clip"):
        list(shots_of("rtsp://127.0.0.1/a", 1.0, 12.0))


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
def test_a_picture_is_a_clip_of_one(kind: str, tmp_path: Path) -> None:
    """As a file, and piped in."""
    path = tmp_path / f"yard{kind}"
    path.write_bytes(cv2.imencode(kind, np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    assert sizes(list(shots_of(str(path), 1.0, None))) == [(48, 64)]


class _Piped:
    """A standard input with something in it."""

    def __init__(self, content: bytes, *, is_terminal: bool = False) -> None:
        self.buffer = io.BytesIO(content)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether somebody sits before it."""
        return self._is_terminal


@pytest.mark.parametrize(
    ("content", "is_terminal", "words"),
    [
        (b"", False, "standard input is empty"),
        (b"", True, "moonwatch ask - < yard.jpg"),
        (b"no picture", False, "standard input"),
    ],
)
def test_nothing_of_use_is_piped_in(
    content: bytes, is_terminal: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what was expected there."""
    piped: Any = _Piped(content, is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdin", piped)
    with pytest.raises((ConfigError, SourceError)) as caught:
        list(shots_of("-", 1.0, None))
    assert words in str(caught.value)
    assert "moonwatch-" not in str(caught.value)


def test_a_piped_picture_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a camera's tool or another program makes it."""
    piped: Any = _Piped(JPEG)
    monkeypatch.setattr(sys, "stdin", piped)
    assert sizes(list(shots_of("-", 1.0, None))) == [(96, 128)]


@pytest.mark.slow
def test_a_model_that_is_not_downloaded(tmp_path: Path) -> None:
    """One sentence says at once how to get it."""
    pytest.importorskip("torch")
    code, _, errors = moonwatch(
        "ask", CLIP, "--engine", "moondream", "--caption", "short", "--at", "0s",
        HF_HOME=str(tmp_path), HF_ENDPOINT=f"http://127.0.0.1:{free_port()}",
    )  # fmt: skip
    assert code == 1
    assert len(errors.strip().splitlines()) == 1, errors
    assert "models pull vikhyatk/moondream2 --revision 2025-06-21`" in errors


@pytest.mark.parametrize(
    ("endpoint", "proxy"),
    [
        ("http://127.0.0.1:{port}", None),
        ("https://no-hub.invalid", None),
        ("http://127.0.0.2", "http://127.0.0.1:{port}"),
        ("http://127.0.0.2", "127.0.0.1:{port}"),
    ],
)
def test_a_hub_out_of_reach_is_asked_once(
    endpoint: str, proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directly or by a proxy, there is nothing to retry for half a minute."""
    hub = pytest.importorskip("pipeline.moondream.checkpoints.hub")
    port = free_port()
    monkeypatch.setattr(hub.constants, "ENDPOINT", endpoint.format(port=port))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if proxy is not None:
        monkeypatch.setenv("http_proxy", proxy.format(port=port))
    with pytest.raises(hub.NotDownloadedError, match="is not in the cache and http"):
        hub.fetch(hub.HubFile("a/b", "main", "x"), tmp_path)
