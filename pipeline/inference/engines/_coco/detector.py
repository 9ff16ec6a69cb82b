"""The bundled net at work, through ONNX Runtime."""

from collections.abc import Callable, Sequence
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.clock import Clock
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box, centre
from pipeline.core.tasks import Count, Detect, Point, Task
from pipeline.inference.engines._coco import SIDE, WEIGHTS
from pipeline.inference.engines._coco.tiles import Tile, kept, placed, tiles_of
from pipeline.inference.engines._onnx.engine import NetEngine
from pipeline.inference.engines._onnx.pictures import problem_with_pixels
from pipeline.inference.engines._onnx.session import Net
from pipeline.inference.engines.coco import CocoConfig, class_of, columns_rows

WIDEST = 1.5
"""The net was trained on pictures squeezed to a square that were seldom wider or taller than this.
In a picture of 2:1 that is squeezed it finds half of the people, and all of them in one that is
filled up with black to this shape (benchmarks/counting.md)."""
MOST_FILLED = 0.5
"""No more of the net's input than this is filled up: what is very wide needs tiles."""
NET_ROWS = 100
"""The most objects the net lists in one pass."""


def build(config: CocoConfig, clock: Clock | None) -> NetEngine:
    """The engine, with its net loaded; raises EngineError when it cannot be read."""
    coco = Coco(config)
    # The net takes one picture at a time, so the first of a batch need not wait for others.
    return NetEngine(coco, coco.at_once, 0.0, clock)


class Coco:
    """CenterNet on MobileNetV3 (see `_coco/README.md`) through ONNX Runtime.

    About 45 ms a pass on one core. The net takes one picture at a time; pictures and tiles are
    examined side by side, each on a core.
    """

    def __init__(self, config: CocoConfig) -> None:
        columns, rows = columns_rows(config.tiles)
        self._config = config
        self._tiles = tiles_of(columns, rows)
        if not WEIGHTS.is_file():
            raise EngineError(f"{WEIGHTS} is missing; install moonwatch again")
        self._net = Net(WEIGHTS, threads=config.threads)
        self._input = self._net.inputs[0].name

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that the net makes use of."""
        return self._config.max_side

    @property
    def provider(self) -> str:
        """What runs the net."""
        return self._net.provider

    @property
    def fell_back(self) -> str | None:
        """Nothing: every build of the library has it."""
        return self._net.fell_back

    @property
    def at_once(self) -> int:
        """How many pictures are worth being taken together."""
        return self._net.threads

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked; a picture the net cannot take fails alone."""
        looks = [(pixels, tile) for pixels, _ in batch for tile in self._tiles]
        passes = iter(self._net.side_by_side(lambda one: self._look(*one), looks))
        answers: list[list[Answer]] = []
        for _, tasks in batch:
            rows, problem = [], None
            for given in islice(passes, len(self._tiles)):
                if isinstance(given, str):
                    problem = given
                else:
                    rows.append(given)
            if problem is not None:
                answers.append([Failed(task.engine, problem) for task in tasks])
                continue
            found = merged(rows, self._tiles, self._config.min_score)
            answers.append([self._answer(found, task) for task in tasks])
        return answers

    def close(self) -> None:
        """End its threads."""
        self._net.close()

    def _look(self, pixels: Pixels, tile: Tile) -> NDArray[np.float64] | str:
        problem = problem_with_pixels(pixels)
        if problem is not None:
            return problem
        try:
            return look(self._run, pixels, tile)
        except cv2.error as error:
            return f"the picture cannot be used: {' '.join(str(error).split())}"

    def _run(self, filled: NDArray[np.float32]) -> NDArray[np.float32]:
        (rows,) = self._net.run(**{self._input: filled})
        return rows

    def _answer(self, found: "CocoBoxes", task: Task) -> Answer:
        problem = self._config.problem_with(task)
        if problem is not None:
            return Failed(task.engine, problem)
        match task:
            case Detect(engine=engine, label=label, max_objects=limit):
                boxes, scores, full = found.of(label, limit, self._config.min_score)
                return Boxes(engine, boxes, scores, full)
            case Point(engine=engine, label=label, max_objects=limit):
                boxes, scores, full = found.of(label, limit, self._config.count_score)
                return Points(engine, tuple(centre(box) for box in boxes), scores, full)
            case Count(engine=engine, label=label, max_objects=limit):
                boxes, _, full = found.of(label, limit, self._config.count_score)
                return Number(engine, len(boxes), saturated=full)
            case _:
                return Failed(task.engine, "the coco engine only finds things")


class CocoBoxes:
    """Everything found in one picture, best first."""

    def __init__(
        self,
        boxes: NDArray[np.float64],
        scores: NDArray[np.float64],
        classes: NDArray[np.int64],
        full: bool,
    ) -> None:
        self.boxes, self.scores, self.classes, self.full = boxes, scores, classes, full

    def of(
        self, label: str, limit: int, min_score: float
    ) -> tuple[tuple[Box, ...], tuple[float, ...], bool]:
        """Boxes and scores of a label, best first, and whether there may be more."""
        wanted = (self.classes == class_of(label)) & (self.scores >= min_score)
        indices = np.flatnonzero(wanted)
        boxes: list[Box] = []
        for index in indices[:limit]:
            x_min, y_min, x_max, y_max = self.boxes[index].tolist()
            boxes.append((x_min, y_min, x_max, y_max))
        scores = tuple(self.scores[indices[:limit]].tolist())
        return tuple(boxes), scores, self.full or len(indices) > limit


def look(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]], pixels: Pixels, tile: Tile
) -> NDArray[np.float64]:
    """The net's rows for a tile of a picture, in pixels of its input: x0, y0, x1, y1, score, class.

    `run` gives what the net says of an input.
    """
    height, width = pixels.shape[:2]
    rows = slice(round(tile.y_min * height), max(round(tile.y_max * height), 1))
    columns = slice(round(tile.x_min * width), max(round(tile.x_max * width), 1))
    filled, (columns_used, rows_used) = net_input(pixels[rows, columns])
    found = np.array(run(filled)[0], np.float64)
    found[:, 0:4:2] *= SIDE / columns_used
    found[:, 1:4:2] *= SIDE / rows_used
    return found


def merged(
    passes: Sequence[NDArray[np.float64]], tiles: Sequence[Tile], min_score: float
) -> CocoBoxes:
    """What the tiles' rows say of the whole picture."""
    rows, cuts, full = [], [], False
    for tile, found in zip(tiles, passes, strict=True):
        sure = found[np.isfinite(found).all(axis=1) & (found[:, 4] >= min_score)]
        full = full or len(sure) == NET_ROWS
        sure[:, :4] = np.clip(sure[:, :4] / SIDE, 0.0, 1.0)
        sure[:, :4], cut = placed(tile, sure[:, :4])
        rows.append(sure)
        cuts.append(cut)
    every, cut = np.concatenate(rows), np.concatenate(cuts)
    order = np.argsort(-every[:, 4], kind="stable")
    every, cut = every[order], cut[order]
    has_area = (every[:, 2] > every[:, 0]) & (every[:, 3] > every[:, 1])
    every, cut = every[has_area], cut[has_area]
    classes = every[:, 5].round().astype(np.int64)
    stay = kept(every[:, :4], classes, cut)
    return CocoBoxes(every[stay, :4], every[stay, 4], classes[stay], full)


def net_input(part: Pixels) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """What the net is given to see a picture or a part of one, and the columns and rows used."""
    shrinks = part.shape[0] > 2 * SIDE or part.shape[1] > 2 * SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    high, wide = part.shape[:2]
    columns_used = round(SIDE * min(1.0, max(WIDEST * wide / high, 1.0 - MOST_FILLED)))
    rows_used = round(SIDE * min(1.0, max(WIDEST * high / wide, 1.0 - MOST_FILLED)))
    filled = np.zeros((1, SIDE, SIDE, 3), np.float32)
    filled[0, :rows_used, :columns_used] = cv2.resize(
        part, (columns_used, rows_used), interpolation=how
    )
    return filled, (columns_used, rows_used)
