"""An answer in words that must hold for a while, such as "is the fire door open?" `is: yes`."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.answers import Answer, Number, Text
from pipeline.core.events import Event, JsonValue, event_id, timestamp
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.rules.condition import ConditionConfig
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Ended, Holding, HoldingMemory, HoldingTerms, Started
from pipeline.rules.memory import dump, load
from pipeline.rules.words import plain, yes_or_no


@dataclass(slots=True)
class _ConditionState:
    version: ClassVar[int] = 1
    holding: HoldingMemory
    answer: str = ""
    probability: float | None = None


class Condition:
    """Compares answers, ignoring case, extra spaces and a final full stop."""

    def __init__(self, config: ConditionConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._wanted = {plain(word) for word in config.is_}
        self._schedule = context.reporting_time(config)
        self._holding = Holding(
            HoldingTerms.of(config.for_, config.gap, config.cooldown, context.every_s)
        )
        self._memory = _ConditionState(self._holding.memory)

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more answer."""
        holds = self._hears(seen.answer)
        was_veiled = self._holding.is_veiled
        changes = self._holding.see(
            seen.at, holds, self._schedule.allows(seen.at), self._config.is_covered(seen)
        )
        withheld = int(self._holding.is_veiled and not was_veiled)
        events = tuple(self._event(seen.at, change, seen) for change in changes)
        return Verdict(events, withheld=withheld)

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End an open happening."""
        changes = self._holding.finish(why)
        return Verdict(tuple(self._event(at, change, None) for change in changes))

    def unfinished(self) -> tuple[Bucket, ...]:
        """Nothing: it has no measures."""
        return ()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_ConditionState, state)
        self._holding.memory = self._memory.holding

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's cooldown."""
        self._holding.inherit(load(_ConditionState, state).holding, at)

    def _hears(self, answer: Answer) -> bool | None:
        """Whether the answer is the expected one; None without an answer."""
        words = _words(answer)
        if not words:
            return None
        probability = _probability(answer, self._wanted)
        self._memory.answer, self._memory.probability = words, probability
        least = self._config.min_probability
        if least is not None and probability is not None:
            return probability >= least
        said = plain(words)
        return said in self._wanted or yes_or_no(said) in self._wanted

    def _event(self, at: float, change: Started | Ended, seen: Observation | None) -> Event:
        context, memory = self._context, self._memory
        data: dict[str, JsonValue] = {
            "is": self._config.is_[0] if len(self._config.is_) == 1 else list(self._config.is_),
            "answer": memory.answer,
            "since": timestamp(change.since),
        }
        if memory.probability is not None:
            data["probability"] = round(memory.probability, 4)
        data |= change.data()
        return Event(
            id=event_id(context.camera, context.rule, "", change.since),
            type=self._config.type,
            phase=change.phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            data=data,
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )


def _words(answer: Answer) -> str:
    match answer:
        case Text():
            return answer.text.strip()
        case Number():
            return str(answer.value)
        case _:
            return ""


def _probability(answer: Answer, wanted: set[str]) -> float | None:
    """How sure the engine is of the expected yes or no."""
    if not isinstance(answer, Text) or answer.yes_probability is None:
        return None
    return 1.0 - answer.yes_probability if wanted == {"no"} else answer.yes_probability
