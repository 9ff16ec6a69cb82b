"""What slow answers do to other cameras, where one answer in twenty takes two seconds.

Live cameras put frames on the queue in memory on a clock; a worker answers them with an engine
that works on eight frames at a time and sleeps 20 ms over each, or 2 s over every twentieth. It is
asked in two ways: batch by batch, each waited for to its last answer, and with a ticket for each
frame. The figures are the time from putting a frame to its result, of all but the slow frames.

    python -m benchmarks.slow_answers --cameras 10 --every 0.5 --seconds 30
"""

import argparse
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Answer, Number
from pipeline.core.clock import SystemClock
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job
from pipeline.core.tasks import Count, Task
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.worker import EngineLane, Worker
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import grey_pixels

BATCH = 8
QUICK_S, SLOW_S, ONE_IN = 0.02, 2.0, 20
TASK = Count("people", "far", "person")
RUN = "run"


class SleepingPool:
    """Answers each picture in a thread, as a server far away would."""

    max_side: int | None = None

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(BATCH)

    def submit(self, request: EngineRequest) -> Ticket:
        """Answer when it is done."""
        ticket = Ticket(request)
        self._pool.submit(lambda: ticket.settle([_look(request.pixels)]))
        return ticket

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answer a batch when all of it is done."""
        return [[answer] for answer in self._pool.map(_look, [pixels for pixels, _ in batch])]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)


def _look(pixels: Pixels) -> Answer:
    is_slow = bool(pixels[0, 0, 0])
    time.sleep(SLOW_S if is_slow else QUICK_S)
    return Number("far", int(is_slow))


def measure(engine: Engine, cameras: int, every_s: float, seconds: float) -> str:
    """Run the cameras for a while, and return a row of the table."""
    clock, metrics = SystemClock(), Metrics()
    queues = MemoryConfig().build(clock)
    worker = Worker(EngineLane("far", engine, BATCH, 60.0), queues.jobs, metrics, clock)
    thread = threading.Thread(target=worker.run)
    thread.start()
    put_at: dict[tuple[str, int], float] = {}
    took: list[float] = []
    frames = round(seconds / every_s) * cameras
    over = threading.Event()

    def take() -> None:
        while not over.is_set():
            for delivered in queues.results.take(100, 0.05):
                result = delivered.result
                if result.answers["people"] != Number("far", 1):
                    took.append(time.monotonic() - put_at[result.camera, result.seq])
                queues.results.acknowledge([delivered])

    taking = threading.Thread(target=take)
    taking.start()
    began, dropped = time.monotonic(), 0
    for n in range(frames):
        camera, seq = f"camera{n % cameras}", n // cameras
        time.sleep(max(0.0, began + n * every_s / cameras - time.monotonic()))
        pixels = grey_pixels(level=int(n % ONE_IN == 0))
        frame = Frame(camera, RUN, seq, time.time(), pixels, (64, 48))
        put_at[camera, seq] = time.monotonic()
        receipt = queues.jobs.put(Job(frame, "far", seq, (TASK,), live=True), 0.0)
        dropped += len(receipt.dropped)
    worker.stop()
    thread.join()
    time.sleep(0.2)
    over.set()
    taking.join()
    engine.close()
    p50, p99 = np.percentile(took, (50, 99))
    return f"{frames} | {dropped} | {len(took)} | {p50:.3f} s | {p99:.3f} s | {max(took):.3f} s |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    print("| asked | frames | dropped | quick ones answered | p50 | p99 | longest |")
    print("|---|---|---|---|---|---|---|")
    for name, engine in (
        ("batch by batch", BatchingEngine(SleepingPool(), BATCH, 0.02)),
        ("as they come", SleepingPool()),
    ):
        print(f"| {name} | {measure(engine, args.cameras, args.every, args.seconds)}", flush=True)


if __name__ == "__main__":
    main()
