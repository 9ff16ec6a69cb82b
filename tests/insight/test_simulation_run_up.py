"""What lasts for hours, by rules that were edited while it went on: when did it begin?"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.simulate import lines_of
from pipeline.core.events import Event, JsonValue, timestamp
from pipeline.core.geometry import Box
from pipeline.core.store import Span
from pipeline.core.tracks import Track, Tracker
from pipeline.deployment.model import Deployment
from pipeline.insight import simulation_lane
from pipeline.insight.followed_looks import FollowedParts
from pipeline.insight.simulation import RuleHour, hour_as_json, memory_s, summed
from pipeline.insight.simulation_lane import LaneSimulation, needed
from pipeline.processing.plan import TaskPlan
from pipeline.runtime.assembly import plans_of
from tests.insight.lived_scene import Look, Place, Walker, deployment, results_of

BEGAN = 1_700_002_800.0
"""On the hour."""
EVERY_S = 15.0
LOOKS = 1200
"""Five hours."""
SHUT, OPEN = 1, 41
"""Looks that see the door shut and open."""
SINCE = BEGAN + 4 * 3600.0
BAG = Walker(0.5, 10_000_000, 2, stop=10_000_000, bag=True)
"""It stands where it was put down."""
RULES: dict[str, dict[str, Any]] = {
    "closed": {"type": "condition", "of": "shut", "is": "yes", "for": "10s"},
    "parked": {"type": "occupancy", "of": "bags", "more_than": 0, "for": "30m", "gap": "1m"},
}


def scene(**edits: dict[str, Any]) -> dict[str, Any]:
    """A door that is looked at every 15 s, with fields of its rules replaced."""
    rules = {name: {**rule, **edits.get(name, {})} for name, rule in RULES.items()}
    made = deployment({"door": rules})
    door = made["cameras"]["door"]
    door["sample"] = {"every": "15s"}
    door["tasks"] = {**door["tasks"], "shut": {**door["tasks"]["shut"], "every": "30s"}}
    return made


def lived(folder: Path, content: dict[str, Any]) -> Place:
    """The door is shut after 40 minutes for nearly four hours, while a bag stands there."""
    folder.mkdir()
    place = Place(folder, content, BEGAN)
    for first in range(0, LOOKS, 60):
        told = []
        for n in range(first, first + 60):
            minutes = n * EVERY_S / 60.0
            look = Look(SHUT if 40 <= minutes < 270 else OPEN, BEGAN + n * EVERY_S, "run", n)
            walkers = [BAG] if 20 <= minutes < 285 else []
            told += results_of("door", [look], walkers)
        place.feed(told)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """What was judged by the rules as they were."""
    made = lived(tmp_path_factory.mktemp("lasting") / "as it was", scene())
    yield made
    made.store.close()


EDITS = {
    "another time": {"closed": {"for": "31s"}, "parked": {"for": "20m"}},
    "what takes hours to tell": {"parked": {"for": "2h"}, "closed": {"gap": "45s"}},
}


def edited(place: Place, name: str, edits: dict[str, Any], since: float = SINCE) -> RuleHour:
    """A rule in the last hour, by an edited file."""
    hours = place.simulated(scene(**edits), span=Span(since))
    (found,) = [one for _, one in summed(hours) if one.rule == name]
    assert found.here is not None
    return found


def late(place: Place, rule: str) -> dict[str, Event]:
    """What is stored of the last hour."""
    stored = place.stored("door", rule).items()
    return {key: event for key, event in stored if event.at >= SINCE}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS.keys())
def test_its_beginning_is_looked_for(place: Place, tmp_path: Path, edits: dict[str, Any]) -> None:
    """As far back as it takes: it is as if it had been judged so from the beginning."""
    wanted = lived(tmp_path / "wanted", scene(**edits))
    try:
        for name in RULES:
            found = edited(place, name, edits)
            assert found.here is not None
            ended = [event for event in found.here.events if event.phase == "end"]
            assert len(ended) == 1, name
            assert {event.record_id: event for event in found.here.events} == late(wanted, name)
            assert found.cut_off == {}
    finally:
        wanted.store.close()


def test_where_that_takes_too_long_it_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which happening may have begun earlier, and since when was looked."""
    monkeypatch.setattr(simulation_lane, "_LONGEST_RUN_UP_S", 3600.0)
    edits = EDITS["another time"]
    for name in RULES:
        found = edited(place, name, edits)
        assert found.here is not None
        (happening,) = {event.id for event in found.here.events}
        assert found.cut_off == {happening: BEGAN + 3 * 3600.0}
        row = hour_as_json(
            place.simulated(scene(**edits), span=Span(SINCE))[0], "Europe/Berlin", "stored"
        )
        told = json.dumps(row["rules"])
        assert json.dumps({happening: timestamp(BEGAN + 3 * 3600.0)}) in told
    hour = place.simulated(scene(**edits), span=Span(SINCE))[0]
    lines = list(lines_of(hour, "Europe/Berlin", "stored"))
    said = "1 happening may have begun before 2023-11-15 03:00:00, where it began to look"
    assert len([line for line in lines if said in line]) == 2


def test_what_went_on_when_the_first_picture_was_kept_may_have_begun_before(
    place: Place, tmp_path: Path
) -> None:
    """There is nothing earlier to be looked at."""
    young = Place(tmp_path, scene(), BEGAN)
    try:
        looks = [Look(SHUT, BEGAN + n * EVERY_S, "run", n) for n in range(40)]
        young.feed(results_of("door", looks, []))
        found = edited(young, "closed", {"closed": {"for": "31s"}}, since=BEGAN)
        assert found.here is not None
        (started,) = found.here.events
        assert found.cut_off == {started.id: BEGAN}
        assert edited(young, "closed", {}, since=BEGAN).cut_off == {}
    finally:
        young.store.close()


def test_how_long_a_rule_takes_to_tell(place: Place) -> None:
    """All of its durations together."""
    rules = place.deployment.cameras["door"].rules
    assert memory_s(rules["parked"]) == 31 * 60.0 + 10.0
    assert memory_s(rules["closed"]) >= 10.0


class CountedTracker:
    """A real tracker that counts the pictures it is shown."""

    def __init__(self, tracker: Tracker, shown: list[float]) -> None:
        self._tracker, self._shown = tracker, shown

    def update(
        self,
        at: float,
        boxes: Sequence[Box],
        scores: Sequence[float],
        kinds: Sequence[Mapping[str, float]] = (),
        asked: Collection[str] = (),
        carried: Collection[Box] = (),
    ) -> tuple[Track, ...]:
        """As the tracker does."""
        self._shown.append(at)
        return self._tracker.update(at, boxes, scores, kinds, asked, carried)

    @property
    def withholds(self) -> bool:
        """As the tracker does."""
        return self._tracker.withholds

    def state(self) -> JsonValue:
        """That of the tracker."""
        return self._tracker.state()

    def restore(self, state: JsonValue) -> None:
        """As the tracker does."""
        self._tracker.restore(state)


def judged_again(
    place: Place,
    room: int,
    followed: FollowedParts | None = None,
    hold: str = "20m",
    **track: JsonValue,
) -> tuple[str, list[float]]:
    """Everything that the engine of bags concludes by another limit, and what trackers saw."""
    shown: list[float] = []

    def counted(task: TaskPlan) -> TaskPlan:
        make = task.tracker
        if make is None:
            return task
        return replace(task, tracker=lambda aspect: CountedTracker(make(aspect), shown))

    edits = {"parked": {"for": hold}}
    content = scene(**edits)
    bags = content["cameras"]["door"]["tasks"]["bags"]
    content["cameras"]["door"]["tasks"]["bags"] = {**bags, **({"track": track} if track else {})}
    file = Deployment.model_validate(content)
    (plan,) = plans_of(file)
    rules = file.cameras["door"].rules
    memories = {name: memory_s(rule) for name, rule in rules.items()}
    reader = place.config.build_reader()
    try:
        found = []
        for lane in plan.lanes:
            tasks = needed([counted(task) for task in lane.tasks])
            (kept,) = [one for one in reader.observed() if one.engine == lane.engine]
            simulation = LaneSimulation(
                reader,
                "door",
                lane.engine,
                tasks,
                memories=memories,
                room=room,
                followed=followed,
            )
            found += list(simulation.parts(Span(), kept.first, kept.last))
        return repr(found), shown
    finally:
        reader.close()


def test_a_run_up_is_followed_once(place: Place) -> None:
    """What its trackers showed is taken when it is judged itself, and what follows is the same."""
    twice, shown_twice = judged_again(place, room=0)
    once, shown_once = judged_again(place, room=1_000_000)
    assert once == twice
    assert len(shown_once) == len(set(shown_once)) == LOOKS
    assert set(shown_twice) == set(shown_once)
    assert len(shown_twice) > LOOKS + 3600.0 / EVERY_S


def test_what_is_held_of_a_run_up_is_bounded(place: Place) -> None:
    """The newest hours of it that there is room for are not followed again, and no others."""
    twice, shown_twice = judged_again(place, room=0)
    some, shown_some = judged_again(place, room=4_000)
    assert some == twice
    assert LOOKS < len(shown_some) < len(shown_twice)


def test_what_one_edit_followed_is_taken_by_the_next(place: Place) -> None:
    """Each edit concludes what it does alone; of what there is no room for it follows all anew."""
    followed = FollowedParts(1_000_000)
    for hold in ("25m", "20m"):
        alone, _ = judged_again(place, room=1_000_000, hold=hold)
        is_first = followed.size == 0
        followed.begin()
        found, shown = judged_again(place, room=0, followed=followed, hold=hold)
        assert found == alone
        assert len(shown) == len(set(shown)) == (LOOKS if is_first else 0)
    # A speed that earlier releases took for granted is no other term, but another tracker.
    followed.begin()
    assert len(judged_again(place, room=0, followed=followed, hold=hold, speed=0.7)[1]) == LOOKS
    few = FollowedParts(followed.size // 4)
    few.begin()
    found, shown = judged_again(place, room=1_000_000, followed=few)
    assert found == alone
    assert len(shown) == len(set(shown)) == LOOKS
    assert 0 < few.size <= few.room
