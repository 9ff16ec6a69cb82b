"""A queue: how long it is, how long people wait until they are served, and who gives up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Phase, Subject, event_id, timestamp
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import (
    LEAST_UNKNOWN_S,
    UNKNOWN_SAMPLES,
    Ended,
    Holding,
    HoldingMemory,
    HoldingTerms,
    Reason,
    Started,
    still_quiet,
)
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.presence import PresenceMemory, ZonePresence
from pipeline.rules.queue import QueueRuleConfig, wait_measure
from pipeline.rules.switched import LimitTimes

Outcome = Literal["served", "abandoned", "censored"]


@dataclass(slots=True)
class QueueVisit:
    """One visitor's time in the queue."""

    track: int
    """The visitor's first track id."""
    label: str
    since: float
    inside_at: float
    """When the visitor was last seen in the queue."""
    seen_at: float
    """When the visitor was last seen at all."""
    box: Box
    outside: bool = False
    """Whether the visitor was seen outside of the queue since then."""
    gone: bool = False
    """Whether the visitor walked out of the picture."""
    joined_unseen: bool = False
    """Whether the visitor stood there when the camera began to see."""
    told: bool = False
    silenced: bool = False
    veiled: bool = False


@dataclass(slots=True)
class _QueueState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    holding: HoldingMemory
    queue: PresenceMemory
    till: PresenceMemory
    waiting: dict[int, QueueVisit] = field(default_factory=dict)
    """By the track's current id."""
    run: str = ""
    known_at: float | None = None
    """The last known look."""
    sees_since: float = 0.0
    """Since when there were looks without a gap."""
    length: int = 0
    longest: int = 0
    """The greatest length of the happening."""
    quiet_until: float | None = None
    suppressed: int = 0
    withheld: int = 0
    more_than: int | None = None
    """The last limit since one was given by hand; None before that."""


class QueueRule:
    """Follows everybody from joining to being served; what a gap in sight hides is not guessed."""

    def __init__(self, config: QueueRuleConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._schedule = context.reporting_time(config)
        self._limits = LimitTimes(config, context.switches)
        terms = HoldingTerms.of(config.for_, config.gap, config.cooldown, context.every_s)
        self._terms = terms
        self._holding = Holding(terms)
        self._minutes = Minutes(context, config.measures)
        self._queue = ZonePresence(context, context.zone(config.zone), terms.gap_s)
        self._till = ZonePresence(context, context.zone(config.served), terms.gap_s)
        self._served: set[int] = set()
        """The present ids of who waited and stands where one is served."""
        self._memory = _QueueState(
            self._minutes.memory, self._holding.memory, self._queue.memory, self._till.memory
        )

    def judge(self, seen: Observation) -> Verdict:
        """Report who was served or has left, then who waits for too long, then the length."""
        memory = self._memory
        known = isinstance(seen.answer, Boxes)
        events: list[Event] = []
        if seen.run != memory.run:  # track ids start over with each run
            memory.run, memory.known_at = seen.run, None
            events += self._end_all(seen.at, "unknown")
            self._served.clear()
        if known:
            blind_s = max(self._terms.gap_s, UNKNOWN_SAMPLES * self._context.every_s)
            blind_s = max(blind_s, LEAST_UNKNOWN_S)
            if memory.known_at is None or seen.at - memory.known_at > blind_s:
                memory.sees_since = seen.at
            memory.known_at = seen.at
            events += self._admit(seen)
        events += self._dismiss(seen, known)
        if known:
            self._join(seen)
        here = set(self._queue.inside()) - set(self._till.inside())
        length = len(here & memory.waiting.keys())
        self._minutes.sample(seen.at, length if known else None)
        for found in self._queue.hindsight if known else ():
            self._minutes.amend(found.since, found.more)
        veiled = sum(one.veiled for one in memory.waiting.values())
        was_veiled = self._holding.is_veiled
        events += self._judge_waits(seen)
        events += self._judge_length(seen, length if known else None)
        withheld = max(0, sum(one.veiled for one in memory.waiting.values()) - veiled)
        withheld += int(self._holding.is_veiled and not was_veiled)
        return Verdict(tuple(events), self._minutes.closed(seen.at), withheld)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Who waits; and who waited and is being served, whom a long queue concerns no more."""
        waiting = {id_: one.track for id_, one in self._memory.waiting.items()}
        return {**dict.fromkeys(self._served), **waiting}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Nobody knows how those who are still waiting fare: they are censored."""
        events = [*self._end_all(at, why)]
        events += [self._length_event(at, change, None) for change in self._holding.finish(why)]
        return Verdict(tuple(events), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = memory = load(_QueueState, state)
        self._minutes.memory, self._holding.memory = memory.minutes, memory.holding
        self._queue.memory, self._till.memory = memory.queue, memory.till

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldowns; who waits now joins unseen."""
        earlier, memory = load(_QueueState, state), self._memory
        self._minutes.inherit(earlier.minutes, at)
        self._holding.inherit(earlier.holding, at)
        memory.quiet_until = still_quiet(earlier.quiet_until, at, self._terms.cooldown_s)
        memory.suppressed, memory.withheld = earlier.suppressed, earlier.withheld

    def _admit(self, seen: Observation) -> Iterator[Event]:
        """Follow those who wait, and serve those who have reached the other zone."""
        waiting = self._memory.waiting
        for new, old in self._till.see(seen).items():
            if old in self._served:
                self._served.add(new)
        self._served.intersection_update(self._till.inside())
        for new, old in self._queue.see(seen).items():
            if old in waiting:
                waiting[new] = waiting.pop(old)
        for track in seen.others:
            one = waiting.get(track.id)
            if one is not None and not one.told:  # it was never of this kind
                del waiting[track.id]
                self._minutes.count(one.since, joined=-1)
        for track in seen.tracks:
            one = waiting.get(track.id)
            if one is None or self._is_over(one, track.steps[0].at):
                continue  # what is over ends first
            stay, till = self._queue.stay(track.id), self._till.stay(track.id)
            one.seen_at, one.gone = seen.at, False
            if till.inside:
                served_at = seen.at if till.since is None else till.since
                one.inside_at = max(one.since, min(served_at, seen.at))
                one.box = track.box
                yield from self._end(track.id, seen.at, "served", "over", seen)
                continue
            one.outside, one.inside_at = not stay.inside, max(one.since, stay.until)
            if stay.inside:
                one.box = track.box
        for id_, one in waiting.items():
            body = self._queue.memory.bodies.get(id_)
            one.gone = one.gone or (body is not None and body.left)

    def _is_over(self, one: QueueVisit, at: float, known: bool = True) -> bool:
        patience_s = self._terms.gap_s if one.outside else self._queue.memory.patience_s
        if not known:
            patience_s = max(patience_s, self._terms.unknown_s)
        return at - one.inside_at > patience_s

    def _dismiss(self, seen: Observation, known: bool) -> Iterator[Event]:
        """End what is over: given up where that was seen, else lost from sight."""
        present = {track.id for track in seen.tracks} if known else set()
        blind = known and self._memory.sees_since == seen.at
        for id_, one in sorted(self._memory.waiting.items()):
            if not self._is_over(one, seen.at, known):
                continue
            watched = known and not blind
            if watched and (one.gone or (one.outside and id_ in present)):
                yield from self._end(id_, seen.at, "abandoned", "over", seen)
            else:
                yield from self._end(id_, seen.at, "censored", "unknown", seen)

    def _join(self, seen: Observation) -> None:
        """Begin the wait of those who are in the queue and nowhere else."""
        memory = self._memory
        first_looks_s = max(UNKNOWN_SAMPLES * self._context.every_s, LEAST_UNKNOWN_S)
        for track in seen.tracks:
            stay = self._queue.stay(track.id)
            if track.id in memory.waiting or not stay.inside or self._till.stay(track.id).inside:
                continue
            since = track.steps[0].at if stay.since is None else stay.since
            memory.waiting[track.id] = QueueVisit(
                track=track.id,
                label=track.label,
                since=since,
                inside_at=max(since, stay.until),
                seen_at=seen.at,
                box=track.box,
                joined_unseen=since - memory.sees_since <= first_looks_s,
            )
            self._minutes.count(since, joined=1)

    def _judge_waits(self, seen: Observation) -> Iterator[Event]:
        memory, longer_than = self._memory, self._config.longer_than
        if longer_than is None:
            return
        for _, one in sorted(memory.waiting.items()):
            waited_s = one.inside_at - one.since
            due = not one.told and waited_s >= longer_than.total_seconds()
            if not due or not self._schedule.allows(seen.at):
                continue
            if not self._config.is_covered(seen):
                one.veiled = True
                continue
            if memory.quiet_until is not None and seen.at < memory.quiet_until:
                one.silenced = True
                continue
            if self._terms.cooldown_s > 0:
                memory.quiet_until = seen.at + self._terms.cooldown_s
            one.told, one.silenced = True, False
            data: dict[str, JsonValue] = {"seconds": round(waited_s, 3)}
            if memory.suppressed:
                data["suppressed"], memory.suppressed = memory.suppressed, 0
            if memory.withheld:
                data["withheld"], memory.withheld = memory.withheld, 0
            yield self._wait_event(one, seen.at, "start", data, seen)

    def _judge_length(self, seen: Observation, length: int | None) -> Iterator[Event]:
        memory, most = self._memory, self._limits.at(seen.at)
        if length is not None:
            memory.length = length
        if most is not None and most != self._last_limit:
            memory.more_than = most
        # A limit that was taken away lets what is open end.
        if most is None and self._holding.since is None:
            return
        before = self._holding.since
        changes = self._holding.see(
            seen.at,
            None if length is None else most is not None and length > most,
            self._schedule.allows(seen.at),
            self._config.is_covered(seen),
        )
        for change in changes:
            if isinstance(change, Ended):
                yield self._length_event(seen.at, change, seen)
        if self._holding.since != before:
            memory.longest = 0
        if self._holding.since is not None:
            memory.longest = max(memory.longest, memory.length)
        for change in changes:
            if isinstance(change, Started):
                yield self._length_event(seen.at, change, seen)

    def _end_all(self, at: float, reason: Reason) -> Iterator[Event]:
        for id_ in sorted(self._memory.waiting):
            yield from self._end(id_, at, "censored", reason, None)

    def _end(
        self, id_: int, at: float, outcome: Outcome, reason: Reason, seen: Observation | None
    ) -> Iterator[Event]:
        memory = self._memory
        one = memory.waiting.pop(id_)
        self._queue.end_stay(id_)
        wait_s = one.inside_at - one.since
        outcome = "censored" if one.joined_unseen else outcome
        memory.suppressed += one.silenced
        memory.withheld += one.veiled and not (one.told or one.silenced)
        counts: dict[str, float] = {outcome: 1}
        if outcome == "served":
            self._served.add(id_)
            counts |= {"wait_s": round(wait_s, 3), wait_measure(wait_s): 1}
        elif outcome == "abandoned":
            counts["abandoned_s"] = round(wait_s, 3)
        self._minutes.count(one.inside_at, **counts)
        if one.told:
            data: dict[str, JsonValue] = {
                "seconds": round(wait_s, 3),
                "until": timestamp(one.inside_at),
                "outcome": outcome,
                "reason": reason,
            }
            yield self._wait_event(one, at, "end", data, seen)

    def _wait_event(
        self,
        one: QueueVisit,
        at: float,
        phase: Phase,
        more: dict[str, JsonValue],
        seen: Observation | None,
    ) -> Event:
        data: dict[str, JsonValue] = {"about": "wait", "since": timestamp(one.since), **more}
        if one.joined_unseen:
            data["at_least"] = True
        subject = Subject(one.label, one.track, one.box)
        return self._event(str(one.track), one.since, at, phase, data, seen, subject)

    @property
    def _last_limit(self) -> int | None:
        """The limit that holds, or held until it was taken away."""
        by_hand = self._memory.more_than
        return self._config.more_than if by_hand is None else by_hand

    def _length_event(self, at: float, change: Started | Ended, seen: Observation | None) -> Event:
        memory = self._memory
        data: dict[str, JsonValue] = {
            "about": "length",
            "count": memory.length,
            "extreme": memory.longest,
            "more_than": self._last_limit,
            "since": timestamp(change.since),
            **change.data(),
        }
        label = self._context.label
        subject = None if label is None else Subject(label)
        return self._event("length", change.since, at, change.phase, data, seen, subject)

    def _event(
        self,
        about: str,
        since: float,
        at: float,
        phase: Phase,
        data: dict[str, JsonValue],
        seen: Observation | None,
        subject: Subject | None,
    ) -> Event:
        context, config = self._context, self._config
        return Event(
            id=event_id(context.camera, context.rule, about, since),
            type=config.type,
            phase=phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=subject,
            data={"zone": config.zone, "served": config.served, **data},
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )
