"""Setting up, signing in, and what admins do, in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.core.people import Role
from tests.web.browser import PHONE, WIDE, NewPage, assert_accessible, in_browser
from tests.web.houses import PASSWORD, house, shop_file
from tests.web.identity_provider import identity_provider, oidc_section

pytestmark = in_browser


def _shown(page: Page, name: str, folder: Path) -> None:
    """It is accessible at both widths; a picture of each is kept beside the test's files."""
    for width in (PHONE, WIDE):
        page.set_viewport_size({"width": width, "height": 800})
        assert_accessible(page)
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)


def test_the_first_user_is_made_and_signs_in_and_out(tmp_path: Path, new_page: NewPage) -> None:
    """By the link that the terminal shows; its secret does not stay in the address."""
    with house(shop_file(tmp_path)) as home:
        page = new_page()
        page.goto(home.url)
        expect(page).to_have_url(f"{home.url}/sign-in")
        expect(page.get_by_text("There are no users yet")).to_be_visible()
        _shown(page, "no-users", tmp_path)
        page.goto(f"{home.url}/set-up")
        expect(page.get_by_text("The link is not whole")).to_be_visible()
        page.goto("about:blank")
        page.goto(f"{home.url}/set-up#{home.state.entrance.offer_set_up()}")
        page.get_by_label("Name").fill("ada")
        expect(page).to_have_url(f"{home.url}/set-up")
        page.get_by_label("Password", exact=True).fill("passwordpassword")
        page.get_by_label("The password again").fill("something else")
        page.get_by_role("button", name="Make the user").click()
        expect(page.get_by_text("two different passwords")).to_be_visible()
        page.get_by_label("The password again").fill("passwordpassword")
        page.get_by_role("button", name="Make the user").click()
        expect(page.get_by_text("among the first that are tried")).to_be_visible()
        _shown(page, "set-up", tmp_path)
        for label in ("Password", "The password again"):
            page.get_by_label(label, exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Make the user").click()
        expect(page.get_by_role("link", name="Administration")).to_be_visible()
        page.goto(f"{home.url}/settings")
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{home.url}/sign-in")
        page.goto(f"{home.url}/admin?tab=journal")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill("not this one at all")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("the name or the password is wrong")).to_be_visible()
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{home.url}/admin?tab=journal")
        expect(page.get_by_role("cell", name="failed to sign in")).to_be_visible()
        _shown(page, "journal", tmp_path)


def test_somebody_signs_in_and_out_at_a_provider(tmp_path: Path, new_page: NewPage) -> None:
    """By a button that is there where the file names one; what fails there is told here."""
    with identity_provider() as provider, house(shop_file(tmp_path)) as home:
        section = oidc_section(provider).replace("http://127.0.0.1:8090", home.url)
        shop_file(tmp_path, section)
        home.state.file.look_now()
        provider.person["groups"] = ["customers"]
        page = new_page()
        page.goto(f"{home.url}/numbers?camera=door")
        button = page.get_by_role("link", name="Sign in with the shop's key")
        button.click()
        expect(page.get_by_role("alert")).to_contain_text("None of your groups")
        _shown(page, "provider", tmp_path)
        provider.person["groups"] = ["owners"]
        button.click()
        expect(page).to_have_url(re.compile(re.escape(f"{home.url}/numbers?camera=door")))
        page.goto(f"{home.url}/settings")
        expect(page.get_by_role("heading", name="Signed in as Ada (SSO")).to_be_visible()
        expect(page.get_by_label("New password")).to_have_count(0)
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{home.url}/sign-in")
        assert provider.asked["/end"] == 1
        shop_file(tmp_path, section + "  passwords: false\n")
        home.state.file.look_now()
        page.goto(f"{home.url}/sign-in?problem=away")
        expect(page.get_by_role("alert")).to_contain_text("does not answer as it should")
        expect(page.get_by_label("Password")).to_have_count(0)
        _shown(page, "provider-alone", tmp_path)


def test_a_guest_comes_in_by_the_link_alone(tmp_path: Path, new_page: NewPage) -> None:
    """And finds nothing that he could change."""
    with house(shop_file(tmp_path)) as home:
        page = new_page()
        page.goto(f"{home.url}/sign-in#guest={home.state.entrance.offer_guest()}")
        expect(page.get_by_role("link", name="Events")).to_be_visible()
        expect(page.get_by_role("link", name="Administration")).to_be_hidden()
        page.goto(f"{home.url}/settings")
        expect(page.get_by_role("heading", name="Signed in as guest")).to_be_visible()
        expect(page.get_by_label("New password")).to_have_count(0)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_admin_makes_users_and_tokens(tmp_path: Path, new_page: NewPage, dark: bool) -> None:
    """What is made is there at once, and what a user may is what was chosen."""
    with house(shop_file(tmp_path)) as home:
        home.person("boss", Role.ADMIN)
        page = new_page(dark=dark)
        page.goto(f"{home.url}/sign-in?next=/admin")
        page.get_by_label("Name").fill("boss")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Add a user").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("eve")
        dialog.get_by_label("Password").fill("short")
        dialog.get_by_role("radio", name="Only these").check(force=True)
        dialog.get_by_label("till").check()
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_text("at least 12 characters", exact=False).last).to_be_visible()
        _shown(page, f"add-user-{dark}", tmp_path)
        dialog.get_by_label("Password").fill(PASSWORD)
        dialog.get_by_role("button", name="Save").click()
        row = page.get_by_role("row").filter(has_text="eve")
        expect(row.get_by_role("cell", name="till")).to_be_visible()
        found = home.state.store.people.person("eve")
        assert found is not None
        assert (found.role, found.cameras) == (Role.VIEWER, ("till",))
        _shown(page, f"users-{dark}", tmp_path)
        page.get_by_role("button", name="Remove eve").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
        expect(row).to_have_count(0)
        page.get_by_role("button", name="Remove boss").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
        expect(page.get_by_text("the last admin")).to_be_visible()
        page.get_by_role("tab", name="Tokens").click()
        expect(page.get_by_text("No tokens yet")).to_be_visible()
        page.get_by_role("button", name="Add a token").click()
        dialog.get_by_label("Name").fill("dashboard")
        dialog.get_by_role("button", name="Make the token").click()
        expect(page.locator("code.admin-secret")).to_have_text(re.compile(r"mw_\w{43}"))
        _shown(page, f"token-{dark}", tmp_path)
        page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
        expect(page.get_by_role("cell", name="dashboard", exact=True)).to_be_visible()
        page.get_by_role("button", name="End the token dashboard").click()
        page.get_by_role("dialog").get_by_role("button", name="End", exact=True).click()
        expect(page.get_by_role("cell", name="ended", exact=True)).to_be_visible()
        page.get_by_role("tab", name="Signed in").click()
        expect(page.get_by_text("this one")).to_be_visible()
        _shown(page, f"sessions-{dark}", tmp_path)
