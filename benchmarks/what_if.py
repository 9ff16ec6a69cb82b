"""How long the editor's what-if takes for a whole day, asked of the running application.

Usage: python -m benchmarks.web --what-if [--hours 24] [--looks 4] [--keep FOLDER] [--json FILE]
    [--crowded | --door | --in-turns]

The day: what the bundled detector finds in 32 s of the bundled recording (5 to 6 persons at a
time), once a minute from 8 to 20, or all day again and again without a pause (`--crowded`), judged
and written by a real processor into a SQLite store. Between two looks of the recording, which are
half a second apart, boxes are put in the middle. Then the application runs in a process of its
own, and is asked what a moved line and another limit would have counted. What is told
is when the first hour came and when all were there, with the processor time of the application.

With `--door` it is the invented day of a shop's door of `benchmarks.simulate`, with 1.5 persons
from 8 to 20.

What is asked at once after the editor was opened has everything to be followed first. Then it is
waited until the application has followed ahead what the next edit needs.

With `--in-turns` no application is asked: each edit is judged with nothing held of those before,
and with what trackers showed held, in turns in one process. Both answers must be the same.
"""

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks import simulate
from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from pipeline.core.answers import Boxes
from pipeline.core.clock import SystemClock
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result
from pipeline.core.people import Role
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.insight.followed_looks import FollowedParts
from pipeline.insight.simulation import Simulation, SimulationScope, hour_as_json
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from pipeline.web.access.visitor import Visitor
from pipeline.web.run import WebServer, open_state
from pipeline.web.state import MOST_FOLLOWED

DAY = 1_795_651_200.0
"""Midnight of 2026-11-26, UTC."""
OPEN, CLOSED = 8, 20
PREPARED = "moved when all was followed"
_IDLE_S = 2.0
_BOXES = Path("tests/web/plaza_boxes.json")
_BOXES_EVERY_S = 0.5
_MIDDLE = {"from": [0.5, 0.1736], "to": [0.5, 1.0]}
_FILE: dict[str, Any] = {
    "version": 1,
    "engines": {"fast": {"type": "coco"}},
    "cameras": {
        "plaza": {
            "source": {"type": "rtsp", "url": "rtsp://192.0.2.1/plaza"},
            "tasks": {"people": {"engine": "fast", "detect": "person"}},
            "lines": {"middle": _MIDDLE},
            "zones": {"lawn": {"polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 0.95], [0.1, 0.95]]}},
            "rules": {
                "footfall": {"type": "line_crossing", "of": "people", "line": "middle"},
                "stay": {"type": "dwell", "of": "people", "zone": "lawn", "longer_than": "5s"},
                "full": {"type": "occupancy", "of": "people", "more_than": 6, "for": "2s"},
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What a store was filled with."""

    looks: int
    boxes: int
    hours: float
    bytes: int


@dataclass(frozen=True, slots=True)
class WhatIfTimes:
    """How long one question took, in seconds."""

    asked: str
    first_s: float
    all_s: float
    work_s: float
    """Of processor time, of the application and what it starts."""
    hours: int
    events: int


def _between(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> list[Box]:
    """Boxes in the middle of those of two looks that are of the same person."""
    found: list[Box] = []
    rest = list(other)
    for box in one:
        near = min(rest, key=lambda b: abs(b[0] - box[0]) + abs(b[3] - box[3]), default=None)
        if near is not None and abs(near[0] - box[0]) + abs(near[3] - box[3]) < 0.06:
            rest.remove(near)
            a, b, c, d = ((x + y) / 2 for x, y in zip(box, near, strict=True))
            found.append((a, b, c, d))
    return found


def _clip(looks: int) -> list[list[Box]]:
    """The persons in each look of the recording, so many a second (an even number)."""
    seen = json.loads(_BOXES.read_text(encoding="utf-8"))
    boxes = [[(a, b, c, d) for a, b, c, d, *_ in look] for look in seen]
    for _ in range({2: 0, 4: 1, 8: 2}[looks]):
        pairs = zip(boxes, [*boxes[1:], boxes[-1]], strict=True)
        boxes = [look for one, other in pairs for look in (list(one), _between(one, other))]
    return boxes


def looks_of(hours: float, looks: int, *, crowded: bool) -> Iterator[list[Box]]:
    """The boxes of each look of the day."""
    rng, clip = random.Random(3), _clip(looks)
    period = len(clip) if crowded else max(len(clip), 60 * looks)
    for number in range(int(hours * 3600 * looks)):
        place = number % period
        is_open = crowded or OPEN <= number / looks / 3600 % 24 < CLOSED
        boxes = clip[place] if is_open and place < len(clip) else []
        yield [
            (
                max(0.0, a + rng.gauss(0, 0.001)),
                max(0.0, b + rng.gauss(0, 0.001)),
                min(1.0, c + rng.gauss(0, 0.001)),
                min(1.0, d + rng.gauss(0, 0.001)),
            )
            for a, b, c, d in boxes
        ]


def filled(folder: Path, hours: float, looks: int, *, crowded: bool) -> tuple[Path, DayFigures]:
    """The file of a deployment with its store, which is made unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    file, known = folder / "day.json", folder / "figures.json"
    content = json.loads(json.dumps(_FILE))
    content["store"] = {"url": f"sqlite:///{folder.resolve()}/day.db"}
    content["cameras"]["plaza"]["sample"] = {"every": f"{1000 // looks}ms"}
    file.write_text(json.dumps(content), encoding="utf-8")
    if known.is_file():
        return file, DayFigures(**json.loads(known.read_text(encoding="utf-8")))
    deployment = load(file, [])
    clock = ManualClock(DAY)
    queue = MemoryConfig().build(clock)
    store = deployment.store.build(clock)
    processor = Processor(
        plans_of(deployment),
        ProcessorContext(
            results=queue.results,
            store=store,
            snapshots=Snapshots(MemoryShelf(), deployment.store.build_media()),
            metrics=Metrics(),
            clock=clock,
        ),
    )
    processor.resume()
    some: list[Result] = []
    total = boxes_seen = 0
    for number, boxes in enumerate(looks_of(hours, looks, crowded=crowded)):
        total, boxes_seen = total + 1, boxes_seen + len(boxes)
        answer = Boxes("fast", tuple(boxes), (0.8,) * len(boxes))
        some.append(
            Result(
                "plaza",
                "r",
                "fast",
                number,
                number,
                DAY + number / looks,
                (1280, 720),
                True,
                {"people": answer},
            )
        )
        if len(some) == 200:
            assert queue.results.publish(some, 0.0)
            while processor.step(0.0):
                pass
            some.clear()
    assert queue.results.publish(some, 0.0)
    while processor.step(0.0):
        pass
    size = sum(one.bytes for one in store.observed())
    store.close()
    figures = DayFigures(total, boxes_seen, hours, size)
    known.write_text(json.dumps(asdict(figures)), encoding="utf-8")
    return file, figures


def at_the_door(folder: Path, hours: float) -> tuple[Path, DayFigures]:
    """The same with the invented day of a shop's door, at two looks a second."""
    folder.mkdir(parents=True, exist_ok=True)
    file, known = folder / "door.yaml", folder / "door.json"
    if not known.exists():
        file.write_text(simulate.FILE.format(folder=folder, every=500, y=0.6), encoding="utf-8")
        simulate.recorded(file, folder, hours, 2.0, 1.5)
        boxes = sum(len(one) for one in simulate.looks(hours, 2.0, 1.5))
        reader = load(file, []).store.build_reader()
        size = sum(one.bytes for one in reader.observed())
        reader.close()
        figures = DayFigures(round(hours * 7200), boxes, hours, size)
        known.write_text(json.dumps(asdict(figures)), encoding="utf-8")
    return file, DayFigures(**json.loads(known.read_text(encoding="utf-8")))


class _ByOperator:
    """Everybody is an operator: this is a benchmark, and no application for anybody."""

    def visitor(self, connection: Any) -> Visitor | None:
        """Who it is."""
        return Visitor.of_role("one", Role.OPERATOR)


class _KeepsNoJournal:
    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Nothing."""


def _serve(pipe: Connection, file: str) -> None:
    state = open_state(Path(file), (), SystemClock(), _ByOperator(), _KeepsNoJournal())
    server = WebServer(state, "127.0.0.1:0")
    server.start()
    pipe.send(server.address)
    while True:
        pipe.recv()
        pipe.send(_work_s())


def _work_s() -> float:
    """Processor time of this process and of what it has started, in seconds."""
    whole = time.process_time()
    children = os.times()
    whole += children.children_user + children.children_system
    for child in multiprocessing.active_children():
        stat = Path(f"/proc/{child.pid}/stat")
        if stat.is_file():
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
            whole += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return whole


def measured(file: Path, questions: Mapping[str, Mapping[str, Any]]) -> list[WhatIfTimes]:
    """Ask each question in turn of the running application."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_serve, args=(there, str(file)))
    process.start()
    try:
        url = here.recv()
        with httpx.Client(base_url=f"{url}/api/v1", timeout=600.0) as client:
            client.headers["X-Moonwatch"] = "1"

            def work_s() -> float:
                here.send("work")
                return float(here.recv())

            (camera,) = {one["camera"] for one in questions.values()}
            client.get("/edit/spans", params={"camera": camera})  # as the editor does
            times: list[WhatIfTimes] = []
            for name, one in questions.items():
                if name == PREPARED:
                    times.append(_prepared(work_s))
                times.append(_asked(client, name, one, work_s))
            return times
    finally:
        process.terminate()
        process.join(10.0)


def _prepared(work_s: Callable[[], float]) -> WhatIfTimes:
    """Wait until the application follows nothing ahead any more."""
    began_work, began = work_s(), time.monotonic()
    before = began_work
    while True:
        time.sleep(_IDLE_S)
        now = work_s()
        if now - before < _IDLE_S / 4:
            whole = time.monotonic() - began - _IDLE_S
            return WhatIfTimes(
                "what it does ahead, if nobody asks", whole, whole, now - began_work, 0, 0
            )
        before = now


def _asked(
    client: httpx.Client, name: str, asked: Mapping[str, Any], work_s: Callable[[], float]
) -> WhatIfTimes:
    work, began = work_s(), time.monotonic()
    first: float | None = None
    hours = events = 0
    with client.stream("POST", "/simulate", json=asked) as answer:
        for line in answer.iter_lines():
            row = json.loads(line)
            if "error" in row:
                raise RuntimeError(f"{name}: {row['error']}")
            if row["kind"] == "hour":
                hours += 1
                events += sum(len(rule["events"]) for rule in row["rules"])
                first = first if first is not None else time.monotonic() - began
            elif row["kind"] != "begin" and row.get("cut_short"):
                print(f"cut short: {row['cut_short']}")
    whole = time.monotonic() - began
    return WhatIfTimes(name, first or whole, whole, work_s() - work, hours, events)


def questions(file: Path) -> dict[str, dict[str, Any]]:
    """What is asked: edits of one line or one rule, as the editor asks them."""
    ((camera, config),) = yaml.safe_load(file.read_text(encoding="utf-8"))["cameras"].items()
    ((name, line),) = config["lines"].items()
    rules = config["rules"]
    (stay,) = [rule for rule, one in rules.items() if one["type"] == "dwell"]
    (x, y), to = line["from"], line["to"]

    def moved(by: float) -> dict[str, Any]:
        # The line of the place goes down, that of the door from side to side.
        begin = [x - by, y] if x == to[0] else [x, y - by]
        end = list(to) if x == to[0] else [to[0], to[1] - by]
        return {"camera": camera, "lines": {name: {"from": begin, "to": end}}, "only": ["footfall"]}

    longer = {**rules[stay], "longer_than": "8s" if camera == "plaza" else "3m"}
    return {
        "nothing edited": {"camera": camera, "only": ["footfall"]},
        "the line moved": moved(0.05),
        "moved again": moved(0.08),
        PREPARED: moved(0.1),
        "another limit of a dwell": {
            "camera": camera,
            "rules": {**rules, stay: longer},
            "only": [stay],
        },
    }


def in_turns(file: Path) -> Iterator[str]:
    """A table of the processor time of moved lines, with nothing held and with what is held."""
    held = FollowedParts(MOST_FOLLOWED)
    yield "| what-if | nothing held, s of processor time | held | bytes held |"
    yield "|---|---|---|---|"
    for name, x in (("the line moved", 0.45), ("moved again", 0.4)):
        alone, alone_s = _judged(file, x, None)
        found, found_s = _judged(file, x, held)
        assert found == alone
        yield f"| {name} | {alone_s:.2f} | {found_s:.2f} | {held.size} |"


def _judged(file: Path, x: float, held: FollowedParts | None) -> tuple[list[JsonValue], float]:
    """All hours of a line that is moved, and the seconds of processor time."""
    content = json.loads(file.read_text(encoding="utf-8"))
    content["cameras"]["plaza"]["lines"]["middle"]["from"][0] = x
    deployment = Deployment.model_validate(content)
    reader = deployment.store.build_reader()
    began = time.process_time()
    scope = SimulationScope(rules=("footfall",))
    simulation = Simulation(deployment, reader, reader.history, scope, SystemClock(), followed=held)
    hours: list[JsonValue] = [hour_as_json(hour, "UTC", "stored") for hour in simulation.hours()]
    work_s = time.process_time() - began
    reader.close()
    return hours, work_s


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said of the day."""
    parser.add_argument("--what-if", action="store_true", help="measure the editor's what-if")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--looks", type=int, default=4, choices=(2, 4, 8), help="a second")
    parser.add_argument("--crowded", action="store_true", help="somebody is there at all times")
    parser.add_argument("--door", action="store_true", help="an invented day of a shop's door")
    parser.add_argument("--in-turns", action="store_true", help="with and without what is held")
    parser.add_argument("--keep", type=Path, help="use the store in this folder again, if there")
    parser.add_argument("--json", type=Path, help="write the figures there as well")


def run(options: argparse.Namespace) -> None:
    """Fill a store, ask, print."""
    with tempfile.TemporaryDirectory(prefix="moonwatch-what-if-") as temporary:
        folder = options.keep or Path(temporary)
        if options.door:
            file, figures = at_the_door(folder, options.hours)
        else:
            file, figures = filled(folder, options.hours, options.looks, crowded=options.crowded)
        if options.in_turns:
            print("\n".join(in_turns(file)))
            return
        times = measured(file, questions(file))
    print("\n".join(report(times, figures)))
    if options.json is not None:
        told = {"day": asdict(figures), "times": [asdict(one) for one in times]}
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def report(times: Sequence[WhatIfTimes], figures: DayFigures) -> Iterator[str]:
    """The table."""
    yield (
        f"{figures.looks} looks in {figures.hours:g} hours, {figures.boxes / figures.looks:.1f} "
        f"persons in each on the mean, {figures.bytes / 1e6:.0f} MB of what was seen"
    )
    yield ""
    yield "| what-if of a day | first hour, s | all, s | processor time, s | hours | events |"
    yield "|---|---|---|---|---|---|"
    for one in times:
        yield (
            f"| {one.asked} | {one.first_s:.2f} | {one.all_s:.1f} | {one.work_s:.1f} "
            f"| {one.hours} | {one.events} |"
        )
