"""Draws what a person judges in an audit, and what follows from the verdicts.

All known time of a rule is cut into spans of about the same length: busy ones, each around events,
and silent ones. Clips of both kinds look alike and come in random order, so that whoever judges
them cannot see what the rule has counted.
"""

import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from pipeline.core.arming import ArmedTimes
from pipeline.core.audits import Audit, AuditFigures, AuditVerdict
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import Event, JsonValue
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.store import COUNTED, EventFilter, History, Page, Span
from pipeline.core.switching import ByHand, SwitchTimes
from pipeline.deployment.model import Deployment
from pipeline.insight.audit_figures import AuditedTime, JudgedSpan, figures_of
from pipeline.rules.schedule import ReportingTime, Schedule

GUARD_S = 3.0
"""Where the rule says that something happened, it did so within this time before or after."""
# Silence between two events that is shorter than this belongs to both.
_LEAST_SILENCE_S = 4.0
# Minutes of which this share is covered count as known.
_KNOWN_SHARE = 0.9
_PAGE = 1000
# What a page can show of an event; the last is the best.
_SHOWN = (".jpg", ".mp4")

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AuditSpan:
    """A piece of time, with how many events of the rule are in it."""

    since: float
    until: float
    counted: int = 0

    @property
    def length_s(self) -> float:
        """In seconds."""
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class AuditedSpans:
    """All of a rule's known time in pieces."""

    busy: Sequence[AuditSpan]
    silent: Sequence[AuditSpan]
    unknown_s: float
    """Time in minutes of which too little is known, which are left out."""
    unseen_s: float = 0.0
    """Silent time of which nothing can be shown."""

    @property
    def counted(self) -> int:
        """Events in all of it."""
        return sum(span.counted for span in self.busy)

    @property
    def silent_s(self) -> float:
        """The length of all silent spans, also of what cannot be shown."""
        return self.unseen_s + sum(span.length_s for span in self.silent)


@dataclass(frozen=True, slots=True)
class DrawnClip:
    """One clip to be judged."""

    name: str
    kind: Literal["busy", "silent"]
    span: AuditSpan
    directions: Mapping[str, int] = field(default_factory=dict)
    """How many of its events were in each direction of a line."""


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What was drawn, and of how much."""

    seed: int
    time: AuditedTime
    clips: Sequence[DrawnClip]
    directions: Mapping[str, int] = field(default_factory=dict)
    """How many events there were in each direction of a line, in all of it; empty of other rules
    and where directions cannot be seen."""

    def as_json(self) -> JsonValue:
        """As it is stored."""
        return {
            "seed": self.seed,
            "busy_spans": self.time.busy_spans,
            "counted": self.time.counted,
            "silent_s": self.time.silent_s,
            "clips": [
                {
                    "name": clip.name,
                    "kind": clip.kind,
                    "since": clip.span.since,
                    "until": clip.span.until,
                    "counted": clip.span.counted,
                    **({"directions": {**clip.directions}} if self.directions else {}),
                }
                for clip in self.clips
            ],
            **({"directions": {**self.directions}} if self.directions else {}),
        }


def plan_from(audit: Audit) -> AuditPlan:
    """The plan of a stored audit; raises ConfigError where retention has forgotten it."""
    if audit.plan is None:
        said = "was drawn longer ago than `store.keep`, and is forgotten; draw another one"
        raise ConfigError([Problem("--verdicts", f"audit {audit.id} {said}")])
    stored = cast(dict[str, Any], audit.plan)
    return AuditPlan(
        seed=stored["seed"],
        time=AuditedTime(stored["busy_spans"], stored["counted"], stored["silent_s"]),
        clips=[
            DrawnClip(
                one["name"],
                one["kind"],
                AuditSpan(one["since"], one["until"], one["counted"]),
                one.get("directions", {}),
            )
            for one in stored["clips"]
        ],
        directions=stored.get("directions", {}),
    )


def directed(
    plan: AuditPlan,
    deployment: Deployment,
    history: History,
    camera: str,
    rule: str,
    span: Span,
    known: Sequence[Interval],
) -> AuditPlan:
    """The plan with what was counted in each direction, where the rule is about a line."""
    config = deployment.cameras[camera].rules[rule]
    if config.called_in() is None:
        return plan
    moments: dict[str, list[float]] = {"in": [], "out": []}
    for event in _events_of(deployment, history, camera, rule, span):
        passage = config.passage(event)
        if passage is not None and passage.direction in moments:
            moments[passage.direction].append(event.at)

    def within(since: float, until: float) -> dict[str, int]:
        return {name: sum(since <= at < until for at in found) for name, found in moments.items()}

    parts = [within(since, until) for since, until in known]
    clips = [replace(one, directions=within(one.span.since, one.span.until)) for one in plan.clips]
    totals = {name: sum(part[name] for part in parts) for name in moments}
    return replace(plan, clips=clips, directions=totals)


def moments_of(
    deployment: Deployment, history: History, camera: str, rule: str, span: Span
) -> list[float]:
    """When the rule's events were, in order of time; raises ConfigError for rules without such."""
    config = deployment.cameras[camera].rules[rule]
    if config.has_map:
        said = "reports no events that a person could count; audit another rule"
        raise ConfigError([Problem("RULE", f"rule {rule!r} {said}")])
    if config.cooldown.total_seconds() > 0:
        said = (
            "keeps back events by its `cooldown`, so they are not what was counted; audit a rule "
            "without one, over the same line or zone"
        )
        raise ConfigError([Problem("RULE", f"rule {rule!r} {said}")])
    return sorted(event.at for event in _events_of(deployment, history, camera, rule, span))


def _events_of(
    deployment: Deployment, history: History, camera: str, rule: str, span: Span
) -> Iterator[Event]:
    """What the rule has reported, and not an earlier one of that name and another type."""
    kind = deployment.cameras[camera].rules[rule].type
    chosen = EventFilter(
        (camera,), (rule,), phases=("start", "single"), span=span, counted_as=COUNTED
    )
    beyond: int | None = None
    while True:
        page = history.events(chosen, Page(_PAGE, beyond, newest_first=False))
        yield from (one.event for one in page if one.event.type == kind)
        if len(page) < _PAGE:
            return
        beyond = page[-1].position


def kept_media(
    deployment: Deployment, history: History, chosen: EventFilter
) -> Mapping[float, Path]:
    """The clip, else the picture, of each event that has one, by when the event was."""
    found: dict[float, Path] = {}
    media = deployment.store.build_media()
    beyond: int | None = None
    begins = replace(chosen, phases=("start", "single"))
    while True:
        page = history.events(begins, Page(_PAGE, beyond, newest_first=False))
        for one in page:
            there = [
                reference
                for reference in one.event.media
                if PurePosixPath(reference).suffix in _SHOWN and media.has(reference)
            ]
            if there:
                best = max(there, key=lambda name: _SHOWN.index(PurePosixPath(name).suffix))
                found[one.event.at] = media.local(best)
        if len(page) < _PAGE:
            return found
        beyond = page[-1].position


def known_time(
    minutes: Sequence[Bucket], span: Span, there: Sequence[Interval] | None
) -> tuple[list[Interval], float]:
    """The time that is known, and for how long minutes are known too little.

    `there` is when a recording has pictures; None for a live camera.
    """
    known: list[Interval] = []
    unknown_s = 0.0
    for bucket in minutes:
        begin, end = float(bucket.minute), bucket.minute + BUCKET_S
        parts = [(begin, end)] if there is None else _common([(begin, end)], there)
        length_s = sum(b - a for a, b in parts)
        if length_s <= 0:
            continue
        if bucket.coverage * BUCKET_S < _KNOWN_SHARE * length_s:
            unknown_s += length_s
            continue
        known += parts
    ends = [(span.since or float("-inf"), span.until or float("inf"))]
    return _common(_joined(known), ends), unknown_s


def spans_of(
    moments: Sequence[float],
    known: Sequence[Interval],
    unknown_s: float,
    clip_s: float,
    seed: int,
) -> AuditedSpans:
    """All known time in pieces of about `clip_s`; the same seed gives the same pieces.

    Events that are close together share a busy span. It is made as long as the others by time
    before and after them, how much of which before is random: where in a clip something happens
    says nothing about who saw it.
    """
    rng = random.Random(seed)
    busy: list[AuditSpan] = []
    silent: list[AuditSpan] = []
    for begin, end in known:
        inside = [at for at in moments if begin <= at < end]
        cores = [core for group in _groups(inside) for core in _cut(group, clip_s)]
        at = begin
        for number, (first, last, counted) in enumerate(cores):
            following = cores[number + 1][0] if number + 1 < len(cores) else end
            slack = max(0.0, clip_s - (last - first))
            before = slack * rng.random()
            since = max(at, first - before)
            until = min(following, max(last, since + clip_s))
            if since - at < _LEAST_SILENCE_S:
                since = at
            if until < following < until + _LEAST_SILENCE_S:
                until = following
            silent += _pieces(at, since, clip_s)
            busy.append(AuditSpan(since, until, counted))
            at = until
        silent += _pieces(at, end, clip_s)
    return AuditedSpans(busy, silent, unknown_s)


def drawn(spans: AuditedSpans, samples: int, seed: int) -> AuditPlan:
    """At most so many spans of each kind, at random and in random order."""
    rng = random.Random(seed)
    chosen: list[tuple[Literal["busy", "silent"], AuditSpan]] = [
        *(("busy", one) for one in rng.sample(list(spans.busy), min(samples, len(spans.busy)))),
        *(
            ("silent", one)
            for one in rng.sample(list(spans.silent), min(samples, len(spans.silent)))
        ),
    ]
    rng.shuffle(chosen)
    digits = len(str(len(chosen)))
    return AuditPlan(
        seed,
        AuditedTime(len(spans.busy), spans.counted, spans.silent_s),
        [
            DrawnClip(f"clip-{number:0{digits}}", kind, span)
            for number, (kind, span) in enumerate(chosen, 1)
        ],
    )


def new_audit(
    camera: str, rule: str, plan: AuditPlan, span: Interval, now: float, by: str = ""
) -> Audit:
    """An open audit; `by` is who counts, where that is known already."""
    name, since, until = secrets.token_hex(6), span[0], span[1]
    return Audit(name, camera, rule, since, until, now, plan=plan.as_json(), by=by)


def judged(audit: Audit, verdicts: Mapping[str, AuditVerdict], now: float, by: str) -> Audit:
    """The audit with what the verdicts say; clips without one, or None, are left out.

    Directions are told apart where the person did so in every clip with anything in it.

    Clips come in random order, so also the first of them are a fair sample.
    """
    plan = plan_from(audit)
    kinds: dict[str, list[JudgedSpan]] = {"busy": [], "silent": []}
    for clip in plan.clips:
        true = verdicts.get(clip.name)
        if true is not None:
            total = true if isinstance(true, int) else sum(true.values())
            kinds[clip.kind].append(JudgedSpan(clip.span.counted, total, clip.span.length_s))
    figures = figures_of(plan.time, kinds["busy"], kinds["silent"], plan.seed)
    if not any(isinstance(one, int) and one for one in verdicts.values()):
        parts = {name: _of_direction(plan, verdicts, name) for name in plan.directions}
        figures = replace(figures, directions=parts)
    return replace(audit, verdicts=dict(verdicts), judged_at=now, by=by, figures=figures)


def _of_direction(
    plan: AuditPlan, verdicts: Mapping[str, AuditVerdict], direction: str
) -> AuditFigures:
    """What the verdicts say of one direction: the same clips, and what there was in it."""
    kinds: dict[str, list[JudgedSpan]] = {"busy": [], "silent": []}
    for clip in plan.clips:
        said = verdicts.get(clip.name)
        if said is not None:
            true = 0 if isinstance(said, int) else said.get(direction, 0)
            counted = clip.directions.get(direction, 0)
            kinds[clip.kind].append(JudgedSpan(counted, true, clip.span.length_s))
    time = replace(plan.time, counted=plan.directions[direction])
    return figures_of(time, kinds["busy"], kinds["silent"], plan.seed)


def _groups(moments: Sequence[float]) -> list[list[float]]:
    """Events that are too close together for silence between them."""
    groups: list[list[float]] = []
    for at in moments:
        if groups and at - groups[-1][-1] < 2 * GUARD_S + _LEAST_SILENCE_S:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def _cut(group: Sequence[float], longest_s: float) -> list[tuple[float, float, int]]:
    """A group with time around it; one that is too long is cut in its longest pauses."""
    cuts: list[float] = []

    def cut(moments: Sequence[float]) -> None:
        if len(moments) < 2 or moments[-1] - moments[0] + 2 * GUARD_S <= longest_s:
            return
        pauses = [b - a for a, b in pairwise(moments)]
        widest = pauses.index(max(pauses))
        if pauses[widest] <= 0:
            return
        cuts.append((moments[widest] + moments[widest + 1]) / 2)
        cut(moments[: widest + 1])
        cut(moments[widest + 1 :])

    cut(group)
    edges = [group[0] - GUARD_S, *sorted(cuts), group[-1] + GUARD_S]
    return [(a, b, sum(a <= at < b for at in group)) for a, b in pairwise(edges)]


def _pieces(since: float, until: float, longest_s: float) -> list[AuditSpan]:
    length = until - since
    if length < _LEAST_SILENCE_S:
        return []
    number = max(1, -int(-length // longest_s))
    return [
        AuditSpan(since + length * n / number, since + length * (n + 1) / number)
        for n in range(number)
    ]


def _joined(intervals: Sequence[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for begin, end in sorted(intervals):
        if joined and begin <= joined[-1][1] + 1e-6:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _common(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    return [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) < min(b, d)]


def open_time(
    deployment: Deployment,
    camera: str,
    rule: str,
    known: Sequence[Interval],
    by_hand: ByHand,
) -> list[Interval]:
    """The known time in which it reports, by its `schedule`, `when` and switch, in minutes."""
    site = deployment.site_of(camera)
    config = deployment.cameras[camera].rules[rule]
    schedule = ReportingTime(
        Schedule(config.schedule, site.timezone, site.opening_hours),
        config.when,
        ArmedTimes(site.arming_plan, by_hand.arming, camera),
        SwitchTimes(by_hand.switches, camera, rule, deployment.cameras[camera].was),
    )
    minutes: list[Interval] = []
    for begin, end in known:
        at = begin
        while at < end:
            following = min(end, (at // BUCKET_S + 1) * BUCKET_S)
            if schedule.allows(at) and schedule.allows(following - 0.001):
                minutes.append((at, following))
            at = following
    return _joined(minutes)
