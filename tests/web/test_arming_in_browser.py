"""Arming and switching in a real browser: the line of Today, and the card of Health."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipeline.core.arming import EFFECTIVE_AFTER_S
from pipeline.testing import ManualClock
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application
from tests.web.browser import PHONE, NewPage, assert_accessible, in_browser
from tests.web.test_arming import NOW, shop_that_arms

pytestmark = in_browser


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    """A shop that is disarmed by its file; two of its cameras have rules that ask."""
    visitor = Visitor.of_role("otto", Role.OPERATOR)
    with application(shop_that_arms(tmp_path), clock=ManualClock(NOW), visitor=visitor) as found:
        yield found


def test_it_is_armed_on_the_first_page(app: Application, new_page: NewPage) -> None:
    """Whoever leaves in the evening does it there; who may not, sees what holds."""
    page = new_page(width=PHONE)
    page.goto(f"{app.url}/")
    strip = page.locator(".armed-strip")
    expect(strip).to_contain_text("Disarmed")
    strip.get_by_role("button", name="Arm all").press("Enter")
    expect(strip.get_by_role("link")).to_have_text("Armed")
    expect(strip).to_contain_text("by otto")
    assert_accessible(page)
    changes = app.state.store.armings.changes()
    assert [(one.camera, one.is_armed, one.by) for one in changes] == [(None, True, "otto")]
    app.doors.who = Visitor.of_role("vera", Role.VIEWER, ["door"])
    page.reload()
    expect(strip.get_by_role("link")).to_have_text("Armed")
    expect(strip.get_by_role("button")).to_have_count(0)


def test_cameras_and_rules_are_switched_under_health(app: Application, new_page: NewPage) -> None:
    """Each by itself; what is refused is said where it was asked for."""
    page = new_page(dark=True)
    page.goto(f"{app.url}/health")
    page.get_by_role("button", name="Arm yard").click()
    expect(page.get_by_role("button", name="Disarm yard")).to_be_visible()
    expect(page.get_by_role("button", name="Arm door")).to_be_visible()
    rules = page.locator(".watched-rules")
    rules.get_by_text("All rules are as the file says").click()
    busy = rules.get_by_role("listitem").filter(has_text="busy")
    busy.get_by_role("checkbox").uncheck()
    expect(busy).to_contain_text("Tells no events since")
    limit = busy.get_by_role("spinbutton")
    limit.fill("12")
    limit.press("Enter")
    expect(busy).to_contain_text("more than 12 since")
    expect(busy).to_contain_text("the file says 8")
    expect(rules).to_contain_text("One rule is not as the file says")
    assert_accessible(page)
    busy.get_by_role("button", name="As in the file").click()
    expect(limit).to_have_value("8")
    changes = app.state.store.switches.changes()
    assert [(one.key, one.value) for one in changes] == [
        ("enabled", False),
        ("more_than", 12),
        ("more_than", None),
    ]
    app.doors.who = Visitor.of_role("vera", Role.VIEWER)
    page.reload()
    expect(page.get_by_text("Tells no events since")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    clock = app.state.clock
    assert isinstance(clock, ManualClock)
    clock.advance(EFFECTIVE_AFTER_S)
    page.reload()
    # What the status notes says it, too.
    expect(page.get_by_text("intruder reports nothing").first).to_be_visible()
