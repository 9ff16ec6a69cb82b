"""The made-up camera plays a clip again and again, as a camera does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from connectors.sources.rtsp import RtspConfig
from pipeline.core.sources import Need
from pipeline.testing import patience, wait_until
from tests.connectors.sources.clips import Clip, write_clip
from tests.connectors.sources.servers import HOST, free_port
from tests.deploy.material import DEPLOY, ROOT, documents, services

SERVE = DEPLOY / "rtsp/serve.py"
FRAMES = 10
READ_AHEAD = 5


@pytest.fixture(scope="module", name="camera")
def _camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running camera with a clip of one second."""
    folder = tmp_path_factory.mktemp("camera")
    write_clip(folder / "clip.mp4", Clip(frames=FRAMES, rate=10))
    address = f"{HOST}:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, str(SERVE), str(folder), "--listen", address], stdout=subprocess.DEVNULL
    )
    wait_until(lambda: probe(address) == 0, 30)
    yield address
    process.kill()
    process.wait(patience(10))


def probe(address: str) -> int:
    """What the health check of the container says."""
    command = [sys.executable, str(SERVE), "--probe", address]
    return subprocess.run(
        command, timeout=patience(30), check=False, capture_output=True
    ).returncode


def test_the_clip_begins_again_and_time_goes_on(camera: str) -> None:
    """Over its end, on one connection; a camera's time never goes back."""
    source = RtspConfig(url=f"rtsp://{camera}/clip.mp4/play_count_0").build()
    with closing(source):
        source.open(Need())
        pictures = source.pictures()
        # What was read ahead while the stream was opened is timed more closely than it was shown.
        times = [next(pictures).captured_at for _ in range(READ_AHEAD + 2 * FRAMES)]
    assert times == sorted(set(times))
    lasted = times[-1] - times[READ_AHEAD]
    assert lasted == pytest.approx(0.1 * (2 * FRAMES - 1), abs=0.5)


def test_a_camera_that_is_not_there_is_not_healthy() -> None:
    """The health check says so by its exit code."""
    assert probe(f"{HOST}:{free_port()}") == 1


def test_the_camera_must_have_something_to_play(tmp_path: Path) -> None:
    """A folder that is not there is refused with a sentence."""
    done = subprocess.run(
        [sys.executable, str(SERVE), str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=patience(30),
        check=False,
    )
    assert done.returncode == 2
    assert "name the folder of the videos" in done.stderr


def test_the_camera_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """By SIGTERM and in order, also as the first process of a container, without an init."""
    address = f"{HOST}:{free_port()}"
    process = subprocess.Popen([sys.executable, str(SERVE), str(tmp_path), "--listen", address])
    wait_until(lambda: probe(address) == 0, 30)
    process.terminate()
    assert process.wait(10) == 0


def test_deployments_look_where_the_camera_plays() -> None:
    """The clip is in the image, under the address that compose and Kubernetes give."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "COPY configs/media/plaza.mp4 /opt/camera/media/plaza.mp4" in dockerfile
    assert 'CMD ["/opt/camera/media", "--listen", "0.0.0.0:8554"]' in dockerfile
    address = "rtsp://camera:8554/plaza.mp4/play_count_0"
    assert address in services()["sampler"]["environment"]["MOONWATCH_CAMERA"]
    (demo,) = documents(DEPLOY / "kubernetes/overlays/demo/kustomization.yaml")
    assert f"camera-url={address}" in demo["secretGenerator"][0]["literals"]
