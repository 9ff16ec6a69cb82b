"""When a rule of happenings without a length may report one: schedule, cooldown and coverage."""

from dataclasses import dataclass

from pipeline.core.events import JsonValue
from pipeline.core.rules import Observation
from pipeline.rules.base import RuleBase
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import still_quiet
from pipeline.rules.schedule import Schedule


@dataclass(slots=True)
class MomentsMemory:
    """The cooldown, and what was not reported since the last event."""

    quiet_until: float | None = None
    suppressed: int = 0
    withheld: int = 0


class Moments:
    """Decides for each happening whether it is reported; counting continues in any case."""

    def __init__(self, config: RuleBase, context: RuleContext) -> None:
        self._config = config
        self._schedule = Schedule(config.schedule, context.timezone, context.hours)
        self._cooldown_s = config.cooldown.total_seconds()
        self.memory = MomentsMemory()

    def may_speak(self, seen: Observation, at: float) -> bool:
        """Whether to report what happened at `at`, as is known with this frame."""
        memory = self.memory
        if not self._schedule.allows(at):
            return False
        if not self._config.is_covered(seen):
            memory.withheld += 1
            return False
        if memory.quiet_until is not None and at < memory.quiet_until:
            memory.suppressed += 1
            return False
        memory.quiet_until = at + self._cooldown_s if self._cooldown_s > 0 else None
        return True

    def missed(self) -> dict[str, JsonValue]:
        """For the event's data: what was not reported before it; this is said once."""
        memory = self.memory
        data: dict[str, JsonValue] = {}
        if memory.suppressed:
            data["suppressed"], memory.suppressed = memory.suppressed, 0
        if memory.withheld:
            data["withheld"], memory.withheld = memory.withheld, 0
        return data

    def inherit(self, earlier: MomentsMemory, at: float) -> None:
        """Continue an earlier rule's cooldown."""
        self.memory.quiet_until = still_quiet(earlier.quiet_until, at, self._cooldown_s)
        self.memory.suppressed, self.memory.withheld = earlier.suppressed, earlier.withheld
