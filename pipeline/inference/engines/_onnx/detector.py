"""A detector in an ONNX file at work."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.clock import Clock
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box, centre
from pipeline.core.tasks import Count, Detect, Point, Task, subject_label
from pipeline.inference.engines._onnx.classes import plain
from pipeline.inference.engines._onnx.engine import NetEngine
from pipeline.inference.engines._onnx.file import Surface
from pipeline.inference.engines._onnx.formats import (
    FORMATS,
    MASK,
    PADDLE_SIZES,
    SIZES,
    FormatError,
    ImageInput,
    Layout,
    class_names,
    counted,
    image_input,
    net_size,
    recognised,
    with_shapes,
)
from pipeline.inference.engines._onnx.heads import (
    NEEDS_NMS,
    BadOutputError,
    Found,
    Pass,
    asked_side,
    read,
    without_doubles,
)
from pipeline.inference.engines._onnx.pictures import Feed, problem_with_pixels
from pipeline.inference.engines._onnx.session import Net, plain_error
from pipeline.inference.engines.onnx import OnnxConfig, unknown_label

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

_TYPES = {"float": np.float32, "float16": np.float16, "uint8": np.uint8, "double": np.float64}
_INTEGERS = {"int64": np.int64, "int32": np.int32, "float": np.float32, "float16": np.float16}
_LEAST_SIDE = 1e-6
"""Of the picture; a box beside the picture has a side of nothing once it is cut."""


def build(config: OnnxConfig, clock: Clock | None) -> NetEngine:
    """The engine, with its net loaded; raises EngineError with what is wrong."""
    detector = OnnxDetector(config)
    wait_s = config.max_wait.total_seconds() if detector.gains_by_waiting else 0.0
    return NetEngine(detector, detector.at_once, wait_s, clock)


@dataclass(frozen=True, slots=True)
class _Sought:
    """A look at one picture."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    is_full: bool


class OnnxDetector:
    """A net with what is known of it: how pictures are fed and what its outputs mean."""

    max_side: int | None

    def __init__(self, config: OnnxConfig) -> None:
        self._config = config
        self.max_side = config.max_side
        self._net = Net(config.model, config.providers, config.threads)
        try:
            self._image, self._layout, names = self._known()
        except FormatError as problem:
            self._net.close()
            raise EngineError(f"{config.model} {problem}") from None
        except BaseException:
            self._net.close()
            raise
        self._names_by_number = names
        self._names = [names[number] for number in sorted(names)]
        self._numbers: dict[str, list[int]] = {}
        for number, name in names.items():
            self._numbers.setdefault(plain(name), []).append(number)

    @property
    def batch(self) -> int | None:
        """How many pictures a pass takes; None for any number."""
        return self._image.batch

    @property
    def gains_by_waiting(self) -> bool:
        """Whether several pictures take less time together than one after the other."""
        is_fixed = self.batch is not None and self.batch > 1
        return is_fixed or (self.batch is None and self._net.provider != "cpu")

    @property
    def at_once(self) -> int:
        """How many pictures are worth being taken together.

        On the CPU a picture for each core: more would only make the first ones wait for the last.
        """
        if self._net.provider != "cpu":
            return self._config.max_batch
        is_asked_for = "max_batch" in self._config.model_fields_set
        if self.batch is None and is_asked_for:
            return self._config.max_batch
        return self._net.threads * (self.batch or 1)

    @property
    def provider(self) -> str:
        """What runs the net."""
        return self._net.provider

    @property
    def fell_back(self) -> str | None:
        """Why what runs the net is not what was wanted first."""
        return self._net.fell_back

    @property
    def format(self) -> str:
        """What the file was recognised as."""
        return self._layout.format

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked; a picture that cannot be used fails alone."""
        problems = [problem_with_pixels(pixels) for pixels, _ in batch]
        wanted = [self._wants_a_look(tasks) for _, tasks in batch]
        looked_at = [
            pixels
            for (pixels, _), problem, is_wanted in zip(batch, problems, wanted, strict=True)
            if problem is None and is_wanted
        ]
        looks = iter(self._looks(looked_at))
        answers: list[list[Answer]] = []
        for (_, tasks), problem, is_wanted in zip(batch, problems, wanted, strict=True):
            found = next(looks) if problem is None and is_wanted else problem or ""
            answers.append([self._answer(found, task) for task in tasks])
        return answers

    def close(self) -> None:
        """End its threads."""
        self._net.close()

    def _known(self) -> tuple[ImageInput, Layout, Mapping[int, str]]:
        config, net = self._config, self._net
        surface = Surface(net.inputs, net.outputs, net.metadata)
        self._image = image_input(surface)
        size_wh = net_size(surface, config.sides)
        # Refused before it is run: not a detector, or not the one that was stated.
        recognised(surface, config.format, config.classes, config.sides)
        blank = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
        self._feed = self._feed_of("yolov8", size_wh)
        try:
            shapes = [output.shape for output in self._run([self._feed.fed(blank)])]
        except Exception as error:  # the library's errors have no common class
            raise FormatError(
                "model",
                f"fails on a blank picture of {size_wh[0]}x{size_wh[1]}: {plain_error(error)}",
            ) from error
        surface = with_shapes(surface, shapes)
        layout = recognised(surface, config.format, config.classes, config.sides)
        if layout is None:
            raise FormatError("format", "is not recognised; say what it is with `format`")
        names = class_names(surface, layout, config.classes)
        self._feed = self._feed_of(layout.format, size_wh)
        batch = "any number of pictures" if self._image.batch is None else self._image.batch
        logger.info(
            "%s is %s with %s, %dx%d, %s at a time, on %s",
            config.model.name,
            layout.format,
            counted(len(names)),
            *size_wh,
            batch,
            net.provider,
        )
        return self._image, layout, names

    def _feed_of(self, name: str, size_wh: tuple[int, int]) -> Feed:
        config, usual = self._config, FORMATS[name]
        fit = config.fit or usual.fit
        if config.fit == "letterbox" and "letterbox" in usual.fit:
            fit = usual.fit
        mean, std = config.mean or usual.mean, config.std or usual.std
        return Feed(
            size_wh,
            fit,
            (config.colour or usual.colour) == "bgr",
            255.0 if (config.pixel_range or usual.pixel_range) == "0..1" else 1.0,
            None if mean is None else np.asarray(mean, np.float32),
            None if std is None else np.asarray(std, np.float32),
            self._image.channels_first,
            np.dtype(_TYPES[self._image.type]),
        )

    def _wants_a_look(self, tasks: Sequence[Task]) -> bool:
        return any(self._problem_with(task) is None for task in tasks)

    def _looks(self, pictures: Sequence[Pixels]) -> "Iterable[_Sought | str]":
        """What is in each picture, or why that cannot be said."""
        fixed = self._image.batch
        if fixed is not None:
            together = fixed
        elif self._net.provider == "cpu":
            together = max(1, -(-len(pictures) // self._net.threads))
        else:
            together = max(1, len(pictures))
        parts = [pictures[at : at + together] for at in range(0, len(pictures), together)]
        for part in self._net.side_by_side(self._look, parts):
            yield from part

    def _look(self, pictures: Sequence[Pixels]) -> "list[_Sought | str]":
        """A pass of the net."""
        fed: list[NDArray[Any] | str] = []
        for pixels in pictures:
            try:
                fed.append(self._feed.fed(pixels))
            except cv2.error as error:
                fed.append(f"the picture cannot be used: {' '.join(str(error).split())}")
        inputs = [one for one in fed if not isinstance(one, str)]
        if not inputs:
            return [one if isinstance(one, str) else "" for one in fed]
        outputs = self._run(inputs)
        taken = [outputs[number] for number in self._layout.outputs]
        given = Pass(taken, self._layout, self._feed.size_wh, self._config.min_score)
        found: list[_Sought | str] = []
        index = 0
        for pixels, one in zip(pictures, fed, strict=True):
            if isinstance(one, str):
                found.append(one)
                continue
            try:
                found.append(self._sought(read(given, index), pixels))
            except BadOutputError as problem:
                found.append(f"{self._config.model.name}: {problem}")
            index += 1
        return found

    def _run(self, pictures: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        count = self._image.batch or len(pictures)
        batch = np.stack(pictures)
        if len(pictures) < count:  # a net of a fixed batch: what is missing is black
            batch = np.concatenate(
                [batch, np.zeros((count - len(batch), *batch.shape[1:]), batch.dtype)]
            )
        inputs: dict[str, NDArray[Any]] = {self._image.name: batch}
        width, height = self._feed.size_wh
        for tensor in self._net.inputs:
            dtype = _INTEGERS.get(tensor.type, np.int64)
            if tensor.name in SIZES:
                sides = (asked_side(self._feed.size_wh),) * 2
                inputs[tensor.name] = np.full((count, 2), sides, dtype)
            elif tensor.name in PADDLE_SIZES:
                values = (height, width) if tensor.name == "im_shape" else (1, 1)
                inputs[tensor.name] = np.full((count, 2), values, dtype)
            elif tensor.name == MASK:
                # Some files leave the picture's size open, and the mask's not.
                down, across = (*tensor.shape[1:], None, None)[:2]
                inputs[tensor.name] = np.ones((count, down or height, across or width), dtype)
        return self._net.run(**inputs)

    def _sought(self, found: Found, pixels: Pixels) -> _Sought:
        """The things in a picture, best first, no more than asked for."""
        if self._layout.reader in NEEDS_NMS:
            found = without_doubles(found, self._config.nms_iou)
        boxes = self._feed.in_picture(found.boxes_xyxy, *pixels.shape[:2])
        has_area = (boxes[:, 2:] - boxes[:, :2] > _LEAST_SIDE).all(axis=1)
        boxes, classes = boxes[has_area], found.classes[has_area]
        scores = np.minimum(found.scores[has_area], 1.0)
        order = np.argsort(-scores, kind="stable")
        most = self._config.max_detections
        is_full = found.is_full or len(order) > most
        order = order[:most]
        if self._layout.width is None and not isinstance(self._config.classes, Mapping):
            # Its outputs do not tell how many classes it has: here it shows.
            astray = classes[order][~np.isin(classes[order], list(self._names_by_number))]
            if len(astray):
                raise BadOutputError(
                    f"the net found class number {astray[0]}, and {len(self._names)} are named, "
                    "the first as 0; list all of them in its order with `classes`"
                )
        return _Sought(boxes[order], scores[order], classes[order], is_full)

    def _problem_with(self, task: Task) -> str | None:
        label = subject_label(task)
        if label is not None:
            if plain(label) in self._numbers:
                return None
            return unknown_label(label, self._names, self._config.model.name)
        return self._config.problem_with(task)

    def _answer(self, found: "_Sought | str", task: Task) -> Answer:
        problem = self._problem_with(task)
        if problem is None and isinstance(found, str):
            problem = found
        label = subject_label(task)
        if problem is not None or isinstance(found, str) or label is None:
            return Failed(task.engine, problem or "the task has no label")
        (indices,) = np.nonzero(np.isin(found.classes, self._numbers[plain(label)]))
        boxes: list[Box] = []
        limit = task.max_objects if isinstance(task, Detect | Point | Count) else 0
        for index in indices[:limit]:
            x_min, y_min, x_max, y_max = found.boxes[index].tolist()
            boxes.append((x_min, y_min, x_max, y_max))
        scores = tuple(found.scores[indices[:limit]].tolist())
        is_full = found.is_full or len(indices) > limit
        match task:
            case Detect(engine=engine):
                return Boxes(engine, tuple(boxes), scores, is_full)
            case Point(engine=engine):
                return Points(engine, tuple(map(centre, boxes)), scores, is_full)
            case Count(engine=engine):
                return Number(engine, len(boxes), saturated=is_full)
            case _:
                return Failed(task.engine, "the onnx engine only finds things")
