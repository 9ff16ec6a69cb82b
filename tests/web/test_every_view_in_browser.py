"""All views of a deployment that has run, as somebody walks through them: on all screens, light and
dark, in both languages.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.web.applications import application
from tests.web.browser import (
    PHONE,
    NewPage,
    assert_all_is_worded,
    assert_fit_for_all_screens,
    assert_focus_is_visible,
    assert_nothing_is_wider,
    in_browser,
)

pytestmark = in_browser

_GO = """(view) => {
  history.pushState(null, "", view);
  dispatchEvent(new PopStateEvent("popstate"));
}"""


_LINE = re.compile("^(Line|Linie) middle")


def _there(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)


def _listed(page: Page) -> None:
    expect(page.locator("[data-event]").first).to_be_visible()
    expect(page.locator(".timeline svg").first).to_be_visible()


def _opened(page: Page) -> None:
    page.locator(".event", has=page.locator("img")).first.get_by_role("link").click()
    expect(page.get_by_role("dialog").locator("img").first).to_be_visible()
    expect(page.get_by_role("dialog").locator("[aria-busy=true]")).to_have_count(0)


def _closed(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def _helped(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def _counted(page: Page) -> None:
    page.get_by_role("button", name=_LINE).first.click()
    expect(page.locator("[data-rule=middle] .edit-figures")).to_be_visible()


def _saving(page: Page) -> None:
    page.locator(".edit-point").first.press("Shift+ArrowLeft")
    page.locator(".edit-bar .button-primary").click()
    expect(page.locator("dialog .edit-diff-new").first).to_be_visible()


_WALK: tuple[tuple[str | None, Callable[[Page], None]], ...] = (
    ("/", _there),
    ("/live", _there),
    ("/events?rule=crowd", _listed),
    (None, _opened),
    (None, _closed),
    ("/numbers", _there),
    ("/edit", _there),
    ("/edit/plaza", _counted),
    (None, _saving),
    (None, _closed),
    ("/health", _there),
    ("/admin", _there),
    (None, _helped),
    (None, _closed),
    ("/nothing", _there),
    ("/settings", _there),
)
"""Addresses, and what is done there until all is to be seen; None stays."""


def test_every_view_is_fit_for_everybody(product: Path, new_page: NewPage) -> None:
    """On three screens, light and dark, axe finds nothing, and nothing is wider than the screen;
    who uses the keyboard sees where he is; no text lacks its words, and no script complains.
    """
    complaints: list[str] = []
    with application(product) as app:
        page = new_page()
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        page.goto(app.url)
        for _ in _walked(page):
            assert_all_is_worded(page)
            assert_focus_is_visible(page)
            assert_fit_for_all_screens(page)
        page.get_by_role("radio", name="Deutsch").check(force=True)
        expect(page.get_by_role("heading", name="Einstellungen")).to_be_visible()
        page.set_viewport_size({"width": PHONE, "height": 800})
        for _ in _walked(page):
            assert_all_is_worded(page)
            assert_nothing_is_wider(page)
        assert complaints == []
        app.doors.who = None
        page.reload()
        expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
        assert_fit_for_all_screens(page)


def _walked(page: Page) -> Iterator[None]:
    """Go on to the next place of the walk, each time that one has been looked at."""
    for address, do in _WALK:
        if address is not None:
            page.evaluate(_GO, address)
            shown = "none" if address == "/nothing" else _placed(address)
            expect(page.locator("main")).to_have_attribute("data-view", shown)
        do(page)
        if do is not _closed:
            yield


def _placed(address: str) -> str:
    """The view that an address belongs to."""
    return "/" + re.split("[/?]", address)[1]
