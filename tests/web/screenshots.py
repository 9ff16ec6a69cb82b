"""Draw the pictures of the application for its documentation, `make screenshots`.

    python -m tests.web.screenshots FOLDER [--every] [--view NAME ...]

Each is of a shop whose numbers were made up from what the bundled clip holds, or of that clip
itself, at a moment that never changes. With `--every`, each view is drawn at all widths, light and
dark, for somebody who looks through them.
"""

import argparse
import base64
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect

from pipeline.core.people import Role
from pipeline.testing import ManualClock
from tests.reports.weeks import SHOP, at, filled
from tests.runtime.clips import STARTS_AT, cut, written
from tests.web import product as products
from tests.web.applications import application
from tests.web.browser import PHONE, TABLET, WIDE, WITHIN_MS, chromium, pages, recolour
from tests.web.houses import PASSWORD, house
from tests.web.live import running
from tests.web.push_service import CONTACT

_QUALITY = 60
_TRAILS_MS = 5000
_SETTLED_MS = 600
_WIDTH, _HEIGHT = 1280, 800
_DAY_S = 86400.0
_COUNT = "%2Fcount%3Frule%3Dplaza%2Facross"
_FOR_PEOPLE = f"\nweb: {{share: {{days: 3}}, push: {{contact: '{CONTACT}'}}}}\n"

World = Literal["shop", "clip", "run", "house"]
"""The shop with its weeks of numbers, the clip that has been judged, one that is at work, and the
judged one for people who sign in.
"""


@dataclass(frozen=True, slots=True)
class Look:
    """How wide a picture is, and whether it is dark."""

    width: int = _WIDTH
    dark: bool = False

    def file_of(self, view: "View") -> str:
        """The name of the file."""
        width = {_WIDTH: "", PHONE: "-phone"}.get(self.width, f"-{self.width}")
        return f"{view.name}{width}-{'dark' if self.dark else 'light'}.webp"


@dataclass(frozen=True, slots=True)
class View:
    """A view, how somebody gets there, and the pictures of it that the documentation has."""

    name: str
    address: str
    of: World
    wants: str = "h1"
    """Is to be seen before the picture is taken."""
    reach: Callable[[Page], None] | None = None
    """What is done in the view first."""
    kept: tuple[Look, ...] = ()


def _recent(page: Page) -> None:
    page.get_by_role("radio", name="1 h", exact=True).check(force=True)
    expect(page.locator(".event img").first).to_be_visible()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)


def _opened(page: Page) -> None:
    page.locator(".event", has=page.locator("img")).first.get_by_role("link").first.click()
    expect(page.get_by_role("dialog").get_by_role("img").first).to_be_visible()


def _by_rule(page: Page) -> None:
    _recent(page)
    page.get_by_role("radio", name="Rules").check(force=True)


def _moved(page: Page) -> None:
    page.get_by_role("button", name="Line middle").first.click()
    figures = page.locator("[data-rule=middle] .edit-figures")
    expect(figures).to_contain_text("so far")
    page.get_by_role("button", name="Line middle, start").focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowLeft")
    expect(figures).to_contain_text(re.compile("[+−][0-9]"))


def _saving(page: Page) -> None:
    _moved(page)
    page.get_by_role("button", name="Save…").click()
    expect(page.locator("dialog .edit-diff-new").first).to_be_visible()


def _signed_in(page: Page, name: str = "ada") -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def _people(page: Page) -> None:
    _signed_in(page)
    expect(page.get_by_role("row").filter(has_text="vera")).to_be_visible()


def _settings(page: Page) -> None:
    _signed_in(page)
    expect(page.get_by_role("heading", name="Notifications")).to_be_visible()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)


def _counting(page: Page) -> None:
    _signed_in(page, "otto")
    expect(page.get_by_label("From")).not_to_have_value("")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".count-stage video")).to_be_visible()
    page.wait_for_function("document.querySelector('.count-stage video').readyState >= 2")
    for key in "iio":
        page.keyboard.press(key)
    expect(page.locator(".count-tally")).to_contain_text("In 2, out 1")


def _sharing(page: Page) -> None:
    _signed_in(page, "otto")
    _opened(page)
    page.get_by_role("button", name="Share without sign-in …").click()
    dialog = page.get_by_role("dialog", name="Share without sign-in")
    dialog.get_by_role("button", name="Make the link").click()
    expect(page.locator(".share-link")).to_be_visible()


def _shared(page: Page) -> None:
    _sharing(page)
    link = page.locator(".share-link").text_content() or ""
    page.context.clear_cookies()
    page.goto(link)
    expect(page.get_by_role("img")).to_be_visible()


VIEWS = (
    View("sign-in", "/sign-in", of="house", kept=(Look(dark=True),)),
    View("today", "/", of="shop", kept=(Look(), Look(PHONE, dark=True))),
    View("live", "/live", of="run", wants="canvas[data-things]", kept=(Look(dark=True),)),
    View("camera", "/live?camera=plaza", of="run", wants="canvas[data-things]", kept=(Look(),)),
    View("events", "/events?rule=crowd", of="clip", reach=_recent, kept=(Look(),)),
    View("event", "/events", of="clip", reach=_opened, kept=(Look(dark=True),)),
    View("timeline", "/events", of="clip", wants=".timeline svg", reach=_by_rule),
    View("edit", "/edit/plaza", of="clip", reach=_moved, kept=(Look(),)),
    View("save", "/edit/plaza", of="clip", reach=_saving, kept=(Look(),)),
    View("numbers", "/numbers", of="shop", wants=".totals", kept=(Look(dark=True),)),
    View("health", "/health", of="run", kept=(Look(),)),
    View("people", "/sign-in?next=/admin", of="house", reach=_people, kept=(Look(),)),
    View("settings", "/sign-in?next=/settings", of="house", reach=_settings, kept=(Look(),)),
    View(
        "count", f"/sign-in?next={_COUNT}", of="house", reach=_counting, kept=(Look(PHONE), Look())
    ),
    View("share", "/sign-in?next=/events", of="house", reach=_sharing, kept=(Look(),)),
    View("shared", "/sign-in?next=/events", of="house", reach=_shared, kept=(Look(PHONE),)),
)


def main() -> None:
    """Draw them into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", action="store_true", help="all widths, light and dark")
    parser.add_argument("--view", nargs="*", default=[view.name for view in VIEWS])
    parser.add_argument("--language", default="en-GB")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    every = tuple(Look(width, dark) for width in (PHONE, TABLET, WIDE) for dark in (False, True))
    with tempfile.TemporaryDirectory() as made, chromium() as browser:
        expect.set_options(timeout=WITHIN_MS)
        for of, world in _WORLDS.items():
            views = [view for view in VIEWS if view.of == of and view.name in options.view]
            if not views:
                continue
            # A clip that is played is over soon, so each view begins it anew.
            for number, group in enumerate([[view] for view in views] if of == "run" else [views]):
                with world(Path(made) / f"{of}{number}") as (url, clock):
                    for view in group:
                        looks = every if options.every else view.kept
                        _draw(browser, view, looks, url, folder, clock, options.language)


def _draw(
    browser: Browser,
    view: View,
    looks: tuple[Look, ...],
    url: str,
    folder: Path,
    clock: ManualClock | None,
    language: str,
) -> None:
    with pages(browser) as new_page:
        page = new_page(device_scale_factor=1.5, language=language)
        if clock is not None:
            page.clock.install(time=clock.now())
            page.clock.resume()
        page.set_viewport_size({"width": WIDE, "height": _HEIGHT})
        page.goto(url + view.address)
        wanted = page.locator(f"main {view.wants}").first
        expect(wanted).to_be_visible()
        if view.reach is not None:
            view.reach(page)
        else:
            expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        if view.of == "run":
            # Long enough for trails behind who walks.
            page.wait_for_timeout(_TRAILS_MS)
        for look in looks:
            page.set_viewport_size({"width": look.width, "height": _HEIGHT})
            recolour(page, dark=look.dark)
            page.wait_for_timeout(_SETTLED_MS)
            # On a machine under load, a live picture may be shown without what is in it.
            expect(page.locator(f"main {view.wants}").first).to_be_visible()
            (folder / look.file_of(view)).write_bytes(_webp(page))


def _webp(page: Page) -> bytes:
    """What is seen; Playwright itself has no small format."""
    asked = {"format": "webp", "quality": _QUALITY}
    drawn = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
    return base64.b64decode(drawn["data"])


@contextmanager
def _shop(folder: Path) -> Iterator[tuple[str, ManualClock]]:
    """Eleven days of the shop until a Thursday evening."""
    folder.mkdir()
    url = f"sqlite:///{folder}/events.db"
    filled(url, (date(2026, 11, 9), date(2026, 11, 19))).close()
    file = folder / "shop.yaml"
    text = SHOP.format(url=url).replace(" <North> & Sons", "")
    file.write_text(text, encoding="utf-8")
    clock = ManualClock(at("2026-11-19T20:10"))
    with application(file, clock=clock) as app:
        yield app.url, clock


@contextmanager
def _clip(folder: Path) -> Iterator[tuple[str, ManualClock]]:
    """The clip, just after it was judged."""
    file = products.made(folder, site={"name": "Plaza", "timezone": "Europe/London"})
    clock = ManualClock(datetime.fromisoformat(STARTS_AT).timestamp() + products.SECONDS)
    with application(file, clock=clock) as app:
        yield app.url, clock


@contextmanager
def _run(folder: Path) -> Iterator[tuple[str, None]]:
    """The clip as two cameras would send it that begin now."""
    folder.mkdir()
    began = datetime.now(UTC).isoformat()
    content = products.content(folder)
    content["site"]["name"] = "Plaza"
    for name, config in content["cameras"].items():
        cut(folder / f"{name}.mp4", products.SECONDS)
        config["source"] |= {"speed": "realtime", "starts_at": began}
    file = written(folder, content)
    with running(file) as run, application(file, queues=run.queues) as app:
        yield app.url, None


@contextmanager
def _house(folder: Path) -> Iterator[tuple[str, ManualClock]]:
    """The clip for four people who sign in."""
    file = products.made(folder, site={"name": "Plaza", "timezone": "Europe/London"})
    file.write_text(file.read_text(encoding="utf-8") + _FOR_PEOPLE, encoding="utf-8")
    clock = ManualClock(datetime.fromisoformat(STARTS_AT).timestamp() + products.SECONDS)
    with house(file, clock=clock) as home:
        home.person("ada", Role.ADMIN, made_at=clock.now() - 92 * _DAY_S)
        home.person("otto", Role.OPERATOR, made_at=clock.now() - 88 * _DAY_S)
        home.person("vera", Role.VIEWER, made_at=clock.now() - 31 * _DAY_S)
        home.person("door desk", Role.VIEWER, ("door",), made_at=clock.now() - 6 * _DAY_S)
        yield home.url, clock


_WORLDS: dict[World, Callable[[Path], AbstractContextManager[tuple[str, ManualClock | None]]]] = {
    "shop": _shop,
    "clip": _clip,
    "run": _run,
    "house": _house,
}
"""How each is made in a folder: the address of its application, and the clock that it goes by."""

if __name__ == "__main__":
    main()
