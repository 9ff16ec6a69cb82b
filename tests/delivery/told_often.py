"""A process that tells a phone of events, killed by its parent at moments of chance.

Run as `python -m tests.delivery.told_often FOLDER URL KILLS SEED`. Each life goes on from a few
steps before the last checkpoint, as a worker does that repeats what was not acknowledged.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from connectors.sinks.notify import NotifyConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.sinks import SinkContext
from pipeline.core.store import Checkpoint, Commit
from pipeline.delivery import Delivery, Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from tests.contracts.event_tools import an_event
from tests.delivery.short_lives import cut_short

_REPEATED = 4
LAST_STEPS = 10
_LONGEST_WAIT_S = 0.15
# Half of what happens is told at once, however fast: the others wait for a message together.
_FIELDS = {
    "type": "notify",
    "body": "{{ happening }}",
    "at_most": {"messages": 1, "per": "1h"},
    "digest": "200ms",
    "urgent": "intruder",
    "timeout": "20s",
}


def live(folder: Path, url: str, steps: int, on_step: Callable[[], object]) -> None:
    """Keep two events a step and tell of them; `on_step` is told of each step that is new."""
    config = NotifyConfig.model_validate({**_FIELDS, "url": url})
    clock = SystemClock()
    store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
    context = SinkContext("test", name="guard", clock=clock, notes=store.notes_of("guard"))
    lane = SinkLane(Route.of("guard", config), config.build(context), store, clock, Metrics())
    delivery = Delivery([lane], store, clock)
    delivery.start()
    point = store.checkpoint("door", "fast")
    done = -1 if point is None else point.ordinal
    for step in range(max(0, done - _REPEATED), done + 1 + steps):
        events = [an_event(2 * step), an_event(2 * step + 1, rule="intruder")]
        point = Checkpoint("door", "fast", "run", max(step, done), None)
        store.commit(Commit(events, checkpoints=[point]))
        delivery.nudge()
        if step > done:
            on_step()
        time.sleep(0.01)  # a phone that is told without end would hold up the store
    assert delivery.stop(30)
    store.close()


def main(folder: Path, url: str, kills: int, seed: int) -> None:
    """Lead lives that are cut short, every other one while it is at work, and a last whole one."""
    cut_short(partial(live, folder, url), kills, seed, _LONGEST_WAIT_S, LAST_STEPS)


if __name__ == "__main__":
    import apprise

    # Imported once, so that each life begins at once; none of its threads is running.
    apprise.Apprise.instantiate("json://127.0.0.1/")
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
