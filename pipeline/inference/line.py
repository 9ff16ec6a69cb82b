"""The queue of an engine that works in its own thread, and the deadlines of its requests."""

import logging
import math
import threading
import time
from collections.abc import Callable

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.engines import EngineRequest, Ticket

logger = logging.getLogger(__name__)

CLOSED = "the engine is closed"
# How long `close` waits for running work, which cannot be interrupted.
CLOSE_S = 2.0
# How often deadlines are looked at on a clock that does not run by itself.
_LOOK_S = 0.25


class RequestLine:
    """Requests that wait for one engine or are being answered; those past their deadline fail.

    They are taken in the order in which they came, those first for which a person waits.

    Two threads start with the first request: one runs `work`, which takes from the line until it
    is closed; the other watches the deadlines, because the first may be busy inside a model.
    Deadlines are measured on `clock`; waiting is real. Every method may be called from any thread.
    """

    def __init__(
        self, work: Callable[[], None], let_go: Callable[[], None], clock: Clock | None = None
    ) -> None:
        """`work` takes until there is nothing more; `let_go` is called once, after it."""
        self._work = work
        self._let_go = let_go
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._waiting: dict[Ticket, None] = {}
        self._due: dict[Ticket, float] = {}
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.failure: str | None = None
        """Why its thread has ended by itself; None if it has not."""

    @property
    def is_closed(self) -> bool:
        """Whether it accepts no more requests."""
        return self._closed

    def submit(self, request: EngineRequest) -> Ticket:
        """Put a request in line."""
        ticket = Ticket(request)
        within_s = math.inf if request.within_s is None else request.within_s
        with self._changed:
            closed = self._closed
            if not closed:
                self._start()
                self._waiting[ticket] = None
                self._due[ticket] = self._clock.monotonic() + within_s
                self._changed.notify_all()
        if closed:
            ticket.fail(CLOSED)
        ticket.add_done_callback(self._forget)
        return ticket

    @property
    def waiting(self) -> int:
        """How many requests nobody has taken yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the threads before the first request, for work that comes from elsewhere."""
        with self._changed:
            if not self._closed:
                self._start()

    def wake(self) -> None:
        """Let `take` look at `or_when` again."""
        with self._changed:
            self._changed.notify_all()

    def take(
        self, most: int, gather_s: float, or_when: Callable[[], bool] = lambda: False
    ) -> list[Ticket]:
        """Wait for the next requests, then up to `gather_s` longer until there are `most`.

        Empty only when the line is closed, or when `or_when` says that there is other work: then
        nothing is waited for. It is called with the line's lock held.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed or or_when())
                until = time.monotonic() + gather_s
                while 0 < len(self._waiting) < most and not self._closed and not or_when():
                    left_s = until - time.monotonic()
                    if left_s <= 0 or not self._changed.wait(left_s):
                        break
                # Those that were cancelled meanwhile have left the line.
                if self._waiting or self._closed or or_when():
                    return self._taken(most)

    def take_now(self, most: int) -> list[Ticket]:
        """Take what is next in line without waiting, if anything."""
        with self._changed:
            return self._taken(most)

    def close(self) -> None:
        """Fail everything outstanding and end the threads.

        Waits up to `CLOSE_S` for a thread that is inside a model; the model is freed when that
        thread returns.
        """
        with self._changed:
            first, self._closed = not self._closed, True
            outstanding = list(self._due)
            self._changed.notify_all()
        for ticket in outstanding:
            ticket.fail(CLOSED)
        if first and not self._threads:
            self._let_go()
        until = time.monotonic() + CLOSE_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _start(self) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._run, name="engine", daemon=True),
                threading.Thread(target=self._watch, name="engine deadlines", daemon=True),
            ]
            for thread in self._threads:
                thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            # A dead engine must be noticed: all that waits for it fails, and so do later requests.
            logger.exception("an engine's thread failed")
            self.failure = "the engine's thread failed; the log says why"
            with self._changed:
                self._closed = True
                outstanding = list(self._due)
                self._changed.notify_all()
            for ticket in outstanding:
                ticket.fail("the engine's thread failed")
        finally:
            self._let_go()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                left_s = min(self._due.values(), default=math.inf) - self._clock.monotonic()
                if left_s > 0:
                    self._changed.wait(None if left_s == math.inf else min(left_s, _LOOK_S))
                    continue
                now = self._clock.monotonic()
                late = [ticket for ticket, due in self._due.items() if due <= now]
            for ticket in late:
                ticket.fail(f"no answer within {ticket.request.within_s:g} s")

    def _taken(self, most: int) -> list[Ticket]:
        if self._closed:
            return []
        taken = sorted(self._waiting, key=lambda ticket: not ticket.request.ahead)[:most]
        for ticket in taken:
            del self._waiting[ticket]
        return taken

    def _forget(self, ticket: Ticket) -> None:
        with self._changed:
            self._waiting.pop(ticket, None)
            self._due.pop(ticket, None)
