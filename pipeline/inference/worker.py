"""A worker keeps one engine busy and passes each answer on as it arrives.

A job is removed in the same step in which its result is passed on, so when a worker dies, another
one takes over its jobs, and no job is answered twice.
"""

import queue
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile

from pipeline.core.answers import Answer, Failed, checked
from pipeline.core.clock import Clock
from pipeline.core.engines import (
    DeviceWork,
    Engine,
    ReportsDeviceWork,
    Ticket,
)
from pipeline.core.jobs import Result, result_of
from pipeline.core.queues import Claim, JobQueue
from pipeline.inference.condition import EngineCondition
from pipeline.inference.looking import Asked, ask
from pipeline.telemetry.metrics import Metrics

# How long a worker waits for a job, an answer or room before it checks whether to stop.
IDLE_S = 0.25
# An engine that finishes a batch faster than this gets the next one while it works, so that it
# never waits for the queue. A slower one loses little by waiting, and a frame in its line would
# only grow old: in the queue, a newer one could take its place.
AHEAD_S = 1.0
# How many batches of answered frames may wait for an earlier frame of their camera; twice as many
# may wait for room in the queue.
_MOST_HELD_BATCHES = 2
# How many jobs that go ahead an engine without room is given all the same.
_MOST_AHEAD = 4
# The weight of the newest answers in an engine's pace.
_NEWEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class EngineLane:
    """A running engine: its name in the deployment, the model, and its limits."""

    name: str
    engine: Engine
    max_batch: int
    """Frames it works on at a time."""
    deadline_s: float
    """How long it may take for each."""
    snapshot_cameras: Collection[str] = field(default_factory=frozenset)
    """Cameras whose frames may be needed as pictures of events."""
    cut_side: int = 640
    """The side in pixels of the smallest part of a picture that is worth a look by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class _InHand:
    """A claimed job and the engine's receipt for it."""

    claim: Claim
    asked: Asked
    submitted_at: float

    @property
    def ticket(self) -> Ticket:
        return self.asked.ticket


class Worker:
    """Answers the jobs of one lane. Knows nothing of cameras and rules.

    `run` feeds the engine in the calling thread and passes results on in a second thread.
    """

    def __init__(self, lane: EngineLane, jobs: JobQueue, metrics: Metrics, clock: Clock) -> None:
        self._lane = lane
        self.snapshot_cameras = lane.snapshot_cameras
        """Cameras whose frames may be needed as pictures of events; may change while it runs."""
        self._jobs = jobs
        self._metrics = metrics
        self._clock = clock
        self._condition = EngineCondition(lane.name)
        self._answered: queue.SimpleQueue[_InHand] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._in_engine = 0
        self._in_hand: dict[str, list[_InHand]] = {}
        self._busy_since = 0.0
        self._s_per_frame: float | None = None
        self._work_reported = DeviceWork()
        self._stop = threading.Event()
        self._fed = threading.Event()
        self._given_up = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Answer until stopped, then finish the claimed jobs."""
        name = f"results of {self._lane.name}"
        handing_on = threading.Thread(target=self._hand_on_all, name=name, daemon=True)
        handing_on.start()
        try:
            while not self._stop.is_set():
                self.feed(IDLE_S)
        finally:
            self._fed.set()
            handing_on.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Claim no more; `run` returns when the claimed jobs are answered."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def give_up(self) -> None:
        """Make `run` return at once; another worker, or the next one, gets the claimed jobs."""
        self._given_up.set()
        self.stop()

    def feed(self, idle_s: float) -> int:
        """Give the engine the jobs it has room for, waiting up to `idle_s` for room and for a job.

        What goes ahead needs no room, within limits: a busy engine takes it next. Returns how many.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._room() > 0 or self._stop.is_set(), idle_s)
            room, ahead = self._room(), self._room_ahead()
        if max(room, ahead) <= 0 or self._stop.is_set():
            return 0
        if room > 0:
            claims = self._jobs.claim(self._lane.name, room, idle_s)
        else:
            claims = self._jobs.claim(self._lane.name, ahead, 0.0, only_ahead=True)
        if not claims:
            return 0
        self._observe_age("claimed", claims)
        reclaimed = sum(claim.attempts > 1 for claim in claims)
        self._metrics.jobs_retried.labels(self._lane.name).inc(reclaimed)
        self._metrics.jobs_reclaimed.labels(self._lane.name).inc(reclaimed)
        now = self._clock.monotonic()
        with self._changed:
            if not self._in_engine:
                self._busy_since = now
            self._in_engine += len(claims)
        for claim in claims:
            lane = self._lane
            asked = ask(lane.engine, claim.job, lane.deadline_s, lane.cut_side)
            in_hand = _InHand(claim, asked, now)
            with self._changed:
                self._in_hand.setdefault(_row_of(in_hand), []).append(in_hand)
            asked.ticket.add_done_callback(partial(self._note, in_hand))
        return len(claims)

    def hand_on(self, wait_s: float) -> int:
        """Pass answers on, waiting up to `wait_s` for the first; returns how many.

        A camera's answers are passed on in the order of its frames, as long as there is room to
        hold them: a processor also waits for an earlier frame, but not for long.
        """
        try:
            answered = [self._answered.get(timeout=wait_s)]
        except queue.Empty:
            return 0
        while len(answered) < self._lane.max_batch and not self._answered.empty():
            answered.append(self._answered.get())
        together = self._in_order(answered)
        if not together:
            return 0
        claims = [one.claim for one in together]
        results = [self._result(one) for one in together]
        self._observe_age("answered", claims)
        while not self._jobs.answer(claims, results, IDLE_S, self.snapshot_cameras):
            if self._given_up.is_set():
                break
        with self._changed:
            for one in together:
                row = _row_of(one)
                self._in_hand[row].remove(one)
                if not self._in_hand[row]:
                    del self._in_hand[row]
            self._changed.notify_all()
        return len(together)

    def report_device_work(self) -> None:
        """Add what the engine did on its device since the last time to the metrics."""
        engine, name, metrics = self._lane.engine, self._lane.name, self._metrics
        if not isinstance(engine, ReportsDeviceWork):
            return
        before, work = self._work_reported, engine.device_work()
        self._work_reported = work
        for counter, label, now, then in (
            (metrics.engine_cycles, "replayed", work.cycles_replayed, before.cycles_replayed),
            (metrics.engine_cycles, "eager", work.cycles_eager, before.cycles_eager),
            (metrics.engine_graphs, "captured", work.graphs_captured, before.graphs_captured),
            (metrics.engine_graphs, "failed", work.graphs_failed, before.graphs_failed),
            (metrics.engine_graphs, "evicted", work.graphs_evicted, before.graphs_evicted),
        ):
            counter.labels(name, label).inc(now - then)
        metrics.engine_capture_seconds.labels(name).inc(
            work.capture_seconds - before.capture_seconds
        )

    def _note(self, done: _InHand, _ticket: Ticket) -> None:
        self._answered.put(done)

    def _hand_on_all(self) -> None:
        try:
            while not self._given_up.is_set() and not (self._fed.is_set() and not self._in_hand):
                self.hand_on(IDLE_S)
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            self._failure = error
            self.stop()

    def _room(self) -> int:
        """How many more frames the engine can take now."""
        batch = self._lane.max_batch
        pace = self._s_per_frame
        is_quick = pace is not None and pace * batch < AHEAD_S
        room = batch * (2 if is_quick else 1) - self._in_engine
        held = sum(len(of_camera) for of_camera in self._in_hand.values()) - self._in_engine
        return min(room, batch * 2 * _MOST_HELD_BATCHES - held)

    def _room_ahead(self) -> int:
        """How many more jobs that go ahead may be in hand."""
        in_hand = (one for row in self._in_hand.values() for one in row)
        return _MOST_AHEAD - sum(one.claim.job.goes_ahead for one in in_hand)

    def _in_order(self, answered: Sequence[_InHand]) -> list[_InHand]:
        """Count these as answered; return what can be passed on now, in order."""
        now = self._clock.monotonic()
        count = len(answered)
        with self._changed:
            busy_s = now - self._busy_since
            self._busy_since = now
            self._in_engine -= count
            known = busy_s / count if self._s_per_frame is None else self._s_per_frame
            self._s_per_frame = known + _NEWEST_SHARE * (busy_s / count - known)
            ready: list[_InHand] = []
            for row in dict.fromkeys(map(_row_of, answered)):
                ready += takewhile(lambda one: one.ticket.done, self._in_hand.get(row, ()))
            held = [one for of_camera in self._in_hand.values() for one in of_camera]
            if len(held) - self._in_engine >= self._lane.max_batch * _MOST_HELD_BATCHES:
                # A camera whose answer does not come cannot use up the others' room.
                ready = [one for one in held if one.ticket.done]
            self._changed.notify_all()
        self._metrics.engine_busy_seconds.labels(self._lane.name).inc(busy_s)
        return ready

    def _observe_age(self, hop: str, claims: Sequence[Claim]) -> None:
        now = self._clock.now()
        for claim in claims:
            if claim.job.live:
                age_s = max(0.0, now - claim.job.frame.captured_at)
                self._metrics.frame_age_seconds.labels(hop).observe(age_s)

    def _result(self, done: _InHand) -> Result:
        job, ticket, name = done.claim.job, done.ticket, self._lane.name
        answers = self._checked(ticket.result(0.0), len(job.tasks))
        if done.asked.is_shown:  # else it says nothing of the engine
            self._condition.answered(answers)
        camera = job.frame.camera
        self._metrics.answer_seconds.labels(name).observe(
            self._clock.monotonic() - done.submitted_at
        )
        if ticket.batch:
            self._metrics.batch_size.labels(name).observe(ticket.batch)
        self._metrics.jobs_answered.labels(camera, name).inc()
        if ticket.asked_alone:
            self._metrics.jobs_retried.labels(name).inc()
        if failed := sum(isinstance(answer, Failed) for answer in answers):
            self._metrics.tasks_failed.labels(camera, name).inc(failed)
        if job.focus is not None:
            self._metrics.focused_jobs.labels(camera, name).inc()
            self._metrics.pictures_looked_at.labels(camera, name).inc(done.asked.share)
        result = result_of(job, dict(zip((task.id for task in job.tasks), answers, strict=True)))
        if job.focus is None or done.asked.looked is None:
            return result
        return replace(result, looked=done.asked.looked, looking=job.focus.tasks)

    def _checked(self, answers: Sequence[Answer], wanted: int) -> Sequence[Answer]:
        """One usable answer for each task; what an engine made of it is the frame's failure."""
        name = self._lane.name
        if len(answers) != wanted:
            reason = f"the engine gave {len(answers)} answers for {wanted} tasks"
            return [Failed(name, reason)] * wanted
        return [checked(answer, name) for answer in answers]


def _row_of(one: _InHand) -> str:
    """Whose answers are passed on in order: a camera's. What goes ahead waits for no other."""
    job = one.claim.job
    return job.frame.run if job.goes_ahead else job.frame.camera
