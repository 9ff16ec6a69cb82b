"""All views, as somebody walks through them: on all screens, light and dark, in both languages."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.core.people import Role
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.web import live
from tests.web.applications import application
from tests.web.browser import (
    NewPage,
    assert_accessible_at_all_widths,
    assert_all_is_worded,
    assert_fit_for_all_screens,
    assert_focus_is_visible,
    in_browser,
)
from tests.web.houses import House, house
from tests.web.product import copy_of

pytestmark = in_browser
VIEWS = ["/", "/live", "/events", "/numbers", "/edit", "/health", "/admin", "/settings", "/nothing"]

_GO = """(view) => {
  history.pushState(null, "", view);
  dispatchEvent(new PopStateEvent("popstate"));
}"""


def _there(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)


def _listed(page: Page) -> None:
    expect(page.locator("[data-event]").first).to_be_visible()
    expect(page.locator(".timeline svg").first).to_be_visible()


def _opened(page: Page) -> None:
    page.locator(".event", has=page.locator("img")).first.get_by_role("link").first.click()
    expect(page.get_by_role("dialog").locator("img").first).to_be_visible()
    expect(page.get_by_role("dialog").locator("[aria-busy=true]")).to_have_count(0)


def _shared(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Share without|Ohne Anmeldung")).click()
    page.locator("dialog .button-primary").last.click()
    expect(page.locator(".share-link")).to_be_visible()


def _judged(page: Page) -> None:
    expect(page.locator(".edit-figures").first).to_be_visible()
    expect(page.locator(".edit-working")).to_have_count(0)


def _counted(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^(Line|Linie) middle")).first.click()
    expect(page.locator("[data-rule=middle] .edit-figures")).to_be_visible()
    expect(page.locator(".edit-working")).to_have_count(0)


def _saving(page: Page) -> None:
    page.locator(".edit-point").first.press("Shift+ArrowLeft")
    page.locator(".edit-bar .button-primary").click()
    expect(page.locator("dialog .edit-diff-new").first).to_be_visible()


def _added(page: Page) -> None:
    page.locator("main .button-primary").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def _helped(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def _closed(page: Page) -> None:
    while dialogs := page.get_by_role("dialog").count():
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(dialogs - 1)


_WALK: tuple[tuple[str, tuple[Callable[[Page], None], ...]], ...] = (
    ("/", (_there,)),
    ("/live", (_there,)),
    ("/events?rule=crowd", (_listed, _opened, _shared)),
    ("/numbers?rules=plaza/across", (_there,)),
    ("/count?rule=plaza/across", (_there,)),
    ("/edit", (_judged,)),
    ("/edit/plaza", (_counted, _saving)),
    ("/health", (_there,)),
    ("/admin", (_there, _added)),
    ("/admin?tab=tokens", (_there, _added)),
    ("/admin?tab=sessions", (_there,)),
    ("/admin?tab=links", (_there,)),
    ("/admin?tab=journal", (_there,)),
    ("/settings", (_there, _helped)),
    ("/nothing", (_there,)),
)
"""Addresses, and what is done there until there is more to be seen."""


def test_all_views_are_accessible_while_they_are_empty(tmp_path: Path, new_page: NewPage) -> None:
    """Each view of what has not run has one title; axe finds nothing on any screen."""
    with application(written(tmp_path, deployment(tmp_path, {"door": camera(CLIP)}))) as app:
        page = new_page()
        page.goto(app.url)
        for view in VIEWS:
            _go(page, view)
            expect(page.get_by_role("heading", level=1)).to_have_count(1)
            assert_fit_for_all_screens(page)
        page.goto(f"{app.url}/health")
        sentences = re.compile(r"^No run is active, .*[.] As of [0-9:]+[.]$")
        expect(page.locator(".overall p")).to_have_text(sentences)


@pytest.mark.slow
@pytest.mark.parametrize(("dark", "language"), [(False, "en-GB"), (True, "de-DE")])
def test_every_view_is_fit_for_everybody(
    product: Path, tmp_path: Path, new_page: NewPage, dark: bool, language: str
) -> None:
    """At all widths axe finds nothing and nothing is wider than the screen; who uses the keyboard
    sees where he is; no text lacks its words.
    """
    file = copy_of(product, tmp_path / "copy")
    file.write_text(file.read_text(encoding="utf-8") + "\nweb: {share: {days: 3}}\n")
    with house(file) as home:
        page = new_page(dark=dark, language=language)
        page.goto(f"{home.url}/set-up#{home.state.entrance.offer_set_up()}")
        for _ in walked(page, home):
            assert_all_is_worded(page)
            assert_focus_is_visible(page)
            assert_accessible_at_all_widths(page)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_is_live_is_fit_for_everybody(tmp_path: Path, new_page: NewPage, dark: bool) -> None:
    """So are the wall, one camera and health while pictures come."""
    with live.camera() as source:
        file = live.deployment(tmp_path, source, "dock", "door")
        with live.running(file) as run, application(file, queues=run.queues) as app:
            page = new_page(dark=dark)
            page.goto(app.url)
            for view in ("/live", "/live?camera=door", "/health"):
                _go(page, view)
                _there(page)
                if view != "/health":
                    expect(page.locator("canvas[data-seq]").first).to_be_visible()
                assert_focus_is_visible(page)
                assert_accessible_at_all_widths(page)


def walked(page: Page, home: House) -> Iterator[str]:
    """Go on to the next place of the walk, each time that one has been looked at; its name."""
    expect(page.locator("main input").first).to_be_visible()
    yield "set-up"
    home.person("otto", Role.OPERATOR)
    home.person("till desk", Role.VIEWER, ("door",))
    home.program("dashboard")
    ada = home.signed_in("ada", Role.ADMIN)
    page.goto(f"{home.url}/sign-in")
    expect(page.locator("main input").first).to_be_visible()
    yield "sign-in"
    page.context.add_cookies(
        [
            {"name": cookie.name, "value": cookie.value or "", "url": home.url}
            for cookie in ada.cookies.jar
        ]
    )
    page.goto(home.url)
    link = ""
    for address, acts in _WALK:
        _go(page, address)
        for act in acts:
            act(page)
            if act is _shared:
                link = page.locator(".share-link").text_content() or ""
            yield f"{address} {act.__name__}"
        _closed(page)
    page.goto(link)
    expect(page.get_by_role("img")).to_be_visible()
    yield "shared"


def _go(page: Page, address: str) -> None:
    """Go to an address without loading the application anew."""
    page.evaluate(_GO, address)
    placed = "/" + re.split("[/?]", address)[1]
    shown = "none" if placed == "/nothing" else placed
    expect(page.locator("main")).to_have_attribute("data-view", shown)
