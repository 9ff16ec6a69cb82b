"""Who is staff, and what staff has done, as soon as that is known."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.core.rules import Observation
from pipeline.rules.context import RuleContext
from pipeline.rules.crossers import Crossers, CrossersMemory
from pipeline.rules.presence import PresenceMemory, ZonePresence
from pipeline.rules.staff import StaffConfig

FORGET_S = 120.0
"""Seconds after which a track that is not seen is forgotten; trackers give up much sooner."""
MARGIN = 0.01
"""How far past a staff line somebody must get, in picture heights, as for `line_crossing`."""


@dataclass(slots=True)
class Deed:
    """Something that was counted for everybody."""

    at: float
    name: str
    """The measure that counts it for staff."""


@dataclass(slots=True)
class StaffMemory:
    """Who is staff, and what all others have done, should they turn out to be."""

    presence: PresenceMemory = field(default_factory=PresenceMemory)
    crossers: CrossersMemory = field(default_factory=CrossersMemory)
    run: str = ""
    staff: dict[int, float] = field(default_factory=dict)
    """Ids, and when each was seen last."""
    others: dict[int, float] = field(default_factory=dict)
    deeds: dict[int, list[Deed]] = field(default_factory=dict)
    """Of others, by id."""


class Staff:
    """Tells staff from others, and says what staff has done, as soon as that is known."""

    def __init__(self, config: StaffConfig, context: RuleContext) -> None:
        zone = context.zone(config.zone)
        self._zone = zone
        self._presence = ZonePresence(context, zone)
        self._crossers = None
        if config.line is not None:
            self._crossers = Crossers(context.crossable(config.line), context, MARGIN, door=False)
        self.use(StaffMemory())

    def use(self, memory: StaffMemory) -> None:
        """Go on with a memory."""
        self.memory = memory
        self._presence.memory = memory.presence
        if self._crossers is not None:
            self._crossers.memory = memory.crossers

    def see(self, seen: Observation) -> Iterator[Deed]:
        """Process an answered frame; what those did before who turn out to be staff now."""
        memory = self.memory
        if seen.run != memory.run:  # ids start over
            memory.run = seen.run
            memory.staff, memory.others, memory.deeds = {}, {}, {}
        for new, old in self._presence.see(seen).items():
            self._rename(old, new)
        found = set(self._presence.inside()) if self._zone is not None else set()
        if self._crossers is not None:
            found |= {crossed.id for crossed in self._crossers.see(seen)}
        for track in seen.tracks:
            known = memory.staff if track.id in memory.staff else memory.others
            known[track.id] = seen.at
        for id_ in sorted(found - memory.staff.keys()):
            memory.staff[id_] = seen.at
            memory.others.pop(id_, None)
        for id_ in sorted(memory.deeds.keys() & memory.staff.keys()):
            yield from memory.deeds.pop(id_)
        for known in (memory.staff, memory.others):
            for id_ in [one for one, at in known.items() if at < seen.at - FORGET_S]:
                del known[id_]
                memory.deeds.pop(id_, None)

    def is_staff(self, id_: int) -> bool:
        """Whether somebody is known to be staff."""
        return id_ in self.memory.staff

    def did(self, id_: int, at: float, name: str) -> Deed | None:
        """Note that something was counted for everybody; returned if it is known to be staff's."""
        deed = Deed(at, name)
        if self.is_staff(id_):
            return deed
        self.memory.deeds.setdefault(id_, []).append(deed)
        self.memory.others.setdefault(id_, at)
        return None

    def _rename(self, old: int, new: int) -> None:
        memory = self.memory
        for known in (memory.staff, memory.others):
            if old in known:
                known[new] = known.pop(old)
        if old in memory.deeds:
            memory.deeds[new] = [*memory.deeds.pop(old), *memory.deeds.get(new, [])]
        if new in memory.staff:
            memory.others.pop(new, None)
