"""A truth file from what persons said of what was counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.core.events import JsonValue
from pipeline.core.happenings import Happening, HappeningQuery
from pipeline.core.reviews import Remark
from pipeline.core.store import Span
from pipeline.deployment.model import CameraConfig

_AT_ONCE: Final = 400
_MOST: Final = 50_000
_LOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class TruthFound:
    """What is true of a camera and a time, as far as persons said so."""

    truth: Mapping[str, JsonValue]
    """By section of a truth file; without any where no rule counts what can be compared."""
    remarks: Sequence[Remark]
    reviewed: int
    """How many happenings somebody has reviewed or remarked on."""
    happenings: int
    cut: bool


def truth_of(
    store: SqlStore, clock: Clock, camera: str, config: CameraConfig, span: Span
) -> TruthFound:
    """Correct what was counted by what was said of it; raises StoreError.

    What nobody said anything about is taken for right: it is as good as the review was.
    """
    found, cut = _happenings(store, clock, camera, span)
    remarks = store.reviews.remarks([camera], span)
    wrong = {one.happening for one in remarks if one.happening}
    sections: dict[str, list[JsonValue]] = {}
    done: set[tuple[str, str]] = set()
    for name, rule in config.rules.items():
        manual, line = rule.manual, next(iter(rule.references().lines), None)
        if manual is None or line is None or not all(one.whole for one in manual.numbers):
            continue
        if (manual.section, line) in done:
            continue  # a line that two rules count at is told once
        done.add((manual.section, line))
        numbers: dict[str, JsonValue] = {}
        for number in manual.numbers:
            way = number.keys[0]
            right = sum(
                one.first.rule == name and one.word("direction") == way and one.id not in wrong
                for one in found
            )
            missed = sum(
                one.kind == "missed" and one.rule == name and one.direction == way
                for one in remarks
            )
            numbers[way] = right + missed
        sections.setdefault(manual.section, []).append({"name": line, **numbers})
    return TruthFound(
        truth={**sections},
        remarks=remarks,
        reviewed=_reviewed(store, found, wrong),
        happenings=len(found),
        cut=cut,
    )


def _happenings(
    store: SqlStore, clock: Clock, camera: str, span: Span
) -> tuple[list[Happening], bool]:
    kept, query = store.happenings, HappeningQuery(cameras=(camera,), span=span)
    extent = kept.extent(span)
    found: list[Happening] = []
    if extent is None:
        return found, False
    below, ends_at = extent[1] + 1, clock.monotonic() + _LOOK_S
    while True:
        leads = kept.leads(query, extent[0] - 1, below, _AT_ONCE)
        every = kept.happenings([lead.key for lead in leads])
        found += [one for one in every.values() if one.counted_as == "counted"]
        if len(leads) < _AT_ONCE:
            return found, False
        below = leads[-1].position
        if len(found) >= _MOST or clock.monotonic() >= ends_at:
            return found, True


def _reviewed(store: SqlStore, found: Sequence[Happening], wrong: set[str]) -> int:
    seen = store.reviews.seen_by_any([one.id for one in found])
    return len(seen | (wrong & {one.id for one in found}))
