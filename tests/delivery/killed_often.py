"""A process that keeps and delivers events, killed by its parent at moments of chance.

Run as `python -m tests.delivery.killed_often FOLDER KILLS SEED`. Each life goes on from a few steps
before the last checkpoint, as a worker does that repeats what was not acknowledged.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from connectors.sinks.jsonl import JsonlConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.ports import Checkpoint, Commit
from pipeline.delivery import Delivery, Lane, Route
from pipeline.telemetry.metrics import Metrics
from tests.contracts.event_tools import an_event

_REPEATED = 4
_LONGEST_LIFE_S = 0.25


def live(folder: Path, steps: int) -> None:
    """Keep two events a step and deliver them."""
    config = JsonlConfig.model_validate(
        {"path": folder / "events.jsonl", "max_size": "30kB", "keep": 1000}
    )
    store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
    clock = SystemClock()
    lane = Lane(Route.of("log", config), config.build("test"), store, clock, Metrics())
    delivery = Delivery([lane], store, clock)
    delivery.start()
    point = store.checkpoint("door", "fast")
    done = -1 if point is None else point.ordinal
    for step in range(max(0, done - _REPEATED), done + steps):
        events = [an_event(2 * step), an_event(2 * step + 1)]
        store.commit(Commit(events, checkpoints=[Checkpoint("door", "fast", "run", step, None)]))
        delivery.nudge()
    assert delivery.stop(30)
    store.close()


def main(folder: Path, kills: int, seed: int) -> None:
    """Lead lives that are cut short, and a last one that ends by itself."""
    chance = random.Random(seed)
    for _life in range(kills):
        child = os.fork()
        if child == 0:
            live(folder, steps=sys.maxsize)
        time.sleep(chance.uniform(0.03, _LONGEST_LIFE_S))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit("a life ended before it was cut short")
    live(folder, steps=20)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
