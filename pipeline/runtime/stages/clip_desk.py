"""Asks samplers for the clips that are wanted in the store, and writes down what became of them."""

import logging
import threading
from collections.abc import Callable

from pipeline.core.clips import (
    FAILED,
    HELD,
    PARTIAL,
    READY,
    WAITS,
    WANTED,
    Clip,
    ClipAnswer,
    ClipExchange,
    ClipRecords,
)
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError, StoreError
from pipeline.deployment.model import Deployment
from pipeline.runtime.stages.base import StageThread

logger = logging.getLogger(__name__)

_LOOK_S = 0.5
# What was asked for is asked again after this long: a queue may have lost it.
_AGAIN_S = 60.0
# A wish that nobody has answered for so long, beyond its own length, is given up.
_GIVEN_UP_S = 900.0
_UNANSWERED = (
    "no sampler has answered; start one with `moonwatch sample FILE`, or update those that run"
)


class ClipDesk:
    """Stands between the store, which knows what is wanted, and the samplers, which have it.

    What is wanted is written with its events, so it is asked for again after every restart until
    there is an answer. One thread calls `run` or `step`.
    """

    def __init__(
        self,
        records: ClipRecords,
        exchange: ClipExchange | None,
        clock: Clock,
        check: Callable[[ClipAnswer], ClipAnswer] = lambda answer: answer,
        is_kept: Callable[[Clip], bool] = lambda clip: False,
    ) -> None:
        """`check` may correct an answer: a file may not have reached this process's folder.

        `is_kept` tells of a clip that waited to be sent whether it is there now.
        """
        self._records = records
        self._exchange = exchange
        self._clock = clock
        self._check = check
        self._is_kept = is_kept
        self._held_at = float("-inf")
        self._asked: dict[str, tuple[float, float]] = {}
        self._failing: dict[str, str] = {}
        """Why the last clip of a camera failed, which has been said."""
        self._cameras: frozenset[str] = frozenset()
        self._thread: StageThread | None = None
        self._stop = threading.Event()
        self._stepping = threading.Lock()
        self.waiting = 0
        """How many clips are wanted and not there yet."""

    def use(self, deployment: Deployment) -> None:
        """Ask for the clips of these cameras; the thread begins with the first that has any."""
        wanting = {
            name
            for name, camera in deployment.cameras.items()
            if any(rule.clip for rule in camera.rules.values())
        }
        self._cameras = frozenset(wanting)
        if wanting and self._thread is None and self._exchange is not None:
            self._thread = StageThread("clip desk", self.run, self._stop.set)
            self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why its thread has failed."""
        return self._thread.failure if self._thread is not None else None

    def is_settled(self) -> bool:
        """Whether no clip of these cameras is still to come; raises StoreError."""
        if self._thread is None:
            return True
        wanted = self._records.clips((WANTED,))
        return not any(clip.wish.camera in self._cameras for clip in wanted)

    def run(self) -> None:
        """Ask and write down until stopped."""
        while not self._stop.is_set():
            self.step()
            self._clock.wait(_LOOK_S, self._stop)

    def stop(self, within_s: float) -> None:
        """Ask for the last ones, and end."""
        if self._thread is not None and self._thread.stop(within_s):
            self.step()
            self._held_at = float("-inf")  # another step after this one looks once more

    def step(self) -> None:
        """Write down what was answered, and ask for what is wanted."""
        exchange = self._exchange
        if exchange is None:
            return
        with self._stepping:
            try:
                self._write_down(exchange)
                self._ask(exchange)
                self._look_for_held()
            except (QueueError, StoreError):
                return  # both say so themselves; the next step tries again

    def _write_down(self, exchange: ClipExchange) -> None:
        answers = exchange.answers()
        for answer in answers:
            checked = self._check(answer)
            if not self._records.settle_clip(checked):
                continue
            before = self._failing.get(checked.camera)
            if checked.state != FAILED:
                self._failing.pop(checked.camera, None)
            elif before != checked.reason:
                # A disk stays full for a whole night; `status` counts them.
                self._failing[checked.camera] = checked.reason
                logger.warning(
                    "camera %s: an event has no clip: %s; further ones are not logged",
                    *(checked.camera, checked.reason),
                    extra={"camera": checked.camera},
                )
        exchange.settle([answer.reference for answer in answers])

    def _look_for_held(self) -> None:
        """Its sampler may have sent one after a restart, when it knew of no wish any more."""
        now = self._clock.monotonic()
        if now - self._held_at < _AGAIN_S:
            return
        self._held_at = now
        for clip in self._records.clips((HELD,)):
            if clip.file is None or not self._is_kept(clip):
                continue
            short = clip.reason.partition(WAITS)[0].removesuffix("; ")
            wish, state = clip.wish, PARTIAL if short else READY
            self._records.settle_clip(
                ClipAnswer(
                    *(wish.reference, wish.camera, state, short, clip.file, clip.folder),
                    *(wish.until, clip.more),
                )
            )

    def _ask(self, exchange: ClipExchange) -> None:
        now, wanted = self._clock.monotonic(), self._records.clips((WANTED,))
        self.waiting = len(wanted)
        due = []
        for clip in wanted:
            wish = clip.wish
            age_s = self._clock.now() - clip.kept_at
            if age_s > _GIVEN_UP_S + (wish.until - wish.since):
                given_up = ClipAnswer(
                    wish.reference, wish.camera, FAILED, _UNANSWERED, until=wish.until
                )
                self._records.settle_clip(given_up)
                exchange.answer(given_up)  # nobody is to begin with it any more
                continue
            until, asked_at = self._asked.get(wish.reference, (0.0, float("-inf")))
            if wish.until > until or now - asked_at > _AGAIN_S:
                due.append(wish)
        if due:
            exchange.ask(due)
        references = {clip.wish.reference for clip in wanted}
        self._asked = {r: asked for r, asked in self._asked.items() if r in references}
        self._asked |= {wish.reference: (wish.until, now) for wish in due}
