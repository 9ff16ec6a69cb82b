"""A link that needs no sign-in: made in the panel of an event, opened by somebody, ended."""

from pathlib import Path

from playwright.sync_api import expect

from pipeline.core.people import Role
from tests.web.browser import PHONE, NewPage, assert_accessible, in_browser
from tests.web.houses import house
from tests.web.product import copy_of

pytestmark = in_browser


def test_a_picture_is_shared_opened_and_ended(
    product: Path, tmp_path: Path, new_page: NewPage
) -> None:
    """The ordinary link stays; the public one is a step of its own, and ends in the settings."""
    file = copy_of(product, tmp_path / "copy")
    file.write_text(file.read_text() + "\nweb: {share: {days: 3}}\n")
    with house(file) as home:
        page = new_page(width=PHONE, dark=True)
        ann = home.signed_in("ann", Role.OPERATOR)
        kept = [(cookie.name, cookie.value or "") for cookie in ann.cookies.jar]
        page.context.add_cookies(
            [{"name": name, "value": value, "url": home.url} for name, value in kept]
        )
        wish = {"camera": "plaza", "rule": "crowd", "limit": 50}
        found = ann.get("/events", params=wish).json()["events"]
        event = next(one["id"] for one in found if one["pictures"])
        page.goto(f"{home.url}/events?show=all&event={event}")
        expect(page.get_by_role("button", name="Copy link")).to_be_visible()
        page.get_by_role("button", name="Share without sign-in …").click()
        dialog = page.get_by_role("dialog", name="Share without sign-in")
        expect(dialog.get_by_label("How long it opens").locator("option")).to_have_count(3)
        assert_accessible(page)
        dialog.get_by_role("button", name="Make the link").click()
        link = page.locator(".share-link").text_content() or ""
        assert link.startswith(f"{home.url}/shared/")
        assert_accessible(page)

        other = new_page(width=PHONE, language="de-DE", expects_errors=True)
        other.goto(link)
        expect(other.get_by_role("heading", name="plaza")).to_be_visible()
        expect(other.get_by_role("img")).to_be_visible()
        size = "document.querySelector('img').decode().then(() => innerWidth)"
        assert other.evaluate(size) == PHONE
        assert_accessible(other)

        page.goto(f"{home.url}/settings")
        page.get_by_role("button", name="End the link to Picture, plaza").click()
        expect(page.get_by_text("No link is open.")).to_be_visible()
        assert_accessible(page)
        other.reload()
        expect(other.get_by_role("heading", name="Dieser Link öffnet nichts")).to_be_visible()
        assert_accessible(other)
