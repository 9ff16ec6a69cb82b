"""Pages in a real browser: Debian's Chromium, by Playwright.

The fixtures are in `conftest.py`: `browser`, and `new_page`, which opens pages that have to behave.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipeline.testing import patience
from tests.architecture.source_tree import ROOT

CHROMIUM = shutil.which("chromium")
PAGES = ROOT / "pipeline" / "web" / "static"
_AXE = ROOT / "pipeline" / "web" / "ui" / "node_modules" / "axe-core" / "axe.min.js"
WITHIN_MS = round(patience(10) * 1000)
"""How long to wait for a fact, on a machine under load."""
PHONE, TABLET, WIDE = 360, 768, 1440
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""What may be broken in the dark alone."""
_OF_SIZE = ["target-size", "scrollable-region-focusable"]
"""What may be broken on a screen of another width alone."""
_RUN_AXE = """async (only) => {
  const found = await axe.run(document, {runOnly: only, resultTypes: ["violations"]});
  return found.violations.map((one) => ({
    id: one.id,
    help: one.help,
    nodes: one.nodes.slice(0, 5).map((node) => `${node.html} ${node.failureSummary}`),
  }));
}"""

_RECOLOURED = """async () => {
  // A quiet page has no frame, without which nothing is drawn anew.
  for (let frame = 0; frame < 2; frame++) {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    for (const one of document.getAnimations()) {
      if (one instanceof CSSTransition) one.finish();
    }
  }
}"""
_ALL_WORDS = """() => [
  document.body.innerText,
  document.title,
  ...[...document.querySelectorAll("[aria-label], [title], [alt], [placeholder]")].flatMap((one) =>
    ["aria-label", "title", "alt", "placeholder"].map((name) => one.getAttribute(name) ?? "")),
].join("\\n")"""
_WITHOUT_FOCUS = """() => {
  const scope = document.querySelector("dialog[open]") ?? document;
  const looks = (one) => {
    const around = [
      one, ...one.children, one.nextElementSibling, one.parentElement, one.closest("li"),
    ];
    return JSON.stringify(around.filter(Boolean).map((each) => {
      const style = getComputedStyle(each);
      const outline = style.outlineStyle === "none" ? "" : style.outlineWidth + style.outlineColor;
      return [outline, style.boxShadow, style.borderColor, style.stroke, style.strokeWidth];
    }));
  };
  const hidden = [];
  const before = document.activeElement;
  const all = "a[href], button, input, select, textarea, [tabindex]";
  for (const one of scope.querySelectorAll(all)) {
    if (one.disabled || one.tabIndex < 0 || !one.checkVisibility()) continue;
    document.activeElement.blur();
    const without = looks(one);
    one.focus({ focusVisible: true, preventScroll: true });
    const isHere = document.activeElement === one;
    if (isHere && looks(one) === without) hidden.push(one.outerHTML.slice(0, 200));
  }
  before?.focus({ preventScroll: true });
  return hidden;
}"""

in_browser = pytest.mark.skipif(
    CHROMIUM is None or not (PAGES / "index.html").is_file() or not _AXE.is_file(),
    reason="needs the built pages and a browser: make web, apt-get install chromium",
)
"""Marks tests that need a browser."""


class NewPage(Protocol):
    """Opens a page of its own context; see `pages`."""

    def __call__(
        self,
        *,
        width: int = WIDE,
        dark: bool = False,
        language: str = "en-GB",
        expects_errors: bool = False,
        **context: Any,
    ) -> Page:
        """A page of this width in pixels; `context` is handed on to Playwright."""
        ...


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            timeout=WITHIN_MS,
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class _Behaviour:
    """What went wrong in pages without their saying so."""

    failures: list[str] = field(default_factory=list)

    def watch(self, page: Page, expects_errors: bool) -> None:
        """Note errors of scripts, and requests that leave the host of the page."""
        if not expects_errors:
            page.on("pageerror", lambda error: self.failures.append(f"script: {error}"))
        page.on("request", lambda request: self._note(page, request))
        page.on(
            "console",
            lambda said: (
                self.failures.append(f"policy: {said.text}")
                if "Content Security Policy" in said.text
                else None
            ),
        )

    def _note(self, page: Page, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.hostname != "127.0.0.1":
            self.failures.append(f"{page.url} asked another host: {request.url}")


@contextmanager
def pages(browser: Browser) -> Iterator[NewPage]:
    """Opens pages, which have to behave: no script fails, and none asks another host."""
    behaviour = _Behaviour()
    closing: list[Callable[[], None]] = []

    def open_page(
        *,
        width: int = WIDE,
        dark: bool = False,
        language: str = "en-GB",
        expects_errors: bool = False,
        **context: Any,
    ) -> Page:
        # A page that is looked at once need not be kept by the browser.
        context.setdefault("service_workers", "block")
        made = browser.new_context(
            viewport={"width": width, "height": 800 if width > PHONE else 740},
            color_scheme="dark" if dark else "light",
            locale=language,
            reduced_motion="reduce",
            **context,
        )
        closing.append(made.close)
        made.set_default_timeout(WITHIN_MS)
        page = made.new_page()
        behaviour.watch(page, expects_errors)
        return page

    try:
        yield open_page
    finally:
        for close in closing:
            close()
    assert behaviour.failures == []


def assert_accessible(page: Page) -> None:
    """Nothing that axe finds against WCAG 2.2 AA, and no content wider than the screen."""
    _assert_axe_finds_nothing(page, _RULES)
    _assert_nothing_is_wider(page)


def assert_accessible_at_all_widths(page: Page) -> None:
    """As `assert_accessible` on a phone, on a tablet and on a wide screen, which stays."""
    for width in (PHONE, TABLET, WIDE):
        page.set_viewport_size({"width": width, "height": 800})
        assert_accessible(page)


def assert_fit_for_all_screens(page: Page) -> None:
    """What is shown is accessible and not too wide on all screens, light and dark; with fewer
    checks than `assert_accessible_at_all_widths` for both.
    """
    # Names and roles are the same on all of them; colours are the same on two.
    for width, dark, rules in (
        (WIDE, False, _RULES),
        (WIDE, True, _OF_COLOUR),
        (TABLET, False, _OF_SIZE),
        (PHONE, True, _OF_COLOUR),
        (PHONE, False, _RULES),
    ):
        page.set_viewport_size({"width": width, "height": 800})
        recolour(page, dark=dark)
        _assert_axe_finds_nothing(page, rules)
        _assert_nothing_is_wider(page)
    page.set_viewport_size({"width": WIDE, "height": 800})


def recolour(page: Page, *, dark: bool) -> None:
    """Change between light and dark, and wait until all of the page has the other colours."""
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.evaluate(_RECOLOURED)


def assert_all_is_worded(page: Page) -> None:
    """No name of a text is shown or said in place of the text."""
    said: str = page.evaluate(_ALL_WORDS)
    names = [
        name
        for name in re.findall(r"[a-z_]+(?:[.][a-z_0-9]+)+", said)
        if name.rpartition(".")[0] in _parents() and not name.endswith((".jsonl", ".db"))
    ]
    assert names == [], page.url


def assert_focus_is_visible(page: Page) -> None:
    """Whatever can have the focus is drawn otherwise while a keyboard has put it there."""
    hidden = page.evaluate(_WITHOUT_FOCUS)
    assert hidden == [], f"{page.url}: {hidden}"


@cache
def _parents() -> frozenset[str]:
    """What names of texts begin with, up to their last dot."""
    sources = ROOT / "pipeline" / "web" / "ui" / "src"
    return frozenset(
        name.rpartition(".")[0]
        for file in sources.glob("**/texts.ts")
        for name in re.findall(r'^ +"([\w.]+)":', file.read_text(encoding="utf-8"), re.MULTILINE)
    )


def _assert_axe_finds_nothing(page: Page, rules: list[str]) -> None:
    if not page.evaluate("typeof axe === 'object'"):
        # Not by a tag: the policy of the pages allows no script but theirs.
        page.evaluate(_axe())
    found = page.evaluate(_RUN_AXE, rules)
    assert found == [], f"{page.url} {page.viewport_size}\n" + "\n".join(
        f"{one['id']}: {one['help']} {one['nodes']}" for one in found
    )


@cache
def _axe() -> str:
    return _AXE.read_text(encoding="utf-8")


def _assert_nothing_is_wider(page: Page) -> None:
    # A chart follows the width of its place one frame later.
    try:
        page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    except PlaywrightTimeout:
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        raise AssertionError(f"{page.url} is {wider} px wider than its window") from None
