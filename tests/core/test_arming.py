"""Whether a camera is armed: what was changed last counts, by hand or by the plan."""

import itertools
import random

from pipeline.core.arming import (
    BY_PLAN,
    ArmedTimes,
    ArmingBook,
    ArmingChange,
    Constant,
    PlannedArming,
    event_of_change,
    event_of_plan,
)
from pipeline.core.events import JsonValue

NIGHT, DAY = 100.0, 200.0


class Nightly:
    """Armed from 100 to 200, from 300 to 400, and so on."""

    def at(self, at: float) -> PlannedArming:
        """What holds at a moment."""
        number = at // 100
        return PlannedArming(number % 2 == 1, number * 100, number * 100 + 100)

    def as_json(self) -> JsonValue:
        """Its name."""
        return "nightly"


def book(*changes: tuple[float, bool, str | None]) -> ArmingBook:
    """A record of changes in the order in which they came."""
    made = ArmingBook()
    for position, (at, is_armed, camera) in enumerate(changes, 1):
        made.add(ArmingChange(at, is_armed, camera, f"person {position}", position))
    return made


def test_without_a_word_it_is_armed() -> None:
    """Always, and nobody said so at any time."""
    state = ArmedTimes().at(5.0)
    assert (state.is_armed, state.since, state.by) == (True, None, BY_PLAN)


def test_the_last_change_counts() -> None:
    """By hand until the plan changes, and the plan until somebody says otherwise."""
    times = ArmedTimes(Nightly(), book((120.0, False, None), (250.0, True, None)), "door")
    found = {at: times.at(at).is_armed for at in (50.0, 110.0, 120.0, 199.0, 210.0, 250.0, 320.0)}
    assert found == {
        50.0: False, 110.0: True, 120.0: False, 199.0: False, 210.0: False, 250.0: True, 320.0: True
    }  # fmt: skip
    assert times.at(260.0).by == "person 2"
    assert times.at(260.0).since == 250.0
    assert (times.at(310.0).by, times.at(310.0).since) == (BY_PLAN, 300.0)


def test_one_camera_and_all_of_them() -> None:
    """A word on one camera holds until one on all of them, and the other way round."""
    changes = book(
        (10.0, False, "door"), (20.0, True, None), (30.0, False, None), (40.0, True, "yard")
    )
    door, yard = (ArmedTimes(Constant(True), changes, name) for name in ("door", "yard"))
    assert [door.at(at).is_armed for at in (5, 15, 25, 35, 45)] == [True, False, True, False, False]
    assert [yard.at(at).is_armed for at in (5, 15, 25, 35, 45)] == [True, True, True, False, True]


def test_moments_may_be_asked_in_any_order() -> None:
    """Also while more is written down: what is remembered of the last answer never shows."""
    rng = random.Random(7)
    written: list[tuple[float, bool, str | None]] = []
    grown, asked = ArmingBook(), []
    times = ArmedTimes(Nightly(), grown, "door")
    for position in itertools.count(1):
        if position > 60:
            break
        change = (rng.uniform(0, 1000), rng.random() < 0.5, rng.choice((None, "door", "yard")))
        written.append(change)
        grown.add(ArmingChange(change[0], change[1], change[2], f"person {position}", position))
        for _ in range(20):
            at = rng.choice((rng.uniform(0, 1000), rng.choice(written)[0]))
            asked.append(at)
            assert times.at(at) == ArmedTimes(Nightly(), book(*written), "door").at(at)
    assert len(set(asked)) > 600


def test_every_change_has_an_event_of_its_own() -> None:
    """It says who, of which camera, and is the same for the same change."""
    one = event_of_change(ArmingChange(10.0, False, "door", "anna", 3))
    assert (one.type, one.rule, one.camera, one.phase) == ("arming", "arming", "door", "single")
    assert one.data == {"armed": False, "by": "anna"}
    assert one.id == event_of_change(ArmingChange(10.0, False, "door", "anna", 3)).id
    assert one.id != event_of_change(ArmingChange(10.0, False, "door", "anna", 4)).id
    planned = event_of_plan("Shop", PlannedArming(True, 300.0, 400.0))
    assert (planned.camera, planned.at, planned.data["by"]) == ("", 300.0, BY_PLAN)
