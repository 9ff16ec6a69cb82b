"""A place that is judged live by real processors, and again by simulate; for tests of any scene.

What is seen is described by a few numbers, so that scenes can be drawn and made smaller.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from connectors.stores import StoreConfig
from pipeline.core.answers import Answer, Boxes, Failed, Number, Text
from pipeline.core.arming import EFFECTIVE_AFTER_S
from pipeline.core.events import Event
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result, result_of
from pipeline.core.store import EventFilter, Page, Span
from pipeline.core.switching import ByHand, SwitchBook, SwitchKey, SwitchValue
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import (
    SimulatedHour,
    Simulation,
    SimulationScope,
    hour_as_json,
    summed,
)
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.rules.switched import instead_of
from pipeline.runtime.assembly import plans_of
from pipeline.runtime.sequences import cursors_of, lane_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, frame

EVERY_S = 0.5
ALL = Page(limit=100_000, newest_first=False)
LINES = {
    "sill": {"from": [0.05, 0.5], "to": [0.95, 0.5]},
    "till": {"from": [0.05, 0.75], "to": [0.95, 0.75]},
    "down": {"from": [0.5, 0.1], "to": [0.5, 0.9]},
}
ZONES = {
    "mat": {"polygon": [[0.0, 0.35], [1.0, 0.35], [1.0, 0.65], [0.0, 0.65]]},
    "shop": {"polygon": [[0.0, 0.65], [1.0, 0.65], [1.0, 1.0], [0.0, 1.0]]},
    "corner": {"polygon": [[0.0, 0.0], [0.3, 0.0], [0.3, 1.0], [0.0, 1.0]]},
}
TASKS = {
    "people": {"engine": "fast", "detect": "person"},
    "bags": {"engine": "fast", "detect": "suitcase"},
    "carts": {"engine": "fast", "count": "cart"},
    "shut": {"engine": "words", "ask": "Is the door shut?", "every": "1s"},
}


EVERY_RULE: dict[str, dict[str, Any]] = {
    "entrance": {"type": "line_crossing", "of": "people", "line": "sill", "door": True},
    "groups": {"type": "line_crossing", "of": "people", "line": "sill", "groups": True},
    "customers": {
        "type": "line_crossing",
        "of": "people",
        "line": "till",
        "staff": {"zone": "corner"},
    },
    "opened": {"type": "line_crossing", "of": "people", "line": "sill", "schedule": "open"},
    "close_behind": {"type": "tailgating", "of": "people", "line": "sill", "within": "5s"},
    "crowd": {"type": "occupancy", "of": "people", "zone": "mat", "more_than": 0},
    "stay": {"type": "dwell", "of": "people", "zone": "mat", "longer_than": "2s"},
    "carts": {"type": "count", "of": "carts", "more_than": 1, "schedule": "open"},
    "closed": {"type": "condition", "of": "shut", "is": "yes"},
    "empty": {"type": "absence", "of": "people", "zone": "shop", "for": "3s", "schedule": "open"},
    "queue": {
        "type": "queue",
        "of": "people",
        "zone": "mat",
        "served": "shop",
        "more_than": 0,
        "longer_than": "2s",
    },
    "close": {"type": "crowding", "of": "people", "more_than": 1, "within": 2.0},
    "against": {"type": "wrong_way", "of": "people", "line": "sill", "wrong": "out"},
    "upwards": {
        "type": "wrong_way",
        "of": "people",
        "zone": "shop",
        "along": "down",
        "distance": 0.5,
    },
    "fast": {"type": "speed", "of": "people", "zone": "mat", "rectangle": [4, 8], "over": 1},
    "parked": {"type": "parking", "of": "bags", "longer_than": "4s", "gap": "2s"},
    "left": {"type": "left_object", "of": "bags", "longer_than": "4s", "gap": "2s"},
    "gone": {"type": "removed_object", "of": "bags", "stood": "4s", "gap": "2s"},
    "told": {"type": "left_object", "of": "shut", "is": "yes", "longer_than": "4s"},
    "warmth": {"type": "heat_map", "of": "people"},
}
"""One rule of each type at least, all of which have something to say of `LIVELY`."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody who goes down or up the picture again and again, and stops in the middle."""

    x: float
    every: int
    """Looks from one way to the next."""
    takes: int
    """Looks that one way takes, without the stop."""
    stop: int = 0
    down: bool = True
    bag: bool = False
    """It is no person but a thing, which lies where it stops."""

    def box(self, look: int) -> Box | None:
        """Where it is, if it is there."""
        step = look % self.every
        middle = self.takes // 2
        if step > middle:
            step = max(middle, step - self.stop)
        if step > self.takes:
            return None
        share = step / self.takes
        feet = 0.3 + 0.65 * (share if self.down else 1.0 - share)
        return (self.x - 0.05, feet - 0.25, self.x + 0.05, feet)


LIVELY = (
    Walker(0.35, 40, 10),
    Walker(0.43, 40, 10),
    Walker(0.7, 54, 12, down=False),
    Walker(0.15, 150, 10, stop=12),
    Walker(0.85, 90, 12, stop=40, bag=True),
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the picture."""

    number: int
    """Of all looks; it says where everybody is."""
    at: float
    run: str
    place: int
    """Its place in the run."""


def deployment(
    cameras: Mapping[str, Mapping[str, Any]],
    sequences: Mapping[str, Any] | None = None,
    site: Mapping[str, Any] | None = None,
    recordings: Sequence[str] = (),
) -> dict[str, Any]:
    """The file of some cameras, each with these rules."""
    return {
        "version": 1,
        "site": {"name": "Shop", "timezone": "Europe/Berlin", **(site or {})},
        "engines": {"fast": {"type": "coco"}, "words": {"type": "moondream"}},
        "cameras": {
            name: {
                "source": {"type": "file", "path": f"{name}.mp4"}
                if name in recordings
                else {"type": "rtsp", "url": f"rtsp://10.0.0.9/{name}"},
                "tasks": TASKS,
                "lines": LINES,
                "zones": ZONES,
                "rules": dict(rules),
            }
            for name, rules in cameras.items()
        },
        "sequences": dict(sequences or {}),
    }


def results_of(
    camera: str,
    looks: Sequence[Look],
    walkers: Sequence[Walker],
    *,
    live: bool = True,
    failing: frozenset[int] = frozenset(),
    last: bool = False,
) -> list[Result]:
    """What both engines say of some looks; the `last` one ends a recording."""
    found: list[Result] = []
    for look in looks:
        n = look.number
        seen: dict[str, list[Box]] = {"people": [], "bags": []}
        for walker in walkers:
            box = walker.box(n)
            if box is not None:
                seen["bags" if walker.bag else "people"].append(box)
        answers: dict[str, Answer] = {
            task: Boxes("fast", tuple(boxes), (0.9,) * len(boxes)) for task, boxes in seen.items()
        }
        answers["carts"] = Number("fast", 2 if n % 40 < 14 else 1)
        words: dict[str, Answer] = {"shut": Text("words", "yes" if n % 60 < 33 else "no")}
        if n in failing:
            answers = {task: Failed("fast", "queue full") for task in answers}
            words = {"shut": Failed("words", "queue full")}
        common = Result(
            camera=camera,
            run=look.run,
            engine="fast",
            ordinal=look.place,
            seq=look.place,
            captured_at=look.at,
            size_wh=(640, 360),
            live=live,
            answers=answers,
        )
        found.append(common)
        if look.place % 2 == 0:
            found.append(replace(common, engine="words", ordinal=look.place // 2, answers=words))
    if last and found:
        end = looks[-1].place + 1
        for engine, ordinal in (("fast", end), ("words", (end + 1) // 2)):
            found.append(
                replace(found[-1], engine=engine, ordinal=ordinal, seq=end, answers={}, last=True)
            )
    return found


class Place:
    """A store, and one process after the other that judges and finds sequences in it."""

    def __init__(
        self, folder: Path, scene: dict[str, Any], began: float, url: str | None = None
    ) -> None:
        self.scene = scene
        self.clock = ManualClock(began)
        self.config = StoreConfig(
            url=url or f"sqlite:///{folder}/events.db", media=folder / "media"
        )
        self.queues = MemoryConfig().build(self.clock)
        self._shelf = MemoryShelf(frames_a_camera=1000)
        self.store = self.config.build(self.clock)
        self._answered = 0
        self.processor = self.restart()

    def restart(self, scene: dict[str, Any] | None = None) -> Processor:
        """The next process, with the file as it is now."""
        self.scene = scene or self.scene
        self.deployment = Deployment.model_validate(self.scene)
        context = ProcessorContext(
            results=self.queues.results,
            store=self.store,
            snapshots=Snapshots(self._shelf, self.config.build_media()),
            metrics=Metrics(),
            clock=self.clock,
            jobs=self.queues.jobs,
            switches=SwitchBook(self.store.switches),
        )
        plans = plans_of(self.deployment, ByHand(switches=context.switches))
        self.processor = Processor(plans, context)
        self.processor.resume()
        self.store.register_sinks(
            cursors_of(self.deployment), from_beginning=cursors_of(self.deployment)
        )
        self._lanes = [
            lane_of(
                name, self.deployment, self.store, self.store.history, self.clock, Metrics(), None
            )
            for name in self.deployment.sequences
        ]
        return self.processor

    def switch(self, camera: str, rule: str, key: SwitchKey, value: SwitchValue, at: float) -> None:
        """Switch a rule by hand, so that it holds from a moment on."""
        clock, self.store._clock = self.store._clock, ManualClock(at - EFFECTIVE_AFTER_S)
        file = instead_of(self.deployment.cameras[camera].rules[rule], key)
        self.store.switch(camera, rule, key, value, "anna", instead_of=file)
        self.store._clock = clock

    def feed(self, some: Sequence[Result]) -> None:
        """Publish and judge, a few at a time, and find what they complete."""
        for first in range(0, len(some), 40):
            assert self.queues.results.publish(some[first : first + 40], 0.0)
            while self.processor.step(0.0):
                pass
        self.deliver()

    def feed_with_pictures(self, some: Sequence[Result]) -> None:
        """The same, with the pictures of all looks, so that they can be looked at twice."""
        for one in some:
            self._shelf.keep(replace(frame(one.camera, one.seq), run=one.run))
        self.feed(some)

    def answer(self, *said: str) -> None:
        """Answer what is asked about events, by turns; the rest waits."""
        while claims := self.queues.jobs.claim("words", 100, 0.0):
            for claim in claims:
                [task] = claim.job.tasks
                answered = result_of(
                    claim.job, {task.id: Text("words", said[self._answered % len(said)])}
                )
                assert self.queues.jobs.answer([claim], [answered], 0.0)
                self._answered += 1
            while self.processor.step(0.0):
                pass
        self.deliver()

    def give_up_waiting(self) -> None:
        """What is missing by now never comes."""
        # Each step gives up on the frame that is awaited then; no life lacks more of them.
        for _ in range(8):
            self.clock.advance(3.0)
            self.processor.step(0.0)
        self.deliver()

    def deliver(self) -> None:
        """Show the sequences what is new in the store, until they find nothing more."""
        if not self._lanes:
            return
        known = -1
        while known != (known := len(self.store.events_after(0, 1_000_000))):
            self.clock.advance(1.0)  # what is awaited is looked at again
            for lane in self._lanes:
                while lane.step() == 0.0:
                    pass
                assert lane.status().error is None

    def stored(self, camera: str, rule: str) -> dict[str, Event]:
        """The events of a rule, or of a sequence, that are stored."""
        chosen = EventFilter(cameras=(camera,), rules=(rule,))
        found = self.store.history.events(chosen, ALL)
        return {one.event.record_id: one.event for one in found}

    def simulated(
        self,
        scene: dict[str, Any] | None = None,
        *,
        every_rule: bool | None = None,
        cameras: tuple[str, ...] = (),
        rules: tuple[str, ...] = (),
        span: Span | None = None,
    ) -> list[SimulatedHour]:
        """What a file would have counted, by a reader of the store.

        Every rule of the present file is judged again: taking what is stored would show nothing.
        """
        reader = self.config.build_reader()
        try:
            switches = SwitchBook(reader.switches)
            switches.refresh()
            simulation = Simulation(
                Deployment.model_validate(scene or self.scene),
                reader,
                reader.history,
                SimulationScope(cameras, rules, span or Span()),
                ManualClock(self.clock.now()),
                switches=switches,
                every_rule=scene is None if every_rule is None else every_rule,
            )
            return list(simulation.hours())
        finally:
            reader.close()

    def differences(self, hours: Sequence[SimulatedHour]) -> Iterator[str]:
        """Every way in which what was simulated by the present file is not what is stored."""
        totals = {(camera, one.rule): one for camera, one in summed(hours)}
        for camera, config in self.deployment.cameras.items():
            for rule in config.rules:
                total = totals.get((camera, rule))
                if total is None or total.here is None:
                    yield f"{camera}, {rule}: nothing simulated"
                    continue
                events = {event.record_id: event for event in total.here.events}
                if events != self.stored(camera, rule):
                    yield f"{camera}, {rule}: {_unlike(events, self.stored(camera, rule))}"
                if list(total.here.minutes) != list(self.store.history.buckets(camera, rule)):
                    yield f"{camera}, {rule}: minutes differ"
            for name in self.deployment.sequences:
                total = totals.get((camera, name))
                found = () if total is None or total.here is None else total.here.events
                events = {event.record_id: event for event in found}
                if events.keys() != self.stored(camera, name).keys():
                    yield f"{camera}, {name}: {_unlike(events, self.stored(camera, name))}"
        for hour in hours:
            for one in hour.rules:
                if one.only_here or one.only_there or one.unknown:
                    yield f"{hour.camera}, {one.rule}: told as different {one.unknown}"


def as_json(hours: Sequence[SimulatedHour]) -> list[str]:
    """All that was simulated, with every event, as it is written for machines."""
    return [json.dumps(hour_as_json(hour, "UTC", "stored")) for hour in hours]


def _unlike(here: Mapping[str, Event], there: Mapping[str, Event]) -> str:
    """What the first difference is."""
    for key in [*here, *there]:
        if here.get(key) != there.get(key):
            return f"simulated {here.get(key)}, stored {there.get(key)}"
    return "only in order"
