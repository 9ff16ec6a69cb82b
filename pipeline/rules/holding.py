"""`for`, `gap` and `cooldown`: when something that holds on and off counts as one happening."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Literal

from pipeline.core.events import JsonValue, Phase, timestamp
from pipeline.core.rules import Ending

Reason = Literal["over", "unknown", "schedule"] | Ending

UNKNOWN_SAMPLES = 2.5
"""This many sampling intervals without a known answer are always tolerated: one failed answer, with
a little jitter, never ends a happening."""
LEAST_UNKNOWN_S = 1.0
"""The same in seconds where every picture is used and the interval is unknown."""
USUAL_PAUSES = 3
"""The shortest of this many pauses between known answers is the actual interval: longer than the
configured one where an engine cannot keep up, but not because of a single outage."""


@dataclass(frozen=True, slots=True)
class HoldingTerms:
    """How long things must hold, may be interrupted and are silenced afterwards, in seconds."""

    for_s: float = 0.0
    gap_s: float = 0.0
    cooldown_s: float = 0.0
    unknown_s: float = LEAST_UNKNOWN_S

    @classmethod
    def of(
        cls, hold: timedelta, gap: timedelta, cooldown: timedelta, every_s: float
    ) -> "HoldingTerms":
        """Terms from the configured durations and the task's sampling interval."""
        gap_s = gap.total_seconds()
        unknown_s = max(gap_s, UNKNOWN_SAMPLES * every_s, LEAST_UNKNOWN_S)
        return cls(hold.total_seconds(), gap_s, cooldown.total_seconds(), unknown_s)


@dataclass(frozen=True, slots=True)
class Started:
    """It has held for long enough; `since` is when it began."""

    since: float
    suppressed: int
    """How many happenings before it a cooldown silenced."""
    withheld: int = 0
    """How many before it were not reported because too few frames were answered."""

    phase: ClassVar[Phase] = "start"

    def data(self) -> dict[str, JsonValue]:
        """What its event says of those before it."""
        told = {"suppressed": self.suppressed, "withheld": self.withheld}
        return {name: number for name, number in told.items() if number}


@dataclass(frozen=True, slots=True)
class Ended:
    """A started happening is over; `until` is its end, as far as is known."""

    since: float
    until: float
    reason: Reason

    phase: ClassVar[Phase] = "end"

    def data(self) -> dict[str, JsonValue]:
        """What its event says of the end."""
        return {
            "until": timestamp(self.until),
            "seconds": round(self.until - self.since, 3),
            "reason": self.reason,
        }


@dataclass(slots=True)
class HoldingMemory:
    """The state of a happening."""

    since: float | None = None
    """When it began to hold; None while it does not."""
    held_at: float = 0.0
    """The last time it was seen to hold."""
    broken_at: float | None = None
    """The first time it was seen not to hold, since `held_at`."""
    known_at: float = 0.0
    pauses_s: list[float] = field(default_factory=list)
    """The last pauses between known moments."""
    started: bool = False
    silenced: bool = False
    """Whether only the cooldown kept it from starting."""
    quiet_until: float | None = None
    suppressed: int = 0
    veiled: bool = False
    """Whether only a lack of answered frames kept it from starting."""
    withheld: int = 0


class Holding:
    """Turns a sequence of yes, no and unknown into starts and ends of happenings.

    A happening starts once it has held for `for_s`, including interruptions shorter than `gap_s`,
    and ends once it has not held for `gap_s`. Unknown moments change nothing until they have lasted
    `unknown_s`, or two and a half times the interval between answers where an engine cannot keep
    up. After an end nothing starts for `cooldown_s`; what still holds then, starts then.
    """

    def __init__(self, terms: HoldingTerms) -> None:
        self.memory = HoldingMemory()
        self._terms = terms

    @property
    def started(self) -> bool:
        """Whether a happening is open."""
        return self.memory.started

    @property
    def is_veiled(self) -> bool:
        """Whether only a lack of answered frames keeps it from starting."""
        return self.memory.veiled

    @property
    def since(self) -> float | None:
        """When what holds now began."""
        return self.memory.since

    def see(
        self, at: float, holds: bool | None, allowed: bool = True, covered: bool = True
    ) -> list[Started | Ended]:
        """Process one more moment.

        `allowed` is False outside the schedule, and `covered` where too few frames were answered to
        start: what still holds when enough are, starts then.
        """
        if not allowed:
            return self._stop("schedule")
        changes: list[Started | Ended] = []
        memory = self.memory
        if memory.since is not None and at - memory.known_at > self._unknown_s():
            changes += self._stop("unknown")
        if holds is None:
            return changes
        if memory.known_at:
            memory.pauses_s.append(at - memory.known_at)
            del memory.pauses_s[:-USUAL_PAUSES]
        memory.known_at = at
        if holds:
            changes += self._holds(at, covered)
        elif memory.since is not None:
            changes += self._breaks(at)
        return changes

    def finish(self, why: Ending = "stream ended") -> list[Started | Ended]:
        """End at the end of the stream, or of the rule."""
        return self._stop(why)

    def inherit(self, earlier: HoldingMemory, at: float) -> None:
        """Continue an earlier rule's cooldown, from `at` no longer than these terms allow."""
        self.memory.quiet_until = still_quiet(earlier.quiet_until, at, self._terms.cooldown_s)
        self.memory.suppressed, self.memory.withheld = earlier.suppressed, earlier.withheld

    def _unknown_s(self) -> float:
        pauses = self.memory.pauses_s
        usual_s = min(pauses) if len(pauses) == USUAL_PAUSES else 0.0
        return max(self._terms.unknown_s, UNKNOWN_SAMPLES * usual_s)

    def _holds(self, at: float, covered: bool) -> list[Started | Ended]:
        memory = self.memory
        if memory.since is None:
            memory.since = at
        memory.held_at, memory.broken_at = at, None
        if memory.started or at - memory.since < self._terms.for_s:
            return []
        if not covered:
            memory.veiled = True
            return []
        if memory.quiet_until is not None and at < memory.quiet_until:
            memory.silenced = True
            return []
        started = Started(memory.since, memory.suppressed, memory.withheld)
        memory.started, memory.silenced, memory.veiled = True, False, False
        memory.suppressed = memory.withheld = 0
        return [started]

    def _breaks(self, at: float) -> list[Started | Ended]:
        memory = self.memory
        if memory.since is None:
            return []
        if memory.broken_at is None:
            memory.broken_at = at
        return self._stop("over") if at - memory.broken_at >= self._terms.gap_s else []

    def _stop(self, reason: Reason) -> list[Started | Ended]:
        memory = self.memory
        since, started = memory.since, memory.started
        until = memory.held_at if memory.broken_at is None else memory.broken_at
        memory.suppressed += memory.silenced
        memory.withheld += memory.veiled and not memory.silenced
        memory.since, memory.broken_at = None, None
        memory.started, memory.silenced, memory.veiled = False, False, False
        if since is None or not started:
            return []
        if self._terms.cooldown_s > 0:
            memory.quiet_until = until + self._terms.cooldown_s
        return [Ended(since, until, reason)]


def still_quiet(until: float | None, at: float, cooldown_s: float) -> float | None:
    """When a cooldown that an earlier rule began ends under the current terms."""
    return None if until is None or cooldown_s <= 0 else min(until, at + cooldown_s)
