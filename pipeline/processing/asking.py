"""Questions about tracks: asked once each, and answered in the order of results.

A question is kept with its picture beside the checkpoints until it is answered, so that a restart
asks it again and nothing else. Its answer becomes a part of the next result of its lane; a
recording's lane is not judged on before that, so that it gives the same each time.
"""

import base64
import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pipeline.core.answers import Answer, Failed
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError, UnreadablePictureError
from pipeline.core.jobs import Result
from pipeline.core.queues import Delivered, JobQueue, PictureShelf
from pipeline.core.rules import TrackQuestion
from pipeline.core.store import Checkpoint
from pipeline.core.verifying import SecondLook
from pipeline.processing.plan import CameraPlan
from pipeline.processing.questions import (
    TRACK,
    asked_about,
    picture_of,
    pixels_of,
    question_job,
    track_key,
)
from pipeline.rules.memory import dump, load

logger = logging.getLogger(__name__)

BESIDE = "track/"
"""How the engine of a checkpoint begins that holds the questions of a lane: no engine is named so.
The lane's own engine follows."""
MOST_ASKED = 100
"""The most tracks of a live camera that an answer is waited for; of more nobody is asked."""
# An answer may come this long after the event went out without it.
_LATE_S = 60.0
# A recording that waits for longer is a trouble.
_LONG_S = 60.0
# As for second looks: a queue that lost its memory lost the question, too.
_ASK_AGAIN_S = 60.0
_LOST_S = 900.0
_RETRY_S = 0.5
# The sampler of a recording takes every place in the queue that becomes free, if nobody waits.
_WAIT_S = 0.2
_ASKED_AT_ONCE = 8
# What follows in a question's key is when it was asked: a recording has the same tracks each time.
_SINCE = "#"

_GONE = "no picture of the track was kept any more"
_DAMAGED = "the track's picture was damaged"
_OVERLOADED = f"more than {MOST_ASKED} tracks of this camera wait for an answer"
_NOT_USED = "the engine is no longer used by the file"
_UNREADABLE = "the answer could not be read"


@dataclass(frozen=True, slots=True)
class _KeptQuestion:
    """A question as it is kept until it is answered."""

    key: str
    name: str
    run: str
    at: float
    """When its picture's lane was, UTC seconds of capture."""
    since: float
    """UTC seconds of the moment from which it waits."""
    look: SecondLook
    in_order: bool
    picture: str
    """What is asked about, as a JPEG in base64."""


@dataclass(slots=True)
class _KeptQuestions:
    version: ClassVar[int] = 1
    questions: list[_KeptQuestion] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _OpenQuestion:
    """A question, and what this process knows of it. Times are monotonic."""

    kept: _KeptQuestion
    began: float
    asked_at: float | None = None
    answer: Answer | None = None
    delivered: list[Delivered] = field(default_factory=list)
    """To be acknowledged with the result that carries the answer."""


class TrackQuestions:
    """The questions about tracks of one processor. All methods are for its thread."""

    def __init__(self, shelf: PictureShelf, jobs: JobQueue | None, clock: Clock) -> None:
        """Without a queue of `jobs` nothing is asked, and what waits goes on waiting."""
        self._shelf = shelf
        self._jobs = jobs
        self._clock = clock
        self._lanes: dict[tuple[str, str], dict[str, _OpenQuestion]] = {}
        self._changed: set[tuple[str, str]] = set()
        self._retry_at = float("-inf")
        self._said: set[tuple[str, str]] = set()
        self.troubles: tuple[str, ...] = ()
        """Recordings that have waited for an answer for long; for any thread."""

    def load(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Go on with what was asked when these were stored; what is known already stays."""
        now = self._clock.monotonic()
        for checkpoint in checkpoints:
            lane = (checkpoint.camera, checkpoint.engine.removeprefix(BESIDE))
            if lane in self._lanes:
                continue
            try:
                kept = load(_KeptQuestions, checkpoint.state).questions
            except ValueError as error:
                text = "camera %s: its questions about tracks cannot be read: %s"
                logger.warning(text, lane[0], error, extra={"camera": lane[0]})
                kept = []
            self._lanes[lane] = {one.key: _OpenQuestion(one, now) for one in kept}

    def take(self, plan: CameraPlan, result: Result, questions: Collection[TrackQuestion]) -> None:
        """Ask what rules want to know since this result; raises QueueError."""
        lane = (plan.camera, result.engine)
        for question in questions:
            asked = self._lanes.setdefault(lane, {})
            key = track_key(question)
            if key in asked:
                continue
            picture, failed = self._picture(plan, result, question)
            kept = _KeptQuestion(
                key,
                question.name,
                result.run,
                result.captured_at,
                self._clock.now(),
                question.look,
                plan.is_recording,
                picture,
            )
            asked[key] = _OpenQuestion(kept, self._clock.monotonic())
            self._changed.add(lane)
            if failed:
                self._fail(lane, asked[key], failed)

    def answered(self, arrived: Delivered) -> bool:
        """Take the answer to a question about a track; False if it is nobody's, or known."""
        result = arrived.result
        about = asked_about(result)
        if about is None or not about.startswith(TRACK):
            return False
        key, _, since = about.rpartition(_SINCE)
        for (camera, _engine), asked in self._lanes.items():
            one = asked.get(key)
            if camera != result.camera or one is None or one.answer is not None:
                continue
            if since == f"{one.kept.since:.3f}":
                one.answer = next(iter(result.answers.values()), Failed(result.engine, _UNREADABLE))
                one.delivered.append(arrived)
                return True
        return False

    def blocks(self, camera: str, engine: str) -> bool:
        """Whether the lane's next result has to wait for an answer, as those of recordings do."""
        return any(
            one.kept.in_order and one.answer is None
            for one in self._lanes.get((camera, engine), {}).values()
        )

    def attach(self, result: Result) -> tuple[Result, list[Delivered]]:
        """The next result of a lane with the answers that are known by now.

        With it, what brought them, which is done once the result is stored.
        """
        lane = (result.camera, result.engine)
        asked = self._lanes.get(lane)
        if not asked or result.unjudgeable:
            return result, []
        known = {key: one for key, one in asked.items() if one.answer is not None}
        over = [key for key, one in asked.items() if result.live and one.kept.run != result.run]
        delivered = [item for one in known.values() for item in one.delivered]
        for key in {*known, *over}:
            del asked[key]
            self._changed.add(lane)
        told = {key: one.answer for key, one in known.items() if key not in over}
        answers = {key: answer for key, answer in told.items() if answer is not None}
        return replace(result, answers={**result.answers, **answers}), delivered

    def abandon(self, camera: str) -> None:
        """A camera was removed from the file: nothing more is asked about it."""
        for lane, asked in self._lanes.items():
            if lane[0] == camera and asked:
                asked.clear()
                self._changed.add(lane)

    def settle(self, plans: Mapping[str, CameraPlan]) -> None:
        """Give up on what the file no longer asks, and on answers that come much too late."""
        now = self._clock.now()
        waiting: dict[str, str] = {}
        for lane, asked in self._lanes.items():
            plan = plans.get(lane[0])
            if plan is None:
                continue  # not of this process, or not yet
            if asked and all(planned.engine != lane[1] for planned in plan.lanes):
                asked.clear()
                self._changed.add(lane)
            for key, one in [*asked.items()]:
                waited_s = max(0.0, now - one.kept.since)
                if one.answer is not None:
                    continue
                if one.kept.look.engine not in plan.engines:
                    self._fail(lane, one, _NOT_USED)
                elif not one.kept.in_order and waited_s > one.kept.look.deadline_s + _LATE_S:
                    self._say(lane[0], f"the engine gave no answer within {waited_s:.0f} s")
                    del asked[key]
                    self._changed.add(lane)
                elif one.kept.in_order and waited_s > _LONG_S:
                    waiting[lane[0]] = (
                        f"camera {lane[0]}: its recording waits for engine "
                        f"{one.kept.look.engine!r} to answer a question about a track; start a "
                        "worker that has the engine"
                    )
        self.troubles = tuple(waiting.values())

    @property
    def cameras(self) -> frozenset[str]:
        """Those with tracks that are asked about."""
        return frozenset(camera for (camera, _), asked in self._lanes.items() if asked)

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Those that changed since `stored` was called."""
        for camera, engine in sorted(self._changed):
            questions = [one.kept for one in self._lanes[camera, engine].values()]
            yield Checkpoint(camera, BESIDE + engine, "", -1, dump(_KeptQuestions(questions)))

    @property
    def is_changed(self) -> bool:
        """Whether there is something to store."""
        return bool(self._changed)

    def stored(self) -> None:
        """What `checkpoints` returned last is in the store."""
        for lane in self._changed:
            if not self._lanes[lane]:
                del self._lanes[lane]
        self._changed.clear()

    def ask(self) -> None:
        """Put the questions that are due into the queue, as far as it has room.

        To be called when what waits is stored.
        """
        now, put = self._clock.monotonic(), 0
        if self._jobs is None or now < self._retry_at:
            return
        for lane, asked in self._lanes.items():
            for one in asked.values():
                is_due = one.asked_at is None or now - one.asked_at >= _ASK_AGAIN_S
                if one.answer is not None or not is_due:
                    continue
                if put >= _ASKED_AT_ONCE:
                    return
                put += 1
                if not self._put(lane, one, now):
                    self._retry_at = now + _RETRY_S
                    break

    def _put(self, lane: tuple[str, str], one: _OpenQuestion, now: float) -> bool:
        assert self._jobs is not None
        kept, pixels = one.kept, None
        with contextlib.suppress(ValueError):
            pixels = pixels_of(base64.b64decode(kept.picture, validate=True))
        if pixels is None:
            self._fail(lane, one, _DAMAGED)
            return True
        about = f"{kept.key}{_SINCE}{kept.since:.3f}"
        attempt = int((now - one.began) // _LOST_S)
        question = kept.look.task(kept.name)
        job = question_job(about, lane[0], kept.at, question, pixels, attempt)
        try:
            accepted = self._jobs.put(job, _WAIT_S if kept.in_order else 0.0).accepted
        except QueueError:  # the queue reports it
            return False
        if accepted:
            one.asked_at = now
        return accepted

    def _picture(
        self, plan: CameraPlan, result: Result, question: TrackQuestion
    ) -> tuple[str, str]:
        """What is asked about, or why nothing can be."""
        if not plan.is_recording:
            waiting = sum(
                one.answer is None
                for (camera, _), asked in self._lanes.items()
                for one in asked.values()
                if camera == plan.camera
            )
            if waiting >= MOST_ASKED:
                return "", _OVERLOADED
        reason = _GONE
        for seq, box in question.seen:
            try:
                pixels = self._shelf.fetch(plan.camera, result.run, seq)
                if pixels is not None:
                    return base64.b64encode(picture_of(pixels, box)).decode(), ""
            except (UnreadablePictureError, ValueError):
                reason = _DAMAGED
        return "", reason

    def _fail(self, lane: tuple[str, str], one: _OpenQuestion, reason: str) -> None:
        one.answer = Failed(one.kept.look.engine, reason)
        self._say(lane[0], reason)

    def _say(self, camera: str, reason: str) -> None:
        if (camera, reason) in self._said:
            return
        self._said.add((camera, reason))
        logger.warning(
            "camera %s: a question about a track has no answer: %s; further ones are not logged",
            *(camera, reason),
            extra={"camera": camera},
        )
