"""Cameras come, go and change at work; those that stay do not notice."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.jobs import Job
from pipeline.core.queues import Queues
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.file_playback import ConfirmedSamplingStage
from pipeline.runtime.stages.sampling import SamplingStage, ready
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.contracts.queue_tools import answer
from tests.runtime.clips import camera, cut, deployment, written

AnyStage = SamplingStage | ConfirmedSamplingStage
Makes = Callable[[StageContext], AnyStage]


def confirmed(context: StageContext) -> ConfirmedSamplingStage:
    """The stage of a process of its own, with processors that have judged nothing yet."""
    return ConfirmedSamplingStage(context, dict)


class Place:
    """A sampling stage over a queue in which two frames of each camera fit."""

    def __init__(self, folder: Path, make: Makes, **cameras: dict[str, Any]) -> None:
        self._folder = folder
        self.metrics = Metrics()
        self.queues: Queues = MemoryConfig(file_room=2).build(ManualClock())
        self.jobs: list[Job] = []
        context = StageContext(self.read(**cameras), self.queues, self.metrics, ManualClock())
        self.stage = make(context)

    def read(self, **cameras: dict[str, Any]) -> Deployment:
        """A deployment of these cameras."""
        return load(written(self._folder, deployment(self._folder, cameras)))

    def waits(self, frames: int) -> None:
        """Wait until so many frames fill the queue."""
        wait_until(lambda: self._length() == frames)

    def ordinals(self, name: str) -> list[int]:
        """The numbers of everything that a camera has sent."""
        return [job.ordinal for job in self.jobs if job.frame.camera == name]

    def work_off(self, *cameras: str) -> None:
        """Answer all there is until these cameras have come to their ends."""
        ended: list[str] = []

        def is_worked_off() -> bool:
            claims = self.queues.jobs.claim("coco", 100, 0.05)
            answer(self.queues, claims)
            self.jobs += [claim.job for claim in claims]
            taken = self.queues.results.take(100, 0)
            self.queues.results.acknowledge(taken)
            ended.extend(one.result.camera for one in taken if one.result.last)
            return sorted(ended) == sorted(cameras)

        wait_until(is_worked_off)

    def _length(self) -> int:
        backlog = self.queues.jobs.backlog().get("coco")
        return backlog.length if backlog is not None else 0


@pytest.fixture(params=[SamplingStage, confirmed])
def make(request: pytest.FixtureRequest) -> Makes:
    """What makes each of the two stages there are."""
    made: Makes = request.param
    return made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds: four frames of a camera that looks twice a second."""
    return cut(tmp_path / "clip.mp4", 2.0)


def up(metrics: Metrics) -> set[str]:
    """The cameras of which it is said whether they give pictures."""
    return {name for (name,) in metrics.by_labels("moonwatch_camera_up")}


def test_cameras_come_go_and_change_at_work(tmp_path: Path, clip: Path, make: Makes) -> None:
    """One stays, one goes, one is looked at less often, one is new."""
    one = camera(clip)
    place = Place(tmp_path, make, stays=one, goes=one, changes=one)
    place.stage.start()
    place.waits(6)
    rarer = camera(clip, every="1s")
    place.stage.update(place.read(stays=one, changes=rarer, comes=one))
    place.waits(8)
    assert up(place.metrics) == {"stays", "changes", "comes"}
    place.work_off("stays", "changes", "comes")
    place.stage.stop(1.0)
    assert place.ordinals("stays") == [0, 1, 2, 3]
    assert place.ordinals("goes") == [0, 1]
    assert place.ordinals("changes") == [0, 1, 0, 1]
    assert place.ordinals("comes") == [0, 1, 2, 3]
    assert place.metrics.value("moonwatch_frames_received_total", camera="goes") < 50


def test_what_only_judging_needs_changes_nothing_here(
    tmp_path: Path, clip: Path, make: Makes
) -> None:
    """A moved line, a rule that is gone: the camera is not opened again."""
    place = Place(tmp_path, make, door=camera(clip))
    place.stage.start()
    place.waits(2)
    edited = camera(clip) | {"rules": {}, "lines": {}}
    place.stage.update(place.read(door=edited))
    place.work_off("door")
    place.stage.stop(1.0)
    assert place.ordinals("door") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("is_read", "unwell", "said"),
    [
        ({"plaza": True}, {}, None),
        ({"door": False, "yard": False}, {}, "none of its 2 cameras delivers pictures"),
        (
            {"door": False, "plaza": True},
            {"door": "is offline"},
            "its camera delivers no pictures; camera door is offline",
        ),
        ({"plaza": True}, {"plaza": "is offline"}, "camera plaza is offline"),
    ],
)
def test_recordings_that_have_ended_are_not_waited_for(
    is_read: dict[str, bool], unwell: dict[str, str], said: str | None
) -> None:
    """Readiness counts the cameras that could deliver pictures, and no others."""
    nothing: Any = None
    context = StageContext(nothing, nothing, Metrics(), ManualClock())
    cameras: Any = [SimpleNamespace(name=name, is_read=read) for name, read in is_read.items()]
    assert ready(context, cameras, unwell) == said
