"""Whatever was seen and whatever is judged: simulate gives what live judging stored.

Scenes and files are drawn: walkers and things, looks that fail or never come, processes that end at
any look, samplers that start anew, cameras and recordings, all types of rules with what they may
have, switched by hand at any moment, sequences over both cameras. Clocks that are set back have
tests of their own.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.core.switching import ENABLED, MORE_THAN
from pipeline.deployment.model import Deployment
from tests.insight.lived_scene import EVERY_S, Look, Place, Walker, deployment, results_of

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    # A smaller scene would be found after minutes: what was drawn is told as it is.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
HOURS: dict[str, Any] = {"mon-sun": "0:00-9:30, 12:00-23:55"}
ZONES = ("Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC")
BEGINNINGS = {
    "before an hour": 1_700_002_700.0,
    "before the clocks go back in Berlin": 1_698_541_140.0,
    "before the clocks go forward in Berlin": 1_711_846_740.0,
    "before the clocks go back in Lord Howe": 1_712_415_540.0,
    "before midnight in Kolkata": 1_700_072_940.0,
}
_s = st.sampled_from
_short = _s(["0s", "1s", "3s"])
_some = _s(["1s", "2s", "5s"])


_zone = _s([None, "mat", "shop", "corner"])
_placed = _s(["mat", "shop", "corner"])
_line = _s(["sill", "till"])
_flag = _s([None, True])
_staff = _s([None, None, {"zone": "corner"}, {"line": "till"}])
_open = _s([None, None, "open", [{"from": "01:00", "to": "02:30"}, {"days": "sun"}]])
COMMON: dict[str, Any] = {"cooldown": _s([None, None, "2s"]), "min_coverage": _s([None, None, 0.5])}
RULES: dict[str, dict[str, Any]] = {
    "crossing": {
        "type": "line_crossing",
        "line": _line,
        "groups": _flag,
        "door": _flag,
        "staff": _staff,
        **COMMON,
    },
    "tailgating": {"type": "tailgating", "line": _line, "within": _some, "door": _flag, **COMMON},
    "occupancy": {
        "type": "occupancy",
        "zone": _zone,
        "more_than": _s([0, 1]),
        "for": _short,
        "gap": _short,
        **COMMON,
    },
    "few": {"type": "occupancy", "zone": _zone, "fewer_than": _s([1, 2]), **COMMON},
    "dwell": {
        "type": "dwell",
        "zone": _zone,
        "longer_than": _short,
        "gap": _some,
        "staff": _staff,
        **COMMON,
    },
    "count": {"type": "count", "of": "carts", "more_than": _s([0, 1]), "for": _short, **COMMON},
    "condition": {
        "type": "condition",
        "of": "shut",
        "is": _s(["yes", "no"]),
        "for": _short,
        "gap": _short,
        **COMMON,
    },
    "absence": {"type": "absence", "zone": _zone, "for": _some, "gap": _short, **COMMON},
    "queue": {
        "type": "queue",
        "zone": "mat",
        "served": "shop",
        "more_than": _s([None, 0, 1]),
        "longer_than": _s([None, "2s"]),
        "gap": _some,
        **COMMON,
    },
    "crowding": {
        "type": "crowding",
        "zone": _zone,
        "more_than": _s([1, 2]),
        "for": _short,
        **COMMON,
    },
    "wrong_way": {"type": "wrong_way", "line": _line, "wrong": _s(["in", "out"]), **COMMON},
    "against": {"type": "wrong_way", "zone": _placed, "along": "down", **COMMON},
    "speed": {
        "type": "speed",
        "zone": _placed,
        "rectangle": [4, 8],
        "over": _s([1, 5]),
        **COMMON,
    },
    "parking": {
        "type": "parking",
        "of": "bags",
        "zone": _zone,
        "longer_than": _some,
        "gap": _some,
        **COMMON,
    },
    "left": {
        "type": "left_object",
        "of": "bags",
        "zone": _zone,
        "longer_than": _some,
        "gap": _some,
        **COMMON,
    },
    "removed": {
        "type": "removed_object",
        "of": "bags",
        "zone": _zone,
        "stood": _some,
        "gap": _some,
        **COMMON,
    },
    "left_as_told": {
        "type": "left_object",
        "of": "shut",
        "is": "yes",
        "longer_than": _some,
        **COMMON,
    },
    "heat_map": {"type": "heat_map", "zone": _zone, "columns": _s([8, 20])},
}


@st.composite
def _rules(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A rule; what is drawn as None is left out."""
    fields = {"of": "people", "schedule": _open, **RULES[name]}
    drawn = {
        key: draw(value) if isinstance(value, st.SearchStrategy) else value
        for key, value in fields.items()
    }
    return {key: value for key, value in drawn.items() if value is not None}


_walkers = st.lists(
    st.builds(
        Walker,
        x=_s([0.15, 0.35, 0.4, 0.7]),
        every=_s([17, 24, 40, 90]),
        takes=_s([6, 10, 14]),
        stop=_s([0, 0, 4, 30]),
        down=st.booleans(),
        bag=_s([False, False, True]),
    ),
    min_size=1,
    max_size=4,
    # Nobody can tell two apart that are at the very same place.
    unique_by=lambda walker: walker.x,
)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A camera and a recording with some rules, and sequences of them."""
    cameras: dict[str, dict[str, Any]] = {}
    for camera in ("door", "yard")[: draw(st.integers(1, 2))]:
        names = draw(st.lists(_s(sorted(RULES)), min_size=1, max_size=6, unique=True))
        cameras[camera] = {name: draw(_rules(name)) for name in names}
    known = sorted({rule for rules in cameras.values() for rule in rules})
    sequences: dict[str, Any] = {}
    for number in range(draw(st.integers(0, 2))):
        part = st.fixed_dictionaries({"rule": _s([*known, *sequences])})
        ended = st.fixed_dictionaries({"rule": _s(known), "phase": _s(["start", "end", "single"])})
        sequence: dict[str, Any] = {
            "first": draw(part | ended),
            "within": draw(_s(["2s", "20s", "10m"])),
        }
        if draw(st.booleans()):
            sequence["then"] = draw(part)
            sequence["cooldown"] = draw(_s(["0s", "0s", "10s"]))
        else:
            sequence["without"] = draw(st.fixed_dictionaries({"rule": _s(known)}))
            # How much was seen of a minute that is going on is known better later.
            sequence["min_coverage"] = 0
        schedule = draw(_open)
        sequences[f"sequence{number}"] = sequence | ({"schedule": schedule} if schedule else {})
    site = {"timezone": draw(_s(ZONES)), "hours": HOURS}
    return deployment(cameras, sequences, site, draw(_s([(), ("yard",)])))


_switches = st.tuples(
    st.integers(0, 11),
    st.tuples(st.just(ENABLED), st.booleans()) | st.tuples(st.just(MORE_THAN), _s([None, 0, 1, 2])),
    _s([0.0, 0.25, 1.5, 7.0]),
)
"""Which of the rules, what of it, and how many seconds after the last look."""


@st.composite
def lives(draw: st.DrawFn, most: int) -> list[tuple[str, Any]]:
    """What happens to a camera: looks, and between them restarts, gaps, and new runs."""
    steps: list[tuple[str, Any]] = []
    total = 0
    while total < most:
        looks = draw(st.integers(4, most))
        total += looks
        steps.append(("looks", looks))
        if draw(st.booleans()):
            steps.append(("switch", draw(_switches)))
        happens = draw(_s(["restart", "gap", "run", "late", "nothing"]))
        if happens == "gap":
            steps.append(("gap", draw(_s([1, 20, 300, 9000]))))
        elif happens != "nothing":
            steps.append((happens, None))
        if draw(st.booleans()):
            steps.append(("restart", None))
    return steps


def lived(
    place: Place,
    began: float,
    walkers: Sequence[Walker],
    steps: Sequence[tuple[str, Any]],
    failing: frozenset[int],
    missing: frozenset[int],
) -> None:
    """Let all cameras live through some steps at once; recordings know no gaps."""
    number, at, run, place_in_run = 0, began, 1, 0
    recorded = 0
    cameras = place.scene["cameras"]
    for kind, amount in steps:
        if kind == "restart":
            place.restart()
        elif kind == "switch":
            which, (key, value), later_s = amount
            rules = [(name, rule) for name, one in cameras.items() for rule in one["rules"]]
            camera, rule = rules[which % len(rules)]
            place.switch(camera, rule, key, value, at + later_s)
        elif kind == "gap":
            number, at = number + amount, at + amount * EVERY_S
        elif kind == "run":
            run, place_in_run = run + 1, 0
        elif kind == "late":
            place.give_up_waiting()
        else:
            some = range(amount)
            for camera, config in cameras.items():
                live = config["source"]["type"] == "rtsp"
                if live:
                    looks = [
                        Look(number + n, at + n * EVERY_S, f"run-{run}", place_in_run + n)
                        for n in some
                    ]
                else:
                    looks = [
                        Look(recorded + n, began + (recorded + n) * EVERY_S, "film", recorded + n)
                        for n in some
                    ]
                told = results_of(camera, looks, walkers, live=live, failing=failing)
                place.feed([one for one in told if not live or one.seq not in missing])
                if live and missing:
                    place.give_up_waiting()
            number, at = number + amount, at + amount * EVERY_S
            place_in_run, recorded = place_in_run + amount, recorded + amount


def check(
    scene: dict[str, Any],
    began: float,
    walkers: Sequence[Walker],
    steps: Sequence[tuple[str, Any]],
    failing: frozenset[int],
    missing: frozenset[int],
) -> Counter[str]:
    """Judge a life, simulate it, and count the events of each type."""
    with TemporaryDirectory() as folder:
        place = Place(Path(folder), scene, began)
        try:
            lived(place, began, walkers, steps, failing, missing)
            assert list(place.differences(place.simulated())) == []
            found = place.store.events_after(0, 100_000)
            return Counter(one.event.type for one in found)
        finally:
            place.store.close()


_places = st.frozensets(st.integers(0, 150), max_size=6)
DRAWN = {
    "scene": files(),
    "began": _s(list(BEGINNINGS.values())),
    "walkers": _walkers,
    "failing": _places,
    "missing": st.just(frozenset()) | _places,
}


@pytest.mark.timeout(180)
@settings(SETTINGS, max_examples=15)
@given(steps=lives(60), **DRAWN)
def test_simulate_gives_what_was_judged(**drawn: Any) -> None:
    """Every event, minute and sequence, whatever was seen, judged and interrupted."""
    check(**drawn)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(SETTINGS, max_examples=120)
@given(steps=lives(260), **DRAWN)
def test_simulate_gives_what_was_judged_for_long(**drawn: Any) -> None:
    """The same with longer lives, and many more of them."""
    check(**drawn)


def test_all_rules_are_drawn() -> None:
    """So that what is said of all types is about all types."""
    drawn = {rule["type"] for rule in RULES.values()}
    schema = Deployment.model_json_schema()
    known = {
        definition["properties"]["type"]["const"]
        for definition in schema["$defs"].values()
        if "of" in definition.get("properties", {}) and "schedule" in definition["properties"]
    }
    assert drawn == known
