"""The port of a model that answers tasks about pictures: requests in, tickets out."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.answers import Answer, Failed
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EngineRequest:
    """One frame's pixels (H, W, 3) RGB and what is asked about them."""

    pixels: Pixels
    tasks: Sequence[Task]
    within_s: float | None = None
    """Seconds from `submit` after which an answer is of no use; None for any time."""


class Ticket:
    """The receipt of one request: its answers once they are there, in the order of its tasks.

    It is settled once, by whoever comes first: the engine, the deadline, `cancel` or the engine's
    end. What comes later is dropped. Every method may be called from any thread.
    """

    def __init__(self, request: EngineRequest) -> None:
        self.request = request
        self.batch = 0
        """How many requests were answered together, this one included; 0 where none was."""
        self.asked_alone = False
        """Whether it was asked once more by itself, because its batch had failed."""
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._answers: tuple[Answer, ...] = ()
        self._callbacks: list[Callable[[Ticket], None]] = []

    @property
    def done(self) -> bool:
        """Whether the answers are there."""
        return self._settled.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is done, at most `timeout_s`; whether it is."""
        return self._settled.wait(timeout_s)

    def result(self, timeout_s: float | None = None) -> tuple[Answer, ...]:
        """The answers, waited for; raises TimeoutError after `timeout_s`."""
        if not self._settled.wait(timeout_s):
            raise TimeoutError(f"not answered within {timeout_s:g} s")
        return self._answers

    def cancel(self) -> bool:
        """Give the request up: all its tasks fail at once; False when it was done already."""
        return self.fail("the request was cancelled")

    def add_done_callback(self, call: "Callable[[Ticket], None]") -> None:
        """Call with this ticket once it is done, at once if it is; in the thread that settles it.

        What `call` raises is logged and goes no further. A queue's `put` makes a completion queue.
        """
        with self._lock:
            if not self._settled.is_set():
                self._callbacks.append(call)
                return
        self._tell(call)

    def settle(self, answers: Sequence[Answer], batch: int = 1) -> bool:
        """For engines: hand in the answers; False when it was done already."""
        with self._lock:
            if self._settled.is_set():
                return False
            self._answers, self.batch = tuple(answers), batch
            self._settled.set()
            callbacks, self._callbacks = self._callbacks, []
        for call in callbacks:
            self._tell(call)
        return True

    def fail(self, reason: str, batch: int = 0) -> bool:
        """For engines: settle it with a failure for every task."""
        return self.settle([Failed(task.engine, reason) for task in self.request.tasks], batch)

    def _tell(self, call: "Callable[[Ticket], None]") -> None:
        try:
            call(self)
        except Exception:
            # The thread that settles belongs to the engine, or to somebody else's cancel.
            logger.exception("a callback of a ticket failed")


class Engine(Protocol):
    """Answers tasks about pictures, many at a time. Every method may be called from any thread."""

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the engine can make use of; None for no limit."""
        ...

    def submit(self, request: EngineRequest) -> Ticket:
        """Put a request in line; returns at once and never raises.

        One bad picture or task fails alone, as `Failed`, and so does all that is not answered
        within the request's time. After `close` a ticket is done from the start.
        """
        ...

    def close(self) -> None:
        """Fail everything outstanding and let go of the model. Safe to repeat."""
        ...
