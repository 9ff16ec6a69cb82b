"""Clips while a disk is full, and while samplers take a camera over from each other."""

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clips import Clip
from pipeline.core.errors import StoreError
from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import ROOT
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.connectors.sources import clips as footage
from tests.redis_server import Server
from tests.runtime.clips import written
from tests.runtime.fleet import Fleet, Member, wait_for
from tests.runtime.test_clips import NO, YES, a_camera, a_deployment, data_of, decoded, kept
from tests.wild.rtsp_camera import RATE, RtspCamera, encoded

_ROOM = 7_000_000
"""What a file may grow to: enough for the store, too little for a clip of 9 s."""


def _settled(folder: Path) -> list[Clip]:
    try:
        return [clip for clip in kept(folder) if clip.state != "wanted"]
    except StoreError:
        return []  # it is only being made


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "media").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_clip_that_has_no_room_costs_no_event_and_no_other_clip(tmp_path: Path) -> None:
    """Its file cannot grow any more in mid-clip; once there is room again, clips are written."""
    answers = [NO] * 15 + [YES] * 2 + [NO] * 120 + [YES] * 2 + [NO] * 100_000
    with RtspCamera(encoded("h264", 100, 1, crf="2") * 60) as door:
        camera = a_camera({"type": "rtsp", "url": door.url()})
        camera["clips"] = {"before": "1s", "after": "8s"}
        content = a_deployment(tmp_path, camera, answers)
        process = start("run", written(tmp_path, content))
        try:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_ROOM, hard))
            wait_until(lambda: bool(_settled(tmp_path)), 90)
            failed = _settled(tmp_path)[0]
            left = _files(tmp_path)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            said = moonwatch("status", tmp_path / "deployment.yaml")[1]
            wait_until(lambda: len(_settled(tmp_path)) == 2, 90)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=patience(60))
        finally:
            process.kill()
            process.communicate()
    assert failed.state == "failed"
    assert "too large" in failed.reason
    assert left == []
    assert "1 clip of the last day could not be had" in said
    assert process.returncode == 0, errors
    assert errors.count("events are stored without clips") == 1
    assert "clips are written again" in errors
    ready = _settled(tmp_path)[-1]
    assert ready.state == "ready", ready.reason
    assert ready.file is not None
    assert ready.file.size > _ROOM
    assert decoded(tmp_path / "media" / ready.wish.reference) == ready.file.pictures
    assert len(data_of(tmp_path)) == 4


_FULL = """
mount -t tmpfs -o size=8m none "$1" && exec "$2" -m pipeline run "$3"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare on PATH: util-linux")
@pytest.mark.timeout(120)
def test_a_disk_without_room_has_no_clips_and_all_events(tmp_path: Path) -> None:
    """A whole run on a disk of 8 MB: each clip says why it is not there, and the run ends well."""
    recording = footage.write_clip(
        tmp_path / "door.mp4", footage.Clip(frames=250, rate=25, key_every=25)
    )
    answers = [NO] * 15 + [YES] * 5 + [NO] * 500
    content = a_deployment(tmp_path, a_camera(str(recording)), answers)
    file = written(tmp_path, content)
    (tmp_path / "media").mkdir()
    words = ["unshare", "-rm", "sh", "-c", _FULL, "sh", str(tmp_path / "media")]
    done = subprocess.run(
        [*words, sys.executable, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()[:100]}")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("events are stored without clips") == 1
    [clip] = kept(tmp_path)
    assert clip.state == "failed"
    assert "no room" in clip.reason
    assert len(data_of(tmp_path)) == 2


def _sampler(fleet: Fleet, name: str) -> Member:
    command = ["sample", str(fleet.file)]
    fleet.members[name] = Member(name, command, fleet.file.parent / f"{name}.log")
    fleet.members[name].start()
    return fleet.members[name]


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("loss", ["killed", "paused"])
def test_a_clip_goes_on_with_the_camera_s_next_sampler(
    tmp_path: Path, server: Server, fleet_of: Callable[..., Fleet], loss: str
) -> None:
    """The first one loses the camera in mid-clip: what it had stays, and the second one goes on."""
    answers = [NO] * 20 + [YES] * 100_000
    queue = {"type": "redis", "url": server.url}
    with RtspCamera(encoded("h264", 250, RATE) * 40) as door:
        camera: dict[str, Any] = a_camera({"type": "rtsp", "url": door.url()})
        camera["clips"] = {"before": "2s", "after": "40s"}
        content = a_deployment(tmp_path, camera, answers, queue=queue)
        fleet = fleet_of(written(tmp_path, content), server, ("process", "infer"))
        first = _sampler(fleet, "first")
        wait_for(
            lambda: any(one.stat().st_size > 60_000 for one in _files(tmp_path)),
            patience(60),
            fleet.said,
        )
        second = _sampler(fleet, "second")
        wait_for(lambda: "standing by for door" in second.said(), patience(30), fleet.said)
        if loss == "killed":
            first.kill()
        else:
            first.pause()
        begun = len(door.asked())
        wait_for(lambda: "PLAY" in door.asked()[begun:], patience(40), fleet.said)
        if loss == "paused":
            first.signal(signal.SIGCONT)
        wait_for(lambda: bool(_settled(tmp_path)), patience(120), fleet.said)
        [clip] = _settled(tmp_path)
        assert clip.state == "partial", fleet.said()
        assert "between its files are missing" in clip.reason
        assert len(clip.files) == 2, clip
        (_, before), (_, after) = clip.files
        assert before.since <= clip.wish.since + 0.5
        assert before.until <= after.since
        assert after.until >= clip.wish.until - 0.5
        for reference, file in clip.files:
            assert decoded(tmp_path / "media" / reference) == file.pictures
        name = Path(clip.wish.reference).stem
        own = {path.suffix for path in _files(tmp_path) if path.name.startswith(name)}
        assert own == {".mp4"}
        fleet.stop()
