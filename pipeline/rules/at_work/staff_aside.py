"""Leaves staff out of a rule, in one place for all rules that know nothing of staff."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue
from pipeline.core.measures import Bucket
from pipeline.core.rules import (
    NOTHING,
    CountsTracks,
    Ending,
    Observation,
    Rule,
    TrackAnswer,
    Verdict,
)
from pipeline.core.tracks import Track
from pipeline.rules.at_work.staffing import STAFF, Staff, StaffMemory
from pipeline.rules.base import References
from pipeline.rules.context import RuleContext
from pipeline.rules.crossing import Gate
from pipeline.rules.memory import dump, load
from pipeline.rules.staff import StaffConfig, Treatment
from pipeline.rules.zones import ground_of

NEAR_HEIGHTS = 2.0
"""Whoever is so many body heights from a line, or nearer, matters to a rule about it."""
_ASIDE = "aside"
"""The key of the state with what is known of staff; the rule itself does not read it."""


class StaffAside:
    """A rule that is shown others than staff, or staff alone; its events are never about staff."""

    def __init__(
        self,
        rule: Rule,
        config: StaffConfig,
        context: RuleContext,
        places: References,
        treatment: Treatment,
    ) -> None:
        self._rule = rule
        self._treatment = treatment
        self._staff = Staff(config, context)
        self._asks = config.ask is not None
        self._aspect = context.aspect
        self._zones = [ground_of(context.zones[name], context.aspect) for name in places.zones]
        self._gates: list[Gate] = []
        if not self._zones:
            self._gates = [
                Gate(context.line(name), context.aspect, NEAR_HEIGHTS) for name in places.lines
            ]

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more frame, as far as it is the rule's business."""
        if isinstance(seen.answer, Boxes):
            for _deed in self._staff.see(seen):
                pass  # nothing is counted for staff here
            for track in seen.tracks if self._asks else ():
                if self._matters(track):
                    self._staff.ask(track.id)
        return self._verdict(seen.at, self._rule.judge(self._shown(seen)))

    def hear(self, at: float, told: Sequence[TrackAnswer]) -> Verdict:
        """Who has turned out to be staff, or not."""
        for _deed in self._staff.hear(at, told):
            pass
        return self._verdict(at, NOTHING)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """As the rule says; it knows only of those who are its business."""
        if not isinstance(self._rule, CountsTracks):
            return {}
        out = self._not_its_business(tracks, max((one.steps[-1].at for one in tracks), default=0.0))
        found = self._rule.counted([one for one in tracks if one.id not in out])
        return {id_: named for id_, named in found.items() if id_ not in out}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Finish the rule; events that wait go out."""
        verdict = self._rule.finish(at, why)
        return replace(verdict, events=self._let_go(verdict.events, at, finally_=True))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The rule's current minute so far."""
        return self._rule.unfinished()

    def state(self) -> JsonValue:
        """The rule's own, with what is known of staff beside it."""
        state = self._rule.state()
        return {**state, _ASIDE: dump(self._staff.memory)} if isinstance(state, dict) else state

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        if not isinstance(state, dict):
            raise ValueError("a state must be a mapping")  # noqa: TRY004 - one error for all
        memory = load(StaffMemory, state.get(_ASIDE))
        self._rule.restore(state)
        self._staff.use(memory)

    def inherit(self, state: JsonValue, at: float) -> None:
        """As the rule does; who was staff is found out anew."""
        self._rule.inherit(state, at)

    def _matters(self, track: Track) -> bool:
        if self._zones:
            return any(zone.contains(track.anchor) for zone in self._zones)
        if not self._gates:
            return True
        reach = NEAR_HEIGHTS * (track.box[3] - track.box[1])
        places = [(gate, gate.place(track.anchor)) for gate in self._gates]
        return any(
            abs(gate.distance(xy)) <= reach and gate.is_beside(xy, reach) for gate, xy in places
        )

    def _shown(self, seen: Observation) -> Observation:
        """Those who are none of the rule's business are of another kind to it."""
        if not seen.tracks:
            return seen
        out = self._not_its_business(seen.tracks, seen.at)
        if not out:
            return seen
        return replace(
            seen,
            tracks=tuple(one for one in seen.tracks if one.id not in out),
            others=(*seen.others, *(one for one in seen.tracks if one.id in out)),
            tracked=True,
        )

    def _not_its_business(self, tracks: Sequence[Track], at: float) -> set[int]:
        """The ids of those who are not counted."""
        staff = self._staff
        if self._treatment == "unreported":
            return set()
        if self._treatment == "wanted":
            return {one.id for one in tracks if not staff.may_be(one.id, at)}
        return {one.id for one in tracks if staff.is_staff(one.id)}

    def _verdict(self, at: float, verdict: Verdict) -> Verdict:
        staff = self._staff
        if verdict is NOTHING and not staff.has_news:
            return verdict
        return replace(
            verdict,
            events=self._let_go(verdict.events, at),
            questions=staff.take_questions(),
            waiting=staff.take_waiting(),
        )

    def _let_go(
        self, events: Sequence[Event], at: float, *, finally_: bool = False
    ) -> tuple[Event, ...]:
        if self._treatment == "wanted":
            return tuple(events)
        out = self._staff.let_go(events, at, finally_=finally_)
        return tuple(event for event in out if event.data.get(STAFF) is not True)
