"""The line of callers: bounded by number and by age, taken in turns, with a deadline for each."""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.inference.callers import Call, CallTicket, OverloadedError, ReservedPlace

CLOSED = "the engine is stopping"
# How often deadlines are looked at.
_LOOK_S = 0.25
# How long `close` waits for the thread that does.
_END_S = 2.0
# Answers that the pace is measured over, and the bounds of what is said of it.
_RECENT = 64
_SOONEST_S, _LATEST_S = 1.0, 120.0


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What callers may take of an engine."""

    share: float = 0.5
    """Of the rows of the running batch, while cameras want them too."""
    queue: int = 64
    """The most calls in line."""
    wait_s: float = 10.0
    """The longest that one stands in line."""
    stalled_after_s: float = 120.0
    """The longest that a step of the model takes before the engine counts as stuck."""


@dataclass(slots=True, eq=False)
class _Times:
    """When a call came, and when it is useless."""

    since: float
    due: float


class CallLine:
    """Calls that wait for the engine or are being answered. Every method is safe in any thread.

    Callers take turns. When the line is full, whoever has the most in it makes room for one who
    has less, so that nobody can fill it for the others.
    """

    def __init__(self, limits: CallLimits, clock: Clock, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to take."""
        self._limits, self._clock, self._wake = limits, clock, wake
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[CallTicket]] = OrderedDict()
        self._count = 0
        self._coming: Counter[str] = Counter()
        self._outstanding: dict[CallTicket, _Times] = {}
        self._answered_at: deque[float] = deque(maxlen=_RECENT)
        self._closed = False
        self._watcher: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many are in line."""
        return self._count

    @property
    def running(self) -> int:
        """How many have been taken and are not done."""
        with self._changed:
            return len(self._outstanding) - self._count

    def reserve(self, caller: str) -> ReservedPlace:
        """Keep a place for a call that is being prepared; raises OverloadedError."""
        with self._changed:
            taken = self._count + self._coming.total()
            own = len(self._waiting.get(caller, ())) + self._coming[caller]
            if taken >= self._limits.queue and self._most() <= own + 1:
                raise self._overloaded()
            self._coming[caller] += 1
        return ReservedPlace(lambda: self._came(caller))

    def submit(self, call: Call, *, is_first: bool = False) -> CallTicket:
        """Put a call in line, `is_first` at the head; raises OverloadedError."""
        ticket = CallTicket(call, self._clock.monotonic())
        pushed_out: CallTicket | None = None
        with self._changed:
            if self._closed:
                ticket.fail("stopped", CLOSED)
                return ticket
            if self._count >= self._limits.queue:
                pushed_out = self._greediest(call.caller)
                if pushed_out is None:
                    raise self._overloaded()
                self._leave(pushed_out)
            now = ticket.submitted_at
            due = float("inf") if call.within_s is None else now + call.within_s
            self._outstanding[ticket] = _Times(now, due)
            own = self._waiting.setdefault(call.caller, deque())
            own.append(ticket)
            if is_first:
                self._waiting.move_to_end(call.caller, last=False)
            self._count += 1
            if self._watcher is None:
                self._watcher = threading.Thread(
                    target=self._watch, name="callers' deadlines", daemon=True
                )
                self._watcher.start()
            elif len(self._outstanding) == 1:
                self._changed.notify_all()
        if pushed_out is not None:
            pushed_out.fail("overloaded", "the line is full, and others wait with fewer requests")
        ticket.listen(lambda: self._look_at(ticket))
        self._wake()
        return ticket

    def take(self) -> CallTicket | None:
        """The next in line, if any: the callers take turns."""
        with self._changed:
            if not self._waiting:
                return None
            caller, own = next(iter(self._waiting.items()))
            ticket = own.popleft()
            self._count -= 1
            if own:
                self._waiting.move_to_end(caller)
            else:
                del self._waiting[caller]
            return ticket

    def retry_after_s(self) -> float:
        """When the calls in line will have been answered, at the recent pace."""
        with self._changed:
            return self._retry_after_s()

    def close(self, reason: str = CLOSED) -> None:
        """Fail everything outstanding, and accept nothing more. Safe to repeat."""
        with self._changed:
            self._closed = True
            outstanding = list(self._outstanding)
            self._changed.notify_all()
            watcher = self._watcher
        for ticket in outstanding:
            ticket.fail("stopped", reason)
        if watcher is not None and watcher is not threading.current_thread():
            watcher.join(_END_S)

    def _came(self, caller: str) -> None:
        with self._changed:
            self._coming[caller] -= 1
            if not self._coming[caller]:
                del self._coming[caller]

    def _most(self) -> int:
        """The most places that one caller has."""
        names = {*self._waiting, *self._coming}
        return max(len(self._waiting.get(name, ())) + self._coming[name] for name in names)

    def _overloaded(self) -> OverloadedError:
        return OverloadedError(f"{self._count} requests are waiting already", self._retry_after_s())

    def _look_at(self, ticket: CallTicket) -> None:
        """Forget a call that is done; called whenever there is news of it."""
        if not ticket.is_done:
            return
        with self._changed:
            self._leave(ticket)
            self._outstanding.pop(ticket, None)
            if ticket.fault is None:
                self._answered_at.append(self._clock.monotonic())

    def _leave(self, ticket: CallTicket) -> None:
        """Take a call out of the line, if it is there."""
        own = self._waiting.get(ticket.call.caller)
        if own is not None and ticket in own:
            own.remove(ticket)
            self._count -= 1
            if not own:
                del self._waiting[ticket.call.caller]

    def _greediest(self, caller: str) -> CallTicket | None:
        """The newest call of whoever has most in line; None where that is this caller."""
        most = max(self._waiting.values(), key=len)
        own = len(self._waiting.get(caller, ()))
        return most[-1] if len(most) > own + 1 else None

    def _retry_after_s(self) -> float:
        answered = self._answered_at
        since = self._clock.monotonic() - answered[0] if answered else 0.0
        if since <= 0:
            return min(self._limits.wait_s, _LATEST_S)
        return min(max(self._count * since / len(answered), _SOONEST_S), _LATEST_S)

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = self._clock.monotonic()
                late = [one for one, times in self._outstanding.items() if times.due <= now]
                expired = [
                    one
                    for own in self._waiting.values()
                    for one in own
                    if now - self._outstanding[one].since >= self._limits.wait_s
                ]
                if not late and not expired:
                    self._changed.wait(_LOOK_S if self._outstanding else None)
                    continue
            for ticket in late:
                ticket.fail("late", f"no answer within {ticket.call.within_s:g} s")
            for ticket in expired:
                waited = f"waited in line for {self._limits.wait_s:g} s"
                ticket.fail("overloaded", f"the request {waited}; the model has too much to do")
