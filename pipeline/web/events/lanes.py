"""The timeline: how many happenings began when, and how much of that time is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.core.edits import RuleEdit
from pipeline.core.happenings import Bins
from pipeline.core.measures import BUCKET_S, Health
from pipeline.core.store import Span
from pipeline.processing.health import ENDED_BY
from pipeline.web.events.finding import Finder
from pipeline.web.events.wishes import EventWish

MOST_BINS: Final = 720
MOST_DAYS: Final = 92
MOST_LANES: Final = 64
MOST_EDITS: Final = 200
_SEEN_FOR_S = 40 * 86_400.0
_PAGE = 500
_BLIND: Final = ("offline", "frozen", "black", "masked")
"""Troubles in which nothing can be seen to happen."""

LanesBy = Literal["camera", "rule"]


@dataclass(frozen=True, slots=True)
class TimelineLane:
    """One row of the timeline."""

    camera: str
    rule: str
    """Empty for a camera as a whole."""
    counts: Sequence[int]
    known: Sequence[float | None]
    """The share of each bin that is known, 0..1; None for what is still to come."""
    measured: bool
    """Whether that is from minutes that rules kept; otherwise from the camera's health alone."""


@dataclass(frozen=True, slots=True)
class BlindTime:
    """A time in which a camera showed nothing. UTC seconds."""

    camera: str
    state: str
    since: float
    until: float | None
    """None while it goes on."""


@dataclass(frozen=True, slots=True)
class TimelineLanes:
    """Lanes of equal bins."""

    bins: Bins
    lanes: Sequence[TimelineLane]
    blind: Sequence[BlindTime]
    edits: Sequence[RuleEdit] = ()
    """What was edited of the rules that are shown."""
    cut: bool = False
    """Whether counting took too long: the oldest bins may lack some."""


def bins_of(since: float, until: float, most: int) -> Bins:
    """Bins of whole minutes from a whole minute on, which hold all of a span."""
    begins = math.floor(since / BUCKET_S) * BUCKET_S
    length = max(BUCKET_S, until - begins)
    seconds = math.ceil(length / most / BUCKET_S) * BUCKET_S
    return Bins(begins, seconds, max(1, math.ceil(length / seconds)))


def timeline(finder: Finder, wish: EventWish, bins: Bins, by: LanesBy, now: float) -> TimelineLanes:
    """Count and look up how much is known; raises StoreError."""
    names = _names(finder, wish, by)
    counts, cut = _counts(finder, wish, bins, by)
    for lane in sorted(counts):
        names.setdefault(lane)
    chosen = list(names)[:MOST_LANES]
    cameras = sorted({camera for camera, _ in chosen})
    blind = _blind(finder, cameras, bins, now)
    lanes = []
    for lane, (known, is_measured) in _known(finder, chosen, blind, bins, by, now).items():
        counted = counts.get(lane, {})
        row = [counted.get(n, 0) for n in range(bins.number)]
        lanes.append(TimelineLane(*lane, row, known, is_measured))
    span = bins.span
    shown = [one for one in blind if one.until is None or one.until > (span.since or 0.0)]
    return TimelineLanes(bins, lanes, shown, _edits(finder, wish, span, chosen, by), cut)


def known_of(
    finder: Finder, cameras: Sequence[str], bins: Bins, now: float
) -> dict[str, Sequence[float | None]]:
    """The share of each bin that is known of each camera; None for what is still to come."""
    lanes = [(camera, "") for camera in cameras]
    found = _known(finder, lanes, _blind(finder, cameras, bins, now), bins, "camera", now)
    return {camera: known for (camera, _), (known, _) in found.items()}


def _known(
    finder: Finder,
    lanes: Sequence[tuple[str, str]],
    blind: Sequence[BlindTime],
    bins: Bins,
    by: LanesBy,
    now: float,
) -> dict[tuple[str, str], tuple[Sequence[float | None], bool]]:
    """Of each lane, and whether that is from minutes that rules kept."""
    cameras = sorted({camera for camera, _ in lanes})
    shares: dict[tuple[str, str], dict[int, float]] = {}
    for share in finder.store.happenings.known(bins, cameras, by_rule=by == "rule"):
        shares.setdefault((share.camera, share.rule), {})[share.bin] = share.minutes
    found: dict[tuple[str, str], tuple[Sequence[float | None], bool]] = {}
    for lane in lanes:
        minutes = shares.get(lane)
        if minutes is None:
            found[lane] = _unblind(lane[0], blind, finder, bins, now), False
        else:
            known = [_share(minutes.get(n, 0.0), bins, n, now) for n in range(bins.number)]
            found[lane] = known, True
    return found


def _names(finder: Finder, wish: EventWish, by: LanesBy) -> dict[tuple[str, str], None]:
    """The lanes of the file, in its order."""
    found: dict[tuple[str, str], None] = {}
    for name in finder.visitor.seen_of(finder.deployment.cameras):
        if wish.cameras and name not in wish.cameras:
            continue
        if by == "camera":
            found[name, ""] = None
            continue
        for rule, config in finder.deployment.cameras[name].rules.items():
            wanted = not wish.rules or rule in wish.rules
            if wanted and (not wish.types or config.type in wish.types):
                found[name, rule] = None
    return found


def _edits(
    finder: Finder, wish: EventWish, span: Span, lanes: Sequence[tuple[str, str]], by: LanesBy
) -> list[RuleEdit]:
    """The newest edits of what the lanes show; an edited rule counts anew from then on."""
    shown = {(camera, rule) for camera, rule in lanes}
    found = []
    for edit in finder.store.history.edits(None, span):
        config = finder.deployment.cameras.get(edit.camera)
        rule = None if config is None else config.rules.get(edit.rule)
        wanted = not wish.rules or edit.rule in wish.rules
        if wish.types:
            wanted = wanted and rule is not None and rule.type in wish.types
        if wanted and (edit.camera, edit.rule if by == "rule" else "") in shown:
            found.append(edit)
    return found[-MOST_EDITS:]


def _counts(
    finder: Finder, wish: EventWish, bins: Bins, by: LanesBy
) -> tuple[dict[tuple[str, str], dict[int, int]], bool]:
    counts: dict[tuple[str, str], dict[int, int]] = {}

    def add(camera: str, rule: str, place: int, number: int) -> None:
        lane = counts.setdefault((camera, rule if by == "rule" else ""), {})
        lane[place] = lane.get(place, 0) + number

    if wish.is_plain:
        query = wish.query(finder.visitor.name, finder.cameras)
        for tally in finder.store.happenings.tallies(query, bins):
            add(tally.camera, tally.rule, tally.bin, tally.happenings)
        return counts, False
    beyond: int | None = None
    ends_at = finder.clock.monotonic() + 2 * finder.look_s
    while True:
        page = finder.page(wish, beyond, _PAGE)
        for one in page.found:
            place = int((one.began_at - bins.since) // bins.seconds)
            if 0 <= place < bins.number:
                add(one.camera, one.first.rule, place, 1)
        beyond = page.beyond
        if beyond is None or page.cut or finder.clock.monotonic() >= ends_at:
            return counts, beyond is not None


def _share(minutes: float, bins: Bins, place: int, now: float) -> float | None:
    """The known share of a bin, of what of it is over."""
    begins = bins.since + place * bins.seconds
    over = min(bins.seconds, now - begins) / BUCKET_S
    return None if over <= 0 else round(min(1.0, minutes / over), 4)


def _blind(finder: Finder, cameras: Sequence[str], bins: Bins, now: float) -> list[BlindTime]:
    """When cameras showed nothing, from some time before the bins on."""
    span = bins.span
    since = (span.since or 0.0) - _SEEN_FOR_S
    ends = {ENDED_BY[state]: state for state in _BLIND}
    open_since: dict[tuple[str, str], float] = {}
    found: list[BlindTime] = []
    states: Sequence[Health] = finder.store.history.health(span=Span(since, span.until))
    for health in states:
        if health.camera not in cameras:
            continue
        if health.state in _BLIND:
            open_since.setdefault((health.camera, health.state), health.at)
        elif health.state in ends:
            state = ends[health.state]
            began = open_since.pop((health.camera, state), None)
            if began is not None:
                found.append(BlindTime(health.camera, state, began, health.at))
    found += [
        BlindTime(camera, state, began, None) for (camera, state), began in open_since.items()
    ]
    return sorted(found, key=lambda one: (one.since, one.camera, one.state))


def _unblind(
    camera: str, blind: Sequence[BlindTime], finder: Finder, bins: Bins, now: float
) -> list[float | None]:
    """Of a camera without minutes: the share of each bin in which it showed something.

    Before anything is known of it, it showed nothing.
    """
    states = finder.store.history.health(camera, Span(None, bins.span.until))
    first = min((one.at for one in states), default=None)
    gaps = [(one.since, one.until or now) for one in blind if one.camera == camera]
    if first is None:
        gaps = [(bins.since, now)]
    elif first > bins.since:
        gaps.append((bins.since, first))
    joined = _joined(gaps)
    known: list[float | None] = []
    for place in range(bins.number):
        begins = bins.since + place * bins.seconds
        ends = min(begins + bins.seconds, now)
        if ends <= begins:
            known.append(None)
            continue
        lost = sum(max(0.0, min(ends, b) - max(begins, a)) for a, b in joined)
        known.append(round(max(0.0, 1.0 - lost / (ends - begins)), 4))
    return known


def _joined(gaps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Overlapping times as one."""
    found: list[tuple[float, float]] = []
    for since, until in sorted(gaps):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found
