"""What was judged is kept as it was judged: judged again, it gives the same, whatever happened."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.answers import Boxes, Failed
from pipeline.core.errors import StoreError
from pipeline.core.events import Event, JsonValue
from pipeline.core.frames import DROP_REASONS
from pipeline.core.jobs import Result, unjudgeable_result
from pipeline.core.observations import ObservedFrame, Waypoint, frames_of
from pipeline.core.store import Commit
from pipeline.deployment.model import Deployment
from pipeline.processing.judge import Judge
from pipeline.processing.kept import read_lane
from pipeline.processing.plan import LanePlan
from pipeline.processing.snapshots import MISSING
from pipeline.runtime.assembly import plans_of
from tests.processing.life_scene import EVERY_S, SHOP, results, shop
from tests.processing.test_life import Site

OFF = {**SHOP, "store": {"observations": {"keep": 0}}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A shop whose door is watched."""
    made = Site(tmp_path)
    yield made
    made.store.close()


def seen(site: Site, engine: str = "fast") -> list[ObservedFrame]:
    """All that is kept, in order."""
    blocks = site.store.observations("door", engine)
    return [frame for block in blocks for frame in frames_of(block)]


def numbers(site: Site, engine: str = "fast") -> list[int]:
    """The numbers of the frames that are kept."""
    return [frame.result.ordinal for frame in seen(site, engine)]


def lane(scene: dict[str, Any] = SHOP, engine: str = "fast") -> LanePlan:
    """How one engine's answers are judged."""
    (plan,) = plans_of(Deployment.model_validate(scene))
    return next(lane for lane in plan.lanes if lane.engine == engine)


def judged_again(
    plan: LanePlan, frames: Sequence[ObservedFrame], since: Waypoint | None = None
) -> tuple[list[Event], JsonValue]:
    """What a judge concludes of what is kept, from the beginning or from a waypoint."""
    judge = Judge("door", plan)
    if since is not None:
        judge.resume(read_lane(since.state, plan))
        place = next(
            n
            for n, frame in enumerate(frames)
            if (frame.result.run, frame.result.ordinal) == (since.run, since.ordinal)
        )
        frames = frames[place:]
    events = [event for frame in frames for event in judge.judge(frame.result).events]
    return events, json.loads(json.dumps(judge.state()))


def stored(site: Site) -> list[Event]:
    """The events of the rules, without what is said of missing pictures."""
    return [
        replace(event, data={n: v for n, v in event.data.items() if n != MISSING})
        for event in site.events()
    ]


def with_trouble(some: Sequence[Result]) -> list[Result]:
    """Some frames dropped before they were asked, some failed, and some that cannot be read."""
    found: list[Result] = []
    for result in some:
        match result.ordinal % 23:
            case 5:
                reason = next(iter(DROP_REASONS))
                answers = {task: Failed(result.engine, reason) for task in result.answers}
                found.append(replace(result, answers=answers))
            case 11:
                failed = Failed(result.engine, "out of memory")
                found.append(replace(result, answers=dict.fromkeys(result.answers, failed)))
            case 17:
                found.append(
                    unjudgeable_result(
                        result.camera, result.run, result.engine, result.ordinal, live=True
                    )
                )
            case _:
                found.append(result)
    return found


def test_what_is_kept_gives_the_stored_events_again(site: Site) -> None:
    """Id for id, over two restarts in mid-minute, with failures and a result that never came."""
    everything = [
        result
        for result in with_trouble(results(0, 300))
        if (result.engine, result.ordinal) != ("fast", 100)
    ]
    site.feed(everything[:170])  # the hole is waited for
    site.clock.advance(3600)
    site.processor.step(0.0)
    site.feed(everything[170:211])
    site.restart(SHOP)
    site.feed(everything[190:400])
    site.restart(SHOP)
    site.feed(everything[390:])
    site.clock.advance(3600)
    site.processor.step(0.0)
    assert numbers(site) == [n for n in range(300) if n != 100]
    again = [
        event
        for engine in ("fast", "words")
        for event in judged_again(lane(engine=engine), seen(site, engine))[0]
    ]
    assert len(again) > 30
    assert sorted(again, key=str) == sorted(stored(site), key=str)
    unreadable = [frame for frame in seen(site) if frame.result.unjudgeable]
    assert [frame.result.ordinal % 23 for frame in unreadable] == [17] * 13
    # They stand in the minute of their neighbours: nobody knows when they were captured.
    assert {block.minute for block in site.store.observations("door", "fast")} == {
        1_699_999_980 + 60 * n for n in range(3)
    }


def test_boxes_have_the_ids_of_their_tracks(site: Site) -> None:
    """Those that rules are shown; a box that is not followed yet has none."""
    site.feed(results(0, 40))
    shown = [(frame.result.answers["people"], frame.tracks["people"]) for frame in seen(site)]
    for answer, ids in shown:
        assert isinstance(answer, Boxes)
        assert len(ids) == len(answer.boxes_xyxy)
    assert {id_ for _, ids in shown for id_ in ids} >= {None, 1, 2}
    crossings = [event for event in site.of("entrance") if event.subject is not None]
    first = crossings[0]
    assert first.subject is not None
    of_frame = next(frame for frame in seen(site) if frame.result.seq == first.seq)
    answer = of_frame.result.answers["people"]
    assert isinstance(answer, Boxes)
    place = answer.boxes_xyxy.index(first.subject.box or (0, 0, 0, 0))
    assert of_frame.tracks["people"][place] == first.subject.track


def test_places_are_kept_as_they_were_judged(site: Site) -> None:
    """With five decimals, which is what rules and trackers were shown."""
    (result,) = (one for one in results(0, 1) if one.engine == "fast")
    box = (0.1234567, 0.2, 0.3, 0.9999999)
    result = replace(result, answers={"people": Boxes("fast", (box,), (0.8765432,))})
    site.feed([result])
    (frame,) = seen(site)
    expected = Boxes("fast", ((0.12346, 0.2, 0.3, 1.0),), (0.87654,))
    assert frame.result == replace(result, answers={"people": expected})


def test_a_judge_can_begin_at_every_waypoint(site: Site) -> None:
    """At each start, each hour and each edit; from each of them all ends the same."""
    site.feed([one for one in results(0, 100) if one.engine == "fast"])
    site.restart(SHOP)
    some = [one for one in results(100, 400) if one.engine == "fast"]
    # The scene begins 800 s into an hour; its 300th frame is the first of another one.
    later = 6400 - 300 * EVERY_S
    site.feed([replace(one, captured_at=one.captured_at + later) for one in some])
    points = site.store.waypoints("door", "fast")
    assert [point.ordinal for point in points] == [0, 100, 300]
    checkpoint = site.store.checkpoint("door", "fast")
    assert checkpoint is not None
    for point in points:
        _, state = judged_again(lane(), seen(site), point)
        assert state == checkpoint.state


def test_an_edit_is_a_waypoint(site: Site) -> None:
    """From it on the new terms are judged; an edit that changes nothing of a lane is none."""
    fast = [one for one in results(0, 100) if one.engine == "fast"]
    site.feed(fast[:40])
    site.reload(shop(cameras__door__rules__closed__is="no"))
    site.feed(fast[40:60])
    edited = shop(cameras__door__rules__crowd__more_than=1)
    site.reload(edited)
    site.feed(fast[60:])
    points = site.store.waypoints("door", "fast")
    assert [point.ordinal for point in points] == [0, 60]
    events, _ = judged_again(lane(edited), seen(site), points[-1])
    since = fast[60].captured_at
    assert [e for e in events if e.rule != "closed"] == [
        e for e in stored(site) if e.at >= since and e.data.get("reason") != "edited"
    ]


def test_a_recording_that_is_judged_again_is_kept_once(tmp_path: Path) -> None:
    """As it was judged last, from its beginning."""
    recording = {"type": "file", "path": "door.mp4"}
    scene = shop(cameras__door__source=recording)
    site = Site(tmp_path, scene)
    end = replace(results(200, 201)[0], ordinal=200, answers={}, last=True, live=False)
    fast = [one for one in results(0, 200, live=False) if one.engine == "fast"]
    site.feed([*fast, end])
    assert numbers(site) == [*range(201)]
    edited = shop(cameras__door__source=recording, cameras__door__rules__crowd__more_than=1)
    site.restart(edited)
    site.feed([*fast, end])
    assert numbers(site) == [*range(201)]
    assert [point.ordinal for point in site.store.waypoints("door", "fast")] == [0]
    events, _ = judged_again(lane(edited), seen(site))
    of_rules = [event for event in events if event.rule == "stay"]
    assert of_rules
    assert {event.record_id for event in events} <= {e.record_id for e in stored(site)}
    site.store.close()


def test_a_recording_whose_beginning_cannot_be_read_is_kept_once(tmp_path: Path) -> None:
    """Nobody knows the minute of its first results; what was kept before goes all the same."""
    recording = {"type": "file", "path": "door.mp4"}
    site = Site(tmp_path, shop(cameras__door__source=recording))
    fast = [one for one in results(0, 60, live=False) if one.engine == "fast"]
    end = replace(fast[-1], ordinal=60, seq=60, answers={}, last=True)
    site.feed([*fast, end])
    edited = shop(cameras__door__source=recording, cameras__door__rules__crowd__more_than=1)
    site.restart(edited)
    unread = [unjudgeable_result("door", fast[0].run, "fast", n, live=False) for n in range(2)]
    site.feed([*unread, *fast[2:], end])
    assert numbers(site) == [*range(2, 61)]
    site.store.close()


def test_what_was_not_stored_is_judged_and_kept_again(site: Site) -> None:
    """A commit that failed is void: its frames are kept by the one that succeeds, once."""

    class Refusing:
        def __getattr__(self, name: str) -> object:
            return getattr(site.store, name)

        def commit(self, commit: Commit) -> int:
            processor.stop()
            raise StoreError("the disk is full")

    fast = [one for one in results(0, 60) if one.engine == "fast"]
    site.feed(fast[:30])
    store, processor = site.store, site.processor
    site.store = Refusing()  # type: ignore[assignment]
    site.processor._context = replace(site.processor._context, store=site.store)
    assert site.results.publish(fast[30:50], 0.0)
    site.processor.step(0.0)
    site.store = store
    assert numbers(site) == [*range(30)]
    site.restart(SHOP)
    site.clock.advance(3600)
    site.feed(fast[30:])
    assert numbers(site) == [*range(60)]


def test_a_result_that_cannot_be_judged_is_kept_and_the_next_is_a_waypoint(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rules begin anew after it, and whoever judges again has to begin there as well."""
    fast = [one for one in results(0, 60) if one.engine == "fast"]
    judge = Judge.judge

    def faulty(self: Judge, result: Result) -> Any:
        if result.ordinal == 20:
            raise ValueError("a number that nobody thought of")
        return judge(self, result)

    monkeypatch.setattr(Judge, "judge", faulty)
    site.feed(fast)
    assert numbers(site) == [*range(60)]
    assert [point.ordinal for point in site.store.waypoints("door", "fast")] == [0, 21]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e308])
def test_a_score_that_is_no_number_stops_nothing(site: Site, score: float) -> None:
    """The frame is kept as one that failed, and judging goes on after it."""
    fast = [one for one in results(0, 60) if one.engine == "fast"]
    boxes = Boxes("fast", ((0.1, 0.1, 0.2, 0.2),), (score,))
    fast[20] = replace(fast[20], answers={"people": boxes})
    site.feed(fast)
    assert numbers(site) == [*range(60)]
    assert isinstance(seen(site)[20].result.answers["people"], Failed)


def test_nothing_is_kept_where_it_is_off(tmp_path: Path) -> None:
    """And where it is switched on or off while it runs, it begins or ends with the next result."""
    site = Site(tmp_path, OFF)
    fast = [one for one in results(0, 90) if one.engine == "fast"]
    site.feed(fast[:30])
    assert (numbers(site), site.store.waypoints("door")) == ([], [])
    site.reload(SHOP)
    site.feed(fast[30:50])
    site.reload(OFF)
    site.feed(fast[50:70])
    site.reload(SHOP)
    site.feed(fast[70:])
    assert numbers(site) == [*range(30, 50), *range(70, 90)]
    assert [point.ordinal for point in site.store.waypoints("door", "fast")] == [30, 70]
    site.store.close()


def test_a_clock_that_was_set_back_loses_nothing(site: Site) -> None:
    """The minute is there twice, in the order of judging, and a waypoint tells where it begins."""
    fast = [one for one in results(0, 100) if one.engine == "fast"]
    site.feed(
        [
            one if one.ordinal < 90 else replace(one, captured_at=one.captured_at - 45)
            for one in fast
        ]
    )
    assert sorted(numbers(site)) == [*range(100)]
    minute = [
        (block.minute, frames_of(block)[0].result.ordinal)
        for block in site.store.observations("door", "fast")
    ]
    assert minute == [(1_699_999_980, 0), (1_699_999_980, 90), (1_700_000_040, 80)]
    assert [point.ordinal for point in site.store.waypoints("door", "fast")] == [0, 90]
