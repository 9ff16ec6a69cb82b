"""A process that keeps and delivers events, killed by its parent at moments of chance.

Run as `python -m tests.delivery.killed_often FOLDER KILLS SEED [SINK [LONGEST_WAIT]]`, with a sink
as in a deployment's file but in JSON; by default it is a file that is often changed. Each life
goes on from a few steps before the last checkpoint, as a worker does that repeats what was not
acknowledged.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from connectors.sinks import SinkConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.sinks import SinkContext
from pipeline.core.store import Checkpoint, Commit
from pipeline.delivery import Delivery, Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from tests.contracts.event_tools import an_event
from tests.delivery.short_lives import cut_short

_REPEATED = 4
LAST_STEPS = 20
_LONGEST_WAIT_S = 0.15


def live(folder: Path, config: Any, steps: int, on_step: Callable[[], object]) -> None:
    """Keep two events a step and deliver them; `on_step` is told of each that is new."""
    store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
    clock = SystemClock()
    context = SinkContext("test", name="log", notes=store.notes_of("log"))
    lane = SinkLane(Route.of("log", config), config.build(context), store, clock, Metrics())
    delivery = Delivery([lane], store, clock)
    delivery.start()
    point = store.checkpoint("door", "fast")
    done = -1 if point is None else point.ordinal
    for step in range(max(0, done - _REPEATED), done + 1 + steps):
        events = [an_event(2 * step), an_event(2 * step + 1)]
        point = Checkpoint("door", "fast", "run", max(step, done), None)
        store.commit(Commit(events, checkpoints=[point]))
        delivery.nudge()
        if step > done:
            on_step()
    assert delivery.stop(120)
    store.close()


def main(
    folder: Path, kills: int, seed: int, sink: str = "", longest_wait: str = f"{_LONGEST_WAIT_S}"
) -> None:
    """Lead lives that are cut short, every other one while it is at work, and a last whole one."""
    often = {"type": "jsonl", "path": folder / "events.jsonl", "max_size": "30kB", "keep": 1000}
    config = TypeAdapter[Any](SinkConfig).validate_python(json.loads(sink) if sink else often)
    cut_short(partial(live, folder, config), kills, seed, float(longest_wait), LAST_STEPS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6])
