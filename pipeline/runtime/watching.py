"""Watches whether the cameras sampled in this process are well, and says what changes.

What happens to a frame elsewhere is read from the reports of the other processes, or of this one
where it has all stages. Who was started again does not know what an earlier process said; so a
camera's first good state is said as well, which ends whatever was left open.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError, StoreError
from pipeline.core.events import JsonValue
from pipeline.core.measures import Health
from pipeline.core.membership import Presence
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.processing.health import ENDED_BY
from pipeline.processing.processor import LaneKey
from pipeline.runtime.assembly import engines_of, expected_interval_s
from pipeline.runtime.reports import Report, reports_of
from pipeline.runtime.stages.base import StageThread
from pipeline.runtime.wellness import (
    FILE_PATIENCE_S,
    FOUND_HERE,
    SILENT_SHARE,
    CameraProgress,
    EngineProgress,
    TaskProgress,
    Trouble,
    troubles_of,
)
from pipeline.sampling.masks import Masks
from pipeline.telemetry.figures import CameraFigures, figures_of
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# How often to look.
LOOK_S = 1.0
# By how much an engine's pace is forgotten with each look at new answers.
_PACE_KEPT = 0.9
# Samples of the last seconds that are kept to count drops in.
_MOST_SAMPLES = 64
# A small picture, to see whether the masks leave anything of it.
_SMALL_WH = (160, 120)

Wellness = tuple[Mapping[str, JsonValue], ...]
"""A camera's troubles as reports carry them: state, since, sentence, help."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What becomes of frames after sampling, as the processes that see to it report."""

    answered: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """Jobs answered, by process, camera and engine."""
    judged: Mapping[LaneKey, tuple[str, int, bool] | None] = field(default_factory=dict)
    """For each lane with a processor, its run, its last judged job and whether it ended."""
    tallies: Mapping[tuple[str, str, str], tuple[int, int, str]] = field(default_factory=dict)
    """Good answers, failures and the last reason, by process, camera and task."""
    ages: Mapping[LaneKey, float] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    """Running workers by engine."""
    processors: int = 0


def elsewhere_of(reports: Mapping[str, Report]) -> Elsewhere:
    """What these reports, by process, say of all cameras."""
    judging = [r for r in reports.values() if r.stage == "processing" or r.judged]
    workers: dict[str, int] = {}
    for report in reports.values():
        for engine in report.engines:
            workers[engine] = workers.get(engine, 0) + 1
    return Elsewhere(
        answered={
            (member, camera, engine): count
            for member, report in reports.items()
            for camera, figures in report.figures.items()
            for engine, count in figures.answered_by.items()
        },
        judged={
            (camera, engine): point
            for report in judging
            for camera, lanes in report.judged.items()
            for engine, point in lanes.items()
        },
        tallies={
            (member, camera, task): tally
            for member, report in reports.items()
            for camera, tasks in report.tallies.items()
            for task, tally in tasks.items()
        },
        ages={
            (camera, engine): age
            for report in judging
            for camera, lanes in report.ages.items()
            for engine, age in lanes.items()
        },
        workers=workers,
        processors=len(judging),
    )


class _Moves:
    """Notices which counts have risen, over processes that come and go."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], int] = {}

    def risen(self, counts: Mapping[tuple[str, ...], int]) -> set[tuple[str, ...]]:
        """Whose counts rose since the last call, without the process in front of each.

        Everything counted before the first call counts as a rise as well: the first frame may have
        been answered by then.
        """
        known, self._known = self._known, dict(counts)
        return {key[1:] for key, count in counts.items() if count > known.get(key, 0)}


@dataclass(slots=True)
class _Wait:
    """Since when something has waited for the next step."""

    since: float | None = None

    def look(self, now: float, *, came: bool, went: bool) -> None:
        """Note whether something came to wait, and whether something went on."""
        if went:
            self.since = None
        elif came and self.since is None:
            self.since = now

    def for_s(self, now: float) -> float | None:
        """How long."""
        return None if self.since is None else now - self.since

    def forgive(self, now: float, limit_s: float) -> None:
        """Nothing was seen for a while: begin to count anew, unless it had waited too long."""
        if self.since is not None and now - self.since <= limit_s:
            self.since = now


@dataclass(slots=True)
class _EngineWatch:
    unanswered: _Wait = field(default_factory=_Wait)
    unjudged: _Wait = field(default_factory=_Wait)
    answered_at: float = float("-inf")
    pace_s: float = 0.0
    sent: int = 0
    done: tuple[str, int] = ("", -1)
    """Run and job of the last result known to be judged."""


@dataclass(slots=True)
class _TaskWatch:
    failing: _Wait = field(default_factory=_Wait)
    answered: dict[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What this process knows of one of its cameras at a moment."""

    figures: CameraFigures
    run: str
    numbered: Mapping[str, int]
    """How many jobs of the run are numbered, by engine."""
    reported: Collection[Health] = ()
    """The ongoing troubles of its pictures."""
    is_over: bool = False
    """Whether it is a recording that was read to its end."""


class CameraWatch:
    """Follows one camera's progress from look to look. Times are monotonic."""

    def __init__(self, config: CameraConfig, deadlines_s: Mapping[str, float], now: float) -> None:
        """`deadlines_s` has how long each engine may take for a frame."""
        self._is_live = not config.source.is_recording
        sample = config.sample
        offline_s = sample.offline_after.total_seconds()
        self.patience_s = offline_s if self._is_live else max(FILE_PATIENCE_S, offline_s)
        hidden = Masks(sample.mask_polygons).hidden(_SMALL_WH) if sample.masks else None
        self._is_hidden = hidden is not None and bool(hidden.all())
        self._deadlines_s = deadlines_s
        self._intervals_s = {
            engine: min(
                expected_interval_s(config, name)
                for name, task in config.tasks.items()
                if task.engine == engine
            )
            for engine in engines_of(config)
        }
        self._engines = {engine: _EngineWatch() for engine in self._intervals_s}
        self._tasks = {
            name: (task.engine or "", _TaskWatch()) for name, task in config.tasks.items()
        }
        self._answered, self._failed, self._good = _Moves(), _Moves(), _Moves()
        self._unqueued = _Wait()
        self._away = 0
        self._dropping = _Wait()
        self._dropped_at = now
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)])
        self._was_seen = True
        self.was_judged = False
        """Whether a processor has judged anything of it since the watch began."""

    def look(
        self, now: float, name: str, here: Sampled, beyond: Elsewhere | None, queue: str | None
    ) -> CameraProgress:
        """How it gets on; `beyond` is None and `queue` a reason where the queue is out of reach."""
        moved = {
            engine: here.figures.sent.get(engine, 0) > watch.sent
            for engine, watch in self._engines.items()
        }
        self._look_at_queue(now, here, queue, has_sent=any(moved.values()))
        self._look_at_drops(now, here.figures)
        if beyond is None:
            self._was_seen = False
        else:
            if not self._was_seen:
                self._was_seen = True
                self._forgive(now)
            self._look_beyond(now, name, here, beyond, moved)
        for engine, watch in self._engines.items():
            watch.sent = here.figures.sent.get(engine, 0)
        first, last = self._samples[0], self._samples[-1]
        return CameraProgress(
            patience_s=self.patience_s,
            is_live=self._is_live,
            reported=tuple(here.reported),
            is_hidden=self._is_hidden,
            unqueued_s=self._unqueued.for_s(now),
            queue=queue,
            dropping_s=self._dropping.for_s(self._dropped_at),
            dropped=last[1] - first[1],
            sent=last[2] - first[2],
            engines={
                engine: self._engine(now, name, engine, watch, beyond)
                for engine, watch in self._engines.items()
            },
            tasks={
                task: TaskProgress(engine, watch.failing.for_s(now), watch.reason)
                for task, (engine, watch) in self._tasks.items()
            },
            processors=None if beyond is None else beyond.processors,
            # Nobody knows it; a processor that has only just begun knows no camera at all.
            is_known=beyond is None
            or not beyond.judged
            or any(of == name for of, _ in beyond.judged),
        )

    def _engine(
        self, now: float, name: str, engine: str, watch: _EngineWatch, beyond: Elsewhere | None
    ) -> EngineProgress:
        unjudged_s = watch.unjudged.for_s(now)
        # What is not answered cannot be judged: then only that is said.
        was_answered = watch.unjudged.since is not None and (
            watch.answered_at >= watch.unjudged.since
        )
        return EngineProgress(
            unanswered_s=watch.unanswered.for_s(now),
            unjudged_s=unjudged_s if was_answered else None,
            age_s=None if beyond is None else beyond.ages.get((name, engine)),
            interval_s=self._intervals_s[engine],
            pace_s=watch.pace_s,
            deadline_s=self._deadlines_s.get(engine, 0.0),
            workers=None if beyond is None else beyond.workers.get(engine, 0),
        )

    def _look_at_queue(
        self, now: float, here: Sampled, queue: str | None, *, has_sent: bool
    ) -> None:
        away = here.figures.dropped.get("queue away", 0)
        waits = away > self._away or (queue is not None and not here.is_over)
        self._away = away
        self._unqueued.look(now, came=waits, went=has_sent or here.is_over)

    def _look_at_drops(self, now: float, figures: CameraFigures) -> None:
        """Count drops in a window, and note for how long they go on."""
        dropped, sent = figures.dropped.get("queue full", 0), sum(figures.sent.values())
        # While an engine answers nothing it is not overloaded: it may be dead.
        silent_s = max((w.unanswered.for_s(now) or 0.0 for w in self._engines.values()), default=0)
        if silent_s > SILENT_SHARE * self.patience_s or (now - self._dropped_at > self.patience_s):
            self._dropping.since = None
        elif dropped > self._samples[-1][1]:
            self._dropping.look(now, came=True, went=False)
        if dropped > self._samples[-1][1]:
            self._dropped_at = now
        if len(self._samples) < 2 or (
            now - self._samples[-2][0] >= self.patience_s / _MOST_SAMPLES
        ):
            self._samples.append((now, dropped, sent))
        else:
            self._samples[-1] = (now, dropped, sent)
        while len(self._samples) > 2 and now - self._samples[1][0] >= self.patience_s:
            self._samples.popleft()

    def _look_beyond(
        self,
        now: float,
        name: str,
        here: Sampled,
        beyond: Elsewhere,
        sent: Mapping[str, bool],
    ) -> None:
        answered = self._answered.risen({k: n for k, n in beyond.answered.items() if k[1] == name})
        own = {k: tally for k, tally in beyond.tallies.items() if k[1] == name}
        good = self._good.risen({k: tally[0] for k, tally in own.items()})
        failed = self._failed.risen({k: tally[1] for k, tally in own.items()})
        for engine, watch in self._engines.items():
            went = (name, engine) in answered
            if went:
                waited_s = watch.unanswered.for_s(now) or 0.0
                watch.pace_s = max(waited_s, _PACE_KEPT * watch.pace_s)
                watch.answered_at = now
            watch.unanswered.look(now, came=sent[engine], went=went)
            self._look_at_judging(now, here, engine, beyond.judged.get((name, engine)))
        for task, (_, watching) in self._tasks.items():
            key = (name, task)
            if key in failed:
                watching.reason = next(
                    (reason for (_, _, of), (_, n, reason) in own.items() if of == task and n), ""
                )
            watching.failing.look(now, came=key in failed, went=key in good)

    def _look_at_judging(
        self, now: float, here: Sampled, engine: str, point: tuple[str, int, bool] | None
    ) -> None:
        watch = self._engines[engine]
        before = watch.done
        if point is not None:
            watch.done = point[:2]
        run, ordinal = watch.done
        numbered = here.numbered.get(engine, 0)
        # A camera that was opened again has numbered nothing yet: that judges nothing.
        has_caught_up = run == here.run and numbered <= ordinal + 1
        self.was_judged = self.was_judged or (run == here.run and ordinal >= 0)
        watch.unjudged.look(now, came=False, went=watch.done != before or has_caught_up)
        watch.unjudged.look(now, came=numbered > 0 and not has_caught_up, went=False)

    def _forgive(self, now: float) -> None:
        for watch in self._engines.values():
            watch.unanswered.forgive(now, self.patience_s)
            watch.unjudged.forgive(now, self.patience_s)
        for _, watching in self._tasks.values():
            watching.failing.forgive(now, self.patience_s)


class Saying:
    """One camera's troubles as they were said: log, metrics and states, each once.

    Without `send` no state follows, and so no event: the events of a recording are the same however
    long it takes to process it.
    """

    def __init__(self, name: str, send: Callable[[Health], None] | None, metrics: Metrics) -> None:
        self._name = name
        self._send = send
        self._metrics = metrics
        self._since: dict[str, float] = {}
        self._about: dict[str, tuple[str, ...]] = {}
        self._dropped_before = 0
        self._greeted = False
        self.told: Wellness | None = None
        """The troubles for reports; None while it is not known how the camera is."""
        metrics.camera_well.labels(name).set(0)

    @property
    def ongoing(self) -> Collection[str]:
        """The states of the present troubles."""
        return self._since.keys()

    def say(
        self, troubles: Collection[Trouble], at: float, *, was_judged: bool, dropped: int = 0
    ) -> None:
        """Say what has changed; `at` is UTC seconds.

        `dropped` frames were lost so far because the queue was full.
        """
        found = {trouble.state: trouble for trouble in troubles}
        for state in [state for state in self._since if state not in found]:
            lasted_s = max(0.0, at - self._since.pop(state))
            self._metrics.camera_trouble.labels(self._name, state).set(0)
            if state in FOUND_HERE:
                how = f"after {lasted_s:.0f} s"
                if state == "overloaded":
                    how += f", in which {dropped - self._dropped_before} frames were dropped"
                self._log(logging.INFO, f"is no longer {state}, {how}")
                self._tell(Health(self._name, at, ENDED_BY[state], how))
        for state, trouble in found.items():
            is_new = state not in self._since
            if is_new and state == "overloaded":
                self._dropped_before = dropped
            if is_new:
                self._since[state] = at if trouble.since is None else trouble.since
                self._metrics.camera_trouble.labels(self._name, state).set(1)
            if state in FOUND_HERE and (is_new or self._about[state] != trouble.about):
                self._log(logging.WARNING, str(trouble))
            if state in FOUND_HERE and is_new:
                self._tell(Health(self._name, at, state, str(trouble)))
            self._about[state] = trouble.about
        if was_judged and not found and not self._greeted:
            self._greeted = True
            for state in FOUND_HERE:
                self._tell(Health(self._name, at, ENDED_BY[state]))
        self._metrics.camera_well.labels(self._name).set(was_judged and not found)
        if found or was_judged:
            self.told = tuple(
                {
                    "state": state,
                    "since": self._since[state],
                    "sentence": trouble.sentence,
                    "help": trouble.help,
                }
                for state, trouble in found.items()
            )

    def forget(self) -> None:
        """The camera is sampled elsewhere or no longer."""
        for state in self._about:  # of all troubles that there ever were
            self._metrics.camera_trouble.remove(self._name, state)
        self._metrics.camera_well.remove(self._name)

    def _tell(self, health: Health) -> None:
        if self._send is not None:
            self._send(health)

    def _log(self, level: int, what: str) -> None:
        logger.log(level, "camera %s %s", self._name, what, extra={"camera": self._name})


class WatchedCamera(Protocol):
    """A camera that is sampled here."""

    @property
    def numbered(self) -> tuple[str, Mapping[str, int]]:
        """Its run, and how many jobs of it are numbered, by engine."""
        ...

    @property
    def reported(self) -> Collection[Health]:
        """The ongoing troubles of its pictures."""
        ...

    @property
    def is_read(self) -> bool:
        """Whether it is a recording that was read to its end."""
        ...

    def note(self, health: Health) -> None:
        """Pass on a state that was found here, without waiting."""
        ...


@dataclass(frozen=True, slots=True)
class _Watched:
    camera: WatchedCamera
    watch: CameraWatch
    saying: Saying


class CameraWatches:
    """Watches all cameras that are sampled here. One thread looks, any thread may ask."""

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        beyond: Callable[[], Elsewhere | None],
        queue: Callable[[], str | None],
    ) -> None:
        """`beyond` returns None while it is not known, and `queue` what is wrong with the queue."""
        self._metrics = metrics
        self._clock = clock
        self._beyond = beyond
        self._queue = queue
        self._watched: dict[str, _Watched] = {}

    def look(self, cameras: Mapping[str, WatchedCamera], deployment: Deployment) -> None:
        """Look at all of them once."""
        now = self._clock.monotonic()
        for name in list(self._watched):
            if cameras.get(name) is not self._watched[name].camera:
                self._watched.pop(name).saying.forget()
        # First what happened later, so that no frame is seen answered that was not seen sent.
        beyond = self._beyond()
        queue = self._queue()
        figures = figures_of(self._metrics, cameras)
        deadlines_s = {n: e.deadline.total_seconds() for n, e in deployment.engines.items()}
        for name, camera in cameras.items():
            config = deployment.cameras.get(name)
            if config is None:
                continue  # it was just removed
            if name not in self._watched:
                watch = CameraWatch(config, deadlines_s, now)
                send = None if config.source.is_recording else camera.note
                saying = Saying(name, send, self._metrics)
                self._watched[name] = _Watched(camera, watch, saying)
            one = self._watched[name]
            run, numbered = camera.numbered
            here = Sampled(figures[name], run, numbered, camera.reported, camera.is_read)
            progress = one.watch.look(now, name, here, beyond, queue)
            found = troubles_of(progress, one.saying.ongoing)
            one.saying.say(
                found,
                self._clock.now(),
                was_judged=one.watch.was_judged,
                dropped=figures[name].dropped.get("queue full", 0),
            )

    @property
    def wellness(self) -> Mapping[str, Wellness]:
        """Each camera's troubles, for reports; without those of which nothing is known yet."""
        watched = self._watched.copy()
        return {n: told for n, one in watched.items() if (told := one.saying.told) is not None}

    def unwell(self, *, but: Collection[str] = ()) -> Mapping[str, str]:
        """What is wrong with each camera that is not well, in a sentence; `but` leaves out some."""
        found = {
            name: tuple(trouble for trouble in told if trouble["state"] not in but)
            for name, told in self.wellness.items()
        }
        return {name: in_words(told) for name, told in found.items() if told}


def in_words(told: Wellness) -> str:
    """A camera's troubles in a sentence."""
    return "; ".join(
        f"{trouble['sentence']}; {trouble['help']}" if trouble["help"] else f"{trouble['sentence']}"
        for trouble in told
    )


def reports_elsewhere(presence: Presence) -> Elsewhere | None:
    """What all running processes report; None while that is out of reach."""
    try:
        reports = reports_of(presence)
    except (QueueError, StoreError):
        return None
    return elsewhere_of({m: report for m, report in reports.items() if not report.is_last})


class WatchThread(StageThread):
    """Looks once a second. What goes wrong in it is told, and it looks again."""

    def __init__(self, look: Callable[[], None], clock: Clock) -> None:
        self._unforeseen = UnforeseenErrors("seeing whether the cameras are well", clock, logger)
        self._over = threading.Event()
        self._look = look
        super().__init__("camera wellness", self._watch, self._over.set)

    @property
    def trouble(self) -> str | None:
        """What went wrong that nobody foresaw, while it is so."""
        return self._unforeseen.trouble

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the next look may go well
                self._unforeseen.happened(error)
