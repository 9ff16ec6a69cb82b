"""Second looks in what is simulated: what was answered holds, and nobody is asked again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.verifying import outcome_of
from pipeline.insight.simulation import WOULD_BE_ASKED, RuleFigures, RuleHour, rule_as_json, summed
from tests.insight.lived_scene import EVERY_S, Look, Place, Walker, deployment, results_of

BEGAN = 1_700_002_700.0
WALKERS = (Walker(0.35, 40, 10), Walker(0.7, 54, 12, down=False), Walker(0.2, 150, 10, stop=12))
VERIFY = {"ask": "Is it a person?", "engine": "words"}
RULES: dict[str, dict[str, Any]] = {
    "entrance": {"type": "line_crossing", "of": "people", "line": "sill", "verify": VERIFY},
    "paid": {"type": "line_crossing", "of": "people", "line": "till"},
    "stay": {
        "type": "dwell",
        "of": "people",
        "zone": "mat",
        "longer_than": "2s",
        "verify": VERIFY,
    },
}
SEQUENCES = {
    "visit": {
        "first": {"rule": "entrance", "direction": "in"},
        "then": {"rule": "paid"},
        "within": "5s",
    }
}


def scene(*, recordings: tuple[str, ...] = (), **edits: dict[str, Any]) -> dict[str, Any]:
    """A door whose rules are looked at twice, with fields of some of them replaced."""
    rules = {name: {**rule, **edits.get(name, {})} for name, rule in RULES.items()}
    kept = {
        name: {key: value for key, value in rule.items() if value is not None}
        for name, rule in rules.items()
    }
    return deployment({"door": kept}, SEQUENCES, recordings=recordings)


def looks(place: Place, first: int, until: int) -> None:
    """Let it be seen, with pictures."""
    live = place.scene["cameras"]["door"]["source"]["type"] == "rtsp"
    some = [Look(n, BEGAN + n * EVERY_S, "run", n) for n in range(first, until)]
    place.feed_with_pictures(results_of("door", some, WALKERS, live=live))


@pytest.fixture(params=[(), ("door",)], ids=["live", "recording"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A camera or a recording whose events were confirmed, rejected, and asked about in vain."""
    made = Place(tmp_path, scene(recordings=request.param), BEGAN)
    for first in range(0, 400, 50):
        looks(made, first, first + 50)
        made.answer("no", "yes", "yes", "no", "perhaps")
    yield made
    made.store.close()


def total(place: Place, name: str, **edits: Any) -> RuleHour:
    """A rule in all hours, with the file edited."""
    hours = place.simulated(scene(recordings=_recordings(place), **edits))
    (found,) = [one for _, one in summed(hours) if one.rule == name]
    return found


def _recordings(place: Place) -> tuple[str, ...]:
    return () if place.scene["cameras"]["door"]["source"]["type"] == "rtsp" else ("door",)


def figures(rule: RuleHour) -> RuleFigures:
    """What it would have counted."""
    assert rule.here is not None
    return rule.here


def test_the_present_file_gives_the_stored_outcomes(place: Place) -> None:
    """Events with all that came of the second look, and sequences without what was rejected."""
    assert list(place.differences(place.simulated())) == []
    for name in ("entrance", "stay"):
        found = total(place, name)
        assert found.there is not None
        assert figures(found).looked_at == found.there.looked_at
        assert min(figures(found).looked_at[key] for key in ("confirmed", "rejected")) >= 2
        assert figures(found).looked_at["unverified"] >= 1
        assert figures(found).looked_at[WOULD_BE_ASKED] == 0
    rejected = {
        event.id
        for event in place.stored("door", "entrance").values()
        if (outcome := outcome_of(event)) is not None and outcome.outcome == "rejected"
    }
    visits = figures(total(place, "visit")).events
    firsts = [event.data["first"] for event in visits]
    assert firsts
    assert not {str(first["id"]) for first in firsts if isinstance(first, dict)} & rejected


def test_what_would_be_new_would_be_asked_about(place: Place) -> None:
    """And is counted; what is as it was keeps its outcome."""
    moved = figures(total(place, "entrance", entrance={"line": "till"}))
    assert moved.looked_at == {
        "confirmed": 0,
        "rejected": 0,
        "unverified": 0,
        WOULD_BE_ASKED: moved.happenings,
    }
    longer = figures(total(place, "stay", stay={"gap": "6s"}))
    kept = {event.record_id for event in longer.events} & place.stored("door", "stay").keys()
    assert kept
    for event in longer.events:
        assert (outcome_of(event) is not None) == (event.record_id in kept)


def test_a_rule_without_a_second_look_has_no_outcomes(place: Place) -> None:
    """Also where there are stored ones, and then nothing is rejected for its sequences."""
    plain = total(place, "entrance", entrance={"verify": None})
    assert not plain.is_looked_at
    assert not any(outcome_of(event) for event in figures(plain).events)
    row = rule_as_json("door", plain, "stored")
    assert isinstance(row["simulated"], dict)
    assert "second_looks" not in row["simulated"]
    visits = {event.record_id for event in figures(total(place, "visit")).events}
    all_visits = total(place, "visit", entrance={"verify": None})
    assert visits < {event.record_id for event in figures(all_visits).events}


def test_one_that_waits_is_one_that_would_be_asked(place: Place) -> None:
    """It is not stored yet, and its outcome is not known."""
    looks(place, 400, 460)
    found = total(place, "entrance")
    waiting = [one.event for one in place.store.waiting() if one.event.rule == "entrance"]
    assert waiting
    assert {event.record_id for event in found.only_here} == {one.record_id for one in waiting}
    assert figures(found).looked_at[WOULD_BE_ASKED] == len(waiting)
    row = rule_as_json("door", found, "stored")
    assert isinstance(row["simulated"], dict)
    assert row["simulated"]["second_looks"] == dict(figures(found).looked_at)
