"""Checkpoints of the transformers library as engines: tiny random ones, built here and run."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from pydantic import ValidationError

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.geometry import centre
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines.transformers import Transformers, TransformersConfig
from tests.inference.detectors import write_grounding_dino, write_owlv2, write_rt_detr

PEOPLE = Detect("people", "fast", "person")
CARS = Detect("cars", "fast", "car")
WRITERS = {"rt_detr": write_rt_detr, "owlv2": write_owlv2, "grounding_dino": write_grounding_dino}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint of each family."""
    root = tmp_path_factory.mktemp("detectors")
    return {name: write(root / name) for name, write in WRITERS.items()}


@pytest.fixture(scope="module", params=list(WRITERS))
def engine(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Transformers:
    """Each of them, built."""
    return build(folders[request.param])


@pytest.fixture(scope="module")
def closed(folders: dict[str, Path]) -> Transformers:
    """The one that knows two classes."""
    return build(folders["rt_detr"])


def build(folder: Path, min_score: float = 0.02) -> Transformers:
    """An engine that never asks the net."""
    return TransformersConfig(
        model=str(folder), device="cpu", min_score=min_score, local_files_only=True
    ).load()


def picture(seed: int, size_wh: tuple[int, int] = (90, 60)) -> Pixels:
    """Blocks of random colours."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (size_wh[1] // 10, size_wh[0] // 10, 3), np.uint8)
    return np.asarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8)), np.uint8)


def boxes_of(answer: Answer) -> Boxes:
    """An answer that must be boxes."""
    assert isinstance(answer, Boxes)
    return answer


def assert_alike(answer: Answer, other: Answer) -> None:
    """The same boxes up to the last digits."""
    one, two = boxes_of(answer), boxes_of(other)
    assert len(one.scores) == len(two.scores)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-4)
    np.testing.assert_allclose(one.boxes_xyxy, two.boxes_xyxy, atol=1e-3)


def test_boxes_are_in_the_frame_and_best_first(engine: Transformers) -> None:
    """Every family gives fractions of the frame with falling scores."""
    (answers,) = engine.answer([(picture(0), [CARS])])
    found = boxes_of(answers[0])
    assert found.engine == "fast"
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert len(found.boxes_xyxy) == len(found.scores) > 0
    for x_min, y_min, x_max, y_max in found.boxes_xyxy:
        assert 0 <= x_min < x_max <= 1
        assert 0 <= y_min < y_max <= 1


def test_a_batch_gives_what_its_frames_give_alone(engine: Transformers) -> None:
    """Frames of two sizes and with different tasks share a batch without a trace."""
    batch = [
        (picture(1), [PEOPLE]),
        (picture(2, (60, 90)), [CARS]),
        (picture(3), [CARS, PEOPLE]),
        (picture(4, (60, 90)), []),
    ]
    together = engine.answer(batch)
    assert [len(answers) for answers in together] == [1, 1, 2, 0]
    for (pixels, tasks), answers in zip(batch, together, strict=True):
        for task, answer in zip(tasks, answers, strict=True):
            assert_alike(answer, engine.answer([(pixels, [task])])[0][0])


def test_count_and_point_agree_with_the_boxes(engine: Transformers) -> None:
    """All three are the same look at the frame, cut at the limit of objects."""
    tasks: list[Task] = [
        CARS,
        Count("n", "fast", "car"),
        Point("p", "fast", "car"),
        Count("m", "fast", "car", 1),
    ]
    ((boxes, number, points, one),) = engine.answer([(picture(5), tasks)])
    found = boxes_of(boxes)
    assert isinstance(number, Number)
    assert isinstance(points, Points)
    assert number == Number("fast", len(found.boxes_xyxy))
    assert points.points_xy == tuple(centre(box) for box in found.boxes_xyxy)
    assert one == Number("fast", 1, saturated=number.value > 1)


def test_a_question_fails_alone(engine: Transformers) -> None:
    """Detectors find things; the frame's other tasks are answered."""
    tasks: list[Task] = [Ask("door", "fast", "Is it open?"), CARS, Caption("scene", "fast")]
    ((door, cars, scene),) = engine.answer([(picture(0), tasks)])
    assert isinstance(door, Failed)
    assert "cannot answer 'ask'" in door.reason
    assert isinstance(cars, Boxes)
    assert isinstance(scene, Failed)


def test_a_picture_that_is_none_fails_alone(engine: Transformers) -> None:
    """Grey, empty and float arrays are refused before they reach the model."""
    bad = [np.zeros((40, 40), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))]
    batch = [(np.asarray(pixels), [PEOPLE]) for pixels in bad]
    answers = engine.answer([*batch, (picture(0), [PEOPLE])])
    assert [isinstance(row[0], Failed) for row in answers] == [True, True, True, False]


def test_boxes_are_the_librarys_own(folders: dict[str, Path], closed: Transformers) -> None:
    """What the model says, computed here by hand: centre and size to corners, best class."""
    model = transformers.RTDetrForObjectDetection.from_pretrained(folders["rt_detr"]).eval()
    processor = transformers.RTDetrImageProcessorPil.from_pretrained(folders["rt_detr"])
    pixels = picture(6)
    with torch.inference_mode():
        outputs = model(**processor(images=[pixels], return_tensors="pt"))
    scores = outputs.logits[0].sigmoid()
    best = scores.flatten().topk(20)
    x, y, w, h = outputs.pred_boxes[0][best.indices // 2].unbind(-1)
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1).clamp(0, 1)
    for column, task in enumerate((PEOPLE, CARS)):
        found = boxes_of(closed.answer([(pixels, [task])])[0][0])
        mine = (best.indices % 2 == column) & (best.values > 0.02)
        assert int(mine.sum()) == len(found.scores)
        np.testing.assert_allclose(found.scores, best.values[mine], atol=1e-5)
        np.testing.assert_allclose(found.boxes_xyxy, corners[mine], atol=1e-5)


def test_labels_are_the_models_classes(closed: Transformers) -> None:
    """Case does not matter; another label fails with the names there are."""
    loud = Detect("loud", "fast", " CAR ")
    ((cars, same, zebra),) = closed.answer(
        [(picture(0), [CARS, loud, Detect("z", "fast", "zebra")])]
    )
    assert_alike(cars, same)
    assert zebra == Failed("fast", "'zebra' is not one of the model's 2 classes: car, person")


@pytest.mark.parametrize("family", ["owlv2", "grounding_dino"])
@pytest.mark.parametrize(("label", "said"), [(" ", "is empty"), ("x" * 61, "has 61 characters")])
def test_labels_that_no_text_model_reads_fail(
    folders: dict[str, Path], family: str, label: str, said: str
) -> None:
    """They fail before the model runs, and alone."""
    ((odd, fine),) = build(folders[family]).answer(
        [(picture(0), [Detect("odd", "fast", label), CARS])]
    )
    assert isinstance(odd, Failed)
    assert said in odd.reason
    assert isinstance(fine, Boxes)


def test_low_scores_are_not_reported(folders: dict[str, Path]) -> None:
    """`min_score` is a threshold on what the model says."""
    every = boxes_of(build(folders["rt_detr"]).answer([(picture(0), [CARS])])[0][0])
    middle = sorted(every.scores)[len(every.scores) // 2]
    some = boxes_of(build(folders["rt_detr"], middle).answer([(picture(0), [CARS])])[0][0])
    assert some.scores == tuple(score for score in every.scores if score > middle)


def test_bfloat16_finds_about_the_same(folders: dict[str, Path], closed: Transformers) -> None:
    """Pictures are given to the model in its own precision."""
    config = TransformersConfig(
        model=str(folders["rt_detr"]), device="cpu", dtype="bfloat16", min_score=0.02
    )
    best = boxes_of(closed.answer([(picture(0), [CARS])])[0][0]).scores[0]
    low = boxes_of(config.load().answer([(picture(0), [CARS])])[0][0])
    assert low.scores[0] == pytest.approx(best, abs=0.1)


def test_a_closed_engine_says_so(folders: dict[str, Path]) -> None:
    """The model's memory is let go of."""
    engine = build(folders["rt_detr"])
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.answer([(picture(0), [CARS])])


def test_what_is_no_detector_is_refused(tmp_path: Path) -> None:
    """A text model, an empty folder, no folder, and a name that is not in the cache."""
    text = tmp_path / "text"
    transformers.BertConfig(hidden_size=16).save_pretrained(text)
    (tmp_path / "empty").mkdir()
    for model, said in (
        (str(text), "is a bert checkpoint, not a detector"),
        (str(tmp_path / "empty"), "cannot be loaded"),
        (str(tmp_path / "nowhere"), "is not a folder"),
        ("someone/no-such-detector", "someone/no-such-detector cannot be loaded"),
    ):
        with pytest.raises(EngineError, match=said):
            TransformersConfig(model=model, local_files_only=True).build()


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    """A config that points to code of its own is refused without asking."""
    write_rt_detr(tmp_path)
    config = tmp_path / "config.json"
    text = config.read_text().replace('"model_type": "rt_detr"', '"model_type": "mine"')
    config.write_text(text.replace("{", '{"auto_map": {"AutoConfig": "evil.Evil"},', 1))
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    with pytest.raises(EngineError, match="cannot be loaded"):
        build(tmp_path)


def test_check_says_what_the_engine_cannot_do() -> None:
    """Before anything is loaded: labels may be anything, questions are refused."""
    config = TransformersConfig(model="PekingU/rtdetr_v2_r18vd")
    assert config.problem_with(CARS) is None
    problem = config.problem_with(Ask("door", "fast", "Is it open?"))
    assert problem is not None
    assert "use an engine that answers in words, such as moondream" in problem
    with pytest.raises(ValidationError, match="device"):
        TransformersConfig(model="a/b", device="gpu")
