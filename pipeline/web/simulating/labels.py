"""How right a count is, as it is and as an edit would have it, by what persons said of it.

Two happenings are the same where they have the same id or, as a line that is moved is crossed at
another moment, where the same track does the same thing within seconds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.events import Event, JsonValue
from pipeline.core.reviews import Remark
from pipeline.core.store import Span
from pipeline.core.verifying import outcome_of
from pipeline.deployment.model import CameraConfig
from pipeline.insight.evaluation import Truth, compare, truth_in
from pipeline.insight.simulation import RuleFigures, RuleHour, SimulatedHour, summed
from pipeline.insight.summary import Summary, SummaryRow, SummaryRows
from pipeline.web.events.truth import truth_of
from pipeline.web.state import WebState

SAME_S: Final = 15.0
"""Within this the same track does the same thing but once, so far as it is the same event."""
MISSED_S: Final = 5.0
"""So near a person says when something was missed."""


@dataclass(frozen=True, slots=True)
class LabelledSide:
    """The figures of one count."""

    right: int
    """Of the events that were found right, those that it has."""
    wrong: int
    """Of those that were false or double, those that it has."""
    missed: int
    """What was right, or missed, and that it has not."""
    error: float | None
    """Relative to the true count, as `moonwatch evaluate` says it; None where nothing is compared,
    or nothing is true."""

    @property
    def precision(self) -> float | None:
        """The share of what it has that is right; None where it has nothing that is labelled."""
        return _share(self.right, self.wrong)

    @property
    def recall(self) -> float | None:
        """The share of what is true that it has; None where nothing is known to be."""
        return _share(self.right, self.missed)

    def as_json(self) -> dict[str, JsonValue]:
        """For machines."""
        return {
            "right": self.right,
            "wrong": self.wrong,
            "missed": self.missed,
            "precision": self.precision,
            "recall": self.recall,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class LabelledRule:
    """What is known of one rule's events in a time."""

    rule: str
    labelled: int
    """Events that somebody has reviewed or said something of, and those that were missed."""
    stored: int
    """Events that are stored."""
    missed: int
    """Events that somebody said were missed."""
    now: LabelledSide
    would_be: LabelledSide

    @property
    def partly(self) -> bool:
        """Whether the labels cover only a part: not all was reviewed, or nothing said missed."""
        return self.labelled - self.missed < self.stored or not self.missed

    def as_json(self) -> dict[str, JsonValue]:
        """For machines."""
        return {
            "rule": self.rule,
            "labelled": self.labelled,
            "reviewed": self.labelled - self.missed,
            "stored": self.stored,
            "missed": self.missed,
            "partly": self.partly,
            "now": self.now.as_json(),
            "would_be": self.would_be.as_json(),
        }


def labelled(
    state: WebState,
    camera: str,
    wanted: CameraConfig,
    span: Span,
    hours: Sequence[SimulatedHour],
) -> list[LabelledRule]:
    """The rules of which anything was said, in a span; raises StoreError."""
    rules = [rule for _, rule in summed(hours)]
    stored = {rule.rule: _begun(rule.there) for rule in rules}
    remarks = state.store.reviews.remarks([camera], span)
    seen = state.store.reviews.seen_by_any([one.id for some in stored.values() for one in some])
    wrong = {one.happening for one in remarks if one.happening}
    known = [
        rule
        for rule in rules
        if any(one.id in seen | wrong for one in stored[rule.rule])
        or any(one.kind == "missed" and one.rule == rule.rule for one in remarks)
    ]
    if not known:
        return []
    present = state.deployment.cameras.get(camera)
    truth: Truth = ()
    if present is not None:
        told = truth_of(state.store, state.clock, camera, present, span).truth
        truth = truth_in(told, "truth") if told else ()
    found: list[LabelledRule] = []
    for rule in known:
        there, here = stored[rule.rule], _begun(rule.here)
        false = [one for one in there if one.id in wrong]
        right = [one for one in there if one.id in seen and one.id not in wrong]
        missed = [one for one in remarks if one.kind == "missed" and one.rule == rule.rule]
        stays, new = _matched(there, here)
        regained = _regained(missed, new)
        kept = sum(one.record_id in stays for one in right)
        found.append(
            LabelledRule(
                rule.rule,
                len(false) + len(right) + len(missed),
                len(there),
                len(missed),
                LabelledSide(
                    len(right), len(false), len(missed), _error(camera, present, truth, rule, True)
                ),
                LabelledSide(
                    kept + regained,
                    sum(one.record_id in stays for one in false),
                    len(right) - kept + len(missed) - regained,
                    _error(camera, wanted, truth, rule, False),
                ),
            )
        )
    return found


def _begun(figures: RuleFigures | None) -> list[Event]:
    """Each happening once, by its first event; without what a second look rejected."""
    return [
        one
        for one in (() if figures is None else figures.events)
        if one.phase in ("start", "single")
        and ((outcome := outcome_of(one)) is None or outcome.outcome != "rejected")
    ]


def _matched(there: Iterable[Event], here: Sequence[Event]) -> tuple[set[str], list[Event]]:
    """The record ids of what is stored and would be there too, and what would be new."""
    ids = {one.record_id for one in here}
    stays: set[str] = set()
    others: dict[tuple[object, ...], list[Event]] = {}
    rest: list[Event] = []
    for one in there:
        if one.record_id in ids:
            stays.add(one.record_id)
        else:
            rest.append(one)
    taken = set(stays)
    for one in here:
        if one.record_id not in taken:
            others.setdefault(_deed(one), []).append(one)
    for one in rest:
        same = [] if _deed(one)[0] is None else others.get(_deed(one), [])
        near = min(same, key=lambda other: abs(other.at - one.at), default=None)
        if near is not None and abs(near.at - one.at) <= SAME_S:
            stays.add(one.record_id)
            same.remove(near)
    return stays, [one for some in others.values() for one in some]


def _deed(event: Event) -> tuple[object, ...]:
    """Who did what."""
    track = None if event.subject is None else event.subject.track
    return track, event.run, event.data.get("direction"), event.data.get("about")


def _regained(missed: Iterable[Remark], new: Sequence[Event]) -> int:
    """How many that were missed would be among what is new."""
    left, found = list(new), 0
    for one in missed:
        fitting = [
            event
            for event in left
            if abs(event.at - one.at) <= MISSED_S
            and (not one.direction or event.data.get("direction") == one.direction)
        ]
        if fitting:
            left.remove(min(fitting, key=lambda event: abs(event.at - one.at)))
            found += 1
    return found


def _error(
    camera: str, config: CameraConfig | None, truth: Truth, rule: RuleHour, now: bool
) -> float | None:
    """What `moonwatch evaluate` would say of a rule's sums."""
    figures = rule.there if now else rule.here
    if config is None or figures is None or rule.config is None or rule.config.table is None:
        return None
    row = SummaryRow(camera, rule.rule, rule.values_of(camera, figures), figures.known_s)
    summary = Summary([SummaryRows(rule.config.table, [row])], {}, (), {}, 0.0)
    compared = [one for one in compare(config, truth, summary) if one.rule == rule.rule]
    errors = [one.error for one in compared if math.isfinite(one.error)]
    return max(errors, default=None)


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
