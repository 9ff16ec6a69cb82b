"""When a happening may be reported: schedule, cooldown and coverage; what is silent is counted."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.core.events import JsonValue
from pipeline.core.rules import Observation
from pipeline.rules.base import RuleBase
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import still_quiet


@dataclass(slots=True)
class MomentsMemory:
    """The cooldown, and what was not reported since the last event."""

    quiet_until: float | None = None
    suppressed: int = 0
    withheld: int = 0


class Tellable(Protocol):
    """A happening that lasts, and what became of its start event."""

    told: bool
    silenced: bool
    veiled: bool


class Moments:
    """Decides for each happening whether it is reported; counting continues in any case."""

    def __init__(self, config: RuleBase, context: RuleContext) -> None:
        self._config = config
        self._schedule = context.reporting_time(config)
        self._cooldown_s = config.cooldown.total_seconds()
        self.memory = MomentsMemory()
        self._withheld = 0

    def may_speak(self, seen: Observation, at: float) -> bool:
        """Whether to report what happened at `at` and took a moment, as is known with a frame."""
        memory = self.memory
        if not self._schedule.allows(at):
            return False
        if not self._config.is_covered(seen):
            memory.withheld += 1
            self._withheld += 1
            return False
        if memory.quiet_until is not None and at < memory.quiet_until:
            memory.suppressed += 1
            return False
        memory.quiet_until = at + self._cooldown_s if self._cooldown_s > 0 else None
        return True

    def may_start(self, seen: Observation, happening: Tellable) -> bool:
        """Whether to report something that lasts, and is due: if not now, it is asked again."""
        memory = self.memory
        if not self._schedule.allows(seen.at):
            return False
        if not self._config.is_covered(seen):
            self._withheld += not happening.veiled
            happening.veiled = True
            return False
        if memory.quiet_until is not None and seen.at < memory.quiet_until:
            happening.silenced = True
            return False
        if self._cooldown_s > 0:
            memory.quiet_until = seen.at + self._cooldown_s
        happening.told, happening.silenced = True, False
        return True

    def ended(self, happening: Tellable) -> None:
        """Note what was never reported of something that is over."""
        self.memory.suppressed += happening.silenced
        self.memory.withheld += happening.veiled and not (happening.told or happening.silenced)

    def missed(self) -> dict[str, JsonValue]:
        """For the event's data: what was not reported before it; this is said once."""
        memory = self.memory
        data: dict[str, JsonValue] = {}
        if memory.suppressed:
            data["suppressed"], memory.suppressed = memory.suppressed, 0
        if memory.withheld:
            data["withheld"], memory.withheld = memory.withheld, 0
        return data

    def note_withheld(self) -> None:
        """Note one that something else keeps count of, for `take_withheld`."""
        self._withheld += 1

    def take_withheld(self) -> int:
        """How many were kept back for lack of answered frames since this was asked last."""
        taken, self._withheld = self._withheld, 0
        return taken

    def inherit(self, earlier: MomentsMemory, at: float) -> None:
        """Continue an earlier rule's cooldown."""
        self.memory.quiet_until = still_quiet(earlier.quiet_until, at, self._cooldown_s)
        self.memory.suppressed, self.memory.withheld = earlier.suppressed, earlier.withheld
