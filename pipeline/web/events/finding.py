"""Happenings found page by page, with an end to how long that may take."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.core.happenings import Happening, Lead
from pipeline.core.reviews import Remark
from pipeline.deployment.model import Deployment
from pipeline.web.access.visitor import Visitor
from pipeline.web.events.sending import Deliveries
from pipeline.web.events.wishes import EventWish

WINDOW: Final = 20_000
"""So many events are looked through by one question to the database."""
_AT_ONCE = 200
_LOOK_S = 3.0


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Some happenings, the newest first."""

    found: Sequence[Happening]
    beyond: int | None
    """Below which position the next page begins; None where there is nothing more."""
    cut: bool = False
    """Whether it ends because the search took long: there may be more before `beyond`."""


@dataclass
class Finder:
    """Finds what a visitor may see."""

    deployment: Deployment
    store: SqlStore
    clock: Clock
    visitor: Visitor
    look_s: float = _LOOK_S
    """For how long one page is looked for."""
    window: int = WINDOW
    remarks: dict[str, list[Remark]] = field(default_factory=dict)
    """What was said of those that were found, by their id."""

    @cached_property
    def deliveries(self) -> Deliveries:
        """How delivery stands; read when it is needed first."""
        return Deliveries(self.deployment, self.store, self.clock).read()

    @property
    def cameras(self) -> tuple[str, ...] | None:
        """Those that the visitor may see; None for all."""
        seen = self.visitor.cameras
        return None if seen is None else tuple(sorted(seen))

    def page(self, wish: EventWish, beyond: int | None = None, limit: int = 50) -> FoundPage:
        """The newest happenings below a position; raises StoreError."""
        query, kept = wish.query(self.visitor.name, self.cameras), self.store.happenings
        lowest, below = 0, (kept.newest() + 1 if beyond is None else beyond)
        if wish.since is not None or wish.until is not None:
            extent = kept.extent(wish.span)
            if extent is None:
                return FoundPage([], None)
            lowest, below = extent[0] - 1, min(below, extent[1] + 1)
        found: list[Happening] = []
        ends_at = self.clock.monotonic() + self.look_s
        while below > lowest + 1:
            above = max(lowest, below - 1 - self.window)
            leads = kept.leads(query, above, below, _AT_ONCE)
            for lead, one in self._wanted(leads, wish):
                found.append(one)
                if len(found) == limit:
                    return FoundPage(found, lead.position if lead.position > 1 else None)
            # A full page of leads may leave others in the window.
            below = leads[-1].position if len(leads) == _AT_ONCE else above + 1
            if self.clock.monotonic() >= ends_at and below > lowest + 1:
                return FoundPage(found, below, cut=True)
        return FoundPage(found, None)

    def news(self, wish: EventWish, after: int, limit: int = 50) -> tuple[Sequence[Happening], int]:
        """What began or went on beyond a position, and the position up to which that was looked at.

        Everything that comes later has a higher one. Raises StoreError.
        """
        kept = self.store.happenings
        newest = kept.newest()
        upto = min(newest, after + self.window)
        if upto <= after:
            return [], newest if after > newest else after
        query = wish.query(self.visitor.name, self.cameras)
        leads = kept.changed(query, after, upto, limit)
        if len(leads) == limit:
            upto = leads[-1].position
        wanted = dict.fromkeys(one.id for _, one in self._wanted(leads, wish))
        every = kept.happenings([lead.key for lead in leads])
        return [every[name] for name in wanted if name in every], upto

    def one(self, happening: str) -> Happening | None:
        """A happening by its id, if the visitor may see it; raises StoreError."""
        key = happening[:26]
        found = self.store.happenings.happenings([key]).get(happening)
        if found is None or not self.visitor.sees(found.camera):
            return None
        self._note_remarks([found.id])
        return found

    def _wanted(self, leads: Sequence[Lead], wish: EventWish) -> Sequence[tuple[Lead, Happening]]:
        every = self.store.happenings.happenings([lead.key for lead in leads])
        by_key: dict[str, list[Happening]] = {}
        for one in every.values():
            by_key.setdefault(one.first.record_id[:26], []).append(one)
        chosen = [
            (lead, one)
            for lead in leads
            for one in by_key.get(lead.key, ())
            if self.visitor.sees(one.camera) and wish.takes(one, self.deployment)
        ]
        if wish.sent is not None:
            self.deliveries.look_up(one for _, one in chosen)
            chosen = [both for both in chosen if wish.takes_sent(self.deliveries.sending(both[1]))]
        self._note_remarks([one.id for _, one in chosen])
        if wish.wrong is not None:
            chosen = [
                both for both in chosen if wish.takes_remarks(self.remarks.get(both[1].id, []))
            ]
        return chosen

    def _note_remarks(self, happenings: Collection[str]) -> None:
        for said in self.store.reviews.remarks_on(happenings):
            known = self.remarks.setdefault(said.happening, [])
            if said not in known:
                known.append(said)
