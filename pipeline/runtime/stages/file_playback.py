"""Sampling for processors elsewhere: a file is over once they have judged it, not once it is read.

Between the two there is a queue that may be killed, and then forget what it accepted in its last
seconds. So the processors confirm the end of a file; if they get stuck, it is played again from
the last frame that they have judged. The queue recognises jobs that are still on their way, and
the processors recognise results that come twice.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.membership import Presence
from pipeline.core.queues import Queues
from pipeline.deployment.model import Deployment
from pipeline.processing.processor import LaneKey
from pipeline.runtime.assembly import engines_of, is_sampled_alike
from pipeline.runtime.reports import member_in_words, reports_of
from pipeline.runtime.stage_process import ProcessContext
from pipeline.runtime.stages.base import StageContext, StageThread
from pipeline.runtime.stages.clip_sampling import ClipSampling
from pipeline.runtime.stages.sampling import (
    JudgedJobs,
    SampledCamera,
    progress_of,
    ready,
    remark_on,
)
from pipeline.runtime.watching import CameraWatches, Elsewhere, WatchThread
from pipeline.sampling.leases import CAMERA_LOOK_S, CameraLeases
from pipeline.sampling.supervisor import Supervisor

logger = logging.getLogger(__name__)
# How long a file's judging may stand still before the file is played again: with an empty queue,
# and with one in which a slow engine's frames wait. Doubled each time, up to the longest.
_PATIENCE_S = 8.0
_PATIENCE_WAITING_S = 60.0
_LONGEST_S = 300.0
_LOOK_S = 0.5
_REMIND_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class JudgedUpTo:
    """How far a processor has judged a camera's run."""

    run: str
    ordinal: int
    ended: bool

    @property
    def jobs(self) -> int:
        """The number of jobs judged. The end has the number that the next job would have."""
        return self.ordinal if self.ended else self.ordinal + 1


# How long after the end of all files their last events may ask for clips.
_CLIPS_ASKED_S = 3.0

JudgedLanes = Mapping[LaneKey, JudgedUpTo | None]
"""The lanes that have a processor; None for those of which nothing is judged yet."""


@dataclass(frozen=True, slots=True)
class CameraShare:
    """The cameras that this process owns, and the queue for the sampler of each."""

    leases: CameraLeases
    queues_of: Callable[[str, int], Queues]
    over: Callable[[], Collection[str]]
    """Files that other processes have played, judged to their end; raises QueueError."""


class ConfirmedSamplingStage:
    """The cameras of this process; its files are played until they are judged to their end.

    If there are other samplers, its cameras are those it holds a lease on: a camera is opened when
    the lease is won and closed when it is lost or given back.
    """

    name = "sampling"
    engines: Collection[str] = ()

    def __init__(
        self,
        context: StageContext,
        judged_lanes: Callable[[], JudgedLanes],
        share: CameraShare | None = None,
        beyond: Callable[[], Elsewhere | None] = lambda: None,
        queue: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`judged_lanes` raises QueueError while it is not known; without a `share` all are its.

        `beyond` tells what becomes of frames after sampling, `queue` what is wrong with the queue.
        """
        self._context = context
        self._judged_lanes = judged_lanes
        self._share = share
        self._supervisor = Supervisor()
        self.watches = CameraWatches(context.metrics, context.clock, beyond, queue)
        self._watching = WatchThread(
            lambda: self.watches.look(self._open.copy(), self._context.deployment),
            context.clock,
        )
        self._open: dict[str, SampledCamera] = {}
        self._tokens: dict[str, int] = {}
        self._playbacks: dict[str, FilePlayback] = {}
        self._over_elsewhere: set[str] = set()
        # Other samplers' reports that these are over may be about their previous version.
        self._changed: set[str] = set()
        self._said: object = None
        self._looked_at = float("-inf")
        self._reminded_at = context.clock.monotonic()
        self._keeper = _keeper(share.leases, context.clock) if share is not None else None
        self.clips = ClipSampling(context)
        self._over_since: float | None = None
        if share is None:
            self._follow()

    def start(self) -> None:
        """Open the cameras."""
        self._supervisor.start()
        self._watching.start()
        if self._keeper is not None:
            self._keeper.start()

    def poll(self) -> None:
        """Open and close cameras, send their states, and check how far the files are judged."""
        self._follow()
        deployment = self._context.deployment
        self.clips.use([camera.clipped(deployment) for camera in self._open.values()])
        for camera in self._open.values():
            camera.flush()
        now = self._context.clock.monotonic()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._see(now)
        if now - self._reminded_at >= _REMIND_EVERY_S:
            self._reminded_at = now
            for camera in self._open.values():
                camera.remind()

    def stop(self, within_s: float) -> None:
        """Close the cameras, and release them for other samplers at once."""
        self._watching.stop(within_s)
        self._supervisor.stop()
        for camera in self._open.values():
            camera.flush()
        self.clips.finish(within_s)  # while the cameras are still its own
        if self._share is not None and self._keeper is not None:
            self._keeper.stop(within_s)
            self._share.leases.end()

    def update(self, deployment: Deployment) -> None:
        """Continue with the cameras of this deployment.

        A camera that produces the same jobs as before is not disturbed; one that produces others
        begins anew. If one was removed, what it has sent is still judged and its lease released.
        """
        before, self._context = self._context, replace(self._context, deployment=deployment)
        changed = [
            name
            for name in before.deployment.cameras
            if name not in deployment.cameras
            or not is_sampled_alike(name, before.deployment, deployment)
        ]
        self._close([name for name in changed if name in self._open])
        for name in changed:
            self._playbacks.pop(name, None)
        self._changed.update(changed)
        self._over_elsewhere.difference_update(changed)
        if self._share is not None:
            self._share.leases.share(deployment.cameras.keys() - self._over_elsewhere)
        self._follow()

    @property
    def finished(self) -> bool:
        """Whether all cameras are files, and all of them are judged to their end."""
        over = self.over | self._over_elsewhere
        if not all(name in over for name in self._context.deployment.cameras):
            self._over_since = None
            return False
        if not self.clips.is_used:
            return True
        # Events that were judged last may still ask for clips.
        now = self._context.clock.monotonic()
        if self._over_since is None or not self.clips.is_idle:
            self._over_since = now
        return now - self._over_since >= _CLIPS_ASKED_S

    @property
    def failure(self) -> str | None:
        """Why its leases are not kept, or why the first camera failed, once all are over."""
        if self._keeper is not None and self._keeper.failure is not None:
            return self._keeper.failure
        failed = [p.failure for p in self._playbacks.values() if not p.has_sent_end]
        return next((said for said in failed if said), None) if self.finished else None

    @property
    def shortfall(self) -> str | None:
        """What could not be played of a file whose other parts are judged to their end."""
        short = [play.failure for play in self._playbacks.copy().values() if play.has_sent_end]
        return next((said for said in short if said), None)

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the files that were played here, and with clips, as sentences."""
        own = [one for one in (self.clips.trouble, self._watching.trouble) if one]
        return own + [said for play in self._playbacks.copy().values() for said in play.troubles]

    @property
    def samples(self) -> frozenset[str]:
        """The cameras that are open here."""
        return frozenset(self._open.copy().keys() - self.over)

    @property
    def over(self) -> frozenset[str]:
        """The files that were played here and are judged to their end."""
        return frozenset(name for name, play in self._playbacks.copy().items() if play.is_over)

    @property
    def stands_by_for(self) -> frozenset[str]:
        """The cameras that it would sample if no other process did."""
        others = self._context.deployment.cameras.keys() - self._open.copy().keys()
        return frozenset(others - self.over - self._over_elsewhere)

    def progress(self) -> float | None:
        """Progress through the files, 0..1; None if a live camera or a loop has no end."""
        return progress_of(self._open.copy().values())

    def remark(self) -> str | None:
        """Which cameras are not well, although others are."""
        return remark_on(len(self._open), self.watches.unwell())

    def ready(self) -> str | None:
        """Why no camera is well, unless others sample all that it would sample."""
        playing = [camera for camera in self._open.copy().values() if not camera.finished]
        if playing:
            return ready(self._context, playing, self.watches.unwell())
        if self._open:
            return None  # files that have been read to their end and wait to be judged
        if self._share is not None and self.stands_by_for <= self._share.leases.elsewhere.keys():
            return None
        return "has no camera yet"

    def _follow(self) -> None:
        """Open the cameras that this process owns, and close those that it no longer owns."""
        held = self._held()
        taken = [name for name, camera in self._open.items() if camera.loop.is_taken]
        if self._share is not None:
            for name in taken:
                self._share.leases.lose(name)
        lost = [n for n in self._open if n not in held or held[n] != self._tokens.get(n)]
        self._close([*taken, *(name for name in lost if name not in taken)])
        done = {*self._open, *taken, *self.over}
        missing = [name for name in held if name not in done]
        if missing:
            known = self._known()
            for name in missing:
                self._begin(name, held[name], known)
        if self._share is not None:
            self._share.leases.use(self._open.keys())
            self._say_share(self._share.leases)

    def _held(self) -> Mapping[str, int | None]:
        cameras = self._context.deployment.cameras
        if self._share is None:
            return dict.fromkeys(cameras)
        return {n: token for n, token in self._share.leases.held.items() if n in cameras}

    def _begin(self, name: str, token: int | None, known: JudgedLanes) -> None:
        context, queues = self._context, None
        if self._share is not None and token is not None:
            queues = self._share.queues_of(name, token)
            self._tokens[name] = token
        config = context.deployment.cameras[name]
        judged = judged_jobs(known, name, engines_of(config))
        camera = SampledCamera(context, name, judged, queues)
        self._open[name] = camera
        if config.source.is_recording:
            now = context.clock.monotonic()
            self._playbacks[name] = FilePlayback(camera, engines_of(config), known, now)
        self._supervisor.add(camera.loop)

    def _close(self, names: Collection[str]) -> None:
        closed = {name: self._open.pop(name) for name in names}
        self._supervisor.remove([camera.loop for camera in closed.values()])
        for name, camera in closed.items():
            camera.flush()
            self._tokens.pop(name, None)
            if name in self._playbacks and not self._playbacks[name].is_over:
                del self._playbacks[name]
            if self._share is not None:
                self._share.leases.let_go(name)

    def _say_share(self, leases: CameraLeases) -> None:
        elsewhere = {name: leases.elsewhere.get(name) for name in sorted(self.stands_by_for)}
        if (sorted(self._open), elsewhere) == self._said or None in elsewhere.values():
            return  # nothing new, or some camera is just moving between two samplers
        self._said = sorted(self._open), elsewhere
        if self._open:
            logger.info("sampling %s", _listed(self._open))
        if elsewhere:
            who = _listed({member_in_words(member) for member in elsewhere.values() if member})
            logger.info("standing by for %s (sampled by %s)", _listed(elsewhere), who)

    def _known(self) -> JudgedLanes:
        try:
            return self._judged_lanes()
        except QueueError:
            return {}  # the queue reports it

    def _see(self, now: float) -> None:
        waited = {name: play for name, play in self._playbacks.items() if not play.is_over}
        if not waited and self._share is None:
            return
        try:
            if self._share is not None:
                self._note_over(self._share)
            waiting = self._context.queues.jobs.backlog() if waited else {}
        except QueueError:
            return
        known = self._known() if waited else {}
        for play in waited.values():
            busy = any(waiting[e].length for e in play.engines if e in waiting)
            if play.is_stuck(known, now, busy=busy):
                play.play_again(self._supervisor, now)

    def _note_over(self, share: CameraShare) -> None:
        cameras = self._context.deployment.cameras.keys()
        over = (set(share.over()) & cameras) - self._open.keys() - self.over - self._changed
        if over != self._over_elsewhere:
            self._over_elsewhere = over
            share.leases.share(cameras - over)


class FilePlayback:
    """One file: played, its judging watched, and played again if that gets stuck."""

    def __init__(
        self, camera: SampledCamera, engines: Sequence[str], known: JudgedLanes, now: float
    ) -> None:
        """`known` is what was judged when the camera was created."""
        self.engines = engines
        self.is_over = False
        self._camera = camera
        self._seen = self._of(known)
        self._moved_at = now
        self._replays = 0

    @property
    def failure(self) -> str | None:
        """Why it could not be read to its end."""
        why = self._camera.loop.failure
        return f"camera {self._camera.name}: {why}" if why is not None else None

    @property
    def has_sent_end(self) -> bool:
        """Whether it was played to an end that can be judged, even if parts of it failed."""
        return self._camera.loop.has_sent_end

    @property
    def troubles(self) -> list[str]:
        """What is wrong with its files, as sentences."""
        return self._camera.troubles

    def is_stuck(self, known: JudgedLanes, now: float, *, busy: bool) -> bool:
        """Note how far it is judged, and return whether that has stood still for too long.

        `busy` says that an engine has frames waiting.
        """
        seen = self._of(known)
        if seen != self._seen or len(seen) < len(self.engines) or not self._awaits(seen):
            # It moves on, or it has no processor just now, or there is nothing to judge while the
            # file is skipped up to where it resumes, or is played at its own pace.
            if seen != self._seen and len(seen) == len(self.engines):
                self._replays = 0
            self._seen, self._moved_at = seen, now
        endless = self.failure is not None and not self.has_sent_end
        if self._camera.finished and (endless or self._has_ended()):
            self.is_over = True
            return False
        patience_s = _PATIENCE_WAITING_S if busy else _PATIENCE_S
        return now - self._moved_at > min(patience_s * 2.0**self._replays, _LONGEST_S)

    def play_again(self, supervisor: Supervisor, now: float) -> None:
        """Play it again from the last judged frame."""
        logger.info(
            "camera %s: playing the file again from the last judged frame", self._camera.name
        )
        self._replays += 1
        self._moved_at = now
        known = {(self._camera.name, engine): point for engine, point in self._seen.items()}
        judged = judged_jobs(known, self._camera.name, self.engines)
        self._camera.play_again(supervisor, judged)

    def _of(self, known: JudgedLanes) -> dict[str, JudgedUpTo | None]:
        camera = self._camera.name
        return {e: known[camera, e] for e in self.engines if (camera, e) in known}

    def _awaits(self, seen: Mapping[str, JudgedUpTo | None]) -> bool:
        """Whether something that was sent is not judged yet, even if only the end."""
        if self._camera.finished:
            return True
        run, numbered = self._camera.loop.numbered
        for engine, jobs in numbered.items():
            point = seen.get(engine)
            judged = point.jobs if point is not None and point.run == run else 0
            if judged < jobs:
                return True
        return False

    def _has_ended(self) -> bool:
        """Whether the end that was sent is judged, not the end of an earlier, shorter reading."""
        run, numbered = self._camera.loop.numbered
        return all(
            (point := self._seen.get(engine)) is not None
            and point.ended
            and point.run == run
            and point.ordinal >= numbered.get(engine, 0)
            for engine in self.engines
        )


def judged_jobs(known: JudgedLanes, camera: str, engines: Sequence[str]) -> JudgedJobs:
    """The jobs of a camera that need not be sent again."""
    points = {engine: known.get((camera, engine)) for engine in engines}
    return {e: (point.run, point.jobs - 1) for e, point in points.items() if point is not None}


def _keeper(leases: CameraLeases, clock: Clock) -> StageThread:
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            leases.look()
            clock.wait(CAMERA_LOOK_S, stop)

    return StageThread("camera-leases", keep, stop.set)


# More names would make the line too long to read.
_MOST_NAMES = 10


def _listed(names: Collection[str]) -> str:
    few = sorted(names)[:_MOST_NAMES]
    more = f" and {len(names) - len(few)} more" if len(names) > len(few) else ""
    return ", ".join(few) + more


# How long to wait for processors that start together with the sampler. Without their reports a file
# is played from its beginning, which costs time and changes nothing.
_JUDGES_WITHIN_S = 10.0
_JUDGES_LOOK_S = 0.2


def await_judges(process_context: ProcessContext) -> None:
    """Wait for a while until processors report how far each file is judged."""
    clock = process_context.context.clock
    wanted = file_lanes(process_context.context.deployment)
    deadline = clock.monotonic() + _JUDGES_WITHIN_S
    while not _judged_lanes(process_context) >= wanted and clock.monotonic() < deadline:
        if clock.wait(_JUDGES_LOOK_S, process_context.stop):
            return


def judged_lanes_of(presence: Presence) -> JudgedLanes:
    """How far each camera is judged, as its processor reports; raises QueueError."""
    return {
        (camera, engine): JudgedUpTo(*point) if point is not None else None
        for report in reports_of(presence).values()
        for camera, engines in report.judged.items()
        for engine, point in engines.items()
    }


def file_lanes(deployment: Deployment) -> frozenset[LaneKey]:
    """Camera and engine of everything that comes from a file."""
    return frozenset(
        (name, engine)
        for name, camera in deployment.cameras.items()
        if camera.source.is_recording
        for engine in engines_of(camera)
    )


def _judged_lanes(process_context: ProcessContext) -> AbstractSet[LaneKey]:
    try:
        return judged_lanes_of(process_context.queues.presence).keys()
    except QueueError:
        return frozenset()
