"""Counting by hand in a real browser: by keys, on a phone, and after a reload."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.core.people import Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application
from tests.web.browser import PHONE, WITHIN_MS, NewPage, assert_accessible, in_browser
from tests.web.product import copy_of

pytestmark = in_browser
_HAS_PICTURES = """(within) => new Promise((done, failed) => {
  const video = document.querySelector(".count-stage video");
  if (video.readyState >= 2) { done(); return; }
  video.addEventListener("loadeddata", () => done());
  video.addEventListener("error", () => failed(new Error(video.error.message)));
  setTimeout(() => failed(new Error("no picture in time")), within);
})"""


@pytest.fixture(scope="module")
def app(product: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """What has run, for an operator."""
    file = copy_of(product, tmp_path_factory.mktemp("counting"))
    with application(file, visitor=Visitor.of_role("otto", Role.OPERATOR)) as found:
        yield found


def seen(page: Page) -> None:
    """The clip is there and plays: what is counted was seen."""
    expect(page.locator(".count-stage video")).to_be_visible(timeout=4 * WITHIN_MS)
    page.evaluate(_HAS_PICTURES, WITHIN_MS)


def tally(page: Page, text: str) -> None:
    """What is said of the clip."""
    expect(page.locator(".count-tally")).to_contain_text(text)


def test_a_line_is_counted_by_keys_with_a_reload_in_between(
    app: Application, new_page: NewPage
) -> None:
    """From the numbers to the count, through a reload, to the figure beside the chart."""
    page = new_page(dark=True)
    page.goto(f"{app.url}/numbers?rules=plaza/across")
    page.get_by_role("link", name="Count by hand: plaza/across").click()
    expect(page.get_by_label("What is counted")).to_have_value("plaza/across")
    expect(page.get_by_text("There are pictures of:")).to_be_visible()
    expect(page.get_by_label("From")).not_to_have_value("")
    assert_accessible(page)
    page.get_by_role("button", name="Begin").click()
    heading = page.locator("h2.count-place")
    expect(heading).to_have_text(re.compile(r"Clip 1 of \d+"))
    clips = int((heading.text_content() or "").split()[-1])
    seen(page)
    for key in "iioi":
        page.keyboard.press(key)
    page.keyboard.press("Backspace")
    tally(page, "In 2, out 1")
    assert_accessible(page)
    page.reload()
    tally(page, "In 2, out 1")
    expect(heading).to_have_text(f"Clip 1 of {clips}")
    seen(page)
    page.keyboard.press("n")
    expect(heading).to_have_text(f"Clip 2 of {clips}")
    tally(page, "In 0, out 0")
    seen(page)
    page.keyboard.press("o")
    tally(page, "In 0, out 1")
    page.reload()
    expect(heading).to_have_text(f"Clip 2 of {clips}")
    tally(page, "In 0, out 1")
    [audit] = app.state.store.audits.audits("plaza", "across")
    assert [*audit.verdicts.values()] == [{"in": 2, "out": 1}]
    for number in range(2, clips + 1):
        expect(heading).to_have_text(f"Clip {number} of {clips}")
        seen(page)
        page.keyboard.press("n" if number < clips else "u")
    expect(heading).to_have_text("All clips are counted.")
    page.get_by_role("button", name="Finish", exact=True).click()
    expect(page.get_by_role("heading", name="How right the counts are", level=1)).to_be_visible()
    expect(page.get_by_text("accuracy")).to_contain_text("%")
    assert_accessible(page)
    closed = app.state.store.audits.last_judged("plaza", "across")
    assert closed is not None
    assert (closed.id, closed.by, closed.figures.judged) == (audit.id, "otto", clips - 1)
    page.get_by_role("link", name="To the numbers").click()
    expect(page.locator(".audit-line")).to_contain_text("checked")


def test_a_zone_is_counted_on_a_phone_and_finished_early(
    app: Application, new_page: NewPage
) -> None:
    """In German, by large buttons; one goes on with what was begun, and a viewer reads."""
    page = new_page(width=PHONE, language="de-DE", has_touch=True)
    page.goto(f"{app.url}/count?rule=plaza/stay")
    expect(page.get_by_label("Von", exact=True)).not_to_have_value("")
    assert_accessible(page)
    page.get_by_role("button", name="Anfangen").click()
    one = page.get_by_role("button", name="Eins zählen")
    seen(page)
    one.tap()
    one.tap()
    tally(page, "Gezählt 2")
    box = one.bounding_box()
    assert box is not None
    assert box["height"] >= 64
    assert_accessible(page)
    page.get_by_role("button", name="Nächster Ausschnitt").tap()
    tally(page, "Gezählt 0")
    page.get_by_role("button", name="Später weiter").tap()
    page.get_by_role("button", name=re.compile("Weiter: plaza.stay: 1 von")).tap()
    page.get_by_role("button", name="Jetzt abschließen").tap()
    page.get_by_role("dialog").get_by_role("button", name="Abschließen").tap()
    expect(page.get_by_role("heading", name="Wie weit die Zahlen stimmen")).to_be_visible()
    assert_accessible(page)
    app.doors.who = Visitor.of_role("vera", Role.VIEWER)
    page.goto(f"{app.url}/count")
    expect(page.get_by_role("cell", name="plaza/stay")).to_be_visible()
    expect(page.get_by_role("button", name="Anfangen")).to_have_count(0)
    assert_accessible(page)
