"""How long it takes to judge a day again: `moonwatch simulate` over an invented day of one camera.

Usage: python -m benchmarks.simulate [--hours 24] [--fps 2] [--people 1.5] [--keep FOLDER]

A shop's door is judged by a real processor into a SQLite store: people come in, stand, and go,
their boxes jitter and are missed now and then, and at night nobody is there. The rules are four: a
line, two occupancies and a dwell. Then the day is simulated from the store in a process of its own,
by the file as it is, by the same with every rule judged again, and with the line moved: the time
until the first hour is known and until all are, and what a look costs.
"""

import argparse
import gc
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from pipeline.core.answers import Boxes
from pipeline.core.clock import SystemClock
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result
from pipeline.deployment.loader import load
from pipeline.insight.simulation import Simulation, SimulationScope
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock

DAY = 1_795_651_200.0
"""Midnight of 2026-11-26, UTC."""
OPEN, CLOSED = 8, 20
FILE = """
version: 1
store: {{url: "sqlite:///{folder}/events.db"}}
engines: {{fast: {{type: coco}}}}
cameras:
  door:
    source: {{type: rtsp, url: "rtsp://192.0.2.1/door"}}
    sample: {{every: {every}ms}}
    tasks: {{people: {{engine: fast, detect: person}}}}
    lines: {{sill: {{from: [0.05, {y}], to: [0.95, {y}]}}}}
    zones: {{till: {{polygon: [[0.6, 0.3], [0.95, 0.3], [0.95, 0.55], [0.6, 0.55]]}}}}
    rules:
      footfall: {{type: line_crossing, of: people, line: sill}}
      crowded: {{type: occupancy, of: people, more_than: 4, for: 10s, gap: 5s}}
      queue: {{type: occupancy, of: people, zone: till, more_than: 3, for: 30s}}
      waiting: {{type: dwell, of: people, zone: till, longer_than: 2m}}
"""


def people_at(at: float, mean: float) -> float:
    """How many are there on average: nobody at night, most at noon and after work."""
    hour = (at - DAY) / 3600.0 % 24.0
    if not OPEN <= hour < CLOSED:
        return 0.0
    busy = 1.0 + 0.6 * math.sin((hour - OPEN) / (CLOSED - OPEN) * 2 * math.tau - 1.0)
    return mean * busy


def looks(hours: float, fps: float, mean: float) -> Iterator[Sequence[tuple[Box, float]]]:
    """The boxes of each look."""
    rng = random.Random(7)
    stay_s = 40.0
    there: list[list[float]] = []
    for number in range(int(hours * 3600 * fps)):
        arrivals = people_at(DAY + number / fps, mean) / stay_s / fps
        if rng.random() < arrivals:
            # x, y, the velocity, and how long somebody still stands.
            there.append([rng.uniform(0.15, 0.85), 0.3, rng.gauss(0, 0.01), 0.06, 25.0])
        found: list[tuple[Box, float]] = []
        for person in there:
            if person[1] > 0.75 and person[4] > 0:
                person[4] -= 1 / fps
                person[3] = 0.0 if person[4] > 0 else -0.06
            else:
                person[0] += person[2] / fps
                person[1] += person[3] / fps
            if rng.random() < 0.04:
                continue
            jitter = [rng.gauss(0, 0.002) for _ in range(4)]
            x, y = person[0], person[1]
            box = (x - 0.04 + jitter[0], y - 0.25 + jitter[1], x + 0.04 + jitter[2], y + jitter[3])
            found.append(((box[0], max(0.0, box[1]), box[2], box[3]), rng.uniform(0.6, 0.95)))
        there = [person for person in there if person[1] >= 0.3]
        yield found


def recorded(file: Path, folder: Path, hours: float, fps: float, mean: float) -> tuple[int, int]:
    """Judge the day into a store; returns the number of looks, and of those with anybody."""
    deployment = load(file, [])
    clock = ManualClock(DAY)
    queue = MemoryConfig().build(clock)
    store = deployment.store.build(clock)
    context = ProcessorContext(
        results=queue.results,
        store=store,
        snapshots=Snapshots(MemoryShelf(), deployment.store.build_media()),
        metrics=Metrics(),
        clock=clock,
    )
    processor = Processor(plans_of(deployment), context)
    processor.resume()
    some: list[Result] = []
    total = lively = 0

    def feed() -> None:
        assert queue.results.publish(some, 0.0)
        while processor.step(0.0):
            pass
        some.clear()

    for number, boxes in enumerate(looks(hours, fps, mean)):
        total, lively = total + 1, lively + bool(boxes)
        answer = Boxes("fast", tuple(box for box, _ in boxes), tuple(s for _, s in boxes))
        at = DAY + number / fps
        some.append(
            Result("door", "r", "fast", number, number, at, (1280, 720), True, {"people": answer})
        )
        if len(some) == 50:
            feed()
    feed()
    store.close()
    return total, lively


def simulated(file: Path, *, every_rule: bool) -> dict[str, Any]:
    """Times of one simulation, in this process."""
    gc.freeze()
    gc.set_threshold(200_000)  # as the command does
    began, began_work = time.perf_counter(), time.process_time()
    deployment = load(file, [])
    reader = deployment.store.build_reader()
    simulation = Simulation(
        deployment,
        reader,
        reader.history,
        SimulationScope(),
        SystemClock(),
        every_rule=every_rule,
    )
    first, first_work = None, 0.0
    hours = 0
    for _ in simulation.hours():
        hours += 1
        if first is None:
            first, first_work = time.perf_counter() - began, time.process_time() - began_work
    reader.close()
    return {
        "first_s": first,
        "first_work_s": first_work,
        "all_s": time.perf_counter() - began,
        "work_s": time.process_time() - began_work,
        "hours": hours,
    }


def main() -> None:
    """Record, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--people", type=float, default=1.5, help="on average while it is open")
    parser.add_argument("--keep", type=Path, help="use the store in this folder again, if there")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--every-rule", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(simulated(arguments.only, every_rule=arguments.every_rule)))
        return
    with tempfile.TemporaryDirectory(prefix="moonwatch-simulate-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        every = round(1000 / arguments.fps)
        files = {"as it is": 0.6, "line moved": 0.5}
        for name, y in files.items():
            path = folder / f"{name.replace(' ', '-')}.yaml"
            path.write_text(FILE.format(folder=folder, every=every, y=y), "utf-8")
        if not (folder / "looks.json").exists():
            figures = recorded(
                folder / "as-it-is.yaml", folder, arguments.hours, arguments.fps, arguments.people
            )
            (folder / "looks.json").write_text(json.dumps(figures), "utf-8")
        total, lively = json.loads((folder / "looks.json").read_text("utf-8"))
        print(f"{total} looks, somebody in {lively / total:.0%} of them\n")
        print("| file | first hour, s | processor time | all, s | processor time | µs a look |")
        print("|---|---|---|---|---|---|")
        runs: dict[str, tuple[str, list[str]]] = {
            "as it is": ("as it is", []),
            "as it is, every rule judged": ("as it is", ["--every-rule"]),
            "line moved": ("line moved", []),
        }
        for name, (file, options) in runs.items():
            path = folder / f"{file.replace(' ', '-')}.yaml"
            command = [sys.executable, "-m", "benchmarks.simulate", "--only", str(path), *options]
            told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
            took = json.loads(told)
            cells = (
                name,
                f"{took['first_s']:.2f}",
                f"{took['first_work_s']:.2f}",
                f"{took['all_s']:.2f}",
                f"{took['work_s']:.2f}",
                f"{took['work_s'] / total * 1e6:.0f}",
            )
            print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
