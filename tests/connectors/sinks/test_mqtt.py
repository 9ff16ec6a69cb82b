"""Events and states on a real broker: acknowledged, in order, and unknown where not known."""

import gc
import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from connectors.sinks.mqtt import MqttConfig
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.sinks import Notes, NotesInMemory, Sink, SinkContext
from pipeline.core.site_state import (
    CameraLayout,
    CameraState,
    MeasureLayout,
    RuleLayout,
    RuleState,
    ShowsState,
    SiteLayout,
    SiteState,
)
from pipeline.core.switching import FileLimit, SwitchKey, SwitchRange, SwitchValue
from pipeline.testing import ManualClock, grey_pixels, patience, wait_until
from tests.connectors.sinks.brokers import (
    Broker,
    Listener,
    Relay,
    broker,
    listening,
    needs_mosquitto,
    relay_to,
    silent_place,
)
from tests.contracts.event_tools import an_event
from tests.contracts.sinks import SITE, SinkContract

CERTIFICATE = Path(__file__).with_name("certificate.pem")
BASE = "moonwatch/shop_12"
NOON = 1_700_000_000.0
QUEUE = RuleLayout(
    "occupancy",
    (MeasureLayout("mean", "mean", "people"), MeasureLayout("maximum", "max", "people")),
)
FOOTFALL = RuleLayout(
    "line_crossing",
    (MeasureLayout("entered", "sum", "crossings"), MeasureLayout("left", "sum", "crossings")),
    ("coming", "going"),
)
LAYOUT = SiteLayout(
    SITE, {"door": CameraLayout({"queue": QUEUE, "footfall": FOOTFALL})}, version="1.2.3"
)
KNOWN = RuleState(False, 2.5, 1.0, NOON, {"mean": 1.25, "maximum": 4}, 0.98, NOON - 43_200, NOON)
COUNTED = RuleState(
    today={"entered": 17.0, "left": 12.0},
    today_coverage=0.98,
    today_since=NOON - 43_200,
    today_at=NOON,
)


def site(layout: SiteLayout = LAYOUT, **fields: Any) -> SiteState:
    """A site whose one camera works, but for what `fields` say of it."""
    rules = {"queue": KNOWN, "footfall": COUNTED, **fields.pop("rules", {})}
    camera = CameraState(
        **{"works": True, "state": "online", "since": NOON, "timezone": "Europe/Berlin", **fields},
        rules={name: rules[name] for name in layout.cameras["door"].rules},
    )
    return SiteState(layout, {"door": camera})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for all tests that do not end it."""
    with broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture
def listener(server: Broker) -> Iterator[Listener]:
    """Somebody who hears everything; what others left behind is gone."""
    with listening(server.url) as made:
        made.say("ready", "1")
        made.wait_for(lambda one: one.last("ready") is not None)
        for topic in {one.topic for one in made.heard if one.retained}:
            made.say(topic, b"", retain=True)
        made.say("ready", "2")
        made.wait_for(lambda one: one.last("ready") == b"2")
        made.heard.clear()
        yield made


@pytest.fixture
def relay(server: Broker) -> Iterator[Relay]:
    """A way to the broker that can be cut."""
    with relay_to(server) as made:
        yield made


def config(url: str, **fields: Any) -> MqttConfig:
    """A sink's config for a broker on this machine."""
    return MqttConfig.model_validate({"url": url, "timeout": "20s", **fields})


def synced(listener: Listener) -> Listener:
    """The listener, once it has heard all that the broker has acknowledged so far."""
    word = os.urandom(4).hex()
    listener.say("sync", word)
    listener.wait_for(lambda one: one.last("sync") == word.encode())
    return listener


def record_ids(listener: Listener) -> list[str]:
    """The record ids of the events, in order."""
    heard = synced(listener).heard
    return [one.user_properties["record_id"] for one in heard if one.topic == f"{BASE}/events"]


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _broker(self, listener: Listener, relay: Relay) -> None:
        self.listener, self.relay = listener, relay

    def built(self) -> Sink:
        """A sink that sends by way of the relay."""
        return config(self.relay.url).build(SinkContext(SITE))

    def received(self) -> list[str]:
        """What the broker passed on."""
        return record_ids(self.listener)

    def fail(self) -> None:
        """Be out of reach."""
        self.relay.cut()

    def heal(self) -> None:
        """Be back."""
        self.relay.mend()


class TestContractOfEarlierMqtt(TestContract):
    """The same with MQTT 3.1.1, which has no properties."""

    @pytest.fixture(autouse=True)
    def _earlier(self) -> None:
        needs_mosquitto()

    def built(self) -> Sink:
        """A sink that speaks it."""
        return config(self.relay.url, protocol="3.1.1").build(SinkContext(SITE))

    def received(self) -> list[str]:
        """What the broker passed on, by the ids in the records themselves."""
        heard = synced(self.listener).on(f"{BASE}/events")
        return [json.loads(payload)["id"] for payload in heard]


def test_an_event_is_told_twice(server: Broker, listener: Listener) -> None:
    """As the CloudEvent that all sinks send, and to the entity of its rule."""
    event = replace(an_event(1), data={"direction": "in", "name": "coming"}, media=("a.jpg",))
    sink = config(server.url).build(SinkContext(SITE))
    sink.send([event])
    sink.close()
    whole, short = synced(listener).heard[:2]
    assert (whole.topic, whole.content_type) == (f"{BASE}/events", "application/cloudevents+json")
    assert json.loads(whole.payload)["id"] == event.record_id
    assert short.topic == f"{BASE}/door/footfall/event"
    assert json.loads(short.payload) == {
        "event_type": "coming",
        "phase": "single",
        "id": event.record_id,
        "type": "line_crossing",
        "at": "2023-11-14T22:13:21.000Z",
        "camera": "door",
        "direction": "in",
        "name": "coming",
        "media": ["a.jpg"],
    }
    assert (whole.retained, short.retained) == (False, False)
    # Without states nobody is said to be online, nor offline at the end.
    assert listener.last(f"{BASE}/availability") is None


def test_states_are_retained_and_availability_is_last(server: Broker, listener: Listener) -> None:
    """Whoever sees `online` finds states that are true; unchanged ones are not said again."""
    sink = config(server.url).build(SinkContext(SITE))
    sink.show(site(), 1.5, 2)
    heard = [one.topic for one in synced(listener).heard if one.topic.startswith(BASE)]
    assert heard[-1] == f"{BASE}/availability"
    assert heard.index(f"{BASE}/door/availability") > heard.index(f"{BASE}/door/queue/now")
    with listening(server.url, f"{BASE}/#") as late:
        synced_late = {one.topic: one for one in _after(late, f"{BASE}/availability").heard}
    assert all(one.retained for one in synced_late.values())
    said = {topic.removeprefix(f"{BASE}/"): one.payload for topic, one in synced_late.items()}
    assert said["availability"] == said["door/availability"] == b"online"
    assert said["door/queue/active"] == b"OFF"
    assert json.loads(said["door/queue/now"]) == {
        "value": 2.5,
        "coverage": 1.0,
        "at": "2023-11-14T22:13:20.000Z",
    }
    assert json.loads(said["door/footfall/today"]) == {
        "entered": 17,
        "left": 12,
        "net": 5,
        "coverage": 0.98,
        "since": "2023-11-14T11:13:20+01:00",
        "at": "2023-11-14T22:13:20.000Z",
    }
    assert json.loads(said["state"]) == {
        "delivery_lag_s": 1.5,
        "undelivered": 2,
        "version": "1.2.3",
    }
    listener.heard.clear()
    sink.show(site(), 1.5, 2)
    assert [one.topic for one in synced(listener).heard] == ["sync"]
    sink.show(site(rules={"queue": replace(KNOWN, active=True)}), 1.5, 2)
    assert [one.topic for one in synced(listener).heard if one.topic != "sync"] == [
        f"{BASE}/door/queue/active"
    ]
    sink.close()
    assert synced(listener).last(f"{BASE}/availability") == b"offline"


def _after(listener: Listener, topic: str) -> Listener:
    """The listener, once a topic has said something."""
    listener.wait_for(lambda one: one.last(topic) is not None)
    return listener


def test_unknown_is_never_zero(server: Broker, listener: Listener) -> None:
    """Of a camera that does not work nothing is known, and of a day that was not seen no count."""
    sink = config(server.url).build(SinkContext(SITE))
    nothing = RuleState(today={"entered": None, "left": 12.0}, today_since=NOON)
    state = site(works=False, state="offline", rules={"footfall": nothing})
    sink.show(state, 0.0, 0)
    synced(listener)
    assert listener.last(f"{BASE}/door/availability") == b"offline"
    assert listener.last(f"{BASE}/door/queue/active") == b"None"
    assert json.loads(listener.last(f"{BASE}/door/queue/now") or b"")["value"] is None
    today = json.loads(listener.last(f"{BASE}/door/footfall/today") or b"")
    assert (today["entered"], today["left"], today["net"]) == (None, 12, None)
    assert today["coverage"] == 0
    sink.close()


def test_levels_are_said_again_and_the_state_beats(server: Broker, listener: Listener) -> None:
    """Home Assistant lets a level expire, and whoever asks sees when delivery was last alive."""
    clock = ManualClock()
    sink = config(server.url).build(SinkContext(SITE, clock=clock))
    state = site()
    sink.show(state, 0.0, 0)
    for _ in range(3):
        clock.advance(31)
        sink.show(state, 0.0, 0)
    assert len(synced(listener).on(f"{BASE}/state")) == 4
    assert len(listener.on(f"{BASE}/door/queue/now")) == 2
    assert len(listener.on(f"{BASE}/door/queue/today")) == 1
    sink.close()


def test_the_picture_is_there_before_its_event(server: Broker, listener: Listener) -> None:
    """As a JPEG of the last event of each camera that has one; retained only where wanted."""
    made, jpeg = cv2.imencode(".jpg", grey_pixels((2000, 1000)))
    assert made
    pictures = {"door/1.jpg": jpeg.tobytes(), "door/2.jpg": jpeg.tobytes(), "door/3.jpg": b"?"}
    events = [replace(an_event(number), media=(f"door/{number}.jpg",)) for number in (1, 2)]
    spoiled = replace(an_event(3, camera="yard"), media=("door/3.jpg",))
    context = SinkContext(SITE, read=pictures.get)
    for retain in (False, True):
        synced(listener).heard.clear()
        sink = config(server.url, retain=retain).build(context)
        sink.send([*events, an_event(4), spoiled])
        sink.close()
        first, *others = synced(listener).heard
        assert first.topic == f"{BASE}/door/snapshot"
        assert first.user_properties == {"record_id": events[1].record_id}
        assert first.content_type == "image/jpeg"
        pixels = cv2.imdecode(np.frombuffer(first.payload, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape == (640, 1280, 3)
        assert not [one.topic for one in others if one.topic.endswith("/snapshot")]
        with listening(server.url, f"{BASE}/door/snapshot") as late:
            late.say(f"{BASE}/door/snapshot", b"over")
            late.wait_for(lambda one: one.last(f"{BASE}/door/snapshot") == b"over")
            assert [one.retained for one in late.heard] == [True, False][not retain :]
    synced(listener).heard.clear()
    sink = config(server.url, pictures=False).build(context)
    sink.send(events)
    sink.close()
    assert not [one for one in synced(listener).heard if one.topic.endswith("/snapshot")]


def test_what_is_not_acknowledged_in_time_fails(relay: Relay, listener: Listener) -> None:
    """And is not sent later behind our back: it is sent again by whoever kept it."""
    sink = config(relay.url, timeout="500ms").build(SinkContext(SITE))
    wait_until(lambda: _sends(sink, 1))  # a machine that stalls needs more than one attempt
    relay.silence()
    with pytest.raises(SinkError, match=r"has acknowledged nothing for 0\.5 s") as caught:
        sink.send([an_event(2)])
    assert caught.value.retryable
    relay.mend()
    assert set(record_ids(listener)) == {an_event(1).record_id}
    wait_until(lambda: _sends(sink, 2))
    assert set(record_ids(listener)) == {an_event(1).record_id, an_event(2).record_id}
    sink.close()


def _shows(sink: ShowsState) -> bool:
    try:
        sink.show(site(), 0.0, 0)
    except SinkError:
        return False
    return True


def _sends(sink: Sink, number: int) -> bool:
    try:
        sink.send([an_event(number)])
    except SinkError:
        return False
    return True


def test_a_broker_that_says_nothing_is_not_waited_for() -> None:
    """Connecting has a deadline of its own."""
    with silent_place() as port:
        sink = config(f"mqtt://127.0.0.1:{port}", timeout="300ms").build(SinkContext(SITE))
        with pytest.raises(SinkError, match=r"mqtt://127.0.0.1:\d+ does not answer within 0.3 s"):
            sink.send([an_event(1)])
        sink.close()


def test_nobody_there_is_said(server: Broker) -> None:
    """With the place, and what the system says."""
    with silent_place() as port:
        pass
    sink = config(f"mqtt://127.0.0.1:{port}").build(SinkContext(SITE))
    with pytest.raises(SinkError, match="cannot be reached: Connection refused"):
        sink.send([an_event(1)])
    sink.close()


def test_a_connection_that_breaks_says_offline_and_all_is_said_again(
    relay: Relay, listener: Listener
) -> None:
    """The broker tells the will; the next connection shows everything, `online` as the last."""
    sink = config(relay.url).build(SinkContext(SITE))
    sink.show(site(), 0.0, 0)
    relay.cut()
    listener.wait_for(lambda one: one.last(f"{BASE}/availability") == b"offline")
    wait_until(lambda: not _shows(sink))  # our end may hear of it a moment later
    relay.mend()
    listener.heard.clear()
    sink.show(site(), 0.0, 0)
    heard = [one.topic for one in synced(listener).heard if one.topic != "sync"]
    assert heard[-1] == f"{BASE}/availability"
    assert listener.last(f"{BASE}/availability") == b"online"
    assert f"{BASE}/door/queue/now" in heard
    assert "homeassistant/device/moonwatch_shop_12_door/config" in heard
    sink.close()


def test_connections_leave_nothing_behind(relay: Relay, listener: Listener) -> None:
    """Neither threads nor sockets, however often the broker was out of reach."""
    sink = config(relay.url).build(SinkContext(SITE))

    def open_files() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    def fails() -> None:
        relay.cut()
        for _ in range(2):
            with pytest.raises(SinkError):
                sink.send([an_event(1)])
        relay.mend()
        sink.show(site(), 0.0, 0)

    fails()
    gc.disable()
    try:
        threads, files = threading.active_count(), open_files()
        for _ in range(5):
            fails()
        # Threads that carry the relay's connections end a moment after those.
        wait_until(lambda: threading.active_count() <= threads)
        wait_until(lambda: open_files() <= files)
    finally:
        gc.enable()
    sink.close()


def test_a_will_that_comes_late_is_put_right(server: Broker, listener: Listener) -> None:
    """As of a process that lost its power: the one that took over is online all the same."""
    sink = config(server.url).build(SinkContext(SITE))
    sink.show(site(), 0.0, 0)
    listener.say(f"{BASE}/availability", "offline", retain=True)

    def is_online() -> bool:
        sink.show(site(), 0.0, 0)
        return synced(listener).last(f"{BASE}/availability") == b"online"

    wait_until(is_online)
    sink.close()


class Switchboard:
    """What was commanded, and whether that can be noted."""

    def __init__(self) -> None:
        self.done: list[tuple[str | None, bool, str]] = []
        self.failures = 0

    def arm(self, camera: str | None, is_armed: bool, by: str) -> None:
        """Note it, or fail."""
        if self.failures:
            self.failures -= 1
            raise StoreError("the store is locked")
        self.done.append((camera, is_armed, by))


class Rules:
    """What was switched of rules, and instead of what."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, SwitchKey, SwitchValue, str, FileLimit | None]] = []

    def switch(
        self,
        camera: str,
        rule: str,
        key: SwitchKey,
        value: SwitchValue,
        by: str,
        *,
        instead_of: FileLimit | None = None,
    ) -> None:
        """Note it."""
        self.done.append((camera, rule, key, value, by, instead_of))


SWITCHED = replace(
    LAYOUT,
    cameras={
        "door": CameraLayout(
            {"queue": replace(QUEUE, limits=SwitchRange(0, 50), more_than=4), "footfall": FOOTFALL}
        )
    },
)
ENABLED_AT, LIMIT_AT = f"{BASE}/door/queue/enabled", f"{BASE}/door/queue/more_than"


def switched(*, is_on: bool = True, more_than: int | None = 4) -> SiteState:
    """The site, as its rules are switched."""
    rules = {
        "queue": replace(KNOWN, is_on=is_on, more_than=more_than),
        "footfall": replace(COUNTED, is_on=True),
    }
    return site(SWITCHED, rules=rules)


def test_commands_switch_rules_and_change_their_limits(server: Broker, listener: Listener) -> None:
    """Of each rule that tells events, with the numbers that it takes; the answer is the state."""
    rules = Rules()
    context = SinkContext(SITE, name="home", switch=rules.switch)
    sink = config(server.url, commands=True).build(context)
    state = switched()
    sink.show(state, 0.0, 0)
    made = json.loads(synced(listener).last(TestAnnounced.CONFIG) or b"")["components"]
    assert listener.last(f"{ENABLED_AT}/state") == b"ON"
    assert listener.last(f"{LIMIT_AT}/state") == b"4"
    number, onoff = made["queue_more_than"], made["queue_enabled"]
    assert [number[key] for key in ("platform", "min", "max", "step")] == ["number", 0, 50, 1]
    assert (onoff["platform"], onoff["entity_category"]) == ("switch", "config")
    assert "footfall_enabled" in made
    assert "footfall_more_than" not in made
    listener.say(number["command_topic"], "7.0")
    listener.say(onoff["command_topic"], "off")
    listener.say(f"{BASE}/door/footfall/enabled/set", "ON")

    def is_done() -> bool:
        sink.show(state, 0.0, 0)
        return len(rules.done) == 3

    wait_until(is_done)
    by = "sink home"
    assert sorted(rules.done, key=str) == [
        ("door", "footfall", "enabled", True, by, None),
        ("door", "queue", "enabled", False, by, None),
        ("door", "queue", "more_than", 7, by, FileLimit(4)),
    ]
    sink.show(switched(is_on=False, more_than=None), 0.0, 0)
    assert synced(listener).last(f"{ENABLED_AT}/state") == b"OFF"
    assert listener.last(f"{LIMIT_AT}/state") == b"None"
    sink.close()


def test_commands_for_rules_that_are_not_meant(
    server: Broker, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """Rubbish is answered by what holds; what was retained, and other rules', is not obeyed."""
    rules, notes = Rules(), NotesInMemory()
    listener.say(f"{ENABLED_AT}/set", "OFF", retain=True)
    context = SinkContext(SITE, name="home", switch=rules.switch, notes=notes)
    sink = config(server.url, commands=True).build(context)
    state = switched()
    sink.show(state, 0.0, 0)
    told = len(synced(listener).on(f"{LIMIT_AT}/state"))
    rubbish = ("51", "-1", "4.5", "many", "nan", "inf", "9" * 400, "1_0", "")
    for n, payload in enumerate(rubbish, 1):
        listener.say(f"{LIMIT_AT}/set", payload)

        def is_said(n: int = n) -> bool:
            sink.show(state, 0.0, 0)
            return caplog.text.count("is no whole number from 0 to 50") == n

        wait_until(is_said)
    listener.say(f"{BASE}/door/footfall/more_than/set", "4")
    listener.say(f"{BASE}/yard/queue/enabled/set", "OFF")
    listener.say(f"{ENABLED_AT}/set", "1")

    def is_refused() -> bool:
        sink.show(state, 0.0, 0)
        return "enabled/set is neither ON nor OFF" in caplog.text

    wait_until(is_refused)
    assert rules.done == []
    assert synced(listener).on(f"{LIMIT_AT}/state")[told:] == [b"4"] * len(rubbish)
    sink.close()
    deaf = config(server.url).build(context)
    deaf.show(replace(state, layout=replace(SWITCHED)), 0.0, 0)
    made = json.loads(synced(listener).last(TestAnnounced.CONFIG) or b"")["components"]
    assert made.keys() & {"queue_enabled", "queue_more_than"} == set()
    assert listener.last(f"{LIMIT_AT}/state") == listener.last(f"{ENABLED_AT}/state") == b""
    deaf.close()


GUARDED = replace(LAYOUT, cameras={"door": replace(LAYOUT.cameras["door"], can_be_armed=True)})


def test_commands_arm_and_disarm_and_the_answer_is_the_state(
    server: Broker, listener: Listener
) -> None:
    """All cameras or one; each once, also when the store could not be written at first."""
    board = Switchboard()
    context = SinkContext(SITE, name="home", arm=board.arm)
    sink = config(server.url, commands=True).build(context)
    state = site(GUARDED, is_armed=False)
    sink.show(state, 0.0, 0)
    assert synced(listener).last(f"{BASE}/door/armed/state") == b"OFF"
    switch = json.loads(listener.last(TestAnnounced.CONFIG) or b"")["components"]["armed"]
    assert switch["command_topic"] == f"{BASE}/door/armed/set"
    board.failures = 1
    listener.say(switch["command_topic"], "ON")

    def is_done() -> bool:
        try:
            sink.show(state, 0.0, 0)
        except StoreError:
            return False
        return bool(board.done)

    wait_until(is_done)
    assert board.done == [("door", True, "sink home")]
    listener.say(f"{BASE}/armed/set", "off")
    wait_until(lambda: is_done() and len(board.done) == 2)
    assert board.done[1] == (None, False, "sink home")
    sink.show(site(GUARDED, is_armed=True), 0.0, 0)
    assert synced(listener).last(f"{BASE}/door/armed/state") == b"ON"
    sink.close()


def test_commands_that_are_not_meant_are_not_obeyed(
    server: Broker, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """What was retained, what is no command, what is for an unknown camera, or not for us."""
    board = Switchboard()
    for topic in (f"{BASE}/armed/set", f"{BASE}/door/armed/set"):
        listener.say(topic, "OFF", retain=True)
    context = SinkContext(SITE, name="home", arm=board.arm)
    sink = config(server.url, commands=True).build(context)
    state = site(GUARDED)
    sink.show(state, 0.0, 0)
    listener.say(f"{BASE}/yard/armed/set", "ON")
    listener.say(f"{BASE}/armed/set", "maybe")

    def is_said() -> bool:
        sink.show(state, 0.0, 0)
        return "neither ON nor OFF" in caplog.text

    wait_until(is_said)
    assert board.done == []
    sink.close()
    deaf = config(server.url).build(context)
    deaf.show(site(replace(GUARDED)), 0.0, 0)
    assert (
        "armed" not in json.loads(synced(listener).last(TestAnnounced.CONFIG) or b"")["components"]
    )
    listener.say(f"{BASE}/armed/set", "ON")
    synced(listener)
    deaf.show(state, 0.0, 0)
    assert board.done == []
    deaf.close()


KILLED = """
import sys, time
from tests.connectors.sinks.test_mqtt import BASE, SITE, config, site
from pipeline.core.sinks import SinkContext
sink = config(sys.argv[1]).build(SinkContext(SITE))
sink.show(site(), 0.0, 0)
print("shown", flush=True)
time.sleep(600)
"""


def test_a_killed_process_is_offline_and_another_takes_over(
    server: Broker, listener: Listener
) -> None:
    """Two processes have different client ids: neither throws the other out."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"shown\n"
        sink = config(server.url).build(SinkContext(SITE))
        sink.show(site(), 0.0, 0)
        process.send_signal(signal.SIGKILL)
        process.wait(patience(10))
    listener.wait_for(lambda one: b"offline" in one.on(f"{BASE}/availability"))

    def is_online() -> bool:
        sink.show(site(), 0.0, 0)
        return synced(listener).last(f"{BASE}/availability") == b"online"

    wait_until(is_online)
    sink.close()
    assert synced(listener).last(f"{BASE}/availability") == b"offline"


def test_a_login_that_is_refused_is_said(tmp_path: Path) -> None:
    """With what helps, and without the password."""
    needs_mosquitto()
    passwords, rules = tmp_path / "passwords", tmp_path / "rules"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "moon", "watch-me"], check=True)
    rules.write_text(f"user moon\ntopic readwrite {BASE}/#\ntopic read homeassistant/status\n")
    for file in (passwords, rules):
        file.chmod(0o600)
    options = (f"password_file {passwords}", f"acl_file {rules}", "allow_anonymous false")
    with broker(tmp_path, *options) as made:
        for login in ({}, {"user": "moon", "password": "watch-mf"}):
            sink = config(made.url, **login).build(SinkContext(SITE))
            with pytest.raises(
                SinkError, match=r"refuses the connection: .*check `user`"
            ) as caught:
                sink.send([an_event(1)])
            assert "watch-m" not in str(caught.value)
            assert caught.value.retryable
            sink.close()
        allowed = {"user": "moon", "password": "watch-me"}
        sink = config(made.url, **allowed).build(SinkContext(SITE))
        sink.send([an_event(1)])
        sink.close()
        sink = config(made.url, base="elsewhere", **allowed).build(SinkContext(SITE))
        with pytest.raises(SinkError, match="refuses messages for elsewhere/events: Not author"):
            sink.send([an_event(1)])
        sink.close()


def test_tls_trusts_only_whom_it_is_told_to(tmp_path: Path) -> None:
    """A broker with an authority of its own, clients' certificates included."""
    options = (
        f"cafile {CERTIFICATE}",
        f"certfile {CERTIFICATE}",
        f"keyfile {CERTIFICATE}",
        "require_certificate true",
        "allow_anonymous true",
    )
    with broker(tmp_path, *options) as made:
        url = made.url.replace("mqtt:", "mqtts:")
        own = {"certificate": str(CERTIFICATE)}
        sink = config(url, tls=own).build(SinkContext(SITE))
        with pytest.raises(SinkError, match="has a certificate that is not trusted"):
            sink.send([an_event(1)])
        sink.close()
        for trusting in ({"ca": str(CERTIFICATE)}, {"verify": False}):
            sink = config(url, tls={**own, **trusting}).build(SinkContext(SITE))
            sink.send([an_event(1)])
            sink.close()
        sink = config(made.url, timeout="2s").build(SinkContext(SITE))
        with pytest.raises(SinkError, match=r"broke the connection off|does not answer within"):
            sink.send([an_event(1)])
        sink.close()


def test_files_of_tls_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    """When the sink is built, with their names."""
    empty = tmp_path / "ca.pem"
    empty.write_text("no certificate\n")
    with pytest.raises(SinkError, match=r"ca\.pem\) cannot be used") as caught:
        config("mqtts://127.0.0.1", tls={"ca": str(empty)}).build(SinkContext(SITE))
    assert isinstance(caught.value.__cause__, OSError | ssl.SSLError)


def test_a_message_that_is_too_large_is_refused_for_good(tmp_path: Path) -> None:
    """It would be too large the next time as well; the connection stays."""
    with broker(tmp_path, "allow_anonymous true", "max_packet_size 4000") as made:
        sink = config(made.url).build(SinkContext(SITE))
        large = replace(an_event(1), data={"words": "x" * 5000})
        with pytest.raises(SinkError, match="takes messages of at most 4000 bytes") as caught:
            sink.send([large])
        assert not caught.value.retryable
        sink.send([an_event(2)])
        sink.close()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"url": "http://broker.local"}, "is not mqtt:// or mqtts:// with a host"),
        ({"url": "mqtt://moon:watch@broker.local"}, "has a login; write `user` and `password`"),
        ({"url": "mqtt://broker.local/topic"}, "goes on after the host and port"),
        ({"url": "mqtt://broker.local:mqtt"}, "is not mqtt:// or mqtts:// with a host"),
        ({"url": "mqtt://broker.local:0"}, "is not mqtt:// or mqtts:// with a host"),
        ({"url": "mqtt://moon:wa/tch@broker.local"}, "is not mqtt:// or mqtts:// with a host"),
        ({"url": "mqtt://broker local"}, "is not mqtt:// or mqtts:// with a host"),
        ({"tls": {"key": "key.pem"}, "url": "mqtts://broker.local"}, "needs a `tls.certificate`"),
        ({"password": "watch"}, "needs a `user`"),
        ({"tls": {"verify": False}}, "`tls` is for mqtts"),
        ({"base": "moonwatch/#"}, "is not a topic"),
        ({"base": "/moonwatch"}, "has an empty level"),
        ({"base": "$SYS/moonwatch"}, "is not a topic"),
        ({"discovery": {"prefix": "home+"}}, "is not a topic"),
        ({"protocol": "4"}, "'5' or '3.1.1'"),
        ({"keep_alive": "2s"}, "is not between 5s and 1h"),
        ({"max_age": 10}, "unit"),
    ],
)
def test_mistakes_are_said(fields: dict[str, Any], why: str) -> None:
    """With the way out."""
    with pytest.raises(ValidationError, match=why):
        MqttConfig.model_validate({"url": "mqtt://broker.local", **fields})


def test_ports_follow_from_the_url() -> None:
    """Unless it has one."""
    urls = ("mqtt://broker.local", "mqtts://broker.local", "mqtt://[::1]:1884")
    assert [config(url).port for url in urls] == [1883, 8883, 1884]


class TestAnnounced:
    """What Home Assistant is told, and what is taken back."""

    CONFIG = "homeassistant/device/moonwatch_shop_12_door/config"
    SITE_CONFIG = "homeassistant/device/moonwatch_shop_12/config"

    @pytest.fixture(autouse=True)
    def _broker(self, server: Broker, listener: Listener) -> None:
        self.server, self.listener = server, listener
        self.notes: Notes = NotesInMemory()

    def show(self, *states: SiteState, **fields: Any) -> Listener:
        """What is heard of a process that shows these, one after another."""
        self.listener.heard.clear()
        sink = config(self.server.url, **fields).build(SinkContext(SITE, notes=self.notes))
        for state in states:
            sink.show(state, 0.0, 0)
        sink.close()
        return synced(self.listener)

    def test_what_is_gone_is_removed(self) -> None:
        """A rule that was renamed leaves no entity behind, nor its states on the broker."""
        before = json.loads(self.show(site()).last(self.CONFIG) or b"")["components"]
        renamed = site(replace(LAYOUT, cameras={"door": CameraLayout({"queue": QUEUE})}))
        first, last = (json.loads(one)["components"] for one in self.show(renamed).on(self.CONFIG))
        gone = {name for name in before if name.startswith("footfall_")}
        assert gone
        assert {name: first[name] for name in gone} == {
            name: {"platform": before[name]["platform"]} for name in gone
        }
        assert last == {name: one for name, one in before.items() if name not in gone}
        assert self.listener.on(f"{BASE}/door/footfall/today") == [b""]
        assert len(self.show(renamed).on(self.CONFIG)) == 1

    def test_a_removed_camera_is_removed(self) -> None:
        """With all that a broker keeps of it, also while the process goes on."""
        none = SiteState(replace(LAYOUT, cameras={}), {})
        heard = self.show(site(), none)
        assert heard.on(self.CONFIG)[-1] == b""
        assert heard.last(f"{BASE}/door/queue/now") == b""
        assert heard.last(f"{BASE}/door/availability") == b""
        assert self.show(none).last(self.CONFIG) is None

    def test_a_kill_in_between_leaves_nothing_behind(self) -> None:
        """What is about to be announced is noted before, and forgotten after it is taken back."""
        kept = dict(self.notes.notes())
        self.show(site())
        announced = dict(self.notes.notes())
        assert not kept
        assert announced
        none = SiteState(replace(LAYOUT, cameras={}), {})
        self.show(none)
        self.notes.take_down(announced)  # as though it had been killed before it could forget
        assert self.show(none).last(self.CONFIG) == b""

    def test_nothing_is_announced_when_not_wanted(self) -> None:
        """And what was announced before is taken back; states stay."""
        self.show(site())
        heard = self.show(site(), discovery=False)
        assert heard.on(self.CONFIG) == heard.on(self.SITE_CONFIG) == [b""]
        assert heard.last(f"{BASE}/door/queue/active") == b"OFF"
        assert self.show(site(), discovery=False).on(self.CONFIG) == []

    def test_another_prefix_and_base_leave_nothing_behind(self) -> None:
        """The old topics are cleared."""
        self.show(site())
        heard = self.show(site(), discovery={"prefix": "ha"})
        assert heard.last(self.CONFIG) == b""
        assert heard.last("ha/device/moonwatch_shop_12_door/config")
        heard = self.show(site(), base="shop")
        assert heard.last("ha/device/moonwatch_shop_12_door/config") == b""
        assert heard.last(f"{BASE}/door/queue/now") == b""
        assert heard.last("homeassistant/device/shop_door/config")

    def test_home_assistant_is_told_again_when_it_starts(self) -> None:
        """A moment after it says so; what a broker has kept of that is of the past."""
        clock = ManualClock()
        sink = config(self.server.url).build(SinkContext(SITE, clock=clock, notes=self.notes))
        state = site()
        sink.show(state, 0.0, 0)
        synced(self.listener).heard.clear()
        self.listener.say("homeassistant/status", "online")

        def is_told() -> bool:
            sink.show(state, 0.0, 0)
            clock.advance(0.5)
            return synced(self.listener).last(self.CONFIG) is not None

        wait_until(is_told)
        assert clock.monotonic() >= 1.0
        sink.close()

    def test_a_note_that_cannot_be_read_is_none(self) -> None:
        """A damaged memory keeps nobody from being told."""
        self.notes.take_down({"device moonwatch_shop_12_door": "{", "device x": '{"topic": 1}'})
        assert self.show(site()).last(self.CONFIG)
