"""Things that stood at their place and go: goods, pictures, fire extinguishers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id, timestamp
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.amounts import Amount, amount_of
from pipeline.rules.at_work.things import Things, ThingsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import HoldingTerms, Started
from pipeline.rules.removed_object import RemovedObjectConfig
from pipeline.rules.stands import Left


class RemovedObject(Things[RemovedObjectConfig, ThingsMemory]):
    """Follows what stands until it is gone; or a number, where a model is asked."""

    def __init__(self, config: RemovedObjectConfig, context: RuleContext) -> None:
        self._stood_s = config.stood.total_seconds()
        none = timedelta(0)
        terms = HoldingTerms.of(config.gap, none, none, context.every_s)
        super().__init__(config, context, ThingsMemory, Amount(-1, self._stood_s), terms)

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

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """What stands there for so long that it would be missed."""
        return {
            one.track: one.first
            for one in self._stands.memory.stands
            if one.lasted_s >= self._stood_s and self._is_inside(one)
        }

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Write the last minute; what is there at the end was not removed."""
        self._stands.end_all()
        self._holding.finish(why)
        return Verdict((), self._minutes.finish(at, why))

    def _gone(self, seen: Observation, ended: Iterable[Left]) -> Iterator[Event]:
        for left in ended:
            stand = left.stand
            if stand.lasted_s < self._stood_s or not self._is_inside(stand):
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
