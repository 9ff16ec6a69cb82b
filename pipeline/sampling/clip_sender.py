"""Sends finished clips to where they are kept; what cannot be sent waits here until it can."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.core.clips import (
    FAILED,
    HELD,
    WAITS,
    ClipAnswer,
    HeldClips,
    HeldFile,
    file_reference,
)
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError

logger = logging.getLogger(__name__)

_LOOK_S = 0.5
# How long a process that ends tries to send what is left.
_AT_END_S = 10.0
# What could not be sent is tried again after this long, and then after twice as long each time.
_AGAIN_S = (5.0, 300.0)
_HOURS_S = 3600.0

Say = Callable[[ClipAnswer], None]


class ClipSender:
    """Takes answers whose files are held on this machine, and says them once these are sent.

    Files that an earlier process has left are sent too; that their clips are there then is found
    out by those who look for them. One thread calls `run` or `step`, any thread `take`.
    """

    def __init__(
        self, held: HeldClips, clock: Clock, keep_s: float | None, at_most: int | None
    ) -> None:
        """Files that wait for longer than `keep_s`, and the oldest beyond `at_most` bytes, go."""
        self._held = held
        self._clock = clock
        self.keep_s = keep_s
        self.at_most = at_most
        self._lock = threading.Lock()
        self._stepping = threading.Lock()
        self._answers: dict[str, tuple[ClipAnswer, Say]] = {}
        """What is to be said once all files of a clip are sent, by its reference."""
        self._told: set[str] = set()
        """Those of which was said that they wait."""
        self._failures = 0
        self._again_at = float("-inf")
        self._stop = threading.Event()
        self.trouble: str | None = None
        """Why clips wait on this machine."""

    def take(self, answer: ClipAnswer, say: Say) -> None:
        """Say this once its files are where they are kept."""
        with self._lock:
            self._answers[answer.reference] = (answer, say)
            self._told.discard(answer.reference)

    @property
    def is_idle(self) -> bool:
        """Whether something was said of every answer: that it is there, or that it waits."""
        with self._lock:
            return self._told >= self._answers.keys()

    def run(self) -> None:
        """Send until stopped."""
        while not self._stop.is_set():
            self.step()
            self._clock.wait(_LOOK_S, self._stop)

    def stop(self) -> None:
        """Return from `run`."""
        self._stop.set()

    def step(self, *, at_once: bool = False) -> None:
        """Send what waits, unless it failed just now; `at_once` tries all the same."""
        with self._stepping:
            with self._lock:  # first, as an answer comes after its files
                answers = list(self._answers)
            now = self._clock.monotonic()
            files = self._within_bounds(self._held.held())
            if files and (at_once or now >= self._again_at):
                files = self._sent(files, now + _AT_END_S if at_once else float("inf"))
            self._tell(answers, files)

    def _sent(self, files: Sequence[HeldFile], until: float) -> list[HeldFile]:
        """Send them, the oldest first; those that still wait."""
        left: list[HeldFile] = []
        reason = "its process ended"
        for nth, file in enumerate(files):
            if self._clock.monotonic() > until:
                left += files[nth:]
                break
            try:
                self._held.send(file.reference)
            except StoreError as error:
                left.append(file)
                reason = str(error)
        if not left:
            if self.trouble is not None:
                logger.info("clips that waited for their bucket are sent")
            self._failures, self._again_at, self.trouble = 0, float("-inf"), None
            return left
        if len(left) == len(files):
            self._failures += 1
        least, most = _AGAIN_S
        after_s = min(most, least * 2 ** min(10, max(0, self._failures - 1)))
        self._again_at = self._clock.monotonic() + after_s
        number = "1 clip file waits" if len(left) == 1 else f"{len(left)} clip files wait"
        size = sum(one.size for one in left) / 1e6
        before, self.trouble = (
            self.trouble,
            f"{number} on this machine for the bucket ({size:.1f} MB): {reason}",
        )
        if before is None:
            logger.error("%s; they are tried again until it takes them", self.trouble)
        return left

    def _within_bounds(self, files: Sequence[HeldFile]) -> list[HeldFile]:
        """Those that there is time and room for; the others go, the oldest first."""
        kept: list[HeldFile] = []
        room, oldest = self.at_most, None
        if self.keep_s is not None:
            oldest = self._clock.now() - self.keep_s
        total = 0
        for file in sorted(files, key=lambda one: one.since, reverse=True):
            total += file.size
            if oldest is not None and file.since < oldest:
                self._drop(file, f"for {self.keep_s / _HOURS_S:.0f} h" if self.keep_s else "")
            elif room is not None and total > room:
                self._drop(file, "and there was no more room for it (`store.clips.at_most`)")
            else:
                kept.append(file)
        return kept[::-1]

    def _drop(self, file: HeldFile, why: str) -> None:
        reason = f"its bucket could not be reached {why}".rstrip()
        try:
            self._held.drop(file.reference)
        except StoreError as error:
            logger.warning("%s", error)
            return
        logger.warning("clip %s is lost: %s", file.reference, reason)
        with self._lock:
            for reference, (answer, say) in list(self._answers.items()):
                if file.reference in _references(answer):
                    lost = ClipAnswer(reference, answer.camera, FAILED, reason, until=answer.until)
                    self._answers[reference] = (lost, say)

    def _tell(self, references: Sequence[str], waiting: Sequence[HeldFile]) -> None:
        """Say of each clip that it is there, or once that it waits."""
        left = {file.reference for file in waiting}
        with self._lock:
            answers = [(one, *self._answers[one]) for one in references]
        for reference, answer, say in answers:
            waits = not left.isdisjoint(_references(answer))
            if waits and reference in self._told:
                continue
            if waits and self.trouble is None:
                continue  # it came just now, and is sent at the next step
            if waits:
                reason = f"{answer.reason}; {WAITS}" if answer.reason else WAITS
                reason = f"{reason} (host {socket.gethostname()})"
                say(replace(answer, state=HELD, reason=reason))
            else:
                say(answer)
            with self._lock:
                if self._answers[reference][0] is not answer:
                    continue  # it has grown since
                if waits:
                    self._told.add(reference)
                else:
                    del self._answers[reference]
                    self._told.discard(reference)


def _references(answer: ClipAnswer) -> set[str]:
    every = () if answer.file is None else (answer.file, *answer.more)
    return {file_reference(answer.reference, nth) for nth, _ in enumerate(every, 1)}
