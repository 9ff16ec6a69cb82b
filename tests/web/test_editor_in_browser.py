"""The editor in a real browser: by keyboard, by mouse and by finger."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.web.applications import application
from tests.web.browser import PHONE, NewPage, assert_accessible, in_browser
from tests.web.product import copy_of

pytestmark = in_browser


def _figures(page: Page, rule: str) -> Locator:
    return page.locator(f"[data-rule={rule}] .edit-figures")


def test_a_line_is_moved_by_keys_and_its_new_count_is_seen(
    product: Path, new_page: NewPage, tmp_path: Path
) -> None:
    """What it would have counted changes while it is moved; then it is saved."""
    file = copy_of(product, tmp_path / "copy")
    before = file.read_text()
    with application(file) as app:
        page = new_page()
        page.goto(f"{app.url}/edit/plaza")
        page.get_by_role("button", name="Line middle").first.click()
        figures = _figures(page, "middle")
        expect(figures).to_contain_text("so far")
        first = figures.inner_text()
        assert_accessible(page)
        start = page.get_by_role("button", name=re.compile("Line middle, start"))
        start.focus()
        for _ in range(30):
            page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("ArrowRight")
        expect(start).to_have_accessible_name(re.compile(r"0\.201, 0\.174"))
        expect(figures).to_contain_text(re.compile("[+−]\\d"))
        assert figures.inner_text() != first
        expect(page.get_by_text("not saved")).to_be_visible()
        page.keyboard.press("f")
        expect(page.get_by_role("status").filter(has_text="swapped")).to_have_count(1)
        page.keyboard.press("Control+z")
        page.get_by_role("button", name="Save…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("line middle was moved")
        expect(dialog.locator(".edit-diff-new")).to_have_count(1)
        assert_accessible(page)
        dialog.get_by_role("button", name="Save and apply").click()
        expect(dialog).to_contain_text("No process is running")
        changed = [one for one in file.read_text().splitlines() if one not in before.splitlines()]
        assert [one.strip() for one in changed] == ["- 0.201"]


def test_a_zone_is_drawn_by_mouse(product: Path, new_page: NewPage) -> None:
    """Corners are clicked, dragged, inserted and removed; one that crosses itself is told."""
    with application(product) as app:
        page = new_page(dark=True)
        page.goto(f"{app.url}/edit/plaza")
        expect(page.get_by_text("Picture of Mon")).to_be_visible()
        page.get_by_role("button", name="Zone", exact=True).click()
        stage = page.locator(".edit-svg")
        box = stage.bounding_box()
        assert box is not None

        def at(x: float, y: float) -> tuple[float, float]:
            return box["x"] + x * box["width"], box["y"] + y * box["height"]

        for spot in ((0.1, 0.6), (0.3, 0.6), (0.3, 0.9), (0.1, 0.9)):
            page.mouse.click(*at(*spot))
        page.mouse.click(*at(0.1, 0.6))
        points = page.locator(".edit-point")
        expect(points).to_have_count(4)
        page.mouse.move(*at(0.3, 0.6))
        page.mouse.down()
        page.mouse.move(*at(0.35, 0.55), steps=4)
        page.mouse.up()
        expect(points.nth(1)).to_have_accessible_name(re.compile(r"0\.35\d?, 0\.55"))
        page.mouse.move(*at(0.1, 0.75))
        page.mouse.down()
        page.mouse.move(*at(0.5, 0.75), steps=4)
        page.mouse.up()
        expect(points).to_have_count(5)
        expect(page.get_by_role("alert")).to_contain_text("corners in order")
        points.nth(4).focus()
        page.keyboard.press("Delete")
        expect(points).to_have_count(4)
        expect(page.get_by_role("alert")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(points).to_have_count(5)
        page.get_by_role("button", name="Larger").click()
        expect(page.locator(".edit-zoom")).to_have_text("1.5×")
        assert_accessible(page)


def test_a_point_is_moved_by_a_finger(product: Path, new_page: NewPage) -> None:
    """What is under it is shown beside it, larger."""
    with application(product) as app:
        page = new_page(width=PHONE, has_touch=True, language="de-DE")
        page.goto(f"{app.url}/edit/plaza")
        page.get_by_role("button", name="Linie middle").first.tap()
        point = page.locator(".edit-point").first
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        finger = page.context.new_cdp_session(page)

        def touch(what: str, *points: tuple[float, float]) -> None:
            finger.send(
                "Input.dispatchTouchEvent",
                {"type": what, "touchPoints": [{"x": a, "y": b} for a, b in points]},
            )

        touch("touchStart", (x, y))
        touch("touchMove", (x + 20, y + 20))
        touch("touchMove", (x + 60, y + 30))
        expect(page.locator(".edit-loupe")).to_be_visible()
        touch("touchEnd")
        expect(page.locator(".edit-loupe")).to_have_count(0)
        expect(point).not_to_have_accessible_name(re.compile(r"0\.500, 0\.174"))
        assert_accessible(page)
