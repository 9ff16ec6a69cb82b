"""A camera's life over edits: what is judged as before resumes exactly, and nothing is lost."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.answers import Text
from pipeline.core.arming import ArmingBook
from pipeline.core.events import Event
from pipeline.core.jobs import Result, health_result
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import COUNTED, Checkpoint, Commit, EventFilter, Page, Span
from pipeline.core.switching import ByHand, SwitchBook
from pipeline.core.tasks import Detect, question_of
from pipeline.deployment.model import Deployment
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import MISSING, Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.processing.life_scene import EVERY_S, SHOP, START, results, shop

LOOKS = 240
EDIT_AT = 53
"""In the middle of a minute, with an open alarm, an open visit and somebody half across."""
Scene = dict[str, Any]
CAMERA = "cameras__door__"


class Site:
    """A store in a folder, and one processor after the other that works with it."""

    def __init__(self, folder: Path, scene: Scene = SHOP) -> None:
        self.clock = ManualClock(START)
        self.metrics = Metrics()
        self.results = MemoryConfig().build(self.clock).results
        self.config = StoreConfig(url=f"sqlite:///{folder}/events.db", media=folder / "media")
        self.store: SqlStore = self.config.build(self.clock)
        self.processor = self.restart(scene)

    def restart(self, scene: Scene) -> Processor:
        """The next process, with the file as it is now."""
        context = ProcessorContext(
            results=self.results,
            store=self.store,
            snapshots=Snapshots(MemoryShelf(), self.config.build_media()),
            metrics=self.metrics,
            clock=self.clock,
            arming=ArmingBook(self.store.armings),
            switches=SwitchBook(self.store.switches),
        )
        self.by_hand = ByHand(context.arming, context.switches)
        plans = plans_of(Deployment.model_validate(scene), self.by_hand)
        self.processor = Processor(plans, context)
        self.resumed = self.processor.resume()
        return self.processor

    def reload(self, scene: Scene) -> None:
        """The same process, with the file as it is now."""
        self.processor.update(plans_of(Deployment.model_validate(scene), self.by_hand))
        self.processor.step(0.0)
        assert self.processor.is_up_to_date

    def feed(self, some: Sequence[Result]) -> None:
        """Publish and judge, a few at a time."""
        for first in range(0, len(some), 40):
            assert self.results.publish(some[first : first + 40], 0.0)
            while self.processor.step(0.0):
                pass

    def close_the_shop(self) -> None:
        """The camera leaves the file: whatever is open is written."""
        self.processor.update([])
        self.processor.step(0.0)

    def events(self) -> list[Event]:
        """All that are kept."""
        return [kept.event for kept in self.store.events_after(0, 10_000)]

    def of(self, rule: str) -> list[Event]:
        """Those of one rule; no pictures are kept here, which their data say where one is asked."""
        return [
            replace(event, data={n: v for n, v in event.data.items() if n != MISSING})
            for event in self.events()
            if event.rule == rule
        ]

    def minutes(self, rule: str) -> list[Bucket]:
        """The minutes of one rule."""
        return list(self.store.history.buckets("door", rule))

    def passed_over(self, reason: str, camera: str = "door") -> float:
        """How many results were not judged."""
        name = "moonwatch_results_passed_over_total"
        return self.metrics.value(name, camera=camera, reason=reason)


def counted(minute: Bucket) -> float:
    """Who crossed a line in a minute, in and out."""
    return sum(minute.values[measure] or 0 for measure in ("entered", "left"))


Edit = Callable[[Site, Scene], object]
EDITS: Mapping[str, Edit] = {"restarted": Site.restart, "reloaded": Site.reload}


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Makes sites with stores of their own."""
    made: list[Site] = []

    def make() -> Site:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Site(folder))
        return made[-1]

    yield make
    for site in made:
        site.store.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose file nobody edits."""
    site = Site(tmp_path_factory.mktemp("undisturbed"))
    site.feed(results(0, LOOKS))
    site.close_the_shop()
    yield site
    site.store.close()


ALL = frozenset(SHOP["cameras"]["door"]["rules"])
OF_PEOPLE = frozenset({"entrance", "paid", "crowd", "stay"})
NOTHING: frozenset[str] = frozenset()


def test_the_scene_is_lively(undisturbed: Site) -> None:
    """Every rule has something to say in it, so that a comparison means something."""
    said = Counter(event.rule for event in undisturbed.events())
    assert said.keys() == ALL
    assert min(said.values()) >= 4
    assert said["entrance"] > 20


@pytest.mark.parametrize("how", EDITS)
@pytest.mark.parametrize(
    ("edit", "anew"),
    [
        # what makes no difference to an answer
        ({"engines__fast__max_batch": 32}, NOTHING),
        ({"engines__words__device": "cpu", "engines__words__dtype": "float32"}, NOTHING),
        ({"sinks": {"log": {"type": "stdout"}}}, NOTHING),
        ({"queue": {"type": "redis", "url": "redis://10.0.0.1"}}, NOTHING),
        ({"store": {"keep": "9d"}}, NOTHING),
        ({"site__timezone": "Asia/Tokyo"}, NOTHING),  # no rule has a schedule
        ({CAMERA + "source__url": "rtsp://10.0.0.10/door"}, NOTHING),
        ({CAMERA + "sample": {"stale_after": "9s", "frozen": False}}, NOTHING),
        ({CAMERA + "rules__stay__snapshot": True}, NOTHING),
        ({CAMERA + "lines__unused": {"from": [0.0, 0.1], "to": [1.0, 0.1]}}, NOTHING),
        ({"cameras__yard": {"source": {"type": "rtsp", "url": "rtsp://10.0.0.2/"}}}, NOTHING),
        # one rule, and what it uses
        ({CAMERA + "lines__threshold__from": [0.1, 0.52]}, {"entrance"}),
        ({CAMERA + "zones__shop__polygon": [[0, 0.6], [1, 0.6], [1, 1], [0, 1]]}, {"stay"}),
        ({CAMERA + "rules__crowd__more_than": 1}, {"crowd"}),
        ({CAMERA + "rules__closed__for": "2s"}, {"closed"}),
        # a task, and the rules on it
        ({CAMERA + "tasks__people__detect": "man"}, OF_PEOPLE),
        ({CAMERA + "tasks__people__track": {"speed": 1.0}}, OF_PEOPLE),
        ({CAMERA + "tasks__shut__ask": "Is the red door shut?"}, {"closed"}),
        ({"engines__words__revision": "2025-01-09"}, {"closed"}),
        ({"engines__fast__min_score": 0.2}, OF_PEOPLE | {"carts"}),
        ({"engines__fast": {"type": "moondream"}}, OF_PEOPLE | {"carts"}),
        ({CAMERA + "sample": {"masks": [[[0, 0], [0.1, 0], [0.1, 0.1]]]}}, ALL),
        # a rule that goes, and one that changes its kind
        ({CAMERA + "rules__paid": None}, {"paid"}),
        ({CAMERA + "rules__crowd": {"type": "dwell", "of": "people", "zone": "mat"}}, {"crowd"}),
    ],
)
def test_an_edit_concerns_the_rules_it_concerns(
    sites: Callable[[], Site],
    undisturbed: Site,
    how: str,
    edit: dict[str, Any],
    anew: frozenset[str],
) -> None:
    """The others conclude, event for event and minute for minute, what they would have."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    assert site.store.history.edits() == []
    EDITS[how](site, shop(**edit))
    # Just these are remembered as edited, for whoever wonders about a jump of a count.
    assert {one.rule for one in site.store.history.edits("door")} == anew
    site.feed(results(EDIT_AT, LOOKS))
    site.close_the_shop()
    for rule in ALL - anew:
        expected = undisturbed.of(rule)
        assert site.of(rule) == expected, rule
        assert site.minutes(rule) == undisturbed.minutes(rule), rule
    ids = [event.record_id for event in site.events()]
    assert len(ids) == len(set(ids))
    cut = ("edited", "removed")
    early = [event for event in site.events() if event.at < START + EDIT_AT * EVERY_S]
    ended = {event.rule for event in early if event.data.get("reason") in cut}
    assert ended == anew & {"crowd", "stay", "carts"}  # what was open then


@pytest.mark.parametrize("how", EDITS)
@pytest.mark.parametrize("edited", ["line", "task"])
def test_crossings_before_an_edit_stay_in_their_minute(
    sites: Callable[[], Site], undisturbed: Site, how: str, edited: str
) -> None:
    """Every minute has as many crossings as there are events in it, and is known throughout."""
    edits: dict[str, dict[str, Any]] = {
        "line": {CAMERA + "lines__threshold__from": [0.1, 0.501]},
        "task": {CAMERA + "tasks__people__max_objects": 49},
    }
    site = sites()
    site.feed(results(0, EDIT_AT))
    before = len(site.of("entrance"))
    EDITS[how](site, shop(**edits[edited]))
    site.feed(results(EDIT_AT, LOOKS))
    site.close_the_shop()
    crossings = site.of("entrance")
    # The edit costs those who are half across at that moment, and nobody else.
    assert (
        len(undisturbed.of("entrance")) - 2 <= len(crossings) < len(undisturbed.of("entrance")) + 1
    )
    assert 0 < before < len(crossings)
    by_minute = Counter(int(event.at // 60 * 60) for event in crossings)
    minutes = site.minutes("entrance")
    assert {m.minute: counted(m) for m in minutes} == by_minute
    known = [m.coverage for m in undisturbed.minutes("entrance")]
    assert [minute.coverage for minute in minutes] == known
    assert [event.data["in"] for event in crossings if event.data["direction"] == "in"] == list(
        range(1, 1 + sum(event.data["direction"] == "in" for event in crossings))
    )


@pytest.mark.parametrize("how", EDITS)
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({CAMERA + "rules__crowd__more_than": 1}, ("edited", "more_than: 0 → 1")),
        ({CAMERA + "lines__threshold__from": [0.1, 0.52]}, ("edited", "line threshold was moved")),
        ({"engines__words__revision": "2025-01-09"}, ("edited", "its task, engine or masks")),
        ({CAMERA + "rules__paid": None}, ("removed", "")),
        (
            {CAMERA + "rules__new": {"type": "dwell", "of": "people", "zone": "mat"}},
            ("added", ""),
        ),
    ],
)
def test_what_was_edited_is_remembered(
    sites: Callable[[], Site], how: str, edit: dict[str, Any], said: tuple[str, str]
) -> None:
    """In words, with when; once, also after another start with the same file."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    site.clock.advance(5.0)
    EDITS[how](site, shop(**edit))
    [told] = site.store.history.edits()
    assert (told.kind, told.changed) == said
    assert (told.camera, told.at) == ("door", site.clock.now())
    site.clock.advance(5.0)
    site.restart(shop(**edit))
    assert site.store.history.edits() == [told]
    assert site.store.history.edits(span=Span(until=told.at)) == []


@pytest.mark.parametrize("how", EDITS)
def test_an_edited_task_follows_nobody(sites: Callable[[], Site], how: str) -> None:
    """Its tracker begins anew with its rules, which know things by its numbers."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    before = {e.subject.track for e in site.of("stay") if e.subject is not None}
    EDITS[how](site, shop(engines__fast__min_score=0.2))
    site.feed(results(EDIT_AT, LOOKS))
    after = [e for e in site.of("stay") if e.at >= START + EDIT_AT * EVERY_S]
    assert len(before) > 3
    assert {e.subject.track for e in after if e.subject is not None} > {1, 2}


@pytest.mark.parametrize("how", EDITS)
def test_visits_go_on_being_counted(sites: Callable[[], Site], undisturbed: Site, how: str) -> None:
    """Who is there when the rule is edited ends one visit and begins another."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    EDITS[how](site, shop(**{CAMERA + "rules__stay__longer_than": "900ms"}))
    site.feed(results(EDIT_AT, LOOKS))
    site.close_the_shop()
    ends = [event for event in site.of("stay") if event.phase == "end"]
    cut = [event for event in ends if event.data["reason"] == "edited"]
    assert len(cut) == 1
    assert [event.data["visits"] for event in ends] == list(range(1, 1 + len(ends)))
    whole = [event for event in undisturbed.of("stay") if event.phase == "end"]
    assert len(ends) == len(whole) + len(cut)
    starts = {event.id for event in site.of("stay") if event.phase == "start"}
    assert starts == {event.id for event in ends}
    for measure in ("entered", "left"):
        assert sum(m.values[measure] or 0 for m in site.minutes("stay")) == len(ends)


@pytest.mark.parametrize("how", EDITS)
def test_an_edited_alarm_ends_and_begins_again(sites: Callable[[], Site], how: str) -> None:
    """Its end says why, and by which limit it was one; the next one is another happening."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    EDITS[how](
        site,
        shop(**{CAMERA + "rules__crowd__fewer_than": 7, CAMERA + "rules__crowd__more_than": None}),
    )
    site.feed(results(EDIT_AT, EDIT_AT + 4))
    said = site.of("crowd")
    ended = next(event for event in said if event.data.get("reason") == "edited")
    began = said[said.index(ended) + 1]
    assert (ended.phase, ended.data["more_than"]) == ("end", 0)
    assert ended.at == START + (EDIT_AT - 1) * EVERY_S
    assert (began.phase, began.data["fewer_than"]) == ("start", 7)
    assert began.id != ended.id


@pytest.mark.parametrize("how", EDITS)
def test_a_cooldown_outlives_an_edit(sites: Callable[[], Site], how: str) -> None:
    """An edit is no reason to speak again before its time, nor to be silent for longer."""
    site = sites()
    hourly = {CAMERA + "rules__entrance__cooldown": "1h"}
    site.restart(shop(**hourly))
    site.feed(results(0, EDIT_AT))
    assert len(site.of("entrance")) == 1
    EDITS[how](site, shop(**hourly, **{CAMERA + "rules__entrance__margin": 0.02}))
    site.feed(results(EDIT_AT, 100))
    assert len(site.of("entrance")) == 1
    EDITS[how](site, shop(**{CAMERA + "rules__entrance__cooldown": "5s"}))
    site.feed(results(100, LOOKS))
    second = site.of("entrance")[1]
    assert START + 55 <= second.at < START + 70
    assert second.data["suppressed"]


@pytest.mark.parametrize("how", EDITS)
def test_a_removed_rule_finishes(sites: Callable[[], Site], undisturbed: Site, how: str) -> None:
    """Its happening ends and its minute is written, by terms that are no longer in the file."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    EDITS[how](site, shop(**{CAMERA + "rules__crowd": None}))
    last = site.of("crowd")[-1]
    assert (last.phase, last.data["reason"]) == ("end", "removed")
    (minute,) = site.minutes("crowd")[-1:]
    assert minute.samples == EDIT_AT - 80 % EDIT_AT if minute.minute == START + 40 else True
    said = len(site.of("crowd"))
    site.feed(results(EDIT_AT, LOOKS))
    assert len(site.of("crowd")) == said
    # What was finished once is finished: another start adds nothing.
    site.restart(shop(**{CAMERA + "rules__crowd": None}))
    assert len(site.of("crowd")) == said


@pytest.mark.parametrize("how", EDITS)
def test_a_new_rule_begins_where_it_is_added(sites: Callable[[], Site], how: str) -> None:
    """What it did not see is unknown, not zero; its task may not be asked yet."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    added = {
        CAMERA + "tasks__dogs": {"engine": "fast", "count": "dog"},
        CAMERA + "rules__dogs": {"type": "count", "of": "dogs"},
        CAMERA + "rules__all": {"type": "occupancy", "of": "people"},
    }
    EDITS[how](site, shop(**added))
    site.feed(results(EDIT_AT, 90))
    site.close_the_shop()
    assert site.minutes("dogs") == []
    first = site.minutes("all")[0]
    assert first.samples == 80 - EDIT_AT
    assert first.coverage == pytest.approx((80 - EDIT_AT) * EVERY_S / 60)


def test_a_task_moved_to_another_engine_takes_its_minutes_along(
    sites: Callable[[], Site],
) -> None:
    """The lane it leaves is closed, and the rule begins with what it had."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    before = len(site.of("entrance"))
    moved = shop(
        engines__strong={"type": "coco", "min_score": 0.2},
        **{CAMERA + f"tasks__{task}__engine": "strong" for task in ("people", "carts")},
    )
    site.reload(moved)
    late = [replace(result, ordinal=result.ordinal) for result in results(EDIT_AT, 56)]
    site.feed([result for result in late if result.engine == "fast"])
    assert site.passed_over("unknown engine") == 3
    more = [
        replace(result, engine="strong", ordinal=result.ordinal - EDIT_AT)
        for result in results(EDIT_AT, 120)
        if result.engine == "fast"
    ]
    site.feed(more)
    site.close_the_shop()
    crossings = site.of("entrance")
    assert sum(counted(m) for m in site.minutes("entrance")) == len(crossings) > before


def test_a_retired_camera_is_finished_and_comes_back_as_new(sites: Callable[[], Site]) -> None:
    """Everything open ends, troubles too; what still arrives is counted and let go."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    site.feed([health_result(Health("door", START + 20, "frozen", "the same picture"))])
    without = shop(cameras={"yard": SHOP["cameras"]["door"]})
    site.clock.advance(30)
    site.reload(without)
    open_ = Counter[str]()
    for event in site.events():
        open_[event.id] += {"start": 1, "end": -1}.get(event.phase, 0)
    assert not +open_
    trouble = site.of("camera")[-1]
    assert (trouble.type, trouble.phase) == ("camera_frozen", "end")
    assert trouble.data["reason"] == "no longer watched"
    said = len(site.events())
    site.feed(results(EDIT_AT, EDIT_AT + 10))
    assert len(site.events()) == said
    assert site.passed_over("unknown camera") == 15
    assert site.processor.unknown_cameras == {}  # its sampler may not know yet
    site.reload(SHOP)
    site.feed(results(EDIT_AT + 10, LOOKS))
    site.clock.advance(3)  # what came before it was back is missing, and passed over
    site.processor.step(0.0)
    back = [event for event in site.of("entrance") if event.at > START + EDIT_AT * EVERY_S]
    entered = [event.data["in"] for event in back if event.data["direction"] == "in"]
    assert entered == list(range(1, 1 + len(entered)))
    assert len(entered) > 5


def test_a_camera_that_left_while_nobody_worked_retires_at_the_start(
    sites: Callable[[], Site],
) -> None:
    """Its rules are made again from its checkpoint, to finish; once."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    site.restart(shop(cameras={"yard": SHOP["cameras"]["door"]}))
    ends = [e for e in site.events() if e.data.get("reason") == "removed"]
    assert {event.rule for event in ends} == {"crowd", "stay", "carts"}
    assert sum(m.samples for m in site.minutes("entrance")) == EDIT_AT
    said = site.events()
    site.restart(shop(cameras={"yard": SHOP["cameras"]["door"]}))
    assert site.events() == said


def test_a_camera_nobody_planned_is_named(
    sites: Callable[[], Site], caplog: pytest.LogCaptureFixture
) -> None:
    """Sampled and not in this processor's file: counted, said once, and known until it is."""
    site = sites()
    strange = [replace(result, camera="yard") for result in results(0, 8)]
    site.feed(strange[:6])
    site.clock.advance(20)
    site.feed([*strange[6:], health_result(Health("yard", START, "online"))])
    (name, unknown), *others = site.processor.unknown_cameras.items()
    assert (name, others) == ("yard", [])
    assert (unknown.results, unknown.since, unknown.last) == (13, START, START + 20)
    assert caplog.text.count("camera yard is sampled but is not in this processor's file") == 1
    site.reload(shop(cameras__yard=SHOP["cameras"]["door"]))
    assert site.processor.unknown_cameras == {}
    site.feed([replace(result, camera="yard") for result in results(0, 60)])
    assert any(event.camera == "yard" for event in site.events())


@pytest.mark.slow
def test_equal_lanes_are_not_touched(sites: Callable[[], Site], undisturbed: Site) -> None:
    """Reloading the same file between any two results changes nothing."""
    site = sites()
    for result in results(0, LOOKS):
        site.feed([result])
        site.reload(SHOP)
    site.close_the_shop()
    assert site.events() == undisturbed.events()


def test_what_was_asked_before_an_edit_is_not_judged(sites: Callable[[], Site]) -> None:
    """Boxes of persons that arrive after the task asks for cars are not cars."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    site.reload(shop(**{CAMERA + "tasks__people__detect": "car"}))
    person, car = (question_of(Detect("people", "fast", label)) for label in ("person", "car"))
    answers = [result for result in results(EDIT_AT, 120) if result.engine == "fast"]
    old = [replace(result, asked={"people": person}) for result in answers[:30]]
    new = [replace(result, asked={"people": car}) for result in answers[30:]]
    site.feed(old + new)
    site.close_the_shop()
    cars = [e for e in site.events() if e.subject is not None and e.subject.label == "car"]
    assert cars
    assert min(event.at for event in cars) >= new[0].captured_at
    assert site.passed_over("asked before an edit") == 30
    assert sum(minute.samples for minute in site.minutes("carts")) == 120


def test_a_recording_is_judged_from_its_beginning_after_an_edit(
    sites: Callable[[], Site], undisturbed: Site
) -> None:
    """It can be played again, so it is; what was judged as before comes out as before."""
    clip = {CAMERA + "source": {"type": "file", "path": "door.mp4"}}
    played = results(0, LOOKS, live=False, run="door.mp4")
    site = sites()
    site.restart(shop(**clip))
    site.feed(played[:80])
    site.restart(shop(**clip))
    assert site.resumed.keys() == {("door", "fast"), ("door", "words")}
    edited = {**clip, CAMERA + "lines__threshold__from": [0.1, 0.501]}
    site.restart(shop(**edited))
    assert site.resumed.keys() == {("door", "words")}  # nothing of it was edited
    site.restart(shop(**edited))  # killed at once: it does not forget to begin at the beginning
    assert site.resumed.keys() == {("door", "words")}
    site.feed(played)
    assert site.store.history.edits() == []  # all of it is judged alike
    site.close_the_shop()
    for rule in ALL - {"entrance"}:
        assert [(e.record_id, e.data) for e in site.of(rule)] == [
            (e.record_id, e.data) for e in undisturbed.of(rule)
        ], rule
        assert site.minutes(rule) == undisturbed.minutes(rule), rule
    crossings = undisturbed.of("entrance")
    assert sum(counted(m) for m in site.minutes("entrance")) == len(crossings)
    # Neither do events of the old line count beside those of the new one.
    chosen = EventFilter(rules=("entrance",), counted_as=COUNTED)
    told = site.store.history.events(chosen, Page(limit=10_000, newest_first=False))
    assert len(told) == len(crossings) < len(site.of("entrance"))


def test_a_live_clock_that_is_set_back_loses_no_count(sites: Callable[[], Site]) -> None:
    """Tracks and happenings end there; totals and the open minute go on."""
    site = sites()
    site.feed(results(0, 70))
    before = site.of("entrance")
    back = [replace(r, captured_at=r.captured_at - 10.0) for r in results(70, 140)]
    site.feed(back)
    site.close_the_shop()
    after = site.of("entrance")[len(before) :]
    assert int(str(after[0].data["in"])) + int(str(after[0].data["out"])) == len(before) + 1
    assert sum(counted(m) for m in site.minutes("entrance")) == len(before) + len(after)


def test_nothing_holds_on_when_capture_time_goes_back(sites: Callable[[], Site]) -> None:
    """An earlier recording under the same name: tracks begin anew, happenings end."""
    clip = shop(**{CAMERA + "source": {"type": "file", "path": "door.mp4"}})
    site = sites()
    site.restart(clip)
    played = results(0, EDIT_AT, live=False, run="second.mp4")
    site.feed(played)
    open_crowd = site.of("crowd")[-1]
    assert open_crowd.phase == "start"
    earlier = [
        replace(r, captured_at=r.captured_at - 3600.0)
        for r in results(0, 40, live=False, run="second.mp4")
        if r.engine == "fast"
    ]
    site.feed([replace(r, ordinal=EDIT_AT + r.ordinal) for r in earlier])
    end = next(e for e in site.of("crowd") if e.id == open_crowd.id and e.phase == "end")
    assert end.at == START + (EDIT_AT - 1) * EVERY_S
    early = [e for e in site.of("entrance") if e.at < START]
    fresh = sites()
    fresh.restart(clip)
    fresh.feed(earlier)
    assert [(e.record_id, e.subject, e.data) for e in early] == [
        (e.record_id, e.subject, e.data) for e in fresh.of("entrance")
    ]
    assert early


def test_a_picture_of_another_shape_begins_anew(sites: Callable[[], Site]) -> None:
    """Lengths are in picture heights: what was measured in another shape is not gone on from."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    site.feed([replace(r, size_wh=(480, 360)) for r in results(EDIT_AT, 100)])
    site.close_the_shop()
    ends = [e for e in site.of("stay") if e.data.get("reason") == "stream ended"]
    assert len(ends) == 1
    assert sum(counted(m) for m in site.minutes("entrance")) == len(site.of("entrance"))


def in_people(*path: str, value: object = None) -> Callable[[Any], Any]:
    """Replaces a part of the people's task in a lane's state; leaves it out without a value."""

    def damage(state: Any) -> Any:
        place = state["tasks"]["people"]
        for name in path[:-1]:
            place = place[name] if isinstance(place, dict) else place[int(name)]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return state

    return damage


ENTRANCE = ("rules", "entrance")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda _: [1, 2], "engine fast"),
        (lambda _: None, "engine fast"),
        (lambda state: {**state, "version": 99}, "engine fast"),
        (lambda state: {"version": state["version"], "last_at": 5.0}, "engine fast"),
        (lambda state: {**state, "aspect": 0}, "engine fast"),
        (lambda state: {**state, "tasks": {"people": 7}}, "engine fast"),
        (in_people("tracker", value={"next_id": 1}), "task people"),
        (in_people("tracker", "version", value=99), "task people"),
        (in_people("tracker", "things", "0", "height", value="tall"), "task people"),
        (in_people(*ENTRANCE, "state", value="gone"), "rule entrance"),
        (in_people(*ENTRANCE, "state", "version", value=99), "rule entrance"),
        (in_people(*ENTRANCE, "state", "minutes"), "rule entrance"),
        (in_people(*ENTRANCE, "terms", value={"rule": {"type": "teleport"}}), "rule entrance"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_is_begun_anew(
    sites: Callable[[], Site],
    undisturbed: Site,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Any], Any],
    named: str,
) -> None:
    """With one line that names camera and part, no traceback, and nobody else touched."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    kept = site.store.checkpoint("door", "fast")
    assert kept is not None
    site.store.commit(Commit(checkpoints=[replace(kept, state=damage(kept.state))]))
    with caplog.at_level(logging.WARNING):
        site.restart(SHOP)
    (line,) = caplog.messages
    assert "camera door" in line
    assert named in line
    assert "\n" not in line
    site.feed(results(EDIT_AT, LOOKS))
    site.close_the_shop()
    assert site.of("closed") == undisturbed.of("closed")
    if named == "rule entrance":
        for rule in ALL - {"entrance"}:
            assert site.of(rule) == undisturbed.of(rule)
    assert len(site.of("entrance")) > 15
    # The numbering goes on, so nothing that was judged is judged again.
    assert site.passed_over("duplicate") == 0
    ids = [event.record_id for event in site.events()]
    assert len(ids) == len(set(ids))


def test_keys_of_a_later_release_are_passed_over(
    sites: Callable[[], Site], undisturbed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """What they do not know, states do not need."""
    site = sites()
    site.feed(results(0, EDIT_AT))
    for engine in ("fast", "words"):
        kept = site.store.checkpoint("door", engine)
        assert kept is not None
        site.store.commit(Commit(checkpoints=[replace(kept, state=with_more(kept.state))]))
    with caplog.at_level(logging.WARNING):
        site.restart(SHOP)
    assert caplog.messages == []
    site.feed(results(EDIT_AT, LOOKS))
    site.close_the_shop()
    assert site.events() == undisturbed.events()


def with_more(value: Any) -> Any:
    """A state in which every map that has a version has one more key."""
    if not isinstance(value, dict):
        return value
    more = {name: item if name == "terms" else with_more(item) for name, item in value.items()}
    return {**more, "mood": ["calm"]} if "version" in value else more


OLD = json.loads(
    (Path(__file__).parents[1] / "formats" / "35f8f1b" / "checkpoints.json").read_text("utf-8")
)


def old_site(site: Site) -> None:
    """A store as the release before there were versions left it."""
    site.store.commit(
        Commit(checkpoints=[Checkpoint(**checkpoint) for checkpoint in OLD["checkpoints"]])
    )


OF_TRACKS = {"entrance", "paid", "stay", "crowd"}


def one_behind(event: Event) -> Event:
    """The event of a release that has taken one track, and one visit, for another."""
    subject, data = event.subject, dict(event.data)
    if subject is not None and subject.track is not None:
        subject = replace(subject, track=subject.track - 1)
    if "visits" in data:
        data["visits"] = int(str(data["visits"])) - 1
    return unnumbered(replace(event, subject=subject, data=data))


def unnumbered(event: Event) -> Event:
    """The event without what follows from the numbers of tracks, and from the very look."""
    timed = {"since", "until", "seconds"} if event.type == "occupancy" else set()
    data = {n: value for n, value in event.data.items() if n not in {"mean_seconds", *timed}}
    subject = event.subject if event.subject is None else replace(event.subject, box=None)
    return replace(event, id="", at=0.0, seq=0, subject=subject, data=data)


def _less(minute: Bucket, missing: Mapping[str, int]) -> Bucket:
    values = {name: (value or 0) - missing.get(name, 0) for name, value in minute.values.items()}
    return replace(minute, values=values)


def test_checkpoints_of_the_first_layout_are_resumed(
    sites: Callable[[], Site], undisturbed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """With the file they were judged by, everything goes on as if nothing had been.

    Tracks are followed better now than by the release that wrote them: of the nine people before
    the break it had taken two for one. So ids and visits are one behind for good, and a crossing
    may be dated some milliseconds off, and the end of an occupancy a look, as the tracker that went
    on has learned less of the boxes' jitter. All else is equal.
    """
    site = sites()
    old_site(site)
    with caplog.at_level(logging.INFO):
        site.restart(OLD["deployment"])
    assert caplog.messages == []
    assert site.resumed.keys() == {("door", "fast"), ("door", "words")}
    site.feed(results(OLD["looks"], LOOKS))
    site.feed([health_result(Health("door", START + 60, "visible"))])
    site.close_the_shop()
    since = START + OLD["looks"] * EVERY_S
    for rule in ALL:
        later = [event for event in undisturbed.of(rule) if event.at >= since]
        if rule not in OF_TRACKS:
            assert site.of(rule) == later
            assert site.minutes(rule) == undisturbed.minutes(rule)
            continue
        assert [one_behind(event) for event in later] == [unnumbered(e) for e in site.of(rule)]
        times = [event.at for event in later]
        off_s = EVERY_S if rule == "crowd" else 0.005
        assert [event.at for event in site.of(rule)] == pytest.approx(times, rel=0, abs=off_s)
        missing = {"entered": 1, "left": 1} if rule == "stay" else {}
        for minute, expected in zip(site.minutes(rule), undisturbed.minutes(rule), strict=True):
            if minute.minute < since:
                expected = _less(expected, missing)
            assert minute == replace(expected, values=minute.values)
            off = 0.02 if rule == "crowd" else 0.0
            assert minute.values == pytest.approx(expected.values, rel=0, abs=off)
    (end,) = site.of("camera")
    assert (end.phase, end.data["seconds"]) == ("end", 30.0)


def test_checkpoints_of_the_first_layout_begin_anew_after_an_edit(
    sites: Callable[[], Site],
) -> None:
    """Which rule was edited they do not say, so all begin anew, with what still holds."""
    site = sites()
    old_site(site)
    site.restart(shop(**{CAMERA + "lines__till__from": [0.1, 0.82]}))
    ends = {event.rule for event in site.events() if event.data.get("reason") == "edited"}
    assert ends <= {"crowd", "stay", "closed", "carts"}
    assert ends
    site.feed(results(OLD["looks"], LOOKS))
    site.close_the_shop()
    first = site.of("entrance")[0]
    assert int(str(first.data["in"])) + int(str(first.data["out"])) > 5
    assert all(minute.coverage > 0.3 for minute in site.minutes("entrance"))


def test_a_trouble_that_ended_while_nobody_looked_ends(sites: Callable[[], Site]) -> None:
    """A sampler's first word ends it, the next one begins anew, and all is well is not kept."""
    site = sites()
    site.feed([health_result(Health("door", START, "black", "nothing but black for 5 s"))])
    site.restart(SHOP)
    said = ["online", "visible", "moving", "visible", "black", "black", "visible"]
    site.feed(
        [health_result(Health("door", START + 60 + n, state)) for n, state in enumerate(said)]
    )
    assert [(e.type, e.phase, e.at - START) for e in site.of("camera")] == [
        ("camera_black", "start", 0),
        ("camera_black", "end", 61),
        ("camera_black", "start", 64),
        ("camera_black", "end", 66),
    ]
    kept = [health.state for health in site.store.history.health("door")]
    assert kept == ["black", "online", "visible", "black", "black", "visible"]


def test_a_trouble_nobody_watches_for_any_more_ends(sites: Callable[[], Site]) -> None:
    """A watch that was switched off would never say that it is over."""
    site = sites()
    site.feed([health_result(Health("door", START, "frozen", "the same picture for 30 s"))])
    site.clock.advance(50)
    site.restart(shop(**{CAMERA + "sample": {"frozen": False}}))
    start, end = site.of("camera")
    assert (end.id, end.data["seconds"]) == (start.id, 50.0)
    site.restart(shop(**{CAMERA + "sample": {"frozen": False}}))
    assert len(site.of("camera")) == 2


def test_an_answer_of_a_kind_the_rule_cannot_use_is_unknown(sites: Callable[[], Site]) -> None:
    """Workers of an older release do not say what was asked; words say nothing about a line."""
    site = sites()
    old, new = results(0, 20), results(20, 60)
    words = [replace(r, answers={"people": Text("fast", "two")}) for r in old]
    site.feed([*words, *new])
    site.close_the_shop()
    for rule in ("entrance", "stay", "crowd"):
        assert sum(minute.samples for minute in site.minutes(rule)) == 40
