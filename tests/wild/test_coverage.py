"""Few frames are answered: an event says how much of the last minute it stands on."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.answers import Answer, Boxes, Failed, Text
from pipeline.core.events import Event, event_id
from pipeline.core.jobs import Result
from pipeline.deployment.loader import parse
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.rules.coverage import Coverage
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock

START = 1_700_000_000.0
EVERY_S = 0.5
RUN = "live-1"
NOBODY: tuple[tuple[float, float, float, float], ...] = ()
HERE = ((0.4, 0.2, 0.5, 0.6),)


def deployment(**rule: Any) -> Any:
    """A door with one rule, `crowd` unless another is given."""
    usual = {"type": "occupancy", "of": "people", "more_than": 0}
    given = {name: value for name, value in {**usual, **rule}.items() if value is not None}
    words = {
        "version": 1,
        "site": {"name": "Shop"},
        "engines": {"fast": {"type": "coco"}, "words": {"type": "moondream"}},
        "cameras": {
            "door": {
                "source": {"type": "rtsp", "url": "rtsp://10.0.0.9/door"},
                "sample": {"every": "500ms"},
                "tasks": {
                    "people": {
                        "engine": "fast",
                        "detect": "person",
                        "track": {"confirm_after": "0s"},
                    },
                    "shut": {"engine": "words", "ask": "Is the door shut?"},
                },
                "lines": {"middle": {"from": [0.1, 0.5], "to": [0.9, 0.5]}},
                "rules": {"rule": given},
            }
        },
    }
    return parse(json.dumps(words)).deployment


class Desk:
    """A processor with a store, fed by hand."""

    def __init__(self, store: SqlStore, **rule: Any) -> None:
        self.clock = ManualClock(START)
        self.metrics = Metrics()
        self.store = store
        self.queues = MemoryConfig().build(self.clock)
        self.plans = plans_of(deployment(**rule))
        self.engine = "words" if rule.get("of") == "shut" else "fast"
        self.n = 0
        self.processor = self.make()

    def make(self) -> Processor:
        """A processor, such as the next one after a restart."""
        media = StoreConfig(url="sqlite:///unused.db").build_media()
        snapshots = Snapshots(self.queues.shelf, media)
        context = ProcessorContext(
            self.queues.results, self.store, snapshots, self.metrics, self.clock
        )
        return Processor(self.plans, context)

    def show(self, answer: Answer, *, seconds: float = EVERY_S, frames: int = 1) -> None:
        """The same answer about the next frames, `seconds` apart."""
        task = "shut" if self.engine == "words" else "people"
        for _ in range(frames):
            result = Result(
                *("door", RUN, self.engine, self.n, self.n, self.clock.now(), (640, 480)),
                live=True,
                answers={task: answer},
            )
            assert self.queues.results.publish([result], 0)
            self.n += 1
            self.clock.advance(seconds)
        while self.processor.step(0.0):
            pass

    @property
    def events(self) -> list[Event]:
        """All events of the rule."""
        return [one.event for one in self.store.events_after(0, 1000)]


@pytest.fixture
def store(tmp_path: Any) -> Iterator[SqlStore]:
    """A real store."""
    built = SqlStore(f"sqlite:///{tmp_path}/events.db")
    yield built
    built.close()


def boxes(places: tuple[tuple[float, float, float, float], ...]) -> Boxes:
    """Detected people."""
    return Boxes("fast", places, (0.9,) * len(places))


LOST = Failed("fast", "queue full")


def test_an_event_says_how_much_it_stands_on(store: SqlStore) -> None:
    """Every frame answered for a minute, then one in twenty: the events say 1.0 and 0.1."""
    desk = Desk(store)
    desk.show(boxes(NOBODY), frames=120)
    desk.show(boxes(HERE))
    desk.show(boxes(NOBODY))
    for _ in range(8):
        desk.show(LOST, frames=19)
        desk.show(boxes(NOBODY))
    desk.show(LOST, frames=19)
    desk.show(boxes(HERE))
    first, *_, last = [event for event in desk.events if event.phase == "start"]
    assert first.data["coverage"] == 1.0
    # One answer in twenty frames covers two intervals of twenty.
    assert last.data["coverage"] == pytest.approx(0.1, abs=0.01)


def test_frames_that_never_came_cover_nothing(store: SqlStore) -> None:
    """Frames dropped before the queue leave no trace but the gap between the others."""
    desk = Desk(store)
    desk.show(boxes(NOBODY), seconds=10.0, frames=12)
    desk.show(boxes(HERE))
    (event,) = desk.events
    assert event.data["coverage"] == pytest.approx(0.1, abs=0.01)


def test_coverage_is_no_part_of_an_events_identity(store: SqlStore) -> None:
    """The id is that of camera, rule, subject and time, as before."""
    desk = Desk(store)
    desk.show(boxes(HERE))
    (event,) = desk.events
    assert event.id == event_id("door", "rule", "None", START)


def test_coverage_goes_on_after_a_restart(store: SqlStore) -> None:
    """A processor that is started again in the same minute knows what was answered before."""
    desk = Desk(store)
    desk.show(boxes(NOBODY), frames=20)
    desk.show(LOST, frames=60)
    desk.processor = desk.make()
    desk.processor.resume()
    desk.show(boxes(NOBODY), frames=20)
    desk.show(boxes(HERE))
    (event,) = desk.events
    # 50 s since the beginning, of which 10.5 s and 10 s are covered.
    assert event.data["coverage"] == pytest.approx(20.5 / 50, abs=0.011)


def test_a_rule_may_ask_for_a_minimum(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    """Below it nothing is reported, but counted and said once; what still holds is told later."""
    desk = Desk(store, min_coverage=0.5)
    for _ in range(12):
        desk.show(LOST, frames=19)
        desk.show(boxes(HERE))
        desk.show(boxes(NOBODY))
    assert desk.events == []
    withheld = desk.metrics.value("moonwatch_events_withheld_total", camera="door", rule="rule")
    assert withheld == 12
    assert caplog.text.count("reports no events at the moment") == 1
    (trouble,) = desk.processor.troubles
    assert "12 happenings were not reported" in trouble
    desk.show(boxes(HERE), frames=121)
    (event,) = desk.events
    assert event.phase == "start"
    assert float(str(event.data["coverage"])) >= 0.5
    assert event.data["withheld"] == 12
    desk.clock.advance(601.0)
    assert desk.processor.troubles == []


def test_a_crossing_below_the_minimum_is_counted_only(store: SqlStore) -> None:
    """The minutes have all crossings; events come again once enough frames are answered."""
    desk = Desk(store, type="line_crossing", line="middle", more_than=None, min_coverage=0.5)
    desk.show(LOST, frames=100)
    desk.show(boxes(NOBODY))
    up = [((0.4, 0.1 * n, 0.5, 0.1 * n + 0.2),) for n in range(1, 8)]
    for place in up:
        desk.show(boxes(place))
    assert desk.events == []
    desk.show(boxes(NOBODY), frames=130)
    for place in up:
        desk.show(boxes(place))
    (event,) = desk.events
    assert (event.data["in"], event.data["withheld"], event.data["coverage"]) == (2, 1, 1.0)
    entered = [bucket.values.get("entered") for bucket in store.history.buckets("door", "rule")]
    assert sum(value or 0 for value in entered) == 2


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ({"type": "dwell", "longer_than": "2s", "more_than": None}, boxes(HERE)),
        ({"type": "condition", "of": "shut", "is": "yes", "more_than": None}, Text("words", "yes")),
        ({}, boxes(HERE)),
    ],
    ids=["dwell", "condition", "occupancy"],
)
def test_every_kind_of_happening_waits_for_its_minimum(
    store: SqlStore, rule: Mapping[str, Any], shown: Answer
) -> None:
    """It starts when enough frames are answered, if it still holds then, and it ends as usual."""
    desk = Desk(store, **{**rule, "min_coverage": 0.5})
    desk.show(LOST, frames=40)
    desk.show(shown, frames=12)
    assert desk.events == []
    desk.show(shown, frames=120)
    (event,) = desk.events
    assert event.phase == "start"
    assert 0.5 <= float(str(event.data["coverage"])) < 0.6


@pytest.mark.parametrize("share", [-0.1, 1.5, "half"])
def test_a_minimum_is_a_share(share: Any) -> None:
    """Anything but a number from 0 to 1 is refused by `check`."""
    from pipeline.core.errors import ConfigError

    with pytest.raises(ConfigError, match="min_coverage"):
        deployment(min_coverage=share)


def test_coverage_is_remembered_for_a_minute_and_no_longer() -> None:
    """However isolated the answers are, the memory stays small."""
    coverage = Coverage(0.0)
    for n in range(10_000):
        coverage.see("r", START + 0.6 * n, answered=True)
    assert len(json.dumps(coverage.state())) < 10_000
    assert coverage.at(START + 6000) == pytest.approx(0.5 / 0.6, abs=0.01)
