"""Answers Detect, Count and Point for the 80 COCO names with a small bundled net on the CPU."""

import difflib
import importlib
import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pipeline.core.tasks import Task, subject_label
from pipeline.inference.engines._coco import MEANT, NAMES, SIDE, WHOLE
from pipeline.inference.engines.base import EngineConfigBase

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.inference.engines.batching import BatchingEngine

MAX_TILES = 16
"""More passes than this take over a second a frame on two cores."""


def _tiles(value: str) -> str:
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", value)
    if match is None:
        raise ValueError(f"{value!r} is not valid; write columns x rows like 1x1, 2x1 or 3x2")
    if int(match[1]) * int(match[2]) > MAX_TILES:
        raise ValueError(f"{value} is more than {MAX_TILES} tiles; each costs a pass of the net")
    return value


def columns_rows(tiles: str) -> tuple[int, int]:
    """How many tiles a picture has across and down."""
    columns, rows = tiles.split("x")
    return int(columns), int(rows)


class CocoConfig(EngineConfigBase):
    """A small detector for 80 things (person, car, dog, ...) that needs no GPU and no download."""

    type: Literal["coco"] = "coco"
    min_score: float = Field(default=0.3, gt=0.0, lt=1.0)
    """Boxes below this score are not reported. Trackers start on surer boxes only, and follow them
    down to this score."""
    count_score: float = Field(default=0.4, gt=0.0, lt=1.0)
    """The lowest score in answers to Count and Point, which no tracker checks (at 0.4, nine in ten
    are right)."""
    tiles: Annotated[str, AfterValidator(_tiles)] = "1x1"
    """Columns x rows of overlapping parts that are examined in addition to the whole picture, to
    find small objects; `2x1` costs three times as much as `1x1`."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """How many processor cores it may use, each for a picture or a tile; by default all that the
    process may use."""

    operating: ClassVar[frozenset[str]] = EngineConfigBase.operating | {"threads"}

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, with the way out; None when it can."""
        label = subject_label(task)
        if label is None:
            kind = type(task).__name__.lower()
            return (
                f"the coco engine finds things and cannot answer {kind!r}; "
                "use an engine that answers in words, such as moondream"
            )
        if class_of(label) is not None:
            return None
        near = _nearest(label)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        else:
            likest = difflib.get_close_matches(label.lower(), NAMES, n=3, cutoff=0.0)
            parts = WHOLE.get(label.lower(), ())
            likest = list(dict.fromkeys((*parts, *likest)))[:3]
            hint = f"the nearest are {', '.join(likest)}."
        return (
            f"{label!r} is not one of the coco engine's 80 names; {hint} "
            "An engine such as {type: moondream} takes any label"
        )

    @property
    def max_side(self) -> int:
        """Twice the net's side for each tile, so the short side still fills the net up to 2:1."""
        return 2 * SIDE * max(columns_rows(self.tiles))

    @property
    def cut_side(self) -> int:
        """The side of the net's input."""
        return SIDE

    @property
    def looks_at_parts(self) -> str | None:
        """Its tiles, where there are several."""
        return None if self.tiles == "1x1" else f"tiles: {self.tiles}"

    def build(self, clock: "Clock | None" = None) -> "BatchingEngine":
        """Load the net; raises EngineError when it cannot be read."""
        # Imported by name, so that a check of a file need not wait for what it takes to answer.
        detector = importlib.import_module("pipeline.inference.engines._coco.detector")
        built: BatchingEngine = detector.build(self, clock)
        return built


def class_of(label: str) -> int | None:
    """The number of the class that a label names; None for none of them."""
    name = " ".join(label.lower().split())
    return NAMES.index(name) if name in NAMES else None


def _nearest(label: str) -> list[str]:
    word = " ".join(label.lower().split())
    single = word.removesuffix("s")
    known = MEANT.get(word) or MEANT.get(single)
    if known:
        return list(known)
    if single in NAMES:
        return [single]
    return difflib.get_close_matches(word, NAMES, n=3, cutoff=0.6)
