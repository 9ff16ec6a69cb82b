"""What became of happenings at each sink, and sending again what one of them refused."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.stores.sql import SqlStore
from pipeline.core.address import without_secrets
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.happenings import Happening
from pipeline.core.store import StoredEvent, Undelivered
from pipeline.delivery import Resent, resend
from pipeline.delivery.route import Route
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import routes_of
from pipeline.runtime.reports import reports_of
from pipeline.web.problems import WebError

DeliveryState = Literal["delivered", "waiting", "refused", "not sent"]
_AGED_S = 86_400.0
_TURN_S = 5.0
_again = threading.Lock()


@dataclass(frozen=True, slots=True)
class SentTo:
    """What became of one event at one sink."""

    sink: str
    record_id: str
    phase: str
    state: DeliveryState
    at: float | None = None
    """When it was delivered, in UTC seconds; None where that is not known."""
    after_s: float | None = None
    """How long after its capture that was; of a recording that says nothing."""
    attempts: int | None = None
    """How often it was tried, where that is known."""
    reason: str = ""
    """Why it waits, was refused or is not sent, as a sentence; empty where nothing is wrong."""
    retry_at: float | None = None
    """When it is tried again."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How many events of a happening are where."""

    delivered: int = 0
    waiting: int = 0
    refused: int = 0


@dataclass(slots=True)
class Deliveries:
    """How delivery stands, read once for a page of happenings."""

    deployment: Deployment
    store: SqlStore
    clock: Clock
    _routes: dict[str, Route] = field(default_factory=dict)
    _letters: dict[tuple[str, int], Undelivered] = field(default_factory=dict)
    _refused_by: dict[int, set[str]] = field(default_factory=dict)
    _looked_up: set[int] = field(default_factory=set)
    _positions: dict[str, int] = field(default_factory=dict)

    def read(self) -> "Deliveries":
        """Read the cursors; raises StoreError."""
        self._routes = {
            name: Route.of(name, config, self.deployment.reports_to(name))
            for name, config in self.deployment.sinks.items()
        }
        self._positions = {
            one.sink: one.position
            for one in self.store.history.cursors()
            if one.sink in self._routes
        }
        return self

    def look_up(self, found: Iterable[Happening]) -> None:
        """Read what was refused of these, all at once; raises StoreError."""
        positions = {stored.position for one in found for stored in one.events} - self._looked_up
        if not positions:
            return
        for one in self.store.undelivered_at(positions):
            self._letters[one.sink, one.position] = one
            self._refused_by.setdefault(one.position, set()).add(one.sink)
        self._looked_up |= positions

    def sending(self, one: Happening) -> Sending:
        """What became of all its events, added up over the sinks of the file."""
        self.look_up([one])
        states = [state for event in one.events for _, state in self._states(event)]
        return Sending(*(states.count(name) for name in ("delivered", "waiting", "refused")))

    def letters_of(self, one: Happening) -> list[Undelivered]:
        """What sinks refused of it."""
        self.look_up([one])
        positions = dict.fromkeys(stored.position for stored in one.events)
        return [
            self._letters[sink, position]
            for position in positions
            for sink in sorted(self._refused_by.get(position, ()))
        ]

    def told(self, one: Happening) -> list[SentTo]:
        """What became of each event of it at each sink; raises StoreError."""
        self.look_up([one])
        passed = self.store.passages.passed_at([stored.position for stored in one.events])
        lanes = self._lanes()
        return [
            self._told(stored, sink, state, passed, lanes.get(sink, {}))
            for stored in one.events
            for sink, state in self._states(stored)
        ]

    def _states(self, stored: StoredEvent) -> Iterable[tuple[str, DeliveryState]]:
        refused_by = self._refused_by.get(stored.position, set())
        for sink in sorted({*self._routes, *refused_by}):
            yield sink, self._state(stored, sink)

    def _state(self, stored: StoredEvent, sink: str) -> DeliveryState:
        if (sink, stored.position) in self._letters:
            return "refused"
        if not self._routes[sink].wants(stored.event):
            return "not sent"
        at = self._positions.get(sink)
        # A sink of the file that no process has served yet has no cursor.
        return "delivered" if at is not None and at >= stored.position else "waiting"

    def _told(
        self,
        stored: StoredEvent,
        sink: str,
        state: DeliveryState,
        passed: Mapping[tuple[str, int], float],
        lane: Mapping[str, Any],
    ) -> SentTo:
        event = stored.event
        same = (sink, event.record_id, event.phase)
        letter = self._letters.get((sink, stored.position))
        if letter is not None:
            return SentTo(
                *same, "refused", attempts=letter.attempts, reason=without_secrets(letter.reason)
            )
        if state == "not sent":
            return SentTo(*same, state, reason="this sink does not want it, as the file says")
        if state == "waiting":
            return SentTo(
                *same,
                state,
                attempts=_whole(lane.get("attempts")),
                reason=without_secrets(str(lane.get("error") or "")) or self._why_waiting(sink),
                retry_at=_number(lane.get("retry_at")),
            )
        at = passed.get((sink, stored.position))
        if at is not None and self._routes[sink].skips(event, at):
            return SentTo(*same, "not sent", reason="it was too old when its turn came")
        if at is None or abs(stored.kept_at - event.at) > _AGED_S:
            return SentTo(*same, state, at)  # of a recording, or by a clock that was wrong
        return SentTo(*same, state, at, max(0.0, at - event.at))

    def _why_waiting(self, sink: str) -> str:
        if sink not in self._positions:
            return "no process has delivered to this sink yet"
        return "its turn has not come"

    def _lanes(self) -> dict[str, Mapping[str, Any]]:
        """What the process that delivers says of each sink, as far as it can be asked."""
        try:
            reports = reports_of(self.store.presence).values()
        except StoreError:
            return {}
        return {
            sink: lane
            for report in reports
            if not report.is_last and not report.stands_by
            for sink, lane in report.sinks.items()
        }


def send_again(
    deployment: Deployment, store: SqlStore, clock: Clock, letters: Sequence[Undelivered]
) -> list[Resent]:
    """Send what sinks refused once more, sink by sink; raises StoreError and ConfigError.

    One at a time in this process, so that two who ask for the same send it once. Raises WebError
    where others take too long: who waits for his turn keeps a thread that answers everybody.
    """
    if not _again.acquire(timeout=_TURN_S):
        why = "others send something again at the moment; try again in a few seconds"
        raise WebError(503, why, retry_after_s=_TURN_S)
    done = []
    try:
        still = store.undelivered_at([one.position for one in letters])
        left = {(one.sink, one.position) for one in still}
        for sink in dict.fromkeys(one.sink for one in letters):
            own = [one for one in letters if one.sink == sink]
            there = [one for one in own if (one.sink, one.position) in left]
            if sink not in deployment.sinks:
                trouble = "the file no longer has this sink; drop what it refused"
                done.append(Resent(sink, left=len(there), trouble=trouble))
                continue
            alone = deployment.model_copy(update={"sinks": {sink: deployment.sinks[sink]}})
            for route, built in routes_of(alone, store, clock):
                try:
                    done.append(resend(store, built, there, route.at_once))
                finally:
                    built.close()
    finally:
        _again.release()
    return done


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
