"""The moondream engine at work: answers of every kind, the same at every batch size.

The model is the small random one of the golden set: its answers are noise, but always the same.
"""

import json
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.engines import DeviceWork, EngineRequest
from pipeline.core.errors import EngineError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines._moondream import MoondreamEngine
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.inference.worker import EngineLane, Worker
from pipeline.moondream import Moondream
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.moondream.checkpoints import TINY, random_weights, write_folder

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
SOON_S = 120.0
CLIP = ROOT / "configs" / "media" / "plaza.mp4"
TASKS: tuple[Task, ...] = (
    Detect("people", "vlm", "person", max_objects=3),
    Point("heads", "vlm", "head", max_objects=3),
    Count("crowd", "vlm", "person", max_objects=3),
    Ask("door", "vlm", "Is the door open?", "yes/no"),
    Ask("colour", "vlm", "What colour is the car?", "one of", ("red", "green", "blue")),
    Ask("weather", "vlm", "What is the weather?", max_tokens=6),
    Caption("scene", "vlm", "short", max_tokens=6),
)


@pytest.fixture(scope="module")
def engine() -> MoondreamEngine:
    """The golden model, looking at whole frames only."""
    return MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1).build()


@cache
def pictures() -> tuple[Pixels, ...]:
    """Five frames of the demo clip, a second apart."""
    with av.open(str(CLIP)) as container:
        step = round(float(container.streams.video[0].average_rate or 10))
        decoded = islice(container.decode(video=0), 0, 5 * step, step)
        return tuple(np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in decoded)


def answers_of_a_worker(engine: MoondreamEngine, size: int) -> list[dict[str, Answer]]:
    """Let a worker answer the clip's frames in batches of a size."""
    clock = ManualClock()
    queues = MemoryConfig().build(clock)
    lane = EngineLane("vlm", engine, size, 60.0)
    worker = Worker(lane, queues.jobs, Metrics(), clock)
    for seq, pixels in enumerate(pictures()):
        frame = Frame("plaza", "run", seq, 1_700_000_000.0 + seq, pixels, (1280, 720))
        # Every other frame has fewer tasks, so that batches are of uneven work.
        tasks = TASKS if seq % 2 == 0 else TASKS[:3]
        assert queues.jobs.put(Job(frame, "vlm", seq, tasks, live=False), wait_s=0.0).accepted
    while given := worker.feed(0.0):
        while given:
            given -= worker.hand_on(SOON_S)
    by_ordinal = {d.result.ordinal: dict(d.result.answers) for d in queues.results.take(100, 0.0)}
    return [answers for _, answers in sorted(by_ordinal.items())]


def ask(engine: MoondreamEngine, *batch: tuple[Pixels, Sequence[Task]]) -> list[Sequence[Answer]]:
    """The answers about each picture, submitted together."""
    tickets = [engine.submit(EngineRequest(pixels, tasks)) for pixels, tasks in batch]
    return [ticket.result(SOON_S) for ticket in tickets]


def words_of(answer: Answer) -> object:
    """What must be equal at any batch size, without the last digits of probabilities."""
    match answer:
        case Boxes():
            return answer.boxes_xyxy, answer.saturated
        case Points():
            return answer.points_xy, answer.saturated
        case Number():
            return answer.value, answer.score
        case Text():
            return answer.text
        case Failed():
            return answer.reason


def test_a_worker_gives_the_same_answers_at_every_batch_size(engine: MoondreamEngine) -> None:
    """Frames alone, in pairs and all at once: the same boxes, points, counts and words."""
    one_by_one = answers_of_a_worker(engine, 1)
    assert [len(answers) for answers in one_by_one] == [7, 3, 7, 3, 7]
    assert not any(isinstance(a, Failed) for answers in one_by_one for a in answers.values())
    for size in (2, 5):
        together = answers_of_a_worker(engine, size)
        for alone, batched in zip(one_by_one, together, strict=True):
            assert {k: words_of(a) for k, a in alone.items()} == {
                k: words_of(a) for k, a in batched.items()
            }


def test_each_task_has_an_answer_of_its_kind(engine: MoondreamEngine) -> None:
    """Boxes and points lie in the frame with a score each; yes and no have a probability."""
    (answers,) = ask(engine, (pictures()[0], TASKS))
    boxes, points, number, door, colour, weather, scene = answers
    assert isinstance(boxes, Boxes)
    assert len(boxes.scores) == len(boxes.boxes_xyxy) > 0
    assert all(0 <= value <= 1 for box in boxes.boxes_xyxy for value in box)
    assert all(0 <= score <= 1 for score in boxes.scores)
    assert isinstance(points, Points)
    assert len(points.scores) == len(points.points_xy)
    assert isinstance(number, Number)
    assert number.score is not None
    assert isinstance(door, Text)
    assert door.yes_probability is not None
    assert door.text == ("yes" if door.yes_probability >= 0.5 else "no")
    assert isinstance(colour, Text)
    assert colour.text in ("red", "green", "blue")
    for words in (weather, scene):
        assert isinstance(words, Text)
        assert words.yes_probability is None


def test_a_question_for_a_number_fails_where_the_words_hold_none(engine: MoondreamEngine) -> None:
    """Noise is no number: unknown is not zero."""
    task = Ask("n", "vlm", "How many?", "number", max_tokens=2)
    (answers,) = ask(engine, (pictures()[0], [task]))
    assert isinstance(answers[0], Failed)
    assert "holds no number" in answers[0].reason


def test_a_bad_picture_and_a_bad_task_fail_alone(engine: MoondreamEngine) -> None:
    """The neighbours in the batch are answered."""
    grey = np.zeros((40, 40), np.uint8)
    nothing = Detect("empty", "vlm", "")
    answers = ask(
        engine,
        (grey, TASKS[:2]),
        (pictures()[0], [nothing, TASKS[0]]),
        (pictures()[1], TASKS[:1]),
    )
    assert [[isinstance(a, Failed) for a in row] for row in answers] == [
        [True, True],
        [True, False],
        [False],
    ]
    bad = answers[0][0]
    assert isinstance(bad, Failed)
    assert "uint8" in bad.reason


def test_rows_of_the_model_follow_the_frames_of_a_batch(engine: MoondreamEngine) -> None:
    """Each frame of a batch has four of its tasks answered at the same time."""
    small = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1, max_batch=3).build()
    assert small._model is not None
    assert small._model.engine.max_batch == 12
    asked = (pictures()[0], TASKS[:3])
    assert ask(small, asked) == ask(engine, asked)
    small.close()


def test_the_work_of_the_device_is_reported() -> None:
    """Cycles are counted while frames are answered, and still known when the model is freed."""
    own = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1, max_batch=2).build()
    assert own.device_work() == DeviceWork()
    ask(own, (pictures()[0], TASKS[:2]))
    work = own.device_work()
    assert work.cycles_eager > 0
    assert work == DeviceWork(cycles_eager=work.cycles_eager)
    own.close()
    assert own.device_work() == work


def test_a_short_answer_does_not_wait_for_a_long_one_that_began_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frame joins the running batch and leaves it, while an earlier one is still written."""
    model = Moondream.load(GOLDEN, device="cpu", max_batch=8)
    step, stepped = model.engine.step, threading.Semaphore(2)

    def one_step() -> None:
        assert stepped.acquire(timeout=SOON_S)
        step()

    monkeypatch.setattr(model.engine, "step", one_step)
    engine = MoondreamEngine(model, MoondreamConfig(max_crops=1, max_batch=2))
    long = engine.submit(
        EngineRequest(pictures()[0], [Caption("scene", "vlm", "long", max_tokens=200)])
    )
    wait_until(lambda: model.engine.in_use().rows == 1)
    short = engine.submit(EngineRequest(pictures()[1], [Ask("door", "vlm", "Open?", "yes/no")]))
    for _ in range(200):
        if short.done:
            break
        stepped.release()
        short.wait(0.05)
    assert short.done
    assert not long.done
    stepped.release(1000)
    assert not isinstance(long.result(SOON_S)[0], Failed)
    engine.close()


def test_the_frame_at_which_the_model_breaks_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs with it is asked once more, one by one, and the model goes on afterwards."""
    model = Moondream.load(GOLDEN, device="cpu", max_batch=8)
    step = model.engine.step

    def step_that_may_break() -> None:
        asked = [
            strand.picture.source
            for strand in model.engine._scheduler.live()
            if strand.picture is not None and not strand.job.ticket.is_cancelled
        ]
        if any(source is pictures()[1] for source in asked):
            raise MemoryError("too much")
        step()

    monkeypatch.setattr(model.engine, "step", step_that_may_break)
    config = MoondreamConfig(max_crops=1, max_batch=3, max_wait=timedelta(seconds=60))
    engine = MoondreamEngine(model, config)
    tickets = [engine.submit(EngineRequest(pictures()[n], TASKS[:1])) for n in range(3)]
    first, broken, last = [ticket.result(SOON_S) for ticket in tickets]
    assert broken == (Failed("vlm", "MemoryError: too much"),)
    assert [ticket.asked_alone for ticket in tickets] == [True] * 3
    assert not any(isinstance(answer, Failed) for answer in (*first, *last))
    monkeypatch.undo()
    again = [engine.submit(EngineRequest(pictures()[n], TASKS[:1])) for n in range(3)]
    assert [isinstance(ticket.result(SOON_S)[0], Failed) for ticket in again] == [False] * 3
    engine.close()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "/nowhere/at/all"}, "neither a folder nor a repository name"),
        ({"model": str(GOLDEN), "revision": "2024-01-01"}, "known releases"),
        ({"model": str(GOLDEN), "device": "cpu", "variant": "/nowhere.pt"}, "does not exist"),
        ({"model": str(GOLDEN), "device": "cpu", "dtype": "float16"}, "float16 needs"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_an_engine_error(
    fields: dict[str, str], said: str
) -> None:
    """The sentence says why, and nothing is fetched to find out."""
    with pytest.raises(EngineError, match=said):
        MoondreamConfig.model_validate(fields).build()


def test_a_release_without_quotes_is_understood() -> None:
    """YAML reads 2025-06-21 as a date."""
    assert MoondreamConfig.model_validate({"revision": date(2025, 6, 21)}).revision == "2025-06-21"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"revision": "main"}, "main of vikhyatk/moondream2 is not a release"),
        ({"revision": "0" * 40}, "say it as RELEASE@COMMIT"),
        ({"revision": "2025-06-21", "release": "2025-04-14"}, "leave one of them out"),
        ({"release": "2025-4-14"}, "release '2025-4-14' is not known"),
        ({"model": "some/folder", "release": "April"}, "release 'April' is not known"),
        ({"revision": 1234567}, "YAML reads it as the number 1234567; put it in quotes"),
        ({"resizer": "lanczos"}, "resizer"),
    ],
)
def test_a_revision_that_names_no_release_is_said_by_check(
    fields: dict[str, object], said: str
) -> None:
    """Whatever can be told without the files is told with the file of settings."""
    with pytest.raises(ValidationError, match=said):
        MoondreamConfig.model_validate(fields)


def test_what_only_the_machine_can_tell_is_said_when_it_is_looked_at(tmp_path: Path) -> None:
    """A fine-tuned model without a commit, and a release said of a folder of another one."""
    (lack,) = [lack for lack in MoondreamConfig(model="a/b").lacks() if lack.key == "revision"]
    assert "a/b needs a revision" in lack.message
    assert lack.is_fatal
    commit = "adcbcd1a6d27fc19974b18dc128eb51ef6837879"
    folder = tmp_path / "models--vikhyatk--moondream2" / "snapshots" / commit
    folder.mkdir(parents=True)
    config = MoondreamConfig(model=str(folder), release="2025-06-21")
    assert any("which is release 2025-01-09" in lack.message for lack in config.lacks())


def test_an_old_copy_without_a_mark_is_noticed_by_check(tmp_path: Path) -> None:
    """Its headers are enough: float16 weights are of an early release, and of which is asked."""
    weights = random_weights(dtype=torch.float16)
    sizes = {name: TINY[name] for name in ("text", "vision", "region")}
    folder = write_folder(tmp_path, weights, sizes)
    (lack,) = MoondreamConfig(model=str(folder)).lacks()
    assert lack.key == "revision"
    assert "stored in float16" in lack.message
    assert not list(
        MoondreamConfig(model=str(folder), release="2025-04-14", resizer="pillow").lacks()
    )


@pytest.mark.parametrize(
    ("dtype", "config", "sign"),
    [
        (torch.float16, {**TINY, "tokenizer": {**TINY["tokenizer"], "answer_id": 3}}, "answer_id"),
        (torch.bfloat16, {name: TINY[name] for name in ("text", "vision", "region")}, "bfloat16"),
    ],
)
def test_a_release_that_the_files_speak_against_is_doubted(
    tmp_path: Path, dtype: torch.dtype, config: dict[str, Any], sign: str
) -> None:
    """Who says it may know better, so it is a warning, and can be written down for good."""
    folder = write_folder(tmp_path / "m", random_weights(dtype=dtype), config)
    asked = MoondreamConfig(model=str(folder), release="2025-04-14", resizer="pillow")
    (lack,) = asked.lacks()
    assert not lack.is_fatal
    assert sign in lack.message
    assert "read as release 2025-04-14" in lack.message
    (folder / "config.json").write_text(json.dumps({**config, "release": "2025-04-14"}))
    assert not list(asked.lacks())


def test_the_resizer_and_the_release_reach_the_model() -> None:
    """What is set in the file is what the model works with, and part of what its answers are."""
    pytest.importorskip("pyvips")
    vips = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1, resizer="vips")
    engine = vips.build()
    assert engine._model is not None
    assert engine._model.resizer == "vips"
    engine.close()
    plain = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1)
    assert vips.identity() != plain.identity()
    with pytest.raises(EngineError, match="release 2025-01-09 takes no variant"):
        MoondreamConfig(
            model=str(GOLDEN), device="cpu", release="2025-01-09",
            variant=str(GOLDEN / "lora.safetensors"),
        ).build()  # fmt: skip


def test_a_device_that_does_not_exist_is_refused() -> None:
    """The pattern is checked with the file, before anything is loaded."""
    with pytest.raises(ValidationError, match="device"):
        MoondreamConfig(device="gpu")


def test_what_a_release_cannot_write_is_said_by_check() -> None:
    """The release of January has no long captions."""
    long = Caption("scene", "vlm", "long")
    problem = MoondreamConfig(revision="2025-01-09").problem_with(long)
    assert problem is not None
    assert "use short or normal, or release 2025-06-21" in problem
    assert MoondreamConfig().problem_with(long) is None


def test_frames_are_sent_no_larger_than_the_crops_can_show() -> None:
    """The global view alone needs far less."""
    assert MoondreamConfig().max_side == 2352
    assert MoondreamConfig(max_crops=1).max_side == 756
