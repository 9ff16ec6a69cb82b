"""What it costs to remember what was seen: processor time beside processing without it, and size.

Usage: python -m benchmarks.observations [--minutes 60] [--paired 8] [--clip]

Six people walk past at four frames a second, jittered as a detector's boxes are; lines, zones and
visits are judged of them. The same frames are judged twice, with `store.observations` and without,
commit by commit in turns, each into a store of its own, and the processor time of this process is
compared; then the parts that remember are timed by themselves. An hour is judged as well, and what
is kept of it measured, in SQLite and in PostgreSQL (the time of its server is not in the figures).
`--clip` runs the bundled clip at five looks a second. Figures: benchmarks/observations.md
"""

import argparse
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy as sa
import yaml

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from connectors.stores import sql
from connectors.stores.sql import SqlStore
from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result
from pipeline.core.observations import ObservedFrame, frames_of, packed, snapped, tail, unpacked
from pipeline.core.tasks import Detect, question_of
from pipeline.deployment.loader import parse
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.remembering import JustJudged, Remembering
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.architecture.source_tree import ROOT
from tests.connectors.stores.postgres import server_url
from tests.runtime.clips import CLIP, camera, deployment, written

RATE, PEOPLE = 4, 6
START = 1_790_000_040.0
HEIGHT, ASPECT, JITTER, SPEED = 0.25, 16 / 9, 0.02, 0.7
MINUTE = 60 * RATE


def walk(frames: int) -> Iterator[Result]:
    """Six people at any time, each from one side of the picture to the other, then the next."""
    random = Random(7)
    half = 0.2 * HEIGHT / ASPECT
    step = SPEED * HEIGHT / ASPECT / RATE
    people = [(random.random(), random.uniform(0.4, 0.95), 1) for _ in range(PEOPLE)]
    for n in range(frames):
        boxes: list[Box] = []
        for i, (x, feet, way) in enumerate(people):
            x += way * step
            if not 0 < x < 1:
                way = random.choice((-1, 1))
                x, feet = (0.0, 1.0)[way < 0], random.uniform(0.4, 0.95)
            people[i] = (x, feet, way)
            edges = (x - half, feet - HEIGHT, x + half, feet)
            sizes = (2 * half, HEIGHT, 2 * half, HEIGHT)
            left, top, right, bottom = (
                min(max(edge + JITTER * size * random.gauss(), 0.0), 1.0)
                for edge, size in zip(edges, sizes, strict=True)
            )
            boxes.append((left, top, right, bottom))
        scores = tuple(min(max(random.gauss(0.75, 0.06), 0.3), 0.99) for _ in boxes)
        yield Result(
            camera="door",
            run="2026-09-21T13:34:00Z 1a2b",
            engine="coco",
            ordinal=n,
            seq=n,
            captured_at=START + n / RATE + random.uniform(0, 0.01),
            size_wh=(1280, 720),
            live=True,
            answers={"people": Boxes("coco", tuple(boxes), scores)},
            asked={"people": question_of(Detect("people", "coco", "person"))},
        )


class Site:
    """A processor with a store, and the processor time it took."""

    def __init__(self, url: str, folder: Path, *, remembers: bool) -> None:
        door = camera(CLIP) | {"source": {"type": "rtsp", "url": "rtsp://127.0.0.1:9/door"}}
        door["rules"]["crowd"].pop("snapshot")
        store = {"url": url, "observations": {"keep": "7d" if remembers else 0}}
        made = parse(
            yaml.safe_dump(deployment(folder, {"door": door}) | {"store": store})
        ).deployment
        self.clock = ManualClock(START)
        self.results = MemoryConfig().build(self.clock).results
        self.store: SqlStore = made.store.build(self.clock)
        pictures = Snapshots(MemoryShelf(), made.store.build_media())
        context = ProcessorContext(self.results, self.store, pictures, Metrics(), self.clock)
        self.processor = Processor(plans_of(made), context)
        self.processor.resume()
        self.cpu_s = 0.0

    def judge(self, results: Sequence[Result]) -> None:
        """Judge results with one commit, and add up the processor time."""
        before = time.process_time()
        self.results.publish(results, 0.0)
        self.processor.step(0.0)
        self.cpu_s += time.process_time() - before


def paired(urls: tuple[str, str], folder: Path, minutes: int, at_once: int) -> None:
    """The same minutes with and without, in turns."""
    sites = [
        Site(url, folder, remembers=remembers)
        for url, remembers in zip(urls, (False, True), strict=True)
    ]
    frames = list(walk(minutes * MINUTE))
    for number, first in enumerate(range(0, len(frames), at_once)):
        for site in sites if number % 2 else sites[::-1]:
            site.judge(frames[first : first + at_once])
    without, with_ = (1000 * site.cpu_s / len(frames) for site in sites)
    where = "SQLite" if urls[0].startswith("sqlite") else "PostgreSQL"
    print(
        f"| {where} | {at_once} | {without:.3f} | {with_:.3f} "
        f"| {100 * (with_ / without - 1):+.1f} % |"
    )
    for site in sites:
        site.store.close()


def share(folder: Path, minutes: int, at_once: int) -> None:
    """What part of the processor time goes into remembering, told by clocks around its parts."""
    spent = [0.0]

    def timed(place: Any, name: str) -> Any:
        part = getattr(place, name)

        def measured(*given: Any) -> Any:
            before = time.thread_time()
            try:
                return part(*given)
            finally:
                spent[0] += time.thread_time() - before

        setattr(place, name, measured)
        return part

    places = [(sql, "keep_observations"), (JustJudged, "tails")]
    places += [(Remembering, name) for name in ("begin", "take")]
    parts = [(place, name, timed(place, name)) for place, name in places]
    site = Site(f"sqlite:///{folder}/share{at_once}.db", folder, remembers=True)
    frames = list(walk(minutes * MINUTE))
    for first in range(0, len(frames), at_once):
        site.judge(frames[first : first + at_once])
    for place, name, part in parts:
        setattr(place, name, part)
    site.store.close()
    each = 1000 * site.cpu_s / len(frames)
    remembering = 1000 * spent[0] / len(frames)
    print(
        f"| {at_once} | {each - remembering:.3f} | {remembering:.3f} "
        f"| {100 * remembering / (each - remembering):.1f} % |"
    )


def hour(url: str, folder: Path, minutes: int) -> None:
    """What is kept of an hour, and how long it takes to read it back."""
    site = Site(url, folder, remembers=True)
    frames = list(walk(minutes * MINUTE))
    for first in range(0, len(frames), 16):
        site.judge(frames[first : first + 16])
    (span,) = site.store.observed()
    blocks = list(site.store.observations("door"))
    before = time.process_time()
    seen = [frame for block in blocks for frame in frames_of(block)]
    reading_s = time.process_time() - before
    assert [frame.result for frame in seen] == [snapped(result) for result in frames]
    where, size = "SQLite", float("nan")
    with site.store._database.read("measure") as connection:
        if url.startswith("sqlite"):
            asked = (
                "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'moonwatch_observations%' "
                "OR name LIKE 'sqlite_autoindex_moonwatch_observations%'"
            )
            try:
                size = float(connection.exec_driver_sql(asked).scalar() or math.nan)
            except sa.exc.OperationalError:
                size = math.nan  # this SQLite was built without it
        else:
            where = "PostgreSQL"
            asked = "SELECT pg_total_relation_size('moonwatch_observations')"
            size = float(connection.exec_driver_sql(asked).scalar() or math.nan)
        waypoints = connection.exec_driver_sql(
            "SELECT count(*), sum(length(state)) FROM moonwatch_waypoints"
        ).one()
    boxes = PEOPLE * len(frames)
    content = sum(len(block.content) for block in blocks)
    print(
        f"| {where} | {len(frames):,} | {span.blocks} | {content / 1e3:,.0f} kB "
        f"| {content / boxes:.2f} | {size / 1e3:,.0f} kB | {reading_s:.2f} s "
        f"| {waypoints[0]} of {waypoints[1] / max(1, waypoints[0]) / 1e3:.1f} kB |"
    )
    site.store.close()


def parts() -> None:
    """What the parts cost of each frame, in microseconds of processor time."""
    frames = list(walk(MINUTE))
    before = time.process_time()
    rounded = [snapped(result) for result in frames]
    snapping = time.process_time() - before

    seen = [ObservedFrame(result, {"people": tuple(range(1, 1 + PEOPLE))}) for result in rounded]
    costs = [snapping]
    for work in (
        lambda: [tail([frame]) for frame in seen],
        lambda: unpacked(tail(seen)),
        lambda: packed(seen),
        lambda: unpacked(packed(seen)),
    ):
        before = time.process_time()
        work()
        costs.append(time.process_time() - before)
    names = ("rounding", "tail of one", "tail and back", "block", "block and back")
    shown = ", ".join(
        f"{name} {1e6 * cost / MINUTE:.0f}" for name, cost in zip(names, costs, strict=True)
    )
    print(f"\nµs a frame of six boxes: {shown}")


def clip(folder: Path) -> None:
    """The bundled clip at five looks a second, by `moonwatch run`."""
    file = written(folder, deployment(folder, {"plaza": camera(CLIP, "200ms")}))
    subprocess.run(
        [sys.executable, "-m", "pipeline", "run", str(file)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    store = SqlStore(f"sqlite:///{folder}/events.db", read_only=True)
    (span,) = store.observed()
    boxes = sum(
        len(answer.boxes_xyxy)
        for block in store.observations("plaza")
        for frame in frames_of(block)
        for answer in frame.result.answers.values()
        if isinstance(answer, Boxes)
    )
    print(
        f"\nthe bundled clip: {span.frames} frames, {boxes} boxes, {span.blocks} blocks, "
        f"{span.bytes / 1e3:.1f} kB ({span.bytes / boxes:.2f} bytes a box)"
    )
    store.close()


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=int, default=60)
    arguments.add_argument("--paired", type=int, default=8)
    arguments.add_argument("--clip", action="store_true")
    chosen = arguments.parse_args()
    print(f"Python {platform.python_version()}, SQLite and PostgreSQL, {time.strftime('%d %B %Y')}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moonwatch-")))
        server = stack.enter_context(server_url())
        names = iter(range(100))

        def url(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{folder}/{next(names)}.db"
            name = f"observations_{next(names)}"
            engine = sa.create_engine(
                server.replace("postgresql://", "postgresql+psycopg://"),
                isolation_level="AUTOCOMMIT",
            )
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
            engine.dispose()
            return f"{server.rpartition('/')[0]}/{name}"

        print("\n| store | frames a commit | ms a frame without | with | more |")
        print("|---|---|---|---|---|")
        for kind in ("sqlite", "postgresql"):
            for at_once in (1, 16):
                paired((url(kind), url(kind)), folder, chosen.paired, at_once)
        print(
            "\n| store | frames | blocks | content | bytes a box | on disk | reading | waypoints |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for kind in ("sqlite", "postgresql"):
            hour(url(kind), folder, chosen.minutes)
        parts()
        if chosen.clip:
            clip(folder / "clip")


if __name__ == "__main__":
    main()
