"""Delivery to one sink: its own cursor, its own retries, its own dead letters."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import takewhile
from typing import Literal

from pipeline.core.clock import Clock
from pipeline.core.config import format_duration
from pipeline.core.delivery_figures import FIGURES, Counting, DeliveryFigures
from pipeline.core.errors import OwnershipLostError, SinkError, StoreError
from pipeline.core.retrying import Backoff, Rests
from pipeline.core.sinks import HeldBack, Sink, TellsLater
from pipeline.core.site_state import ShowsState, SiteState
from pipeline.core.store import (
    AGED_UNTIL,
    LeaseProof,
    Store,
    StoredEvent,
    Undelivered,
    UnreadableEvent,
)
from pipeline.delivery.route import Route
from pipeline.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)
_WINDOW = 500
_RESTS = Rests(first_s=1.0, longest_s=300.0)
# What a sink shows is unknown to those who look while it is out of reach.
_SHOWING_RESTS = Rests(first_s=1.0, longest_s=30.0)
# What a sink raises, other than a SinkError, because of the values in an event.
_OF_THE_EVENT = (UnicodeError, OverflowError, RecursionError)
# How often a lane looks for events that nobody told it of (other processes write them too).
_IDLE_S = 0.5
# An old event is not given up on before its sink has failed for this long: after a week without
# power the first attempt may just be too early.
_PATIENCE_S = 600.0
# The store's own time is noted once an hour; a clock that is ahead of it by more may be wrong.
_NOTED_EVERY_S = 2 * 3600.0
# Counting what waits costs a query, so it is not done after every batch.
_COUNT_EVERY_S = 5.0
_FIGURES_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """The state of a lane. Times are UTC seconds."""

    sink: str
    position: int = 0
    behind: int = 0
    undelivered: int = 0
    delivered: int = 0
    """Events accepted since the start."""
    skipped: int = 0
    """Events that were too old for this sink when their turn came, since the start."""
    error: str | None = None
    """Why the sink does not accept events; None while it does."""
    failing_since: float | None = None
    retry_at: float | None = None
    attempts: int = 0
    """How often the events whose turn it is were tried, each time in vain."""
    waiting_since: float | None = None
    """Since when events have waited while none was delivered; None while none waits."""
    awaiting: int = 0
    """Of a sequence with `without`: events whose time is not over."""
    unknown: int = 0
    """Of a sequence with `without`: events since the start of which nobody could see whether
    something followed."""
    oldest_at: float | None = None
    """When the oldest event that waits was stored; None while none waits."""
    accepted_at: float | None = None
    """When the sink accepted an event last."""
    accepted: str | None = None
    """The id of that event."""
    took_s: float | None = None
    """How long that one took from capture to acceptance; of live cameras only."""
    p95_s: float | None = None
    """What 95 of 100 of the last hour took at most."""
    p50_s: float | None = None
    """What half of them took at most."""
    of_newest: int | None = None
    """How many of the hour these two are of; None where it is all of them."""
    last_minute: int = 0
    last_hour: int = 0
    """How many it accepted."""
    refused_by: Mapping[str, int] = field(default_factory=dict)
    """How many it refused, by the reason without its names and numbers."""


@dataclass(frozen=True, slots=True)
class _Load:
    """The next events the sink wants, and the position of the cursor after them."""

    wanted: tuple[StoredEvent, ...]
    end: int
    skipped: tuple[int, ...] = ()
    """The positions of those before it that the sink wants, but that are too old for it."""
    unreadable: UnreadableEvent | None = None
    """An event that the sink wants but that cannot be read; `wanted` is empty then."""


DeadBecause = Literal["refused", "unwritable", "unreadable", "given_up"]


@dataclass(frozen=True, slots=True)
class _Progress:
    """What is done but not yet noted in the store."""

    end: int
    dead: tuple[Undelivered, ...] = ()
    skipped: tuple[int, ...] = ()
    why: DeadBecause = "refused"
    """What the dead ones have in common."""


class SinkLane:
    """Sends events to one sink, in order. One thread calls `step`; any may ask for the status."""

    def __init__(
        self,
        route: Route,
        sink: Sink,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        lease: LeaseProof | None = None,
        site: Callable[[], SiteState] | None = None,
        is_recording: Callable[[str], bool] = lambda _camera: False,
    ) -> None:
        """With a `lease` the cursor moves only while no other process has taken that lease.

        A sink that shows states is told how the `site` stands, where that is known. How long an
        event took since its capture is not asked of a camera that `is_recording`.
        """
        self._is_recording = is_recording
        self.route = route
        self._sink = sink
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._lease = lease
        # What was read and is not done with yet: read once, however few are sent at once.
        self._window: deque[StoredEvent | UnreadableEvent] = deque()
        self._shows = sink if isinstance(sink, ShowsState) and site is not None else None
        self._site = site
        self._shown_at = float("-inf")
        self._later = sink if isinstance(sink, TellsLater) else None
        self._ticked_at = float("-inf")
        self._held_back: HeldBack | None = None
        self._backoff = Backoff(_RESTS if self._shows is None else _SHOWING_RESTS)
        self._status = LaneStatus(route.sink)
        self._position: int | None = None
        self._progress: _Progress | None = None
        self._attempts = 0
        self._one_by_one = 0
        self._refusing = False
        self._said_unreadable = False
        self._failing_from = 0.0
        self._counted_at: float | None = None
        self._counting: Counting | None = None
        self._figured_at = float("-inf")
        self._noted = DeliveryFigures()

    def status(self) -> LaneStatus:
        """The state of the lane."""
        return self._status

    def step(self) -> float:
        """Deliver the next events; returns how many seconds to rest before the next step.

        Raises OwnershipLostError if another process is delivering by now: this lane is over.
        """
        try:
            return self._step()
        finally:
            self._tell()

    def _step(self) -> float:
        try:
            self._note_progress()
            now = self._clock.monotonic()
            if self._counted_at is None or now - self._counted_at >= _COUNT_EVERY_S:
                self._show_behind(self._store.cursor(self.route.sink).behind)
                self._counted_at = now
            load = self._next_load()
            self._show(now)
            self._tick(now)
            if load is not None:
                self._wait_since(self._status.waiting_since or self._clock.now())
                self._deliver(load)
                self._note_progress()
                self._count_held_back()
        except OwnershipLostError:
            raise
        except (SinkError, StoreError) as error:
            return self.fail(str(error), getattr(error, "retry_after_s", None))
        self._recover()
        if load is not None:
            return 0.0
        self._show_behind(0)
        self._wait_since(None)
        return _IDLE_S

    def fail(self, reason: str, asked_s: float | None = None) -> float:
        """Remember a failure, and log it if it is the first; returns how long to rest."""
        rest_s = self._backoff.next_s(asked_s)
        now = self._clock.now()
        if self._status.error is None:
            self._failing_from = self._clock.monotonic()
            self._status = replace(self._status, failing_since=now)
            _log.warning("sink %s is behind: %s; retrying", self.route.sink, reason)
        self._status = replace(
            self._status, error=reason, retry_at=now + rest_s, attempts=self._attempts
        )
        return rest_s

    def _show(self, now: float) -> None:
        """Tell the sink how the site stands; after a failure before it gets any event."""
        if self._shows is None or self._site is None:
            return
        if now - self._shown_at < _IDLE_S and self._status.error is None:
            return
        first = self._window[0] if self._window else None
        lag_s = self._clock.now() - first.kept_at if isinstance(first, StoredEvent) else 0.0
        self._shows.show(self._site(), max(0.0, lag_s), self._status.undelivered)
        self._shown_at = now

    def _tick(self, now: float) -> None:
        """Let a sink that holds events back tell those whose time has come."""
        if self._later is None:
            return
        if now - self._ticked_at < _IDLE_S and self._status.error is None:
            return
        try:
            self._later.tick()
        except SinkError:
            self._metrics.delivery_failures.labels(self.route.sink).inc()
            raise
        self._ticked_at = now
        self._count_held_back()

    def _count_held_back(self) -> None:
        if self._later is None:
            return
        before, stands = self._held_back, self._later.held_back()
        if stands == before:
            return
        self._held_back = stands
        sink, metrics = self.route.sink, self._metrics
        metrics.sink_waiting.labels(sink).set(stands.waiting)
        if before is not None:
            for counter, name in (
                (metrics.messages_sent, "messages"),
                (metrics.events_held_back, "held"),
                (metrics.events_silenced, "silenced"),
            ):
                counter.labels(sink).inc(max(0, getattr(stands, name) - getattr(before, name)))

    def close(self, *, is_gone: bool = False) -> None:
        """Close the sink, and reset its figures if it is no longer served."""
        self._tell(at_once=True)
        if is_gone:
            self._show_behind(0)
        try:
            self._sink.close()
        except SinkError as error:
            _log.warning("sink %s did not close cleanly: %s", self.route.sink, error)

    def _tell(self, *, at_once: bool = False) -> None:
        """Show how delivery does, here and in the store; now and then, as it takes some work."""
        counting, moment = self._counting, self._clock.monotonic()
        if counting is None or (not at_once and moment - self._figured_at < _FIGURES_EVERY_S):
            return
        self._figured_at = moment
        now = self._clock.now()
        oldest = next((kept for kept in self._window if isinstance(kept, StoredEvent)), None)
        found = counting.figures(now)
        told = {name: getattr(found, name) for name in found.__slots__ if name != "noted_at"}
        oldest_at = oldest.kept_at if oldest is not None and self._status.behind else None
        self._status = replace(self._status, oldest_at=oldest_at, **told)
        lag_s = 0.0 if oldest_at is None else max(0.0, now - oldest_at)
        self._metrics.sink_lag_seconds.labels(self.route.sink).set(lag_s)
        if found.accepted_at is not None:
            self._metrics.sink_accepted_seconds.labels(self.route.sink).set(found.accepted_at)
        if replace(found, noted_at=None) == replace(self._noted, noted_at=None):
            return
        try:
            notes = self._store.notes_of(self.route.sink, self._lease)
            notes.take_down({FIGURES: found.to_text()})
        except StoreError as error:
            # Whatever moves the cursor says so too, and it is tried again.
            _log.debug("sink %s: its figures were not noted: %s", self.route.sink, error)
        else:
            self._noted = found

    def _next_load(self) -> _Load | None:
        """Up to `at_once` wanted events, and all unwanted ones before the next wanted one."""
        if self._position is None:
            self._position = self._store.cursor(self.route.sink).position
            dead_letters = len(self._store.undelivered(self.route.sink))
            noted = self._store.notes_of(self.route.sink).note(FIGURES)
            self._counting = Counting(DeliveryFigures.of_text(noted), self._is_recording)
            self._status = replace(self._status, position=self._position, undelivered=dead_letters)
        position = self._position
        if not self._window:
            size = max(_WINDOW, self.route.at_once)
            self._window.extend(self._store.outbox(position, size))
        limit = 1 if self._one_by_one else self.route.at_once
        wanted: list[StoredEvent] = []
        end = position
        skipped: list[int] = []
        for one in self._window:
            if isinstance(one, UnreadableEvent):
                if self.route.wants(one):
                    if wanted:
                        break
                    return _Load((), one.position, tuple(skipped), one)
            elif self.route.wants(one.event) and self.route.skips(one.event, self._clock.now()):
                skipped.append(one.position)
            elif self.route.wants(one.event):
                if len(wanted) == limit:
                    break
                wanted.append(one)
            end = one.position
        return None if end == position else _Load(tuple(wanted), end, tuple(skipped))

    def _deliver(self, load: _Load) -> None:
        """Send a load; a failure becomes a dead letter, or a SinkError if a retry may succeed."""
        if load.unreadable is not None:
            self._unreadable(load.unreadable, load.skipped)
            return
        if not load.wanted:
            self._progress = _Progress(load.end, skipped=load.skipped)
            return
        try:
            self._send(load.wanted)
        except SinkError as error:
            self._attempts += 1
            self._metrics.delivery_failures.labels(self.route.sink).inc()
            if error.retryable:
                self._give_up_old(load, str(error))
                raise
            of_the_event = isinstance(error.__cause__, _OF_THE_EVENT)
            self._refused(load, str(error), "unwritable" if of_the_event else "refused")
        else:
            self._accepted(load)

    def _send(self, wanted: Sequence[StoredEvent]) -> None:
        try:
            self._sink.send([kept.event for kept in wanted])
        except _OF_THE_EVENT as error:
            # It would fail again: the event holds what this sink cannot put into its format.
            fault = f"the sink cannot write this event ({type(error).__name__})"
            raise SinkError(fault, retryable=False) from error

    def _accepted(self, load: _Load) -> None:
        amount = len(load.wanted)
        self._refusing = self._said_unreadable = False
        self._one_by_one = max(0, self._one_by_one - amount)
        self._progress = _Progress(load.end, skipped=load.skipped)
        self._status = replace(self._status, delivered=self._status.delivered + amount)
        self._metrics.events_delivered.labels(self.route.sink).inc(amount)
        now = self._clock.now()
        for kept in load.wanted:
            took_s = max(0.0, now - kept.kept_at)
            self._metrics.delivery_seconds.labels(self.route.sink).observe(took_s)
        if self._counting is not None:
            for since_capture_s in self._counting.accepted(load.wanted, now):
                self._metrics.capture_to_accepted_seconds.labels(self.route.sink).observe(
                    since_capture_s
                )

    def _unreadable(self, one: UnreadableEvent, skipped: tuple[int, ...]) -> None:
        """Only this event becomes a dead letter: those after it can be read."""
        if not self._said_unreadable:
            self._said_unreadable = True
            _log.warning(
                "sink %s: event %d %s; it is kept as undelivered",
                self.route.sink,
                one.position,
                one.reason,
            )
        dead_letter = Undelivered(self.route.sink, one.position, one.record_id, one.reason, 0)
        self._progress = _Progress(one.position, (dead_letter,), skipped, "unreadable")

    def _refused(self, load: _Load, reason: str, why: DeadBecause) -> None:
        """A retry cannot help: send the events one by one; a single one becomes a dead letter."""
        if len(load.wanted) > 1:
            self._one_by_one = len(load.wanted)
            return
        if not self._refusing:
            self._refusing = True
            _log.warning(
                "sink %s refused an event; it is kept as undelivered: %s", self.route.sink, reason
            )
        self._one_by_one = max(0, self._one_by_one - 1)
        dead = self._dead_letters(load.wanted, reason)
        self._progress = _Progress(load.end, dead, load.skipped, why)

    def _give_up_old(self, load: _Load, reason: str) -> None:
        """Events that have waited too long for a failing sink become dead letters."""
        give_up_s = self.route.give_up_after.total_seconds()
        failing_s = self._clock.monotonic() - self._failing_from
        if self._status.error is None or failing_s < min(give_up_s, _PATIENCE_S):
            return
        # An hour and more may have passed since it was noted, but not years: see Retention.
        aged_until = self._store.mark(AGED_UNTIL)
        now = self._clock.now()
        if aged_until is not None:
            now = min(now, aged_until + _NOTED_EVERY_S)
        newest = now - give_up_s
        old = list(takewhile(lambda kept: kept.kept_at <= newest, load.wanted))
        if not old:
            return
        end = load.end if len(old) == len(load.wanted) else old[-1].position
        waited = format_duration(timedelta(seconds=round(give_up_s)))
        self._progress = _Progress(
            end,
            self._dead_letters(old, f"given up after {waited}: {reason}"),
            load.skipped,
            "given_up",
        )
        _log.error(
            "sink %s: %d events given up after %s and kept as undelivered: %s",
            self.route.sink,
            len(old),
            waited,
            reason,
        )

    def _dead_letters(
        self, given_up: Sequence[StoredEvent], reason: str
    ) -> tuple[Undelivered, ...]:
        return tuple(
            Undelivered(
                self.route.sink, kept.position, kept.event.record_id, reason, self._attempts
            )
            for kept in given_up
        )

    def _note_progress(self) -> None:
        """Move the cursor. If the store fails, this is repeated but the sending is not."""
        done = self._progress
        if done is None:
            return
        self._store.advance(self.route.sink, done.end, done.dead, self._lease)
        while self._window and self._window[0].position <= done.end:
            self._window.popleft()
        dead_letters = len(done.dead)
        skipped = sum(position <= done.end for position in done.skipped)
        if skipped:
            self._skipped(skipped)
        self._progress = None
        self._attempts = 0
        self._position = done.end
        self._status = replace(
            self._status, position=done.end, undelivered=self._status.undelivered + dead_letters
        )
        self._wait_since(self._clock.now())
        if dead_letters:
            self._metrics.events_undelivered.labels(self.route.sink, done.why).inc(dead_letters)
        if self._counting is not None:
            for letter in done.dead:
                self._counting.refused(letter.reason, 1)

    def _skipped(self, number: int) -> None:
        if not self._status.skipped:
            oldest = format_duration(self.route.skipped_after or timedelta())
            _log.warning(
                "sink %s: events older than %s are skipped, as its file says; status and metrics "
                "count them",
                self.route.sink,
                oldest,
            )
        self._status = replace(self._status, skipped=self._status.skipped + number)
        self._metrics.events_skipped.labels(self.route.sink).inc(number)

    def _recover(self) -> None:
        self._backoff.reset()
        if self._status.error is None:
            return
        failed_s = timedelta(seconds=round(self._clock.monotonic() - self._failing_from))
        _log.info(
            "sink %s accepts events again after %s", self.route.sink, format_duration(failed_s)
        )
        self._status = replace(
            self._status, error=None, failing_since=None, retry_at=None, attempts=0
        )

    def _wait_since(self, at: float | None) -> None:
        self._status = replace(self._status, waiting_since=at)

    def _show_behind(self, behind: int) -> None:
        self._status = replace(self._status, behind=behind)
        self._metrics.sink_behind.labels(self.route.sink).set(behind)
