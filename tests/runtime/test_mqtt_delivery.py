"""The delivering process and a broker: outages and kills lose nothing, commands are answered."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.events import Event
from pipeline.core.measures import Health
from pipeline.core.store import DELIVER, Commit, LeaseOwner
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.runtime.ownership import StoreLease
from pipeline.runtime.reports import Report
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import ROOT
from tests.connectors.sinks.brokers import (
    Broker,
    Listener,
    broker,
    listening,
    relay_to,
)
from tests.contracts.event_tools import an_event

# A lease is taken over ten seconds after its owner was killed, also where others are at work.
pytestmark = pytest.mark.timeout(240)
BASE = "moonwatch/shop_12"
FILE = """
version: 1
site: {{name: Shop 12}}
store: {{url: "sqlite:///{store}"}}
cameras:
  door:
    source: {{type: rtsp, url: "rtsp://10.0.0.7/1"}}
    tasks: {{people: {{detect: person}}}}
    lines: {{step: {{from: [0.1, 0.6], to: [0.9, 0.6]}}}}
    rules:
      footfall: {{type: line_crossing, of: people, line: step}}
      queue: {{type: occupancy, of: people, more_than: 4, when: armed}}
sinks:
  home: {{type: mqtt, url: "{url}", commands: true, from: beginning, timeout: 20s}}
"""


def deployment(folder: Path, url: str) -> Deployment:
    """A shop with a broker."""
    return parse(FILE.format(store=folder / "shop.db", url=url)).deployment


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own."""
    with broker(tmp_path) as made:
        yield made


@contextmanager
def delivering(shop: Deployment, store: SqlStore) -> Iterator[DeliveryStage]:
    """The stage at work, polled by a thread as a process does it."""
    clock = SystemClock()
    lease = StoreLease(store, DELIVER, LeaseOwner(f"me-{os.urandom(4).hex()}", "here", 1), clock)
    context = StageContext(shop, MemoryConfig().build(clock), Metrics(), clock)
    report = Report("sampling", "here", 1, 1.0, samples=["door"])
    stage = DeliveryStage(context, store, lease, store.history, reports=lambda: [report])
    stage.start()
    over = threading.Event()

    def poll() -> None:
        while not over.wait(0.05):
            stage.poll()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield stage
    finally:
        over.set()
        thread.join()
        stage.stop(patience(5))


def first_arrivals(listener: Listener) -> list[str]:
    """The ids of the events, each where it arrived first."""
    heard = [one for one in listener.heard if one.topic == f"{BASE}/events"]
    return list(dict.fromkeys(one.user_properties["record_id"] for one in heard))


def test_an_outage_of_the_broker_loses_nothing(server: Broker, tmp_path: Path) -> None:
    """Events wait in the store and come in their order; states are right before they do."""
    with listening(server.url) as listener, relay_to(server) as relay:
        shop = deployment(tmp_path, relay.url)
        store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
        store.commit(Commit(health=[Health("door", SystemClock().now(), "online")]))
        with delivering(shop, store):
            ids = []
            for number in range(60):
                event = an_event(number)
                store.commit(Commit(events=[event]))
                ids.append(event.record_id)
                if number == 20:
                    listener.wait_for(lambda one: len(first_arrivals(one)) > 5)
                    relay.cut()
                if number == 40:
                    listener.wait_for(lambda one: one.last(f"{BASE}/availability") == b"offline")
                    queue = Event("q" * 26, "occupancy", "start", "door", "queue", 1.7e9)
                    store.commit(Commit(events=[queue]))
                    ids.append(queue.record_id)
                    relay.mend()
            listener.wait_for(lambda one: len(first_arrivals(one)) == len(ids))
            assert first_arrivals(listener) == ids
            listener.wait_for(lambda one: one.last(f"{BASE}/door/queue/active") == b"ON")
            assert listener.last(f"{BASE}/availability") == b"online"
            assert listener.last(f"{BASE}/door/availability") == b"online"
        assert store.cursor("home").behind == 0
        assert store.undelivered() == []
        listener.wait_for(lambda one: one.last(f"{BASE}/availability") == b"offline")
        store.close()


def test_a_command_is_done_and_comes_back_as_a_state(server: Broker, tmp_path: Path) -> None:
    """It is in the store, says who, is an event like any other, and outlives the process."""
    shop = deployment(tmp_path, server.url)
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
    with listening(server.url) as listener:
        with delivering(shop, store):
            state = f"{BASE}/door/armed/state"
            listener.wait_for(lambda one: one.last(state) == b"ON")
            listener.say(f"{BASE}/door/armed/set", "OFF")
            listener.wait_for(lambda one: one.last(state) == b"OFF")
            (change,) = store.armings.changes()
            assert (change.camera, change.is_armed, change.by) == ("door", False, "sink home")
            listener.wait_for(lambda one: one.last(f"{BASE}/events") is not None)
            told = json.loads(listener.last(f"{BASE}/events") or b"")
            assert told["data"]["by"] == "sink home"
            assert listener.last(f"{BASE}/armed/state") == b"ON"
        listener.heard.clear()
        with delivering(shop, store):
            listener.wait_for(lambda one: one.last(state) == b"OFF")
    store.close()


def test_a_limit_by_command_holds_until_the_file_says_another(
    server: Broker, tmp_path: Path
) -> None:
    """It outlives the process; an edit of the limit ends it, and says so like any other change."""
    shop = deployment(tmp_path, server.url)
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
    state, off = f"{BASE}/door/queue/more_than/state", f"{BASE}/door/queue/enabled/state"
    with listening(server.url) as listener:
        with delivering(shop, store):
            listener.wait_for(lambda one: one.last(state) == b"4")
            listener.say(f"{BASE}/door/queue/more_than/set", "9")
            listener.say(f"{BASE}/door/queue/enabled/set", "OFF")
            listener.wait_for(lambda one: (one.last(state), one.last(off)) == (b"9", b"OFF"))
        listener.heard.clear()
        with delivering(shop, store) as stage:
            listener.wait_for(lambda one: (one.last(state), one.last(off)) == (b"9", b"OFF"))
            door = shop.cameras["door"]
            queue = door.rules["queue"].model_copy(update={"more_than": 5})
            edited = door.model_copy(update={"rules": {**door.rules, "queue": queue}})
            stage.update(shop.model_copy(update={"cameras": {"door": edited}}))
            listener.wait_for(lambda one: one.last(state) == b"5")
            wait_until(lambda: len(store.switches.changes()) == 3)
            stage.update(shop)
            listener.wait_for(lambda one: one.last(state) == b"4")
            assert listener.last(off) == b"OFF"
    last = store.switches.changes()[-1]
    assert (last.key, last.value, last.by) == ("more_than", None, "the file")
    store.close()


def test_an_edited_file_takes_back_what_is_gone(server: Broker, tmp_path: Path) -> None:
    """A rule that is removed while it runs leaves neither entities nor states."""
    shop = deployment(tmp_path, server.url)
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
    config = "homeassistant/device/moonwatch_shop_12_door/config"
    with listening(server.url) as listener, delivering(shop, store) as stage:
        listener.wait_for(lambda one: one.last(f"{BASE}/door/queue/active") is not None)
        door = shop.cameras["door"]
        rules = {"footfall": door.rules["footfall"]}
        cameras = {"door": door.model_copy(update={"rules": rules})}
        stage.update(shop.model_copy(update={"cameras": cameras}))
        listener.wait_for(lambda one: one.last(f"{BASE}/door/queue/active") == b"")
        listener.wait_for(lambda one: "queue" not in (one.last(config) or b"queue").decode())
    store.close()


def _has_more(listener: Listener, than: int) -> bool:
    return len(first_arrivals(listener)) > than


def test_kills_lose_nothing(server: Broker, tmp_path: Path) -> None:
    """Of processes that deliver, each killed while it does; the next one goes on."""
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from connectors.stores.sql import SqlStore\n"
        "from tests.runtime.test_mqtt_delivery import delivering, deployment\n"
        "folder = Path(sys.argv[1])\n"
        "store = SqlStore(f'sqlite:///{folder}/shop.db')\n"
        "with delivering(deployment(folder, sys.argv[2]), store):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(600)\n"
    )
    ids = []
    with listening(server.url) as listener:
        for life in range(2):
            command = [sys.executable, "-c", program, str(tmp_path), server.url]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"begun\n"
                before = len(first_arrivals(listener))
                events = [an_event(number) for number in range(life * 400, (life + 1) * 400)]
                for event in events:
                    store.commit(Commit(events=[event]))
                ids += [event.record_id for event in events]
                wait_until(partial(_has_more, listener, before), 20)
                process.send_signal(signal.SIGKILL)
                process.wait(patience(10))
            listener.wait_for(lambda one: one.last(f"{BASE}/availability") == b"offline")
        with delivering(deployment(tmp_path, server.url), store):
            listener.wait_for(lambda one: len(first_arrivals(one)) == len(ids))
            wait_until(lambda: store.cursor("home").behind == 0)
        assert first_arrivals(listener) == ids
    store.close()
