"""What holds for every rule and every stream: replay, restart, and a shift in time."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.core.answers import Answer, Number, Text
from pipeline.core.rules import Observation, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules.base import RuleBase
from tests.rules.scene import (
    FAILED,
    Place,
    box,
    config,
    context,
    judged,
    late,
    people,
    seen,
    through_json,
)

EVERY_S = 0.5
RULES: dict[str, RuleBase] = {
    "crossing": config(type="line_crossing", line="across"),
    "crossing, cooled": config(type="line_crossing", line="across", cooldown="2s"),
    "crossing, groups": config(type="line_crossing", line="across", groups=True, door=True),
    "tailgating": config(type="tailgating", line="across", within="3s", cooldown="1s", door=True),
    "parking": config(type="parking", zone="left", longer_than="2s", gap="3s", cooldown="1s"),
    "speed": config(type="speed", zone="left", rectangle=[4, 8], over=5, cooldown="1s"),
    "left": config(type="left_object", zone="left", longer_than="2s", gap="2s", cooldown="1s"),
    "removed": config(type="removed_object", zone="left", stood="2s", gap="2s", cooldown="1s"),
    "left, asked": config(type="left_object", longer_than="1s", gap="1s", is_="yes"),
    "removed, asked": config(type="removed_object", stood="1s", gap="1s", cooldown="1s"),
    "crossing, staff": config(type="line_crossing", line="across", staff={"zone": "left"}),
    "visits, staff": config(type="dwell", zone="left", staff={"line": "across"}),
    "occupancy": config(
        type="occupancy", zone="left", more_than=1, for_="1s", gap="1s", update_every="1s"
    ),
    "few": config(type="occupancy", fewer_than=2, cooldown="3s", update_every="1s"),
    "dwell": config(type="dwell", zone="left", longer_than="1s", gap="2s", cooldown="1s"),
    "visits": config(type="dwell", gap="0s"),
    "count": config(type="count", more_than=2, for_="1s", gap="1s", cooldown="2s"),
    "absence": config(type="absence", zone="left", for_="1s", gap="1s", cooldown="2s"),
    "absence, at once": config(type="absence", for_="0.1s"),
    "queue": config(
        type="queue", zone="left", served="till", more_than=1, longer_than="1s", cooldown="2s"
    ),
    "crowding": config(type="crowding", more_than=1, for_="1s", gap="1s", update_every="1s"),
    "wrong way": config(type="wrong_way", zone="left", along="across", distance=0.5),
    "wrong way over a line": config(type="wrong_way", line="across", wrong="in", cooldown="2s"),
    "heat map": config(type="heat_map", zone="left", columns=8),
    "condition": config(type="condition", is_="yes", for_="1s", gap="1s", cooldown="2s"),
}
QUICK = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
# Halves and 64ths are exact in binary, so that a shift in time changes no bit of any difference.
_place = st.integers(0, 64).map(lambda n: n / 64)
_pause = st.sampled_from([0.125, 0.5, 0.5, 0.5, 1.0, 4.0, 30.0])
_answer = st.one_of(
    st.just(FAILED),
    st.integers(0, 5).map(lambda n: Number("scripted", n)),
    st.sampled_from(["yes", "no", ""]).map(lambda word: Text("scripted", word)),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Observation]:
    """People who wander, vanish, return and are confirmed late, between failures and restarts."""
    frames: list[Observation] = []
    at, run = 1_700_000_000.0, "r1"
    for _ in range(draw(st.integers(1, 25))):
        before, at = at, at + draw(_pause)
        run = draw(st.sampled_from([run] * 15 + ["r2", "r3"]))
        ids = sorted(draw(st.sets(st.integers(1, 4), max_size=4)))
        tracks = tuple(draw(_tracks(id_, ((before + at) / 2, at))) for id_ in ids)
        answer: Answer | None = draw(_answer) if not tracks else None
        frames.append(seen(at, *tracks, answer=answer, run=run))
    return frames


@st.composite
def _tracks(draw: st.DrawFn, id_: int, times: tuple[float, float]) -> Track:
    height = draw(st.sampled_from([0.125, 0.25, 0.25, 0.25]))
    moments = times if draw(st.integers(0, 5)) == 0 else times[1:]
    steps = tuple(Step(at, box(draw(_place), draw(_place), height)) for at in moments)
    return Track(id_, "person", 0.5, steps[0].at, steps)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@QUICK
@given(frames=streams())
def test_a_restart_changes_nothing(rule: RuleBase, frames: list[Observation]) -> None:
    """Going on from a stored state at every point gives the same verdicts as never stopping."""
    whole = rule.build(context(EVERY_S))
    part = rule.build(context(EVERY_S))
    for frame in frames:
        assert part.judge(frame) == whole.judge(frame)
        part = through_json(part, rule.build(context(EVERY_S)))
        assert part.state() == whole.state()
    end = frames[-1].at + 1.0
    assert part.finish(end) == whole.finish(end)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@QUICK
@given(frames=streams(), minutes=st.integers(-1_000_000, 1_000_000))
def test_only_differences_in_time_matter(
    rule: RuleBase, frames: list[Observation], minutes: int
) -> None:
    """The same stream at another time gives the same events, at times shifted as much."""
    shift = 60.0 * minutes
    now = judged(rule.build(context(EVERY_S)), frames, end=frames[-1].at)
    then = judged(
        rule.build(context(EVERY_S)),
        [_shifted(frame, shift) for frame in frames],
        end=frames[-1].at + shift,
    )

    assert _timeless(then, shift) == _timeless(now, 0.0)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@QUICK
@given(frames=streams())
def test_events_and_minutes_make_sense(rule: RuleBase, frames: list[Observation]) -> None:
    """Happenings start once, end once, and in order; a minute's figures are possible."""
    verdict = judged(rule.build(context(EVERY_S)), frames, end=frames[-1].at)

    records = [event.record_id for event in verdict.events]
    assert len(set(records)) == len(records)
    open_ids: set[str] = set()
    for event in verdict.events:
        match event.phase:
            case "start":
                open_ids.add(event.id)
            case "update":
                assert event.id in open_ids
            case "end":
                open_ids.remove(event.id)
    assert not open_ids
    for bucket in verdict.buckets:
        assert 0.0 <= bucket.coverage <= 1.0
        mean, most = (bucket.values.get(name) for name in ("mean", "maximum"))
        assert mean is None or most is None or mean <= most
        assert (bucket.values.get("entered") or 0) >= 0
        assert 0 <= (bucket.values.get("empty") or 0) <= 1


@QUICK
@given(frames=streams())
def test_totals_are_what_the_minutes_hold(frames: list[Observation]) -> None:
    """Every crossing is in one minute, once, also those a cooldown silences."""
    loud = judged(RULES["crossing"].build(context(EVERY_S)), frames, end=frames[-1].at)
    quiet = judged(RULES["crossing, cooled"].build(context(EVERY_S)), frames, end=frames[-1].at)
    kept = {bucket.minute: bucket for bucket in loud.buckets}  # a later one replaces

    ins = [event for event in loud.events if event.data["direction"] == "in"]
    entered, left = (
        sum(bucket.values[name] or 0 for bucket in kept.values()) for name in ("entered", "left")
    )
    assert (entered, left) == (len(ins), len(loud.events) - len(ins))
    assert quiet.buckets == loud.buckets
    assert {e.record_id for e in quiet.events} <= {e.record_id for e in loud.events}


@QUICK
@given(ys=st.lists(_place, min_size=1, max_size=40))
def test_a_walker_counts_as_often_as_he_changes_sides(ys: list[float]) -> None:
    """Without ends, jumps of ids or hidden feet, crossings are changes of the side."""
    path: list[Place | None] = [(0.5, y) for y in ys]
    sides = [y > 0.5 for y in ys if abs(y - 0.5) >= 0.01]
    changes = ["in" if now else "out" for was, now in pairwise(sides) if was != now]

    events = judged(RULES["crossing"].build(context(EVERY_S)), people({1: path}, EVERY_S)).events

    assert [event.data["direction"] for event in events] == changes


@QUICK
@given(ys=st.lists(_place, min_size=2, max_size=20), confirmed=st.integers(1, 20))
def test_late_confirmation_counts_the_same(ys: list[float], confirmed: int) -> None:
    """Positions shown at once, when a track is confirmed, count like those shown one by one.

    Only the dates are no farther back than a second, or two looks, before they are reported.
    """
    frames = list(people({1: [(0.5, y) for y in ys]}, EVERY_S))
    index = min(confirmed, len(frames) - 1)
    steps = [(i * EVERY_S, 0.5, ys[i]) for i in range(index + 1)]
    delayed = [seen(frame.at) for frame in frames[:index]]
    delayed += [seen(frames[index].at, late(1, steps)), *frames[index + 1 :]]

    def moments(shown: Sequence[Observation]) -> list[tuple[float, str]]:
        verdict = judged(RULES["crossing"].build(context(EVERY_S)), shown)
        return [(event.at, str(event.data["direction"])) for event in verdict.events]

    earliest = frames[index].at - max(1.0, 2 * EVERY_S)
    at_once, at_last = moments(frames), moments(delayed)
    assert [direction for _, direction in at_last] == [direction for _, direction in at_once]
    assert [at for at, _ in at_last] == pytest.approx(
        [max(at, earliest) for at, _ in at_once], abs=0.01 * len(at_once)
    )
    assert len({at for at, _ in at_last}) == len(at_last)


def _shifted(frame: Observation, shift: float) -> Observation:
    tracks = tuple(
        replace(
            track,
            first_seen=track.first_seen + shift,
            steps=tuple(replace(step, at=step.at + shift) for step in track.steps),
        )
        for track in frame.tracks
    )
    return replace(frame, at=frame.at + shift, tracks=tracks)


def _timeless(verdict: Verdict, shift: float) -> tuple[object, object]:
    """Events and minutes without ids and dates, at unshifted times."""
    ids: dict[str, int] = {}
    events = [
        replace(
            event,
            id=str(ids.setdefault(event.id, len(ids))),
            at=event.at - shift,
            data={k: v for k, v in event.data.items() if not k.endswith(("since", "until"))},
        )
        for event in verdict.events
    ]
    return events, [replace(b, minute=b.minute - int(shift)) for b in verdict.buckets]
