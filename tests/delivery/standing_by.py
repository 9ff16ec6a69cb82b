"""A process that delivers while it holds the lease, and stands by while another one does.

Run as `python -m tests.delivery.standing_by FOLDER SINK`, with a sink as in a deployment's file but
in JSON; it ends well on SIGTERM. What it does is what the delivery stage does, with a lease that
is sooner abandoned.
"""

import json
import os
import signal
import sys
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from connectors.sinks import SinkConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.sinks import SinkContext
from pipeline.core.store import DELIVER, LeaseOwner, LeaseProof
from pipeline.delivery import Delivery, Route, SinkLane
from pipeline.runtime.ownership import StoreLease
from pipeline.telemetry.metrics import Metrics

SINK = "ops"
_TTL = timedelta(seconds=0.5)
_LOOK_S = 0.05
_LET_GO_S = 1.0


def main(folder: Path, sink: str) -> None:
    """Deliver and stand by until asked to end."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    (folder / str(os.getpid())).touch()  # it can be asked to end by now
    config = TypeAdapter[Any](SinkConfig).validate_python(json.loads(sink))
    clock = SystemClock()
    store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
    me = LeaseOwner(f"deliver-{os.getpid()}", "here", os.getpid())
    lease = StoreLease(store, DELIVER, me, clock, _TTL)

    def begin(proof: LeaseProof) -> Delivery:
        context = SinkContext("Shop 12", name=SINK, notes=store.notes_of(SINK, proof))
        route = Route.of(SINK, config)
        lane = SinkLane(route, config.build(context), store, clock, Metrics(), proof)
        delivery = Delivery([lane], store, clock, partial(lease.holds, proof))
        delivery.start()
        return delivery

    held: LeaseProof | None = None
    delivery: Delivery | None = None
    while not asked.wait(_LOOK_S):
        lease.look()
        if delivery is not None and lease.proof != held:
            delivery.stop(_LET_GO_S)
            delivery = None
        if delivery is None and lease.proof is not None:
            held = lease.proof
            delivery = begin(held)
        if delivery is not None:
            delivery.nudge()
    if delivery is not None:
        delivery.stop(_LET_GO_S)
    lease.end()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
