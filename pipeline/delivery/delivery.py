"""All lanes of a deployment, each on a thread of its own, so that none waits for another."""

import logging
import threading
import traceback
from collections.abc import Callable, Sequence

from pipeline.core.clock import Clock
from pipeline.core.errors import OwnershipLostError
from pipeline.core.store import Store
from pipeline.delivery.lane import LaneStatus, SinkLane

_log = logging.getLogger(__name__)
# Of the time that lanes have to end, in how much of it they may begin a step. The rest is for the
# last one, which would be sent again if it were cut off; it is needed where events keep coming.
_BEGINNING_SHARE = 0.75


class _LaneAtWork:
    """A lane, its thread, and what that is told."""

    def __init__(self, lane: SinkLane) -> None:
        self.lane = lane
        self.thread: threading.Thread
        self.wake = threading.Event()
        """There are new events."""
        self.ending = threading.Event()
        """The pause of a failing sink is over, as the lane has to end."""
        self.leaving = threading.Event()
        """No further step is wanted."""


class Delivery:
    """Starts and stops the lanes. Events that are not delivered stay in the store.

    One thread starts, updates, nudges and stops; any asks for the status.
    """

    def __init__(
        self,
        lanes: Sequence[SinkLane],
        store: Store,
        clock: Clock,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_go_on` is asked before each step; a lane that may not ends."""
        self._may_go_on = may_go_on
        self._lanes = tuple(lanes)
        self._store = store
        self._clock = clock
        self._stopping = threading.Event()
        self._last_begin = float("inf")
        self._at_work: dict[str, _LaneAtWork] = {}

    def start(self) -> None:
        """Tell the store which sinks there are, and begin; raises StoreError."""
        self._register(self._lanes)
        self._begin()

    def update(self, lanes: Sequence[SinkLane]) -> None:
        """Serve these sinks from now on; raises StoreError, and then all is as before.

        A lane that is at work already and among them is not disturbed. Others end after their
        step, and let go of their sink; whoever follows one of them begins once it has ended.
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
        """The lanes that are to be served now."""
        return self._lanes

    def nudge(self) -> None:
        """There are new events: look now. Lanes whose sink is failing keep their pause."""
        self._begin()
        for one in self._at_work.values():
            one.wake.set()

    def status(self) -> tuple[LaneStatus, ...]:
        """How each lane is doing."""
        return tuple(lane.status() for lane in self._lanes)

    def stop(self, within_s: float) -> bool:
        """Deliver what is there to the sinks that answer, then end.

        Returns False when a lane did not end in time; what it did not deliver waits in the store
        for the next start.
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
        """Give each lane a thread of its own, where none is at work for its sink."""
        if self._stopping.is_set():
            return
        for lane in self._lanes:
            before = self._at_work.get(lane.route.sink)
            if before is not None and (before.lane is lane or before.thread.is_alive()):
                continue
            one = _LaneAtWork(lane)
            self._at_work[lane.route.sink] = one
            # A sink that hangs for ever must not keep the process.
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
                break  # said by whoever looks after the lease
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
                # The places without the error's own words: those may hold credentials.
                places = "".join(traceback.format_tb(error.__traceback__))
                _log.error("sink %s: unexpected %s at\n%s", lane.route.sink, kind, places)
            return lane.fail(f"an unexpected {kind}, see the log; please report it")
