"""Precision, recall and accuracy of counts from a sample of clips that a person has counted.

The time of an audit is cut into busy spans, each around events, and silent ones. Some of each kind
are drawn at random and judged. What the person would have counted in all the others is drawn many
times from what the sample says (Jeffreys' priors: a beta distribution for the share of counted
events that are right, gamma distributions for the rates of missed ones), and the middle 95 % of
the outcomes are the interval. What was looked at is known, so it does not vary: who has judged
everything gets intervals without width. Errors that come in clusters count for less, by the
design effect: the variance between spans over that of independent errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.audits import AuditFigure, AuditFigures

_DRAWS = 20_000
_TAIL = 2.5
_PRIOR = 0.5
_Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedSpan:
    """A span of time with what the rule counted in it and what the person did."""

    counted: int
    true: int
    length_s: float

    @property
    def matched(self) -> int:
        """What was counted and was there."""
        return min(self.counted, self.true)


@dataclass(frozen=True, slots=True)
class AuditedTime:
    """Everything that the samples stand for."""

    busy_spans: int
    counted: int
    """Events in all busy spans."""
    silent_s: float
    """The length of all silent spans together."""


def figures_of(
    time: AuditedTime,
    busy: Sequence[JudgedSpan],
    silent: Sequence[JudgedSpan],
    seed: int = 0,
    draws: int = _DRAWS,
) -> AuditFigures:
    """What the samples say about all of the time; the same samples and seed say the same.

    Without a judged busy span (where there are any) nothing is known about precision, and without a
    silent one (where there is silent time) nothing about recall and accuracy.
    """
    rng = np.random.default_rng(seed)
    # In what was judged of one direction nothing of it may have been counted.
    knows_counted = not time.counted or any(one.counted for one in busy)
    knows_busy = knows_counted and (bool(busy) or not time.busy_spans)
    knows_silent = bool(silent) or not time.silent_s
    matched = _matched(time, busy, rng, draws)
    extra = _missed(
        [(one.true - one.matched, 1.0) for one in busy], time.busy_spans - len(busy), rng, draws
    )
    judged_s = sum(one.length_s for one in silent)
    missed = _missed(
        [(one.true, one.length_s) for one in silent],
        max(0.0, time.silent_s - judged_s),
        rng,
        draws,
    )
    true = _Outcomes(
        matched.value + extra.value + missed.value, matched.drawn + extra.drawn + missed.drawn
    )
    no_false = all(one.counted <= one.true for one in busy)
    no_missed = all(one.true <= one.matched for one in [*busy, *silent])
    precision = recall = accuracy = counted = None
    if busy and time.counted and knows_counted:
        precision = _share(matched, _Outcomes(time.counted, time.counted), full=no_false)
    if knows_busy and knows_silent and (true.value > 0 or time.counted):
        recall = _share(matched, true, full=no_missed) if true.value > 0 else None
        counted = AuditFigure(true.value, *_middle(true.drawn))
        if true.value > 0:
            ratio = time.counted / np.maximum(true.drawn, 1e-9)
            low, high = _middle(ratio)
            # Where no error was seen, there may be none.
            low = min(low, 1.0) if no_missed else low
            high = max(high, 1.0) if no_false else high
            value = time.counted / true.value
            accuracy = AuditFigure(value, min(low, value), max(high, value))
    return AuditFigures(
        precision=precision,
        recall=recall,
        accuracy=accuracy,
        counted=time.counted,
        true=counted,
        judged=len(busy) + len(silent),
    )


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """A number: what the sample says, and what it may be."""

    value: float
    drawn: "_Numbers | float"


def _matched(
    time: AuditedTime, busy: Sequence[JudgedSpan], rng: np.random.Generator, draws: int
) -> _Outcomes:
    """How many of the counted events were there."""
    if not busy:
        return _Outcomes(0.0, np.zeros(draws))
    right = sum(one.matched for one in busy)
    counted = sum(one.counted for one in busy)
    if not counted:
        return _Outcomes(0.0, np.zeros(draws))
    rest = max(0, time.counted - counted)
    share = right / counted
    effect = _effect(
        [one.matched - share * one.counted for one in busy], counted * share * (1 - share)
    )
    shares = rng.beta(_PRIOR + right / effect, _PRIOR + (counted - right) / effect, draws)
    return _Outcomes(right + rest * share, right + rng.binomial(rest, shares).astype(np.float64))


def _missed(
    found: Sequence[tuple[int, float]], rest: float, rng: np.random.Generator, draws: int
) -> _Outcomes:
    """How many were missed in a kind of span; each found with how much time it stands for."""
    looked = sum(length for _, length in found)
    if not looked:
        return _Outcomes(0.0, np.zeros(draws))
    seen = sum(missed for missed, _ in found)
    rate = seen / looked
    effect = _effect([missed - rate * length for missed, length in found], float(seen))
    rates = rng.gamma(_PRIOR + seen / effect, effect / looked, draws)
    return _Outcomes(seen + rest * rate, seen + rng.poisson(rest * rates).astype(np.float64))


def _effect(residuals: Sequence[float], independent: float) -> float:
    """The design effect: how much more spans differ than independent errors would make them."""
    n = len(residuals)
    if n < 2 or independent <= 0:
        return 1.0
    return max(1.0, sum(r * r for r in residuals) * n / (n - 1) / independent)


def _share(part: _Outcomes, whole: _Outcomes, *, full: bool) -> AuditFigure:
    value = part.value / whole.value
    low, high = _middle(part.drawn / np.maximum(whole.drawn, 1e-9))
    if full:
        high = 1.0
    if part.value == 0:
        low = 0.0
    return AuditFigure(value, min(low, value), min(1.0, max(high, value)))


def _middle(drawn: "_Numbers | float") -> tuple[float, float]:
    low, high = np.percentile(drawn, (_TAIL, 100 - _TAIL))
    return float(low), float(high)
