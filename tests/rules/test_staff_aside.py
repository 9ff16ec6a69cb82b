"""Staff is left out of rules that know nothing of it, in one place for all of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.answers import Text
from pipeline.core.errors import ConfigError
from pipeline.core.events import Event, JsonValue
from pipeline.core.geometry import Line, Polygon
from pipeline.core.rules import HearsOfTracks, Observation, Rule, TrackAnswer, Verdict
from pipeline.core.tasks import Count
from tests.rules.scene import FAILED, Place, config, context, judged, people, seen, through_json

COUNTER = Polygon(((0.8, 0.6), (1.0, 0.6), (1.0, 1.0), (0.8, 1.0)))
LEFT = Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TILL = Polygon(((0.5, 0.0), (0.7, 0.0), (0.7, 1.0), (0.5, 1.0)))
ASKED = {"ask": "Is it a red apron?", "engine": "wise", "deadline": "2s"}
FIELDS: dict[str, dict[str, Any]] = {
    "occupancy": {"zone": "left", "more_than": 0},
    "crowding": {"zone": "left", "more_than": 1, "within": 3},
    "queue": {"zone": "left", "served": "till", "more_than": 0},
    "absence": {"zone": "left", "for": "1s"},
    "tailgating": {"line": "across"},
    "wrong_way": {"line": "across", "wrong": "in"},
}


def rule(kind: str, staff: dict[str, Any] | None, **fields: Any) -> Rule:
    """A rule in a shop with a counter."""
    built = config(type=kind, staff=staff, **{**FIELDS[kind], **fields})
    zones = {"left": LEFT, "till": TILL, "counter": COUNTER}
    lines = {"across": Line((0.0, 0.5), (1.0, 0.5)), "back": Line((0.75, 0.0), (0.75, 1.0))}
    return built.build(context(0.5, zones=zones, lines=lines))


def walk(*places: Place, stays: int = 8) -> list[Place | None]:
    """Through some places, and then staying at the last."""
    return [*places, *[places[-1]] * stays]


CLERK = walk((0.9, 0.8), (0.7, 0.8), (0.5, 0.8), (0.4, 0.8))
"""From the counter into the left half."""
GUEST = walk((0.1, 0.7), (0.2, 0.7), (0.25, 0.7), (0.3, 0.7))
IN = walk((0.3, 0.3), (0.3, 0.4), (0.3, 0.6), (0.3, 0.8))
CLERK_IN = walk((0.9, 0.8), (0.6, 0.3), (0.35, 0.3), (0.35, 0.4), (0.35, 0.6), (0.35, 0.8))


def told(
    part: Rule, frames: Iterable[Observation], answers: dict[str, str], after: int = 1
) -> tuple[list[Event], list[str]]:
    """Events of a rule whose questions are answered so many frames later, and who was asked."""
    events: list[Event] = []
    asked: list[str] = []
    due: list[tuple[int, TrackAnswer]] = []

    def take(verdict: Verdict, number: int) -> None:
        events.extend(verdict.events)
        for question in verdict.questions:
            name = question.track.partition("@")[0]
            asked.append(name)
            if name in answers:
                answer = TrackAnswer(question.track, question.look.key, Text("wise", answers[name]))
                due.append((number + after, answer))

    for number, frame in enumerate(frames):
        now = [answer for at, answer in due if at == number]
        if now:
            assert isinstance(part, HearsOfTracks)
            take(part.hear(frame.at, now), number)
        take(part.judge(frame), number)
    events += part.finish(100.0).events
    return events, asked


def level(verdict: Verdict, name: str) -> list[float | None]:
    """A measure, minute by minute."""
    return [bucket.values[name] for bucket in verdict.buckets]


@pytest.mark.parametrize("kind", ["occupancy", "queue"])
@pytest.mark.parametrize("staff", [{"zone": "counter"}, {"line": "back"}])
def test_staff_does_not_count(kind: str, staff: dict[str, Any]) -> None:
    """By a zone and by a line: there are no events about it, and its minutes are empty."""
    frames = list(people({1: CLERK}, 0.5))
    without = judged(rule(kind, staff), frames, end=20.0)
    assert (without.events, level(without, "maximum")) == ((), [0])
    anybody = judged(rule(kind, None), frames, end=20.0)
    assert level(anybody, "maximum") == [1]
    assert anybody.events

    both = judged(rule(kind, staff), people({1: CLERK, 2: GUEST}, 0.5), end=20.0)
    assert level(both, "maximum") == [1]
    assert both.events


def test_staff_is_no_part_of_a_crowd() -> None:
    """Two customers are one, a customer and a clerk are not."""
    other = walk((0.1, 0.8), (0.2, 0.8), (0.3, 0.8), (0.35, 0.8))
    staff = {"zone": "counter"}
    mixed = judged(rule("crowding", staff), people({1: CLERK, 2: other}, 0.5), end=20.0)
    assert (mixed.events, level(mixed, "maximum")) == ((), [1])
    two = judged(rule("crowding", staff), people({1: GUEST, 2: other}, 0.5), end=20.0)
    assert level(two, "maximum") == [2]
    assert two.events


def test_an_absence_of_staff_is_one_with_customers_too() -> None:
    """Who must be there is staff: a customer at the till does not end it."""
    staff = {"zone": "counter"}
    for paths, absent in (({1: GUEST}, True), ({1: CLERK, 2: GUEST}, False), ({1: CLERK}, False)):
        found = judged(rule("absence", staff, **{"for": "4s"}), people(paths, 0.5))
        assert bool(found.events) == absent, paths
    assert not judged(rule("absence", None), people({1: GUEST}, 0.5)).events


@pytest.mark.parametrize("kind", ["tailgating", "wrong_way"])
def test_nothing_is_reported_about_staff(kind: str) -> None:
    """Who follows staff has followed somebody; figures count everybody."""
    first = walk((0.3, 0.3), (0.3, 0.3), (0.3, 0.3), (0.3, 0.4), (0.3, 0.6), (0.3, 0.8))
    staff = {"zone": "counter"}
    before: dict[int, list[Place | None]] = {1: CLERK_IN, 2: first}
    found = judged(rule(kind, staff), people(before, 0.5), end=20.0)
    everybody = judged(rule(kind, None), people(before, 0.5), end=20.0)
    assert found.buckets == everybody.buckets
    assert all(event.data["staff"] is False for event in found.events)
    assert {event.subject.track for event in found.events if event.subject} <= {2}
    if kind == "wrong_way":
        assert len(found.events) == len(everybody.events) - 1 == 1


@pytest.mark.parametrize("after", [1, 3])
def test_a_question_in_a_zone(after: int) -> None:
    """Those in the zone are asked about, once; staff counts until that is known."""
    paths = {1: walk((0.7, 0.8), (0.5, 0.8), (0.4, 0.8)), 2: walk((0.9, 0.8), (0.8, 0.8))}
    part = rule("occupancy", ASKED, **{"for": "3s"})
    events, asked = told(part, people(paths, 0.5), {"1": "yes"}, after)
    assert (asked, events) == (["1"], [])
    part = rule("occupancy", ASKED, **{"for": "3s"})
    events, asked = told(part, people(paths, 0.5), {"1": "no"}, after)
    assert [event.phase for event in events] == ["start", "end"]


def test_an_event_at_a_line_waits_for_the_answer() -> None:
    """It is asked when somebody comes near; without an answer it goes out, and says so."""
    for answers, said in (({"1": "yes"}, []), ({"1": "no"}, [False]), ({}, ["unknown"])):
        part = rule("wrong_way", ASKED)
        events, asked = told(part, people({1: IN}, 0.5), answers, after=4)
        assert asked == ["1"]
        assert [event.data["staff"] for event in events] == said
    far = walk((0.9, 0.99), (0.8, 0.99))
    assert told(rule("wrong_way", ASKED), people({1: far}, 0.5), {})[1] == []


def test_who_may_be_staff_is_not_absent_before_the_answer() -> None:
    """After the deadline nobody counts on it any more."""
    for answers, absences in (({"1": "yes"}, 0), ({"1": "no"}, 1), ({}, 1)):
        part = rule("absence", ASKED, **{"for": "3s"})
        events, asked = told(part, people({1: GUEST * 2}, 0.5), answers)
        assert asked == ["1"]
        assert sum(event.phase == "start" for event in events) == absences, answers


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("staff", [{"zone": "counter"}, ASKED])
def test_a_restart_at_any_look(kind: str, staff: dict[str, Any]) -> None:
    """What is known of staff is part of the state."""
    paths: dict[int, list[Place | None]] = {1: CLERK, 2: GUEST, 3: IN, 4: CLERK_IN}
    part, events = rule(kind, staff), list[Event]()
    frames = list(people(paths, 0.5))
    frames[5] = seen(frames[5].at, answer=FAILED)
    for frame in frames:
        events += part.judge(frame).events
        part = through_json(part, rule(kind, staff))
    whole = judged(rule(kind, staff), frames)
    assert tuple(events) == whole.events


def test_what_holds_after_an_edit() -> None:
    """Open minutes go on, whether staff was told apart before or is now."""
    for before, now in ((None, {"zone": "counter"}), ({"zone": "counter"}, None)):
        old, new = rule("occupancy", before), rule("occupancy", now)
        for frame in people({2: GUEST}, 0.5):
            old.judge(frame)
        old.finish(6.0, "edited")
        new.inherit(old.state(), 6.0)
        assert new.unfinished() or new.finish(6.0).buckets


def test_what_is_wrong() -> None:
    """Shapes have to be there, states to be states, and tracks to be followed."""
    built = config(type="occupancy", zone="left", staff={"zone": "bar"})
    assert built.references().zones == ("left", "bar")
    with pytest.raises(ConfigError, match="there is no zone 'bar'"):
        built.build(context())
    anywhere = config(type="occupancy", staff={"line": "back"})
    said = anywhere.problem_with(Count("people", "fast", "person"))
    assert said is not None
    assert "`staff` needs a detect task" in said
    with pytest.raises(ValidationError, match="name a `zone` or a `line`"):
        config(type="absence", staff={}, **{"for": "1s"})
    states: list[JsonValue] = [3, {"version": 1}, rule("occupancy", None).state()]
    for state in states:
        with pytest.raises(ValueError, match=r"\w"):
            rule("occupancy", {"zone": "counter"}).restore(state)


def test_questions_of_a_rule_without_a_place() -> None:
    """In the whole picture everybody matters."""
    part = rule("crowding", ASKED, zone=None)
    paths: dict[int, Sequence[Place | None]] = {1: GUEST, 2: CLERK}
    assert told(part, people(paths, 0.5), {})[1] == ["1", "2"]
