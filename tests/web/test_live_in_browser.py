"""The live wall in a real browser, over a product that runs."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from pipeline.testing import wait_until
from tests.cli.commands import moonwatch
from tests.web.applications import Application, application
from tests.web.browser import PHONE, NewPage, assert_accessible, in_browser
from tests.web.live import camera, deployment, running

pytestmark = in_browser
CAMERAS = ("dock", "door", "hall", "till")


@pytest.fixture(scope="module", name="app")
def _app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """A run with four cameras and the application in one process."""
    with camera() as url:
        file = deployment(tmp_path_factory.mktemp("live"), url, *CAMERAS)
        with running(file) as run, application(file, queues=run.queues) as app:
            yield app


def shown(page: Page, name: str) -> tuple[str, int]:
    """Run and number of the frame that a tile shows; waits for the first."""
    canvas = page.locator(f'[data-camera="{name}"] canvas[data-seq]')
    expect(canvas).to_be_visible()
    run, seq = canvas.get_attribute("data-run"), canvas.get_attribute("data-seq")
    assert run
    assert seq
    return run, int(seq)


def test_the_wall_shows_pictures_that_go_on(app: Application, new_page: NewPage) -> None:
    """Each camera its own, with its age, on a wide screen and on a phone; and axe finds nothing."""
    for page in (new_page(), new_page(width=PHONE, dark=True)):
        page.goto(f"{app.url}/live")
        run, first = shown(page, "door")
        page.wait_for_function(
            """([run, first]) => {
              const canvas = document.querySelector('[data-camera="door"] canvas');
              // Another run, where the camera was begun anew by an edit of the file.
              return canvas.dataset.run !== run || Number(canvas.dataset.seq) > first + 2;
            }""",
            arg=[run, first],
        )
        assert page.locator(".tile").count() == len(CAMERAS)
        expect(page.locator('[data-camera="door"] .tile-age')).to_have_text(re.compile(r"\d"))
        assert_accessible(page)


def test_a_camera_is_opened_and_closed_by_keys(app: Application, new_page: NewPage) -> None:
    """Digits, arrows and Escape; the picture goes on, and others are not asked for."""
    page = new_page()
    page.goto(f"{app.url}/live")
    shown(page, "dock")
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile("camera=door"))
    expect(page.locator(".tile")).to_have_count(1)
    shown(page, "door")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1)).to_have_text("hall")
    page.keyboard.press("Escape")
    expect(page.locator(".tile")).to_have_count(len(CAMERAS))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Show door alone")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("camera=door"))
    assert_accessible(page)


def test_only_what_is_seen_is_asked_for(app: Application, new_page: NewPage) -> None:
    """A tile below the edge of the screen gets nothing; nor does a page that is hidden."""
    wall = app.state.live
    assert wall is not None
    page = new_page(width=PHONE)
    page.goto(f"{app.url}/live")
    shown(page, "dock")
    page.wait_for_timeout(0)
    asked = [set(client.show) for client in wall.hub.everyone()]
    assert any("dock" in one and "till" not in one for one in asked), asked
    page.evaluate(
        """() => {
          Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'});
          document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    page.wait_for_function("() => true")
    until_nothing_is_asked(app, page)


def until_nothing_is_asked(app: Application, page: Page) -> None:
    """Wait until no page shows anything, and the pictures have stopped."""
    wall = app.state.live
    assert wall is not None
    for _ in range(200):
        if all(not client.show for client in wall.hub.everyone()):
            break
        page.wait_for_timeout(50)
    else:
        pytest.fail("a hidden page still asks for pictures")


def test_a_kiosk_has_no_controls(app: Application, new_page: NewPage) -> None:
    """Nothing to press, and the whole screen for pictures."""
    page = new_page()
    page.goto(f"{app.url}/live?kiosk=1")
    shown(page, "hall")
    assert page.get_by_role("button").count() == 0
    assert page.get_by_role("navigation").count() == 0
    assert_accessible(page)


def test_a_question_becomes_a_rule(app: Application, new_page: NewPage) -> None:
    """The picture is asked, and what the answer proposes is saved and is what `check` accepts."""
    page = new_page()
    page.goto(f"{app.url}/live?camera=door")
    shown(page, "door")
    page.get_by_label("In words").fill("red bag")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("1 found")).to_be_in_viewport()
    page.get_by_role("link", name="Make it a rule").click()
    expect(page).to_have_url(re.compile(r"/edit/door\?.*words=red\+bag"))
    expect(page.get_by_text("not saved")).to_be_visible()
    page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("red bag")
    dialog.get_by_role("button", name="Save and apply").click()
    expect(dialog.get_by_role("button", name="Save and apply")).to_have_count(0)
    # While it is saved the button is another one already.
    wait_until(lambda: "red bag" in app.state.file.path.read_text(encoding="utf-8"))
    file = app.state.file.path
    code, told, errors = moonwatch("check", file)
    assert code == 0, errors
    assert "valid" in told
    camera_ = app.client.get("/edit/cameras/door").json()
    (task,) = [name for name, one in camera_["tasks"].items() if one.get("detect") == "red bag"]
    (rule,) = [one for one in camera_["rules"].values() if one["of"] == task]
    assert (rule["type"], rule["line"]) == ("line_crossing", "middle")
