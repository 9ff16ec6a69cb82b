"""Second looks: which events wait for another engine's answer, and when each of them goes out.

The events of one happening go out in their order, so that its end never overtakes its start; those
of a recording go out in the order in which they were judged, whatever the engine takes, so that it
gives the same events in the same order each time. Nothing else waits: minutes, checkpoints and the
events of other rules are stored at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.core.answers import Failed
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError, StoreError, UnreadablePictureError
from pipeline.core.events import Event
from pipeline.core.jobs import Result
from pipeline.core.queues import JobQueue, PictureShelf
from pipeline.core.store import Store
from pipeline.core.verifying import (
    SecondLook,
    Verification,
    WaitingEvent,
    question_name,
)
from pipeline.processing.plan import CameraPlan
from pipeline.processing.questions import asked_about, picture_of, pixels_of, question_job
from pipeline.rules.outcome import verification_by
from pipeline.telemetry.metrics import Metrics

MOST_WAITING = 100
"""The most events of a live camera that wait for an answer; more are unverified at once."""
# A queue that lost its memory lost the question, too; asking again while it is there changes
# nothing.
_ASK_AGAIN_S = 60.0
# An answer that has not come after this long was lost, whatever the queue remembers.
_LOST_S = 900.0
# A queue without room for another question, or out of reach, is tried again after this.
_RETRY_S = 0.5
# Pictures are read and compressed in the thread that judges.
_ASKED_AT_ONCE = 8
# What the keys of questions about events begin with.
_EVENT = "event/"
# What follows is when it began to wait: a recording in another store has the same events.
_SINCE = "@"

_NO_FRAME = "no frame led to this event"
_GONE = "the frame's picture was no longer kept when the event was judged"
_DAMAGED = "the frame's picture was damaged"
_LOST = "the picture that was to be asked about is gone"
_MISSED = "its beginning was not looked at"
_OVERLOADED = f"more than {MOST_WAITING} events of this camera wait for an answer"
_UNREADABLE = "the answer could not be read"
_REMOVED = "the camera was removed from the file while the event waited"


@dataclass(slots=True, eq=False)
class _LookedAt:
    """An event that waits, and what this process knows of its question. Times are monotonic."""

    kept: WaitingEvent
    due: float | None
    since: float
    asked_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether an answer is waited for."""
        return self.kept.look is not None and self.kept.verification is None


@dataclass(slots=True)
class Settlement:
    """What the next transaction has to hold."""

    waiting: dict[str, WaitingEvent] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.waiting or self.events or self.settled)


class Verifying:
    """The events that wait in one processor. All methods are for its thread, but `cameras`."""

    def __init__(
        self,
        store: Store,
        shelf: PictureShelf,
        jobs: JobQueue | None,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """Without a queue of `jobs` nothing is asked, and what waits goes on waiting."""
        self._store = store
        self._shelf = shelf
        self._jobs = jobs
        self._clock = clock
        self._metrics = metrics
        self._waiting: dict[str, _LookedAt] = {}
        self._outcomes: dict[str, Verification] = {}
        self._next = Settlement()
        self._retry_at = float("-inf")
        self._full_until: dict[str, float] = {}
        self.cameras: frozenset[str] = frozenset()
        """The cameras that have events waiting, or settled and not yet stored; for any thread."""

    def load(self, owns: Callable[[str], bool]) -> None:
        """Read what waits of the cameras that are judged here; raises StoreError."""
        known, now = self._waiting, self._clock.monotonic()
        self._waiting = {}
        for kept in self._store.waiting():
            if not owns(kept.event.camera):
                continue
            before = known.get(kept.event.record_id)
            if before is None:
                self._enter(kept, now)
            else:
                before.kept = kept
                self._waiting[kept.event.record_id] = before
        self._note()

    def hold(self, event: Event, plan: CameraPlan) -> Event | None:
        """The event as it goes out now; None if it waits. Raises QueueError and StoreError.

        Its happening may be known already: then the event carries the same outcome.
        """
        if event.record_id in self._waiting:
            return None  # judged again, as a recording is after an edit
        look = plan.verify.get(event.rule)
        own = [one for one in self._waiting.values() if one.kept.event.id == event.id]
        if own:
            self._wait(event, None, plan, None)
            return None
        verification: Verification | None = None
        if look is not None or event.phase in ("update", "end"):
            verification = self._known(event.id)
        picture = None
        if verification is None and look is not None:
            if event.phase in ("update", "end"):
                verification = Verification("unverified", look.engine, reason=_MISSED)
            else:
                picture, verification = self._picture(event, look, plan)
        if picture is None and not self._is_behind(event, plan):
            return event if verification is None else self._marked(event, verification)
        self._wait(event, look if picture is not None else None, plan, picture, verification)
        return None

    def answered(self, result: Result) -> bool:
        """Take the answer to a question about an event; False if the result is another one."""
        about = asked_about(result)
        if about is None or not about.startswith(_EVENT):
            return False
        one = self._waiting.get(about.removeprefix(_EVENT).partition(_SINCE)[0])
        if one is None or one.kept.look is None or not one.is_open:
            return True  # answered before, or too late
        answer = next(iter(result.answers.values()), Failed(result.engine, _UNREADABLE))
        self._conclude(one, verification_by(one.kept.look, answer))
        return True

    def abandon(self, camera: str) -> None:
        """A camera was removed from the file: nothing more is asked about it."""
        for one in [*self._waiting.values()]:
            if one.kept.event.camera == camera and one.is_open:
                self._give_up(one, _REMOVED)

    def settle(self, plans: Mapping[str, CameraPlan]) -> Settlement:
        """What the next transaction has to hold: events that go out, and those that wait.

        The same until `stored` is called.
        """
        now = self._clock.monotonic()
        for one in [*self._waiting.values()]:
            look = one.kept.look
            if look is None or not one.is_open:
                continue
            plan = plans.get(one.kept.event.camera)
            if plan is not None and look.engine not in plan.engines:
                self._give_up(one, f"engine {look.engine!r} is no longer used by the file")
            elif one.due is not None and now >= one.due:
                self._give_up(one, self._too_late(one, look))
        self._release()
        return self._next

    def stored(self) -> None:
        """What `settle` returned last is in the store."""
        self._next = Settlement()
        self._outcomes.clear()
        self._note()

    def ask(self) -> None:
        """Put the questions that are due into the queue, as far as it has room.

        To be called when what waits is stored. A store that is out of reach is tried again.
        """
        now = self._clock.monotonic()
        if self._jobs is None or now < self._retry_at:
            return
        asked = 0
        for one in [*self._waiting.values()]:
            look, event = one.kept.look, one.kept.event
            is_due = one.asked_at is None or now - one.asked_at >= _ASK_AGAIN_S
            # A camera with many questions does not keep those of others waiting.
            is_full = now < self._full_until.get(event.camera, now)
            if look is None or not one.is_open or not is_due or is_full:
                continue
            if asked >= _ASKED_AT_ONCE:
                return
            asked += 1
            try:
                picture = self._store.waiting_picture(event.record_id)
            except StoreError:  # those who write to it report it
                self._retry_at = now + _RETRY_S
                return
            pixels = pixels_of(picture) if picture else None
            if pixels is None:
                self._give_up(one, _LOST)
                continue
            task = look.task(question_name(event.rule))
            about = f"{_EVENT}{event.record_id}{_SINCE}{one.kept.since:.3f}"
            attempt = int((now - one.since) // _LOST_S)
            job = question_job(about, event.camera, event.at, task, pixels, attempt)
            try:
                accepted = self._jobs.put(job, 0.0).accepted
            except QueueError:  # the queue reports it
                self._retry_at = now + _RETRY_S
                return
            if accepted:
                one.asked_at = now
            else:
                self._full_until[event.camera] = now + _RETRY_S

    @property
    def waiting(self) -> int:
        """How many events wait for an answer."""
        return sum(one.is_open for one in self._waiting.values())

    def _known(self, happening: str) -> Verification | None:
        """The outcome of a happening, also one that is yet to be stored."""
        found = self._outcomes.get(happening)
        return found or self._store.outcomes([happening]).get(happening)

    def _is_behind(self, event: Event, plan: CameraPlan) -> bool:
        """Whether another event has to go out before it, as all of a recording's do."""
        if not plan.is_recording:
            return False
        return any(one.kept.event.camera == event.camera for one in self._waiting.values())

    def _picture(
        self, event: Event, look: SecondLook, plan: CameraPlan
    ) -> tuple[bytes | None, Verification | None]:
        """What is asked about; or the outcome, as nothing can be asked."""
        if not plan.is_recording:
            own = sum(
                one.is_open and one.kept.event.camera == event.camera
                for one in self._waiting.values()
            )
            if own >= MOST_WAITING:
                return None, Verification("unverified", look.engine, reason=_OVERLOADED)
        if event.seq is None or event.run is None:
            return None, Verification("unverified", look.engine, reason=_NO_FRAME)
        reason = _GONE
        try:
            pixels = self._shelf.fetch(event.camera, event.run, event.seq)
            if pixels is not None:
                box = event.subject.box if event.subject and look.of == "subject" else None
                return picture_of(pixels, box), None
        except (UnreadablePictureError, ValueError):
            reason = _DAMAGED
        return None, Verification("unverified", look.engine, reason=reason)

    def _wait(
        self,
        event: Event,
        look: SecondLook | None,
        plan: CameraPlan,
        picture: bytes | None,
        verification: Verification | None = None,
    ) -> None:
        in_order = plan.is_recording
        kept = WaitingEvent(event, self._clock.now(), look, in_order, verification)
        self._enter(kept, self._clock.monotonic())
        self._next.waiting[event.record_id] = replace(kept, picture=picture)
        self.cameras |= {event.camera}

    def _enter(self, kept: WaitingEvent, now: float) -> None:
        due = None
        if kept.look is not None and not kept.in_order:
            # After a restart what is left of its time, whatever was done to the clock.
            passed = max(0.0, self._clock.now() - kept.since)
            due = now + max(0.0, kept.look.deadline_s - passed)
        self._waiting[kept.event.record_id] = _LookedAt(kept, due, now)

    def _too_late(self, one: _LookedAt, look: SecondLook) -> str:
        what = "the engine gave no answer" if one.asked_at is not None else "it was not asked"
        return f"{what} within {look.deadline_s:g} s"

    def _give_up(self, one: _LookedAt, reason: str) -> None:
        engine = one.kept.look.engine if one.kept.look is not None else ""
        self._conclude(one, Verification("unverified", engine, reason=reason))

    def _conclude(self, one: _LookedAt, verification: Verification) -> None:
        one.kept = replace(one.kept, verification=verification)
        seconds = self._clock.monotonic() - one.since
        self._metrics.second_look_seconds.labels(verification.engine).observe(seconds)
        if one.kept.in_order:
            # It may have to wait for others: the answer is not asked for twice.
            waiting = self._next.waiting
            before = waiting.get(one.kept.event.record_id)
            picture = before.picture if before is not None else None
            waiting[one.kept.event.record_id] = replace(one.kept, picture=picture)

    def _release(self) -> None:
        """Let go what is known and has nothing before it."""
        held_cameras: set[str] = set()
        held_happenings: set[str] = set()
        for record_id, one in [*self._waiting.items()]:
            event = one.kept.event
            if (
                one.is_open
                or event.id in held_happenings
                or (one.kept.in_order and event.camera in held_cameras)
            ):
                held_cameras.add(event.camera)
                held_happenings.add(event.id)
                continue
            verification = one.kept.verification
            if verification is None:
                verification = self._known(event.id)  # that of its beginning, if it had one
            out = event if verification is None else self._marked(event, verification)
            del self._waiting[record_id]
            self._next.events.append(out)
            self._next.waiting.pop(record_id, None)
            self._next.settled.append(record_id)

    def _marked(self, event: Event, verification: Verification) -> Event:
        self._outcomes.setdefault(event.id, verification)
        if event.phase in ("start", "single"):
            labels = (event.camera, event.rule, verification.outcome)
            self._metrics.second_looks.labels(*labels).inc()
        return verification.marked(event)

    def _note(self) -> None:
        numbers = dict.fromkeys(self.cameras, 0)
        for one in self._waiting.values():
            camera = one.kept.event.camera
            numbers[camera] = numbers.get(camera, 0) + one.is_open
        for camera, number in numbers.items():
            self._metrics.second_looks_waiting.labels(camera).set(number)
        self.cameras = frozenset(one.kept.event.camera for one in self._waiting.values())
