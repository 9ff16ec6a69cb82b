"""Questions about tracks: asked once, answered in the order of results, and never counted twice."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryShelf
from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.answers import Answer, Boxes, Failed, Text
from pipeline.core.events import Event
from pipeline.core.frames import Frame
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result, result_of
from pipeline.core.queues import Claim, Queues
from pipeline.core.store import Checkpoint, Commit
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import Simulation, SimulationScope, summed
from pipeline.processing.asking import BESIDE, MOST_ASKED
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import MISSING, Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock

START = 1_700_000_020.0
EVERY_S = 0.5
SIZE_WH = (320, 180)
SHOP: dict[str, Any] = {
    "version": 1,
    "site": {"name": "Shop"},
    "engines": {"fast": {"type": "coco"}, "wise": {"type": "moondream"}},
    "cameras": {
        "door": {
            "source": {"type": "rtsp", "url": "rtsp://10.0.0.9/door"},
            "tasks": {"people": {"engine": "fast", "detect": "person"}},
            "lines": {"threshold": {"from": [0.0, 0.5], "to": [1.0, 0.5]}},
            "zones": {"shop": {"polygon": [[0, 0.6], [1, 0.6], [1, 1], [0, 1]]}},
            "rules": {
                "entrance": {
                    "type": "line_crossing",
                    "of": "people",
                    "line": "threshold",
                    "staff": {"ask": "Is it a red apron?", "engine": "wise"},
                },
            },
        }
    },
}
WALK = 14
"""Looks from far before the line to far behind it."""


def shop(*, recording: bool = False, **rule: Any) -> dict[str, Any]:
    """The file; with fields of its rule."""
    edited = copy.deepcopy(SHOP)
    door = edited["cameras"]["door"]
    if recording:
        door["source"] = {"type": "file", "path": "door.mp4"}
    door["rules"]["entrance"] |= rule
    return edited


def body(x: float, feet: float) -> Box:
    """A person who stands there."""
    return (x - 0.05, feet - 0.25, x + 0.05, feet)


def one_walks(n: int) -> tuple[Box, ...]:
    """Somebody comes in from look 0 on, and stays."""
    return (body(0.3, 0.3 + 0.6 * min(n, WALK) / WALK),)


def two_walk(n: int) -> tuple[Box, ...]:
    """And somebody else comes in a little later, on the other side."""
    return (*one_walks(n), body(0.7, 0.3 + 0.6 * min(max(n - 6, 0), WALK) / WALK))


class Desk:
    """A processor with a store in a folder, and queues in memory that a test answers from."""

    def __init__(self, folder: Path, scene: dict[str, Any]) -> None:
        self.clock = ManualClock(START)
        self.folder = folder
        self.config = StoreConfig(url=f"sqlite:///{folder}/events.db", media=folder / "media")
        self.store: SqlStore = self.config.build(self.clock)
        self.metrics = Metrics()
        self.restart(scene)

    def restart(self, scene: dict[str, Any]) -> None:
        """Another process on the same store, with an empty queue and no pictures."""
        self.queues: Queues = MemoryConfig().build(self.clock)
        self.shelf = MemoryShelf()
        context = ProcessorContext(
            results=self.queues.results,
            store=self.store,
            snapshots=Snapshots(self.shelf, self.config.build_media()),
            metrics=self.metrics,
            clock=self.clock,
            jobs=self.queues.jobs,
        )
        self.processor = Processor(plans_of(Deployment.model_validate(scene)), context)
        self.resumed = self.processor.resume()

    def step(self) -> None:
        """Judge what is there."""
        while self.processor.step(0.0):
            pass
        self.processor.step(0.0)

    def see(
        self,
        first: int,
        until: int,
        who: Callable[[int], Sequence[Box]] = one_walks,
        *,
        live: bool = True,
        pictures: bool = True,
        last: bool = False,
    ) -> None:
        """Judge some looks, whose pictures are red as far as a look is late."""
        for n in range(first, until):
            at = START + n * EVERY_S
            if pictures:
                pixels = np.full((SIZE_WH[1], SIZE_WH[0], 3), (10 * n % 250, 90, 90), np.uint8)
                self.shelf.keep(Frame("door", "run", n, at, pixels, SIZE_WH))
            boxes = tuple(who(n))
            seen: dict[str, Answer] = {"people": Boxes("fast", boxes, (0.9,) * len(boxes))}
            result = Result("door", "run", "fast", n, n, at, SIZE_WH, live, answers=seen)
            assert self.queues.results.publish([result], 0.0)
            self.step()
        if last:
            at = START + until * EVERY_S
            end = Result("door", "run", "fast", until, until, at, SIZE_WH, live, last=True)
            assert self.queues.results.publish([end], 0.0)
            self.step()

    def asked(self) -> list[Claim]:
        """The questions in the queue."""
        return self.queues.jobs.claim("wise", 200, 0.0)

    def answer(self, claim: Claim, said: Answer | str) -> None:
        """Answer one of them, as a worker does."""
        answer = Text("wise", said) if isinstance(said, str) else said
        [task] = claim.job.tasks
        assert self.queues.jobs.answer([claim], [result_of(claim.job, {task.id: answer})], 0.0)
        self.step()

    def events(self) -> list[Event]:
        """All that are stored, in the order in which they were."""
        return [one.event for one in self.store.events_after(0, 10_000)]

    def said(self) -> list[object]:
        """What they say of staff."""
        return [event.data["staff"] for event in self.events()]

    def counted(self, *names: str) -> tuple[float, ...]:
        """Sums over all minutes."""
        minutes = self.store.history.buckets("door", "entrance")
        return tuple(sum(m.values.get(name) or 0 for m in minutes) for name in names)

    def waiting(self) -> int:
        """How many questions the store holds."""
        total = 0
        for checkpoint in self.store.checkpoints():
            if checkpoint.engine.startswith(BESIDE) and isinstance(checkpoint.state, dict):
                questions = checkpoint.state["questions"]
                assert isinstance(questions, list)
                total += len(questions)
        return total


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Desk]]:
    """Makes desks with stores of their own, which are closed in the end."""
    made: list[Desk] = []

    def make(scene: dict[str, Any]) -> Desk:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Desk(folder, scene))
        return made[-1]

    yield make
    for desk in made:
        desk.store.close()


Desks = Callable[[dict[str, Any]], Desk]


@pytest.mark.parametrize(("words", "is_staff"), [("yes", True), ("No.", False)])
def test_a_track_is_asked_about_once(desks: Desks, words: str, is_staff: bool) -> None:
    """The crossing is counted at once, and only the first event waits for the answer."""
    desk = desks(shop())
    desk.see(0, WALK - 3)
    assert (desk.counted("entered", "staff_in"), desk.events()) == ((1, 0), [])
    [claim] = desk.asked()
    [task] = claim.job.tasks
    assert (task.id, getattr(task, "question", "")) == ("entrance.staff", "Is it a red apron?")
    height, width = claim.job.frame.pixels.shape[:2]
    assert height < SIZE_WH[1]
    assert width < SIZE_WH[0]

    desk.answer(claim, words)
    assert desk.events() == []  # it is a part of the next result
    desk.see(WALK - 3, WALK + 1)
    assert desk.said() == [is_staff]
    assert desk.counted("entered", "staff_in") == (1, int(is_staff))
    assert desk.waiting() == 0

    desk.see(WALK + 1, 2 * WALK + 1, lambda n: one_walks(2 * WALK - n))
    assert desk.asked() == []
    assert desk.said() == [is_staff, is_staff]
    assert desk.counted("left", "staff_out") == (1, int(is_staff))


def test_who_does_not_matter_is_not_asked_about(desks: Desks) -> None:
    """Those who stand before the line cost nothing."""
    desk = desks(shop())
    desk.see(0, 30, lambda _n: (body(0.3, 0.4), body(0.6, 0.35)))
    assert desk.asked() == []


def test_an_event_waits_no_longer_than_the_deadline(desks: Desks) -> None:
    """Then nobody knows; a late answer still counts, once, and changes no event."""
    desk = desks(shop(staff={"ask": "Is it a red apron?", "engine": "wise", "deadline": "3s"}))
    desk.see(0, WALK - 4)
    [claim] = desk.asked()
    assert desk.events() == []
    desk.see(WALK - 4, WALK + 6)
    assert desk.said() == ["unknown"]
    assert desk.counted("entered", "staff_in") == (1, 0)

    desk.answer(claim, "yes")
    desk.see(WALK + 6, WALK + 9)
    assert (desk.said(), desk.counted("entered", "staff_in")) == (["unknown"], (1, 1))
    desk.see(WALK + 9, 2 * WALK + 9, lambda n: one_walks(2 * WALK + 8 - n))
    assert desk.said() == ["unknown", True]
    assert desk.asked() == []


def test_answers_that_never_come_are_given_up(desks: Desks) -> None:
    """What is kept for a question does not stay."""
    desk = desks(shop())
    desk.see(0, WALK)
    assert desk.waiting() == 1
    desk.clock.advance(75.0)
    desk.step()
    assert desk.waiting() == 0
    [claim] = desk.asked()
    desk.answer(claim, "yes")  # changes nothing
    desk.see(WALK, WALK + 30)
    assert (desk.said(), desk.counted("staff_in")) == (["unknown"], (0,))


def test_failures_leave_it_unknown(desks: Desks) -> None:
    """An engine that fails, an answer that is none, and a picture that is gone."""
    desk = desks(shop())
    desk.see(0, WALK - 5, two_walk)
    [claim] = desk.asked()
    desk.answer(claim, Failed("wise", "out of memory"))
    desk.see(WALK - 5, WALK + 6, two_walk)
    [claim] = desk.asked()
    desk.answer(claim, "perhaps")
    desk.see(WALK + 6, WALK + 8, two_walk)
    assert desk.said() == ["unknown", "unknown"]
    assert desk.counted("entered", "staff_in") == (2, 0)

    blind = desks(shop())
    blind.see(0, WALK, pictures=False)
    assert (blind.asked(), blind.said()) == ([], ["unknown"])


def test_a_restart_asks_again_and_nothing_else(desks: Desks) -> None:
    """With the picture that was chosen, although none is there any more."""
    desk = desks(shop())
    desk.see(0, WALK - 2)
    [before] = desk.asked()
    desk.restart(shop())
    desk.step()
    [claim] = desk.asked()
    assert (claim.job.frame.run, claim.job.tasks) == (before.job.frame.run, before.job.tasks)
    assert np.array_equal(claim.job.frame.pixels, before.job.frame.pixels)
    desk.answer(claim, "yes")
    desk.see(WALK - 2, WALK + 2)
    assert (desk.said(), desk.counted("entered", "staff_in")) == ([True], (1, 1))
    desk.restart(shop())
    desk.see(WALK + 2, 2 * WALK + 2, lambda n: one_walks(2 * WALK + 1 - n))
    assert (desk.asked(), desk.said()) == ([], [True, True])


def test_an_answer_that_was_not_stored_is_asked_for_again(desks: Desks) -> None:
    """A process that ends between the answer and the next result loses nothing."""
    desk = desks(shop())
    desk.see(0, WALK - 2)
    [claim] = desk.asked()
    desk.answer(claim, "yes")
    desk.restart(shop())
    desk.step()
    [claim] = desk.asked()
    desk.answer(claim, "yes")
    desk.see(WALK - 2, WALK)
    assert (desk.said(), desk.counted("staff_in")) == ([True], (1,))


@pytest.mark.parametrize("late", [0, 1, 9, 40])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_recording_gives_the_same_whenever_it_is_answered(
    desks: Desks, late: int, restarts: bool
) -> None:
    """It is not judged on before the answer, whose place in the order is always the same."""
    scene, looks = shop(recording=True), WALK + 12
    plain = desks(scene)
    _play(plain, scene, looks, 0, restarts=False)
    other = desks(scene)
    _play(other, scene, looks, late, restarts=restarts)
    assert other.events() == plain.events()
    assert other.said() == [True, False]
    names = ("entered", "staff_in", "left", "staff_out")
    assert other.counted(*names) == plain.counted(*names) == (2, 1, 0, 0)
    assert other.processor.ended == {("door", "fast")}
    assert other.waiting() == 0


def _play(desk: Desk, scene: dict[str, Any], looks: int, late: int, *, restarts: bool) -> None:
    """Play a recording; each question is answered after that many more looks."""
    said = iter(("yes", "no"))
    n, due = 0, -1
    while desk.processor.ended != {("door", "fast")}:
        if n < looks:
            desk.see(n, n + 1, two_walk, live=False, last=n == looks - 1)
        n += 1
        if due < 0 and desk.waiting():
            due = n + late
        if due < 0 or n < due:
            assert n < 10 * looks
            continue
        due = -1
        if restarts:
            desk.restart(scene)
            [resumed] = desk.resumed.values()
            n = resumed.ordinal + 1  # the sampler goes on where judging was
            desk.step()
        [claim] = desk.asked()
        desk.answer(claim, next(said))


def test_results_that_come_again_meanwhile_are_judged_once(desks: Desks) -> None:
    """A queue gives what is not acknowledged a second time, and only that can be acknowledged."""
    desk = desks(shop(recording=True))
    desk.see(0, WALK + 8, two_walk, live=False, last=True)
    [claim] = desk.asked()
    assert desk.processor.troubles == []
    desk.clock.advance(300.0)
    desk.step()
    assert desk.processor.ended == frozenset()
    [trouble] = desk.processor.troubles
    assert "its recording waits for engine 'wise' to answer a question" in trouble
    [claim] = desk.asked()  # its lease is over as well
    desk.answer(claim, "yes")
    [claim] = desk.asked()
    desk.answer(claim, "no")
    assert desk.said() == [True, False]
    assert desk.counted("entered", "staff_in") == (2, 1)
    assert desk.processor.troubles == []
    desk.clock.advance(300.0)
    assert desk.processor.step(0.0) == 0  # nothing is left in the queue


def test_simulate_uses_the_answers_that_were_given(desks: Desks) -> None:
    """The present file gives what is stored, and another line has the answers about its people."""
    desk = desks(shop())
    desk.see(0, WALK - 5, two_walk)
    for said in ("yes", "no"):
        if said == "no":
            desk.see(WALK - 5, WALK + 6, two_walk)
        [claim] = desk.asked()
        desk.answer(claim, said)
    desk.see(WALK + 6, 160, two_walk)
    assert desk.said() == [True, False]

    def simulated(scene: dict[str, Any]) -> tuple[list[Event], float]:
        reader = desk.config.build_reader()
        try:
            hours = list(
                Simulation(
                    Deployment.model_validate(scene),
                    reader,
                    reader.history,
                    SimulationScope(),
                    ManualClock(START),
                    every_rule=True,
                ).hours()
            )
        finally:
            reader.close()
        ((_, total),) = [row for row in summed(hours) if row[1].rule == "entrance"]
        assert total.here is not None
        return list(total.here.events), sum(m.values["staff_in"] or 0 for m in total.here.minutes)

    found, staff = simulated(shop())
    assert (found, staff) == (desk.events(), 1)
    moved = shop()
    moved["cameras"]["door"]["lines"]["threshold"] = {"from": [0.0, 0.6], "to": [1.0, 0.6]}
    found, staff = simulated(moved)
    assert ([event.data["staff"] for event in found], staff) == ([True, False], 1)
    renamed = shop(of="persons")
    tasks = renamed["cameras"]["door"]["tasks"]
    tasks["persons"] = tasks.pop("people")
    found, staff = simulated(renamed)
    assert ([event.data["staff"] for event in found], staff) == ([True, False], 1)
    other = shop(staff={"ask": "Is it a blue apron?", "engine": "wise"})
    found, staff = simulated(other)
    assert ([event.data["staff"] for event in found], staff) == (["unknown", "unknown"], 0)


def test_visits(desks: Desks) -> None:
    """A visit's start waits, and its end stays behind it."""
    scene = shop()
    scene["cameras"]["door"]["rules"]["entrance"] = {
        "type": "dwell",
        "of": "people",
        "zone": "shop",
        "gap": "1s",
        "staff": {"ask": "Is it a red apron?", "engine": "wise", "is": "yes", "at_least": 0.6},
    }
    desk = desks(scene)
    desk.see(0, WALK + 2)
    [claim] = desk.asked()
    desk.see(WALK + 2, WALK + 8, lambda _n: ())
    assert desk.events() == []
    desk.answer(claim, Text("wise", "yes", 0.7))
    desk.see(WALK + 8, WALK + 10, lambda _n: ())
    found = [(event.phase, event.data["staff"]) for event in desk.events()]
    assert found == [("start", True), ("end", True)]
    assert desk.counted("entered", "left", "staff_entered") == (1, 1, 1)


def test_a_picture_is_kept_while_its_event_waits(desks: Desks) -> None:
    """The shelf forgets it long before the event goes out."""
    desk = desks(shop(snapshot=True))
    desk.see(0, WALK)
    desk.see(WALK, WALK + 25)
    [event] = desk.events()
    assert event.data["staff"] == "unknown"
    assert MISSING not in event.data
    [reference] = event.media
    assert (desk.folder / "media" / reference).is_file()


def test_an_edit_that_asks_no_more(desks: Desks) -> None:
    """A recording goes on when the engine is gone from the file, and when the question is."""
    desk = desks(shop(recording=True))
    desk.see(0, WALK + 8, live=False, last=True)
    assert desk.processor.ended == frozenset()
    without = shop(recording=True, staff=None)
    without["engines"].pop("wise")
    desk.processor.update(plans_of(Deployment.model_validate(without)))
    desk.step()
    assert desk.processor.ended == {("door", "fast")}
    assert desk.counted("entered") == (1,)


def test_a_camera_that_is_removed_asks_nothing(desks: Desks) -> None:
    """Neither in this process nor in the next."""
    desk = desks(shop())
    desk.see(0, WALK)
    elsewhere = copy.deepcopy(shop())
    elsewhere["cameras"]["gate"] = elsewhere["cameras"].pop("door")
    desk.restart(elsewhere)
    desk.step()
    assert (desk.asked(), desk.waiting(), desk.said()) == ([], 0, ["unknown"])

    desk = desks(shop())
    desk.see(0, WALK)
    desk.processor.update([])
    desk.step()
    assert (desk.waiting(), desk.said()) == (0, ["unknown"])


def test_the_line_of_a_live_camera_is_bounded(desks: Desks) -> None:
    """Of more tracks nobody is asked, and their events go out."""
    desk = desks(shop())
    many = MOST_ASKED + 3

    def crowd(n: int) -> tuple[Box, ...]:
        feet = 0.3 + 0.6 * min(n, WALK) / WALK
        places = [(k + 1) / (many + 1) for k in range(many)]
        return tuple((x - 0.004, feet - 0.25, x + 0.004, feet) for x in places)

    desk.see(0, WALK, crowd)
    assert desk.waiting() == MOST_ASKED
    assert desk.said() == ["unknown"] * 3


def test_damaged_questions_cost_only_themselves(
    desks: Desks, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read is said, and what cannot be shown is unknown."""
    desk = desks(shop())
    desk.see(0, WALK)
    (kept,) = [one for one in desk.store.checkpoints() if one.engine.startswith(BESIDE)]
    desk.store.commit(Commit(checkpoints=[replace(kept, state={"questions": 3})]))
    desk.restart(shop())
    assert "questions about tracks cannot be read" in caplog.text

    assert isinstance(kept.state, dict)
    questions = kept.state["questions"]
    assert isinstance(questions, list)
    [question] = questions
    assert isinstance(question, dict)
    damaged = Checkpoint(
        kept.camera,
        kept.engine,
        "",
        -1,
        {**kept.state, "questions": [{**question, "picture": "no JPEG"}]},
    )
    desk.store.commit(Commit(checkpoints=[damaged]))
    desk.restart(shop())
    desk.step()
    desk.see(WALK, WALK + 2)
    assert (desk.asked(), desk.said()) == ([], ["unknown"])


def test_a_rule_that_leaves_staff_out(desks: Desks) -> None:
    """Two stand in the zone, one of them is staff; a recording is judged on with the answers."""
    scene = shop(recording=True)
    scene["cameras"]["door"]["rules"]["entrance"] = {
        "type": "occupancy",
        "of": "people",
        "zone": "shop",
        "more_than": 1,
        "for": "1s",
        "staff": {"ask": "Is it a red apron?", "engine": "wise"},
    }
    for said, phases in (("yes", []), ("no", ["start", "end"])):
        desk = desks(scene)
        desk.see(0, 2 * WALK, two_walk, live=False, last=True)
        for words in ("no", said):
            [claim] = desk.asked()
            desk.answer(claim, words)
        assert desk.processor.ended == {("door", "fast")}
        assert [event.phase for event in desk.events()] == phases
        assert all("staff" not in event.data for event in desk.events())
