"""The bundled net at work, through OpenCV."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.clock import Clock
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box, centre
from pipeline.core.tasks import Count, Detect, Point, Task
from pipeline.inference.engines._coco import SIDE, WEIGHTS
from pipeline.inference.engines._coco.tiles import Tile, kept, placed, tiles_of
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.coco import CocoConfig, class_of, columns_rows

if TYPE_CHECKING:
    import numpy as np
    from cv2.dnn import Net
    from numpy.typing import NDArray

WIDEST = 1.5
"""The net was trained on pictures squeezed to a square that were seldom wider or taller than this.
In a picture of 2:1 that is squeezed it finds half of the people, and all of them in one that is
filled up with black to this shape (benchmarks/counting.md)."""
MOST_FILLED = 0.5
"""No more of the net's input than this is filled up: what is very wide needs tiles."""
NET_ROWS = 100
"""The most objects the net lists in one pass."""


def build(config: CocoConfig, clock: Clock | None) -> BatchingEngine:
    """The engine, with its net loaded; raises EngineError when it cannot be read."""
    # The net takes one picture at a time: to hold back the first of a batch gains nothing.
    return BatchingEngine(Coco(config), 1, 0.0, clock)


class Coco:
    """CenterNet on MobileNetV3 (see `_coco/README.md`) through OpenCV's dnn.

    About 65 ms a pass on two cores. The net takes one picture at a time and is not safe for
    threads, so each engine object has one and a lock before it.
    """

    def __init__(self, config: CocoConfig) -> None:
        columns, rows = columns_rows(config.tiles)
        self._config = config
        self._tiles = tiles_of(columns, rows)
        self._net = _load()
        self._lock = threading.Lock()

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that the net makes use of."""
        return self._config.max_side

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked; a picture the net cannot take fails alone."""
        return [self._answers(pixels, tasks) for pixels, tasks in batch]

    def close(self) -> None:
        """Do nothing: the garbage collector frees everything."""

    def _answers(self, pixels: Pixels, tasks: Sequence[Task]) -> list[Answer]:
        import cv2

        try:
            found = self._find(pixels)
        except (ValueError, cv2.error) as error:
            reason = f"the picture cannot be used: {' '.join(str(error).split())}"
            return [Failed(task.engine, reason) for task in tasks]
        return [self._answer(found, task) for task in tasks]

    def _find(self, pixels: Pixels) -> "_CocoBoxes":
        import numpy as np

        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise ValueError(f"expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        with self._lock:
            passes = [self._look(pixels, tile) for tile in self._tiles]
        return _merged(passes, self._tiles, self._config.min_score)

    def _look(self, pixels: Pixels, tile: Tile) -> "NDArray[np.float64]":
        import cv2
        import numpy as np

        height, width = pixels.shape[:2]
        rows = slice(round(tile.y_min * height), max(round(tile.y_max * height), 1))
        columns = slice(round(tile.x_min * width), max(round(tile.x_max * width), 1))
        part = pixels[rows, columns]
        shrinks = part.shape[0] > 2 * SIDE or part.shape[1] > 2 * SIDE
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        high, wide = part.shape[:2]
        columns_used = round(SIDE * min(1.0, max(WIDEST * wide / high, 1.0 - MOST_FILLED)))
        rows_used = round(SIDE * min(1.0, max(WIDEST * high / wide, 1.0 - MOST_FILLED)))
        filled = np.zeros((1, SIDE, SIDE, 3), np.float32)
        filled[0, :rows_used, :columns_used] = cv2.resize(
            part, (columns_used, rows_used), interpolation=how
        )
        self._net.setInput(filled)
        found: NDArray[np.float64] = np.array(self._net.forward()[0], np.float64)
        found[:, 0:4:2] *= SIDE / columns_used
        found[:, 1:4:2] *= SIDE / rows_used
        return found

    def _answer(self, found: "_CocoBoxes", task: Task) -> Answer:
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


class _CocoBoxes:
    """Everything found in one picture, best first."""

    def __init__(
        self,
        boxes: "NDArray[np.float64]",
        scores: "NDArray[np.float64]",
        classes: "NDArray[np.int64]",
        full: bool,
    ) -> None:
        self._boxes, self._scores, self._classes, self._full = boxes, scores, classes, full

    def of(
        self, label: str, limit: int, min_score: float
    ) -> tuple[tuple[Box, ...], tuple[float, ...], bool]:
        """Boxes and scores of a label, best first, and whether there may be more."""
        import numpy as np

        wanted = (self._classes == class_of(label)) & (self._scores >= min_score)
        indices = np.flatnonzero(wanted)
        boxes: list[Box] = []
        for index in indices[:limit]:
            x_min, y_min, x_max, y_max = self._boxes[index].tolist()
            boxes.append((x_min, y_min, x_max, y_max))
        scores = tuple(self._scores[indices[:limit]].tolist())
        return tuple(boxes), scores, self._full or len(indices) > limit


def _merged(
    passes: "Sequence[NDArray[np.float64]]", tiles: Sequence[Tile], min_score: float
) -> _CocoBoxes:
    import numpy as np

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
    return _CocoBoxes(every[stay, :4], every[stay, 4], classes[stay], full)


def _load() -> "Net":
    import cv2

    if not WEIGHTS.is_file():
        raise EngineError(f"{WEIGHTS} is missing; install moonwatch again")
    try:
        return cv2.dnn.readNetFromONNX(str(WEIGHTS))
    except cv2.error as error:
        raise EngineError(
            f"{WEIGHTS.name} cannot be read by OpenCV {cv2.__version__}; 5.0 or newer is needed"
        ) from error
