"""Things that stood at their place and go: goods, pictures, fire extinguishers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id, timestamp
from pipeline.core.geometry import bottom_centre
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.rules.at_work.amounts import Amount, AmountMemory, amount_of
from pipeline.rules.at_work.company import Company
from pipeline.rules.at_work.moments import Moments, MomentsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Holding, HoldingMemory, HoldingTerms, Started
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.removed_object import RemovedObjectConfig
from pipeline.rules.stands import Left, Stands, StandsMemory
from pipeline.rules.words import plain
from pipeline.rules.zones import ground_of


@dataclass(slots=True)
class _RemovedState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    stands: StandsMemory
    moments: MomentsMemory
    amount: AmountMemory = field(default_factory=AmountMemory)
    holding: HoldingMemory = field(default_factory=HoldingMemory)


class RemovedObject:
    """Follows what stands until it is gone; or a number, where a model is asked."""

    def __init__(self, config: RemovedObjectConfig, context: RuleContext) -> None:
        zone = context.zone(config.zone)
        self._config = config
        self._context = context
        self._ground = None if zone is None else ground_of(zone, context.aspect)
        self._stood_s = config.stood.total_seconds()
        none = timedelta(0)
        self._unknown_s = HoldingTerms.of(none, config.gap, none, context.every_s).unknown_s
        self._wanted = frozenset(plain(word) for word in config.is_ or ())
        self._company = Company(config, context)
        self._minutes = Minutes(context, config.measures)
        self._stands = Stands(context, config.gap.total_seconds())
        self._moments = Moments(config, context)
        self._amount = Amount(-1, self._stood_s)
        self._holding = Holding(HoldingTerms.of(config.gap, none, none, context.every_s))
        self._memory = _RemovedState(
            self._minutes.memory,
            self._stands.memory,
            self._moments.memory,
            self._amount.memory,
            self._holding.memory,
        )

    def judge(self, seen: Observation) -> Verdict:
        """Report what has gone."""
        number = amount_of(seen.answer, self._wanted)
        known = isinstance(seen.answer, Boxes) or number is not None
        self._minutes.sample(seen.at, 0 if known else None)
        events: list[Event] = []
        if isinstance(seen.answer, Boxes):
            self._company.see(seen, self._stands.memory.stands)
            events += self._gone(seen, self._stands.see(seen))
        elif number is not None or self._amount.memory.usual is not None:
            holds = None if number is None else self._amount.see(seen.at, number)
            for change in self._holding.see(seen.at, holds):
                if isinstance(change, Started):
                    events += self._fewer(seen, change.since)
        else:
            self._stands.unseen(seen.at, self._unknown_s)
        return Verdict(tuple(events), self._minutes.closed(seen.at), self._moments.take_withheld())

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Write the last minute; what is there at the end was not removed."""
        self._stands.end_all()
        self._holding.finish(why)
        return Verdict((), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        memory = self._memory = load(_RemovedState, state)
        self._minutes.memory, self._stands.memory = memory.minutes, memory.stands
        self._moments.memory, self._amount.memory = memory.moments, memory.amount
        self._holding.memory = memory.holding

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; what stands begins to stand."""
        earlier = load(_RemovedState, state)
        self._minutes.inherit(earlier.minutes, at)
        self._moments.inherit(earlier.moments, at)

    def _gone(self, seen: Observation, ended: Iterable[Left]) -> Iterator[Event]:
        for left in ended:
            stand = left.stand
            inside = self._ground is None or self._ground.depth(bottom_centre(stand.box)) >= 0
            if stand.lasted_s < self._stood_s or not inside:
                continue
            self._minutes.count(stand.seen_at, removed=1)
            if not self._moments.may_speak(seen, seen.at):
                continue
            zone = self._config.zone
            data: dict[str, JsonValue] = {} if zone is None else {"zone": zone}
            data |= {
                "since": timestamp(stand.since),
                "until": timestamp(stand.seen_at),
                "seconds": round(stand.lasted_s, 3),
                "how": left.why,
                **self._moments.missed(),
            }
            label = stand.label or self._context.label or ""
            subject = Subject(label, stand.first, stand.box)
            yield self._event(seen, str(stand.first), stand.seen_at, subject, data)

    def _fewer(self, seen: Observation, since: float) -> Iterator[Event]:
        memory = self._amount.memory
        usual, now = memory.usual or 0, memory.now
        self._amount.accept()
        self._holding.finish()
        self._minutes.count(since, removed=usual - now)
        if self._moments.may_speak(seen, seen.at):
            label = self._context.label
            data: dict[str, JsonValue] = {
                "count": now,
                "usual": usual,
                "until": timestamp(since),
                **self._moments.missed(),
            }
            yield self._event(seen, "", since, Subject(label) if label else None, data)

    def _event(
        self,
        seen: Observation,
        name: str,
        at: float,
        subject: Subject | None,
        data: dict[str, JsonValue],
    ) -> Event:
        return Event(
            id=event_id(seen.camera, self._context.rule, name, at),
            type=self._config.type,
            phase="single",
            camera=seen.camera,
            rule=self._context.rule,
            at=seen.at,
            subject=subject,
            data=data,
            seq=seen.seq,
            run=seen.run,
        )
