"""Rules that report only while their camera is armed, or only while it is not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.arming import EFFECTIVE_AFTER_S, ArmingBook
from pipeline.core.store import EventFilter, Page
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import Simulation, SimulationScope, summed
from pipeline.runtime.planned_arming import ArmingDesk
from pipeline.testing import ManualClock
from tests.processing.life_scene import START, results, shop
from tests.processing.test_life import Site

ENTRANCE, CROWD = "cameras__door__rules__entrance__when", "cameras__door__rules__crowd__when"
PAID = "cameras__door__rules__paid__when"
ARMED = shop(**{ENTRANCE: "armed", CROWD: "armed", PAID: "disarmed"})
LOOKS = 240


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites with stores of their own."""
    made: list[Site] = []

    def make(scene: dict[str, Any]) -> Site:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Site(folder, scene))
        return made[-1]

    yield make
    for site in made:
        site.store.close()


def switch(site: Site, at: float, *, is_armed: bool, camera: str | None = None) -> None:
    """Arm or disarm so that it holds from `at` on."""
    site.clock = site.store._clock = ManualClock(at - EFFECTIVE_AFTER_S)
    assert site.store.arm(camera, is_armed, "anna").at == at


def times(site: Site, rule: str) -> list[float]:
    """When the happenings of a rule began, as seconds after the start."""
    return [event.at - START for event in site.of(rule) if event.phase in ("single", "start")]


def test_nothing_is_reported_while_it_is_disarmed(sites: Callable[..., Site]) -> None:
    """Counting goes on; and what is to be reported only then, is."""
    site, always = sites(ARMED), sites(shop())
    switch(site, START + 40, is_armed=False)
    switch(site, START + 80, is_armed=True)
    for one in (site, always):
        one.feed(results(0, LOOKS))
    usual = times(always, "entrance")
    assert times(site, "entrance") == [at for at in usual if not 40 <= at < 80]
    assert 5 < len(times(site, "entrance")) < len(usual)
    assert times(site, "paid") == [at for at in times(always, "paid") if 40 <= at < 80]
    assert times(site, "paid")
    assert site.minutes("entrance") == always.minutes("entrance")


@pytest.mark.parametrize("cut", [60, 81, 82, 120, 161])
def test_a_restart_and_a_second_look_at_it_agree(sites: Callable[..., Site], cut: int) -> None:
    """Whichever process judges, and when: also `simulate` gives what is stored, id for id."""
    through, ended = sites(ARMED), sites(ARMED)
    for one in (through, ended):
        switch(one, START + 40, is_armed=False)
        switch(one, START + 80, is_armed=True, camera="door")
    through.feed(results(0, LOOKS))
    ended.feed(results(0, cut))
    ended.restart(ARMED)
    ended.feed(results(cut, LOOKS))
    for rule in ("entrance", "crowd", "paid", "stay"):
        assert through.of(rule) == ended.of(rule)
    assert_simulated(ended)


def assert_simulated(site: Site) -> None:
    """The file gives the stored events again."""
    reader = site.config.build_reader()
    try:
        book = ArmingBook(reader.armings)
        book.refresh()
        simulation = Simulation(
            Deployment.model_validate(ARMED),
            reader,
            reader.history,
            SimulationScope(),
            ManualClock(START),
            arming=book,
            every_rule=True,
        )
        for _, rule in summed(list(simulation.hours())):
            assert rule.here is not None
            found = {event.record_id: event for event in rule.here.events}
            assert found == {event.record_id: event for event in site.of(rule.rule)}, rule.rule
    finally:
        reader.close()


def test_another_camera_is_not_concerned(sites: Callable[..., Site]) -> None:
    """Disarming the yard leaves the door as it is."""
    site, always = sites(ARMED), sites(ARMED)
    switch(site, START + 1, is_armed=False, camera="yard")
    for one in (site, always):
        one.feed(results(0, LOOKS))
    assert times(site, "entrance") == times(always, "entrance")


def test_every_change_is_an_event(sites: Callable[..., Site]) -> None:
    """By hand with the name of who did it, and by the plan once, whoever looks and how often."""
    scene = shop(site__armed=[{"from": "22:00", "to": "23:14"}])  # Berlin; START is 23:13:20
    site = sites(scene)
    site.store.arm("door", False, "anna")
    clock, deployment = ManualClock(START), Deployment.model_validate(scene)
    desk = ArmingDesk(deployment, site.store, clock)
    desk.step()  # a new plan begins with its next change
    clock.advance(50)
    for _ in range(3):
        desk.step()
    again = ArmingDesk(deployment, site.store, clock)
    site.store.remember("arming ", START)  # as if it had been killed before it remembered
    again.step()
    found = site.store.history.events(EventFilter(types=("arming",)), Page())[::-1]
    said = [(one.event.camera, one.event.data["armed"], one.event.data["by"]) for one in found]
    assert said == [("door", False, "anna"), ("", False, "the plan")]
    assert found[1].event.at == START + 40


def test_what_is_old_is_forgotten_but_never_the_last_word(sites: Callable[..., Site]) -> None:
    """Neither that on a camera nor that on all of them."""
    site = sites(ARMED)
    for at, camera in ((10, None), (20, "door"), (30, None), (40, "door")):
        switch(site, START + at, is_armed=at > 25, camera=camera)
    site.store.prune(START + 1000)
    assert [(one.at - START, one.camera) for one in site.store.armings.changes()] == [
        (30.0, None),
        (40.0, "door"),
    ]


def test_a_clock_that_was_years_ahead(sites: Callable[..., Site]) -> None:
    """What was switched by it holds as soon as the times are corrected."""
    site = sites(ARMED)
    switch(site, START + 10 * 365 * 86400, is_armed=False)
    site.store.correct_times(START)
    switch(site, START + 50, is_armed=True)
    assert [one.at - START for one in site.store.armings.changes()] == [0.0, 50.0]
