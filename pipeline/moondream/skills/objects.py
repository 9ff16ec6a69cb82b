"""Detect and point: objects one after the other, until the model says there are no more."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.device.reads import Read, RowKind
from pipeline.moondream.network.region import coord_values, size_values
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.skills.base import Language, Skill, Turn, need_count, need_words
from pipeline.moondream.types import DetectRequest, DetectResult, PointRequest, PointResult

BOX_STEPS = 3  # x, y, size
POINT_STEPS = 2  # x, y
# Boxes that share this much of their joint area are one object named twice: two real objects in
# a crowd rarely share more than seven tenths.
SAME_OBJECT_IOU = 0.8


class ObjectSkill(Skill):
    """What boxes and points have in common: collecting objects with their probabilities."""

    def __init__(
        self,
        language: Language,
        ids: Sequence[int],
        max_objects: int,
        kind: Literal[RowKind.DETECT, RowKind.POINT],
    ) -> None:
        prompt = Prompt(tuple(ids))
        self._steps = BOX_STEPS if kind is RowKind.DETECT else POINT_STEPS
        fitting = language.room(prompt, has_picture=True) // self._steps
        if fitting < 1:
            raise language.too_long(prompt, True, "an object", self._steps)
        self._most = min(need_count("max_objects", max_objects), fitting)
        super().__init__(prompt, self._most * self._steps)
        self._end = language.release.ids.eos
        self._kind = kind
        self._more = 0.0
        self._bins: list[tuple[int, ...]] = []
        self._scores: list[float] = []

    def begin(self, reads: Sequence[Read]) -> Turn | None:
        """Start with the first object, if there is one."""
        return self._next(reads[-1])

    def advance(self, reads: Sequence[Read]) -> Turn | None:
        """Take one object, and go on if another one follows."""
        reads = reads[: self._steps]
        bins = [int(read.coord_bin) for read in reads[:POINT_STEPS]]
        masses = [read.coord_mass for read in reads[:POINT_STEPS]]
        for read in reads[POINT_STEPS:]:
            bins += [int(read.width_bin), int(read.height_bin)]
            masses += [read.width_mass, read.height_mass]
        self._bins.append(tuple(bins))
        self._scores.append(self._more * math.prod(masses) ** (1 / len(masses)))
        return self._next(reads[-1], self._steps)

    @property
    def completion_tokens(self) -> int:
        """The coordinates and sizes so far."""
        return len(self._bins) * self._steps

    @property
    def _saturated(self) -> bool:
        return len(self._bins) >= self._most

    def _next(self, read: Read, fed: int = 0) -> Turn | None:
        self._more = read.more
        if read.next_token == self._end or self._saturated:
            return None
        return Turn(self._kind, fed=fed)

    def _collected(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        width = 2 * POINT_STEPS if self._kind is RowKind.DETECT else POINT_STEPS
        bins = np.array(self._bins, dtype=np.int64).reshape(-1, width)
        return bins, np.array(self._scores, dtype=np.float64)


class DetectSkill(ObjectSkill):
    """Boxes around what a label names."""

    def __init__(self, language: Language, request: DetectRequest) -> None:
        need_words("label", request.label)
        ids = language.release.detect_prompt(language.tokenizer, request.label)
        super().__init__(language, ids, request.max_objects, RowKind.DETECT)
        region = language.dims.region
        self._coords = coord_values(region.coord_bins).numpy().astype(np.float64)
        sizes = size_values(region.size_bins, language.release.size_decoding)
        self._sizes = sizes.numpy().astype(np.float64)
        self._raw = request.raw

    def result(self) -> DetectResult:
        """Return the boxes so far."""
        bins, scores = self._collected()
        centre, half = self._coords[bins[:, :2]], self._sizes[bins[:, 2:]] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        if not self._raw:
            boxes = boxes.clip(0, 1)
            kept = distinct(boxes, scores)
            boxes, scores, bins = boxes[kept], scores[kept], bins[kept]
        return DetectResult(boxes, scores, bins, self._saturated)


class PointSkill(ObjectSkill):
    """Points on what a label names."""

    def __init__(self, language: Language, request: PointRequest) -> None:
        need_words("label", request.label)
        ids = language.release.point_prompt(language.tokenizer, request.label)
        super().__init__(language, ids, request.max_objects, RowKind.POINT)
        self._coords = coord_values(language.dims.region.coord_bins).numpy().astype(np.float64)

    def result(self) -> PointResult:
        """Return the points so far."""
        bins, scores = self._collected()
        return PointResult(self._coords[bins], scores, bins, self._saturated)


def distinct(boxes_xyxy: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices, in order, of boxes that have an area and do not repeat a better box."""
    size = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).clip(0)
    area = size.prod(axis=1)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if area[index] <= 0:
            continue
        low = np.maximum(boxes_xyxy[kept, :2], boxes_xyxy[index, :2])
        high = np.minimum(boxes_xyxy[kept, 2:], boxes_xyxy[index, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        if not (shared >= SAME_OBJECT_IOU * (area[kept] + area[index] - shared)).any():
            kept.append(int(index))
    return np.array(sorted(kept), dtype=np.int64)
