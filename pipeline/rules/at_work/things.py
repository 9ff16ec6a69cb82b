"""What rules about things that stand have in common: where they stand, who is there, how many."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

from pipeline.core.events import JsonValue
from pipeline.core.geometry import bottom_centre
from pipeline.core.measures import Bucket
from pipeline.rules.at_work.amounts import Amount, AmountMemory
from pipeline.rules.at_work.company import Company
from pipeline.rules.at_work.moments import Moments, MomentsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Holding, HoldingMemory, HoldingTerms
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.stands import Stand, Stands, StandsMemory
from pipeline.rules.unattended import ThingFields
from pipeline.rules.words import plain
from pipeline.rules.zones import ground_of


@dataclass(slots=True)
class ThingsMemory:
    """What such a rule remembers."""

    version: ClassVar[int] = 1
    minutes: MinutesMemory
    stands: StandsMemory
    moments: MomentsMemory
    amount: AmountMemory = field(default_factory=AmountMemory)
    holding: HoldingMemory = field(default_factory=HoldingMemory)


C = TypeVar("C", bound=ThingFields)
M = TypeVar("M", bound=ThingsMemory)


class Things(Generic[C, M]):
    """Follows what stands; or a number, where a model is asked."""

    def __init__(
        self, config: C, context: RuleContext, kind: type[M], amount: Amount, terms: HoldingTerms
    ) -> None:
        """`amount` and `terms` are for a number: what is unusual, and for how long it must be."""
        zone = context.zone(config.zone)
        none = timedelta(0)
        self._config = config
        self._context = context
        self._kind = kind
        self._ground = None if zone is None else ground_of(zone, context.aspect)
        self._unknown_s = HoldingTerms.of(none, config.gap, none, context.every_s).unknown_s
        self._wanted = frozenset(plain(word) for word in config.is_ or ())
        self._company = Company(config, context)
        self._minutes = Minutes(context, config.measures)
        self._stands = Stands(context, config.gap.total_seconds())
        self._moments = Moments(config, context)
        self._amount = amount
        self._holding = Holding(terms)
        self._memory = kind(
            self._minutes.memory,
            self._stands.memory,
            self._moments.memory,
            amount.memory,
            self._holding.memory,
        )

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        memory = self._memory = load(self._kind, state)
        self._minutes.memory, self._stands.memory = memory.minutes, memory.stands
        self._moments.memory, self._amount.memory = memory.moments, memory.amount
        self._holding.memory = memory.holding

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; what stands begins to stand."""
        earlier = load(self._kind, state)
        self._minutes.inherit(earlier.minutes, at)
        self._moments.inherit(earlier.moments, at)

    def _is_inside(self, stand: Stand) -> bool:
        return self._ground is None or self._ground.depth(bottom_centre(stand.box)) >= 0
