"""All lanes of a deployment, each on a thread of its own, so that none waits for another."""

import logging
import threading
import traceback
from collections.abc import Callable, Sequence

from pipeline.core.clock import Clock
from pipeline.core.store import Store
from pipeline.delivery.lane import LaneStatus, SinkLane

_log = logging.getLogger(__name__)
# Of the time that lanes have to end, in how much of it they may begin a step. The rest is for the
# last one, which would be sent again if it were cut off; it is needed where events keep coming.
_BEGINNING_SHARE = 0.75


class Delivery:
    """Starts and stops the lanes. Events that are not delivered stay in the store."""

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
        self._wakes = [threading.Event() for _ in self._lanes]
        self._stopping = threading.Event()
        self._last_begin = float("inf")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Tell the store which sinks there are, and begin; raises StoreError."""
        self._store.register_sinks([lane.route.sink for lane in self._lanes])
        for lane, wake in zip(self._lanes, self._wakes, strict=True):
            name = f"sink-{lane.route.sink}"
            # A sink that hangs for ever must not keep the process.
            thread = threading.Thread(target=self._run, args=(lane, wake), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def nudge(self) -> None:
        """There are new events: look now. Lanes whose sink is failing keep their pause."""
        for wake in self._wakes:
            wake.set()

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
        self.nudge()
        for thread in self._threads:
            thread.join(max(0.0, now + within_s - self._clock.monotonic()))
        late = [thread.name for thread in self._threads if thread.is_alive()]
        if late:
            _log.warning("%s did not end in time; its events wait in the store", ", ".join(late))
        return not late

    def _run(self, lane: SinkLane, wake: threading.Event) -> None:
        while self._may_go_on():
            wake.clear()
            last = self._stopping.is_set()
            rest_s = self._step(lane)
            if last and (rest_s > 0 or self._clock.monotonic() >= self._last_begin):
                break
            if rest_s > 0:
                failing = lane.status().error is not None
                self._clock.wait(rest_s, self._stopping if failing else wake)
        lane.close()

    def _step(self, lane: SinkLane) -> float:
        try:
            return lane.step()
        except Exception as error:  # noqa: BLE001 - a fault in one sink must not end its lane
            kind = type(error).__name__
            if lane.status().error is None:
                # The places without the error's own words: those may hold credentials.
                places = "".join(traceback.format_tb(error.__traceback__))
                _log.error("sink %s: unexpected %s at\n%s", lane.route.sink, kind, places)
            return lane.fail(f"an unexpected {kind}, see the log; please report it")
