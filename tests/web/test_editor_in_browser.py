"""The editor in a real browser: by keyboard, by mouse and by finger."""

import re
from pathlib import Path
from typing import Any

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


def test_what_would_be_new_is_looked_at_and_a_limit_is_chosen(
    product: Path, new_page: NewPage, tmp_path: Path
) -> None:
    """A crossing of the list shows its path and picture; how right it is; a limit by its events."""
    file = copy_of(product, tmp_path / "copy")
    with application(file) as app:
        listed: dict[str, Any] = {"camera": "plaza", "rule": "middle", "limit": 200}
        crossings = app.client.get("/events", params=listed).json()["events"]
        app.client.post("/reviews", json={"ids": [one["id"] for one in crossings]})
        page = new_page()
        page.goto(f"{app.url}/edit/plaza")
        page.get_by_role("button", name="Line middle").first.click()
        page.get_by_role("button", name=re.compile("Line middle, start")).focus()
        for _ in range(3):
            page.keyboard.press("Shift+ArrowLeft")
        middle = page.locator("[data-rule=middle]")
        expect(middle).to_contain_text(f"Rests upon {len(crossings)} labelled events.")
        expect(middle).to_contain_text("Nobody said that anything was missed.")
        expect(middle.get_by_role("row", name="Precision")).to_contain_text("100")
        crossing = middle.locator(".edit-crossings")
        expect(crossing.locator("summary")).to_have_text(
            re.compile(r"[1-9]\d* of \d+ events differ")
        )
        if crossing.get_attribute("open") is None:
            crossing.locator("summary").click()
        first = crossing.get_by_role("listitem").first.get_by_role("button")
        expect(first).to_contain_text(re.compile(r"\d:\d\d:\d\d"))
        (time,) = re.findall(r"\d\d:\d\d:\d\d", first.inner_text())
        behind = page.locator("[data-shown-track]")
        expect(behind).to_have_count(0)
        first.click()
        expect(first).to_have_attribute("aria-pressed", "true")
        expect(behind).to_have_count(1)
        (track,) = re.findall(r"track (\d+)", first.inner_text())
        expect(behind).to_have_attribute("data-shown-track", track)
        expect(page.get_by_text(re.compile(rf"Picture of .*{time[:5]}"))).to_be_visible()
        assert_accessible(page)
        page.get_by_role("tab", name=re.compile("Rules")).click()
        page.get_by_role("button", name=re.compile("^crowd")).first.click()
        dialog = page.get_by_role("dialog")
        mark = dialog.get_by_role("slider", name="more than")
        expect(mark).to_have_attribute("aria-valuetext", re.compile(r"at 1: \d+ events"))
        mark.press("ArrowRight")
        expect(mark).to_have_attribute("aria-valuetext", re.compile(r"at 2: \d+ events"))
        expect(dialog.get_by_role("textbox", name="more than")).to_have_value("2")
        assert_accessible(page)
