"""The delivery stage: the sinks of a deployment, served by one process while others stand by."""

import logging
import threading
from collections.abc import Callable

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.store import Store
from pipeline.delivery import Delivery, LaneStatus
from pipeline.delivery import SinkLane as SinkLane
from pipeline.delivery.lease import LOOK_S, DeliveryLease
from pipeline.runtime.assembly import routes_of
from pipeline.runtime.stages.base import StageContext, StageThread


class DeliveryStage:
    """The sinks, a lane for each."""

    name = "delivery"

    def __init__(
        self, context: StageContext, store: Store, may_go_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Nothing is sent before `start`, nor once it may not go on."""
        lanes = [
            SinkLane(route, sink, store, context.clock, context.metrics)
            for route, sink in routes_of(context.deployment)
        ]
        self._delivery = Delivery(lanes, store, context.clock, may_go_on)
        self._metrics = context.metrics
        self.has_started = False
        self.has_ended = False
        """Whether every lane has let go of its sink."""

    finished = False
    failure: str | None = None

    def start(self) -> None:
        """Begin to deliver; raises StoreError."""
        self._delivery.start()
        self.has_started = True
        self._metrics.delivering.set(1)

    def poll(self) -> None:
        """Look for new events now."""
        self._delivery.nudge()

    def stop(self, within_s: float) -> None:
        """Deliver what is there to the sinks that answer."""
        self.has_ended = self._delivery.stop(within_s)
        self._metrics.delivering.set(0)

    def status(self) -> tuple[LaneStatus, ...]:
        """How each sink is doing."""
        return self._delivery.status()

    def ready(self) -> str | None:
        """Whether some sink takes events, when there is one."""
        lanes = self.status()
        if not self.has_started:
            return "the store does not answer yet"
        if lanes and all(lane.error for lane in lanes):
            return f"no sink takes events; {lanes[0].sink}: {lanes[0].error}"
        return None


logger = logging.getLogger(__name__)
# How long sinks that were at work when the duty was lost are waited for; they send nothing more.
_LET_GO_S = 1.0
_STORE_RETRY_S = 1.0


class SharedDeliveryStage:
    """Delivers while it has the duty. Each time it begins from where the sinks are by then."""

    name = "delivery"
    finished = False

    def __init__(self, context: StageContext, store: Store, duty: DeliveryLease) -> None:
        """Nothing is asked for before `start`, and nothing sent before the duty is taken up."""
        self._context = context
        self._store = store
        self._duty = duty
        self._keeper = _keeper(duty, context.clock)
        self._token: int | None = None
        self._lanes: DeliveryStage | None = None
        self._retry_at = float("-inf")
        self._said: str | None = None

    def start(self) -> None:
        """Begin to ask for the duty."""
        self._keeper.start()

    def poll(self) -> None:
        """Begin or end to deliver, as the duty comes and goes; look for new events."""
        token = self._duty.token
        if self._lanes is not None and token != self._token:
            self._let_go(self._lanes)
        if token is not None and self._lanes is None:
            self._begin(token)
        if self._lanes is not None:
            self._lanes.poll()
        if self.stands_by:
            self._say(logging.INFO, "another process delivers, standing by")

    def stop(self, within_s: float) -> None:
        """Deliver what is there to the sinks that answer, then let another process go on."""
        lanes = self._lanes
        if lanes is not None:
            lanes.stop(within_s)
        self._keeper.stop(within_s)
        if lanes is None or lanes.has_ended:
            self._duty.end()

    @property
    def failure(self) -> str | None:
        """Why the thread that keeps the duty has ended."""
        return self._keeper.failure

    @property
    def stands_by(self) -> bool:
        """Whether another process delivers."""
        return self._duty.token is None and self._duty.is_anothers

    def status(self) -> tuple[LaneStatus, ...]:
        """How each sink is doing; none where another process delivers."""
        lanes = self._lanes
        return lanes.status() if lanes is not None else ()

    def ready(self) -> str | None:
        """Whether some sink takes events, or this process would go on where another one delivers.

        Who stands by is ready: in a rolling update it is what the old process may end for.
        """
        lanes = self._lanes
        if lanes is not None:
            return lanes.ready()
        if self._duty.token is not None:
            return "the store does not answer yet"
        return None if self.stands_by else "does not know yet whether another process delivers"

    def _begin(self, token: int) -> None:
        now = self._context.clock.monotonic()
        if now < self._retry_at:
            return
        lanes = DeliveryStage(self._context, self._store, lambda: self._duty.holds(token))
        try:
            lanes.start()
        except StoreError as error:
            self._retry_at = now + _STORE_RETRY_S
            self._say(logging.ERROR, f"store does not answer, trying on: {error}")
            return
        self._lanes, self._token = lanes, token
        self._say(logging.INFO, "delivering")

    def _let_go(self, lanes: DeliveryStage) -> None:
        self._say(logging.WARNING, "the lease of delivery was lost, letting go of the sinks")
        self._lanes, self._token = None, None
        lanes.stop(_LET_GO_S)
        for lane in lanes.status():
            self._context.metrics.sink_behind.labels(lane.sink).set(0)

    def _say(self, level: int, sentence: str) -> None:
        """Once for each change."""
        if sentence != self._said:
            logger.log(level, "%s", sentence)
        self._said = sentence


def _keeper(duty: DeliveryLease, clock: Clock) -> StageThread:
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            duty.look()
            clock.wait(LOOK_S, stop)

    return StageThread("duty", keep, stop.set)
