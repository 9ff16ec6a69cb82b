"""The processor: take results, put them in order, judge them, store the conclusions, acknowledge.

The conclusions from a batch of results are stored in one transaction, together with the state to
resume from, before the results are acknowledged: a processor that is killed at any moment resumes
without losing or duplicating anything.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pipeline.core.answers import Failed
from pipeline.core.arming import ArmingBook
from pipeline.core.clips import ClipWish
from pipeline.core.clock import Clock
from pipeline.core.edits import RuleEdit
from pipeline.core.errors import FencedOffError, PictureRecordError, StoreError
from pipeline.core.events import Event
from pipeline.core.frames import DROP_REASONS
from pipeline.core.jobs import Result
from pipeline.core.live import LiveBoard
from pipeline.core.measures import Bucket, Health
from pipeline.core.queues import Delivered, JobQueue, ResultQueue
from pipeline.core.ranges import one_line
from pipeline.core.retrying import Backoff, Rests, SaidOnce, until_done
from pipeline.core.rules import Verdict
from pipeline.core.store import Checkpoint, Commit, JudgedAnew, LeaseProof, Store
from pipeline.core.switching import SwitchBook
from pipeline.processing.asking import BESIDE, TrackQuestions
from pipeline.processing.clips import ClipBook, ClipPlan
from pipeline.processing.health import HEALTH_ENGINE
from pipeline.processing.judge import Watcher
from pipeline.processing.life import CameraLife, JudgingLane, LifeTurn
from pipeline.processing.live import LiveTelling
from pipeline.processing.ordering import Sorted
from pipeline.processing.plan import CameraPlan
from pipeline.processing.questions import asked_about
from pipeline.processing.remembering import JustJudged, Remembering
from pipeline.processing.snapshots import Snapshots
from pipeline.processing.verifying import Settlement, Verifying
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

IDLE_S = 0.25
_BATCH = 64
# Every second: events wait for it, and a database on this machine is not hurt by being asked.
_STORE_RESTS = Rests(1.0, 1.0, jitter=0.0)
# How long results of a retired camera may still be on their way.
_STRAGGLING_S = 60.0
# How long happenings that were not reported are a trouble, and when they are said again.
_WITHHELD_S = 600.0
# More unknown cameras than this are a mistake somewhere, and are not listed one by one.
_MOST_UNKNOWN = 1000
# More events than this do not wait at a time for an answer about a track.
_MOST_PICTURED = 1000

# What arithmetic and look-ups on unforeseen values raise; queue and store have their own errors.
_FAULTS = (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RecursionError)

T = TypeVar("T")

LaneKey = tuple[str, str]
"""(camera, engine): results of different engines are judged independently."""


@dataclass(frozen=True, slots=True)
class ProcessorContext:
    """What a processor works with: where results come from, and where conclusions go."""

    results: ResultQueue
    store: Store
    snapshots: Snapshots
    metrics: Metrics
    clock: Clock
    watcher: Watcher | None = None
    fences: Mapping[int, int] = field(default_factory=dict)
    """The partitions that only this processor owns, with their fencing tokens."""
    lease: Callable[[], LeaseProof | None] = lambda: None
    """Proves that this process owns the store, when one process judges everything."""
    owns: Callable[[str], bool] = lambda _camera: True
    """Whether a camera belongs to this processor: it must not retire those of others."""
    arming: ArmingBook = field(default_factory=ArmingBook)
    """What was armed and disarmed by hand, which the plans' rules look up."""
    switches: SwitchBook = field(default_factory=SwitchBook)
    """What was switched of rules by hand, the same."""
    jobs: JobQueue | None = None
    """Where questions about events are put; without it those that wait for an answer go on
    waiting."""
    live: LiveBoard | None = None
    """Where those who watch are told what was made of each frame."""


@dataclass(frozen=True, slots=True)
class UnknownCamera:
    """A camera that is sampled but not in this processor's file. Times are UTC seconds."""

    results: int
    since: float
    last: float


@dataclass(frozen=True, slots=True)
class TaskTally:
    """How often a camera's task was answered here, and how often its engine failed."""

    answered: int = 0
    failed: int = 0
    reason: str = ""
    """Why the last failure."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Happenings of a rule that were not reported, and when the last was, in monotonic seconds."""

    happenings: int
    last: float


@dataclass(slots=True)
class _Pending:
    """The conclusions from a batch of results, until they are stored."""

    events: list[Event] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    clips: list[ClipWish] = field(default_factory=list)
    judged_anew: list[JudgedAnew] = field(default_factory=list)
    edits: list[RuleEdit] = field(default_factory=list)
    checkpoints: dict[LaneKey, Checkpoint] = field(default_factory=dict)
    """Those of troubles that began or ended, and of turns in a camera's life."""
    judged: dict[LaneKey, JudgingLane] = field(default_factory=dict)
    seen: JustJudged = field(default_factory=JustJudged)
    done: list[Delivered] = field(default_factory=list)


class Processor:
    """Judges results of many cameras. One thread calls `step` or `run`, any thread `update`."""

    def __init__(self, plans: Sequence[CameraPlan], context: ProcessorContext) -> None:
        self._context = context
        self._cameras = {plan.camera: CameraLife(plan, context.watcher) for plan in plans}
        self._ended: set[LaneKey] = set()
        self._judged: dict[LaneKey, tuple[str, int, bool] | None] = {}
        self._tallies: dict[tuple[str, str], TaskTally] = {}
        self._ages: dict[LaneKey, float] = {}
        self._note_judged()
        self._unknown: dict[str, UnknownCamera] = {}
        self._noted: deque[Health] = deque()
        self._retired_at: dict[str, float] = {}
        self._said_astray: set[str] = set()
        self._withheld: dict[tuple[str, str], Withheld] = {}
        self._next_plans: Sequence[CameraPlan] | None = None
        self._stop = threading.Event()
        self._store_said = SaidOnce(logger, "store accepts events again")
        self._pending = _Pending()
        self._remembering = Remembering()
        self._is_void = False
        self._verifying = Verifying(
            context.store, context.snapshots.shelf, context.jobs, context.clock, context.metrics
        )
        self._asking = TrackQuestions(context.snapshots.shelf, context.jobs, context.clock)
        self._live = LiveTelling(context.live)
        self._pictured: dict[str, Event] = {}
        self._clips = ClipBook(
            lambda event: context.store.clips.clip_around(event.camera, event.run or "", event.at)
        )

    def resume(self) -> Mapping[LaneKey, Checkpoint]:
        """Resume from the store's checkpoints; returns those whose run continues.

        What is judged by other terms than before begins anew, and cameras that were removed from
        the file meanwhile retire. Raises StoreError.
        """
        self._rename([camera.plan for camera in self._cameras.values()])
        self._verifying.load(self._context.owns)
        kept = self._checkpoints()
        for name, camera in self._cameras.items():
            self._take_turn(camera.resume(kept.get(name, {}), self._context.clock.now()))
        for name in sorted(kept.keys() - self._cameras.keys()):
            if self._context.owns(name) and _has_open_ends(kept[name]):
                self._retire(CameraLife(CameraPlan(name, watched=frozenset())), kept[name])
        for name in self._verifying.cameras - self._cameras.keys():
            self._verifying.abandon(name)
        for name in self._asking.cameras - self._cameras.keys():
            self._asking.abandon(name)
        if self._is_void:
            raise StoreError("stopped while the store was not responding")
        pending, self._pending = self._pending, _Pending()
        settlement = self._verifying.settle(self._plans())
        commit = replace(self._commit_of(pending, settlement), lease=self._context.lease())
        self._context.store.commit(commit)
        self._verifying.stored()
        self._asking.stored()
        self._count_kept(commit.events)
        self._note_judged()
        return {
            key: kept[key[0]][key[1]] for key, point in self._judged.items() if point is not None
        }

    def update(self, plans: Sequence[CameraPlan]) -> None:
        """Judge by other plans from the next batch on; may be called from any thread.

        Lanes that are judged as before are not disturbed. Changed rules begin anew, removed cameras
        retire, and new ones start from their checkpoint.
        """
        self._next_plans = plans

    @property
    def is_up_to_date(self) -> bool:
        """Whether the plans of the last `update` are in use."""
        return self._next_plans is None

    @property
    def unknown_cameras(self) -> Mapping[str, UnknownCamera]:
        """Cameras whose results arrive here although they are not in the file."""
        return dict(self._unknown)

    @property
    def troubles(self) -> list[str]:
        """What needs an operator's attention although judging continues."""
        now = self._context.clock.monotonic()
        pictures = self._context.snapshots.trouble
        found = [
            f"camera {camera}, rule {rule}: {withheld.happenings} happenings were not reported "
            "because fewer frames are answered than its min_coverage asks for; sample less often, "
            "or give the engine more to work with"
            for (camera, rule), withheld in dict(self._withheld).items()
            if now - withheld.last <= _WITHHELD_S
        ]
        found += self._asking.troubles
        return [*found, pictures] if pictures else found

    @property
    def ended(self) -> frozenset[LaneKey]:
        """Lanes whose file is judged to its end, with all of its events stored."""
        waiting = self._verifying.cameras
        return frozenset(key for key in self._ended if key[0] not in waiting)

    @property
    def verifying(self) -> frozenset[str]:
        """Cameras with events that wait for a second look."""
        return self._verifying.cameras

    @property
    def judged(self) -> Mapping[LaneKey, tuple[str, int, bool] | None]:
        """For each lane, its run and last job that are stored, and whether it ended; or None."""
        return dict(self._judged)

    def note(self, health: Health) -> None:
        """Judge a camera's state with the next batch, as if its sampler had sent it.

        May be called from any thread.
        """
        self._noted.append(health)

    @property
    def tallies(self) -> Mapping[tuple[str, str], TaskTally]:
        """Answers and failures of engines, by camera and task."""
        return dict(self._tallies)

    @property
    def ages(self) -> Mapping[LaneKey, float]:
        """How old each lane's newest answered live frame was when it was judged, in seconds."""
        return dict(self._ages)

    def run(self) -> None:
        """Judge until stopped; what was taken is stored before it returns."""
        while not self._stop.is_set():
            self.step()

    def stop(self) -> None:
        """Return from `run` after the current batch."""
        self._stop.set()

    def step(self, idle_s: float = IDLE_S) -> int:
        """Judge one batch of results; returns how many were taken from the queue.

        Raises QueueError or FencedOffError if another process owns a partition by now, or a picture
        is out of reach: what was judged but not stored is then void, and a new processor resumes.
        """
        self._apply_update()
        while self._noted:
            health = self._noted.popleft()
            if health.camera in self._cameras:
                self._judge_health(self._cameras[health.camera], health)
        taken = self._context.results.take(_BATCH, idle_s)
        if taken and not self._knows_what_was_switched():
            return 0
        for arrived in taken:
            self._accept(arrived)
        self._pass_over_missing()
        self._go_on()
        self._keep()
        self._verifying.ask()
        self._asking.ask()
        return len(taken)

    def _knows_what_was_switched(self) -> bool:
        """Read what was done by hand, for which the store is waited for; False when stopped."""
        try:
            self._reading(self._context.arming.refresh)
            self._reading(self._context.switches.refresh)
        except StoreError:
            self._is_void = True  # what was taken is judged by whoever comes next
            return False
        return True

    def _apply_update(self) -> None:
        plans = self._next_plans
        if plans is None:
            return
        try:
            # A renamed camera does not retire: its checkpoint is resumed under the present name.
            for name in self._rename(plans):
                self._cameras.pop(name, None)
            self._verifying.load(self._context.owns)
            kept = self._checkpoints()
        except StoreError as error:
            logger.warning(
                "the new file is not applied yet: the store is not responding: %s", error
            )
            return
        now = self._context.clock.now()
        planned = {plan.camera: plan for plan in plans}
        for name in sorted(self._cameras.keys() - planned.keys()):
            self._retire(self._cameras.pop(name), {})
        for name, plan in planned.items():
            camera = self._cameras.get(name)
            if camera is not None:
                self._take_turn(camera.begin_anew(plan, now))
            else:
                camera = self._cameras[name] = CameraLife(plan, self._context.watcher)
                self._take_turn(camera.resume(kept.get(name, {}), now))
            self._unknown.pop(name, None)
        self._note_judged()
        if self._next_plans is plans:
            self._next_plans = None

    def _rename(self, plans: Sequence[CameraPlan]) -> Collection[str]:
        """Have renamed cameras go on with what is stored; returns their earlier names."""
        names = {was: plan.camera for plan in plans for was in plan.was}
        renamed = self._context.store.rename_cameras(names, self._context.lease())
        for was, records in renamed.items():
            logger.info(
                "camera %s was %s: %d stored records are now under its name",
                names[was],
                was,
                records,
                extra={"camera": names[was]},
            )
        now = self._context.clock.now()
        self._retired_at |= dict.fromkeys(names, now)
        return names.keys()

    def _checkpoints(self) -> Mapping[str, Mapping[str, Checkpoint]]:
        kept: dict[str, dict[str, Checkpoint]] = {}
        beside: list[Checkpoint] = []
        for checkpoint in self._context.store.checkpoints():
            if checkpoint.engine.startswith(BESIDE):
                if self._context.owns(checkpoint.camera):
                    beside.append(checkpoint)
                continue
            kept.setdefault(checkpoint.camera, {})[checkpoint.engine] = checkpoint
        self._asking.load(beside)
        return kept

    def _retire(self, camera: CameraLife, kept: Mapping[str, Checkpoint]) -> None:
        name, now = camera.plan.camera, self._context.clock.now()
        self._take_turn(camera.resume(kept, now) if kept else camera.retire(now))
        self._verifying.abandon(name)
        self._asking.abandon(name)
        self._retired_at[name] = now
        logger.info(
            "camera %s was removed from the file and is retired", name, extra={"camera": name}
        )

    def _take_turn(self, turn: LifeTurn) -> None:
        self._add(turn.verdict, None)
        self._pending.edits += turn.edits
        for checkpoint in turn.checkpoints:
            self._pending.checkpoints[checkpoint.camera, checkpoint.engine] = checkpoint

    def _note_judged(self) -> None:
        self._judged = {
            (name, engine): lane.judged
            for name, camera in self._cameras.items()
            for engine, lane in camera.lanes.items()
        }
        self._ended &= self._judged.keys()
        tasks = {
            (name, task.task)
            for name, camera in self._cameras.items()
            for lane in camera.lanes.values()
            for task in lane.judge.plan.tasks
        }
        self._tallies = {key: self._tallies.get(key, TaskTally()) for key in tasks}
        self._ages = {key: age for key, age in self._ages.items() if key in self._judged}

    def _accept(self, arrived: Delivered) -> None:
        result = arrived.result
        if self._asking.answered(arrived):
            return  # done with the result that it becomes a part of
        about = asked_about(result)
        if self._verifying.answered(result) or about is not None:
            if about is not None:
                self._live.answered(about, result)
            # The answer to another kind of question, as a later release asks, is nobody's here.
            self._pending.done.append(arrived)
            return
        camera = self._cameras.get(result.camera)
        lane = camera.lanes.get(result.engine) if camera is not None else None
        if camera is None:
            self._note_unknown(result)
            self._pending.done.append(arrived)
        elif result.health is not None:
            self._judge_health(camera, result.health)
            self._pending.done.append(arrived)
        elif lane is None:
            self._count_passed_over(result, "unknown engine")
            self._pending.done.append(arrived)
        else:
            sorted_ = lane.order.offer(arrived, self._context.clock.monotonic())
            self._judge(camera, lane, sorted_)

    def _note_unknown(self, result: Result) -> None:
        name = one_line(result.camera)
        now, known = self._context.clock.now(), self._unknown.get(name)
        if known is not None or len(self._unknown) < _MOST_UNKNOWN:
            # Names from outside cannot make metrics grow without end.
            self._context.metrics.results_passed_over.labels(name, "unknown camera").inc()
        if now - self._retired_at.get(result.camera, float("-inf")) < _STRAGGLING_S:
            return  # its sampler may not know yet
        if known is not None:
            noted = replace(known, results=known.results + 1, last=now)
        elif len(self._unknown) < _MOST_UNKNOWN:
            noted = UnknownCamera(1, now, now)
            text = (
                "camera %s is sampled but is not in this processor's file; discarding its results"
            )
            logger.warning(text, name, extra={"camera": name})
        else:
            return
        self._unknown[name] = noted

    def _pass_over_missing(self) -> None:
        now = self._context.clock.monotonic()
        for name, camera in self._cameras.items():
            for lane in camera.lanes.values():
                sorted_ = lane.order.pass_over(now)
                if sorted_.missing:
                    counter = self._context.metrics.results_passed_over
                    counter.labels(name, "missing").inc(sorted_.missing)
                self._judge(camera, lane, sorted_)

    def _judge(self, camera: CameraLife, lane: JudgingLane, sorted_: Sorted) -> None:
        for delivered in sorted_.late:
            self._count_passed_over(delivered.result, "late")
        for delivered in sorted_.astray:
            self._say_astray(delivered.result)
        for delivered in sorted_.duplicates:
            self._count_passed_over(delivered.result, "duplicate")
            if delivered.result.last and not lane.behind:
                self._ended.add((delivered.result.camera, delivered.result.engine))
        lane.behind += sorted_.ready
        self._judge_on(camera, lane)
        again = [lane.exchanged(delivered) for delivered in sorted_.duplicates]
        self._pending.done += (*sorted_.late, *sorted_.astray, *again)

    def _judge_on(self, camera: CameraLife, lane: JudgingLane) -> None:
        """Judge what is behind, up to where an answer has to be waited for."""
        while lane.behind:
            result = lane.behind[0].result
            if self._asking.blocks(result.camera, result.engine):
                return
            self._pending.done.append(lane.behind.popleft())
            self._judge_one(camera, lane, result)

    def _go_on(self) -> None:
        """Judge what waited for answers that have come."""
        if self._asking.cameras or self._asking.troubles:
            self._asking.settle(self._plans())
        for camera in self._cameras.values():
            for lane in camera.lanes.values():
                self._judge_on(camera, lane)

    def _say_astray(self, result: Result) -> None:
        self._count_passed_over(result, "astray")
        if result.camera in self._said_astray:
            return
        self._said_astray.add(result.camera)
        logger.warning(
            "camera %s: a result is numbered %d, far beyond its next frame, and is passed over; "
            "further ones are not logged",
            *(result.camera, result.ordinal),
            extra={"camera": result.camera},
        )

    def _judge_one(self, camera: CameraLife, lane: JudgingLane, result: Result) -> None:
        result, answered = self._asking.attach(result)
        self._pending.done += answered
        if camera.plan.remembers:
            self._remembering.begin(lane.judge, result, self._pending.seen)
        else:
            self._remembering.stop(result)
        if camera.plan.is_recording and result.ordinal == 0:
            rules = frozenset(name for _, name, _ in lane.judge.plan.rules())
            self._pending.judged_anew.append(JudgedAnew(result.camera, result.run, rules))
        verdict = self._verdict(camera, lane, result)
        self._live.judged(lane.judge, result, verdict)
        if camera.plan.remembers:
            self._remembering.take(lane.judge, result, self._pending.seen)
        self._asking.take(camera.plan, result, verdict.questions)
        self._keep_pictures(verdict.waiting, camera.plan)
        self._add(verdict, camera.plan)
        for rule, happenings in lane.judge.take_withheld().items():
            self._note_withheld(result.camera, rule, happenings)
        lane.judged = (result.run, result.ordinal, result.last)
        self._pending.judged[result.camera, result.engine] = lane
        if result.last:
            return
        if result.unjudgeable:
            self._count_passed_over(result, "unreadable")
            return
        metrics = self._context.metrics
        metrics.results_judged.labels(result.camera).inc()
        if lane.judge.is_outdated(result):
            self._count_passed_over(result, "asked before an edit")
        was_answered = self._tally(result)
        if result.live and was_answered:
            self._ages[result.camera, result.engine] = max(
                0.0, self._context.clock.now() - result.captured_at
            )
        if result.live:
            age = max(0.0, self._context.clock.now() - result.captured_at)
            metrics.end_to_end_seconds.labels(result.camera).observe(age)
            metrics.frame_age_seconds.labels("judged").observe(age)
            metrics.judged_until_seconds.labels(result.camera).set(result.captured_at)

    def _keep_pictures(self, waiting: Sequence[Event], plan: CameraPlan) -> None:
        """Take the pictures of events that go out later, while their frames are there."""
        for event in waiting:
            if event.rule in plan.snapshots:
                self._pictured[event.record_id] = self._with_picture(event)
        while len(self._pictured) > _MOST_PICTURED:  # of those some never go out
            del self._pictured[next(iter(self._pictured))]

    def _verdict(self, camera: CameraLife, lane: JudgingLane, result: Result) -> Verdict:
        """A fault in judging costs one result and the lane's memory, and never the process."""
        try:
            return lane.judge.judge(result)
        except _FAULTS as error:
            logger.exception(
                "camera %s: frame %d of engine %s cannot be judged (%s); its rules begin anew",
                *(result.camera, result.seq, result.engine, type(error).__name__),
                extra={"camera": result.camera},
            )
            self._count_passed_over(result, "unjudgeable")
            camera.begin_lane_anew(result.engine)
            return Verdict()

    def _tally(self, result: Result) -> bool:
        """Count its answers, and return whether an engine gave any, even if it failed."""
        was_answered = False
        for task, answer in result.answers.items():
            before = self._tallies.get((result.camera, task))
            dropped = isinstance(answer, Failed) and answer.reason in DROP_REASONS
            if before is None or dropped:
                continue  # its frame was dropped before an engine saw it
            was_answered = True
            self._tallies[result.camera, task] = (
                replace(before, failed=before.failed + 1, reason=answer.reason)
                if isinstance(answer, Failed)
                else replace(before, answered=before.answered + 1)
            )
        return was_answered

    def _note_withheld(self, camera: str, rule: str, happenings: int) -> None:
        """Happenings were not reported because too few frames are answered: said once a while."""
        self._context.metrics.events_withheld.labels(camera, rule).inc(happenings)
        now = self._context.clock.monotonic()
        known = self._withheld.get((camera, rule))
        if known is None or now - known.last > _WITHHELD_S:
            known = Withheld(0, now)
            logger.warning(
                "camera %s: rule %s reports no events at the moment: too few frames are answered",
                *(camera, rule),
                extra={"camera": camera},
            )
        self._withheld[camera, rule] = Withheld(known.happenings + happenings, now)

    def _add(self, verdict: Verdict, plan: CameraPlan | None) -> None:
        """Take a verdict; without a plan, that of a camera's turn, which shows no frame."""
        for event in verdict.events:
            wanted = plan is not None and event.rule in plan.snapshots
            kept = self._with_picture(event) if wanted else event
            clips = plan.clips if plan is not None else None
            if clips is not None and event.rule in clips.rules and event.phase != "update":
                kept = self._with_clip(kept, clips)
            self._emit(kept, plan)
        self._pending.buckets += verdict.buckets

    def _emit(self, event: Event, plan: CameraPlan | None) -> None:
        """Store an event with this batch, unless it has to wait for a second look."""
        by = plan or replace(self._plans().get(event.camera, CameraPlan(event.camera)), verify={})
        try:
            out = self._reading(lambda: self._verifying.hold(event, by))
        except StoreError:
            self._is_void = True  # stopped: the event is judged again, and nothing without it
            return
        if out is not None:
            self._pending.events.append(out)

    def _plans(self) -> Mapping[str, CameraPlan]:
        return {name: camera.plan for name, camera in self._cameras.items()}

    def _reading(self, read: Callable[[], T]) -> T:
        """What is read from the store, however long that takes; StoreError when stopped."""
        return until_done(
            read,
            StoreError,
            said=self._store_said,
            sentence=lambda error: f"store is not responding; retrying: {error}",
            backoff=Backoff(_STORE_RESTS),
            clock=self._context.clock,
            stop=self._stop,
        )

    def _with_clip(self, event: Event, plan: ClipPlan) -> Event:
        """The event with its clip, for which the store is waited for as for the event itself."""
        try:
            found, wish = self._reading(lambda: self._clips.attach(event, plan))
        except StoreError:
            self._is_void = True  # stopped: the event is judged again, and nothing without it
            return event
        if wish is not None:
            self._pending.clips.append(wish)
        return found

    def _with_picture(self, event: Event) -> Event:
        """The event with its picture, for which the store is waited for as for the event itself."""
        known = self._pictured.pop(event.record_id, None)
        if known is not None:  # it has waited since its frame was there
            return replace(event, data={**known.data, **event.data}, media=known.media)
        try:
            return until_done(
                lambda: self._context.snapshots.attach(event),
                PictureRecordError,
                said=self._store_said,
                sentence=lambda error: f"store is not responding; retrying: {error}",
                backoff=Backoff(_STORE_RESTS),
                clock=self._context.clock,
                stop=self._stop,
            )
        except PictureRecordError:
            return event  # stopped; the event cannot be stored either, and is judged again

    def _judge_health(self, camera: CameraLife, health: Health) -> None:
        if camera.troubles.is_news(health):
            self._pending.health.append(health)
        events = camera.troubles.judge(health)
        if events:
            for event in events:
                self._emit(event, camera.plan)
            checkpoint = camera.troubles_checkpoint()
            self._pending.checkpoints[checkpoint.camera, checkpoint.engine] = checkpoint

    def _keep(self) -> None:
        """Commit what is pending, then acknowledge; retries until the store accepts it."""
        pending = self._pending
        if self._is_void:
            return
        try:
            settlement = self._reading(lambda: self._verifying.settle(self._plans()))
        except StoreError:
            return
        if not (pending.done or pending.checkpoints or settlement or self._asking.is_changed):
            return
        commit = self._commit_of(pending, settlement)
        if not self._commit(commit):
            return
        self._verifying.stored()
        self._asking.stored()
        self._count_kept(commit.events)
        for key, lane in pending.judged.items():
            self._judged[key] = lane.judged
        self._ended |= {key for key in pending.judged if (self._judged[key] or ("", 0, False))[2]}
        self._pending = _Pending()
        self._context.results.acknowledge(pending.done)

    def _commit_of(self, pending: _Pending, settlement: Settlement) -> Commit:
        judged = {key: lane.checkpoint(key[0]) for key, lane in pending.judged.items()}
        # The current minute is stored in the state, to resume from, and as a bucket, to be read;
        # the next batch replaces both.
        running = [b for lane in pending.judged.values() for b in lane.judge.unfinished()]
        return Commit(
            events=[*settlement.events, *pending.events],
            waiting=[*settlement.waiting.values()],
            settled=[*settlement.settled],
            buckets=[*pending.buckets, *running],
            health=pending.health,
            checkpoints=[
                *{**pending.checkpoints, **judged}.values(),
                *self._asking.checkpoints(),
            ],
            clips=pending.clips,
            judged_anew=pending.judged_anew,
            edits=pending.edits,
            fences=self._context.fences,
            observations=pending.seen.tails(),
            waypoints=pending.seen.waypoints,
        )

    def _count_kept(self, events: Sequence[Event]) -> None:
        for event in events:
            self._context.metrics.events.labels(event.camera, event.rule, event.phase).inc()

    def _commit(self, commit: Commit) -> bool:
        """Store it, however long that takes; False when stopped before it was stored."""
        try:
            until_done(
                # Asked for each time: a store that was replaced is taken anew.
                lambda: self._context.store.commit(replace(commit, lease=self._context.lease())),
                StoreError,
                said=self._store_said,
                sentence=lambda error: f"store refuses events; retrying: {error}",
                backoff=Backoff(_STORE_RESTS),
                clock=self._context.clock,
                stop=self._stop,
                final=FencedOffError,
            )
        except FencedOffError:
            raise
        except StoreError:
            return False
        return True

    def _count_passed_over(self, result: Result, reason: str) -> None:
        self._context.metrics.results_passed_over.labels(result.camera, reason).inc()


def _has_open_ends(kept: Mapping[str, Checkpoint]) -> bool:
    """Whether a camera that is no longer planned was left with something unfinished."""
    for engine, checkpoint in kept.items():
        state = checkpoint.state if isinstance(checkpoint.state, dict) else {}
        if not checkpoint.ended and (state if engine == HEALTH_ENGINE else state.get("tasks")):
            return True
    return False
