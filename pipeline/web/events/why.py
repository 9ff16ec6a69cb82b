"""Why a happening was reported: the rule's terms, what was measured, and how things stood then."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from connectors.stores.sql import SqlStore
from pipeline.core.answers import Boxes
from pipeline.core.arming import ArmedTimes, ArmingBook
from pipeline.core.happenings import Happening
from pipeline.core.observations import frames_of
from pipeline.core.store import Span
from pipeline.deployment.explain import as_written, flow
from pipeline.deployment.fields import descriptions
from pipeline.deployment.model import Deployment
from pipeline.rules.base import RuleBase
from pipeline.rules.schedule import Schedule

MOST_PLACES: Final = 1200
"""A path has no more places; of a longer one some are left out."""
_BEFORE_S, _AFTER_S, _LONGEST_S = 20.0, 10.0, 1800.0
# What is measured against which limit: the limit's field, and the keys of an event's data.
_LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "more_than": ("extreme", "count"),
    "fewer_than": ("extreme", "count"),
    "longer_than": ("seconds",),
    "for": ("seconds",),
    "stood": ("seconds",),
    "within": ("seconds",),
    "over": ("kmh",),
    "min_probability": ("probability",),
    "min_coverage": ("coverage",),
}
_UNIT: Final[Mapping[str, str]] = {"seconds": "s", "kmh": "km/h"}


@dataclass(frozen=True, slots=True)
class RuleTerm:
    """One thing that the file says of a rule."""

    name: str
    value: str
    """As in the file."""
    meaning: str


@dataclass(frozen=True, slots=True)
class AgainstLimit:
    """A measured value and the limit that it is held against."""

    measured: str
    """The key of the event's data, such as `seconds`."""
    value: float
    limit_name: str
    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class ThenArmed:
    """Whether the camera was armed at that moment."""

    is_armed: bool
    since: float | None
    by: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why it was reported."""

    is_known: bool
    """Whether the file still has the rule."""
    type: str
    terms: Sequence[RuleTerm]
    measured: Sequence[AgainstLimit]
    schedule: str | None
    """The hours in which it reports, as in the file; None for always."""
    was_scheduled: bool | None
    """Whether the moment lies in them, by the file of now."""
    armed: ThenArmed | None
    """None where the rule does not ask for it."""
    cooldown_s: float
    silenced: int
    """Happenings before this one that the cooldown kept back."""
    withheld: int
    """Happenings before this one of which too little was known."""
    coverage: float | None
    """How much of the last minute was known."""
    edited_at: float | None
    """When the rule was edited since then; the terms are those of now."""


@dataclass(frozen=True, slots=True)
class PathPlace:
    """Where a track was in one frame."""

    at: float
    box: tuple[float, float, float, float]
    score: float | None


def reasons(one: Happening, deployment: Deployment, store: SqlStore) -> Reasons:
    """Why it was reported, by the file of now; raises StoreError."""
    event = one.first
    camera = deployment.cameras.get(event.camera)
    rule = None if camera is None else camera.rules.get(event.rule)
    began = one.began_at
    silenced, withheld = (_whole(one.data.get(name)) for name in ("suppressed", "withheld"))
    coverage = event.data.get("coverage")
    edits = [
        edit.at
        for edit in store.history.edits(event.camera, Span(began, None))
        if edit.rule == event.rule
    ]
    if rule is None:
        return Reasons(
            is_known=False,
            type=event.type,
            terms=[],
            measured=[],
            schedule=None,
            was_scheduled=None,
            armed=None,
            cooldown_s=0.0,
            silenced=silenced,
            withheld=withheld,
            coverage=_number(coverage),
            edited_at=max(edits, default=None),
        )
    site = deployment.site_of(event.camera)
    schedule = Schedule(rule.schedule, site.timezone, site.opening_hours)
    armed = None
    if rule.when != "always":
        book = ArmingBook(store.armings)
        book.refresh()
        then = ArmedTimes(site.arming_plan, book, event.camera).at(began)
        armed = ThenArmed(then.is_armed, then.since, then.by)
    return Reasons(
        is_known=True,
        type=event.type,
        terms=list(_terms(rule)),
        measured=list(_measured(rule, one.data)),
        schedule=flow(as_written(rule.schedule)) if rule.schedule else None,
        was_scheduled=schedule.allows(began) if rule.schedule else None,
        armed=armed,
        cooldown_s=rule.cooldown.total_seconds(),
        silenced=silenced,
        withheld=withheld,
        coverage=_number(coverage),
        edited_at=max(edits, default=None),
    )


def path_of(one: Happening, store: SqlStore) -> Sequence[PathPlace]:
    """Where its track was around it, in order of time; raises StoreError.

    Empty where it is about no track, or where what was seen then is no longer kept.
    """
    subject, event = one.subject, one.first
    if subject is None or subject.track is None or event.run is None:
        return []
    began = one.began_at - min(_LONGEST_S, one.seconds or 0.0) - _BEFORE_S
    ended = min(one.ended_at or one.last.at, one.began_at + _LONGEST_S) + _AFTER_S
    found: dict[float, PathPlace] = {}
    for block in store.observations(event.camera, span=Span(began, ended)):
        for frame in frames_of(block):
            result = frame.result
            if result.run != event.run or not began <= result.captured_at <= ended:
                continue
            for task, tracks in frame.tracks.items():
                answer = result.answers.get(task)
                if isinstance(answer, Boxes) and subject.track in tracks:
                    n = tracks.index(subject.track)
                    score = answer.scores[n] if n < len(answer.scores) else None
                    box = answer.boxes_xyxy[n]
                    found[result.captured_at] = PathPlace(result.captured_at, box, score)
    places = [found[at] for at in sorted(found)]
    step = max(1, -(-len(places) // MOST_PLACES))
    return places[::step]


def _terms(rule: RuleBase) -> Iterator[RuleTerm]:
    """What the file says of it, without what is left at its default."""
    meanings = descriptions(type(rule))
    for name, info in type(rule).model_fields.items():
        if name not in rule.model_fields_set and name != "type":
            continue
        written = as_written(getattr(rule, name))
        shown = info.alias or name
        yield RuleTerm(shown, flow(written), meanings.get(shown, ""))


def _measured(rule: RuleBase, data: Mapping[str, Any]) -> Iterator[AgainstLimit]:
    for limit_name, keys in _LIMITS.items():
        field = f"{limit_name}_" if limit_name == "for" else limit_name
        limit = getattr(rule, field, None)
        if isinstance(limit, timedelta):
            limit = limit.total_seconds()
        if not isinstance(limit, float | int) or not limit:
            continue
        for key in keys:
            value = _number(data.get(key))
            if value is not None:
                yield AgainstLimit(key, value, limit_name, float(limit), _UNIT.get(key, ""))
                break
    verify = rule.verify
    detail = data.get("verify")
    if verify is not None and verify.at_least is not None and isinstance(detail, dict):
        value = _number(detail.get("probability"))
        if value is not None:
            yield AgainstLimit("probability", value, "verify.at_least", verify.at_least, "")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value is not True else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
