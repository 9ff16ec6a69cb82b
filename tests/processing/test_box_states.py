"""The colour of a box on a live picture is what rules have made of its thing, for every type."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from pipeline.core.events import Event, Subject
from pipeline.core.rules import CountsTracks, Observation, Rule, Verdict
from pipeline.processing.box_states import NEVER_ALARMING, BoxStates
from pipeline.rules import all_rules
from pipeline.rules.base import OnBoxes
from tests.architecture.source_tree import ROOT
from tests.rules.scene import Place, config, context, people, words
from tests.rules.test_left_and_removed import BAG, BESIDE, FAR, left, looks, removed, scene
from tests.rules.test_speed import drive, speed

IN: Place = (0.3, 0.5)
TILL: Place = (0.65, 0.5)
OUT: Place = (0.9, 0.5)
AWAY: Place = (0.8, 0.9)
Paths = dict[int, Sequence[Place | None]]


def over_line(wait: int = 0) -> list[Place | None]:
    """Down over the line, a look each."""
    return [*[None] * wait, *[(0.5, y) for y in (0.4, 0.45, 0.55, 0.6, 0.65)]]


def rule(**fields: Any) -> Rule:
    """At one look a second."""
    return config(**fields).build(context(1.0))


def colours(rule: Rule, frames: Iterable[Observation]) -> dict[int, str]:
    """By track: a letter for each look, `i` idle, `c` counted, `a` alarm, `-` not seen."""
    states, found = BoxStates(), dict[int, str]()
    for index, frame in enumerate(frames):
        states.note(rule.judge(frame), {"rule": "people"})
        counted = rule.counted(frame.tracks) if isinstance(rule, CountsTracks) else {}
        state = states.of("people", {"rule": counted}, frame.at)
        for one in frame.tracks:
            found[one.id] = found.get(one.id, "").ljust(index, "-") + state(one.id)[0]
    return found


def walk(**paths: Sequence[Place | None]) -> list[Observation]:
    """One look a second at `t1`, `t2` and so on."""
    return list(people({int(name[1:]): path for name, path in paths.items()}, 1.0))


TABLE: dict[str, tuple[Rule, list[Observation], dict[int, str]]] = {
    "line_crossing": (
        rule(type="line_crossing", line="across", cooldown="1m"),
        walk(t1=over_line(), t2=over_line(1)),  # the second one's event is not reported
        {1: "iiccc", 2: "-iiccc"},
    ),
    "occupancy": (
        rule(type="occupancy", zone="left", more_than=1, gap="0s"),
        walk(t1=[IN] * 6, t2=[OUT, OUT, (0.2, 0.5), (0.2, 0.5), OUT, OUT], t3=[OUT] * 6),
        {1: "ccaacc", 2: "iiaaii", 3: "iiiiii"},
    ),
    "dwell": (
        rule(type="dwell", zone="left", longer_than="3s", gap="0s"),
        walk(t1=[OUT, IN, IN, IN, IN, IN, OUT, OUT, OUT], t2=[OUT, *[IN] * 2, *[OUT] * 6]),
        {1: "icccaaiii", 2: "icciiiiii"},
    ),
    "count": (
        rule(type="count", more_than=1, gap="0s"),
        walk(t1=[OUT] * 5, t2=[None, None, IN, IN, None]),
        {1: "ccaac", 2: "--aa"},
    ),
    "condition": (rule(type="condition", is_="yes"), [*words(["yes", "no"])], {}),
    "tailgating": (
        rule(type="tailgating", line="across", within="3s", direction="in"),
        walk(
            t1=[*over_line(), (0.5, 0.6), (0.5, 0.4), (0.5, 0.35)],
            t2=[*over_line(1), *[(0.5, 0.7)] * 12],
        ),
        {1: "iiccccii", 2: "-iiaaaaaaaaaaccccc"},
    ),
    "absence": (
        rule(type="absence", zone="left", for_="2s", gap="3s"),
        walk(t1=[IN, IN, *[OUT] * 5, IN, IN, IN, IN, IN, OUT]),
        {1: "cciiiiiccccci"},
    ),
    "queue": (
        rule(type="queue", zone="left", served="till", longer_than="4s", more_than=1, gap="1s"),
        walk(  # the first waits too long and is served; the others are too many
            t1=[*[OUT] * 4, *[IN] * 7, *[TILL] * 6, OUT],
            t2=[*[OUT] * 12, *[(0.2, 0.5)] * 3, *[OUT] * 3],
            t3=[*[OUT] * 12, *[(0.2, 0.8)] * 2, *[OUT] * 4],
        ),
        {1: "iiiiccccaaacccccci", 2: "iiiiiiiiiiiiaaacii", 3: "iiiiiiiiiiiiaaaiii"},
    ),
    "crowding": (
        rule(type="crowding", more_than=2, within=1.5, gap="0s"),
        walk(t1=[(0.3, 0.5)] * 5, t2=[(0.35, 0.5)] * 5, t3=[OUT, OUT, (0.4, 0.5), (0.4, 0.5), OUT]),
        {1: "ccaac", 2: "ccaac", 3: "iiaai"},
    ),
    "wrong_way": (
        rule(type="wrong_way", line="across", wrong="out"),
        walk(t1=over_line(), t2=[(0.3, one[1]) for one in reversed(over_line()) if one]),
        {1: "iiccc", 2: "iiiaa"},
    ),
    "heat_map": (
        rule(type="heat_map", zone="left"),
        walk(t1=[IN, IN, OUT], t2=[OUT, OUT, IN]),
        {1: "cci", 2: "iic"},
    ),
    "parking": (
        rule(type="parking", zone="left", longer_than="5s", gap="10s", cooldown="1m"),
        walk(t1=[IN] * 8, t2=[(0.1, 0.8)] * 8),  # the second one's event is not reported
        {1: "iiiiiaaa", 2: "iiiiiccc"},
    ),
    "speed": (speed(over=30.0), [*drive(40, 0.25)], {1: "iiiiiaaaaaai"}),
    "staff in occupancy": (
        rule(type="occupancy", zone="left", staff={"zone": "till"}),
        walk(t1=[OUT, IN, IN, OUT], t2=[TILL, *[(0.2, 0.5)] * 2, OUT]),
        {1: "icci", 2: "iiii"},
    ),
    "staff in dwell": (
        rule(type="dwell", zone="left", longer_than="9s", staff={"zone": "till"}),
        walk(t1=[OUT, IN, IN, OUT], t2=[*[TILL] * 3, *[(0.2, 0.5)] * 2]),
        {1: "iccc", 2: "iiiii"},
    ),
    "staff in line_crossing": (
        rule(type="line_crossing", line="across", staff={"zone": "till"}),
        walk(
            t1=[(0.3, one[1]) for one in over_line() if one],
            t2=[*[TILL] * 3, *[(0.4, one[1]) for one in over_line() if one]],
        ),
        {1: "iiccc", 2: "iiiiiiii"},
    ),
    "speed, without a limit": (speed(), [*drive(40, 0.25)], {1: "iiiiicccccci"}),
    "left_object, out of hours": (
        left(schedule=[{"from": "00:01", "to": "24:00"}]),
        scene(*looks(5, BAG, BESIDE), *looks(12, BAG, FAR)),
        {1: "-" * 10 + "i" * 14 + "ccc"},
    ),
    "left_object": (
        left(),
        scene(*looks(5, BAG, BESIDE), *looks(12, BAG, FAR)),
        {1: "----------iiiiiiiiiiiiiiaaa"},
    ),
    "removed_object": (
        removed(),
        scene(*looks(13, BAG, FAR), *[(AWAY, FAR)] * 18),
        {1: "----------iiiiiiiiiiccccaaaaaaaaaaacccccc"},
    ),
}


@pytest.mark.parametrize("kind", TABLE)
def test_every_type_of_rule_colours_its_boxes(kind: str) -> None:
    """As the table says, look by look."""
    rule, frames, expected = TABLE[kind]
    assert colours(rule, frames) == expected


def test_every_type_of_rule_says_what_its_colours_mean() -> None:
    """A new one has to: in its config, in the table here and in the one of the documentation."""
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    for kind in all_rules():
        name = kind.model_fields["type"].default
        assert name in TABLE, f"what do boxes of a {name} rule look like, and when?"
        rule = TABLE[name][0]
        rows = [found for case, (*_, found) in TABLE.items() if case.split(",")[0] == name]
        letters = {letter for found in rows for looks in found.values() for letter in looks}
        said: OnBoxes = kind.on_boxes
        assert bool(said.counted) == ("c" in letters), name
        assert bool(said.counted) == isinstance(rule, CountsTracks), name
        assert bool(said.alarm) == ("a" in letters), name
        row = f"| `{name}` | {said.counted or '–'} | {said.alarm or '–'} |"
        assert row in page, f"docs/live.md lacks the row {row}"
    silent = {one.model_fields["type"].default for one in all_rules() if not one.on_boxes.alarm}
    assert silent >= NEVER_ALARMING


def test_what_goes_on_is_told_of_the_very_task_and_rule() -> None:
    """And an id that was followed under another before is meant as well."""
    states = BoxStates()
    at = 100.0

    def event(name: str, phase: Any, rule: str, track: int | None) -> Event:
        return Event(name, "dwell", phase, "door", rule, at, Subject("person", track))

    tasks = {"stay": "people", "full": "people", "carts": "carts"}
    states.note(
        Verdict(
            (
                event("a", "start", "stay", 1),
                event("b", "start", "carts", 5),
                event("c", "single", "full", 7),
                event("d", "start", "unknown", 8),
            )
        ),
        tasks,
    )
    counted = {"stay": {4: 1, 5: 5}, "full": {9: 9}}
    state = states.of("people", counted, at + 10)
    assert [state(id_) for id_ in (1, 4, 5, 7, 8, 9)] == [
        "alarm", "alarm", "counted", "alarm", "idle", "counted",
    ]  # fmt: skip
    assert states.alarms() == ("carts", "stay")
    assert states.of("people", counted, at + 10.1)(7) == "idle", "a moment is over"
    assert states.of("people", counted, at - 1)(7) == "idle", "what is shown was before it"

    # What is about nobody alone is about all whom its rule has counted, and no other's.
    states.note(Verdict((event("a", "end", "stay", 1), event("e", "start", "full", None))), tasks)
    state = states.of("people", {**counted, "full": {9: 9, 10: None}}, at + 20)
    assert [state(id_) for id_ in (1, 4, 5, 9, 10)] == [
        "idle", "counted", "counted", "alarm", "counted",
    ]  # fmt: skip
