"""The list of what happened, its timeline and its panel, in a real browser."""

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from connectors.stores.sql import SqlStore
from pipeline.core.store import Commit
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application
from tests.web.browser import PHONE, WIDE, NewPage, assert_accessible, in_browser
from tests.web.happened import (
    BEGAN_AT,
    clip_is_ready,
    crossing,
    keep,
    minutes,
    shop,
    store_of,
    visit,
    with_clip,
)
from tests.web.playing import jpeg, movie

pytestmark = in_browser
_SPAN = f"span={int(BEGAN_AT)}-{int(BEGAN_AT) + 3600}"
_LIST = f"/events?{_SPAN}"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[Application, SqlStore]]:
    """Twelve crossings, the last with a picture and a clip, and somebody who waits."""
    path = shop(tmp_path)
    store = store_of(path)
    store.register_sinks(["log"])
    event, wish = with_clip(crossing(99, BEGAN_AT + 1500, picture=True))
    film = movie(tmp_path / "clip.mp4", 10)
    keep(store, [crossing(n, BEGAN_AT + 60 * n, way="in" if n % 2 else "out") for n in range(11)])
    keep(store, visit(50, BEGAN_AT + 1200, 75))
    shares = [1.0 if n < 20 or n >= 30 else 0.0 for n in range(60)]
    store.commit(
        Commit(events=[event], clips=[wish], buckets=minutes("door", "in", BEGAN_AT, shares))
    )
    clip_is_ready(store, wish, film.stat().st_size)
    try:
        with application(path) as app:
            app.state.media.put(event.media[0], jpeg())
            place = app.state.media.path(wish.reference)
            shutil.copy(film, place)
            yield app, store
    finally:
        store.close()


def _cards(page: Page) -> list[str]:
    expect(page.locator(".event").first).to_be_visible()
    return [str(one.get_attribute("data-id")) for one in page.locator(".event").all()]


def test_the_list_is_reviewed_by_keys(
    shown: tuple[Application, SqlStore], new_page: NewPage
) -> None:
    """J, K, X, the space bar and U; nothing moves until it is read again."""
    app, _ = shown
    page = new_page()
    page.goto(app.url + _LIST)
    ids = _cards(page)
    assert len(ids) == 13
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(f'[data-event="{ids[1]}"]')
    expect(second).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator(f'.event[data-id="{ids[1]}"]')).to_have_attribute("data-reviewed", "")
    page.keyboard.press("k")
    page.keyboard.press("Space")
    expect(page.locator(".event[data-reviewed]")).to_have_count(2)
    assert _cards(page) == ids
    page.keyboard.press("u")
    expect(page.locator(".event[data-reviewed]")).to_have_count(1)
    left = app.client.get("/events", params={"reviewed": False}).json()["events"]
    assert [card["id"] for card in left] == [ids[0], *ids[2:]]
    page.reload()
    assert _cards(page) == [ids[0], *ids[2:]]
    page.get_by_role("button", name="Mark all as reviewed").click()
    page.get_by_role("dialog").get_by_role("button", name="Mark all as reviewed").click()
    expect(page.locator(".event[data-reviewed]")).to_have_count(12)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".event[data-reviewed]")).to_have_count(0)
    # Without the keys, letters do nothing.
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("checkbox", name="Use these keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    page.keyboard.press("j")
    expect(page.locator("[data-event]:focus")).to_have_count(0)


def test_filters_are_in_the_address(shown: tuple[Application, SqlStore], new_page: NewPage) -> None:
    """A shared link shows the same; a stretch of the timeline is one of them."""
    app, _ = shown
    page = new_page()
    page.goto(app.url + _LIST)
    _cards(page)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Direction").select_option("out")
    expect(page.locator(".event")).to_have_count(6)
    page.get_by_label("Camera", exact=True).select_option("door")
    expect(page).to_have_url(f"{app.url}/events?camera=door&direction=out&{_SPAN}")
    other = new_page()
    other.goto(page.url)
    expect(other.locator(".event")).to_have_count(6)
    other.get_by_role("button", name="Remove out").click()
    expect(other.locator(".event")).to_have_count(12)
    other.get_by_role("button", name="Clear filters").click()
    expect(other.locator(".event")).to_have_count(13)

    row = other.get_by_role("slider", name="door: 12 events")
    gap = row.locator(".lane-gap").first
    assert (gap.get_attribute("data-first"), gap.get_attribute("data-length")) == ("20", "10")
    till = other.get_by_role("slider", name="till: 1 event, 0% covered")
    expect(till.locator(".lane-gap")).to_have_attribute("data-length", "60")
    row.focus()
    row.press("Home")
    expect(row).to_have_attribute("aria-valuetext", "Thu 28 May, 22:27: 1 event, 100% covered")
    row.press("Enter")
    expect(other.locator(".event")).to_have_count(1)
    row.press("Escape")
    expect(other.locator(".event")).to_have_count(12)
    other.get_by_role("searchbox").fill("nothing says this")
    expect(other.get_by_text("Nothing passes these filters.")).to_be_visible()


def test_a_day_is_chosen_in_the_calendar(
    shown: tuple[Application, SqlStore], new_page: NewPage
) -> None:
    """By keys, over the borders of months; a day's name says what its mark does."""
    app, store = shown
    zone = ZoneInfo("Europe/Berlin")
    late = datetime(2026, 10, 25, 12, tzinfo=zone)  # of a day with 25 hours
    keep(store, [crossing(300, late.timestamp())])
    page = new_page(width=PHONE, language="de-DE")
    since = datetime(2026, 11, 1, tzinfo=zone).timestamp()
    page.goto(f"{app.url}/events?since={since:.0f}&until={since + 86_400:.0f}")
    page.get_by_role("button", name="Kalender", exact=True).click()
    dialog = page.get_by_role("dialog", name="Kalender")
    grid = dialog.get_by_role("grid", name="November 2026")
    expect(grid).to_have_attribute("aria-busy", "false")
    expect(grid.get_by_role("columnheader").first).to_have_text("Mo")
    expect(dialog.locator("button:focus")).to_have_attribute("aria-label", re.compile("1. Novem"))
    expect(grid.get_by_role("gridcell", selected=True)).to_have_count(1)
    assert_accessible(page)
    page.keyboard.press("ArrowUp")
    october = dialog.get_by_role("grid", name="Oktober 2026")
    expect(october).to_have_attribute("aria-busy", "false")
    focused = dialog.locator("button:focus")
    for key, day in (
        ("Home", "Montag, 19. Oktober 2026"),
        ("PageUp", "Samstag, 19. September 2026"),
        ("PageDown", "Montag, 19. Oktober 2026"),
        ("End", "Sonntag, 25. Oktober 2026"),
    ):
        page.keyboard.press(key)
        expect(focused).to_have_attribute("aria-label", re.compile(f"^{day}"))
    held = re.compile(r", ein Ereignis, 1 nicht geprüft, 0\s% abgedeckt$")
    expect(focused).to_have_attribute("aria-label", held)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    begins, ends = (datetime(2026, 10, day, tzinfo=zone).timestamp() for day in (25, 26))
    assert ends - begins == 25 * 3600
    expect(page).to_have_url(re.compile(f"since={begins:.0f}&until={ends:.0f}"))
    expect(page.locator(".event")).to_have_count(1)
    page.get_by_role("button", name="Kalender", exact=True).click()
    expect(dialog.get_by_role("gridcell", selected=True)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Kalender", exact=True)).to_be_focused()


def test_new_events_wait_in_their_bar(
    shown: tuple[Application, SqlStore], new_page: NewPage
) -> None:
    """What is read stays where it is; what goes on is brought up to date."""
    app, store = shown
    page = new_page()
    page.goto(app.url + _LIST)
    ids = _cards(page)
    begun, ended = visit(60, BEGAN_AT + 1800, 40)
    keep(store, [begun])
    bar = page.get_by_role("button", name="1 new event")
    expect(bar).to_be_visible()
    assert _cards(page) == ids
    keep(store, [crossing(70, BEGAN_AT + 1900)])
    bar = page.get_by_role("button", name="2 new events")
    bar.click()
    expect(page.locator(".event")).to_have_count(15)
    card = page.locator(f'.event[data-id="{begun.id}"]')
    expect(card.get_by_text("Goes on")).to_be_visible()
    keep(store, [ended])
    expect(card.get_by_text("Person stayed 40 s at counter")).to_be_visible()
    expect(card.get_by_text("Goes on")).to_be_hidden()


def test_the_panel_shows_everything(shown: tuple[Application, SqlStore], new_page: NewPage) -> None:
    """The box over the picture, the clip with single frames, why, delivery, what was wrong."""
    app, _ = shown
    page = new_page()
    page.goto(app.url + _LIST)
    ids = _cards(page)
    page.emulate_media(reduced_motion="no-preference")
    preview = page.locator(f'.event[data-id="{ids[0]}"]')
    preview.hover()
    expect(preview.locator("video")).to_be_visible()
    preview.get_by_role("link").click()
    panel = page.get_by_role("dialog", name="Person crossed sill: in")
    expect(panel.get_by_role("img")).to_be_visible()
    box = panel.locator(".boxed-box")
    expect(box).to_have_attribute("x", "256")
    panel.get_by_role("checkbox", name="Box").uncheck()
    expect(box).to_have_count(0)
    video = panel.locator("video")
    expect(video).to_have_js_property("readyState", 4)
    panel.get_by_role("button", name="+5 s").click()
    expect(video).to_have_js_property("currentTime", 5)
    panel.get_by_role("button", name="One frame back").click()
    expect(video).to_have_js_property("currentTime", 4.9)
    panel.get_by_label("Speed").select_option("0.5")
    expect(video).to_have_js_property("playbackRate", 0.5)
    panel.get_by_role("button", name="Play").click()
    expect(video).to_have_js_property("paused", False)
    with page.expect_download() as download:
        panel.get_by_role("link", name="Download clip").click()
    assert download.value.suggested_filename.endswith(".mp4")
    expect(panel.get_by_text("Reports each of people that crosses the line sill.")).to_be_visible()
    expect(panel.get_by_text("its turn has not come")).to_be_visible()
    panel.get_by_role("button", name="It did not happen").click()
    panel.get_by_label("Remark").fill("a shadow")
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_text("ada: did not happen")).to_be_visible()
    (said,) = app.state.store.reviews.remarks()
    assert (said.kind, said.remark, said.happening) == ("false", "a shadow", ids[0])
    page.keyboard.press("j")
    expect(page.get_by_role("dialog", name="Person stayed 1 min 15 s at counter")).to_be_visible()
    expect(page.get_by_text("1 min 15 s / limit 30 s")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert "event=" not in page.url


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_is_accessible(
    shown: tuple[Application, SqlStore], new_page: NewPage, dark: bool
) -> None:
    """On a phone and wide, with filters open, in the panel, and where nothing is found."""
    app, _ = shown
    page = new_page(dark=dark)
    for width in (PHONE, WIDE):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(app.url + _LIST)
        ids = _cards(page)
        page.get_by_role("button", name="Filters").click()
        assert_accessible(page)
        page.goto(f"{app.url}{_LIST}&event={ids[0]}")
        expect(page.get_by_role("heading", name="Delivery")).to_be_visible()
        assert_accessible(page)
        page.goto(f"{app.url}/events?text=nothing")
        expect(page.get_by_text("Nothing passes these filters.")).to_be_visible()
        assert_accessible(page)


def test_a_viewer_is_offered_what_he_may(
    shown: tuple[Application, SqlStore], new_page: NewPage
) -> None:
    """No marks, no remarks, no sending again; in his language."""
    app, _ = shown
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["door"])
    page = new_page(language="de-DE")
    page.goto(app.url + _LIST)
    ids = _cards(page)
    assert len(ids) == 12
    expect(page.get_by_role("heading", name="Ereignisse")).to_be_visible()
    expect(page.get_by_role("button", name="Alle als geprüft markieren")).to_have_count(0)
    page.goto(f"{app.url}{_LIST}&event={ids[0]}")
    panel = page.get_by_role("dialog", name="Person überquerte sill: hinein")
    expect(panel.get_by_role("heading", name="Warum", exact=True)).to_be_visible()
    expect(panel.get_by_role("button", name="Als geprüft markieren")).to_have_count(0)
    expect(panel.get_by_text("War das falsch?")).to_have_count(0)
