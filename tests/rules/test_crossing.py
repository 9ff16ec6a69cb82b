"""Lines judged with uncertainty, on walkers who are followed from jittering boxes."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from pydantic import TypeAdapter

from pipeline.core.answers import Boxes
from pipeline.core.events import Event
from pipeline.core.geometry import Box, Line
from pipeline.core.rules import Observation, Rule
from pipeline.rules.crossing import FIRST_SURE, Gate, Path
from pipeline.tracking.config import TrackerConfig
from tests.rules.scene import ENGINE, config, context, judged, line_rule, through_json

HEIGHT = 0.2
WALK = 0.7 * HEIGHT
START = 6_000.0
RATES = (10, 5, 2, 1)
LINE = Line((0.1, 0.5), (0.9, 0.5))

Way = Callable[[float], tuple[float, float] | None]
"""Where somebody's feet are at a time (0..1), None while unseen."""


def looks(
    ways: Sequence[Way], fps: float, seconds: float, jitter: float, seed: int = 0
) -> list[Observation]:
    """What a rule is shown of them, through the tracker, in a square picture."""
    random, tracker = Random(seed), TrackerConfig().build("person", 1.0)
    shown = []
    for n in range(int(seconds * fps) + 1):
        at, boxes = START + n / fps, list[Box]()
        for way in ways:
            place = way(n / fps)
            if place is not None:
                x, y = place
                whole = (x - HEIGHT / 6, y - HEIGHT, x + HEIGHT / 6, y)
                left, top, right, bottom = (
                    edge + random.gauss(0.0, jitter * HEIGHT) for edge in whole
                )
                boxes.append((left, top, right, bottom))
        scores = (0.9,) * len(boxes)
        tracks = tracker.update(at, boxes, scores)
        shown.append(Observation("door", "r1", n, at, Boxes(ENGINE, tuple(boxes), scores), tracks))
    return shown


def walk(from_y: float, speed: float = WALK, until_y: float = 2.0, x: float = 0.5) -> Way:
    """Down the picture, up for a negative speed; unseen from `until_y` on."""

    def way(at: float) -> tuple[float, float] | None:
        y = from_y + speed * at
        return None if (y - until_y) * speed >= 0 else (x, y)

    return way


def rule_on_line(fps: float, **fields: object) -> Rule:
    """A line across the middle of the picture."""
    return config(type="line_crossing", line="l", **fields).build(
        context(1 / fps, lines={"l": LINE})
    )


def reported(rule: Rule, shown: Iterable[Observation]) -> list[tuple[float, Event]]:
    """Each event, with when it was reported."""
    return [(look.at, event) for look in shown for event in rule.judge(look).events]


def said(events: Iterable[Event]) -> list[str]:
    """The directions."""
    return [str(event.data["direction"]) for event in events]


@pytest.mark.parametrize(
    ("sds", "looks_near", "side"),
    [
        (FIRST_SURE + 0.1, 0.0, 1),
        (-FIRST_SURE - 0.1, 0.0, -1),
        (FIRST_SURE - 0.1, 0.0, 0),
        (2.5, 100.0, 0),
        (6.0, 1e3, 1),
        (7.0, 1e9, 0),
        (9.0, 1e9, 1),
    ],
)
def test_a_side_is_sure_beyond_its_noise(sds: float, looks_near: float, side: int) -> None:
    """More standard deviations are asked of who stays near the line for long."""
    gate = Gate(LINE, 1.0, margin=0.001)
    assert gate.side((0.5, 0.5 + sds * 0.01), 0.01, looks_near, FIRST_SURE) == side


def test_the_margin_is_the_least() -> None:
    """However small the noise."""
    gate = Gate(LINE, 1.0, margin=0.02)
    assert gate.side((0.5, 0.519), 1e-6) == 0
    assert gate.side((0.5, 0.521), 1e-6) == 1


@pytest.mark.parametrize("fps", RATES)
def test_who_stands_on_a_line_has_not_crossed_it(fps: float) -> None:
    """In ten minutes at most once, for who came from a side and was then taken for beyond it."""
    for seed in range(1 if fps > 2 else 4):
        shown = looks([lambda _: (0.5, 0.5)], fps, 600.0, jitter=0.02, seed=seed)
        assert len(judged(rule_on_line(fps), shown, end=START + 600.0).events) <= 1


@cache
def straight(fps: float) -> list[tuple[float, float, float]]:
    """Of walkers who go straight on: when they crossed, the date, and when it was reported."""
    found = []
    for seed in range(20):
        start = 0.2 + 0.01 * seed
        way = walk(start, until_y=0.95)
        rule = rule_on_line(fps)
        events = reported(rule, looks([way], fps, 6.0, jitter=0.02, seed=seed))
        assert said(event for _, event in events) == ["in"]
        ((at, event),) = events
        found.append((START + (0.5 - start) / WALK, event.at, at))
    return found


@pytest.mark.parametrize("fps", RATES)
def test_a_crossing_is_dated_when_it_was(fps: float) -> None:
    """Within .15 s at 5 looks a second and more, within half the interval below."""
    within_s = max(0.15, 0.5 / fps)
    off = [dated - true for true, dated, _ in straight(fps)]
    assert max(map(abs, off)) <= within_s


@pytest.mark.parametrize("fps", RATES)
def test_a_crossing_is_reported_soon(fps: float) -> None:
    """Within a second, or two looks, of its date, where the walker goes on."""
    assert max(at - dated for _, dated, at in straight(fps)) <= max(1.0, 2 / fps) + 1e-6


@pytest.mark.parametrize("fps", [10, 5])
def test_who_vanishes_behind_the_line_has_crossed_it(fps: float) -> None:
    """Counted a second after he was seen last, though no look was clear of the line for long."""
    shown = looks([walk(0.2, until_y=0.55)], fps, 6.0, jitter=0.02)
    events = reported(rule_on_line(fps), shown)
    assert said(event for _, event in events) == ["in"]
    gone = START + 0.35 / WALK
    assert events[0][0] <= gone + 1.0 + 2 / fps


def test_the_end_of_a_stream_counts_who_is_likely_beyond() -> None:
    """Nobody will see them again, so what is likely holds; nobody is counted twice for it."""
    at_the_end = 0
    for seed in range(10):
        shown = looks([dithering], 5, 8.0, jitter=0.05, seed=seed)
        for last in range(30, len(shown)):
            rule = rule_on_line(5)
            before = judged(rule, shown[:last]).events
            after = rule.finish(shown[last - 1].at).events
            assert len(before) + len(after) <= 1
            assert all(event.at <= shown[last - 1].at for event in after)
            at_the_end += len(after)
    assert at_the_end > 5


def test_the_end_of_a_stream_reports_nothing_below_the_minimum_coverage() -> None:
    """What is sure at the end alone is not reported where too few frames were answered."""
    withheld = 0
    for seed in range(10):
        shown = looks([dithering], 5, 8.0, jitter=0.05, seed=seed)
        for last in range(30, len(shown)):
            free, bound = rule_on_line(5), rule_on_line(5, min_coverage=0.5)
            few = [replace(look, coverage=0.2) for look in shown[:last]]
            judged(free, shown[:last])
            judged(bound, few)
            end = shown[last - 1].at
            withheld += len(free.finish(end).events)
            assert bound.finish(end).events == ()
    assert withheld > 5


def dithering(at: float) -> tuple[float, float]:
    """Comes to the line, waits on it for three seconds, and goes on slowly."""
    return (0.5, min(0.2 + WALK * at, 0.5) + 0.3 * WALK * max(at - 5.5, 0.0))


def turning(at: float) -> tuple[float, float] | None:
    """Appears on the line, looks in, and is gone where he came from."""
    return (0.5, 0.5 + 0.2 * WALK * min(at, 4.0 - at)) if at < 4.0 else None


DOORS: list[tuple[str, Way, list[str]]] = [
    ("appears and walks in", walk(0.51, until_y=0.95), ["in"]),
    ("comes to it and vanishes", walk(0.9, -WALK, until_y=0.51), ["out"]),
    ("appears, turns and vanishes", turning, []),
]


@pytest.mark.parametrize("fps", [10, 5, 2])
@pytest.mark.parametrize(("way", "expected"), [d[1:] for d in DOORS], ids=[d[0] for d in DOORS])
def test_a_door_counts_who_appears_and_vanishes(way: Way, expected: list[str], fps: float) -> None:
    """With `door: true`; without it nobody was seen on both sides."""
    shown = looks([way], fps, 7.0, jitter=0.01)
    assert said(judged(rule_on_line(fps, door=True), shown, end=START + 7.0).events) == expected
    assert said(judged(rule_on_line(fps), shown, end=START + 7.0).events) == []


RESTARTS: list[tuple[str, list[Way], dict[str, object]]] = [
    ("straight through", [walk(0.2, until_y=0.95)], {}),
    ("vanishes behind it", [walk(0.2, until_y=0.55)], {}),
    ("out of a door", [walk(0.51, until_y=0.95)], {"door": True}),
    ("into a door", [walk(0.9, -WALK, until_y=0.51)], {"door": True}),
    ("two meet on it", [walk(0.2), walk(0.8, -WALK, until_y=0.05, x=0.53)], {}),
]


@pytest.mark.parametrize(
    ("ways", "fields"), [r[1:] for r in RESTARTS], ids=[r[0] for r in RESTARTS]
)
def test_a_restart_changes_nothing(ways: list[Way], fields: dict[str, object]) -> None:
    """At any look, in the middle of anything: the same events, id for id."""
    fps = 5
    shown = looks(ways, fps, 5.0, jitter=0.02)
    whole = judged(rule_on_line(fps, **fields), shown, end=START + 5.0)
    assert whole.events
    for cut in range(1, len(shown)):
        rule = rule_on_line(fps, **fields)
        before = judged(rule, shown[:cut])
        rule = through_json(rule, rule_on_line(fps, **fields))
        after = judged(rule, shown[cut:], end=START + 5.0)
        assert (*before.events, *after.events) == whole.events
        assert rule.finish(START + 5.0).events == ()


@pytest.mark.parametrize(
    ("through", "passages"), [(0, []), (1, [(0.0, 1)]), (-1, [(0.0, -1)]), (2, [(0.0, 1)])]
)
def test_a_path_of_an_earlier_release_goes_on(
    through: int, passages: list[tuple[float, int]]
) -> None:
    """Which kept the balance of the passages, and not their times."""
    path = TypeAdapter(Path).validate_python({"xy": [0.5, 0.505], "side": -1, "through": through})
    assert path == Path((0.5, 0.505), side=-1, passages=passages)
    gate = Gate(LINE, 1.0, margin=0.01)
    crossings = gate.move(path, 10.0, (0.5, 0.6), 0.005, (0.5, 0.6), 0.005)
    assert [side for _, side in crossings] == ([1] if through > 0 else [])


def test_a_rule_of_an_earlier_release_goes_on() -> None:
    """Somebody who was in the middle of the line at the upgrade is counted once he is clear."""
    rule = line_rule(0.2)
    shown = looks([walk(0.2, until_y=0.95)], 5, 5.0, jitter=0.0)
    cut = next(n for n, look in enumerate(shown) if look.at > START + 0.31 / WALK)
    assert judged(rule, shown[:cut]).events == ()
    state = json.loads(json.dumps(rule.state()))
    for walker in state["walkers"].values():
        path = walker["path"]
        walker["path"] = {"xy": path["xy"], "side": path["side"], "through": 1}
    resumed = line_rule(0.2)
    resumed.restore(state)
    assert said(judged(resumed, shown[cut:], end=START + 5.0).events) == ["in"]
