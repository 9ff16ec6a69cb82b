"""From pictures to counts where only what moves is looked at: sampler, worker, judge."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.core.answers import Boxes, Failed
from pipeline.core.events import Event
from pipeline.core.frames import Frame
from pipeline.core.geometry import Box, iou
from pipeline.core.jobs import WHOLE, Focus, Job, Result
from pipeline.core.rules import Observation
from pipeline.core.tasks import Detect
from pipeline.deployment.loader import parse
from pipeline.inference.cuts import share_of
from pipeline.inference.worker import EngineLane, Worker
from pipeline.processing.judge import Judge
from pipeline.processing.kept import read_lane
from pipeline.processing.plan import LanePlan
from pipeline.runtime.assembly import camera_of, is_sampled_alike, plans_of
from pipeline.sampling.camera import Looking
from pipeline.sampling.config import SampleConfig
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience
from tests.sampling.fakes import Bench, ScriptedSource, camera, offered
from tests.sampling.hall import PERSON_WH, SIDE, SIZE_WH, Place, SmallNet, picture, pictures

PICTURES = 115
COMES, STOPS, GOES = 20, 38, 90
TEXT = """
version: 1
engines: {fast: {type: coco}}
cameras:
  door:
    source: {type: file, path: hall.mp4}
    tasks: {people: {detect: person, where: WHERE}}
    lines: {middle: {from: [0.3, 0.0], to: [0.3, 1.0]}}
    zones: {all: {polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}
    rules:
      over: {type: line_crossing, of: people, line: middle}
      stay: {type: dwell, of: people, zone: all, longer_than: 5s}
"""


def people(n: int) -> Sequence[Place]:
    """One comes, stands for 26 s and goes on; another one passes below him in that time."""
    there = []
    if n >= COMES:
        steps = min(n, STOPS) - COMES + max(0, n - GOES)
        there.append((20 + 10 * steps, 60))
    if 60 <= n < 85:
        there.append((20 + 10 * (n - 60), 200))
    return there


@pytest.fixture(scope="module")
def looked_at() -> list[Result]:
    """The results of a recording of the hall in which only what moves is looked at."""
    bench = Bench()
    door = camera(ScriptedSource(), max_side=240)
    door = replace(door, sample=SampleConfig(), looking={"people": Looking(5.0, SIDE)})
    offered(bench, door, pictures(PICTURES, people))
    clock = ManualClock()
    net = SmallNet()
    lane = EngineLane("fast", net.engine(), 8, 60.0, cut_side=SIDE)
    worker = Worker(lane, bench.queues.jobs, Metrics(), clock)
    results: list[Result] = []
    while given := worker.feed(0.0):
        while given:
            given -= worker.hand_on(patience(5.0))
        results += [delivered.result for delivered in bench.queues.results.take(1000, 0.0)]
    assert len(results) == PICTURES
    return results


def plan(where: str = "motion") -> LanePlan:
    """What is judged of the hall."""
    (made,) = plans_of(parse(TEXT.replace("WHERE", where)).deployment)
    return made.lanes[0]


def judged(results: Sequence[Result]) -> tuple[list[Observation], list[Event]]:
    """What rules see, and what they say."""
    seen: list[Observation] = []
    judge = Judge("door", plan(), lambda one, _task, _size: seen.append(one))
    events = [event for result in results for event in judge.judge(result).events]
    return seen, events


def box(place: Place) -> tuple[float, float, float, float]:
    """A person's box in 0..1 of the picture."""
    (x, y), (w, h) = place, PERSON_WH
    return (x / SIZE_WH[0], y / SIZE_WH[1], (x + w) / SIZE_WH[0], (y + h) / SIZE_WH[1])


def test_everybody_is_seen_in_every_picture_and_nobody_else(looked_at: list[Result]) -> None:
    """Who walks, and who stands where nobody looks; no ghost where he stood."""
    seen, _ = judged(looked_at)
    for n, one in enumerate(seen):
        assert isinstance(one.answer, Boxes)
        found, there = list(one.answer.boxes_xyxy), [box(place) for place in people(n)]
        assert len(found) == len(there), n
        for place in there:
            assert max(iou(place, other) for other in found) > 0.6, n


def test_little_of_the_picture_is_looked_at(looked_at: list[Result]) -> None:
    """Nothing where he stands and nobody else moves, and a small part where somebody passes."""
    assert all(result.looked == () for result in looked_at[58:60])
    shares = [1.0 if one.looked is None else share_of(one.looked) for one in looked_at[58:89]]
    assert sum(shares) / len(shares) < 0.3


def test_the_one_who_stands_stays_one(looked_at: list[Result]) -> None:
    """One track each, one crossing each, and a visit that lasts."""
    seen, events = judged(looked_at)
    assert {track.id for one in seen for track in one.tracks} == {1, 2}
    standing = [[track.id for track in one.tracks] for one in seen[STOPS:GOES]]
    assert all(1 in ids for ids in standing)
    crossings = [event for event in events if event.rule == "over"]
    assert len(crossings) == 2
    visits = [event for event in events if event.rule == "stay"]
    assert {visit.phase for visit in visits} >= {"start"}


@pytest.mark.parametrize("every", [1, 7, 31])
def test_a_restart_changes_nothing(looked_at: list[Result], every: int) -> None:
    """Another processor takes over again and again, from the checkpoint alone."""
    _, whole = judged(looked_at)
    state = Judge("door", plan()).state()
    events: list[Event] = []
    seen: list[Observation] = []
    for first in range(0, PICTURES, every):
        judge = Judge("door", plan(), lambda one, _task, _size: seen.append(one))
        judge.resume(read_lane(json.loads(json.dumps(state)), plan()))
        for result in looked_at[first : first + every]:
            events += judge.judge(result).events
        state = judge.state()
    assert events == whole
    assert seen == judged(looked_at)[0]


def test_a_part_is_not_judged_as_the_whole(looked_at: list[Result]) -> None:
    """After `where: motion` was taken out of the file, answers about parts on their way are not."""
    seen: list[Observation] = []
    judge = Judge("door", plan("picture"), lambda one, _task, _size: seen.append(one))
    for result in looked_at:
        judge.judge(result)
    assert len(seen) == sum(result.looked is None for result in looked_at)


def test_a_task_beside_it_is_judged_in_every_frame() -> None:
    """One engine, two tasks: the one that sees whole pictures loses none of its answers."""
    text = TEXT.replace("WHERE}", "motion}, cars: {detect: car}")
    (made,) = plans_of(parse(text).deployment)
    (cars,) = [task for task in made.lanes[0].tasks if task.task == "cars"]
    tasks = (Detect("people", "fast", "person"), Detect("cars", "fast", cars.label))
    bench = Bench()
    clock = ManualClock()
    lane = EngineLane("fast", SmallNet().engine(), 8, 60.0, cut_side=SIDE)
    worker = Worker(lane, bench.queues.jobs, Metrics(), clock)
    seen: list[tuple[str, Observation]] = []
    judge = Judge("door", made.lanes[0], lambda one, task, _size: seen.append((task, one)))
    focuses = ((), ((0.1, 0.1, 0.2, 0.2),), (WHOLE,), (WHOLE, (0.1, 0.1, 0.2, 0.2)))
    for n, regions in enumerate(focuses):
        shown = picture(n, people(30))
        frame = Frame("door", "run", n, shown.captured_at, shown.pixels, SIZE_WH)
        job = Job(frame, "fast", n, tasks, live=False, focus=Focus(regions, ("people",)))
        bench.queues.jobs.put(job, 0.0)
        assert worker.feed(0.0) == 1
        assert worker.hand_on(patience(5.0)) == 1
        (delivered,) = bench.queues.results.take(10, 0.0)
        judge.judge(delivered.result)
    assert [task for task, _ in seen].count("cars") == len(focuses)
    assert [task for task, _ in seen].count("people") == len(focuses)


def test_who_stands_says_nothing_of_another_task() -> None:
    """A box of one task that is carried on keeps no thing of another one from beginning, nor from
    being learned of.
    """
    (made,) = plans_of(parse(TEXT.replace("WHERE}", "motion}, cars: {detect: car}")).deployment)
    place = box((100, 60))

    def cars_of(*stands: Box) -> tuple[Judge, list[Observation]]:
        seen: list[tuple[str, Observation]] = []
        judge = Judge("door", made.lanes[0], lambda one, task, _size: seen.append((task, one)))
        for n in range(20):
            people = Boxes("fast", stands if n < 3 else (), (0.9,) * (len(stands) if n < 3 else 0))
            cars = Boxes("fast", (place,), (0.9,)) if n >= 5 else Boxes("fast", (), ())
            result = Result("door", "run", "fast", n, n, 1000.0 + n / 2, SIZE_WH, live=False)
            judge.judge(
                replace(
                    result,
                    answers={"people": people, "cars": cars},
                    looked=None if n < 3 else (),
                    looking=() if n < 3 else ("people",),
                )
            )
        return judge, [one for task, one in seen if task == "cars"]

    (judge, seen), (alone, seen_alone) = cars_of(place), cars_of()
    assert seen[-1].tracks == seen_alone[-1].tracks != ()
    scenes = [
        json.loads(json.dumps(one.state()))["tasks"]["cars"]["scene"] for one in (judge, alone)
    ]
    assert scenes[0] == scenes[1]


def test_failures_end_in_nobody_and_not_in_a_ghost(looked_at: list[Result]) -> None:
    """He walked off while the engine was down: nobody is carried on from before."""
    down = [
        replace(result, answers={"people": Failed("fast", "no memory")})
        if GOES - 4 <= n < PICTURES - 10
        else result
        for n, result in enumerate(looked_at)
    ]
    seen, _ = judged(down)
    for n in range(PICTURES - 10, PICTURES):
        answer = seen[n].answer
        assert isinstance(answer, Boxes)
        assert max((iou(box(people(STOPS)[0]), one) for one in answer.boxes_xyxy), default=0) == 0


def test_how_often_it_confirms_is_a_matter_of_the_sampler_alone() -> None:
    """Another pace begins nothing anew, and the sampler is told it, with the net's own size."""
    text = TEXT.replace("where: WHERE", "where: motion, confirm_every: 8s")
    deployment = parse(text).deployment
    (made,) = plans_of(deployment)
    assert made.lanes[0].terms() == plan().terms()
    camera_ = camera_of(deployment, "door", ManualClock(), {})
    assert camera_.looking == {"people": Looking(8.0, 512)}
    other = parse(TEXT.replace("WHERE", "motion")).deployment
    assert not is_sampled_alike("door", deployment, other)
    assert camera_of(other, "door", ManualClock(), {}).looking["people"].confirm_s == 5.0
    plain = parse(TEXT.replace("WHERE", "picture")).deployment
    assert camera_of(plain, "door", ManualClock(), {}).looking == {}


def test_tasks_without_it_keep_the_checkpoints_that_they_had() -> None:
    """Nothing is added to what is stored, nor to the terms by which it is resumed."""
    plain, moving = plan("picture"), plan()
    text = TEXT.replace(", where: WHERE", "")
    (default,) = plans_of(parse(text).deployment)
    assert plain.terms() == default.lanes[0].terms() != moving.terms()
    judge = Judge("door", plain)
    judge.judge(Result("door", "r", "fast", 0, 0, 1.0, SIZE_WH, live=False))
    assert "standing" not in json.dumps(judge.state())
