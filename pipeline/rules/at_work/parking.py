"""Things that stand still in a zone for longer than they may: cars, trolleys, pallets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id, timestamp
from pipeline.core.geometry import bottom_centre
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.moments import Moments, MomentsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import HoldingTerms, Reason
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.parking import ParkingConfig
from pipeline.rules.stands import Left, Stand, Stands, StandsMemory
from pipeline.rules.zones import ground_of


@dataclass(slots=True)
class _ParkingState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    stands: StandsMemory
    moments: MomentsMemory


class Parking:
    """Follows what stands; minutes hold how many were parked, and how many came and went."""

    def __init__(self, config: ParkingConfig, context: RuleContext) -> None:
        zone = context.zone(config.zone)
        self._config = config
        self._context = context
        self._ground = None if zone is None else ground_of(zone, context.aspect)
        self._longer_than_s = config.longer_than.total_seconds()
        self._gap_s = config.gap.total_seconds()
        self._unknown_s = HoldingTerms.of(
            timedelta(0), config.gap, timedelta(0), context.every_s
        ).unknown_s
        self._minutes = Minutes(context, config.measures)
        self._stands = Stands(context, self._gap_s)
        self._moments = Moments(config, context)
        self._memory = _ParkingState(
            self._minutes.memory, self._stands.memory, self._moments.memory
        )

    def judge(self, seen: Observation) -> Verdict:
        """Report what has left, then what has stood for long enough."""
        known = isinstance(seen.answer, Boxes)
        left = self._stands.see(seen) if known else self._stands.unseen(seen.at, self._unknown_s)
        reason: Reason = "over" if known else "unknown"
        events = list(self._end(left, seen.at, reason, seen))
        events += self._start(seen)
        parked = sum(stand.counted for stand in self._stands.memory.stands)
        self._minutes.sample(seen.at, parked if known else None)
        return Verdict(tuple(events), self._minutes.closed(seen.at), self._moments.take_withheld())

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """What is parked."""
        return {one.track: one.first for one in self._stands.memory.stands if one.counted}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End what is parked at the time it was last seen, and write the last minute."""
        events = tuple(self._end(self._stands.end_all(), at, why, None))
        return Verdict(events, self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_ParkingState, state)
        self._minutes.memory = self._memory.minutes
        self._stands.memory = self._memory.stands
        self._moments.memory = self._memory.moments

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; what stands begins to stand."""
        earlier = load(_ParkingState, state)
        self._minutes.inherit(earlier.minutes, at)
        self._moments.inherit(earlier.moments, at)

    def _start(self, seen: Observation) -> Iterator[Event]:
        for stand in self._stands.memory.stands:
            if stand.told or stand.lasted_s < self._longer_than_s or not self._is_inside(stand):
                continue
            if not stand.counted:
                stand.counted = True
                self._minutes.count(stand.since + self._longer_than_s, parked=1)
            if self._moments.may_start(seen, stand):
                yield self._event(stand, seen.at, self._moments.missed(), seen)

    def _end(
        self, ended: Iterable[Left], at: float, reason: Reason, seen: Observation | None
    ) -> Iterator[Event]:
        for stand in (left.stand for left in ended if left.stand.counted):
            self._minutes.count(stand.seen_at, left=1, left_s=round(stand.lasted_s, 3))
            self._moments.ended(stand)
            if stand.told:
                data: dict[str, JsonValue] = {"until": timestamp(stand.seen_at), "reason": reason}
                yield self._event(stand, at, data, seen)

    def _is_inside(self, stand: Stand) -> bool:
        return self._ground is None or self._ground.depth(bottom_centre(stand.box)) >= 0

    def _event(
        self, stand: Stand, at: float, more: dict[str, JsonValue], seen: Observation | None
    ) -> Event:
        context, zone = self._context, self._config.zone
        data: dict[str, JsonValue] = {} if zone is None else {"zone": zone}
        data |= {"since": timestamp(stand.since), "seconds": round(stand.lasted_s, 3)}
        label = stand.label or context.label or ""
        return Event(
            id=event_id(context.camera, context.rule, str(stand.first), stand.since),
            type=self._config.type,
            phase="end" if "until" in more else "start",
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=Subject(label, stand.first, stand.box),
            data=data | more,
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )
