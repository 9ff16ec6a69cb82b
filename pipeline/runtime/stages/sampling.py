"""The sampling stage: the cameras of this process, each as an object of its own."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from connectors.sources.recordings.source import FileSource
from pipeline.core.errors import CameraTakenError, QueueError
from pipeline.core.jobs import health_result
from pipeline.core.measures import Health
from pipeline.core.queues import Queues, ResultQueue
from pipeline.deployment.model import Deployment
from pipeline.processing.health import ENDED_BY
from pipeline.runtime.assembly import camera_of, is_sampled_alike
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.clip_sampling import ClipSampling, clipped
from pipeline.runtime.watching import CameraWatches, Elsewhere, WatchThread
from pipeline.runtime.wellness import FOUND_HERE, STILL_JUDGED
from pipeline.sampling.camera import SamplerContext
from pipeline.sampling.clips import ClippedCamera
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.supervisor import Supervisor

_WAIT_S = 1.0
# More cameras than this are not named in one answer; `status` names all.
_MOST_SAID = 20
# More changes of state than a site has in a night without its queue.
_ROOM = 10_000


class HealthPost:
    """Passes on a camera's states in order; keeps them while the queue is out of reach."""

    def __init__(self, results: ResultQueue) -> None:
        self._results = results
        self._waiting: deque[Health] = deque(maxlen=_ROOM)
        self._sending = threading.Lock()
        self._last: dict[str, Health] = {}
        self._noting = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether everything has been sent."""
        return not self._waiting

    @property
    def troubles(self) -> list[Health]:
        """The ongoing troubles that the camera's own thread has reported."""
        with self._noting:
            last = list(self._last.values())
        return [one for one in last if one.state in ENDED_BY and one.state not in FOUND_HERE]

    def send(self, health: Health, wait_s: float = _WAIT_S) -> None:
        """Called by the camera's thread, and by the one that watches it."""
        # A state and the one that ends it are of one kind: only the later one still holds.
        kind = ENDED_BY.get(health.state, health.state)
        with self._noting:
            self._last[kind] = health
            self._waiting.append(health)
        self.flush(wait_s)

    def repeat(self) -> None:
        """Send the current states again, for a queue that has lost them."""
        with self._noting:
            self._waiting.extend(self._last.values())
        self.flush()

    def flush(self, wait_s: float = 0.0) -> None:
        """Send what waits; if another thread is sending already, that one does it."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            while self._waiting and self._handed_on(self._waiting[0], wait_s):
                self._waiting.popleft()
        finally:
            self._sending.release()

    def _handed_on(self, health: Health, wait_s: float) -> bool:
        try:
            return self._results.publish([health_result(health)], wait_s)
        except CameraTakenError:
            return True  # its state is now its new sampler's to report
        except QueueError:
            return False  # the queue reports it


JudgedJobs = Mapping[str, tuple[str, int]]
"""For each engine, the run and its last judged job."""


class SampledCamera:
    """One camera sampled by this process, from its opening to its end."""

    def __init__(
        self,
        context: StageContext,
        name: str,
        judged: JudgedJobs | None = None,
        queues: Queues | None = None,
    ) -> None:
        """Jobs up to those in `judged` are not sent; `queues` default to the context's."""
        self.name = name
        self._context = context
        self._queues = queues or context.queues
        self._post = HealthPost(self._queues.results)
        self._make(judged or {})

    def _make(self, judged: JudgedJobs) -> None:
        context = self._context
        camera = camera_of(context.deployment, self.name, context.clock, judged)
        self._source = camera.source
        sampler_context = SamplerContext(
            self._queues, self._post.send, context.metrics, context.clock
        )
        self.loop = CameraLoop(camera, sampler_context)

    def play_again(self, supervisor: Supervisor, judged: JudgedJobs) -> None:
        """Close it and begin anew after the jobs in `judged`."""
        supervisor.remove([self.loop])
        self._make(judged)
        supervisor.add(self.loop)

    def flush(self) -> None:
        """Send the states that waited while the queue was out of reach."""
        self._post.flush()

    def remind(self) -> None:
        """Send its current state again; receivers that know it already ignore that."""
        self._post.repeat()

    def note(self, health: Health) -> None:
        """Pass on a state that its watch has found, without waiting."""
        self._post.send(health, 0.0)

    def clipped(self, deployment: Deployment) -> ClippedCamera | None:
        """What its clips are cut from; None where no rule asks for one."""
        over = self.loop
        return clipped(
            deployment, self.name, self._source, self._queues.clips, lambda: over.is_over
        )

    @property
    def numbered(self) -> tuple[str, Mapping[str, int]]:
        """Its run, and how many jobs of it are numbered, by engine."""
        return self.loop.numbered

    @property
    def reported(self) -> Collection[Health]:
        """The ongoing troubles of its pictures."""
        return self._post.troubles

    @property
    def is_read(self) -> bool:
        """Whether it is a recording that was read to its end."""
        return self.loop.is_over

    @property
    def finished(self) -> bool:
        """Whether it is a file that has ended, and all of its states are sent."""
        return self.loop.is_over and self._post.is_empty

    @property
    def run(self) -> str:
        """The name of its run, once it is open."""
        return self._source.run

    @property
    def progress(self) -> float | None:
        """Progress through a file, 0..1; None for a live camera or a loop, which have no end."""
        return self._source.progress if isinstance(self._source, FileSource) else None

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the files that it plays, as sentences."""
        said = self._source.troubles if isinstance(self._source, FileSource) else ()
        return [f"camera {self.name}: {sentence}" for sentence in said]


def progress_of(cameras: Collection[SampledCamera]) -> float | None:
    """Progress through all files, 0..1; None if one of the cameras has no end."""
    known = [share for camera in cameras if (share := camera.progress) is not None]
    return sum(known) / len(known) if known and len(known) == len(cameras) else None


def ready(
    context: StageContext, cameras: Collection[SampledCamera], unwell: Mapping[str, str]
) -> str | None:
    """Why no camera is well; None if some camera is. `unwell` says what is wrong, by camera."""
    up = context.metrics.by_labels("moonwatch_camera_up")
    delivering = [camera.name for camera in cameras if up.get((camera.name,))]
    said = [f"camera {one.name} {unwell[one.name]}" for one in cameras if one.name in unwell]
    if any(name not in unwell for name in delivering):
        return None
    count = sum(not camera.is_read for camera in cameras)  # recordings that have ended are well
    if count and not delivering:
        one = "its camera delivers no pictures"
        many = f"none of its {count} cameras delivers pictures"
        said.insert(0, one if count == 1 else many)
    elif count > 1:
        said.insert(0, f"none of its {count} cameras is well")
    return "; ".join(said[:_MOST_SAID]) or None


def remark_on(cameras: int, unwell: Mapping[str, str]) -> str | None:
    """Which cameras are not well, although others are."""
    if not unwell:
        return None
    said = [f"camera {name} {what}" for name, what in unwell.items()]
    more = f"; and {len(said) - _MOST_SAID} more" if len(said) > _MOST_SAID else ""
    if cameras == 1:
        return said[0]
    are = "is" if len(said) == 1 else "are"
    listed = "; ".join(said[:_MOST_SAID])
    return f"{len(said)} of {cameras} cameras {are} not well: {listed}{more}"


class SamplingStage:
    """The cameras of this process."""

    name = "sampling"
    engines: Collection[str] = ()

    def __init__(
        self,
        context: StageContext,
        judged: Mapping[tuple[str, str], tuple[str, int]] | None = None,
        beyond: Callable[[], Elsewhere | None] = lambda: None,
    ) -> None:
        """Jobs up to those in `judged`, by camera and engine, are not sent.

        `beyond` tells what becomes of frames after sampling.
        """
        self._context = context
        self.watches = CameraWatches(context.metrics, context.clock, beyond, lambda: None)
        self._watching = WatchThread(
            lambda: self.watches.look(self._cameras.copy(), self._context.deployment),
            context.clock,
        )
        self._cameras = {name: self._camera(name, judged) for name in context.deployment.cameras}
        self._supervisor = Supervisor([camera.loop for camera in self._cameras.values()])
        self.clips = ClipSampling(context)

    def start(self) -> None:
        """Open the cameras."""
        self._supervisor.start()
        self._watching.start()
        self._use_for_clips()

    def poll(self) -> None:
        """Send the states that waited while the queue was out of reach."""
        for camera in self._cameras.values():
            camera.flush()

    def _use_for_clips(self) -> None:
        deployment = self._context.deployment
        self.clips.use([camera.clipped(deployment) for camera in self._cameras.values()])

    def stop(self, within_s: float) -> None:
        """Close the cameras; clips can still be cut from what they have sent."""
        self._watching.stop(within_s)
        self._supervisor.stop()
        self.poll()

    def update(
        self,
        deployment: Deployment,
        judged: Mapping[tuple[str, str], tuple[str, int]] | None = None,
    ) -> None:
        """Continue with the cameras of this deployment.

        A camera that produces the same jobs as before is not disturbed; one that produces others
        begins anew after the jobs in `judged`. What a removed camera has sent is still judged.
        """
        before, self._context = self._context, replace(self._context, deployment=deployment)
        gone = [
            self._cameras.pop(name)
            for name in list(self._cameras)
            if name not in deployment.cameras
            or not is_sampled_alike(name, before.deployment, deployment)
        ]
        self._supervisor.remove([camera.loop for camera in gone])
        for camera in gone:
            camera.flush()
        for name in deployment.cameras:
            if name not in self._cameras:
                self._cameras[name] = self._camera(name, judged)
                self._supervisor.add(self._cameras[name].loop)
        self._use_for_clips()

    def _camera(
        self, name: str, judged: Mapping[tuple[str, str], tuple[str, int]] | None
    ) -> SampledCamera:
        own = {engine: point for (of, engine), point in (judged or {}).items() if of == name}
        return SampledCamera(self._context, name, own)

    @property
    def finished(self) -> bool:
        """Whether all cameras are files that have ended, and all of their states are sent."""
        return all(camera.finished for camera in self._cameras.copy().values())

    @property
    def without_end(self) -> frozenset[str]:
        """The files of which nothing could be played: there is no end to be judged."""
        return self._supervisor.without_end

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the files that are played, and with clips, as sentences."""
        own = [one for one in (self.clips.trouble, self._watching.trouble) if one]
        cameras = self._cameras.copy().values()
        return [*own, *(said for camera in cameras for said in camera.troubles)]

    @property
    def failures(self) -> Mapping[str, str]:
        """Files that could not be read to their end, by camera."""
        return self._supervisor.failures

    @property
    def failure(self) -> str | None:
        """Why the first camera failed, once there is nothing else to wait for."""
        return self.camera_failure() if self._supervisor.is_done else None

    def camera_failure(self) -> str | None:
        """Why the first camera that failed did so."""
        said = [f"camera {name}: {why}" for name, why in self.failures.items()]
        return said[0] if said else None

    def progress(self) -> float | None:
        """Progress through the files, 0..1; None if a live camera or a loop has no end."""
        return progress_of(self._cameras.copy().values())

    def ready(self) -> str | None:
        """Why no camera is well; None if some camera is."""
        if self.finished:
            return None
        unwell = self.watches.unwell(but=STILL_JUDGED)
        return ready(self._context, self._cameras.copy().values(), unwell)

    def remark(self) -> str | None:
        """Which cameras are not well, although others are."""
        return remark_on(len(self._cameras), self.watches.unwell())
