"""How known time is cut into spans and drawn: nothing is lost, doubled or given away."""

import random
from itertools import pairwise

import pytest

from pipeline.core.measures import Bucket
from pipeline.core.store import EVER, Span
from pipeline.insight.auditing import AuditSpan, drawn, known_time, spans_of

CLIP_S = 20.0


def minute(number: int, coverage: float) -> Bucket:
    """One minute of a rule."""
    return Bucket("door", "footfall", number * 60, 100, coverage)


@pytest.mark.parametrize("events", [0, 1, 3, 40, 400, 3000])
@pytest.mark.parametrize("seed", range(5))
def test_all_known_time_is_cut_once(events: int, seed: int) -> None:
    """Every event is in one busy span, no spans overlap, and what is lost is slivers."""
    rng = random.Random(seed)
    known = [(0.0, 1800.0), (2400.0, 4200.0)]
    moments = sorted(rng.uniform(0, 4200) for _ in range(events))
    spans = spans_of(moments, known, 0.0, CLIP_S, seed)
    inside = [at for at in moments if any(a <= at < b for a, b in known)]
    assert spans.counted == len(inside)
    for span in spans.busy:
        within = [at for at in inside if span.since <= at < span.until]
        assert len(within) == span.counted > 0
    for span in spans.silent:
        assert not [at for at in inside if span.since <= at < span.until]
    ordered = sorted([*spans.busy, *spans.silent], key=lambda one: one.since)
    for one, other in pairwise(ordered):
        assert one.until <= other.since + 1e-9
    whole = sum(b - a for a, b in known)
    assert sum(span.length_s for span in ordered) > 0.97 * whole
    # A sliver on either side belongs to a busy span.
    assert all(span.length_s <= CLIP_S + 8.0 + 1e-9 for span in ordered)


def test_where_an_event_is_in_its_clip_is_random() -> None:
    """It is not always in the middle, and clips of both kinds are about as long."""
    moments = [float(at) for at in range(30, 36_000, 60)]
    spans = spans_of(moments, [(0.0, 36_000.0)], 0.0, CLIP_S, 7)
    places = [(at - one.since) / one.length_s for at, one in zip(moments, spans.busy, strict=True)]
    assert min(places) < 0.25
    assert max(places) > 0.75
    assert 0.4 < sum(places) / len(places) < 0.6
    busy = sum(one.length_s for one in spans.busy) / len(spans.busy)
    silent = spans.silent_s / len(spans.silent)
    assert 0.6 < silent / busy < 1.2


def test_the_same_seed_draws_the_same() -> None:
    """And another one others; names say nothing about the kind."""
    moments = [float(at) for at in range(30, 36_000, 60)]
    spans = spans_of(moments, [(0.0, 36_000.0)], 0.0, CLIP_S, 7)
    plan = drawn(spans, 40, 7)
    assert plan == drawn(spans, 40, 7)
    assert plan.clips != drawn(spans, 40, 8).clips
    kinds = [clip.kind for clip in plan.clips]
    assert kinds.count("busy") == kinds.count("silent") == 40
    assert kinds != sorted(kinds)
    assert [clip.name for clip in plan.clips][:2] == ["clip-01", "clip-02"]


def test_fewer_spans_than_samples_are_all_drawn() -> None:
    """Each once."""
    plan = drawn(spans_of([30.0], [(0.0, 60.0)], 0.0, CLIP_S, 1), 40, 1)
    assert sum(clip.kind == "busy" for clip in plan.clips) == 1
    spans = [clip.span for clip in plan.clips]
    assert len({(one.since, one.until) for one in spans}) == len(spans)
    assert all(isinstance(one, AuditSpan) for one in spans)


def test_minutes_that_are_known_in_part_are_left_out() -> None:
    """Of a live camera; how much that is, is said."""
    known, unknown_s = known_time([minute(0, 1.0), minute(1, 0.5), minute(2, 0.95)], EVER, None)
    assert known == [(0.0, 60.0), (120.0, 180.0)]
    assert unknown_s == 60.0


def test_a_recording_ends_within_a_minute() -> None:
    """The part of its last minute that it has is known whole, though the minute is not."""
    there = [(10.0, 79.0)]
    known, unknown_s = known_time([minute(0, 0.83), minute(1, 0.31), minute(2, 0.0)], EVER, there)
    assert known == [(10.0, 79.0)]
    assert unknown_s == 0.0
    known, _ = known_time([minute(0, 0.83), minute(1, 0.31)], Span(20.0, 70.0), there)
    assert known == [(20.0, 70.0)]
