"""The live wall under load: how old pictures are, what they cost the pipeline, many who watch.

Usage: python -m benchmarks.web [--cameras 16] [--fps 2] [--seconds 20] [--rounds 3]
    [--watchers 200] [--source http|h264] [--width 286] [--only wall|many|first]
       python -m benchmarks.web --what-if [--hours 24] [--looks 4] [--crowded] [--keep FOLDER]
    [--in-turns] [--json FILE]

The second one measures how long the editor's what-if takes for a day; see benchmarks/what_if.py.

All stages and the application are in one process of its own. Its cameras are a small web server in
another: JPEGs of the bundled recording, 768x576, asked for `--fps` times a second. With `--source
h264` they are recordings played in real time: ten pictures a second of the bundled one, stretched
to 1280x720, H.264 with a key frame every two seconds, which are decoded as a camera's stream is and
sampled `--fps` times a second. Their times are those of the recording, so that nothing is said of
ages. The engine answers from lists, so that no time of a model is in the figures. Who watches is a
third process, which reads the WebSocket and does not decode; it asks for pictures as wide as a page
of 1440x900 with 16 cameras does.

- Age: from the moment of capture to the arrival of the picture at who watches, on the same clock.
- Cost: processor time of the process with nobody and with one who watches all cameras, in turns of
  `--seconds`; what sampling and judging themselves spend is that of their threads, those that
  read and decode a camera's pictures with the former. The ratio is the median over rounds.
- Many: so many who watch one camera; how old their pictures are, and how many each of them lost.
- First load: what a browser fetches to show the page, compressed as it is sent, by adding up the
  files; then what Chromium itself has fetched and how long it took.
- First pictures: from the click on Live until each tile that is on the screen shows a picture, in a
  new tab each time, when nobody has watched for a while.

Figures depend on what else the machine does. See web.md.
"""

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import yaml
from av.video.frame import PictureType
from playwright.sync_api import Page
from websockets.asyncio.client import connect

from benchmarks import what_if
from pipeline.core.clock import SystemClock
from pipeline.core.live import WATCH_S
from pipeline.core.people import Role
from pipeline.deployment.loader import read
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.single_process import Run
from pipeline.web.access.visitor import Visitor
from pipeline.web.run import WebServer, open_state
from tests.connectors.sources.servers import http_camera
from tests.runtime.clips import CLIP
from tests.web.browser import CHROMIUM, chromium
from tests.web.live import PlayingCamera

_STREAM_WH = (1280, 720)
_STREAM_FPS = 10
_STREAM_S = 20
_KEY_FRAME_S = 2
_SETTLE_S = 4.0
_FORGOTTEN_S = _SETTLE_S + WATCH_S
"""After so long samplers do not know any more that somebody watched."""
_PAGES = Path("pipeline/web/static")
_TABS = 5
_SEEN = """() => [...document.querySelectorAll(".tile")].filter((tile) => {
  const { top, bottom } = tile.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}).length"""
_ALL_SHOW = """(cameras) => {
  const tiles = [...document.querySelectorAll(".tile")];
  return tiles.length === cameras && tiles.every((tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    const isSeen = bottom > 0 && top < innerHeight;
    return !isSeen || tile.querySelector("canvas[data-seq]");
  });
}"""
_PARTS = {"sampling": ("camera", "read "), "processing": ("processing",)}
"""What the names of their threads begin with."""
_WALK = [[[0.05 + 0.04 * n, 0.4, 0.13 + 0.04 * n, 0.8], [0.8, 0.3, 0.9, 0.7]] for n in range(20)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float, default=2.0, help="pictures a second of a camera")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--watchers", type=int, default=200, help="who watch one camera")
    parser.add_argument("--source", choices=("http", "h264"), default="http")
    parser.add_argument("--width", type=int, default=286, help="of pictures asked for, in pixels")
    parser.add_argument("--only", choices=("wall", "many", "first"), help="one part of it")
    what_if.add_options(parser)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before it began\n")
    if options.what_if:
        what_if.run(options)
        return
    names = [f"camera{number:02}" for number in range(options.cameras)]
    with _product(names, options.fps, options.source) as (url, product):
        if options.only in (None, "wall"):
            _print_wall(url, product, names, options)
        if options.only in (None, "many"):
            _print_many(url, product, names[0], options)
        if options.only in (None, "first"):
            _print_first_pictures(url, len(names))
    if options.only in (None, "first"):
        _print_first_load()


def _print_wall(
    url: str, product: Connection, names: Sequence[str], options: argparse.Namespace
) -> None:
    quiet: list[_Spent] = []
    watched: list[_Spent] = []
    seen = _Seen()
    for _ in range(options.rounds):
        time.sleep(_FORGOTTEN_S)
        quiet.append(_spent(product, options.seconds))
        with _watchers(url, names, 1, options.width) as watching:
            time.sleep(_SETTLE_S)
            watching.send("begin")
            watched.append(_spent(product, options.seconds))
            watching.send("end")
            seen.add(watching.recv())
    due = options.cameras * options.fps * options.seconds * options.rounds
    tiles = options.cameras * options.seconds * options.rounds
    print("| one who watches all | |\n|---|---|")
    print(f"| pictures, of those due | {len(seen.ages)} ({len(seen.ages) / due:.0%}) |")
    if options.source != "h264":
        print(f"| age p50, p95, p99 | {_ages(seen.ages)} |")
    print(f"| with an answer | {seen.answered / max(1, len(seen.ages)):.1%} |")
    print(f"| bytes of a picture, median | {statistics.median(seen.sizes or [0]):.0f} |")
    print(f"| of a tile in a second | {sum(seen.sizes) / tiles:.0f} |")
    print()
    print("| processor time, of one core | nobody watches | one watches all | ratio |")
    print("|---|---|---|---|")
    for part in ("sampling", "processing", "both", "all"):
        pairs = [(a.shares[part], b.shares[part]) for a, b in zip(quiet, watched, strict=True)]
        ratio = statistics.median(b / a for a, b in pairs if a > 0)
        without = statistics.median(a for a, _ in pairs)
        with_ = statistics.median(b for _, b in pairs)
        print(f"| {part} | {without:.1%} | {with_:.1%} | {ratio:.2f} |")
    print()


def _print_many(url: str, product: Connection, camera: str, options: argparse.Namespace) -> None:
    with _watchers(url, [camera], options.watchers, options.width) as watching:
        time.sleep(2 * _SETTLE_S)
        watching.send("begin")
        spent = _spent(product, options.seconds)
        watching.send("end")
        seen = _Seen()
        seen.add(watching.recv())
    due = options.watchers * options.fps * options.seconds
    print(f"| {options.watchers} who watch one camera | |\n|---|---|")
    print(f"| pictures, of those due | {len(seen.ages)} ({len(seen.ages) / due:.0%}) |")
    if options.source != "h264":
        print(f"| age p50, p95, p99 | {_ages(seen.ages)} |")
    print(f"| lost because somebody was slow | {seen.drops} |")
    print(f"| processor time of the process, of one core | {spent.shares['all']:.0%} |")
    print()


def _print_first_load() -> None:
    if not (_PAGES / "index.html").is_file():
        print("The pages are not built (make web), so nothing is said of their first load.")
        return
    print("| first load, compressed | bytes |\n|---|---|")
    view = [path.name for path in (_PAGES / "assets").glob("live-*.*s")]
    shell = _needed(_named(_PAGES / "index.html"))
    size = len(gzip.compress((_PAGES / "index.html").read_bytes()))
    total = 0
    for name, files in (("shell", shell), ("live", _needed(view) - shell)):
        size += sum(map(_sent, files))
        total += size
        print(f"| {name} | {size} |")
        size = 0
    print(f"| together | {total} |")


def _print_first_pictures(url: str, cameras: int) -> None:
    if CHROMIUM is None or not (_PAGES / "index.html").is_file():
        print("There is no browser, or there are no pages: nothing is said of first pictures.")
        return
    loads: list[_FirstLoad] = []
    with chromium() as browser:
        for _ in range(_TABS):
            time.sleep(_FORGOTTEN_S)
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            loads.append(_first_load(context.new_page(), url, cameras))
            context.close()
    print("| in Chromium, median of new tabs | |\n|---|---|")
    print(f"| first load, bytes | {statistics.median(one.size for one in loads):.0f} |")
    print(f"| of which script | {statistics.median(one.script for one in loads):.0f} |")
    print(f"| until Today is shown | {statistics.median(one.shown_s for one in loads):.2f} s |")
    print(f"| tiles on the screen | {loads[0].tiles} |")
    firsts = [one.pictures_s for one in loads]
    print(f"| until each shows a picture | {statistics.median(firsts):.2f} s |")
    print(f"| at worst | {max(firsts):.2f} s |")
    print()


@dataclass
class _FirstLoad:
    """What a new tab fetched until it showed something, and how long it took."""

    size: int
    script: int
    shown_s: float
    tiles: int
    pictures_s: float


def _first_load(page: Page, url: str, cameras: int) -> _FirstLoad:
    network = page.context.new_cdp_session(page)
    kinds: dict[str, str] = {}
    sizes: dict[str, int] = {}
    network.on("Network.responseReceived", lambda e: kinds.update({e["requestId"]: e["type"]}))
    network.on(
        "Network.loadingFinished",
        lambda e: sizes.update({e["requestId"]: int(e["encodedDataLength"])}),
    )
    network.send("Network.enable")
    began = time.monotonic()
    page.goto(url)
    page.locator("main h1").wait_for()
    shown_s = time.monotonic() - began
    page.wait_for_load_state("networkidle")
    script = sum(size for name, size in sizes.items() if kinds.get(name) == "Script")
    total = sum(sizes.values())
    began = time.monotonic()
    page.get_by_role("link", name="Live").click()
    page.wait_for_function(_ALL_SHOW, arg=cameras)
    pictures_s = time.monotonic() - began
    return _FirstLoad(total, script, shown_s, page.evaluate(_SEEN), pictures_s)


def _needed(names: Iterable[str]) -> set[str]:
    """Files of the pages, and those that they name where they are loaded."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name not in found and (_PAGES / "assets" / name).is_file():
            found.add(name)
            waiting += _named(_PAGES / "assets" / name)
    return found


def _named(path: Path) -> list[str]:
    """The files that one names to be loaded with it; what is imported later is not."""
    if path.suffix not in (".html", ".js", ".css"):
        return []
    return re.findall(
        r"""(?:(?:src|href)="|url\(|(?:from|import)\s*["'])[./]*(?:assets/)?([\w.-]+)""",
        path.read_text(encoding="utf-8"),
    )


def _sent(name: str) -> int:
    """The bytes of a file on its way: fonts and pictures are compressed as they are."""
    data = (_PAGES / "assets" / name).read_bytes()
    return len(gzip.compress(data)) if name.endswith((".js", ".css")) else len(data)


def _ages(ages: Sequence[float]) -> str:
    if len(ages) < 2:
        return "too few"
    cuts = statistics.quantiles(ages, n=100)
    return ", ".join(f"{cuts[at - 1] * 1000:.0f}" for at in (50, 95, 99)) + " ms"


@dataclass
class _Spent:
    """Processor time in shares of one core."""

    shares: Mapping[str, float]


def _spent(product: Connection, seconds: float) -> _Spent:
    product.send("spent")
    before, began = product.recv(), time.monotonic()
    time.sleep(seconds)
    product.send("spent")
    after, took_s = product.recv(), time.monotonic() - began
    return _Spent({part: (after[part] - before[part]) / took_s for part in after})


def _by_part() -> dict[str, float]:
    """Seconds of processor time of this process: of threads by the beginning of their name, and
    of all.
    """
    spent = {"sampling": 0.0, "processing": 0.0, "all": time.process_time()}
    for thread in threading.enumerate():
        stat = Path(f"/proc/self/task/{thread.native_id}/stat")
        part = next((one for one, names in _PARTS.items() if thread.name.startswith(names)), None)
        if part is not None and stat.is_file():
            fields = stat.read_text().rpartition(")")[2].split()
            spent[part] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {**spent, "both": spent["sampling"] + spent["processing"]}


@dataclass
class _Seen:
    """What came to those who watch."""

    ages: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    answered: int = 0
    drops: int = 0

    def add(self, told: tuple[list[float], list[int], int, int]) -> None:
        """Add what a process of watchers tells."""
        ages, sizes, answered, drops = told
        self.ages += ages
        self.sizes += sizes
        self.answered += answered
        self.drops += drops


@contextmanager
def _watchers(url: str, cameras: Sequence[str], count: int, width: int) -> Iterator[Connection]:
    """Those who watch, in a process of their own: `begin` and `end` what is told."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_watch, args=(there, url, list(cameras), count, width), daemon=True
    )
    process.start()
    here.recv()
    try:
        yield here
    finally:
        process.terminate()
        process.join(10.0)


def _watch(pipe: Connection, url: str, cameras: list[str], count: int, width: int) -> None:
    asyncio.run(_watching(pipe, url, cameras, count, width))


async def _watching(pipe: Connection, url: str, cameras: list[str], count: int, width: int) -> None:
    seen, is_on = _Seen(), asyncio.Event()
    last_drops: dict[int, int] = {}
    shown = json.dumps({"show": [{"camera": name, "width": width, "fps": 15} for name in cameras]})

    async def watch(number: int) -> None:
        async with connect(
            url.replace("http://", "ws://") + "/api/v1/live",
            compression=None,
            origin=url,  # type: ignore[arg-type]
            open_timeout=60,
            max_size=None,
            additional_headers={"X-Test-Visitor": f"visitor{number // 20}"},
        ) as socket:
            await socket.send(shown)
            joined.release()
            async for message in socket:
                if isinstance(message, str):
                    continue
                length = int.from_bytes(message[:4], "big")
                head: dict[str, Any] = json.loads(message[4 : 4 + length])
                drops = head["drops"] - last_drops.get(number, 0)
                last_drops[number] = head["drops"]
                if is_on.is_set():
                    seen.ages.append(time.time() - head["captured_at"])
                    seen.sizes.append(len(message))
                    seen.answered += head["answered"] is True
                    seen.drops += drops

    joined = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(watch(number)) for number in range(count)]
    for _ in tasks:
        await joined.acquire()
    pipe.send("joined")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, pipe.recv)
    is_on.set()
    await loop.run_in_executor(None, pipe.recv)
    is_on.clear()
    pipe.send((seen.ages, seen.sizes, seen.answered, seen.drops))
    await asyncio.sleep(3600)


@contextmanager
def _product(names: Sequence[str], fps: float, source: str) -> Iterator[tuple[str, Connection]]:
    """The address of the application, and a way to ask its process what it has spent."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        here, there = multiprocessing.Pipe()
        cameras = spawn.Process(target=_serve_cameras, args=(there,), daemon=True)
        cameras.start()
        played = {"type": "http", "url": here.recv(), "poll": _every(fps)}
        if source == "h264":
            played = {"type": "file", "path": _recorded(Path(folder)), "loop": True}
            played["speed"] = "realtime"
        file = _written(Path(folder), names, fps, played)
        product = spawn.Process(target=_run_product, args=(there, str(file)), daemon=True)
        product.start()
        url = here.recv()
        try:
            time.sleep(_SETTLE_S)
            yield url, here
        finally:
            for process in (product, cameras):
                process.terminate()
                process.join(10.0)


def _recorded(folder: Path) -> str:
    """A recording as a camera's stream is: H.264 with rare key frames and nothing from later."""
    path = folder / "stream.mp4"
    with av.open(str(CLIP)) as clip, av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=_STREAM_FPS)
        stream.width, stream.height = _STREAM_WH
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "bf": "0", "g": str(_KEY_FRAME_S * _STREAM_FPS)}
        for number, frame in enumerate(clip.decode(video=0)):
            if number == _STREAM_S * _STREAM_FPS:
                break
            scaled = frame.reformat(*_STREAM_WH, "yuv420p")
            scaled.pts, scaled.time_base = number, Fraction(1, _STREAM_FPS)
            scaled.pict_type = PictureType.NONE
            made.mux(stream.encode(scaled))
        made.mux(stream.encode(None))
    return str(path)


def _every(fps: float) -> str:
    return f"{round(1000 / fps)}ms"


def _serve_cameras(pipe: Connection) -> None:
    with http_camera(PlayingCamera().page) as url:
        pipe.send(url)
        time.sleep(86_400)


class _ByHeader:
    """Everybody is who a header says: this is a benchmark, and no application for anybody."""

    def visitor(self, connection: Any) -> Visitor | None:
        """Who it is."""
        return Visitor.of_role(connection.headers.get("x-test-visitor", "one"), Role.VIEWER)


class _Silent:
    """Keeps no journal."""

    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Nothing."""


def _run_product(pipe: Connection, file: str) -> None:
    loaded = read(Path(file), ())
    with RunOwnership(loaded.deployment) as ownership:
        ownership.take(stop=threading.Event(), wait=False)
        run = Run(loaded.deployment, ownership)
        run.start()
        state = open_state(Path(file), (), SystemClock(), _ByHeader(), _Silent(), queues=run.queues)
        server = WebServer(state, "127.0.0.1:0")
        server.start()
        pipe.send(server.address)
        while True:
            run.poll()
            if pipe.poll(0.1):
                pipe.recv()
                pipe.send(_by_part())


def _written(folder: Path, names: Sequence[str], fps: float, source: Mapping[str, object]) -> Path:
    camera = {
        "source": source,
        "sample": {"every": _every(fps)},
        "tasks": {"people": {"detect": "person", "engine": "pretend"}},
        "lines": {"middle": {"from": [0.5, 0.1], "to": [0.5, 1.0]}},
        "rules": {"in": {"type": "line_crossing", "of": "people", "line": "middle"}},
    }
    path = folder / "wall.yaml"
    content = {
        "version": 1,
        "store": {"url": f"sqlite:///{folder}/moonwatch.db"},
        "engines": {"pretend": {"type": "scripted", "answers": {"people": _WALK}}},
        "cameras": dict.fromkeys(names, camera),
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
