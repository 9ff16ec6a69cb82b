"""Clips in a real browser: Debian's Chromium, which has an H.264 decoder of its own."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from connectors.sources.ffmpeg.ring import PacketRing
from tests.connectors.sources.test_clips import BEGAN, NEED, cut, fill, grey_of, stream

_CHROMIUM = shutil.which("chromium")
_WITHIN_MS = 30_000
_PAGE = """<!doctype html><title>clip</title>
<video id="clip" src="clip.mp4" muted preload="auto"></video>"""
# How bright the middle of a picture is once the browser presents it. That it sought to a moment
# does not say that it shows what is there: the one may come before the other, either way.
_GREY_AT = """([from, to, within]) => new Promise((done, failed) => {
  const video = document.getElementById("clip");
  let shown = NaN;
  const draw = () => {
    if (video.seeking || !(shown >= from && shown < to)) return;
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    const place = [video.videoWidth * 0.75, video.videoHeight / 2];
    done(context.getImageData(place[0], place[1], 1, 1).data[1]);
  };
  const look = (_, { mediaTime }) => {
    shown = mediaTime;
    draw();
    video.requestVideoFrameCallback(look);
  };
  video.onerror = () => failed(new Error(video.error.message));
  video.onseeked = draw;
  setTimeout(() => failed(new Error(
    `presented at last: ${shown}, ${video.seeking ? "seeking" : "sought"}`)), within);
  video.requestVideoFrameCallback(look);
  video.currentTime = (from + to) / 2;
})"""


@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
def test_a_clip_plays_and_seeks_in_a_browser(tmp_path: Path) -> None:
    """It lasts as long as was cut, shows each sought picture, and plays to its end."""
    ring = PacketRing(NEED)
    fill(ring, stream(tmp_path / "stream.ts"))
    path, file, _ = cut(tmp_path, ring, BEGAN + 4.0, BEGAN + 8.0)
    page_at = tmp_path / "page.html"
    page_at.write_text(_PAGE, "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--allow-file-access-from-files",
                "--autoplay-policy=no-user-gesture-required",
            ],
            timeout=_WITHIN_MS,
        )
        try:
            page = browser.new_page()
            page.set_default_timeout(_WITHIN_MS)
            page.goto(page_at.as_uri())
            page.wait_for_function("document.getElementById('clip').readyState >= 3")
            assert page.evaluate("document.getElementById('clip').error") is None
            duration = page.evaluate("document.getElementById('clip').duration")
            size = page.evaluate(
                "[document.getElementById('clip').videoWidth, "
                "document.getElementById('clip').videoHeight]"
            )
            # The last picture is shown for as long as the others.
            assert duration == pytest.approx(file.pictures / 25, abs=0.05)
            assert size == [file.width, file.height]
            began = round((file.since - BEGAN) * 25)
            for nth in (75, 12, 50):
                between = [(nth - 0.2) / 25, (nth + 0.8) / 25, _WITHIN_MS]
                grey = page.evaluate(_GREY_AT, between)
                assert grey == pytest.approx(grey_of(began + nth), abs=6), nth
            page.evaluate("document.getElementById('clip').currentTime = 0")
            page.evaluate("document.getElementById('clip').play()")
            page.wait_for_function("document.getElementById('clip').ended")
        finally:
            browser.close()
    assert path.exists()
