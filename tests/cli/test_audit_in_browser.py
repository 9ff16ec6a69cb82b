"""The page of an audit in a real browser: Debian's Chromium, by its keys, to the figures."""

import json
import re
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, expect, sync_playwright

from tests.cli.commands import moonwatch
from tests.cli.test_audit import draw, kept
from tests.cli.test_audit import file as _file

_CHROMIUM = shutil.which("chromium")
_WITHIN_MS = 60_000
# Not by `wait_for_function`: the page lets nobody evaluate text later.
_HAS_PICTURES = """(within) => new Promise((done, failed) => {
  const video = document.querySelector("#stage video");
  if (video.readyState >= 2) { done(); return; }
  video.addEventListener("loadeddata", () => done());
  video.addEventListener("error", () => failed(new Error(video.error.message)));
  setTimeout(() => failed(new Error("no picture in time")), within);
})"""
file = _file
pytestmark = pytest.mark.skipif(
    _CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium"
)


def judged(document: Path, saved: Path, keys: list[list[str]]) -> None:
    """Open the page, press the keys for each clip, and save what it gives."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            timeout=_WITHIN_MS,
        )
        try:
            page = browser.new_context(accept_downloads=True).new_page()
            page.set_default_timeout(_WITHIN_MS)
            expect.set_options(timeout=_WITHIN_MS)
            failures: list[str] = []
            page.on("pageerror", lambda error: failures.append(str(error)))
            page.goto(document.as_uri())
            for number, pressed in enumerate(keys, 1):
                expect(page.locator("#place")).to_contain_text(f", {number} of {len(keys)}")
                # The clip plays: what is judged was seen.
                page.evaluate(_HAS_PICTURES, _WITHIN_MS)
                for key in pressed:
                    page.keyboard.press(key)
            _saved(page, saved, len(keys))
            _remembered(page, f"; {len(keys)} judged")
            _kept_nowhere(page)
            assert failures == []
        finally:
            browser.close()


def _remembered(page: Page, judged: str) -> None:
    """What was judged is there after a reload, and in another tab.

    The browser may lose what it stores for a page, as Chromium does for a private window whose
    storage process ends.
    """
    page.evaluate("localStorage.clear()")
    page.reload()
    expect(page.locator("#place")).to_contain_text(judged)
    expect(page.locator("#by")).to_have_value("Ada")
    deadline = time.monotonic() + _WITHIN_MS / 1000
    with closing(page.context.new_page()) as other:
        while True:
            page.locator("#by").fill("Ada")  # stores everything again
            other.goto(page.url)
            if judged in other.locator("#place").inner_text():
                break
            assert time.monotonic() < deadline, other.locator("#place").inner_text()
        expect(other.locator("#by")).to_have_value("Ada")


def _kept_nowhere(page: Page) -> None:
    """It says so, and asks before it is left."""
    page.evaluate(
        """() => {
          const full = () => { throw new Error("full"); };
          Storage.prototype.setItem = full;
          history.replaceState = full;
        }"""
    )
    page.keyboard.press("u")
    expect(page.locator("#place")).to_contain_text("this browser keeps nothing: save before")
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.reload()
    expect(page.locator("#place")).not_to_contain_text("keeps nothing")
    assert asked == ["beforeunload"]


def _saved(page: Page, saved: Path, clips: int) -> None:
    expect(page.locator("#place")).to_contain_text(f"; {clips} judged")
    page.locator("#by").fill("Ada")
    with page.expect_download() as download:
        page.locator("#save").click()
    assert re.fullmatch(r"verdicts-\w+\.json", download.value.suggested_filename)
    download.value.save_as(saved)


def test_a_line_is_judged_by_a_key_for_each_direction(file: Path, tmp_path: Path) -> None:
    """What the keys say is what the command reads; each direction has figures of its own."""
    drawn = draw(file, tmp_path / "audit", "--seed", "5")
    plan: Any = kept(file, drawn["audit"]).plan
    assert sum(plan["directions"].values()) == plan["counted"] > 0
    keys = []
    for clip in plan["clips"]:
        found = ["i"] * clip["directions"]["in"] + ["o"] * clip["directions"]["out"]
        # A mistake is taken back.
        keys.append(["o", "Backspace", *found, "Enter"] if found else ["n"])
    saved = tmp_path / "verdicts.json"
    judged(Path(drawn["page"]), saved, keys)

    told = json.loads(saved.read_text())
    assert told["by"] == "Ada"
    assert told["verdicts"] == {clip["name"]: clip["directions"] for clip in plan["clips"]}
    arguments = ("audit", file, "plaza", "across", "--verdicts", saved)
    code, out, errors = moonwatch(*arguments, "--json")
    assert code == 0, errors
    figures = json.loads(out)
    assert figures["by"] == "Ada"
    assert figures["accuracy"]["value"] == 1.0
    assert set(figures["directions"]) == {"in", "out"}
    for name, part in figures["directions"].items():
        assert part["counted"] == plan["directions"][name]
        assert (part["precision"] or {"value": 1.0})["value"] == 1.0
        assert part["true"]["value"] == part["counted"]
    code, out, _ = moonwatch(*arguments)
    assert code == 0
    assert re.search(r"^  in: precision ", out, re.MULTILINE)
    code, out, _ = moonwatch("run", file)
    assert code == 0
    assert "across (in)" in out
    assert "across (out)" in out


def test_any_other_rule_is_judged_by_two_keys(file: Path, tmp_path: Path) -> None:
    """Once, or not at all; a number and `u` where that is not enough."""
    code, out, errors = moonwatch(
        "audit", file, "plaza", "stay", "--clip", "8s", "--out", tmp_path / "audit", "--json"
    )
    assert code == 0, errors
    drawn = json.loads(out)
    plan: Any = kept(file, drawn["audit"]).plan
    assert "directions" not in plan
    names = [clip["name"] for clip in plan["clips"]]
    keys = [["y"] if number % 2 else ["n"] for number in range(len(names))]
    saved = tmp_path / "verdicts.json"
    judged(Path(drawn["page"]), saved, keys)

    told = json.loads(saved.read_text())["verdicts"]
    assert told == {name: number % 2 for number, name in enumerate(names)}
    code, out, errors = moonwatch("audit", file, "plaza", "stay", "--verdicts", saved, "--json")
    assert code == 0, errors
    assert json.loads(out)["judged"] == len(names)
    assert json.loads(out)["directions"] == {}
