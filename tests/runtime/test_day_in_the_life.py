"""A day of a small site: what the guard's phone, the broker and the file are told, and when."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.events import Event
from pipeline.core.observations import frames_of
from pipeline.core.store import Span
from tests.cli.commands import moonwatch
from tests.connectors.sinks.brokers import Listener, Relay, broker, needs_mosquitto, relay_to
from tests.connectors.sinks.phone import Phone, phone_on
from tests.connectors.sources.servers import http_camera
from tests.connectors.sources.test_http import still
from tests.runtime.clips import CLIP, written
from tests.runtime.fleet import Member, wait_for

# Only a test that fails takes as long: each wait ends by itself much earlier.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EVENTS = "moonwatch/shop_12/events"
CROWD = 4  # more than are there at night
WITHIN_S = 20.0  # on an idle machine; ten times as long before the test fails


class Yard:
    """A camera whose pictures show what the test says, each a little different, as real ones."""

    def __init__(self) -> None:
        nobody, somebody, crowd = _scenes()
        self._scenes = {"nobody": nobody, "somebody": somebody, "a crowd": crowd}
        self.shows("nobody")

    def shows(self, what: str) -> None:
        """What is in the pictures from now on."""
        noise = np.random.default_rng(1)
        scene = self._scenes[what].astype(np.int16)
        pictures = [scene + noise.integers(-3, 4, scene.shape, np.int16) for _ in range(4)]
        shown = [np.clip(picture, 0, 255).astype(np.uint8) for picture in pictures]
        self._pictures = cycle([cv2.imencode(".jpg", one)[1].tobytes() for one in shown])

    def page(self, request: BaseHTTPRequestHandler) -> None:
        """The picture of now."""
        still(next(self._pictures))(request)


@cache
def _scenes() -> tuple[Any, Any, Any]:
    """The plaza of the bundled clip: with nobody, with one walker in the dark, with all of them."""
    with av.open(str(CLIP)) as clip:
        frames = [
            picture.to_ndarray(format="bgr24")
            for number, picture in enumerate(clip.decode(video=0))
            if number % 40 == 0
        ]
    # Whoever walks is gone from what most pictures agree on.
    empty = np.median(np.stack(frames).astype(np.float32), axis=0).astype(np.uint8)
    crowd = frames[16]
    single = empty.copy()
    height, width = empty.shape[:2]
    rows = slice(int(0.34 * height), int(0.56 * height))
    columns = slice(int(0.81 * width), int(0.91 * width))
    single[rows, columns] = crowd[rows, columns]
    return (empty // 2, single // 2, crowd)


class Day:
    """The process at work, and what came of it everywhere."""

    def __init__(self, folder: Path, yard: Yard, phone: Phone, relay: Relay, camera: str) -> None:
        self.yard, self.phone = yard, phone
        self.file = written(
            folder,
            {
                "version": 1,
                "site": {"name": "Shop 12", "timezone": "Europe/Berlin"},
                "store": {"url": f"sqlite:///{folder}/shop.db"},
                "engines": {"fast": {"type": "coco", "threads": 1, "min_score": 0.5}},
                "cameras": {
                    "yard": {
                        "source": {"type": "http", "url": camera, "poll": "200ms"},
                        "sample": {"every": "200ms"},
                        "tasks": {"people": {"detect": "person"}},
                        "rules": {
                            "intruder": {
                                "type": "occupancy",
                                "of": "people",
                                "more_than": 0,
                                "when": "armed",
                                "snapshot": True,
                            }
                        },
                    }
                },
                "sinks": {
                    "guard": {
                        "type": "notify",
                        "url": phone.json_url,
                        "body": "{{ id }}",
                        "at_most": None,
                        "picture_wait": "1m",
                        "timeout": "2m",
                    },
                    "home": {"type": "mqtt", "url": relay.url},
                    "log": {"type": "jsonl", "path": str(folder / "events.jsonl")},
                },
            },
        )
        self._log = folder / "events.jsonl"
        self.listeners: list[Listener] = []
        self.store = SqlStore(f"sqlite:///{folder}/shop.db")
        self.process = Member("run", ["run", str(self.file)], folder / "run.log")

    def until(self, fact: Callable[[], bool]) -> None:
        """Wait for it, while the process goes on."""
        wait_for(lambda: not self.process.has_ended and fact(), WITHIN_S, self.said)

    def pictures_shown(self) -> int:
        """How many messages on the phone have a picture."""
        return sum(message.content is not None for message in self.phone.messages)

    def said(self) -> str:
        """What there is to know where something did not happen."""
        return f"{self.process.said()}\n--- events\n{self.written()}\n{self.phone.texts}"

    def stored(self) -> list[Event]:
        """The events in the store."""
        return [kept.event for kept in self.store.events_after(0, 100_000)]

    def intruders(self) -> list[Event]:
        """Those of the rule that asks whether it is armed."""
        return [event for event in self.stored() if event.rule == "intruder"]

    def written(self) -> list[dict[str, Any]]:
        """The whole lines of the file."""
        if not self._log.exists():
            return []
        lines = self._log.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def written_ids(self) -> set[str]:
        """Their ids."""
        return {line["id"] for line in self.written()}

    def heard_ids(self) -> set[str]:
        """Ids of events that were at the broker, over all of its lives."""
        heard = [one for listener in self.listeners for one in listener.heard]
        return {one.user_properties["record_id"] for one in heard if one.topic == EVENTS}

    def is_everywhere(self) -> bool:
        """Whether all that happened so far is in the file, at the broker and on the phone."""
        stored = self.stored()
        ids = {event.record_id for event in stored}
        begun = {e.record_id for e in stored if e.rule == "intruder" and e.phase == "start"}
        told = set(self.phone.texts)
        return ids <= self.written_ids() and ids <= self.heard_ids() and begun <= told

    def is_judged(self, since: float) -> bool:
        """Whether a picture that was taken later than that was judged."""
        blocks = self.store.observations("yard", span=Span(since))
        return any(
            frame.result.captured_at > since for block in blocks for frame in frames_of(block)
        )

    def most(self) -> float:
        """The largest number of people in any minute."""
        buckets = self.store.history.buckets("yard", "intruder")
        return max((bucket.values["maximum"] or 0 for bucket in buckets), default=0)

    def somebody_comes_and_goes(self) -> Event:
        """The rule's event of the coming."""
        before = len(self.intruders())
        self.yard.shows("somebody")
        self.until(lambda: any(e.phase == "start" for e in self.intruders()[before:]))
        self.yard.shows("nobody")
        self.until(lambda: self.intruders()[-1].phase == "end")
        return next(e for e in self.intruders()[before:] if e.phase == "start")

    def switched(self, word: str) -> float:
        """Arm or disarm by hand; from when on it holds, once it does for what is judged."""
        code, said, errors = moonwatch(word, self.file, "--by", "guard", "--json")
        assert code == 0, errors
        (change,) = json.loads(said)
        # Whoever judges looks for changes twice a second, so this picture and later ones know it.
        since = max(change["at"], time.time() + 1)
        self.until(lambda: self.is_judged(since))
        return float(change["at"])


@contextmanager
def beginning(folder: Path, relay: Relay) -> Iterator[Day]:
    """The process has begun, and is ended whatever happens."""
    yard = Yard()
    with phone_on() as phone, http_camera(yard.page) as camera:
        day = Day(folder, yard, phone, relay, camera)
        phone.answers.append(503)
        day.process.start()
        try:
            yield day
        finally:
            process = day.process.process
            if process is not None and process.poll() is None:
                day.process.kill()
            for listener in day.listeners:
                listener.close()
            day.store.close()


def test_a_day_in_the_life(tmp_path: Path) -> None:
    """Somebody at night is on the phone, an outage loses nothing, and disarmed it is silent."""
    needs_mosquitto()
    with broker(tmp_path) as server, relay_to(server) as relay, beginning(tmp_path, relay) as day:
        phone = day.phone
        day.listeners.append(Listener(server.url))

        # Night: somebody is in the yard, and the guard sees who.
        first = day.somebody_comes_and_goes()
        day.until(day.is_everywhere)
        (told,) = [message for message in phone.messages if message.text == first.record_id]
        assert told.content is not None
        picture = cv2.imdecode(np.frombuffer(told.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (576, 768, 3)
        assert len(phone.asked) > len(phone.messages)  # it was busy once, and was asked again

        # The broker dies, which keeps nothing from the phone, and comes back.
        relay.cut()  # so that somebody listens again before moonwatch is back
        (listener,) = day.listeners
        listener.say("test", "all before this was heard")
        listener.wait_for(lambda one: one.last("test") is not None)
        listener.close()
        server.stop()
        away = [day.somebody_comes_and_goes().record_id for _ in range(2)]
        day.until(lambda: set(away) <= set(phone.texts) and set(away) <= day.written_ids())
        assert day.store.cursor("home").behind >= len(away)
        server.start()
        day.listeners.append(Listener(server.url))
        relay.mend()
        day.until(day.is_everywhere)

        # Day: the guard disarms, and customers are counted and are no news.
        disarmed_at = day.switched("disarm")
        reported, shown = len(day.intruders()), day.pictures_shown()
        assert day.most() < CROWD
        day.yard.shows("a crowd")
        day.until(lambda: day.most() >= CROWD)
        day.yard.shows("nobody")
        emptied_at = time.time()
        day.until(lambda: day.is_judged(emptied_at + 1))
        assert len(day.intruders()) == reported
        assert day.pictures_shown() == shown

        # Night again.
        armed_at = day.switched("arm")
        last = day.somebody_comes_and_goes()
        day.until(day.is_everywhere)
        assert last.at >= armed_at
        assert all(not disarmed_at <= event.at < armed_at for event in day.intruders())
        assert last.record_id in phone.texts
        changes = [line["data"] for line in day.written() if line["subject"] == "arming"]
        assert [(one["armed"], one["by"]) for one in changes] == [(False, "guard"), (True, "guard")]

        day.process.signal(signal.SIGTERM)
        wait_for(lambda: day.process.has_ended, WITHIN_S, day.said)
        assert "Traceback" not in day.process.said()
        assert day.store.undelivered() == []
        ids = [line["id"] for line in day.written()]
        assert len(ids) == len(set(ids))
