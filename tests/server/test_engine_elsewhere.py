"""Two machines and a URL between them: the same answers as from the model on one machine."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.engines import Engine, EngineRequest
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines.remote import RemoteConfig
from tests.runtime.clips import camera, cut, deployment, written
from tests.server.serving import GOLDEN, PATIENCE_S, Serving
from tests.wild.test_first_hour import moonwatch

PICTURE: Pixels = np.random.default_rng(3).integers(0, 256, (96, 144, 3), np.uint8)
TASKS: tuple[Task, ...] = (
    Detect("people", "vlm", "person", max_objects=4),
    Point("heads", "vlm", "head", max_objects=4),
    Count("crowd", "vlm", "person", max_objects=4),
    Ask("door", "vlm", "Is the door open?", "yes/no"),
    Ask("sign", "vlm", "What does the sign say?", max_tokens=8),
    Caption("scene", "vlm", "short", max_tokens=8),
)


@pytest.fixture
def elsewhere(served: Serving) -> Iterator[Engine]:
    """The engine on the machine with the cameras."""
    settings = {"api": "moondream", "url": served.url, "key": served.key, "encoding": "png"}
    engine = RemoteConfig.model_validate(settings).build()
    yield engine
    engine.close()


def ask(engine: Engine, *tasks: Task) -> Sequence[Answer]:
    """The answers about the picture."""
    return engine.submit(EngineRequest(PICTURE, tasks, PATIENCE_S)).result(PATIENCE_S)


def test_answers_are_those_of_the_model_itself(served: Serving, elsewhere: Engine) -> None:
    """Boxes, scores and probabilities to the digits that are sent; words to the letter."""
    here, there = ask(served.engine, *TASKS), ask(elsewhere, *TASKS)
    assert not [answer for answer in (*here, *there) if isinstance(answer, Failed)]
    for own, other in zip(here, there, strict=True):
        match own, other:
            case Boxes(), Boxes():
                assert own.boxes_xyxy
                np.testing.assert_allclose(own.boxes_xyxy, other.boxes_xyxy, atol=1e-5)
                np.testing.assert_allclose(own.scores, other.scores, atol=1e-4)
                assert own.saturated == other.saturated
            case Points(), Points():
                np.testing.assert_allclose(own.points_xy, other.points_xy, atol=1e-5)
                np.testing.assert_allclose(own.scores, other.scores, atol=1e-4)
            case Number(), Number():
                assert (own.value, own.saturated) == (other.value, other.saturated)
            case Text(), Text():
                assert own.text == other.text
                assert own.yes_probability == pytest.approx(other.yes_probability, abs=1e-4)
            case _:
                pytest.fail(f"{own} and {other} are of two kinds")


def test_the_other_interface_answers_in_the_same_words(served: Serving) -> None:
    """Chat completions, asked as the model is asked here; and numbers through a schema."""
    settings = {
        "api": "openai",
        "url": served.url,
        "key": served.key,
        "model": "moondream2",
        "encoding": "png",
        "instruct": False,
    }
    engine = RemoteConfig.model_validate(settings).build()
    try:
        sign, number = TASKS[4], Ask("beds", "vlm", "How many beds are there?", "number")
        assert ask(engine, sign) == ask(served.engine, sign)
        choice = Ask("colour", "vlm", "Which colour is it?", "one of", ("red", "blue"))
        counted, chosen = ask(engine, number, choice)
        # Weights of chance say anything, but what the schema holds them to.
        assert isinstance(counted, Number)
        assert isinstance(chosen, Text)
        assert chosen.text in ("red", "blue")
    finally:
        engine.close()


def test_a_key_that_the_server_does_not_know(served: Serving) -> None:
    """The engine is not well, and says why."""
    settings = {"api": "moondream", "url": served.url, "key": "mw-nobody-knows-this-key"}
    engine = RemoteConfig.model_validate(settings).build()
    try:
        (answer,) = ask(engine, TASKS[0])
        assert isinstance(answer, Failed)
        assert "refuses the key; see `key` or `key_file` (401" in answer.reason
        assert engine.trouble is not None
    finally:
        engine.close()


def test_the_server_says_which_models_it_has(served: Serving) -> None:
    """As `check --probe` asks."""
    settings = {"api": "moondream", "url": served.url, "key": served.key}
    assert list(RemoteConfig.model_validate({**settings, "model": "moondream2"}).probe()) == []
    (problem,) = RemoteConfig.model_validate({**settings, "model": "moondream9"}).probe()
    assert "has no model 'moondream9'; did you mean moondream2" in problem


def test_a_camera_is_judged_alike_with_the_model_here_and_elsewhere(
    served: Serving, tmp_path: Path
) -> None:
    """`run` of a recording, end to end, in processes of their own: the same events to the id."""
    delivered = []
    (tmp_path / "key").write_text(served.key)
    elsewhere = {"type": "remote", "api": "moondream", "url": served.url, "encoding": "png"}
    engines: dict[str, dict[str, Any]] = {
        "here": {"type": "moondream", "model": str(GOLDEN), "device": "cpu", "dtype": "float32"},
        "there": {**elsewhere, "key_file": str(tmp_path / "key")},
    }
    for place, engine in engines.items():
        folder = tmp_path / place
        folder.mkdir()
        (folder / "clip.mp4").symlink_to(cut(tmp_path / "clip.mp4", 1.0))
        shown = camera(folder / "clip.mp4")
        shown["tasks"] = {
            "people": {"detect": "person", "max_objects": 3},
            "door": {"ask": "Is the door open?"},
        }
        # Weights of chance may say either.
        shown["rules"] = {
            "crowd": {"type": "count", "of": "people", "more_than": 0},
            "open": {"type": "condition", "of": "door", "is": "yes"},
            "shut": {"type": "condition", "of": "door", "is": "no"},
        }
        file = written(folder, deployment(folder, {"plaza": shown}, engines={"vlm": engine}))
        done = moonwatch("run", str(file))
        assert done.returncode == 0, done.stderr
        assert served.key not in done.stderr + done.stdout
        lines = (folder / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        rules = {event["data"]["rule"] for event in events}
        assert "crowd" in rules
        assert rules & {"open", "shut"}
        delivered.append([(event["id"], event["type"], event["time"]) for event in events])
    here, there = delivered
    assert here == there
