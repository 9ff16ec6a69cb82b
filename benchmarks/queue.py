"""Frames through Redis on one machine: moonwatch's queue beside the same commands by hand.

Usage: python -m benchmarks.queue [--frames 1600] [--rounds 11] [--live 20]

Each line of the first table is a sampler process with eight cameras, workers (a process each) whose
engine answers at once in batches of eight, and one processor; both sides take turns on one server,
round by round. The second table is 200 live cameras at two frames a second. See queue.md.
"""

import argparse
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.queue_sides import ENGINE, PICTURE_BYTES, Ours, Side, a_job, a_result, side
from tests.redis_server import Server

BATCH = 8
CAMERAS = 8
NAMES = ("moonwatch", "by hand")
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Measured:
    """One run: frames a second, and the time from put to taken, in ms."""

    rate: float
    p50_ms: float
    p99_ms: float


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@dataclass(frozen=True)
class Run:
    """One side to measure."""

    name: str
    url: str
    frames: int
    compress: bool

    def side(self) -> Side:
        """The side, with connections of its own."""
        return side(self.name, self.url, compress=self.compress)


def _sample(run: Run, gate: Any) -> None:
    queue = run.side()
    gate.wait()
    for n in range(run.frames):
        queue.put(f"camera-{n % CAMERAS}", n // CAMERAS, time.time())


def _work(run: Run, done: Any, gate: Any) -> None:
    queue = run.side()
    gate.wait()
    while not done.is_set():
        queue.work(BATCH)


def run_through(run: Run, workers: int) -> Measured:
    """All processes of one side, from the first put to the last result acknowledged."""
    gate, done = _spawn.Barrier(workers + 2), _spawn.Event()
    others = [_spawn.Process(target=_sample, args=(run, gate))]
    others += [_spawn.Process(target=_work, args=(run, done, gate)) for _ in range(workers)]
    queue = run.side()
    for process in others:
        process.start()
    gate.wait()
    began = time.time()
    latencies: list[float] = []
    while len(latencies) < run.frames:
        taken = queue.finish(64)
        now = time.time()
        latencies += [(now - at) * 1000 for at in taken]
    elapsed = time.time() - began
    done.set()
    for process in others:
        process.join()
    latencies = latencies[len(latencies) // 10 :]
    return Measured(run.frames / elapsed, _percentile(latencies, 0.5), _percentile(latencies, 0.99))


def calls_one_by_one(run: Run) -> float:
    """One process does everyone's calls in turn: frames a second, without any waiting."""
    queue = run.side()
    began = time.perf_counter()
    for first in range(0, run.frames, BATCH):
        for n in range(first, first + BATCH):
            queue.put(f"camera-{n % CAMERAS}", n // CAMERAS, time.time())
        assert queue.work(BATCH) == BATCH
        assert len(queue.finish(64)) == BATCH
    return run.frames / (time.perf_counter() - began)


def compare(server: Server, frames: int, rounds: int, *, compress: bool) -> None:
    """The first table, with ready-made pictures or such as both sides compress and read."""
    print(f"\npictures {'compressed and read' if compress else 'ready-made'}")
    print(f"{'':<18}{'moonwatch':>26}{'by hand':>26}{'ratio':>18}")
    for workers in (0, 1, 2, 4):
        rates: dict[str, list[float]] = {name: [] for name in NAMES}
        last: dict[str, Measured] = {}
        for turn in range(rounds):
            # Who goes first changes, because machines grow faster or slower while one looks.
            for name in NAMES if turn % 2 else reversed(NAMES):
                server.client().flushall()
                run = Run(name, server.url, frames - frames % BATCH, compress)
                if workers == 0:
                    rates[name].append(calls_one_by_one(run))
                else:
                    last[name] = run_through(run, workers)
                    rates[name].append(last[name].rate)
        _print_row(f"{workers} worker(s)" if workers else "one by one", rates)
        for name, one in last.items():
            print(f"  {name}: put to taken p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms")


def _print_row(what: str, found: dict[str, list[float]]) -> None:
    ratios = [a / b for a, b in zip(found[NAMES[0]], found[NAMES[1]], strict=True)]
    cells = [
        f"{statistics.median(found[name]):.0f}/s "
        f"{statistics.median(found[name]) * PICTURE_BYTES / 1e6:.0f} MB/s"
        for name in NAMES
    ]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
    print(f"{what:<18}{cells[0]:>26}{cells[1]:>26}{spread:>18}")


@dataclass
class Live:
    """What was seen of a run of live cameras."""

    put: Counter[str]
    dropped: Counter[str]
    answered: Counter[str]
    latencies_ms: list[float]
    peak_bytes: int = 0
    put_ms: float = 0.0


def live_cameras(server: Server, seconds: float, frames_a_second: float | None) -> Live:
    """200 cameras at 2 frames a second; the engine's pace is bounded where one is given."""
    server.client().flushall()
    seen = Live(Counter(), Counter(), Counter(), [])
    stop = threading.Event()
    idle_bytes = int(server.client().info("memory")["used_memory"])
    threads = [
        threading.Thread(target=_answer, args=(server.url, stop, frames_a_second)),
        threading.Thread(target=_judge, args=(server.url, stop, seen)),
    ]
    for thread in threads:
        thread.start()
    queue = Ours(server.url, live_room=4)
    client = server.client()
    began = time.monotonic()
    ticks = int(seconds * 2) * 200
    put_s: list[float] = []
    for tick in range(ticks):
        # Every camera has its own place in the half second.
        due = began + tick / 400
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        camera = f"camera-{tick % 200}"
        asked = time.monotonic()
        receipt = queue.queues.jobs.put(a_job(camera, tick // 200, time.time(), live=True), 0)
        put_s.append(time.monotonic() - asked)
        seen.put[camera] += 1
        seen.dropped[camera] += len(receipt.dropped)
        if tick % 400 == 0:
            used = int(client.info("memory")["used_memory"]) - idle_bytes
            seen.peak_bytes = max(seen.peak_bytes, used)
    seen.put_ms = _percentile(put_s, 0.99) * 1000
    stop.set()
    for thread in threads:
        thread.join()
    return seen


def _answer(url: str, stop: threading.Event, frames_a_second: float | None) -> None:
    queue = Ours(url)
    began, answered = time.monotonic(), 0
    while not stop.is_set():
        claims = queue.queues.jobs.claim(ENGINE, 16, 0.1)
        if not claims:
            continue
        answered += len(claims)
        if frames_a_second is not None:
            time.sleep(max(0.0, began + answered / frames_a_second - time.monotonic()))
        queue.queues.jobs.answer(claims, [a_result(claim.job) for claim in claims], 1.0)


def _judge(url: str, stop: threading.Event, seen: Live) -> None:
    queue = Ours(url)
    while not stop.is_set():
        taken = queue.queues.results.take(64, 0.1)
        now = time.time()
        for one in taken:
            if one.result.answers["people"].__class__.__name__ == "Boxes":
                seen.answered[one.result.camera] += 1
                seen.latencies_ms.append((now - one.result.captured_at) * 1000)
        queue.queues.results.acknowledge(taken)


def print_live(what: str, seen: Live) -> None:
    """One row of the second table."""
    shares = [seen.answered[camera] / seen.put[camera] for camera in seen.put]
    print(
        f"{what:<28} put {seen.put.total()}, dropped {seen.dropped.total()}, "
        f"answered {seen.answered.total()}; of each camera {min(shares):.0%} to {max(shares):.0%}; "
        f"capture to taken p50 {_percentile(seen.latencies_ms, 0.5):.0f} ms, "
        f"p99 {_percentile(seen.latencies_ms, 0.99):.0f} ms; p99 of a put {seen.put_ms:.1f} ms; "
        f"Redis held at most {seen.peak_bytes / 1e6:.0f} MB"
    )


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--live", type=float, default=20.0, help="seconds of live cameras")
    args = parser.parse_args()
    server = Server(("--save", "", "--appendonly", "no")).start()
    version = server.client().info("server")["redis_version"]
    print(f"redis {version}, pictures of {PICTURE_BYTES} bytes, {args.frames} frames a round")
    try:
        compare(server, args.frames, args.rounds, compress=False)
        compare(server, args.frames // 4, args.rounds, compress=True)
        print("\n200 live cameras, 2 frames a second each")
        print_live("engine answers at once", live_cameras(server, args.live, None))
        print_live("engine does 100 frames/s", live_cameras(server, args.live, 100))
    finally:
        server.close()


if __name__ == "__main__":
    main()
