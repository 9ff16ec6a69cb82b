"""The clips that a person judges in an audit, and the page that shows them.

A clip shows the line or zone and nothing of what was seen there: no boxes, no counts, no hint of
whether the rule has counted something.
"""

import base64
import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.core.frames import Picture, Pixels
from pipeline.core.private_files import create_file, make_folder
from pipeline.deployment.model import CameraConfig
from pipeline.sampling.masks import Masks

# Enough to see who goes where; the rest is size.
_LONGEST_SIDE = 720
_PER_SECOND = 10
_LINE, _IN, _ZONE = (255, 176, 0), (0, 214, 143), (96, 178, 255)


@dataclass(frozen=True, slots=True)
class ShownClip:
    """A clip or picture on the page."""

    name: str
    path: Path


def write_clip(pictures: Iterator[Picture], camera: CameraConfig, rule: str, out: Path) -> int:
    """Write pictures as an MP4 with the rule's line or zone; returns how many it has.

    Masks are filled. Nothing is written where there is no picture.
    """
    masks = Masks(camera.sample.mask_polygons)
    due: float | None = None
    shown: list[tuple[float, Pixels]] = []
    for picture in pictures:
        if due is not None and picture.captured_at < due - 0.001:
            continue
        due = max(picture.captured_at, due or 0.0) + 1 / _PER_SECOND
        width, height = picture.size_wh
        scale = min(1.0, _LONGEST_SIDE / max(width, height))
        size_wh = (max(2, int(width * scale) & ~1), max(2, int(height * scale) & ~1))
        pixels = masks.fill(picture.rgb(size_wh))
        shown.append((picture.captured_at, _marked(pixels, camera, rule)))
    if not shown:
        return 0
    make_folder(out.parent)
    create_file(out)
    ticks = 1000
    with av.open(str(out), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=_PER_SECOND, options={"crf": "30"})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = shown[0][1].shape[:2]
        for at, pixels in shown:
            if pixels.shape != shown[0][1].shape:
                continue  # a camera that changed its size in between
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = round((at - shown[0][0]) * ticks)
            frame.time_base = Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return len(shown)


def write_masked(kept: Path, camera: CameraConfig, out: Path) -> bool:
    """Copy a stored picture with the camera's present masks; False if it cannot be read."""
    pixels = cv2.imread(str(kept), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        return False
    masked = Masks(camera.sample.mask_polygons).fill(np.asarray(pixels, np.uint8))
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(masked[:, :, ::-1]))
    create_file(out)
    out.write_bytes(data.tobytes())
    return done


def _marked(pixels: Pixels, camera: CameraConfig, rule: str) -> Pixels:
    """The picture with thin marks of the lines and zones of the rule."""
    canvas = np.ascontiguousarray(pixels)
    height, width = canvas.shape[:2]
    places = camera.rules[rule].references()
    for name in places.zones:
        if name in camera.zones:
            corners = np.array(camera.zones[name].shape().corners) * (width, height)
            cv2.polylines(canvas, [corners.astype(np.int32)], True, _ZONE, 1, cv2.LINE_AA)
    for name in places.lines:
        if name in camera.lines:
            line = camera.lines[name].shape()
            start = np.array(line.start) * (width, height)
            end = np.array(line.end) * (width, height)
            cv2.line(canvas, _whole(start), _whole(end), _LINE, 1, cv2.LINE_AA)
            length = float(np.hypot(*(end - start)))
            if length >= 1:
                right = np.array((start[1] - end[1], end[0] - start[0])) / length
                middle = (start + end) / 2
                tip = middle + right * max(16, height / 14)
                cv2.arrowedLine(
                    canvas, _whole(middle), _whole(tip), _IN, 1, cv2.LINE_AA, tipLength=0.35
                )
    return canvas


def _whole(place: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))


def page(
    audit_id: str,
    title: str,
    question: str,
    clips: Sequence[ShownClip],
    directions: Sequence[str] = (),
) -> str:
    """One HTML file with everything in it; what is typed stays in the browser until it is saved.

    With `directions`, in and out, each has a key of its own.
    """
    items = [
        {
            "name": clip.name,
            "video": clip.path.suffix != ".jpg",
            "src": f"data:{_kind(clip.path)};base64,"
            + base64.b64encode(clip.path.read_bytes()).decode(),
        }
        for clip in clips
    ]
    # Inside a script element, only this could end it.
    told = {"audit": audit_id, "directions": list(directions), "items": items}
    data = json.dumps(told).replace("</", "<\\/")
    return (
        _PAGE.replace("@TITLE@", html.escape(title))
        .replace("@QUESTION@", html.escape(question))
        .replace("@DATA@", data)
    )


def _kind(path: Path) -> str:
    return "image/jpeg" if path.suffix == ".jpg" else "video/mp4"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';
  img-src data:; media-src data:">
<title>@TITLE@</title>
<style>
body { margin: 0; font: 17px/1.45 system-ui, sans-serif; background: #16181d; color: #e6e8ec; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.1rem; margin: 0 0 .3rem; font-weight: 600; }
p { margin: .3rem 0; }
video, img { width: 100%; max-height: 62vh; object-fit: contain; background: #000; display: block; }
button { font: inherit; padding: .5rem .9rem; border: 1px solid #596070; border-radius: .4rem;
  background: #262a33; color: inherit; cursor: pointer; }
button[aria-pressed=true] { background: #00d68f; color: #10231b; border-color: #00d68f; }
button:focus-visible { outline: 3px solid #60b2ff; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .7rem 0; }
.grow { flex: 1; }
kbd { background: #333845; border-radius: .25rem; padding: 0 .35rem; font: inherit; }
textarea { width: 100%; height: 6rem; background: #0f1115; color: inherit; }
</style>
</head>
<body>
<main>
<h1>@QUESTION@</h1>
<p>Count only what happens between the clip's beginning and its end. <span class="one"><kbd>y</kbd>
once, <kbd>n</kbd> not at all, <kbd>2</kbd> to <kbd>9</kbd> so many times, <kbd>u</kbd> cannot be
told;</span> <span class="two"><kbd>i</kbd> one in, <kbd>o</kbd> one out, as often as it happens,
then <kbd>enter</kbd>; <kbd>n</kbd> not at all, <kbd>u</kbd> cannot be told, <kbd>backspace</kbd>
counts this clip anew;</span>
<kbd>space</kbd> plays again, <kbd>s</kbd> changes the speed, <kbd>&larr;</kbd> <kbd>&rarr;</kbd>
go back and on.</p>
<div id="stage"></div>
<div class="row" id="keys"></div>
<div class="row"><span id="place" class="grow" role="status"></span>
<label>Your name <input id="by" maxlength="64" autocomplete="name"></label>
<button id="save">Save the verdicts</button></div>
<label>Or copy them from here:<textarea id="text" readonly></textarea></label>
</main>
<script id="data" type="application/json">@DATA@</script>
<script>
"use strict";
const { audit, directions, items } = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id), key = "moonwatch-audit-" + audit;
let verdicts = {}, now = 0, speed = 2, saved = "", kept = true;
const two = directions.length > 0, most = 999;
for (const part of document.querySelectorAll(two ? ".one" : ".two")) part.remove();
const none = two ? { in: 0, out: 0 } : 0;
const choices = two ? [["n", none], ["u", null]] : [["y", 1], ["n", 0], ["2", 2], ["3", 3],
  ["4", 4], ["5", 5], ["6", 6], ["7", 7], ["8", 8], ["9", 9], ["u", null]];
const words = { y: "y: once", n: "n: not at all", u: "u: cannot be told", i: "i: one in",
  o: "o: one out", enter: "enter: next clip", backspace: "backspace: anew" };
function made(name, act) {
  const button = document.createElement("button");
  button.textContent = words[name] || name;
  button.onclick = act;
  $("keys").append(button);
  return button;
}
if (two) {
  made("i", () => add("in"));
  made("o", () => add("out"));
  made("enter", next);
  made("backspace", anew);
}
const buttons = choices.map(([name, value]) => made(name, () => judge(value)));
function said() {
  return JSON.stringify({ audit, by: $("by").value, verdicts }, null, 1);
}
function show() {
  const item = items[now], stage = $("stage");
  const shown = document.createElement(item.video ? "video" : "img");
  shown.src = item.src;
  if (item.video) {
    Object.assign(shown, { muted: true, controls: true, autoplay: true, playsInline: true });
    shown.onloadedmetadata = () => { shown.playbackRate = speed; };
  } else shown.alt = item.name;
  stage.replaceChildren(shown);
  tell();
}
function tell() {
  const done = items.filter(one => one.name in verdicts).length, mine = items[now].name;
  const mark = verdicts[mine];
  const tally = two && mark ? `; ${mark.in} in, ${mark.out} out` : "";
  $("place").textContent =
    `${mine}, ${now + 1} of ${items.length}${tally}; ${done} judged; speed ${speed}`
    + (kept ? "" : "; this browser keeps nothing: save before you close or reload this page");
  choices.forEach(([, value], n) => buttons[n].setAttribute("aria-pressed",
    mine in verdicts && JSON.stringify(mark) === JSON.stringify(value)));
  $("text").value = said();
}
// What was typed is kept twice: by the browser for this page, which a private window or a full disk
// may lose, and by this tab in its history, which is there after a reload. The newer one is read.
function keep() {
  const mine = { key, at: Date.now(), by: $("by").value, verdicts };
  kept = false;
  try { localStorage.setItem(key, JSON.stringify(mine)); kept = true; } catch { /* said below */ }
  try { history.replaceState(mine, ""); kept = true; } catch { /* said below */ }
}
function remember() {
  const found = [];
  try { found.push(JSON.parse(localStorage.getItem(key))); } catch { /* it keeps nothing */ }
  if (history.state && history.state.key === key) found.push(history.state);
  const mine = found.filter(one => one && typeof one === "object")
    .map(one => one.at ? one : { at: 0, by: "", verdicts: one })
    .sort((one, other) => other.at - one.at)[0];
  if (mine) { verdicts = mine.verdicts; $("by").value = mine.by; }
}
function next() {
  if (now + 1 < items.length) { now++; show(); } else tell();
}
function judge(value) {
  verdicts[items[now].name] = value;
  keep();
  next();
}
function add(direction) {
  const mine = items[now].name, before = verdicts[mine] || none;
  verdicts[mine] = { ...before, [direction]: Math.min(most, before[direction] + 1) };
  keep();
  tell();
}
function anew() {
  delete verdicts[items[now].name];
  keep();
  tell();
}
document.addEventListener("keydown", event => {
  if (event.target.id === "by" || event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = choices.find(([name]) => name === event.key.toLowerCase());
  const video = document.querySelector("video");
  const typed = event.key.toLowerCase();
  if (choice) judge(choice[1]);
  else if (two && (typed === "i" || typed === "o")) add(typed === "i" ? "in" : "out");
  else if (two && typed === "enter" && event.target.tagName !== "BUTTON") next();
  else if (two && typed === "backspace") anew();
  else if (event.key === "0") judge(none);
  else if (!two && event.key === "1") judge(1);
  else if (event.key === "ArrowRight") { now = Math.min(items.length - 1, now + 1); show(); }
  else if (event.key === "ArrowLeft") { now = Math.max(0, now - 1); show(); }
  else if (event.key === " " && video) { video.currentTime = 0; video.play(); }
  else if (event.key.toLowerCase() === "s") {
    speed = speed >= 4 ? 1 : speed * 2;
    if (video) video.playbackRate = speed;
    tell();
  } else return;
  event.preventDefault();
});
$("by").oninput = () => { keep(); tell(); };
addEventListener("beforeunload", event => {
  if (!kept && said() !== saved) event.preventDefault();
});
$("save").onclick = () => {
  const link = document.createElement("a");
  saved = said();
  link.href = URL.createObjectURL(new Blob([saved], { type: "application/json" }));
  link.download = `verdicts-${audit}.json`;
  link.click();
};
remember();
now = Math.max(0, items.findIndex(one => !(one.name in verdicts)));
show();
</script>
</body>
</html>
"""
