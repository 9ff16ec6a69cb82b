"""Draw the pictures of the application for its documentation, `make screenshots`.

Each is of a shop whose numbers were made up from what the bundled clip holds, or of that clip
itself, at a moment that never changes.
"""

import base64
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, expect

from pipeline.testing import ManualClock
from tests.reports.weeks import SHOP, at, filled
from tests.runtime.clips import STARTS_AT, cut, written
from tests.web import product as products
from tests.web.applications import application
from tests.web.browser import PHONE, WITHIN_MS, NewPage, chromium, pages
from tests.web.live import running

_QUALITY = 82
_TRAILS_MS = 5000
_SETTLED_MS = 1000
_WIDTH, _HEIGHT = 1280, 800


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a view."""

    name: str
    view: str
    of: Literal["shop", "clip", "run"]
    """The shop with its weeks of numbers, the clip that has been judged, or one that is at work."""
    dark: bool = False
    phone: bool = False
    wants: str = "h1"
    """Is to be seen before the picture is taken."""


SHOTS = (
    Shot("today-light", "/", of="shop"),
    Shot("today-phone", "/", of="shop", phone=True, dark=True),
    Shot("numbers-dark", "/numbers", of="shop", dark=True),
    Shot("live-dark", "/live", of="run", dark=True, wants="canvas[data-things]"),
    Shot("events-light", "/events", of="clip", wants="[data-event]"),
    Shot("edit-light", "/edit/plaza", of="clip"),
)


def main(folder: Path) -> None:
    """Draw all of them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, chromium() as browser, pages(browser) as new_page:
        expect.set_options(timeout=WITHIN_MS)
        shop, evening = _shop(Path(made) / "shop")
        clip = products.made(Path(made) / "clip")
        after = ManualClock(_seconds(STARTS_AT) + products.SECONDS)
        for of, file, clock in (("shop", shop, evening), ("clip", clip, after)):
            with application(file, clock=clock) as app:
                for shot in _shots(of):
                    _draw(new_page, shot, app.url, folder, clock)
        file = _at_work(Path(made) / "run")
        with running(file) as run, application(file, queues=run.queues) as app:
            for shot in _shots("run"):
                _draw(new_page, shot, app.url, folder)


def _at_work(folder: Path) -> Path:
    """The clip as two cameras would send it that begin now; the file of a deployment of it."""
    folder.mkdir()
    began = datetime.now(UTC).isoformat()
    content = products.content(folder)
    content["site"]["name"] = "Plaza"
    for name, config in content["cameras"].items():
        cut(folder / f"{name}.mp4", products.SECONDS)
        config["source"] |= {"speed": "realtime", "starts_at": began}
    return written(folder, content)


def _shots(of: str) -> list[Shot]:
    return [shot for shot in SHOTS if shot.of == of]


def _shop(folder: Path) -> tuple[Path, ManualClock]:
    """Eleven days of the shop until a Thursday evening; its file, and the clock of that evening."""
    folder.mkdir()
    url = f"sqlite:///{folder}/events.db"
    filled(url, (date(2026, 11, 9), date(2026, 11, 19))).close()
    file = folder / "shop.yaml"
    text = SHOP.format(url=url).replace(" <North> & Sons", "")
    file.write_text(text, encoding="utf-8")
    return file, ManualClock(at("2026-11-19T20:10"))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _draw(
    new_page: NewPage, shot: Shot, url: str, folder: Path, clock: ManualClock | None = None
) -> None:
    page = new_page(width=PHONE if shot.phone else _WIDTH, dark=shot.dark, device_scale_factor=1.5)
    if clock is not None:
        page.clock.install(time=clock.now())
        page.clock.resume()
    page.set_viewport_size({"width": PHONE if shot.phone else _WIDTH, "height": _HEIGHT})
    page.goto(url + shot.view)
    wanted = page.locator(f"main {shot.wants}").first
    expect(wanted).to_be_visible()
    if shot.of == "run":
        # Long enough for trails behind who walks.
        page.wait_for_timeout(_TRAILS_MS)
        expect(wanted).to_be_visible()
    elif shot.view == "/events":
        # It goes on waiting for what is new.
        expect(page.locator(".timeline svg").first).to_be_visible()
        page.wait_for_timeout(_SETTLED_MS)
    else:
        page.wait_for_load_state("networkidle")
    (folder / f"{shot.name}.webp").write_bytes(_webp(page))
    page.context.close()


def _webp(page: Page) -> bytes:
    """What is seen; Playwright itself has no small format."""
    asked = {"format": "webp", "quality": _QUALITY}
    drawn = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
    return base64.b64decode(drawn["data"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
