"""What an operator switched of a rule: whether it tells events, and from which number on.

A change is a record in the store that takes effect a little after it was asked for, as with arming.
So a frame is judged alike by whichever process does it, and alike when it is judged again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from pipeline.core.arming import ArmingBook
from pipeline.core.events import Event, JsonValue, event_id
from pipeline.core.records_by_hand import BookByHand, RecordsByHand

SWITCHING = "switching"
"""The type of the events that say that a rule was switched, and their rule."""
BY_FILE = "the file"
"""Who ended what was switched, where an edit of the deployment file did."""
SwitchKey = Literal["enabled", "more_than"]
ENABLED: SwitchKey = "enabled"
MORE_THAN: SwitchKey = "more_than"
SwitchValue: TypeAlias = bool | int | None
"""Whether it is on, or the limit; None for what the file says."""
GREATEST_LIMIT = 1_000_000
"""No limit by hand is greater, where the field of the rule has no end of its own."""


@dataclass(frozen=True, slots=True)
class SwitchRange:
    """The limits that a rule can be given; both ends are allowed."""

    least: int = 0
    most: int = GREATEST_LIMIT


@dataclass(frozen=True, slots=True)
class FileLimit:
    """What the file said when something else was asked for; None for no limit at all."""

    value: int | None = None


@dataclass(frozen=True, slots=True)
class RuleSwitch:
    """Somebody switched a rule of a camera, or changed its limit."""

    at: float
    """UTC seconds from which it holds."""
    camera: str
    rule: str
    key: SwitchKey
    value: SwitchValue
    by: str = ""
    """Who did it."""
    position: int = 0
    """Where it stands in the order of the store."""
    instead_of: FileLimit | None = None
    """What a limit is instead of: it holds only for a rule of which the file says this. None where
    that is not known: it then holds whatever the file says."""

    def holds_for(self, limit: int | None) -> bool:
        """Whether it is something else than what the file says, of a rule with this limit there."""
        if self.key == ENABLED:
            return self.value is False
        return self.value is not None and self.instead_of in (None, FileLimit(limit))


def event_of_switch(change: RuleSwitch) -> Event:
    """The event that says that somebody switched a rule, and who."""
    data: dict[str, JsonValue] = {"rule": change.rule, change.key: change.value, "by": change.by}
    happening = event_id(change.camera, SWITCHING, str(change.position), change.at)
    return Event(happening, SWITCHING, "single", change.camera, SWITCHING, change.at, data=data)


SwitchRecords: TypeAlias = RecordsByHand[RuleSwitch]
"""What was switched by hand, as the store keeps it."""


class SwitchesRules(Protocol):
    """What switches rules; a store does."""

    def __call__(
        self,
        camera: str,
        rule: str,
        key: SwitchKey,
        value: SwitchValue,
        by: str,
        *,
        instead_of: FileLimit | None = None,
    ) -> object:
        """Write down that somebody wants it so. Raises StoreError."""
        ...


class SwitchBook(BookByHand[tuple[str, str, SwitchKey], RuleSwitch]):
    """All rules that were switched by hand."""

    @staticmethod
    def _about(change: RuleSwitch) -> tuple[str, str, SwitchKey]:
        return change.camera, change.rule, change.key

    def all_of(self, camera: str, rule: str, key: SwitchKey) -> Sequence[RuleSwitch]:
        """Every change of one thing, by the time from which it holds."""
        return tuple(self._changes.get((camera, rule, key), ()))

    def newest(self) -> Sequence[RuleSwitch]:
        """The last change of each thing that ever was switched."""
        return tuple(known[-1] for known in self._changes.values())

    def last(
        self, camera: str, rule: str, key: SwitchKey, at: float
    ) -> tuple[RuleSwitch | None, float, float]:
        """The change that holds at a moment, and from when to when that is so."""
        known = self._changes.get((camera, rule, key), [])
        index = bisect_right(known, at, key=lambda one: one.at)
        until = known[index].at if index < len(known) else float("inf")
        found = known[index - 1] if index else None
        return found, float("-inf") if found is None else found.at, until


@dataclass(frozen=True, slots=True)
class ByHand:
    """What operators did that rules go by."""

    arming: ArmingBook = field(default_factory=ArmingBook)
    """What was armed and disarmed."""
    switches: SwitchBook = field(default_factory=SwitchBook)
    """Rules that were switched, or given another limit."""


@dataclass(slots=True)
class SwitchTimes:
    """How one rule was switched, moment by moment."""

    book: SwitchBook = field(default_factory=SwitchBook)
    camera: str = ""
    rule: str = ""
    was: tuple[str, ...] = ()
    """Earlier names of the camera, under which a process may have read what was switched."""
    _enabled: RuleSwitch | None = field(default=None, repr=False)
    _limit: RuleSwitch | None = field(default=None, repr=False)
    _since: float = field(default=float("inf"), repr=False)
    _until: float = field(default=float("-inf"), repr=False)
    _version: int = field(default=-1, repr=False)

    def enabled(self, at: float) -> RuleSwitch | None:
        """What keeps it from telling events at a moment, in UTC seconds; None for nothing."""
        self._look(at)
        change = self._enabled
        return change if change is not None and change.holds_for(None) else None

    def limit(self, at: float, file: int | None) -> RuleSwitch | None:
        """What holds at a moment instead of the file's limit; None where that holds."""
        self._look(at)
        change = self._limit
        return change if change is not None and change.holds_for(file) else None

    def is_on(self, at: float) -> bool:
        """Whether it tells events at a moment, as far as that was switched."""
        return self.enabled(at) is None

    def more_than(self, at: float, file: int | None) -> int | None:
        """The limit at a moment, of a rule that has this one in the file."""
        change = self.limit(at, file)
        return file if change is None else change.value

    def _look(self, at: float) -> None:
        book = self.book
        if self._since <= at < self._until and self._version == book.version:
            return
        self._since, self._until, self._version = float("-inf"), float("inf"), book.version
        self._enabled, self._limit = self._last(ENABLED, at), self._last(MORE_THAN, at)

    def _last(self, key: SwitchKey, at: float) -> RuleSwitch | None:
        found: RuleSwitch | None = None
        for name in (self.camera, *self.was):
            one, since, until = self.book.last(name, self.rule, key, at)
            self._since, self._until = max(self._since, since), min(self._until, until)
            if one is not None and (
                found is None or (one.at, one.position) > (found.at, found.position)
            ):
                found = one
        return found
