"""What is around all views, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.web.applications import application
from tests.web.browser import PHONE, TABLET, WIDE, NewPage, assert_accessible, in_browser

pytestmark = in_browser
VIEWS = ["/", "/live", "/events", "/numbers", "/edit", "/health", "/admin", "/settings", "/nothing"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_views_are_accessible_at_all_widths(
    product: Path, new_page: NewPage, dark: bool
) -> None:
    """Each view has one title, and axe finds nothing."""
    with application(product) as app:
        page = new_page(dark=dark)
        for width in (PHONE, TABLET, WIDE):
            page.set_viewport_size({"width": width, "height": 800})
            for view in VIEWS:
                page.goto(app.url + view)
                expect(page.locator("main :is(h1, h2)").first).to_be_visible()
                assert_accessible(page)


def test_a_phone_reaches_all_views_with_the_thumb(product: Path, new_page: NewPage) -> None:
    """Four are in the bar, the others behind one more tap; the address follows."""
    with application(product) as app:
        page = new_page(width=PHONE, has_touch=True, language="de-DE")
        page.goto(app.url)
        ways = page.get_by_role("navigation", name="Ansichten")
        ways.get_by_role("link", name="Ereignisse").tap()
        expect(page).to_have_url(f"{app.url}/events")
        expect(ways.get_by_role("link", name="Ereignisse")).to_have_attribute(
            "aria-current", "page"
        )
        expect(ways.get_by_role("link", name="Zustand")).to_be_hidden()
        ways.get_by_role("button", name="Mehr").tap()
        ways.get_by_role("link", name="Zustand").tap()
        expect(page).to_have_url(f"{app.url}/health")
        expect(ways.get_by_role("link", name="Zustand")).to_be_hidden()
        page.go_back()
        expect(page).to_have_url(f"{app.url}/events")


def test_settings_are_kept_in_the_browser(product: Path, new_page: NewPage) -> None:
    """Language and appearance change at once, and are the same after loading again."""
    with application(product) as app:
        page = new_page()
        page.goto(f"{app.url}/settings")
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        page.get_by_role("radio", name="Dark").check(force=True)
        page.get_by_role("radio", name="Deutsch").check(force=True)
        expect(page.get_by_role("heading", name="Einstellungen")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Einstellungen")).to_be_visible()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("html")).to_have_attribute("lang", "de")


def test_the_page_says_that_the_server_is_gone_and_finds_it_again(
    product: Path, new_page: NewPage
) -> None:
    """What is shown stays; the bar goes when the server answers."""
    with application(product) as app:
        page = new_page()
        page.goto(app.url)
        bar = page.get_by_text("The server does not answer.")
        expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
        page.context.set_offline(True)
        expect(bar).to_be_visible()
        page.context.set_offline(False)
        expect(bar).to_be_hidden()
