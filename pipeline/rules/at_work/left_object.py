"""Things that stay although nobody is with them: bags, boxes, bicycles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Phase, Subject, event_id, timestamp
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.amounts import Amount, amount_of
from pipeline.rules.at_work.things import Things, ThingsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Ended, HoldingTerms, Reason, Started
from pipeline.rules.left_object import LeftObjectConfig
from pipeline.rules.memory import load
from pipeline.rules.stands import Left, Stand

SCENE_S = 5.0
"""What is seen within this time after the rule began was there before."""


@dataclass(slots=True)
class _LeftState(ThingsMemory):
    began_at: float | None = None


class LeftObject(Things[LeftObjectConfig, _LeftState]):
    """Follows what stands where nobody is; or a number, where a model is asked."""

    def __init__(self, config: LeftObjectConfig, context: RuleContext) -> None:
        self._longer_than_s = config.longer_than.total_seconds()
        terms = HoldingTerms.of(config.longer_than, config.gap, config.cooldown, context.every_s)
        super().__init__(config, context, _LeftState, Amount(1, self._longer_than_s), terms)
        self._schedule = context.reporting_time(config)

    def judge(self, seen: Observation) -> Verdict:
        """Report what was taken, then what has been left for long enough."""
        if self._memory.began_at is None:
            self._memory.began_at = seen.at
        number = amount_of(seen.answer, self._wanted)
        if isinstance(seen.answer, Boxes):
            self._company.see(seen, self._stands.memory.stands)
            events = [*self._end(self._stands.see(seen), seen.at, "over", seen)]
            events += self._start(seen)
            self._minutes.sample(seen.at, self._left_now())
        elif number is not None or self._amount.memory.usual is not None:
            events = self._count(seen, number)
        else:
            left = self._stands.unseen(seen.at, self._unknown_s)
            events = [*self._end(left, seen.at, "unknown", seen)]
            self._minutes.sample(seen.at, None)
        return Verdict(tuple(events), self._minutes.closed(seen.at), self._moments.take_withheld())

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """What was left."""
        return {one.track: one.first for one in self._stands.memory.stands if one.counted}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End what is left at the time it was last seen, and write the last minute."""
        events = [*self._end(self._stands.end_all(), at, why, None)]
        events += [self._told(at, change, None) for change in self._holding.finish(why)]
        return Verdict(tuple(events), self._minutes.finish(at, why))

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldowns; what is there is the scene."""
        super().inherit(state, at)
        self._holding.inherit(load(_LeftState, state).holding, at)

    def _left_now(self) -> int:
        return sum(stand.counted for stand in self._stands.memory.stands)

    def _alone_since(self, stand: Stand) -> float:
        return max(stand.since, stand.attended_at)

    def _start(self, seen: Observation) -> Iterator[Event]:
        began_at = self._memory.began_at or 0.0
        for stand in self._stands.memory.stands:
            alone_since = self._alone_since(stand)
            alone = stand.near_since is None  # who passes by delays it, and no more
            due = alone and stand.seen_at - alone_since >= self._longer_than_s
            if stand.told or not (due or stand.counted) or stand.since <= began_at + SCENE_S:
                continue
            if not self._is_inside(stand):
                continue
            if not stand.counted:
                stand.counted = True
                self._minutes.count(alone_since + self._longer_than_s, left=1)
            if self._moments.may_start(seen, stand):
                yield self._event(stand, "start", seen.at, self._moments.missed(), seen)

    def _end(
        self, ended: Iterable[Left], at: float, reason: Reason, seen: Observation | None
    ) -> Iterator[Event]:
        for stand in (left.stand for left in ended if left.stand.counted):
            self._moments.ended(stand)
            if stand.told:
                data: dict[str, JsonValue] = {"until": timestamp(stand.seen_at), "reason": reason}
                yield self._event(stand, "end", at, data, seen)

    def _event(
        self,
        stand: Stand,
        phase: Phase,
        at: float,
        more: dict[str, JsonValue],
        seen: Observation | None,
    ) -> Event:
        context, zone = self._context, self._config.zone
        alone_since = self._alone_since(stand) if phase == "start" else stand.since
        data: dict[str, JsonValue] = {} if zone is None else {"zone": zone}
        data |= {"since": timestamp(stand.since)}
        if phase == "start":
            data |= {"alone_since": timestamp(alone_since)}
        data |= {"seconds": round(stand.lasted_s, 3)}
        return Event(
            id=event_id(context.camera, context.rule, str(stand.first), stand.since),
            type=self._config.type,
            phase=phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=Subject(stand.label or context.label or "", stand.first, stand.box),
            data=data | more,
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )

    def _count(self, seen: Observation, number: int | None) -> list[Event]:
        """Judge a number, or the lack of one."""
        holds = None if number is None else self._amount.see(seen.at, number)
        was_started, was_veiled = self._holding.started, self._holding.is_veiled
        changes = self._holding.see(
            seen.at, holds, self._schedule.allows(seen.at), self._config.is_covered(seen)
        )
        if not was_veiled and self._holding.is_veiled:
            self._moments.note_withheld()
        if self._holding.started and not was_started:
            self._minutes.count(seen.at, left=1)
        usual = self._amount.memory.usual or 0
        level = None if number is None else max(0, number - usual)
        self._minutes.sample(seen.at, level if self._holding.started or not level else 0)
        return [self._told(seen.at, change, seen) for change in changes]

    def _told(self, at: float, change: Started | Ended, seen: Observation | None) -> Event:
        context, amount = self._context, self._amount.memory
        data: dict[str, JsonValue] = {
            "count": amount.now,
            "usual": amount.usual,
            "since": timestamp(change.since),
            **change.data(),
        }
        return Event(
            id=event_id(context.camera, context.rule, "", change.since),
            type=self._config.type,
            phase=change.phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=Subject(context.label) if context.label else None,
            data=data,
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )
