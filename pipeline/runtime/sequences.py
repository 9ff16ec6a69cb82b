"""Sequences of events, judged by the process that delivers.

Each has its own cursor in the store's order of arrival, like a sink: what is new is looked at once,
nothing is pruned before it, and after a crash it goes on where it was. Events that were stored
already are recognised by their ids, which follow from those of the parts.

Where something should have stayed away, the cursor stays before the first event of which that is
not known yet.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.core.clock import Clock
from pipeline.core.errors import OwnershipLostError, StoreError
from pipeline.core.events import Event
from pipeline.core.local_time import local_time
from pipeline.core.store import Checkpoint, Commit, History, LeaseProof, Store, UnreadableEvent
from pipeline.delivery import Route, SinkLane
from pipeline.deployment.model import Deployment
from pipeline.rules.at_work.sequence import JudgedUntil, SequenceFinder, StayedAway, always
from pipeline.rules.schedule import Schedule
from pipeline.rules.sequence import SequenceConfig
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

STALLED_S = 600.0
"""A camera of which nothing was judged for so long is not waited for: it may be off for weeks."""
_WINDOW = 500
_LOOK_S = 1.0


def cursor_of(sequence: str) -> str:
    """The name of a sequence's cursor; no sink can have it, as names have no spaces."""
    return f"sequence {sequence}"


def cursors_of(deployment: Deployment) -> list[str]:
    """The cursors of all sequences of a deployment."""
    return [cursor_of(name) for name in deployment.sequences]


def route_of(name: str, config: SequenceConfig) -> Route:
    """The events that a sequence may consist of."""
    if config.then is None:
        return Route(cursor_of(name), only=(config.first.rule,))
    return Route(cursor_of(name), only=(config.first.rule, config.then.rule))


def lane_of(
    name: str,
    deployment: Deployment,
    store: Store,
    history: History,
    clock: Clock,
    metrics: Metrics,
    lease: LeaseProof | None,
) -> SinkLane:
    """What judges a sequence; with a `lease` until another process has taken it."""
    config = deployment.sequences[name]
    if config.then is None:
        return AwaitingLane(name, deployment, store, history, clock, metrics, lease)
    judge = SequenceJudge(
        name, config, store, history, lease, SequenceSchedules(config, deployment)
    )
    return SinkLane(route_of(name, config), judge, store, clock, metrics, lease)


class SequenceJudge:
    """Takes stored events in order, like a sink, and stores the sequences that they complete."""

    def __init__(
        self,
        name: str,
        config: SequenceConfig,
        store: Store,
        history: History,
        lease: LeaseProof | None,
        schedule_of: Callable[[str], Schedule] = always,
    ) -> None:
        """With a `lease` nothing is stored once another process has taken that lease.

        `schedule_of` a camera is that of the sequence by the clock of the camera's site.
        """
        self._finder = SequenceFinder(name, config, history, schedule_of)
        self._store = store
        self._lease = lease

    def send(self, events: Sequence[Event]) -> None:
        """Store what they complete, all or nothing; raises StoreError."""
        found = tuple(self._finder.completed_by(events))
        if found:
            self._store.commit(Commit(events=found, lease=self._lease))

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True, eq=False)
class _Awaited:
    """A `first` whose time is not over."""

    position: int
    first: Event
    kept_at: float
    """When it was stored, by the wall clock."""
    since: float
    """When this process read it; monotonic."""


@dataclass(slots=True)
class _LastMoved:
    """The last checkpoint of a camera, and when it moved."""

    point: tuple[str, int, bool] | None
    moved_at: float


class AwaitingLane(SinkLane):
    """Judges a sequence with `without`: it waits for what should follow, and reports what did not.

    Each `first` is decided once, in the order of arrival as far as their times allow. What is
    decided behind one that is not decided yet is decided again after a restart, to the same event.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        store: Store,
        history: History,
        clock: Clock,
        metrics: Metrics,
        lease: LeaseProof | None = None,
    ) -> None:
        """With a `lease` nothing is stored once another process has taken that lease."""
        config = deployment.sequences[name]
        schedule_of = SequenceSchedules(config, deployment)
        judge = SequenceJudge(name, config, store, history, lease, schedule_of)
        super().__init__(route_of(name, config), judge, store, clock, metrics, lease)
        self._name = name
        self._config = config
        self._stayed_away = StayedAway(name, config, history, schedule_of)
        self._timezone = deployment.site.timezone
        self._watched = [
            (camera, part.tasks[rule.of].engine or "")
            for camera, part in deployment.cameras.items()
            if config.other.camera in (None, camera)
            and (rule := part.rules.get(config.other.rule)) is not None
            and rule.of in part.tasks
        ]
        self._progress_of: dict[tuple[str, str], _LastMoved] = {}
        self._awaited: list[_Awaited] = []
        self._scanned = 0
        self._looked_at = float("-inf")
        self._says_unknown = False

    def step(self) -> float:
        """Look at what is new, and decide what can be; returns how many seconds to rest.

        Raises OwnershipLostError if another process is delivering by now.
        """
        try:
            has_more = self._read()
            self._decide()
        except OwnershipLostError:
            raise
        except StoreError as error:
            return self.fail(str(error))
        self._recover()
        if has_more:
            return 0.0
        self._show_behind(0)
        return _LOOK_S

    def _read(self) -> bool:
        """Read new events; True if there may be more."""
        if self._position is None:
            self._position = self._scanned = self._store.cursor(self.route.sink).position
            self._status = replace(self._status, position=self._position)
        found = self._store.outbox(self._scanned, _WINDOW)
        now = self._clock.monotonic()
        for one in found:
            self._scanned = one.position
            if isinstance(one, UnreadableEvent):
                if self.route.wants(one):
                    logger.warning(
                        "sequence %s: event %d %s; it is passed over",
                        *(self._name, one.position, one.reason),
                    )
            elif self._config.first.describes(one.event):
                self._awaited.append(_Awaited(one.position, one.event, one.kept_at, now))
        return len(found) == _WINDOW

    def _decide(self) -> None:
        now = self._clock.monotonic()
        if self._awaited and now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._decide_due(now)
        position = self._awaited[0].position - 1 if self._awaited else self._scanned
        if self._position is not None and position > self._position:
            self._store.advance(self.route.sink, position, (), self._lease)
            self._position = position
        self._status = replace(
            self._status, position=self._position or 0, awaiting=len(self._awaited)
        )

    def _decide_due(self, now: float) -> None:
        judged = self._judged_until(now)
        wall = self._clock.now()
        due = [
            one
            for one in self._awaited
            if self._stayed_away.is_due(one.first, judged, max(now - one.since, wall - one.kept_at))
        ]
        if not due:
            return
        looked_at_twice = [waiting.event for waiting in self._store.waiting()]
        reported: list[Event] = []
        decided: list[_Awaited] = []
        unknown = 0
        for one in due:
            if any(self._stayed_away.is_followed_by(one.first, e) for e in looked_at_twice):
                continue  # it may be rejected yet
            fate = self._stayed_away.fate(one.first, judged, reported)
            decided.append(one)
            if fate.event is not None:
                reported.append(fate.event)
            elif fate.coverage is not None and fate.coverage < self._config.min_coverage:
                unknown += 1
                self._say_unknown(one.first, fate.coverage)
            else:
                self._says_unknown = False
        if reported:
            self._store.commit(Commit(events=reported, lease=self._lease))
        self._awaited = [one for one in self._awaited if one not in decided]
        self._status = replace(
            self._status,
            delivered=self._status.delivered + len(reported),
            unknown=self._status.unknown + unknown,
        )

    def _judged_until(self, now: float) -> list[JudgedUntil]:
        found = []
        for camera, engine in self._watched:
            checkpoint = self._store.checkpoint(camera, engine)
            point = None
            if checkpoint is not None:
                point = (checkpoint.run, checkpoint.ordinal, checkpoint.ended)
            progress = self._progress_of.get((camera, engine))
            if progress is None or progress.point != point:
                progress = self._progress_of[camera, engine] = _LastMoved(point, now)
            has_ended = checkpoint is not None and checkpoint.ended
            is_stalled = now - progress.moved_at >= STALLED_S
            found.append(JudgedUntil(camera, _last_at(checkpoint), has_ended, is_stalled))
        return found

    def _say_unknown(self, first: Event, coverage: float) -> None:
        text = (
            "sequence %s: whether %s followed %s of camera %s at %s is not known, as only %d %% of "
            "the time was looked at"
        )
        at = local_time(first.at, self._timezone)
        level = logging.DEBUG if self._says_unknown else logging.WARNING
        self._says_unknown = True
        share = round(100 * coverage)
        logger.log(
            level, text, self._name, self._config.other.rule, first.rule, first.camera, at, share
        )


class SequenceSchedules:
    """The schedule of a sequence by the clock and the hours of a camera's site."""

    def __init__(self, config: SequenceConfig, deployment: Deployment) -> None:
        self._config = config
        self._deployment = deployment

    def __call__(self, camera: str) -> Schedule:
        """The schedule at a camera."""
        site = self._deployment.site_of(camera)
        return Schedule(self._config.schedule, site.timezone, site.opening_hours)


def _last_at(checkpoint: Checkpoint | None) -> float | None:
    """When the last picture was captured that a lane has judged."""
    state = checkpoint.state if checkpoint is not None else None
    at = state.get("last_at") if isinstance(state, Mapping) else None
    return float(at) if isinstance(at, int | float) else None
