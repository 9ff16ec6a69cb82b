"""How long a run whose recordings are all judged goes on delivering what is left."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.store import Cursor, History
from pipeline.delivery import LaneStatus
from pipeline.deployment.model import Deployment
from pipeline.runtime.sequences import cursors_of

logger = logging.getLogger(__name__)

_LOOK_S = 0.2
# A sink that has accepted events before may fail for so long.
_FAILING_S = 90.0
# Longer than any single attempt takes.
_HANGING_S = 300.0
# Where another process delivers, only the cursors are seen.
_UNSEEN_S = 30.0


@dataclass(slots=True)
class _CursorSeen:
    """Where a sink's cursor was, and when it last moved, on the monotonic clock."""

    position: int
    moved_at: float
    has_moved: bool = False


class FinalDelivery:
    """Waits for each sink that still accepts events, and for no other.

    A sink is waited for while its cursor moves, or an attempt is in progress, until nothing is left
    or its `deliver_within` is over. One that fails is waited for a while if it has accepted events
    before, and not at all otherwise.
    """

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._began: float | None = None
        self._looked_at = float("-inf")
        self._goes_on = True
        self._progress: dict[str, _CursorSeen] = {}

    def goes_on(self, deployment: Deployment, lanes: Sequence[LaneStatus]) -> bool:
        """Whether to stay; asked again and again once all recordings are judged."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_S:
            return self._goes_on
        self._looked_at = now
        first = self._began is None
        self._began = now if self._began is None else self._began
        try:
            cursors = self._history.cursors()
        except StoreError:
            return self._goes_on  # reported by those who write to it; it is asked again
        seen = {lane.sink: lane for lane in lanes}
        judging = cursors_of(deployment)
        left = {
            cursor.sink: cursor.behind
            for cursor in cursors
            if cursor.behind
            and (cursor.sink in deployment.sinks or cursor.sink in judging)
            and self._is_worth_it(cursor, deployment, seen.get(cursor.sink), now - self._began, now)
        }
        if first and left:
            waiting = ", ".join(f"{number} for {sink}" for sink, number in left.items())
            logger.info("all recordings are judged; delivering what is left: %s", waiting)
        self._goes_on = bool(left)
        return self._goes_on

    def restart(self) -> None:
        """Recordings are played again."""
        self._began, self._goes_on = None, True
        self._progress.clear()

    def _is_worth_it(
        self,
        cursor: Cursor,
        deployment: Deployment,
        lane: LaneStatus | None,
        took_s: float,
        now: float,
    ) -> bool:
        sink = deployment.sinks.get(cursor.sink)
        limit = None if sink is None else sink.deliver_within
        if limit is not None and took_s >= limit.total_seconds():
            return False
        known = self._progress.setdefault(cursor.sink, _CursorSeen(cursor.position, now))
        if cursor.position > known.position:
            known.position, known.moved_at, known.has_moved = cursor.position, now, True
        still_s = now - known.moved_at
        if lane is None:
            return still_s < _UNSEEN_S
        if lane.error is None:
            # A sequence that waits for a camera which sees nothing more goes on at the next start.
            return still_s < (_UNSEEN_S if lane.awaiting else _HANGING_S)
        return (known.has_moved or lane.delivered > 0) and still_s < _FAILING_S
