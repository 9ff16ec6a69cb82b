"""A street whose detector takes cars for trucks and trucks for cars: each is counted once."""

import copy
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.answers import Answer, Boxes, Failed
from pipeline.core.events import Event
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result
from pipeline.deployment.model import Deployment
from pipeline.processing.judge import Judge
from pipeline.processing.kept import read_lane
from pipeline.processing.plan import LanePlan
from pipeline.runtime.assembly import plans_of

START = 1_700_000_000.0
SECONDS = 60
CARS, TRUCKS = 7, 3
WHOLE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
STREET: dict[str, Any] = {
    "version": 1,
    "engines": {"fast": {"type": "moondream"}},
    "cameras": {
        "street": {
            "source": {"type": "rtsp", "url": "rtsp://10.0.0.9/street"},
            "tasks": {
                "cars": {"engine": "fast", "detect": "car"},
                "trucks": {"engine": "fast", "detect": "truck"},
            },
            "lines": {"middle": {"from": [0.5, 0.0], "to": [0.5, 1.0]}},
            "zones": {"all": {"polygon": WHOLE}},
            "rules": {
                "cars_over": {"type": "line_crossing", "of": "cars", "line": "middle"},
                "trucks_over": {"type": "line_crossing", "of": "trucks", "line": "middle"},
                "cars_here": {"type": "occupancy", "of": "cars", "zone": "all"},
                "trucks_here": {"type": "occupancy", "of": "trucks", "zone": "all"},
                "cars_stay": {"type": "dwell", "of": "cars", "zone": "all", "longer_than": "5s"},
            },
        }
    },
}


def street(track: dict[str, Any] | None = None, **tasks: dict[str, Any] | None) -> LanePlan:
    """The plan of the street with settings for tracks, and tasks that are edited or left out."""
    edited = copy.deepcopy(STREET)
    camera = edited["cameras"]["street"]
    for name, more in tasks.items():
        if more is None:
            del camera["tasks"][name]
            rules = {n: rule for n, rule in camera["rules"].items() if rule["of"] != name}
            camera["rules"] = rules
        else:
            camera["tasks"][name] |= more
    for task in camera["tasks"].values():
        if track is not None:
            task["track"] = track
    (plan,) = plans_of(Deployment.model_validate(edited))
    (lane,) = plan.lanes
    return lane


def traffic(at_s: float) -> Iterator[tuple[Box, bool]]:
    """Every 5 s one drives through the picture within 10 s; every third of them is a truck."""
    for n in range(CARS + TRUCKS):
        part = (at_s - 5.0 * n) / 10.0
        if 0.0 <= part <= 1.0:
            x, y = 0.06 + 0.88 * part, 0.5 if n % 2 else 0.8
            yield (x - 0.06, y - 0.12, x + 0.06, y), n % 3 == 2


def looks(
    fps: float, share: float = 0.2, both: float = 0.0, seed: int = 1
) -> Iterator[tuple[float, dict[str, Boxes]]]:
    """What the detector says: the wrong kind in a share of looks, and sometimes both kinds."""
    chance = random.Random(seed)
    for frame in range(round(SECONDS * fps)):
        found: dict[str, list[tuple[Box, float]]] = {"cars": [], "trucks": []}
        for box, is_truck in traffic(frame / fps):
            wrong = chance.random() < share
            found["trucks" if is_truck != wrong else "cars"].append((box, 0.8))
            if chance.random() < both:
                found["cars" if is_truck != wrong else "trucks"].append((box, 0.6))
        yield (
            frame / fps,
            {
                task: Boxes("fast", tuple(b for b, _ in some), tuple(s for _, s in some))
                for task, some in found.items()
            },
        )


def result(at_s: float, answers: dict[str, Answer], *, last: bool = False) -> Result:
    """The result of one look."""
    ordinal = round(at_s * 10)
    return Result(
        camera="street",
        run="live-1",
        engine="fast",
        ordinal=ordinal,
        seq=ordinal,
        captured_at=START + at_s,
        size_wh=(1280, 720),
        live=True,
        answers=answers,
        last=last,
    )


def judged(judge: Judge, results: Iterable[Result]) -> list[Event]:
    """All events."""
    return [event for one in results for event in judge.judge(one).events]


def results(some: Iterable[tuple[float, dict[str, Boxes]]]) -> list[Result]:
    """The results of looks, and the end."""
    return [*(result(at_s, dict(answers)) for at_s, answers in some), result(70.0, {}, last=True)]


def crossings(events: Sequence[Event]) -> tuple[int, int]:
    """Those of cars and of trucks."""
    rules = [event.rule for event in events]
    return rules.count("cars_over"), rules.count("trucks_over")


@pytest.mark.parametrize("fps", [10.0, 5.0, 2.0])
@pytest.mark.parametrize("both", [0.0, 0.3])
def test_each_is_counted_once_under_its_kind(fps: float, both: float) -> None:
    """One look in five says the wrong kind, and some say both."""
    events = judged(Judge("street", street()), results(looks(fps, both=both)))
    assert crossings(events) == (CARS, TRUCKS)
    assert {
        event.subject.label for event in events if event.rule == "cars_over" and event.subject
    } == {"car"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_two_looks_in_five_nobody_is_missed_or_counted_twice(seed: int) -> None:
    """The kind is a guess then, the number is not."""
    events = judged(Judge("street", street()), results(looks(5.0, share=0.4, seed=seed)))
    assert sum(crossings(events)) == CARS + TRUCKS


def test_kinds_that_are_kept_apart_are_counted_twice() -> None:
    """With `together: no` every task follows what it was shown, as it says."""
    lane = street({"together": False})
    assert [task.together for task in lane.tasks] == ["", ""]
    events = judged(Judge("street", lane), results(looks(10.0)))
    assert sum(crossings(events)) > CARS + TRUCKS


def test_names_join_what_the_words_do_not() -> None:
    """Tasks that are `together` by name share their tracks, others do not."""
    joined = street({"together": "vehicles"}, trucks={"detect": "delivery robot"})
    assert [task.together for task in joined.tasks] == ["cars", "cars"]
    apart = street(trucks={"detect": "delivery robot"})
    assert [task.together for task in apart.tasks] == ["", ""]
    unequal = street(trucks={"track": {"start_score": 0.6}})
    assert [task.together for task in unequal.tasks] == ["", ""]


def test_what_was_not_asked_for_is_not_missed() -> None:
    """Trucks are asked for in every third look, and every seventh answer about cars fails."""
    some: list[Result] = []
    for n, (at_s, answers) in enumerate(looks(10.0, share=0.1)):
        said: dict[str, Answer] = dict(answers)
        if n % 3:
            del said["trucks"]
        if n % 7 == 6:
            said["cars"] = Failed("fast", "busy")
        some.append(result(at_s, said))
    events = judged(Judge("street", street()), some)
    assert crossings(events) == (CARS, TRUCKS)


def test_all_that_are_there_are_cars_or_trucks() -> None:
    """The zone's two means add up to what is really there."""
    judge = Judge("street", street())
    minutes = {}
    for one in results(looks(10.0)):
        for bucket in judge.judge(one).buckets:
            minutes[bucket.rule, bucket.minute] = bucket.values.get("mean")
    there = [len(list(traffic(n / 10))) for n in range(SECONDS * 10)]
    first = min(minute for _, minute in minutes)
    total = sum(minutes[rule, first] or 0.0 for rule in ("cars_here", "trucks_here"))
    assert total == pytest.approx(sum(there[:400]) / 400, rel=0.1)


def test_a_visit_of_another_kind_is_none() -> None:
    """Who is first taken for a car and then known for a truck did not stay as a car."""
    events = judged(Judge("street", street()), results(looks(10.0)))
    visits = [event for event in events if event.rule == "cars_stay" and event.phase == "start"]
    assert len(visits) == CARS


@pytest.mark.parametrize("after", [37, 113, 222])
def test_a_restart_changes_nothing(after: int) -> None:
    """The shared tracker is stored once, and resumed for both tasks."""
    some = results(looks(5.0))
    undisturbed = judged(Judge("street", street()), some)
    first, second = Judge("street", street()), Judge("street", street())
    before = judged(first, some[:after])
    state = json.loads(json.dumps(first.state()))
    assert state["tasks"]["trucks"]["tracker"] == {"shared_by": "cars"}
    assert second.resume(read_lane(state, None)) == {name for _, name, _ in street().rules()}
    assert before + judged(second, some[after:]) == undisturbed


def test_checkpoints_with_a_tracker_for_each_task_are_resumed() -> None:
    """As earlier releases wrote them: rules go on, and nobody is counted twice from there on."""
    alone = street()
    alone = replace(alone, tasks=tuple(replace(task, together="") for task in alone.tasks))
    some = results(looks(5.0, share=0.0))
    first, second = Judge("street", alone), Judge("street", street())
    before = judged(first, some[:120])
    state = json.loads(json.dumps(first.state()))
    assert second.resume(read_lane(state, None)) == {name for _, name, _ in street().rules()}
    assert crossings(before + judged(second, some[120:])) == (CARS, TRUCKS)


def test_an_edited_companion_does_not_make_a_task_begin_anew() -> None:
    """The other's rules resume with the shared tracks; so they do when it is removed."""
    some = results(looks(5.0, share=0.0))
    first = Judge("street", street())
    before = judged(first, some[:120])
    state = json.loads(json.dumps(first.state()))
    edited = Judge("street", street(cars={"max_objects": 20}))
    assert edited.resume(read_lane(state, None)) == {"trucks_over", "trucks_here"}
    assert crossings(before + judged(edited, some[120:]))[1] == TRUCKS
    removed = Judge("street", street(cars=None))
    assert removed.resume(read_lane(state, None)) == {"trucks_over", "trucks_here"}
    left = [
        replace(one, answers={task: a for task, a in one.answers.items() if task == "trucks"})
        for one in some[120:]
    ]
    assert crossings(before + judged(removed, left))[1] == TRUCKS


def test_a_shared_state_that_cannot_be_read_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    """For all tasks that share it, with one sentence."""
    first = Judge("street", street())
    judged(first, results(looks(5.0))[:100])
    state = json.loads(json.dumps(first.state()))
    state["tasks"]["cars"]["tracker"]["things"] = 4
    second = Judge("street", street())
    assert second.resume(read_lane(state, None)) == frozenset()
    assert "the tracks of task cars, trucks begin anew" in caplog.text


def test_what_never_moved_is_not_in_the_zone() -> None:
    """Where nothing counts, boxes of a boulder are not counted in its place."""
    boulder = Boxes("fast", ((0.4, 0.4, 0.5, 0.6),), (0.45,))
    judge = Judge("street", street())
    some = [result(n / 5, {"cars": boulder}) for n in range(100)]
    buckets = [b for one in some for b in judge.judge(one).buckets] + judge.unfinished()
    means = [b.values["mean"] for b in buckets if b.rule == "cars_here"]
    assert means
    assert not any(means)


def test_a_rule_may_look_at_another_task_of_the_picture() -> None:
    """What is seen of other tasks of the same engine is beside its own."""
    beside: dict[str, set[tuple[str, ...]]] = {}
    judge = Judge(
        "street",
        street(),
        lambda seen, task, _size: beside.setdefault(task, set()).add(tuple(seen.beside)),
    )
    judged(judge, results(looks(1.0)))
    assert beside == {"cars": {("trucks",)}, "trucks": {("cars",)}}
