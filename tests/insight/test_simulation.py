"""What was seen, judged again: the present file gives what is stored, others what they would have.

Everything here runs through real processors and a real store.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.answers import Failed
from pipeline.core.errors import ConfigError
from pipeline.core.events import Event
from pipeline.core.jobs import Result
from pipeline.core.local_time import local_time
from pipeline.core.measures import Bucket
from pipeline.core.store import Span
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import (
    RuleFigures,
    SimulatedHour,
    Simulation,
    SimulationScope,
    summed,
)
from pipeline.testing import ManualClock
from tests.processing.life_scene import EVERY_S, SHOP, START, results, shop
from tests.processing.test_life import Site

NEAR_THE_HOUR_S = 2700.0
"""Then the clock strikes 100 s after the first look."""
RULES = tuple(SHOP["cameras"]["door"]["rules"])
THRESHOLD = "cameras__door__lines__threshold"


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites with stores of their own."""
    made: list[Site] = []

    def make(scene: dict[str, Any] = SHOP) -> Site:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Site(folder, scene))
        return made[-1]

    yield make
    for site in made:
        site.store.close()


def looks(first: int, until: int, *, live: bool = True, run: str = "live-1") -> list[Result]:
    """The results of some looks, around a full hour."""
    return [
        replace(result, captured_at=result.captured_at + NEAR_THE_HOUR_S)
        for result in results(first, until, live=live, run=run)
    ]


def simulated(
    site: Site,
    scene: dict[str, Any],
    *,
    against: dict[str, Any] | None = None,
    every_rule: bool = False,
    **scope: Any,
) -> list[SimulatedHour]:
    """The hours of a simulation with a reader of the site's store."""
    reader = site.config.build_reader()
    try:
        other = None if against is None else Deployment.model_validate(against)
        simulation = Simulation(
            Deployment.model_validate(scene),
            reader,
            reader.history,
            SimulationScope(**scope),
            ManualClock(START),
            against=other,
            every_rule=every_rule,
        )
        return list(simulation.hours())
    finally:
        reader.close()


def of(hours: Sequence[SimulatedHour], rule: str) -> RuleFigures:
    """What a rule concluded in all hours."""
    ((_, total),) = [row for row in summed(hours) if row[1].rule == rule]
    assert total.here is not None
    return total.here


def assert_equal(hours: Sequence[SimulatedHour], site: Site, rules: Sequence[str] = RULES) -> None:
    """Every event and every minute is as it is stored."""
    for rule in rules:
        found = of(hours, rule)
        assert by_id(found.events) == by_id(site.of(rule)), rule
        assert list(found.minutes) == site.minutes(rule), rule
    for hour in hours:
        for one in hour.rules:
            assert (one.only_here, one.only_there) == ((), ())


def by_id(events: Sequence[Event]) -> dict[str, Event]:
    """Events by their id: those of one moment may come in any order."""
    return {event.record_id: event for event in events}


@pytest.mark.parametrize("live", [True, False])
def test_the_present_file_gives_what_is_stored(sites: Callable[..., Site], *, live: bool) -> None:
    """Every event and every minute, over the full hour, while the last minute is running."""
    site = sites()
    site.feed(looks(0, 500, live=live))
    hours = simulated(site, SHOP, every_rule=True)
    assert len(hours) == 2
    assert hours[0].since - hours[1].since == 3600.0
    assert_equal(hours, site)
    assert len(of(hours, "entrance").events) > 40
    assert hours[0].running
    if live:
        assert all(rule.resumed for rule in hours[0].rules)


@pytest.mark.parametrize("seed", range(6))
def test_restarts_gaps_and_failures_change_nothing(sites: Callable[..., Site], seed: int) -> None:
    """Processes end at any look, looks are missing or fail, and runs begin: it is judged alike."""
    rng = random.Random(seed)
    site = sites()
    first, run, offset = 0, 1, 0
    while first < 560:
        until = min(first + rng.randint(5, 120), 560)
        some = []
        for result in looks(first, until, run=f"live-{run}"):
            per_look = 1 if result.engine == "fast" else 2
            result = replace(result, ordinal=result.ordinal - -(-offset // per_look))
            if rng.random() < 0.03:
                lost: dict[str, Any] = {
                    task: Failed("fast", "queue full") for task in result.answers
                }
                result = replace(result, answers=lost)
            if rng.random() < 0.97:  # else it never comes
                some.append(result)
        site.feed(some)
        for _ in range(3):
            site.clock.advance(3.0)  # nobody waits for it any longer
            site.processor.step(0.0)
        first = until
        if rng.random() < 0.6:
            site.restart(SHOP)
        if rng.random() < 0.4:  # the sampler starts, some time later
            first += rng.randint(0, 30)
            first += first % 2
            run, offset = run + 1, first
    hours = simulated(site, SHOP, every_rule=True)
    assert_equal(hours, site)
    assert len(of(hours, "entrance").events) > 10


def test_what_it_gives_is_the_same_byte_for_byte_over_a_restart(sites: Callable[..., Site]) -> None:
    """However the judging was cut into processes."""
    through, cut = sites(), sites()
    through.feed(looks(0, 400))
    for first in range(0, 400, 50):
        cut.feed(looks(first, first + 50))
        cut.restart(SHOP)
    again = repr(simulated(cut, SHOP, every_rule=True))
    assert again == repr(simulated(through, SHOP, every_rule=True))


MOVED = {f"{THRESHOLD}__from": [0.1, 0.65], f"{THRESHOLD}__to": [0.9, 0.65]}


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    "edit",
    [
        MOVED,
        {"cameras__door__zones__mat__polygon": [[0, 0.3], [1, 0.3], [1, 0.6], [0, 0.6]]},
        {"cameras__door__rules__crowd__more_than": 1},
        {"cameras__door__rules__stay__longer_than": "2s"},
        {"cameras__door__rules__closed__schedule": [{"from": "01:00", "to": "02:00"}]},
        {"cameras__door__rules__entrance__of": "walkers"},
        {"cameras__door__tasks__people__track": {"forget_after": "5s"}},
        {
            "cameras__door__rules__new": {
                "type": "occupancy",
                "of": "people",
                "zone": "shop",
                "more_than": 0,
                "for": "3s",
            }
        },
    ],
    ids=lambda edit: next(iter(edit)).rpartition("__")[2],
)
def test_another_file_gives_what_it_would_have_counted(
    sites: Callable[..., Site], edit: dict[str, Any], *, live: bool
) -> None:
    """As if it had been judged by it from the beginning, and the difference is told."""
    if edit.get("cameras__door__rules__entrance__of"):
        edit = edit | {"cameras__door__tasks__walkers": {"engine": "fast", "detect": "person"}}
    edited = shop(**edit)
    stored, wanted = sites(), sites(edited)
    stored.feed(looks(0, 180, live=live))
    told = looks(0, 180, live=live)
    if "cameras__door__tasks__walkers" in edit:
        told = [
            replace(one, answers={**one.answers, "walkers": one.answers["people"]})
            if "people" in one.answers
            else one
            for one in told
        ]
    wanted.feed(told)
    hours = simulated(stored, edited)
    for rule in edited["cameras"]["door"]["rules"]:
        assert by_id(of(hours, rule).events) == by_id(wanted.of(rule)), rule
        assert list(of(hours, rule).minutes) == wanted.minutes(rule), rule


def test_a_moved_line_is_compared_with_what_is_stored(sites: Callable[..., Site]) -> None:
    """Counts of both, their difference, and which events are new or gone."""
    site = sites()
    site.feed(looks(0, 180))
    ((_, moved),) = [row for row in summed(simulated(site, shop(**MOVED))) if row[1].rule == "paid"]
    assert moved.difference("door", "in") == 0
    ((_, moved),) = [
        row for row in summed(simulated(site, shop(**MOVED))) if row[1].rule == "entrance"
    ]
    assert moved.here is not None
    assert moved.there is not None
    assert moved.difference("door", "in") is not None
    assert moved.only_here
    assert moved.only_there
    assert by_id(moved.there.events) == by_id(site.of("entrance"))


@pytest.mark.slow
def test_rules_that_are_as_they_were_need_not_be_judged(sites: Callable[..., Site]) -> None:
    """Judged again, alone or beside one that differs, they conclude what is taken of them."""
    site = sites()
    site.feed(looks(0, 400))
    for scene in (SHOP, shop(**MOVED), shop(cameras__door__rules__crowd__more_than=1)):
        judged = simulated(site, scene, every_rule=True)
        for rule in RULES:
            taken = of(simulated(site, scene), rule)
            assert by_id(taken.events) == by_id(of(judged, rule).events), rule
            assert taken.minutes == of(judged, rule).minutes, rule
    taken_hours, judged_hours = simulated(site, SHOP), simulated(site, SHOP, every_rule=True)
    assert [hour.since for hour in taken_hours] == [hour.since for hour in judged_hours]
    assert [hour.running for hour in taken_hours] == [True, False]
    assert all(rule.resumed for hour in taken_hours for rule in hour.rules)


def test_two_files_are_compared(sites: Callable[..., Site]) -> None:
    """What one counts against what the other does, whichever of them was at work."""
    site = sites()
    site.feed(looks(0, 180))
    hours = simulated(site, shop(**MOVED), against=SHOP)
    ((_, moved),) = [row for row in summed(hours) if row[1].rule == "entrance"]
    assert moved.there is not None
    assert by_id(moved.there.events) == by_id(site.of("entrance"))
    assert moved.only_here


def test_a_removed_rule_is_shown_as_stored(sites: Callable[..., Site]) -> None:
    """It has no figures by the file."""
    site = sites()
    site.feed(looks(0, 120))
    hours = simulated(site, shop(cameras__door__rules__paid=None))
    ((_, paid),) = [row for row in summed(hours) if row[1].rule == "paid"]
    assert paid.here is None
    assert paid.there is not None
    assert paid.there.events


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"cameras__door__tasks__people__detect": "dog"}, "another question"),
        ({"engines__fast__min_score": 0.7}, "another engine"),
        (
            {
                "cameras__door__tasks__dogs": {"engine": "fast", "detect": "dog"},
                "cameras__door__rules__entrance__of": "dogs",
            },
            "was not asked",
        ),
    ],
)
def test_for_what_was_not_asked_nothing_was_recorded(
    sites: Callable[..., Site], edit: dict[str, Any], said: str
) -> None:
    """It is unknown, never zero, and says why."""
    site = sites()
    site.feed(looks(0, 120))
    for hour in simulated(site, shop(**edit)):
        (entrance,) = [rule for rule in hour.rules if rule.rule == "entrance"]
        assert entrance.here is None
        assert said in entrance.unknown
        assert entrance.difference("door", "in") is None
        (closed,) = [rule for rule in hour.rules if rule.rule == "closed"]
        assert closed.here is not None


def test_after_an_edit_both_times_answer(sites: Callable[..., Site]) -> None:
    """By the file of today, what was judged by it is as stored, and what was before is counted."""
    site = sites()
    site.feed(looks(0, 130))
    site.restart(shop(**MOVED))
    site.feed(looks(130, 260))
    edited_at = START + NEAR_THE_HOUR_S + 130 * EVERY_S
    hours = simulated(site, shop(**MOVED))
    found = of(hours, "entrance")
    later = [event for event in site.of("entrance") if event.at > edited_at]
    assert by_id([event for event in found.events if event.at > edited_at]) == by_id(later)
    whole = sites(shop(**MOVED))
    whole.feed(looks(0, 260))
    before = [event for event in whole.of("entrance") if event.at <= edited_at]
    assert by_id([event for event in found.events if event.at <= edited_at]) == by_id(before)


def test_a_period_and_some_rules(sites: Callable[..., Site]) -> None:
    """No more than is asked for, and that exactly."""
    site = sites()
    site.feed(looks(0, 500))
    since = START + NEAR_THE_HOUR_S + 40.0
    until = since + 120.0
    only: dict[str, Any] = {"rules": ("entrance", "stay"), "span": Span(since, until)}
    hours = simulated(site, SHOP, every_rule=True, **only)
    assert {rule.rule for hour in hours for rule in hour.rules} == {"entrance", "stay"}
    for rule in ("entrance", "stay"):
        events = [event for event in site.of(rule) if since <= event.at < until]
        assert by_id(of(hours, rule).events) == by_id(events)
        minutes = [bucket for bucket in site.minutes(rule) if since <= bucket.minute < until]
        assert list(of(hours, rule).minutes) == minutes


def test_a_renamed_camera_is_found_by_its_earlier_name(sites: Callable[..., Site]) -> None:
    """Before its processor has started under the new one."""
    site = sites()
    site.feed(looks(0, 120))
    renamed = shop()
    renamed["cameras"]["entry"] = renamed["cameras"].pop("door") | {"was": ["door"]}
    hours = simulated(site, renamed, every_rule=True)
    assert {hour.camera for hour in hours} == {"entry"}
    found = of(hours, "entrance")
    assert [event.at for event in found.events] == [event.at for event in site.of("entrance")]
    minutes: list[Bucket] = [replace(minute, camera="door") for minute in found.minutes]
    assert minutes == site.minutes("entrance")


@pytest.mark.parametrize(
    ("scene", "scope", "said"),
    [
        (SHOP, {"cameras": ("yard",)}, "there is no camera 'yard'; the file has door"),
        (SHOP, {"rules": ("exit",)}, "there is no rule 'exit'; there are carts"),
        (SHOP, {"span": Span(None, START - 86400.0)}, "is kept from 2023-11-14T23:58"),
    ],
)
def test_what_cannot_be_answered_is_said(
    sites: Callable[..., Site], scene: dict[str, Any], scope: dict[str, Any], said: str
) -> None:
    """With the name, and the way out."""
    site = sites()
    site.feed(looks(0, 40))
    with pytest.raises(ConfigError) as refused:
        simulated(site, scene, **scope)
    assert said in str(refused.value)


def test_a_store_without_anything_seen_says_so(sites: Callable[..., Site]) -> None:
    """And one of another deployment names whose it is."""
    with pytest.raises(ConfigError, match="nothing that was seen"):
        simulated(sites(), SHOP)
    other = sites()
    other.feed(looks(0, 20))
    scene = shop()
    scene["cameras"]["yard"] = scene["cameras"].pop("door")
    with pytest.raises(ConfigError, match="what door saw; is it the store of another file"):
        simulated(other, scene)


def test_it_can_be_stopped_and_has_a_budget(sites: Callable[..., Site]) -> None:
    """It says that it is not all, and what came before is complete."""
    site = sites()
    site.feed(looks(0, 500))
    reader = site.config.build_reader()
    asked = Deployment.model_validate(SHOP)
    stops = [False]
    clock = ManualClock(START)
    simulation = Simulation(
        asked, reader, reader.history, SimulationScope(), clock, stop=lambda: stops[0]
    )
    hours = simulation.hours()
    next(hours)
    stops[0] = True
    assert list(hours) == []
    assert simulation.cut_short == "it was stopped"
    simulation = Simulation(asked, reader, reader.history, SimulationScope(), clock, budget_s=5.0)
    hours = simulation.hours()
    seen = next(hours)
    clock.advance(10.0)
    assert list(hours) == []
    way_out = "ask for a shorter time, or let `moonwatch simulate` judge it, which has no limit"
    back_to = local_time(seen.since, asked.site.timezone)
    assert simulation.cut_short == (
        f"it took longer than 5 s; it came back to {back_to}, and nothing earlier was judged: "
        f"{way_out}"
    )
    simulation = Simulation(asked, reader, reader.history, SimulationScope(), clock, budget_s=5.0)
    had_time = simulation.has_time
    clock.advance(10.0)
    assert (had_time, simulation.has_time) == (True, False)
    assert list(simulation.hours()) == []
    assert simulation.cut_short == (
        f"it took longer than 5 s, and no hour was judged by then: {way_out}"
    )
    reader.close()


def test_a_damaged_minute_is_said_and_is_a_gap(sites: Callable[..., Site]) -> None:
    """All other minutes are known, and the hours before are as they are stored.

    Of a rule that is as it was, which is not judged, all that is stored is shown.
    """
    site = sites()
    site.feed(looks(0, 500))
    file = site.config.file
    assert file is not None
    with closing(sqlite3.connect(file)) as database, database:
        wanted = "SELECT max(minute) FROM moonwatch_observations WHERE tail = 0 AND engine = 'fast'"
        ((minute,),) = database.execute(wanted).fetchall()
        damage = "UPDATE moonwatch_observations SET content = x'0199' WHERE minute = ?"
        database.execute(damage, (minute,))
    newest, before = simulated(site, SHOP, every_rule=True)
    assert [note for note in newest.notes if str(minute) in note and "cannot be read" in note]
    assert before.notes == ()
    (crowd,) = [rule for rule in newest.rules if rule.rule == "crowd"]
    assert crowd.here is not None
    assert crowd.there is not None
    assert crowd.here.known_s < crowd.there.known_s - 50.0
    taken, _ = simulated(site, SHOP)
    assert taken.notes == newest.notes
    (crowd,) = [rule for rule in taken.rules if rule.rule == "crowd"]
    assert crowd.here == crowd.there
    for one in before.rules:
        assert (one.only_here, one.only_there) == ((), ())


@pytest.mark.parametrize("by_s", [30.0, 110.0])
def test_a_clock_that_was_set_back_is_judged_in_the_order_it_was(
    sites: Callable[..., Site], by_s: float
) -> None:
    """Also back into the hour before: what was stored then is what is given."""
    site = sites()
    some = looks(0, 420)
    site.feed(
        [
            replace(one, captured_at=one.captured_at - by_s * (number > 480))
            for number, one in enumerate(some)
        ]
    )
    hours = simulated(site, SHOP, every_rule=True)
    assert len({hour.since for hour in hours}) == len(hours) == 2
    assert_equal(hours, site)
