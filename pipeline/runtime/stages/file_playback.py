"""Sampling for processors elsewhere: a file is over when they have judged it, not when it is read.

Between the two there is a queue that may be killed, and then forget what it had accepted in its
last seconds. So the end of a file is confirmed by those who judge it; where they get no further,
it is played again from what they have judged. What is still on its way is recognised by the queue,
and what comes twice by the processors.
"""

import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from connectors.sources.file import FileConfig
from pipeline.core.errors import QueueError
from pipeline.core.membership import Presence
from pipeline.deployment.model import Deployment
from pipeline.processing.processor import LaneKey
from pipeline.runtime.assembly import engines_of
from pipeline.runtime.reports import reports_of
from pipeline.runtime.stage_process import ProcessContext
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.sampling import SamplingStage

logger = logging.getLogger(__name__)
# How long nothing of what was sent of a file may be judged before it is played again: with an
# empty queue, and with a queue in which a slow engine's frames wait. Doubled each time, up to the
# longest.
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


JudgedLanes = Mapping[LaneKey, JudgedUpTo | None]
"""What somebody judges now, None where nothing of it is judged yet."""


class ConfirmedSamplingStage:
    """The cameras of this process; its files are played until somebody has judged them."""

    name = "sampling"

    def __init__(self, context: StageContext, standings: Callable[[], JudgedLanes]) -> None:
        """`standings` raises QueueError while nobody can tell."""
        self._context = context
        self._standings = standings
        known = self._known()
        files, live = _divided(context.deployment)
        self._live = SamplingStage(_only(context, live)) if live else None
        self._plays = [_Play(_only(context, [name]), known) for name in files]
        self._looked_at = float("-inf")
        self._reminded_at = context.clock.monotonic()

    def start(self) -> None:
        """Open the cameras."""
        for part in self._parts():
            part.start()

    def poll(self) -> None:
        """Send what cameras said of their state, and see how far the files are judged."""
        for part in self._parts():
            part.poll()
        now = self._context.clock.monotonic()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._see(now)
        if now - self._reminded_at >= _REMIND_EVERY_S:
            self._reminded_at = now
            for part in self._parts():
                part.remind()

    def stop(self, within_s: float) -> None:
        """Close the cameras."""
        for part in self._parts():
            part.stop(within_s)

    @property
    def finished(self) -> bool:
        """Whether every camera was a file, and all of them are judged to their end."""
        return self._live is None and all(play.is_over for play in self._plays)

    @property
    def failure(self) -> str | None:
        """What the first camera failed of, once there is nothing else to wait for."""
        failures = [play.stage.failure for play in self._plays]
        return next((said for said in failures if said), None) if self.finished else None

    def progress(self) -> float | None:
        """How far the files are, 0..1; None where a live camera or a loop has no end."""
        shares = [play.stage.progress() for play in self._plays]
        known = [share for share in shares if share is not None]
        whole = self._live is None and known and len(known) == len(shares)
        return sum(known) / len(known) if whole else None

    def ready(self) -> str | None:
        """Whether some camera gives pictures."""
        reasons = [part.ready() for part in self._parts()]
        return reasons[0] if reasons and all(reasons) else None

    def _parts(self) -> list[SamplingStage]:
        live = [self._live] if self._live is not None else []
        return live + [play.stage for play in self._plays]

    def _known(self) -> JudgedLanes:
        try:
            return self._standings()
        except QueueError:
            return {}  # said by the queue itself

    def _see(self, now: float) -> None:
        if all(play.is_over for play in self._plays):
            return
        try:
            waiting = self._context.queues.jobs.backlog()
        except QueueError:
            return
        known = self._known()
        for play in self._plays:
            busy = any(waiting[e].length for e in play.engines if e in waiting)
            play.see(known, now, busy=busy)


class _Play:
    """One file: played, watched being judged, played again where that gets no further."""

    def __init__(self, context: StageContext, known: JudgedLanes) -> None:
        self._context = context
        ((self._camera, config),) = context.deployment.cameras.items()
        self.engines = engines_of(config)
        self._seen = self._of(known)
        self._moved_at = context.clock.monotonic()
        self._replays = 0
        self.is_over = False
        self.stage = self._made()

    def see(self, known: JudgedLanes, now: float, *, busy: bool) -> None:
        """Take note of how far it is judged; `busy` says that an engine has frames waiting."""
        if self.is_over:
            return
        seen = self._of(known)
        if seen != self._seen or len(seen) < len(self.engines) or not self._awaits(seen):
            # It moves on, or nobody judges it just now and so nobody can say, or there is nothing
            # to judge while a file is passed over up to where it goes on, or keeps its pace.
            if seen != self._seen and len(seen) == len(self.engines):
                self._replays = 0
            self._seen, self._moved_at = seen, now
        if self.stage.finished and (self.stage.failure or self._has_ended()):
            self.is_over = True
        elif now - self._moved_at > self._patience_s(busy=busy):
            self._play_again(now)

    def _of(self, known: JudgedLanes) -> dict[str, JudgedUpTo | None]:
        return {
            engine: known[self._camera, engine]
            for engine in self.engines
            if (self._camera, engine) in known
        }

    def _awaits(self, seen: Mapping[str, JudgedUpTo | None]) -> bool:
        """Whether something that was sent is not judged, be it the end."""
        if self.stage.finished:
            return True
        run, numbered = self.stage.numbered()[self._camera]
        return any(_judged(seen.get(engine), run) < jobs for engine, jobs in numbered.items())

    def _has_ended(self) -> bool:
        runs = self.stage.runs()
        standings = [self._seen.get(engine) for engine in self.engines]
        return all(s is not None and s.ended and s.run == runs[self._camera] for s in standings)

    def _patience_s(self, *, busy: bool) -> float:
        patience_s = _PATIENCE_WAITING_S if busy else _PATIENCE_S
        return min(patience_s * 2.0**self._replays, _LONGEST_S)

    def _play_again(self, now: float) -> None:
        logger.info("camera %s is played again from what was judged", self._camera)
        self._replays += 1
        self._moved_at = now
        self.stage.stop(0.0)
        self.stage = self._made()
        self.stage.start()

    def _made(self) -> SamplingStage:
        judged = {
            (self._camera, engine): (standing.run, standing.ordinal)
            for engine, standing in self._seen.items()
            if standing is not None
        }
        return SamplingStage(self._context, judged)


def _judged(standing: JudgedUpTo | None, run: str) -> int:
    """How many jobs of the run are judged."""
    return standing.ordinal + 1 if standing is not None and standing.run == run else 0


def _divided(deployment: Deployment) -> tuple[list[str], list[str]]:
    """The names of the cameras that are files, and of all others."""
    files = [n for n, c in deployment.cameras.items() if isinstance(c.source, FileConfig)]
    return files, [name for name in deployment.cameras if name not in files]


def _only(context: StageContext, names: list[str]) -> StageContext:
    cameras = {name: context.deployment.cameras[name] for name in names}
    deployment = context.deployment.model_copy(update={"cameras": cameras})
    return StageContext(deployment, context.queues, context.metrics, context.clock)


# Processors that start together with the sampler are waited for. Without their word a file is
# played from its beginning, which costs time and changes nothing.
_JUDGES_WITHIN_S = 10.0
_JUDGES_LOOK_S = 0.2


def await_judges(process_context: ProcessContext) -> None:
    """Wait for a while until somebody says of each file how far it is judged."""
    clock = process_context.context.clock
    wanted = file_lanes(process_context.context.deployment)
    deadline = clock.monotonic() + _JUDGES_WITHIN_S
    while not _judged_lanes(process_context) >= wanted and clock.monotonic() < deadline:
        if clock.wait(_JUDGES_LOOK_S, process_context.stop):
            return


def standings_of(presence: Presence) -> JudgedLanes:
    """How far each camera is judged, by those who judge it now; raises QueueError."""
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
        if isinstance(camera.source, FileConfig)
        for engine in engines_of(camera)
    )


def _judged_lanes(process_context: ProcessContext) -> AbstractSet[LaneKey]:
    try:
        return standings_of(process_context.queues.presence).keys()
    except QueueError:
        return frozenset()
