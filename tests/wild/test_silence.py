"""Every way in which a camera can be useless is said, with what helps, and ends when it is over."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.frames import Picture
from pipeline.core.measures import Health
from pipeline.deployment.loader import load
from pipeline.runtime.stages.processing import Orphans
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.sampling.fakes import START, painted
from tests.wild.silent_scene import Scene

WELL_S = 5.0
# `offline_after` of the scene is 10 s, and it looks once a second.
SOON_S = 13.0


def told(scene: Scene, trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """The trouble is in the log, the metrics and the report, and the camera is not well."""
    assert scene.states() == [trouble], scene.sentence()
    assert not scene.is_well()
    assert scene.metrics.value("moonwatch_camera_trouble", camera="door", reason=trouble) == 1
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [line for line in warned if line.startswith("camera door ")], warned
    assert ";" in scene.sentence(), "it says what helps"


def over(scene: Scene, trouble: str) -> None:
    """Everything is as before, and the trouble has one event with a start and one with an end."""
    assert scene.states() == []
    assert scene.is_well()
    assert scene.metrics.value("moonwatch_camera_trouble", camera="door", reason=trouble) == 0
    kind = f"camera_{trouble}"
    assert [event for event in scene.events() if event[0] == kind] == [
        (kind, "start"),
        (kind, "end"),
    ]


def test_a_camera_at_work_is_well(tmp_path: Path) -> None:
    """Pictures arrive, are sampled, answered and judged: nothing is said for two minutes."""
    with Scene(tmp_path) as scene:
        scene.pass_time(120)
        assert scene.is_well()
        assert scene.events() == []


def test_no_picture_arrives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The camera is unplugged and falls silent."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.pass_time(SOON_S, lambda _: None)
        told(scene, "offline", caplog)
        scene.pass_time(WELL_S)
        over(scene, "offline")


def test_every_picture_is_too_old(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pictures arrive all the time, and all of them are half a minute old."""

    def stale(_: int) -> Picture:
        return painted(scene.clock.now() - START - 30.0)

    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.pass_time(SOON_S, stale)
        told(scene, "offline", caplog)
        assert "its pictures are 30 s old when they arrive" in scene.sentence()
        assert scene.metrics.value("moonwatch_camera_up", camera="door") == 0
        scene.pass_time(20, stale)
        assert scene.events() == [("camera_offline", "start")]
        scene.pass_time(WELL_S)
        over(scene, "offline")


def test_every_picture_was_too_old_from_the_beginning(tmp_path: Path) -> None:
    """A camera whose first picture is half a minute old never counts as online."""
    with Scene(tmp_path) as scene:
        scene.pass_time(SOON_S, lambda _: painted(scene.clock.now() - START - 30.0))
        assert scene.states() == ["offline"]
        assert [event[1] for event in scene.events()] == ["start"]


def test_the_time_of_its_pictures_stands_still(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every picture carries the same time, so none is ever due."""
    with Scene(tmp_path, stale_after="1h") as scene:
        scene.pass_time(WELL_S)
        stands_at = scene.clock.now() - START
        scene.pass_time(SOON_S, lambda n: painted(stands_at, level=60 + n % 100))
        told(scene, "offline", caplog)
        assert "the times of its pictures do not advance" in scene.sentence()


def test_nobody_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The only worker has died."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.dead_engines = {"fast"}
        scene.pass_time(SOON_S)
        told(scene, "unanswered", caplog)
        assert "no worker is running for fast" in scene.sentence()
        assert "`moonwatch infer FILE --engine fast`" in scene.sentence()
        scene.dead_engines = set()
        scene.pass_time(WELL_S)
        over(scene, "unanswered")


def test_one_of_two_engines_is_dead(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other one goes on answering, and the dead one is named."""
    tasks = {
        "door": {"ask": "Is it open?", "engine": "fast"},
        "fire": {"ask": "Is there a fire?", "engine": "slow"},
    }
    with Scene(tmp_path, tasks) as scene:
        scene.pass_time(WELL_S)
        scene.dead_engines = {"slow"}
        scene.pass_time(SOON_S)
        told(scene, "unanswered", caplog)
        assert "engine slow answered none of its frames" in scene.sentence()
        assert "fast" not in scene.sentence()
        scene.dead_engines = set()
        scene.pass_time(WELL_S)
        over(scene, "unanswered")


def test_an_hourly_question_is_not_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said soon after the question, not an hour later; and a quiet hour is no trouble."""
    tasks = {
        "door": {"ask": "Is it open?", "engine": "fast"},
        "fire": {"ask": "Is there a fire?", "engine": "slow", "every": "1h"},
    }
    with Scene(tmp_path, tasks) as scene:
        scene.pass_time(40)
        assert scene.is_well()
        scene.dead_engines = {"slow"}
        scene.pass_time(40)
        assert scene.is_well(), "nothing was asked"
        scene.clock.advance(3600.0 - 100.0)
        scene.pass_time(40)
        told(scene, "unanswered", caplog)


def test_every_answer_is_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The engine fails at every frame, with its reason."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.failing = {"door": "out of memory"}
        scene.pass_time(SOON_S)
        told(scene, "failing", caplog)
        assert "out of memory" in scene.sentence()
        scene.failing = {}
        scene.pass_time(WELL_S)
        over(scene, "failing")


def test_one_task_of_an_engine_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The engine answers one question and fails at the other, which is named."""
    tasks = {
        "door": {"ask": "Is it open?", "engine": "fast"},
        "fire": {"ask": "Is there a fire?", "engine": "fast"},
    }
    with Scene(tmp_path, tasks) as scene:
        scene.pass_time(WELL_S)
        scene.failing = {"fire": "too many tokens"}
        scene.pass_time(SOON_S)
        told(scene, "failing", caplog)
        assert "task fire" in scene.sentence()


def test_nobody_judges(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The processor has died; its events come as soon as there is another one."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.kill_processor()
        scene.pass_time(SOON_S)
        told(scene, "unjudged", caplog)
        assert "`moonwatch process FILE`" in scene.sentence()
        assert scene.events() == []
        scene.start_processor()
        scene.pass_time(WELL_S)
        over(scene, "unjudged")


def test_the_queue_is_out_of_reach(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """None of its frames is taken, and reports of other processes cannot be read either."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.queue_trouble, scene.reads_reports = "redis at shop:6379 is out of reach", False
        scene.pass_time(SOON_S, lambda _: painted(-3600.0))
        assert "unqueued" in scene.states()
        assert "redis at shop:6379 is out of reach" in scene.sentence()
        scene.queue_trouble, scene.reads_reports = None, True
        scene.pass_time(WELL_S)
        over(scene, "unqueued")


def test_more_frames_than_the_engine_can_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the frames are dropped: said once in numbers, and once when it is over."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        for turn in range(60):
            scene.engine_does = turn % 2
            scene.pass_time(0.5)
        told(scene, "overloaded", caplog)
        assert "frames were dropped within 10 s because the queue was full" in scene.sentence()
        assert "`every:`" in scene.sentence()
        warned = [r for r in caplog.records if "is overloaded" in r.getMessage()]
        assert len(warned) == 1
        caplog.set_level(logging.INFO)
        scene.engine_does = 100
        scene.pass_time(15)
        over(scene, "overloaded")
        [ended] = [r.getMessage() for r in caplog.records if "no longer over" in r.getMessage()]
        assert re.search(r"after \d+ s, in which \d+ frames were dropped$", ended)


def test_a_single_burst_is_no_trouble(tmp_path: Path) -> None:
    """An engine that is busy with something else for three seconds is not worth a word."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.engine_does = 0
        scene.pass_time(3)
        scene.engine_does = 100
        scene.pass_time(30)
        assert scene.is_well()
        assert scene.events() == []


def test_frames_are_judged_too_late(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything is answered and judged, half a minute after it happened."""
    with Scene(tmp_path, stale_after="1h") as scene:
        scene.pass_time(WELL_S)
        scene.pass_time(SOON_S, lambda n: painted(scene.clock.now() - START - 3.0 - n, 60 + n))
        delay_s = 30.0
        scene.pass_time(60, lambda n: painted(scene.clock.now() - START - delay_s, 60 + n))
        told(scene, "late", caplog)
        scene.pass_time(WELL_S)
        assert scene.states() == []


def test_the_picture_is_black(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The lens is covered."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.pass_time(SOON_S, lambda _: painted(scene.clock.now() - START, level=0))
        told(scene, "black", caplog)
        scene.pass_time(WELL_S)
        over(scene, "black")


def test_the_picture_is_frozen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The camera sends the same picture for ever."""
    with Scene(tmp_path, frozen={"after": "10s"}) as scene:
        scene.pass_time(WELL_S)
        scene.pass_time(SOON_S, lambda _: painted(scene.clock.now() - START, level=128))
        told(scene, "frozen", caplog)
        scene.pass_time(WELL_S)
        over(scene, "frozen")


def test_a_mask_covers_the_whole_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens, nobody sees it."""
    everything = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    with Scene(tmp_path, masks=[everything]) as scene:
        scene.pass_time(60)
        told(scene, "masked", caplog)
        assert scene.events() == [("camera_masked", "start")], "and not frozen as well"


@pytest.mark.parametrize(
    "sample",
    [
        {"motion": {"heartbeat": "60s"}},
        {"duplicates": "drop", "motion": {"heartbeat": "60s"}},
        {"every": "30s"},
    ],
    ids=["motion", "duplicates", "seldom"],
)
def test_a_quiet_camera_is_well(tmp_path: Path, sample: dict[str, Any]) -> None:
    """Nothing moves, so there is a frame a minute only: no alarm in five of them."""
    with Scene(tmp_path, frozen=False, **sample) as scene:
        scene.pass_time(300, lambda _: painted(scene.clock.now() - START, level=128))
        assert scene.events() == []
        assert scene.is_well()


def test_a_slow_engine_is_not_a_dead_one(tmp_path: Path) -> None:
    """A picture in 12 s: it is late, or frames are dropped, but it answers; no coming and going."""
    tasks = {"door": {"ask": "Is it open?", "engine": "fast", "every": "12s"}}
    with Scene(tmp_path, tasks) as scene:
        for turn in range(600):
            scene.engine_does = int(turn % 24 == 23)
            scene.pass_time(0.5)
        starts = [event for event in scene.events() if event == ("camera_unanswered", "start")]
        assert len(starts) <= 1, scene.events()


def test_reports_that_cannot_be_read_for_a_while_prove_nothing(tmp_path: Path) -> None:
    """The reports of the other processes are out of reach for a minute, and nothing is wrong."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.reads_reports = False
        scene.pass_time(60)
        scene.reads_reports = True
        scene.pass_time(30)
        assert scene.events() == []
        assert scene.is_well()


def test_a_trouble_that_ended_while_nobody_watched_is_ended(tmp_path: Path) -> None:
    """The sampler was started again meanwhile and does not know what the last one said."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        scene.dead_engines = {"fast"}
        scene.pass_time(SOON_S)
        assert scene.events() == [("camera_unanswered", "start")]
    with Scene(tmp_path) as scene:
        scene.start_processor()
        scene.clock.advance(60)
        scene.pass_time(WELL_S)
        assert scene.events() == [("camera_unanswered", "start"), ("camera_unanswered", "end")]


def test_nobody_samples_a_camera(tmp_path: Path) -> None:
    """Its sampler has died; the processor says so once, and the next sampler's picture ends it."""
    with Scene(tmp_path) as scene:
        scene.pass_time(WELL_S)
        orphans = Orphans()
        for second in range(60):
            sampled = {"door"} if second < 5 else set[str]()
            for name in orphans.look(float(second), scene.deployment, sampled):
                assert second == 16
                assert scene.processor is not None
                scene.processor.note(Health(name, scene.clock.now(), "offline", "no sampler"))
        assert orphans.look(99.0, scene.deployment, None) == [], "nothing is known"
        scene.pass_time(WELL_S, lambda _: None)
        assert scene.events() == [("camera_offline", "start")]
        scene.note(Health("door", scene.clock.now(), "online"))
        scene.pass_time(WELL_S)
        assert scene.events() == [("camera_offline", "start"), ("camera_offline", "end")]


def test_a_recording_without_a_sampler_is_no_orphan(tmp_path: Path) -> None:
    """It has been played to its end, or will be when somebody starts it."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}))
    orphans = Orphans()
    assert [orphans.look(float(at), load(file), set()) for at in (0, 3600)] == [[], []]
