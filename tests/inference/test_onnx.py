"""Detectors in ONNX files: nets of every layout, written here, against a plain calculation."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
import transformers
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import ValidationError

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box, centre, iou
from pipeline.core.machine import missing_gpu
from pipeline.core.tasks import Ask, Count, Detect, Point, Task
from pipeline.inference.engines._coco import WEIGHTS
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines._onnx.detector import OnnxDetector
from pipeline.inference.engines._onnx.file import surface_of
from pipeline.inference.engines._onnx.formats import net_size
from pipeline.inference.engines._onnx.session import Net
from pipeline.inference.engines.coco import CocoConfig
from pipeline.inference.engines.onnx import OnnxConfig
from tests.inference.detectors import write_rt_detr
from tests.inference.onnx_nets import ultralytics, write_net
from tests.inference.test_coco import first_frame

NAMES = ("person", "car", "fork lift")
SIDE_WH = (96, 64)
CELLS = 12 * 8 + 6 * 4 + 3 * 2
PLACES = [(x, y, s) for s in (8, 16, 32) for y in range(64 // s) for x in range(96 // s)]
Row = tuple[float, float, float, float, float, int]
"""Corners in pixels of the net's input, score, class."""


def random(seed: int, *shape: int) -> NDArray[np.float64]:
    """Numbers of 0..1."""
    return np.random.default_rng(seed).random(shape)


def centres_and_sizes(seed: int, count: int) -> NDArray[np.float64]:
    """Boxes of any place in the input, in pixels; some reach over its edge."""
    return random(seed, count, 4) * [96, 64, 40, 30] + [0, 0, 2, 2]


def corners(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    """The same box as corners."""
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def sigmoid(value: float) -> float:
    """A probability of a logit."""
    return 1 / (1 + math.exp(-value))


@dataclass(frozen=True)
class Written:
    """A net's outputs and what they say."""

    tables: Mapping[str, NDArray[Any]]
    rows: Sequence[Row]
    options: Mapping[str, Any] = field(default_factory=dict)
    """How it is written."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_nms: bool = True
    """Whether nothing in its outputs is a double."""


def yolov5() -> Written:
    """Centre, size, objectness, scores; three boxes a place."""
    count = 3 * CELLS
    boxes, rest = centres_and_sizes(1, count), random(2, count, 4)
    table = np.concatenate([boxes, rest], axis=1)
    return Written({"output0": table}, rows_with_objectness(table), has_nms=False)


def rows_with_objectness(table: NDArray[Any]) -> list[Row]:
    """What each row of centre, size, objectness and scores says."""
    rows = []
    for x, y, w, h, sure, *scores in table.tolist():
        best = scores.index(max(scores))
        rows.append((*corners(x, y, w, h), sure * scores[best], best))
    return rows


def yolov5_segment() -> Written:
    """Numbers for outlines follow; its own exporter does not say what task it is for."""
    columns = yolov5()
    table = np.concatenate([columns.tables["output0"], random(5, 3 * CELLS, 32) * 9], axis=1)
    tables = {"output0": table, "output1": random(6, 32, 16, 24)}
    return Written(tables, columns.rows, has_nms=False)


def yolov5_with_grids() -> Written:
    """What the table was made of is listed as well, as older exporters of YOLOv5 and YOLOv7 do."""
    columns = yolov5()
    grids = {"350": random(5, 3, 8, 12, 8), "498": random(6, 3, 4, 6, 8)}
    return Written({**columns.tables, **grids}, columns.rows, has_nms=False)


def yolov6() -> Written:
    """The same with a box a place, told by its output's name."""
    table = np.concatenate([centres_and_sizes(1, CELLS), random(2, CELLS, 4)], axis=1)
    return Written({"outputs": table}, rows_with_objectness(table), has_nms=False)


def yolov8() -> Written:
    """A column for each box."""
    boxes, scores = centres_and_sizes(3, CELLS), random(4, CELLS, 3)
    rows = [
        (*corners(*box), max(of), of.index(max(of)))
        for box, of in zip(boxes.tolist(), scores.tolist(), strict=True)
    ]
    return Written({"output0": np.concatenate([boxes, scores], 1).T}, rows, has_nms=False)


def yolov8_rows() -> Written:
    """The same, transposed."""
    columns = yolov8()
    return Written({"output0": columns.tables["output0"].T}, columns.rows, has_nms=False)


def yolov8_segment() -> Written:
    """Numbers for outlines follow the scores, and an output of outlines."""
    columns = yolov8()
    table = np.concatenate([columns.tables["output0"], random(5, 32, CELLS) * 9])
    tables = {"output0": table, "output1": random(6, 32, 16, 24)}
    return Written(tables, columns.rows, {"metadata": ultralytics(NAMES, "segment")}, has_nms=False)


def yolov10() -> Written:
    """Corners, score, class, filled up with zeros."""
    boxes = [corners(*box) for box in centres_and_sizes(7, 20).tolist()]
    rows = [(*box, s, n % 3) for n, (box, s) in enumerate(zip(boxes, random(8, 20), strict=True))]
    return Written({"output0": np.array([*rows, *[(0.0,) * 6] * 10])}, rows)


def yolox() -> Written:
    """Relative to the grid; sizes are logarithms."""
    raw = np.concatenate([random(9, CELLS, 2) * 2 - 1, random(10, CELLS, 2) * 2 - 1], axis=1)
    table = np.concatenate([raw, random(11, CELLS, 4)], axis=1)
    return Written({"output": table}, rows_with_objectness(decoded(table)), has_nms=False)


def decoded(table: NDArray[Any]) -> NDArray[Any]:
    """YOLOX's rows in pixels."""
    rows = []
    for (gx, gy, s), (dx, dy, lw, lh, *rest) in zip(PLACES, table.tolist(), strict=True):
        rows.append(((dx + gx) * s, (dy + gy) * s, math.exp(lw) * s, math.exp(lh) * s, *rest))
    return np.array(rows)


def yolox_decoded() -> Written:
    """The same, decoded by the file: it is seen."""
    raw = yolox()
    return Written({"output": decoded(raw.tables["output"])}, raw.rows, has_nms=False)


def yolox_stated() -> Written:
    """The same, stated."""
    seen = yolox_decoded()
    return Written(seen.tables, seen.rows, settings={"format": "yolox-decoded"}, has_nms=False)


def end2end() -> Written:
    """As many rows as there are boxes, each with its picture's number."""
    said = yolov10()
    table = np.array([(0, *box, kind, score) for *box, score, kind in said.rows])
    return Written({"output": table}, said.rows, {"per_picture": False})


def efficient_nms() -> Written:
    """TensorRT's four outputs; what follows the number is left over."""
    rows = yolov10().rows[:12]
    every = np.array(yolov10().rows)
    tables = {
        "num_dets": np.array([12], np.int32),
        "det_boxes": every[:, :4],
        "det_scores": every[:, 4],
        "det_classes": every[:, 5].astype(np.int32),
    }
    return Written(tables, rows)


def logits(seed: int, count: int, width: int) -> NDArray[np.float64]:
    """Of which one in three or so is likely."""
    return random(seed, count, width) * 8 - 5


def queries(boxes: NDArray[Any], logits: NDArray[Any]) -> list[Row]:
    """Each likely class of each query."""
    width, height = SIDE_WH
    rows = []
    for (x, y, w, h), of_classes in zip(boxes.tolist(), logits.tolist(), strict=True):
        box = corners(x * width, y * height, w * width, h * height)
        rows += [(*box, sigmoid(logit), n) for n, logit in enumerate(of_classes)]
    return rows


def rt_detr_hf() -> Written:
    """Logits and boxes, as Hugging Face's models give them."""
    boxes, likely = centres_and_sizes(12, 30) / [96, 64, 96, 64], logits(13, 30, 3)
    tables = {"logits": likely, "pred_boxes": boxes}
    options = {
        "input_name": "pixel_values",
        "extra_inputs": {"pixel_mask": ((1, "height", "width"), TensorProto.INT64)},
    }
    return Written(tables, queries(boxes, likely), options)


def rt_detr_ultralytics() -> Written:
    """Boxes and scores in one table, as Ultralytics writes them."""
    boxes, scores = centres_and_sizes(14, 30) / [96, 64, 96, 64], random(15, 30, 3)
    rows = []
    for (x, y, w, h), of in zip(boxes.tolist(), scores.tolist(), strict=True):
        rows.append((*corners(x * 96, y * 64, w * 96, h * 64), max(of), of.index(max(of))))
    metadata = {**ultralytics(NAMES, model="RT-DETR-l"), "imgsz": "[64, 96]"}
    return Written({"output0": np.concatenate([boxes, scores], 1)}, rows, {"metadata": metadata})


def rt_detr_without_a_hyphen() -> Written:
    """By the name of the file that Ultralytics trains it from."""
    layout = rt_detr_ultralytics()
    metadata = {**ultralytics(NAMES, model="rtdetr-l"), "imgsz": "[64, 96]"}
    return replace(layout, options={"metadata": metadata})


def detr_with_a_small_mask() -> Written:
    """A mask of 64 by 64 whatever the picture's size, as some converted files want."""
    options = {"extra_inputs": {"pixel_mask": ((1, 64, 64), TensorProto.INT64)}}
    return replace(detr(), options=options)


def rt_detr_paddle() -> Written:
    """Paddle's rows of all pictures and their numbers."""
    said = yolov10().rows
    table = np.array([(kind, score, *box) for *box, score, kind in said])
    tables = {"rows": table, "bbox_num": np.array([len(said)], np.int32)}
    extra = dict.fromkeys(("im_shape", "scale_factor"), ((1, 2), TensorProto.FLOAT))
    options = {"input_name": "image", "extra_inputs": extra, "per_picture": False}
    return Written(tables, said, options)


def d_fine() -> Written:
    """Labels, boxes and scores for the size that is asked for."""
    said = np.array(yolov10().rows)
    side = max(SIDE_WH)
    tables = {
        "labels": said[:, 5].astype(np.int64),
        "boxes": said[:, :4] / [96, 64, 96, 64] * side,
        "scores": said[:, 4],
    }
    extra = {"orig_target_sizes": ((1, 2), TensorProto.INT64)}
    return Written(tables, yolov10().rows, {"extra_inputs": extra})


def rf_detr() -> Written:
    """Boxes and logits by RF-DETR's names."""
    boxes, likely = centres_and_sizes(16, 30) / [96, 64, 96, 64], logits(17, 30, 3)
    tables = {"dets": boxes, "labels": likely}
    return Written(tables, queries(boxes, likely), {"input_name": "input"})


def detr() -> Written:
    """One class of each query, or nothing."""
    boxes, likely = centres_and_sizes(18, 30) / [96, 64, 96, 64], logits(19, 30, 4)
    rows = []
    for (x, y, w, h), of in zip(boxes.tolist(), likely.tolist(), strict=True):
        whole = sum(math.exp(logit) for logit in of)
        box = corners(x * 96, y * 64, w * 96, h * 64)
        rows += [(*box, math.exp(logit) / whole, n) for n, logit in enumerate(of[:-1])]
    tables = {"logits": likely, "pred_boxes": boxes}
    return Written(tables, rows, settings={"format": "detr"})


LAYOUTS: list[Callable[[], Written]] = [
    yolov5, yolov5_segment, yolov5_with_grids, yolov6, yolov8, yolov8_rows, yolov8_segment,
    yolov10, yolox, yolox_decoded, yolox_stated, end2end, efficient_nms, rt_detr_hf,
    rt_detr_ultralytics, rt_detr_without_a_hyphen, rt_detr_paddle, d_fine, rf_detr, detr,
    detr_with_a_small_mask,
]  # fmt: skip


def written(path: Path, layout: Written, **more: Any) -> OnnxConfig:
    """The net in a file, and settings for it."""
    options = {"side": SIDE_WH, **layout.options, **more}
    write_net(path, layout.tables, **options)
    return OnnxConfig(model=path, classes=NAMES, **{"nms_iou": 1.0, **layout.settings})


def ask(detector: OnnxDetector, pixels: Pixels, *tasks: Task) -> list[Answer]:
    """One picture's answers."""
    (answers,) = detector.answer([(pixels, tasks)])
    return answers


def boxes_of(answer: Answer) -> Boxes:
    """An answer that has to be boxes."""
    assert isinstance(answer, Boxes), answer
    return answer


def blank(width: int = 96, height: int = 64) -> Pixels:
    """A picture for which a net gives its table."""
    return np.zeros((height, width, 3), np.uint8)


def seen(config: OnnxConfig, pixels: Pixels) -> dict[str, Boxes]:
    """What a net finds of each class."""
    tasks = [Detect(name, "fast", name, max_objects=1000) for name in NAMES]
    answers = ask(OnnxDetector(config), pixels, *tasks)
    return {task.label: boxes_of(answer) for task, answer in zip(tasks, answers, strict=True)}


def expected(rows: Sequence[Row], number: int, least: float = 0.3) -> list[tuple[float, ...]]:
    """The score and box of each likely row of a class, in 0..1 and cut, best first."""
    found = []
    for x0, y0, x1, y1, score, kind in rows:
        edges = (x0 / 96, y0 / 64, x1 / 96, y1 / 64)
        cut = tuple(min(1.0, max(0.0, edge)) for edge in edges)
        if kind == number and score >= least and cut[2] > cut[0] and cut[3] > cut[1]:
            found.append((score, *cut))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: str(layout.__name__))
def test_every_layout_is_recognised_and_read(layout: Callable[[], Written], tmp_path: Path) -> None:
    """What a plain calculation makes of the same table, box for box and class for class."""
    net = layout()
    config = written(tmp_path / "net.onnx", net)
    assert not [lack for lack in config.lacks() if lack.is_fatal]
    found = seen(config, blank())
    for number, name in enumerate(NAMES):
        wanted = expected(net.rows, number)
        given = [
            (score, *box)
            for score, box in zip(found[name].scores, found[name].boxes_xyxy, strict=True)
        ]
        assert len(given) == len(wanted) > 0
        np.testing.assert_allclose(given, wanted, atol=2e-5)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: str(layout.__name__))
def test_shapes_that_a_file_leaves_open_are_seen_at_the_first_pass(
    layout: Callable[[], Written], tmp_path: Path
) -> None:
    """The same boxes where the outputs' sizes are names; a check of the file does not object."""
    net = layout()
    config = written(tmp_path / "open.onnx", net, declare=False)
    assert list(config.lacks()) == []
    closed = seen(written(tmp_path / "closed.onnx", net), blank())
    assert seen(config, blank()) == closed


@pytest.mark.parametrize("layout", [yolov5, yolov8, yolox], ids=lambda layout: layout.__name__)
def test_doubles_of_one_class_are_one(layout: Callable[[], Written], tmp_path: Path) -> None:
    """Of boxes that overlap by more than `nms_iou` the best is left, class by class."""
    net = layout()
    config = written(tmp_path / "net.onnx", net).model_copy(update={"nms_iou": 0.4})
    found = seen(config, blank())
    for number, name in enumerate(NAMES):
        stay: list[Box] = []
        for row in sorted((row for row in net.rows if row[5] == number), key=lambda r: -r[4]):
            box = (row[0], row[1], row[2], row[3])
            if row[4] >= 0.3 and all(iou(box, other) <= 0.4 for other in stay):
                stay.append(box)
        inside = [
            (x0, y0, x1, y1) for x0, y0, x1, y1 in stay if x0 < 96 and y0 < 64 and x1 > 0 and y1 > 0
        ]
        assert len(found[name].boxes_xyxy) == len(inside)
    every = sum(len(expected(net.rows, number)) for number in range(len(NAMES)))
    assert 0 < sum(len(one.boxes_xyxy) for one in found.values()) < every


def test_yolox_is_told_from_its_decoded_self_whatever_its_boxes(tmp_path: Path) -> None:
    """Boxes anywhere in the picture, and the smallest of nets."""
    anywhere = np.concatenate([centres_and_sizes(20, CELLS), random(21, CELLS, 4)], axis=1)
    found = seen(written(tmp_path / "a.onnx", Written({"output": anywhere}, ())), blank())
    stated = Written({"output": anywhere}, (), settings={"format": "yolox-decoded"})
    assert found == seen(written(tmp_path / "a.onnx", stated), blank())
    tiny = np.zeros((4 * 4 + 2 * 2 + 1, 8))
    tiny[:, 4:6] = 1.0
    file = write_net(tmp_path / "tiny.onnx", {"output": tiny}, side=(32, 32))
    config = OnnxConfig(model=file, classes=NAMES)
    (people,) = ask(OnnxDetector(config), blank(32, 32), Detect("p", "fast", "person"))
    assert (0.0, 0.0, 0.125, 0.125) in boxes_of(people).boxes_xyxy
    assert len(boxes_of(people).boxes_xyxy) == len(tiny)


# What the net is given.


def bright_net(path: Path, slope: float = 1.0, **more: Any) -> OnnxConfig:
    """A net that finds one person, the surer the brighter its input is on the mean."""
    table = np.array([[24.0, 16.0, 72.0, 48.0, 0.0, 0]])
    per_number = np.zeros((6,))
    per_number[4] = slope
    write_net(path, {"output0": table}, {"output0": per_number}, side=SIDE_WH, **more)
    return OnnxConfig(model=path, classes=NAMES, min_score=0.001)


def mean_of(config: OnnxConfig, pixels: Pixels) -> float:
    """The mean of what the net was given."""
    (found,) = ask(OnnxDetector(config), pixels, Detect("p", "fast", "person"))
    return boxes_of(found).scores[0] if boxes_of(found).scores else 0.0


def level(value: int, width: int = 96, height: int = 64) -> Pixels:
    """A grey picture."""
    return np.full((height, width, 3), value, np.uint8)


def test_values_are_those_that_the_format_was_trained_with(tmp_path: Path) -> None:
    """0..1 for YOLO; a range, a mean and a deviation of its own where the settings say so."""
    net = bright_net(tmp_path / "net.onnx")
    assert mean_of(net, level(102)) == pytest.approx(0.4, abs=2e-5)
    darker = net.model_copy(update={"mean": (0.1, 0.2, 0.3), "std": (2.0, 2.0, 2.0)})
    assert mean_of(darker, level(102)) == pytest.approx(0.1, abs=2e-5)
    scaled = bright_net(tmp_path / "scaled.onnx", 1 / 255)
    whole = scaled.model_copy(update={"pixel_range": "0..255"})
    assert mean_of(whole, level(102)) == pytest.approx(0.4, abs=2e-5)


@pytest.mark.parametrize(
    ("kind", "slope"), [(TensorProto.FLOAT16, 1.0), (TensorProto.UINT8, 1 / 255)]
)
@pytest.mark.parametrize("channels_first", [True, False])
def test_inputs_of_other_types_and_orders(
    tmp_path: Path, kind: int, slope: float, channels_first: bool
) -> None:
    """Half precision, whole numbers from 0 to 255 as they are, colours first or last."""
    net = bright_net(tmp_path / "net.onnx", slope, input_type=kind, channels_first=channels_first)
    assert mean_of(net, level(102)) == pytest.approx(0.4, abs=1e-3)


def test_half_precision_comes_out_as_numbers_too(tmp_path: Path) -> None:
    """A net in half precision from end to end finds the same, up to its digits."""
    table = yolov8().tables["output0"]
    half = write_net(
        tmp_path / "half.onnx",
        {"output0": table.astype(np.float16)},
        side=SIDE_WH,
        input_type=TensorProto.FLOAT16,
    )
    low = seen(OnnxConfig(model=half, classes=NAMES), blank())["car"]
    whole = seen(
        written(
            tmp_path / "whole.onnx",
            yolov8(),
        ),
        blank(),
    )["car"]
    assert low.scores[0] == pytest.approx(whole.scores[0], abs=1e-3)
    np.testing.assert_allclose(low.boxes_xyxy[0], whole.boxes_xyxy[0], atol=2e-3)


@pytest.mark.parametrize(
    ("fit", "size_wh", "box"),
    [
        # 96 x 96 becomes 64 x 64 with 16 pixels of grey on each side.
        ("letterbox", (96, 96), (8 / 64, 16 / 64, 56 / 64, 48 / 64)),
        # 192 x 64 becomes 96 x 32 with 16 pixels of grey above and below.
        ("letterbox", (192, 64), (24 / 96, 0.0, 72 / 96, 1.0)),
        ("stretch", (192, 64), (24 / 96, 16 / 64, 72 / 96, 48 / 64)),
    ],
)
def test_boxes_are_those_of_the_picture(
    tmp_path: Path, fit: str, size_wh: tuple[int, int], box: tuple[float, ...]
) -> None:
    """Whatever the net was shown; cut where they reach beside the picture."""
    net = bright_net(tmp_path / "net.onnx").model_copy(update={"fit": fit})
    pixels = level(200, *size_wh)
    (found,) = ask(OnnxDetector(net), pixels, Detect("p", "fast", "person"))
    assert boxes_of(found).boxes_xyxy[0] == pytest.approx(box)


def test_a_letterbox_is_filled_up_with_grey(tmp_path: Path) -> None:
    """A third of the input beside a white picture is YOLO's grey; nothing is, when stretched."""
    net = bright_net(tmp_path / "net.onnx")
    filled = (2 * 255 + 114) / 3 / 255
    assert mean_of(net, level(255, 96, 96)) == pytest.approx(filled, abs=2e-5)
    assert mean_of(net.model_copy(update={"fit": "stretch"}), level(255, 96, 96)) == pytest.approx(
        1.0, abs=2e-5
    )


def test_colours_are_in_the_order_of_the_format(tmp_path: Path) -> None:
    """Taken from red alone, blue counts where the net wants blue first."""
    net = bright_net(tmp_path / "net.onnx").model_copy(update={"std": (1.0, 1e6, 1e6)})
    red = blank()
    red[..., 0] = 255
    assert mean_of(net, red) == pytest.approx(1 / 3, abs=1e-4)
    assert mean_of(net.model_copy(update={"colour": "bgr"}), red) < 1e-3


def test_sizes_that_a_file_leaves_open(tmp_path: Path) -> None:
    """By the settings, else by the metadata, else 640; the grid that follows is recognised."""
    asked = yolov8().tables["output0"]
    file = write_net(tmp_path / "n.onnx", {"output0": asked}, open_sides=True)
    config = OnnxConfig(model=file, classes=NAMES, size="96x64", nms_iou=1.0)
    assert config.max_side == 192
    found = seen(config, blank())["car"]
    assert found.scores == seen(written(tmp_path / "f.onnx", yolov8()), blank())["car"].scores
    metadata = {**ultralytics(NAMES), "imgsz": "[64, 96]"}
    said = write_net(tmp_path / "m.onnx", {"output0": asked}, open_sides=True, metadata=metadata)
    assert seen(OnnxConfig(model=said, nms_iou=1.0), blank())["car"] == found
    # At 640 so many boxes are the places of no grid.
    with pytest.raises(EngineError, match="is not recognised: its output is output0"):
        OnnxDetector(OnnxConfig(model=file, classes=NAMES))


def test_a_size_that_a_file_does_not_take_is_refused(tmp_path: Path) -> None:
    """With the one it takes, by a check too."""
    config = bright_net(tmp_path / "net.onnx").model_copy(update={"size": "64"})
    said = "takes pictures of 96x64 only, not 64x64; leave `size` out"
    assert [said in lack.message for lack in config.lacks()] == [True]
    with pytest.raises(EngineError, match=said):
        config.build()


# Many at a time.


@pytest.mark.parametrize("batch", [1, 4, "batch"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_gives_what_its_pictures_give_alone(
    tmp_path: Path, batch: int | str, threads: int
) -> None:
    """One at a time, filled up to the net's number, or as many as there are."""
    net = bright_net(tmp_path / "net.onnx", batch=batch)
    detector = OnnxDetector(net.model_copy(update={"threads": threads}))
    assert detector.batch == (None if batch == "batch" else batch)
    people = Detect("p", "fast", "person")
    pictures = [level(value, 96 + value, 64) for value in (10, 250, 30, 60, 120, 90, 200)]
    together = detector.answer([(pixels, [people]) for pixels in pictures])
    alone = [ask(detector, pixels, people) for pixels in pictures]
    assert len({boxes_of(one).scores for (one,) in together}) == len(pictures)
    for (one,), (other,) in zip(together, alone, strict=True):
        assert boxes_of(one).scores == pytest.approx(boxes_of(other).scores, abs=1e-6)
        np.testing.assert_allclose(boxes_of(one).boxes_xyxy, boxes_of(other).boxes_xyxy)


def test_one_bad_picture_fails_alone(tmp_path: Path) -> None:
    """A grey, an empty and a float array among good ones."""
    detector = OnnxDetector(bright_net(tmp_path / "net.onnx", batch=3))
    people = Detect("p", "fast", "person")
    bad: list[Any] = [np.zeros((9, 9), np.uint8), np.zeros((0, 9, 3), np.uint8), np.ones((9, 9, 3))]
    given = detector.answer([(level(99), [people]), *((b, [people]) for b in bad)])
    assert [type(one) for (one,) in given] == [Boxes, Failed, Failed, Failed]


# What is said.


def test_count_and_point_agree_with_the_boxes(tmp_path: Path) -> None:
    """All are one look, cut at the limit of objects; a question fails alone."""
    detector = OnnxDetector(written(tmp_path / "net.onnx", yolov10()))
    cars = Detect("c", "fast", " CAR ")
    count, few = Count("n", "fast", "car"), Count("f", "fast", "car", 2)
    point, ask_it = Point("p", "fast", "car"), Ask("q", "fast", "Is it open?")
    boxes, number, two, points, words = ask(detector, blank(), cars, count, few, point, ask_it)
    found = boxes_of(boxes)
    assert number == Number("fast", len(found.boxes_xyxy))
    assert two == Number("fast", 2, saturated=True)
    assert isinstance(points, Points)
    assert points.points_xy == tuple(map(centre, found.boxes_xyxy))
    assert isinstance(words, Failed)
    assert "cannot answer 'ask'" in words.reason


def test_the_surest_are_kept_of_too_many(tmp_path: Path) -> None:
    """`max_detections` counts all classes, and the answers say that there may be more."""
    config = written(tmp_path / "net.onnx", yolov10())
    every, few = (
        seen(config, blank()),
        seen(config.model_copy(update={"max_detections": 5}), blank()),
    )
    best = sorted((score for one in every.values() for score in one.scores), reverse=True)[:5]
    assert sorted((s for one in few.values() for s in one.scores), reverse=True) == best
    assert [one.saturated for one in few.values()] == [True] * 3
    assert not any(one.saturated for one in every.values())


def test_a_list_that_is_full_says_so(tmp_path: Path) -> None:
    """A net that lists 20 things and found 20 may have left out the next."""
    table = yolov10().tables["output0"][:20]
    table[:, 4] = 0.9
    file = write_net(tmp_path / "net.onnx", {"output0": table}, side=SIDE_WH)
    assert all(
        one.saturated for one in seen(OnnxConfig(model=file, classes=NAMES), blank()).values()
    )


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("cars", "is not one of the 3 classes of net.onnx; did you mean car?"),
        ("forklift", "did you mean fork lift?"),
        ("zebra", "there are: person, car, fork lift"),
    ],
)
def test_a_label_that_is_no_class_fails_alone(tmp_path: Path, label: str, said: str) -> None:
    """With the nearest names; a check says the same where the file is at hand."""
    file = write_net(
        tmp_path / "net.onnx",
        yolov8().tables,
        side=SIDE_WH,
        metadata={**ultralytics(NAMES), "imgsz": "[64, 96]"},
    )
    config = OnnxConfig(model=file)
    task = Detect("x", "fast", label)
    failed, found = ask(OnnxDetector(config), blank(), task, Detect("c", "fast", "car"))
    assert isinstance(failed, Failed)
    assert said in failed.reason
    assert isinstance(found, Boxes)
    assert config.problem_with(task) is None
    assert [said in lack.message for lack in config.lacks_for(task)] == [True]
    stated = OnnxConfig(model=file, classes=NAMES).problem_with(task)
    assert stated is not None
    assert said.partition("net.onnx")[2] in stated


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"names": "{0: 'a', 1: 'b', 2: 'c'}"}, "b"),
        ({"names": '{"0": "a", "1": "b", "2": "c"}'}, "b"),
        ({"names": "['a', 'b', 'c']"}, "b"),
        ({"class_names": '["a", "b", "c"]'}, "b"),
        ({"Classes": "a, b, c"}, "b"),
        ({"labels": "a\nb\nc\n"}, "b"),
        ({"id2label": '{"0": "a", "1": "b", "2": "c"}'}, "b"),
        ({"names": '{"a": 0, "b": 1, "c": 2}'}, "b"),
    ],
)
def test_names_in_any_usual_spelling(tmp_path: Path, metadata: dict[str, str], wanted: str) -> None:
    """The second class by its name in the metadata is the second by a list."""
    file = write_net(tmp_path / "net.onnx", yolov8().tables, side=SIDE_WH, metadata=metadata)
    (found,) = ask(OnnxDetector(OnnxConfig(model=file)), blank(), Detect("x", "fast", wanted, 1000))
    listed = seen(OnnxConfig(model=file, classes=NAMES), blank())["car"]
    assert boxes_of(found) == listed


def test_coco_by_its_width_and_by_its_numbers(tmp_path: Path) -> None:
    """80 classes without names are COCO's; RF-DETR's 91 are COCO's own numbers."""
    boxes = np.tile([32.0, 32, 20, 20], (CELLS, 1)).T
    scores = np.zeros((80, CELLS))
    scores[2, 7] = 0.9
    plain = write_net(
        tmp_path / "80.onnx", {"output0": np.concatenate([boxes, scores])}, side=SIDE_WH
    )
    likely = np.full((5, 91), -9.0)
    likely[1, 3] = 4.0
    tables = {"dets": np.full((5, 4), 0.5), "labels": likely}
    numbered = write_net(tmp_path / "91.onnx", tables, side=SIDE_WH)
    for file in (plain, numbered):
        car, person = ask(
            OnnxDetector(OnnxConfig(model=file)),
            blank(),
            Detect("c", "fast", "car"),
            Detect("p", "fast", "person"),
        )
        assert len(boxes_of(car).scores) == 1
        assert boxes_of(person).scores == ()


def test_keys_by_their_other_names() -> None:
    """`labels` and `provider` are understood, and refused beside the keys themselves."""
    given: dict[str, Any] = {"model": Path("net.onnx"), "labels": ["a", "b"], "provider": "cuda"}
    config = OnnxConfig(**given)
    assert (config.classes, config.providers) == (("a", "b"), ("cuda",))
    for other in ({"classes": "coco"}, {"providers": ["cpu"]}):
        with pytest.raises(ValidationError, match="are the same; give one of them"):
            OnnxConfig(**given, **other)


@pytest.mark.parametrize(
    ("given", "place", "said"),
    [
        ({"provider": "gpu"}, ("provider",), "write cuda"),
        ({"providers": ["GPU", "cpu"]}, ("providers",), "write cuda"),
        ({"provider": "cdua"}, ("provider", 0), "'cuda'"),
        ({"labels": [1]}, ("labels",), "1 is not a name"),
        ({"std": [0, 1, 1]}, ("std", 0), "greater than 0"),
    ],
)
def test_a_mistake_is_said_at_the_key_that_was_written(
    given: dict[str, Any], place: tuple[str | int, ...], said: str
) -> None:
    """Also where the key has another name, and a colour is never divided by nothing."""
    with pytest.raises(ValidationError, match=said) as error:
        OnnxConfig(model=Path("net.onnx"), **given)
    assert error.value.errors()[0]["loc"] == place


def test_classes_by_number(tmp_path: Path) -> None:
    """Those that matter alone, where a net has more."""
    file = write_net(tmp_path / "net.onnx", rf_detr().tables, side=SIDE_WH)
    few = OnnxConfig(model=file, classes={1: "car"})
    every = OnnxConfig(model=file, classes=NAMES)
    (found,) = ask(OnnxDetector(few), blank(), Detect("c", "fast", "car", 1000))
    assert boxes_of(found) == seen(every, blank())["car"]


def test_a_net_known_by_a_common_shape_alone_is_doubted() -> None:
    """The bundled net has YOLOv10's output and wants other pictures: it would find nothing."""
    config = OnnxConfig(model=WEIGHTS, classes="coco")
    (lack,) = config.lacks()
    assert (lack.key, lack.is_fatal) == ("format", False)
    assert "is taken for yolov10 by the shape of its output alone" in lack.message
    for told in ({"format": "yolov10"}, {"pixel_range": "0..255"}):
        assert not list(OnnxConfig(**{"model": WEIGHTS, "classes": "coco", **told}).lacks())


# What cannot be used.


def refused(config: OnnxConfig) -> str:
    """What the engine says instead of starting; where a check can know it, it says the same."""
    with pytest.raises(EngineError) as raised:
        config.build()
    return str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"", "cannot be loaded"),
        (b"not a net at all, but text", "cannot be loaded"),
        (WEIGHTS.read_bytes()[:2_000_000], "cannot be loaded"),
        (b"PK\x03\x04 and so on", "cannot be loaded"),
        (b"<!DOCTYPE html>", "cannot be loaded"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "cannot be loaded"),
    ],
    ids=["missing", "empty", "text", "truncated", "archive", "page", "pointer"],
)
def test_files_that_are_no_nets(tmp_path: Path, content: bytes | None, said: str) -> None:
    """Each with its name and what is wrong, at a check and at the start."""
    file = tmp_path / "net.onnx"
    if content is not None:
        file.write_bytes(content)
    config = OnnxConfig(model=file, classes="coco")
    (lack,) = config.lacks()
    assert (lack.key, lack.is_fatal) == ("model", True)
    for sentence in (lack.message, refused(config)):
        assert str(file) in sentence
        assert said in sentence


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "copy or export it again"),
        (b"not a net at all, but text", "export the model as ONNX"),
        (WEIGHTS.read_bytes()[:2_000_000], "its end is missing; copy it again"),
        (b"PK\x03\x04 and so on", "a model that PyTorch saved; export that as ONNX"),
        (b"<!DOCTYPE html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "`git lfs pull` fetches"),
    ],
    ids=["empty", "text", "truncated", "archive", "page", "pointer"],
)
def test_what_people_take_for_a_net_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """A check says what the file is instead, and what to do about it."""
    file = tmp_path / "net.onnx"
    file.write_bytes(content)
    (lack,) = OnnxConfig(model=file, classes="coco").lacks()
    assert said in lack.message


def test_weights_that_were_left_behind_are_named(tmp_path: Path) -> None:
    """A check says which file is missing beside a net that keeps its weights in another."""
    whole = onnx.load(write_net(tmp_path / "whole.onnx", yolov8().tables, side=SIDE_WH))
    file = tmp_path / "net.onnx"
    onnx.save(whole, file, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    config = OnnxConfig(model=file, classes=NAMES)
    assert list(config.lacks()) == []
    (tmp_path / "net.onnx.data").unlink()
    (lack,) = config.lacks()
    assert (lack.key, lack.is_fatal) == ("model", True)
    assert f"{file} keeps its weights in net.onnx.data, which is not beside it" in lack.message


def test_a_net_that_is_too_new_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Without the library's own places in its code, and with the way out."""
    newer = onnx.load(write_net(tmp_path / "net.onnx", yolov8().tables, side=SIDE_WH))
    newer.ir_version = 99
    file = tmp_path / "newer.onnx"
    file.write_bytes(newer.SerializeToString())
    said = refused(OnnxConfig(model=file, classes=NAMES))
    assert f"{file} cannot be loaded: Unsupported model IR version: 99" in said
    assert "install a newer onnxruntime, or export it with an older opset" in said


@pytest.mark.parametrize(
    ("imgsz", "wanted"),
    [
        ("[384, 640]", (640, 384)),
        ("320", (320, 320)),
        ("[0, 0]", (640, 640)),
        ("[640000, 640000]", (640, 640)),
        ("[64]", (640, 640)),
    ],
)
def test_a_size_in_the_metadata_is_a_hint(
    tmp_path: Path, imgsz: str, wanted: tuple[int, int]
) -> None:
    """One that no picture can have is not taken."""
    file = write_net(
        tmp_path / "net.onnx", yolov8().tables, open_sides=True, metadata={"imgsz": imgsz}
    )
    assert net_size(surface_of(file), None) == wanted


NO_DETECTORS: dict[str, tuple[dict[str, NDArray[Any]], dict[str, Any], str]] = {
    "classifies": (
        {"probabilities": random(1, 1000)},
        {},
        "is not a detector: its output is probabilities [1, 1000], which looks like a net that "
        "classifies whole pictures",
    ),
    "by its metadata": (
        {"output0": random(1, 1000)},
        {"metadata": ultralytics(NAMES, "classify")},
        "is not a detector: its metadata says `task: classify`",
    ),
    "maps": (
        {f"map{n}": random(n, 3, 8 // n, 12 // n, 8) for n in (1, 2, 4)},
        {},
        "is not recognised: its outputs are map1 [1, 3, 8, 12, 8], map2 [1, 3, 4, 6, 8], "
        "map4 [1, 3, 2, 3, 8]; say what they mean with `format` (yolov5, ",
    ),
    "grey": ({"o": random(1, 7, CELLS)}, {"extra_inputs": {"z": ((1, 9), 1)}}, "wants more than"),
    "two pictures": (
        {"o": random(1, 7, CELLS)},
        {"extra_inputs": {"before": ((1, 3, 64, 96), 1)}},
        "takes 2 pictures at once: its inputs are images [1, 3, 64, 96], before [1, 3, 64, 96]",
    ),
    "other numbers": (
        {"o": random(1, 7, CELLS)},
        {"input_type": TensorProto.INT8},
        "takes pictures as int8, which they cannot be given as; export it with an input of ",
    ),
    "names from one": (
        {"output0": random(1, 4 + 3, CELLS)},
        {"metadata": {"names": "{1: 'a', 2: 'b', 3: 'c'}"}},
        "names class number 3 in its metadata, but the first is 0 and the last 2; list them",
    ),
    "names below nothing": (
        {"output0": random(1, 4 + 3, CELLS)},
        {"metadata": {"names": "{-1: 'a', 1: 'b', 2: 'c'}"}},
        "names class number -1 in its metadata, but the first is 0 and the last 2; list them",
    ),
    "two that fit": (
        {"out": random(1, CELLS, 9)},
        {},
        "may be yolov8 with 5 classes or yolox with 4 classes: its output is out [1, 126, 9]; "
        "say which with `format`",
    ),
    "names that do not fit": (
        {"output0": random(1, 4 + 5, CELLS)},
        {"metadata": {"names": "['a', 'b', 'c']"}},
        "names 3 classes in its metadata, but its net has 5",
    ),
    "no names": ({"output0": random(1, 9, CELLS)}, {}, "does not name its 5 classes; list them"),
    "no names, nor how many": ({"output0": random(1, 30, 6)}, {}, "`classes: coco` for COCO's 80"),
}


@pytest.mark.parametrize("kind", list(NO_DETECTORS))
def test_nets_that_are_no_detectors(tmp_path: Path, kind: str) -> None:
    """The sentence names the file, its outputs and the way out, at a check and at the start."""
    tables, options, said = NO_DETECTORS[kind]
    file = write_net(tmp_path / "net.onnx", tables, side=SIDE_WH, **options)
    config = OnnxConfig(model=file)
    (lack,) = config.lacks()
    assert said in lack.message
    assert "net.onnx" in lack.message
    assert said in refused(config)


def test_what_is_stated_has_to_fit(tmp_path: Path) -> None:
    """A format or a list of classes that is not the file's is refused with both."""
    file = write_net(tmp_path / "net.onnx", yolov8().tables, side=SIDE_WH)
    said = "is not d-fine, which gives labels, boxes and scores, with an input of picture sizes: "
    assert said in refused(OnnxConfig(model=file, classes=NAMES, format="deim"))
    two = refused(OnnxConfig(model=file, classes=("person", "car")))
    assert "has 3 classes, but `classes` names 2" in two
    assert "names number 79" in refused(OnnxConfig(model=file, classes="coco"))
    stated = OnnxConfig(model=file, classes=NAMES, format="yolo11")
    assert seen(stated, blank()) == seen(OnnxConfig(model=file, classes=NAMES), blank())


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: str(layout.__name__))
def test_values_that_are_not_numbers_are_said(
    layout: Callable[[], Written], tmp_path: Path
) -> None:
    """A picture for which a net gives NaN fails; it is not one in which there is nothing."""
    net = layout()
    tables = {
        name: np.full_like(table, np.nan) if np.issubdtype(table.dtype, np.floating) else table
        for name, table in net.tables.items()
    }
    config = written(tmp_path / "net.onnx", Written(tables, (), net.options, net.settings))
    (failed,) = ask(OnnxDetector(config), blank(), Detect("c", "fast", "car"))
    assert isinstance(failed, Failed)
    assert "net.onnx: the net gives " in failed.reason
    assert "that are not numbers (NaN)" in failed.reason


def test_a_class_that_nobody_named_is_said(tmp_path: Path) -> None:
    """A net that lists classes by number alone, with fewer names than it has; not by number."""
    file = write_net(tmp_path / "net.onnx", yolov10().tables, side=SIDE_WH)
    people = Detect("p", "fast", "person")
    (failed,) = ask(
        OnnxDetector(OnnxConfig(model=file, classes=("person", "car"), format="yolov10")),
        blank(),
        people,
    )
    assert isinstance(failed, Failed)
    assert "the net found class number 2, and 2 are named" in failed.reason
    chosen = OnnxConfig(model=file, classes={0: "person"})
    (found,) = ask(OnnxDetector(chosen), blank(), people)
    assert boxes_of(found) == seen(OnnxConfig(model=file, classes=NAMES), blank())["person"]


def test_outputs_that_are_not_needed_are_left_aside(tmp_path: Path) -> None:
    """Outlines and inner layers beside a query's logits and boxes."""
    more = {**rf_detr().tables, "masks": random(1, 30, 16, 24), "hidden": random(2, 30, 8)}
    file = write_net(tmp_path / "net.onnx", more, side=SIDE_WH)
    plain = write_net(tmp_path / "plain.onnx", rf_detr().tables, side=SIDE_WH)
    found, wanted = (seen(OnnxConfig(model=f, classes=NAMES), blank()) for f in (file, plain))
    assert found == wanted


def test_as_many_pictures_are_taken_as_there_are_cores(tmp_path: Path) -> None:
    """More would wait for each other; a batch that is asked for, or the net's own, is filled."""
    for batch, asked, at_once, waits in (
        (1, {}, 2, False),
        (4, {}, 8, True),
        ("batch", {}, 2, False),
        ("batch", {"max_batch": 6}, 6, False),
    ):
        net = bright_net(tmp_path / "net.onnx", batch=batch)
        detector = OnnxDetector(OnnxConfig(model=net.model, classes=NAMES, threads=2, **asked))
        assert (detector.at_once, detector.gains_by_waiting) == (at_once, waits)


def test_scores_that_are_no_scores_are_said(tmp_path: Path) -> None:
    """Logits where a format has probabilities are not cut to 1."""
    table = yolov8().tables["output0"] * 7
    file = write_net(tmp_path / "net.onnx", {"output0": table}, side=SIDE_WH)
    (failed,) = ask(
        OnnxDetector(OnnxConfig(model=file, classes=NAMES)), blank(), Detect("c", "fast", "car")
    )
    assert isinstance(failed, Failed)
    assert "gives scores of up to 6.9" in failed.reason


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"format": "yolov13"}, "'yolov13' is not a known format; did you mean yolov"),
        ({"size": "big"}, "write 640, or width x height like 640x384"),
        ({"size": 0}, "write 640"),
        ({"providers": "rocm"}, "Input should be 'cpu'"),
        ({"providers": []}, "name at least one"),
        ({"classes": "coco17"}, "list the names in the net's order, or write coco"),
        ({"classes": []}, "at least one class"),
        ({"classes": ["a", " "]}, "' ' is not a name"),
        ({"classes": ["a", True]}, "put names in quotes"),
        ({"classes": {-1: "a"}}, "the first class is 0"),
        ({"threads": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], said: str) -> None:
    """Before any file is looked at."""
    with pytest.raises(ValidationError, match=said):
        OnnxConfig(model=Path("net.onnx"), **settings)


# Where it runs.


def test_the_next_provider_runs_what_the_first_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, with why; without a next one the engine does not start."""
    net = bright_net(tmp_path / "net.onnx")
    preferred = net.model_copy(update={"providers": ("tensorrt", "cuda", "cpu")})
    detector = OnnxDetector(preferred)
    assert detector.provider == "cpu"
    said = "net.onnx runs on cpu: tensorrt is not in this build of ONNX Runtime"
    assert detector.fell_back is not None
    assert detector.fell_back.startswith(said)
    assert "onnxruntime-gpu" in detector.fell_back
    assert [said in record.message for record in caplog.records].count(True) == 1
    assert mean_of(preferred, level(102)) == mean_of(net, level(102))
    alone = refused(net.model_copy(update={"providers": ("cuda",)}))
    assert "net.onnx cannot run: cuda is not in this build" in alone
    assert "add cpu to `providers`" in alone
    assert OnnxDetector(net).fell_back is None


def test_a_check_knows_of_a_missing_gpu(tmp_path: Path) -> None:
    """A warning where another provider follows, and reason enough not to start where none does."""
    if not list(missing_gpu("cuda")):
        pytest.skip("this machine has a GPU")
    net = bright_net(tmp_path / "net.onnx").model_copy(update={"format": "yolov10"})
    (lack,) = net.model_copy(update={"providers": ("cuda", "cpu")}).lacks()
    assert (lack.key, lack.is_fatal) == ("providers", False)
    assert lack.message.endswith("cuda cannot be used; cpu is tried after it")
    (alone,) = net.model_copy(update={"providers": ("tensorrt",)}).lacks()
    assert alone.is_fatal
    assert "add cpu" in alone.message


def test_the_bundled_net_finds_the_same(engine: Coco) -> None:
    """As the `coco` engine does with it: it gives corners, score and class too."""
    config = OnnxConfig(
        model=WEIGHTS, format="yolov10", classes="coco", fit="stretch", pixel_range="0..255"
    )
    people = Detect("p", "fast", "person")
    (found,) = ask(OnnxDetector(config), first_frame(), people)
    ((bundled,),) = engine.answer([(first_frame(), [people])])
    one, other = boxes_of(found), boxes_of(bundled)
    assert len(one.scores) == len(other.scores) > 4
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=1e-6)


@pytest.fixture
def engine() -> Coco:
    """The bundled engine."""
    return Coco(CocoConfig(threads=1))


@pytest.mark.slow
def test_an_exported_rt_detr_is_read_as_its_library_reads_it(tmp_path: Path) -> None:
    """Written by torch, as users export it; the library makes boxes of the same outputs."""
    folder = write_rt_detr(tmp_path / "rt_detr")
    model = transformers.RTDetrForObjectDetection.from_pretrained(folder).eval()

    class Exported(torch.nn.Module):
        """The two outputs that the exporters of Hugging Face keep."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            given = self.model(pixel_values=pixel_values)
            return given.logits, given.pred_boxes

    file = tmp_path / "rt_detr.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which needs no other package
        torch.onnx.export(
            Exported(),
            (torch.zeros(1, 3, 96, 96),),
            str(file),
            input_names=["pixel_values"],
            output_names=["logits", "pred_boxes"],
            dynamo=False,
        )
    pixels = np.asarray(np.random.default_rng(4).integers(0, 256, (60, 90, 3)), np.uint8)
    config = OnnxConfig(model=file, classes=("person", "Car"), min_score=0.02)
    tasks = [Detect("p", "fast", "person"), Detect("c", "fast", "car")]
    found = ask(OnnxDetector(config), pixels, *tasks)

    processor = transformers.RTDetrImageProcessorPil.from_pretrained(folder)
    fed = cv2.resize(pixels, (96, 96)).transpose(2, 0, 1)[None].astype(np.float32) / 255
    given = Net(file, threads=1).run(pixel_values=fed)
    outputs = SimpleNamespace(logits=torch.tensor(given[0]), pred_boxes=torch.tensor(given[1]))
    (read,) = processor.post_process_object_detection(outputs, 0.02, target_sizes=[(60, 90)])
    assert len(read["scores"]) > 4
    for number, answer in enumerate(found):
        # The library looks at its best twenty pairs of a query and a class, here all are.
        of_class = read["labels"] == number
        one, kept = boxes_of(answer), int(of_class.sum())
        assert len(one.scores) >= kept
        np.testing.assert_allclose(one.scores[:kept], read["scores"][of_class], atol=1e-5)
        boxes = np.clip(read["boxes"][of_class].numpy() / [90, 60, 90, 60], 0, 1)
        given_boxes = np.reshape(one.boxes_xyxy[:kept], (-1, 4))
        np.testing.assert_allclose(given_boxes, boxes, atol=1e-5)
