"""An engine elsewhere in a deployment: checked, run, counted, and another one in its place."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Failed
from pipeline.core.clock import SystemClock
from pipeline.core.engines import EngineRequest
from pipeline.core.errors import ConfigError
from pipeline.core.spending import SpendingHere
from pipeline.core.tasks import Ask
from pipeline.deployment.loader import load, missing_here, read
from pipeline.insight.status import status_of
from pipeline.runtime.assembly import lanes_of, plans_of
from pipeline.runtime.stage_process import shared_queues
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.inference import InferenceStage
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.inference.elsewhere import Elsewhere, Reply, Seen, elsewhere, refused, said
from tests.redis_server import shared
from tests.runtime.clips import camera, cut, deployment, written
from tests.wild.test_first_hour import moonwatch

GREY = np.full((60, 90, 3), 128, np.uint8)
DOOR = Ask("door", "vlm", "Is the door open?", "yes/no")
SCRIPTED = {"type": "scripted", "answers": {"door": ["no"]}}
NOWHERE = {"type": "remote", "api": "openai", "model": "m", "url": "http://127.0.0.1:9/v1"}


def remote(server: Elsewhere, **more: Any) -> dict[str, Any]:
    """The settings of an engine there."""
    return {"type": "remote", "api": "openai", "model": "m", "url": server.url, **more}


def deployed(
    folder: Path, engines: Mapping[str, Any], tasks: Mapping[str, Any] | None = None, **more: Any
) -> Path:
    """A camera that asks whether a door is open."""
    folder.mkdir(exist_ok=True)
    shown = camera(cut(folder / "clip.mp4", 2.0))
    shown["tasks"] = tasks or {"door": {"ask": "Is the door open?", "engine": "vlm"}}
    shown["rules"] = {"open": {"type": "condition", "of": "door", "is": "yes"}}
    return written(folder, deployment(folder, {"plaza": shown}, engines=engines, **more))


def rules_of(folder: Path) -> set[str]:
    """The rules that had something to say."""
    lines = (folder / "events.jsonl").read_text().splitlines()
    return {json.loads(line)["data"]["rule"] for line in lines}


def test_a_budget_outlives_the_process(tmp_path: Path) -> None:
    """What one run has spent, the next one does not have; `status` shows it in between."""
    with elsewhere(lambda _: said("yes")) as server:
        file = deployed(tmp_path, {"vlm": remote(server, budget={"per_day": 3})})
        assert moonwatch("run", str(file)).returncode == 0
        assert rules_of(tmp_path) == {"open"}
        assert len(server.seen) == 3
        shown = moonwatch("status", str(file))
        assert "3 of 3 pictures this day" in shown.stdout
        (budget,) = status_of(load(file), SystemClock()).engines["vlm"].budget
        assert (budget.used, budget.most, budget.of, budget.period) == (3, 3, "pictures", "day")
        (tmp_path / "clip.mp4").rename(tmp_path / "second.mp4")
        file.write_text(file.read_text().replace("clip.mp4", "second.mp4"))
        again = moonwatch("run", str(file))
        assert again.returncode == 0
        assert len(server.seen) == 3
        assert "the budget of 3 pictures a day is spent until 20" in again.stderr


def test_another_engine_answers_where_nobody_is(tmp_path: Path) -> None:
    """`run` with an endpoint that refuses: every frame is answered by the fallback."""
    answers = {"type": "scripted", "answers": {"door": ["yes"]}}
    file = deployed(tmp_path, {"vlm": {**NOWHERE, "fallback": "local"}, "local": answers})
    done = moonwatch("run", str(file))
    assert done.returncode == 0, done.stderr
    assert rules_of(tmp_path) == {"open"}
    assert "engine vlm: 127.0.0.1:9 cannot be reached: Connection refused" in done.stderr
    assert "no task uses this engine" not in moonwatch("check", str(file)).stdout


@pytest.mark.parametrize(
    ("engines", "tasks", "problems"),
    [
        (
            {"vlm": {**NOWHERE, "fallback": "locl"}, "local": SCRIPTED},
            None,
            {"engines.vlm.fallback": "there is no engine 'locl'; did you mean 'local'?"},
        ),
        (
            {"vlm": {**NOWHERE, "fallback": "vlm"}},
            None,
            {"engines.vlm.fallback": "leads back to itself (vlm to vlm); the last needs none"},
        ),
        (
            {"vlm": {**NOWHERE, "fallback": "b"}, "b": {**NOWHERE, "fallback": "vlm"}},
            None,
            {
                "engines.vlm.fallback": "leads back to itself (vlm to b to vlm)",
                "engines.b.fallback": "leads back to itself (b to vlm to b)",
            },
        ),
        (
            {"vlm": {**NOWHERE, "fallback": "fast"}, "fast": {"type": "coco"}},
            None,
            {"cameras.plaza.tasks.door": "engine 'fast', the fallback of 'vlm', cannot answer"},
        ),
        (
            {"vlm": NOWHERE},
            {"door": {"ask": "Open?"}, "people": {"detect": "person", "engine": "vlm"}},
            {"cameras.plaza.tasks.people": "write `api: moondream` where the server has it"},
        ),
        (
            {"vlm": {**NOWHERE, "urll": "x"}},
            None,
            {"engines.vlm.urll": "did you mean 'url'"},
        ),
        (
            {"vlm": {**NOWHERE, "key_file": "nowhere.key"}},
            None,
            {"engines.vlm.key_file": "nowhere.key"},
        ),
    ],
)
def test_a_check_says_what_cannot_work(
    tmp_path: Path,
    engines: Mapping[str, Any],
    tasks: Mapping[str, Any] | None,
    problems: Mapping[str, str],
) -> None:
    """Without asking anybody."""
    file = deployed(tmp_path, engines, tasks)
    with pytest.raises(ConfigError) as error:
        read(file)
    found = {problem.path: problem.message for problem in error.value.problems}
    assert found.keys() == problems.keys()
    for path, words in problems.items():
        assert words in found[path]


def test_a_key_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is shown nowhere."""
    (tmp_path / "key").write_text("sk-from-a-file\n")
    monkeypatch.setenv("VLM_KEY", "sk-from-outside")
    for given, key in (
        ({"key_file": str(tmp_path / "key")}, "sk-from-a-file"),
        ({"key": "${VLM_KEY}"}, "sk-from-outside"),
    ):
        engine: Any = load(deployed(tmp_path, {"vlm": {**NOWHERE, **given}})).engines["vlm"]
        assert engine.key.reveal() == key
        explained = moonwatch("explain", str(tmp_path / "deployment.yaml"))
        assert key not in explained.stdout + explained.stderr


def test_a_check_asks_nobody_and_loads_nothing(tmp_path: Path) -> None:
    """Unless it is told to."""
    file = deployed(tmp_path, {"vlm": NOWHERE})
    done = moonwatch("check", str(file), without=("httpx", "cv2", "numpy", "certifi"))
    assert done.returncode == 0, done.stderr
    assert missing_here(read(file)) == []
    probed = moonwatch("check", str(file), "--probe")
    assert probed.returncode == 1
    assert "engine vlm: 127.0.0.1:9 cannot be reached: Connection refused" in probed.stderr


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply({"object": "list", "data": [{"id": "m"}]}), None),
        (Reply({"models": [{"id": "m", "name": "M"}]}), None),  # Moondream Station
        (Reply({"data": [{"id": "m2"}, {"id": "x"}]}), "has no model 'm'; did you mean m2?"),
        (Reply({"data": []}), "has no model 'm'; There are: none"),
        (Reply({"data": [7, {"id": 7}, {}]}), "has no model 'm'"),
        (Reply({"hello": 1}), "does not say which models it has; is its address right?"),
        (Reply(b"<html>"), "is no JSON; is its address right?"),
        (refused(401, "who are you?"), "refuses the key; see `key` or `key_file`"),
    ],
)
def test_a_probe_says_whether_the_model_is_there(
    tmp_path: Path, reply: Reply, problem: str | None
) -> None:
    """By the list that servers give of their models."""
    asked: list[Seen] = []

    def answer(seen: Seen) -> Reply:
        asked.append(seen)
        return reply

    with elsewhere(answer) as server:
        file = deployed(tmp_path, {"vlm": remote(server, key="sk-never-shown-1234")})
        done = moonwatch("check", str(file), "--probe", "--json")
    (seen,) = asked
    assert seen.path == "/v1/models"
    assert seen.headers["authorization"] == "Bearer sk-never-shown-1234"
    found = json.loads(done.stdout)
    assert done.returncode == (0 if problem is None else 1)
    assert found["ok"] is (problem is None)
    said_of: Sequence[str] = found["engines"]["vlm"]
    assert len(said_of) == (problem is not None)
    if problem is not None:
        assert problem in said_of[0]
    assert "sk-never-shown" not in done.stdout + done.stderr


def test_an_engine_that_stands_in_is_loaded_once(tmp_path: Path) -> None:
    """With a lane of its own, which others may use; alone where it is not to answer jobs."""
    with elsewhere(lambda _: refused(400, "no")) as server:
        engines = {"vlm": remote(server, fallback="local"), "local": SCRIPTED}
        loaded = load(deployed(tmp_path, engines))
        clock = SystemClock()
        for only, names in ((), ["vlm", "local"]), (("vlm",), ["vlm"]):
            lanes = lanes_of(loaded, clock, only)
            assert [lane.name for lane in lanes] == names
            (answer,) = lanes[0].engine.submit(EngineRequest(GREY, (DOOR,), 20.0)).result(20.0)
            assert answer.engine == "local"
            for lane in lanes:
                lane.engine.close()
        lanes = lanes_of(loaded, clock)
        fresh = lanes_of(loaded, clock, running={"local": lanes[1].engine})
        assert [lane.name for lane in fresh] == ["vlm"]
        fresh[0].engine.close()
        # It belongs to its own lane, and goes on.
        (answer,) = lanes[1].engine.submit(EngineRequest(GREY, (DOOR,), 20.0)).result(20.0)
        assert answer.engine == "vlm"
        for lane in lanes:
            lane.engine.close()


def test_what_stands_in_is_part_of_what_answers(tmp_path: Path) -> None:
    """Another fallback is another engine, where what was learned and judged is resumed."""

    def terms(**more: Any) -> str:
        engines = {"vlm": {**NOWHERE, **more}, "local": SCRIPTED, "other": SCRIPTED}
        (plan,) = plans_of(load(deployed(tmp_path, engines)))
        return plan.lanes[0].tasks[0].terms

    assert terms(fallback="local") == terms(fallback="other") != terms()
    assert terms(budget={"per_day": 9}, key="abcdefgh") == terms()


def test_a_worker_whose_engine_cannot_be_asked_is_not_ready(tmp_path: Path) -> None:
    """At once, long before its cameras are said to fail: nothing is well there."""
    clock = ManualClock()
    queues = MemoryConfig().build(clock)
    file = deployed(tmp_path, {"vlm": {**NOWHERE, "retries": 0}})
    stage = InferenceStage(StageContext(load(file), queues, Metrics(), clock, SpendingHere()))
    try:
        assert stage.ready() is None
        engine = stage._at_work["vlm"].lane.engine
        for _ in range(3):
            engine.submit(EngineRequest(GREY, (DOOR,))).result(20.0)
        assert str(stage.ready()).startswith("engine vlm: 127.0.0.1:9 cannot be reached")
        assert stage.notes == []
    finally:
        stage.stop(1.0)


def test_how_it_goes_is_in_metrics_and_notes(tmp_path: Path) -> None:
    """Requests by outcome, what is left of the budget, whether it is there, and who stood in."""
    answers = {"now": said("yes")}
    with elsewhere(lambda _: answers["now"]) as server:
        engine = remote(server, retries=0, budget={"per_hour": 9}, fallback="local")
        file = deployed(tmp_path, {"vlm": engine, "local": SCRIPTED})
        metrics, clock = Metrics(), ManualClock()
        queues = MemoryConfig().build(clock)
        context = StageContext(load(file), queues, metrics, clock, SpendingHere())
        stage = InferenceStage(context)
        try:
            lane = stage._at_work["vlm"].lane
            for number in range(4):
                lane.engine.submit(EngineRequest(GREY, (DOOR,))).result(20.0)
                if number == 1:
                    answers["now"] = refused(401, "unknown key")
            clock.advance(2.0)
            stage.poll()

            def count(name: str, **labels: str) -> float | None:
                return metrics.value(f"moonwatch_{name}", engine="vlm", **labels)

            assert count("engine_requests_total", outcome="answered") == 2
            assert count("engine_requests_total", outcome="failed") == 1
            assert count("tasks_stood_in_total") == 2
            assert count("engine_budget_left", period="hour") == 6
            assert count("engine_reachable") == 0
            (note,) = stage.notes
            assert note.startswith(f"engine vlm: {server.place} refuses the key")
            answers["now"] = said("yes")
            clock.advance(61.0)
            lane.engine.submit(EngineRequest(GREY, (DOOR,))).result(20.0)
            stage.poll()
            assert count("engine_requests_total", outcome="answered") == 3
            assert count("engine_reachable") == 1
            assert stage.notes == []
        finally:
            stage.stop(1.0)


def test_a_frame_that_waits_does_not_hold_the_end(tmp_path: Path) -> None:
    """Closing fails what is at a server that does not answer."""
    over = threading.Event()

    def reply(_: Seen) -> Reply:
        over.wait(30.0)
        return said("late")

    with elsewhere(reply) as server:
        (lane,) = lanes_of(load(deployed(tmp_path, {"vlm": remote(server)})), SystemClock())
        ticket = lane.engine.submit(EngineRequest(GREY, (DOOR,)))
        wait_until(lambda: bool(server.seen))
        lane.engine.close()
        assert ticket.done
        assert not over.is_set()
        over.set()


@pytest.mark.redis
def test_workers_share_a_budget_over_redis(tmp_path: Path) -> None:
    """Each spends what the others have left; `status` sees it from outside."""
    for redis in shared():
        with elsewhere(lambda _: said("yes")) as server:
            queue = {"type": "redis", "url": redis.url, "prefix": tmp_path.name}
            engine = remote(server, budget={"per_day": 3})
            loaded = load(deployed(tmp_path, {"vlm": engine}, queue=queue))
            clock, failed = SystemClock(), 0
            for _ in range(2):
                queues = shared_queues(loaded, clock)
                (lane,) = lanes_of(loaded, clock, spending=queues.spending)
                for _ in range(2):
                    (answer,) = lane.engine.submit(EngineRequest(GREY, (DOOR,))).result(20.0)
                    failed += isinstance(answer, Failed)
                lane.engine.close()
                queues.close()
            assert failed == 1
            assert len(server.seen) == 3
            (budget,) = status_of(loaded, clock).engines["vlm"].budget
            assert (budget.used, budget.most) == (3, 3)


def test_a_process_that_fails_does_not_wait_for_its_engine(tmp_path: Path) -> None:
    """Also one that nobody has closed."""
    code = """
import numpy as np
from pipeline.core.engines import EngineRequest
from pipeline.core.tasks import Ask
from pipeline.inference.engines.remote import RemoteConfig
engine = RemoteConfig(api="openai", model="m", url="http://127.0.0.1:9").build()
pixels = np.zeros((8, 8, 3), np.uint8)
(answer,) = engine.submit(EngineRequest(pixels, (Ask("a", "vlm", "b"),), 9.0)).result()
raise SystemExit(answer.reason)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "cannot be reached: Connection refused" in done.stderr
