"""A folder that has grown since it was played goes on with its first new frame."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import moonwatch
from tests.redis_server import Redis, shared
from tests.runtime.clips import cut, deployment, written
from tests.runtime.fleet import found

LANE = ("plaza", "coco")
ENDED = 1_780_000_000.0
FRAMES = 4
"""Of two seconds, two a second."""


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """One Redis for the tests of this module."""
    yield from shared()


def played(folder: Path, recordings: Path, **more: Any) -> int:
    """Play the folder of recordings to its end; how many frames were sampled in this run."""
    camera = {
        "source": {"type": "file", "path": str(recordings), "starts_at": "2026-06-01T12:00:00Z"},
        "sample": {"every": "500ms"},
        "tasks": {"people": {"detect": "person"}},
    }
    engines = {"coco": {"type": "scripted", "answers": {"people": [[]]}}}
    file = written(folder, deployment(folder, {"plaza": camera}, engines=engines, **more))
    code, out, errors = moonwatch("run", file, "--json")
    assert code == 0, errors
    (row,) = json.loads(out)["frames"]
    sampled: int = row["sampled"]
    return sampled


@pytest.mark.parametrize("shared_queue", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.redis
@pytest.mark.timeout(180)
def test_a_folder_that_grows_loses_no_frame(
    tmp_path: Path, server: Redis, *, shared_queue: bool
) -> None:
    """Each time it is played the new frames are asked about, all of them, and none of the old."""
    queue = {"type": "redis", "url": server.url, "prefix": tmp_path.name}
    more = {"queue": queue} if shared_queue else {}
    clip = cut(tmp_path / "clip.mp4", 2.0)
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for nth in range(3):
        shutil.copy(clip, recordings / f"{nth}.mp4")
        # Made without a pause: what lies between times of modification is a gap.
        ended = ENDED + 2.0 * nth
        os.utime(recordings / f"{nth}.mp4", (ended, ended))
        sampled = played(tmp_path, recordings, **more)
        # A processor that is slow to start is not waited for: then all is asked about once more.
        assert sampled == FRAMES or (shared_queue and sampled == (nth + 1) * FRAMES)
        assert found(tmp_path, [LANE]).last == {LANE: (nth + 1) * FRAMES}
    assert played(tmp_path, recordings, **more) in ((0, 3 * FRAMES) if shared_queue else (0,))
    at_the_end = found(tmp_path, [LANE])
    assert at_the_end.ended == {LANE}
    assert at_the_end.last == {LANE: 3 * FRAMES}
