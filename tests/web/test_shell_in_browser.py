"""What is around all views, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.runtime.clips import CLIP, camera, deployment, written
from tests.web.applications import application
from tests.web.browser import (
    PAGES,
    PHONE,
    NewPage,
    assert_accessible,
    in_browser,
)

pytestmark = in_browser


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A deployment that has not run: all views are empty."""
    return written(tmp_path, deployment(tmp_path, {"door": camera(CLIP)}))


def test_a_phone_reaches_all_views_with_the_thumb(shop: Path, new_page: NewPage) -> None:
    """Four are in the bar, the others behind one more tap; the address follows."""
    with application(shop) as app:
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


def test_settings_are_kept_in_the_browser(shop: Path, new_page: NewPage) -> None:
    """Language and appearance change at once, and are the same after loading again."""
    with application(shop) as app:
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


def test_keys_are_listed_and_can_be_turned_off(shop: Path, new_page: NewPage) -> None:
    """The dialog gives the focus back; with keys turned off it does not open."""
    with application(shop) as app:
        page = new_page()
        page.goto(f"{app.url}/settings")
        choice = page.get_by_role("checkbox", name="Single keys do something")
        choice.focus()
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        expect(dialog).to_be_visible()
        assert_accessible(page)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(choice).to_be_focused()
        choice.uncheck()
        page.keyboard.press("?")
        # What a key does is done at once: were it open, it would be there.
        assert page.get_by_role("dialog").count() == 0


def test_who_uses_the_keyboard_goes_on_in_the_view(shop: Path, new_page: NewPage) -> None:
    """The first stop skips the navigation; a new view takes the focus."""
    with application(shop) as app:
        page = new_page()
        page.goto(app.url)
        expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        page.get_by_role("link", name="Health").focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{app.url}/health")
        expect(page.get_by_role("main")).to_be_focused()


def test_the_browser_keeps_the_pages_and_nothing_else(shop: Path, new_page: NewPage) -> None:
    """It is installable, opens without a server, and holds no answer of the API."""
    page = new_page(service_workers="allow", expects_errors=True)
    with application(shop) as app:
        page.goto(app.url)
        kept = page.evaluate("""async () => {
          await navigator.serviceWorker.ready;
          const found = [];
          for (const name of await caches.keys()) {
            const cache = await caches.open(name);
            for (const request of await cache.keys()) found.push(new URL(request.url).pathname);
          }
          return found;
        }""")
        built = {f"/{file.relative_to(PAGES)}" for file in PAGES.glob("**/*") if file.is_file()}
        assert set(kept) == {"/"} | built - {"/index.html", "/sw.js", "/LICENSES.txt"}
        manifest = app.client.get(f"{app.url}/manifest.webmanifest").json()
        for icon in manifest["icons"]:
            assert app.client.get(app.url + icon["src"]).status_code == 200
        # From here on its requests go by way of the worker.
        page.reload()
        expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
    page.reload()
    expect(page.get_by_text("No connection to the server.")).to_be_visible()
    expect(page.get_by_text("The server does not answer.")).to_be_visible()
    assert_accessible(page)


def test_the_page_says_that_the_server_is_gone_and_finds_it_again(
    shop: Path, new_page: NewPage
) -> None:
    """What is shown stays; the bar goes when the server answers."""
    with application(shop) as app:
        page = new_page()
        page.goto(app.url)
        bar = page.get_by_text("The server does not answer.")
        expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
        page.context.set_offline(True)
        expect(bar).to_be_visible()
        page.context.set_offline(False)
        expect(bar).to_be_hidden()
