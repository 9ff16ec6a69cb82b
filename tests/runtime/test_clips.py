"""Events with clips, from the camera to the file: in one process and in several."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clips import Clip
from pipeline.deployment.loader import load
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.single_process import Run
from pipeline.testing import wait_until
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.connectors.sources import clips as footage
from tests.connectors.sources.servers import FileServer
from tests.connectors.sources.test_clips import stream
from tests.connectors.stores.test_buckets import KEY, PASSWORD, Cloud, config, empty_bucket
from tests.redis_server import Redis, shared
from tests.runtime.clips import deployment, written

NO, YES = "no", "yes"


@pytest.fixture(scope="module", name="redis")
def _redis() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


@pytest.fixture(name="cloud")
def _cloud() -> Iterator[Cloud]:
    """An empty bucket."""
    yield from empty_bucket()


def a_camera(source: Any, **more: Any) -> dict[str, Any]:
    """A camera whose door opens; its clips are short, so that nobody waits long."""
    return {
        "source": source,
        "sample": {"every": "200ms"},
        "tasks": {"door": {"ask": "Is the door open?"}},
        "clips": {"before": "2s", "after": "2s"},
        "rules": {"open": {"type": "condition", "of": "door", "is": "yes", "clip": True}},
        **more,
    }


def a_deployment(
    folder: Path, camera: dict[str, Any], answers: list[str], **more: Any
) -> dict[str, Any]:
    """A deployment with one camera and an engine that answers so, frame after frame."""
    engines = {"scripted": {"type": "scripted", "answers": {"door": answers}}}
    content = deployment(folder, {"door": camera}, engines=engines, **more)
    content["store"]["media"] = str(folder / "media")
    return content


def kept(folder: Path) -> list[Clip]:
    """The clips in the store."""
    store: SqlStore = StoreConfig(url=f"sqlite:///{folder}/events.db").build_reader()
    try:
        return list(store.clips.clips())
    finally:
        store.close()


def data_of(folder: Path) -> list[dict[str, Any]]:
    """What the events say beside their names."""
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["data"] for line in lines]


def decoded(path: Path) -> int:
    """How many pictures a file has; each of them can be decoded."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@contextmanager
def running(folder: Path, content: dict[str, Any]) -> Iterator[Run]:
    """A run of a deployment in this process."""
    deployed = load(written(folder, content), [])
    with RunOwnership(deployed) as ownership:
        assert ownership.take(stop=threading.Event())
        run = Run(deployed, ownership)
        run.start()
        try:
            yield run
        finally:
            run.stop()
            run.close()


def settled(run: Run) -> list[Clip]:
    """The clips whose fate is known."""
    return [clip for clip in run.store.clips.clips() if clip.state != "wanted"]


@pytest.mark.timeout(120)
def test_an_event_of_a_camera_has_its_clip(tmp_path: Path) -> None:
    """With what came before it; copied from the stream as it came over RTSP."""
    footage.write_clip(tmp_path / "door.mp4", footage.Clip(frames=1500, rate=25, key_every=25))
    with FileServer(tmp_path) as server:
        camera = a_camera({"type": "rtsp", "url": server.url("door.mp4")})
        content = a_deployment(tmp_path, camera, [NO] * 25 + [YES] * 3 + [NO] * 5000)
        with running(tmp_path, content) as run:
            wait_until(lambda: bool(settled(run)), 60.0)
            [clip] = settled(run)
    assert (clip.state, clip.reason) == ("ready", "")
    assert clip.file is not None
    assert clip.preroll_s is not None
    assert 1.9 <= clip.preroll_s <= 3.1
    assert clip.file.codec == "h264"
    path = tmp_path / "media" / clip.wish.reference
    assert decoded(path) == clip.file.pictures
    assert path.stat().st_size == clip.file.size
    assert [one["clip"]["reference"] for one in data_of(tmp_path)] == [clip.wish.reference] * 2
    # Both events are in it: the end of the happening made it longer.
    assert clip.file.until - clip.wish.event_at >= 2.3
    assert {one.suffix for one in path.parent.iterdir()} == {".mp4"}


def test_a_recording_has_clips_too(tmp_path: Path) -> None:
    """All of them are there when the run ends; what follows soon is in the same one."""
    recording = footage.write_clip(
        tmp_path / "door.mp4", footage.Clip(frames=750, rate=25, key_every=25)
    )
    answers = [NO] * 40 + [YES] * 5 + [NO] * 5 + [YES] * 5 + [NO] * 50 + [YES] * 5 + [NO] * 500
    content = a_deployment(tmp_path, a_camera(str(recording)), answers)
    code, _, errors = moonwatch("run", written(tmp_path, content))
    assert code == 0, errors
    first, second = kept(tmp_path)
    assert [first.state, second.state] == ["ready", "ready"]
    references = [one["clip"]["reference"] for one in data_of(tmp_path)]
    assert references == [first.wish.reference] * 4 + [second.wish.reference] * 2
    for clip in (first, second):
        assert clip.file is not None
        assert clip.file.since <= clip.wish.since
        assert clip.file.until >= clip.wish.until
        assert decoded(tmp_path / "media" / clip.wish.reference) == clip.file.pictures


def test_a_mask_is_in_every_clip(tmp_path: Path) -> None:
    """Of a camera with masks nothing is copied; or there is no clip at all, and events say why."""
    recording = stream(tmp_path / "door.ts", number=300)
    masked = {"every": "200ms", "masks": [[[0, 0], [0.36, 0], [0.36, 1], [0, 1]]]}
    answers = [NO] * 20 + [YES] * 500
    content = a_deployment(tmp_path, a_camera(str(recording), sample=masked), answers)
    assert moonwatch("run", written(tmp_path, content))[0] == 0
    clips = kept(tmp_path)
    assert [clip.state for clip in clips] == ["ready", "ready"]
    for clip in clips:
        with av.open(str(tmp_path / "media" / clip.wish.reference)) as container:
            for frame in container.decode(video=0):
                pixels = frame.to_ndarray(format="rgb24").astype(int)
                assert (pixels[:, :, 1] - np.maximum(pixels[:, :, 0], pixels[:, :, 2])).max() < 20

    refusing = tmp_path / "refusing"
    refuse = {"before": "2s", "after": "2s", "masked": "refuse"}
    camera = a_camera(str(recording), sample=masked, clips=refuse)
    assert moonwatch("run", written(refusing, a_deployment(refusing, camera, answers)))[0] == 0
    assert kept(refusing) == []
    assert "privacy masks" in data_of(refusing)[0]["clip_missing"]
    assert "clip" not in data_of(refusing)[0]


@pytest.mark.redis
@pytest.mark.timeout(180)
@pytest.mark.slow
def test_over_redis_the_sampler_cuts_them(tmp_path: Path, redis: Redis) -> None:
    """It has the packets, and the processor the event; both have the media folder."""
    recording = footage.write_clip(
        tmp_path / "door.mp4", footage.Clip(frames=500, rate=25, key_every=25)
    )
    queue = {"type": "redis", "url": redis.url, "prefix": tmp_path.name}
    answers = [NO] * 40 + [YES] * 5 + [NO] * 500
    content = a_deployment(tmp_path, a_camera(str(recording)), answers, queue=queue)
    code, _, errors = moonwatch("run", written(tmp_path, content))
    assert code == 0, errors
    [clip] = kept(tmp_path)
    assert clip.state == "ready", clip.reason
    assert clip.file is not None
    assert decoded(tmp_path / "media" / clip.wish.reference) == clip.file.pictures


@pytest.mark.timeout(180)
def test_a_run_without_its_bucket_keeps_its_clips_for_the_next_one(
    tmp_path: Path, cloud: Cloud
) -> None:
    """It ends well and says what waits; the next run sends it, whatever it plays itself."""
    recording = footage.write_clip(
        tmp_path / "door.mp4", footage.Clip(frames=250, rate=25, key_every=25)
    )
    answers = [NO] * 15 + [YES] * 500
    content = a_deployment(tmp_path, a_camera(str(recording)), answers)
    content["store"]["media"] = config(cloud).model_dump(mode="json") | {
        "endpoint": cloud.url,
        "access_key": KEY,
        "secret_key": PASSWORD,
        "timeout": "2s",
    }
    file = written(tmp_path, content)
    cloud.stop()
    code, _, errors = moonwatch("run", file)
    assert code == 0, errors
    assert "clip files wait on this machine for the bucket" in errors.replace(
        "file waits", "files wait"
    )
    assert PASSWORD not in errors
    assert {clip.state for clip in kept(tmp_path)} == {"held"}
    assert "wait for the bucket" in moonwatch("status", file)[1]
    cloud.start()
    content["engines"]["scripted"]["answers"]["door"] = [NO]
    code, _, errors = moonwatch("run", written(tmp_path, content))
    assert code == 0, errors
    clips = kept(tmp_path)
    assert {clip.state for clip in clips} == {"ready"}
    assert sorted(cloud.objects()) == sorted(f"eye/{clip.wish.reference}" for clip in clips)
    assert not [path for path in (tmp_path / "events.media").rglob("*") if path.is_file()]


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_what_a_killed_run_left_is_finished(tmp_path: Path) -> None:
    """A clip that was being written is there after the next start, up to where it had come."""
    footage.write_clip(tmp_path / "door.mp4", footage.Clip(frames=3000, rate=25, key_every=25))
    with FileServer(tmp_path) as server:
        camera = a_camera({"type": "rtsp", "url": server.url("door.mp4")})
        camera["clips"] = {"before": "2s", "after": "20s"}
        content = a_deployment(tmp_path, camera, [NO] * 15 + [YES] * 5000)
        file = written(tmp_path, content)
        media = tmp_path / "media"
        with start("run", file) as process:
            wait_until(
                lambda: any(one.stat().st_size > 6000 for one in media.rglob("*.part")), 60.0
            )
            process.kill()
            process.wait()
        content["engines"]["scripted"]["answers"]["door"] = [NO]
        with running(tmp_path, content) as run:
            wait_until(lambda: bool(settled(run)), 90.0)
            [clip] = settled(run)
    assert clip.state == "partial"
    assert "ended while it was written" in clip.reason
    assert "between its files are missing" in clip.reason
    assert clip.file is not None
    assert clip.file.pictures > 25
    assert abs(clip.file.since - clip.wish.since) < 1.5
    # What the next process has seen of the same happening goes on in a file of its own.
    assert len(clip.files) == 2
    assert clip.files[-1][1].until >= clip.wish.until - 0.5
    for reference, one in clip.files:
        assert decoded(media / reference) == one.pictures
    assert not list(media.rglob("*.part"))
