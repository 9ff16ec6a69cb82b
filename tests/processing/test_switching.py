"""Rules that are switched off and on, and given another limit, while they run."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipeline.core.arming import EFFECTIVE_AFTER_S
from pipeline.core.events import Event
from pipeline.core.store import EventFilter, Page
from pipeline.core.switching import (
    BY_FILE,
    ENABLED,
    MORE_THAN,
    FileLimit,
    SwitchBook,
    SwitchKey,
    SwitchValue,
)
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import SimulatedHour, Simulation, SimulationScope, summed
from pipeline.runtime.switch_desk import SwitchDesk
from pipeline.testing import ManualClock
from tests.processing.life_scene import SHOP, START, results, shop
from tests.processing.test_life import Site

CARTS = "cameras__door__rules__carts__more_than"
LOOKS = 240
FOR_ONE = FileLimit(1)
"""What the file says of the carts."""


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


def switch(
    site: Site,
    at: float,
    rule: str,
    key: SwitchKey,
    value: SwitchValue,
    instead_of: FileLimit | None = None,
) -> None:
    """Switch a rule so that it holds from `at` seconds after the start on."""
    site.clock = site.store._clock = ManualClock(START + at - EFFECTIVE_AFTER_S)
    change = site.store.switch("door", rule, key, value, "anna", instead_of=instead_of)
    assert change.at == START + at


def begun(site: Site, rule: str) -> list[float]:
    """When the happenings of a rule began to be told, as seconds after the start."""
    return [event.at - START for event in site.of(rule) if event.phase in ("single", "start")]


def limits(site: Site, rule: str = "carts") -> list[tuple[float, str, object]]:
    """The limit that each event says it was judged by."""
    return [(one.at - START, one.phase, one.data["more_than"]) for one in site.of(rule)]


def simulated(site: Site, scene: dict[str, Any]) -> list[SimulatedHour]:
    """What a file concludes from what was seen."""
    reader = site.config.build_reader()
    try:
        book = SwitchBook(reader.switches)
        book.refresh()
        simulation = Simulation(
            Deployment.model_validate(scene),
            reader,
            reader.history,
            SimulationScope(),
            ManualClock(START),
            switches=book,
            every_rule=True,
        )
        return list(simulation.hours())
    finally:
        reader.close()


def events_in(hours: list[SimulatedHour], rule: str) -> dict[str, Event]:
    """The events that a rule was found to have, by their ids."""
    ((_, total),) = [row for row in summed(hours) if row[1].rule == rule]
    assert total.here is not None
    return {event.record_id: event for event in total.here.events}


def test_a_rule_that_is_off_tells_nothing_and_counts(sites: Callable[..., Site]) -> None:
    """What was open ends as when a schedule closes; minutes are those of a rule that is on."""
    site, always = sites(), sites()
    for rule in ("entrance", "carts", "closed", "stay"):
        switch(site, 41.0, rule, ENABLED, False)
        switch(site, 83.0, rule, ENABLED, True)
    for one in (site, always):
        one.feed(results(0, LOOKS))
    for rule in ("entrance", "stay"):
        assert begun(site, rule) == [at for at in begun(always, rule) if not 41 <= at < 83]
        assert 3 < len(begun(site, rule)) < len(begun(always, rule))
    for rule in SHOP["cameras"]["door"]["rules"]:
        assert site.minutes(rule) == always.minutes(rule)
    ended = [e for e in site.of("carts") if e.phase == "end" and e.data["reason"] == "schedule"]
    assert [event.at - START for event in ended] == [41.0]
    assert begun(site, "carts") == [0.0, 20.0, 40.0, 83.0, 100.0]
    assert site.of("paid") == always.of("paid")


def test_a_limit_holds_from_its_moment_on(sites: Callable[..., Site]) -> None:
    """Events carry it; what it began ends when it is given back; nothing begins anew."""
    site = sites()
    switch(site, 30.0, "carts", MORE_THAN, 0, FOR_ONE)
    switch(site, 50.0, "carts", MORE_THAN, 5, FOR_ONE)
    switch(site, 90.0, "carts", MORE_THAN, None)
    site.feed(results(0, LOOKS))
    assert limits(site) == [
        (0.0, "start", 1),
        (7.0, "end", 1),
        (20.0, "start", 1),
        (27.0, "end", 1),
        (30.0, "start", 0),
        (40.0, "update", 0),
        (50.0, "end", 5),
        (100.0, "start", 1),
        (107.0, "end", 1),
    ]
    assert [edit.kind for edit in site.store.history.edits()] == []


@pytest.mark.parametrize("cut", [60, 83, 120, 161])
def test_a_restart_and_a_second_look_at_it_agree(sites: Callable[..., Site], cut: int) -> None:
    """Whichever process judges, and when: also `simulate` gives what is stored, id for id."""
    through, ended = sites(), sites()
    for one in (through, ended):
        switch(one, 30.0, "carts", MORE_THAN, 0, FOR_ONE)
        switch(one, 40.0, "crowd", MORE_THAN, 1)
        switch(one, 41.0, "entrance", ENABLED, False)
        switch(one, 80.0, "entrance", ENABLED, True)
        switch(one, 90.0, "carts", MORE_THAN, None)
    through.feed(results(0, LOOKS))
    ended.feed(results(0, cut))
    ended.restart(SHOP)
    ended.feed(results(cut, LOOKS))
    hours = simulated(ended, SHOP)
    for rule in SHOP["cameras"]["door"]["rules"]:
        assert through.of(rule) == ended.of(rule)
        assert events_in(hours, rule) == {event.record_id: event for event in ended.of(rule)}
    assert [note for hour in hours for note in hour.notes] == []


def test_a_file_with_another_limit_is_judged_by_that(sites: Callable[..., Site]) -> None:
    """Of what was said instead of the earlier one, a note tells; what is off, stays off."""
    site, plain = sites(), sites(shop(**{CARTS: 0}))
    switch(site, 30.0, "carts", MORE_THAN, 7, FOR_ONE)
    for one in (site, plain):
        switch(one, 60.0, "carts", ENABLED, False)
        one.feed(results(0, LOOKS))
    hours = simulated(site, shop(**{CARTS: 0}))
    assert events_in(hours, "carts") == {event.record_id: event for event in plain.of("carts")}
    (note,) = [note for hour in hours for note in hour.notes]
    assert "more_than: 0" in note
    assert "more_than 7, which anna gave" in note


@pytest.mark.parametrize("edit", [Site.restart, Site.reload])
def test_an_edit_of_the_limit_ends_what_was_instead_of_it(
    sites: Callable[..., Site], edit: Callable[[Site, dict[str, Any]], object]
) -> None:
    """At once, and for good: the earlier value does not bring it back; other edits leave it."""
    site = sites()
    desk = SwitchDesk(site.store, site.clock)

    def edited(scene: dict[str, Any]) -> None:
        edit(site, scene)
        desk._due = Deployment.model_validate(scene)
        desk.step()
        desk.step()

    switch(site, 10.0, "carts", MORE_THAN, 0, FOR_ONE)
    site.feed(results(0, 40))
    longer = {"cameras__door__rules__carts__for": "1s"}
    edited(shop(**longer))
    site.feed(results(40, 80))
    assert limits(site)[-1] == (20.0 + 1.0, "start", 0)
    edited(shop(**longer, **{CARTS: 3}))
    assert limits(site)[-1] == (39.5, "end", 0)
    site.feed(results(80, 120))
    edited(shop(**longer))
    site.feed(results(120, 160))
    assert limits(site)[-2:] == [(61.0, "start", 1), (67.0, "end", 1)]
    assert [(one.value, one.by) for one in site.store.switches.changes()] == [
        (0, "anna"),
        (None, BY_FILE),
    ]


def test_every_change_is_an_event(sites: Callable[..., Site]) -> None:
    """It says which rule, what, and who."""
    site = sites()
    site.store.switch("door", "carts", ENABLED, False, "anna")
    site.store.switch("door", "carts", MORE_THAN, 4, "otto", instead_of=FOR_ONE)
    site.store.switch("door", "carts", MORE_THAN, None, "otto")
    found = site.store.history.events(EventFilter(types=("switching",)), Page())[::-1]
    assert [(one.event.camera, one.event.data) for one in found] == [
        ("door", {"rule": "carts", "enabled": False, "by": "anna"}),
        ("door", {"rule": "carts", "more_than": 4, "by": "otto"}),
        ("door", {"rule": "carts", "more_than": None, "by": "otto"}),
    ]
    for key, value in ((ENABLED, 3), (MORE_THAN, True), (MORE_THAN, -1), (MORE_THAN, 10**9)):
        with pytest.raises(ValueError, match="cannot be"):
            site.store.switch("door", "carts", key, value, "anna")


def test_what_is_old_is_forgotten_but_never_the_last_word(sites: Callable[..., Site]) -> None:
    """On each thing of each rule."""
    site = sites()
    for at, value in ((10, 3), (20, 4), (30, 5)):
        switch(site, at, "carts", MORE_THAN, value)
        switch(site, at + 1, "carts", ENABLED, value > 4)
        switch(site, at + 2, "crowd", MORE_THAN, value)
    site.store.prune(START + 1000)
    left = [(one.at - START, one.rule, one.value) for one in site.store.switches.changes()]
    assert left == [(30.0, "carts", 5), (31.0, "carts", True), (32.0, "crowd", 5)]


def test_a_clock_that_was_years_ahead(sites: Callable[..., Site]) -> None:
    """What was switched by it holds as soon as the times are corrected."""
    site = sites()
    switch(site, 10 * 365 * 86400, "carts", ENABLED, False)
    site.store.correct_times(START)
    switch(site, 50, "carts", ENABLED, True)
    assert [one.at - START for one in site.store.switches.changes()] == [0.0, 50.0]


def test_a_renamed_camera_keeps_its_switches(sites: Callable[..., Site]) -> None:
    """They are under its present name, as its events are, and hold without a break."""
    site = sites()
    switch(site, 30.0, "carts", ENABLED, False)
    site.feed(results(0, 80))
    entry = {**SHOP, "cameras": {"entry": {**SHOP["cameras"]["door"], "was": ["door"]}}}
    site.reload(entry)
    assert [one.camera for one in site.store.switches.changes()] == ["entry"]
    site.feed([replace(one, camera="entry") for one in results(80, 240)])
    assert begun(site, "carts") == [0.0, 20.0]
    site.restart(entry)
    site.feed([replace(one, camera="entry") for one in results(240, 280)])
    assert begun(site, "carts") == [0.0, 20.0]


def test_what_other_releases_wrote(sites: Callable[..., Site]) -> None:
    """One that knows no switches has no table; what a later one may write is left alone."""
    site = sites()
    site.store.switch("door", "carts", ENABLED, False, "anna")
    with site.store._database.write("write like another release") as connection:
        for key, value in (("gap", "3"), ("more_than", '"many"'), ("more_than", "{")):
            connection.execute(
                sa.text(
                    "INSERT INTO moonwatch_switches (at, camera, rule, key, value, by, kept_at) "
                    "VALUES (1, 'door', 'carts', :key, :value, 'b', 1)"
                ),
                {"key": key, "value": value},
            )
    assert len(site.store.switches.changes()) == 1
    with site.store._database.write("be an older release") as connection:
        connection.execute(sa.text("DROP TABLE moonwatch_switches"))
    reader = site.config.build_reader()
    assert list(reader.switches.changes()) == []
    reader.close()
