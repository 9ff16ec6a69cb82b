"""Today, numbers and health in a real browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from connectors.stores.sql import SqlStore
from pipeline.core.people import Role
from pipeline.core.store import Undelivered
from pipeline.testing import ManualClock
from pipeline.web.access.visitor import Visitor
from tests.reports import weeks
from tests.reports.weeks import at
from tests.web.applications import Application, application
from tests.web.browser import PHONE, WIDE, NewPage, assert_accessible, in_browser

pytestmark = in_browser
WITH_SINK = 'sinks: {hook: {type: webhook, url: "http://127.0.0.1:9/in"}}\n'


@pytest.fixture(scope="module")
def file(two_weeks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with two weeks of numbers, three hours of them missing, and a sink that refused."""
    folder = tmp_path_factory.mktemp("shop")
    url = f"sqlite:///{folder / 'weeks.db'}"
    shutil.copy(two_weeks, folder)
    store = SqlStore(url)
    store.register_sinks(["hook"], ["hook"])
    first = store.events_after(0, 1)[0]
    store.advance("hook", 1, [Undelivered("hook", 1, first.event.record_id, "[410] gone", 1)])
    store.close()
    path = folder / "shop.yaml"
    path.write_text(weeks.SHOP.format(url=url) + WITH_SINK, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def app(file: Path) -> Iterator[Application]:
    """The application on Saturday at five past two."""
    with application(file, clock=ManualClock(at("2026-11-21T14:05"))) as found:
        yield found


def opened(page: Page, address: str, heading: str | re.Pattern[str]) -> Page:
    """The page, once it is there."""
    page.goto(address)
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    return page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_shop_owner_sees_the_day_on_a_phone(
    app: Application, new_page: NewPage, dark: bool
) -> None:
    """Who came in so far against last Saturday by the same time; then the day with the gap."""
    told = app.client.get("/today").json()["sites"][0]
    page = opened(new_page(width=PHONE, dark=dark), app.url, "Today")
    expect(page.get_by_text("until 14:05").first).to_be_visible()
    came_in = page.locator(".headline", has_text="Came in")
    expect(came_in).to_contain_text(f"{told['came_in']['value']:,.0f}")
    expect(came_in).to_contain_text("Sat 14 Nov until 14:05")
    door = page.get_by_role("article", name="plaza/middle")
    expect(door.get_by_role("img")).to_have_accessible_name(re.compile(r"in by hour: 10: \d+, 11"))
    assert_accessible(page)
    page.goto(f"{app.url}/?day=2026-11-17")
    expect(page.get_by_role("heading", name="Tue 17 Nov", level=1)).to_be_visible()
    expect(came_in).to_contain_text("≥")
    expect(came_in).to_contain_text("unknown: 12:00–15:00, so it is at least this")
    expect(door.get_by_role("img")).to_have_accessible_name(re.compile("12: unknown, 13: unknown"))
    assert_accessible(page)
    page.get_by_role("button", name="Day after").click()
    expect(page.get_by_role("heading", name="Wed 18 Nov", level=1)).to_be_visible()
    expect(came_in).not_to_contain_text("≥")


def test_a_day_of_the_past_is_said_to_be(file: Path, new_page: NewPage) -> None:
    """In German, too: the last day with numbers, as nothing newer is known."""
    with application(file, clock=ManualClock(at("2026-12-24T10:00"))) as app:
        page = opened(new_page(language="de-DE"), app.url, re.compile("Sa., 21. Nov"))
        expect(page.get_by_text("Neueres ist nicht bekannt")).to_be_visible()
        assert_accessible(page)


def test_numbers_show_what_is_unknown_and_open_to_minutes_and_events(
    app: Application, new_page: NewPage
) -> None:
    """A day in hours: totals, the gap as a hatch and in words, a step's minutes, the way back."""
    page = new_page()
    asked = "rules=plaza/middle&first=2026-11-17&last=2026-11-17"
    opened(page, f"{app.url}/numbers?{asked}&step=1h", "Numbers")
    query = {
        "rule": "plaza/middle",
        "first": "2026-11-17",
        "last": "2026-11-17",
        "step": "1h",
        "only_open": "true",
    }
    told = app.client.get("/numbers", params=query).json()["series"][0]
    total = page.locator(".totals > div").first
    expect(total).to_contain_text(f"≥ {told['measures'][0]['total']:,.0f}")
    expect(total).to_contain_text("of opening time")
    # What it would be without the gap is said beside it, with how that comes about.
    counted, known = told["measures"][0]["total"], told["known"]
    total.get_by_text(f"about {counted / known:,.0f} if the gaps were like the rest").click()
    expect(total.get_by_text(f"{counted:,.0f} counted in the")).to_be_visible()
    expect(page.get_by_text("Hatched: not known")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="As a table").last.click()
    table = page.get_by_role("region", name="Step by step")
    noon = table.get_by_role("row").filter(has_text="12:00–13:00")
    expect(noon.get_by_role("cell", name="unknown").first).to_be_visible()
    ten = table.get_by_role("row").filter(has_text="10:00–11:00")
    link = ten.get_by_role("link", name=re.compile("Events"))
    href = link.get_attribute("href") or ""
    assert f"since={at('2026-11-17T10:00'):.0f}" in href
    assert "camera=plaza" in href
    assert "rule=middle" in href
    ten.get_by_role("button", name=re.compile("Minutes")).click()
    expect(page).to_have_url(re.compile("step=1m"))
    expect(table.get_by_role("row")).to_have_count(61)
    page.get_by_role("button", name=re.compile("Back to")).click()
    expect(page).to_have_url(re.compile("first=2026-11-17"))
    expect(noon).to_be_visible()


def test_the_capture_rate_is_shown_with_its_gaps(
    file: Path, tmp_path: Path, new_page: NewPage
) -> None:
    """A share, both counts, what it is made of; where it is not known, why."""
    path = tmp_path / "shop.yaml"
    text = file.read_text(encoding="utf-8")
    path.write_text(text.replace("country: DE,", "country: DE, capture: {passed: plaza/across},"))
    with application(path, clock=ManualClock(at("2026-11-21T14:05"))) as app:
        page = new_page()
        asked = "rules=plaza/middle&first=2026-11-16&last=2026-11-20&step=1h"
        opened(page, f"{app.url}/numbers?{asked}", "Numbers")
        query = {"rule": "plaza/middle", "first": "2026-11-16", "last": "2026-11-20"}
        one = app.client.get("/numbers", params=query).json()["captured"][0]
        card = page.locator("section", has=page.get_by_role("heading", name="Capture rate"))
        expect(card).to_contain_text(f"{one['total_passed']:,.0f}")
        expect(card).to_contain_text("those whom plaza/middle counted in")
        assert_accessible(page)
        page.goto(f"{app.url}/numbers?rules=plaza/middle&first=2026-11-17&last=2026-11-17&step=1h")
        expect(card.get_by_role("status")).to_contain_text("less than 90 %")


def test_rules_are_compared_on_one_scale_and_exported(app: Application, new_page: NewPage) -> None:
    """A week of both doors, then of the site; the heat map; the files."""
    page = new_page(width=WIDE)
    asked = "rules=plaza/middle,plaza/across&first=2026-11-16&last=2026-11-22"
    opened(page, f"{app.url}/numbers?{asked}", "Numbers")
    totals = page.locator(".totals").first
    expect(totals).to_contain_text("plaza/middle")
    expect(totals).to_contain_text("plaza/across")
    expect(page.get_by_role("region", name="in, plaza/middle")).to_be_visible()
    page.get_by_role("radio", name="out").check(force=True)
    expect(page.get_by_role("region", name="out, plaza/middle")).to_be_visible()
    page.get_by_role("radio", name="Sites").check(force=True)
    expect(totals).not_to_contain_text("plaza/middle")
    expect(totals).not_to_contain_text("week before")
    page.get_by_role("checkbox", name="Compare with the time before").check()
    expect(page).to_have_url(re.compile("compare=1"))
    expect(totals).to_contain_text("week before: ")
    expect(page.locator(".legend").first).to_contain_text(", week before")
    page.get_by_role("button", name="As a table").last.click()
    steps = page.get_by_role("region", name="Step by step")
    expect(steps.get_by_role("columnheader", name="Known, week before")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export")
    assert_accessible(page)
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Table as CSV").click()
    path = download.value.path()
    query = {
        "rule": ["plaza/middle", "plaza/across"],
        "first": "2026-11-16",
        "last": "2026-11-22",
        "before": "true",
    }
    assert path.read_bytes() == app.client.get("/numbers/file", params=query).content
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_dead_sink_is_red_with_what_to_do(app: Application, new_page: NewPage) -> None:
    """Its sentence, what helps, the way to what it refused; and a text without secrets."""
    page = opened(new_page(width=PHONE), f"{app.url}/health", "Health")
    trouble = page.get_by_role("listitem").filter(has_text="sink hook refused 1 event")
    expect(trouble).to_contain_text("send it again or drop it")
    link = trouble.get_by_role("link", name="See what was refused")
    expect(link).to_have_attribute("href", re.compile("sent=refused"))
    expect(page.get_by_role("region", name="Delivery")).to_contain_text("[410] gone")
    expect(page.get_by_text("needs attention").first).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Copy a diagnostic").click()
    shown = page.get_by_role("dialog", name="Diagnostic").or_(page.get_by_text("Copied"))
    expect(shown.first).to_be_visible()


def test_a_viewer_of_nothing_is_told_so(file: Path, new_page: NewPage) -> None:
    """No empty charts, no number at all, and no button to what he may not do."""
    nobody = Visitor.of_role("eve", Role.VIEWER, [])
    with application(file, visitor=nobody) as app:
        page = opened(new_page(), app.url, "Today")
        expect(page.get_by_role("heading", name="No rule counts yet")).to_be_visible()
        expect(page.get_by_role("link", name="Lines and zones")).to_have_count(0)
        page.goto(f"{app.url}/numbers")
        expect(page.get_by_role("heading", name="Nothing counts here")).to_be_visible()
        assert_accessible(page)
