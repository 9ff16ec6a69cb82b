"""All lanes of a deployment, each with its own thread, so that none waits for another."""

import logging
import threading
import traceback
from collections.abc import Callable, Sequence

from pipeline.core.clock import Clock
from pipeline.core.errors import OwnershipLostError
from pipeline.core.store import Store
from pipeline.delivery.lane import LaneStatus, SinkLane

_log = logging.getLogger(__name__)
# The part of the time for stopping in which a lane may begin another step. The rest is for the last
# step, which would be sent again if it were cut off; it matters when events keep coming.
_BEGINNING_SHARE = 0.75


class _LaneAtWork:
    """A lane, its thread, and the events that control it."""

    def __init__(self, lane: SinkLane) -> None:
        self.lane = lane
        self.thread: threading.Thread
        self.wake = threading.Event()
        """There are new events."""
        self.ending = threading.Event()
        """End the pause of a failing sink, because the lane has to end."""
        self.leaving = threading.Event()
        """Do not begin another step."""


class Delivery:
    """Starts and stops the lanes. Undelivered events stay in the store.

    One thread starts, updates, nudges and stops; any thread may ask for the status.
    """

    def __init__(
        self,
        lanes: Sequence[SinkLane],
        store: Store,
        clock: Clock,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_go_on` is asked before each step; if it returns False the lane ends."""
        self._may_go_on = may_go_on
        self._lanes = tuple(lanes)
        self._store = store
        self._clock = clock
        self._stopping = threading.Event()
        self._last_begin = float("inf")
        self._at_work: dict[str, _LaneAtWork] = {}

    def start(self) -> None:
        """Register the sinks in the store, and begin; raises StoreError."""
        self._register(self._lanes)
        self._begin()

    def update(self, lanes: Sequence[SinkLane]) -> None:
        """Serve these sinks from now on; raises StoreError; then everything is as before.

        Lanes that are already running are not disturbed. Lanes that are not in the list end after
        their current step and close their sink; a new lane for the same sink begins after that.
        """
        self._register(lanes)
        self._lanes = tuple(lanes)
        for one in self._at_work.values():
            if one.lane not in self._lanes:
                for event in (one.leaving, one.ending, one.wake):
                    event.set()
        self._begin()

    @property
    def lanes(self) -> tuple[SinkLane, ...]:
        """The lanes to serve now."""
        return self._lanes

    def nudge(self) -> None:
        """Look for new events now. Lanes whose sink is failing keep their pause."""
        self._begin()
        for one in self._at_work.values():
            one.wake.set()

    def status(self) -> tuple[LaneStatus, ...]:
        """The state of each lane."""
        return tuple(lane.status() for lane in self._lanes)

    def stop(self, within_s: float) -> bool:
        """Deliver what is left to the sinks that respond, then end.

        Returns False if a lane did not end in time; what it did not deliver stays in the store for
        the next start.
        """
        now = self._clock.monotonic()
        self._last_begin = now + within_s * _BEGINNING_SHARE
        self._stopping.set()
        for one in self._at_work.values():
            one.ending.set()
            one.wake.set()
        threads = [one.thread for one in self._at_work.values()]
        for thread in threads:
            thread.join(max(0.0, now + within_s - self._clock.monotonic()))
        late = [thread.name for thread in threads if thread.is_alive()]
        if late:
            _log.warning(
                "%s did not stop in time; undelivered events stay in the store", ", ".join(late)
            )
        return not late

    def _register(self, lanes: Sequence[SinkLane]) -> None:
        routes = [lane.route for lane in lanes]
        oldest = [route.sink for route in routes if route.from_beginning]
        self._store.register_sinks([route.sink for route in routes], oldest)

    def _begin(self) -> None:
        """Start a thread for each lane whose sink is not already being served."""
        if self._stopping.is_set():
            return
        for lane in self._lanes:
            before = self._at_work.get(lane.route.sink)
            if before is not None and (before.lane is lane or before.thread.is_alive()):
                continue
            one = _LaneAtWork(lane)
            self._at_work[lane.route.sink] = one
            # A sink that hangs for ever must not keep the process alive.
            one.thread = threading.Thread(
                target=self._run, args=(one,), name=f"sink-{lane.route.sink}", daemon=True
            )
            one.thread.start()

    def _run(self, one: _LaneAtWork) -> None:
        lane = one.lane
        while not one.leaving.is_set() and self._may_go_on():
            one.wake.clear()
            last = self._stopping.is_set()
            try:
                rest_s = self._step(lane)
            except OwnershipLostError:
                break  # the keeper of the lease reports it
            if last and (rest_s > 0 or self._clock.monotonic() >= self._last_begin):
                break
            if rest_s > 0:
                failing = lane.status().error is not None
                self._clock.wait(rest_s, one.ending if failing else one.wake)
        lane.close(is_gone=one.leaving.is_set())

    def _step(self, lane: SinkLane) -> float:
        try:
            return lane.step()
        except OwnershipLostError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault in one sink must not end its lane
            kind = type(error).__name__
            if lane.status().error is None:
                # The traceback without the error's message, which may contain credentials.
                places = "".join(traceback.format_tb(error.__traceback__))
                _log.error("sink %s: unexpected %s at\n%s", lane.route.sink, kind, places)
            return lane.fail(f"an unexpected {kind}, see the log; please report it")
