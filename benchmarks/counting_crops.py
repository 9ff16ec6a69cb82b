"""The bundled clip cut off at its edges, so that they run through people: what is still counted.

`python -m benchmarks.counting_crops` prints the table of counting.md's section "Cut at the edges".
"""

import json
from dataclasses import dataclass

import av
import numpy as np

from benchmarks.counting_scene import CACHE, CLIP, CLIP_FPS, LOWEST_SCORE, Look
from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box
from pipeline.core.tasks import Detect
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines.coco import CocoConfig


@dataclass(frozen=True, slots=True)
class Crop:
    """What is kept of the picture, in 0..1 of the whole one."""

    name: str
    kept: Box


CROPS = (
    Crop("lower 35 % off", (0.0, 0.0, 1.0, 0.65)),
    Crop("lower 50 % off", (0.0, 0.0, 1.0, 0.5)),
    Crop("left 30 % off", (0.3, 0.0, 1.0, 1.0)),
    Crop("right 30 % off", (0.0, 0.0, 0.7, 1.0)),
    Crop("upper 30 % off", (0.0, 0.3, 1.0, 1.0)),
)


def detections(crop: Crop) -> list[Look]:
    """The engine's persons in every cropped frame; computed once, then read from `build/`."""
    path = CACHE / f"plaza_crop_{'_'.join(f'{edge:g}' for edge in crop.kept)}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_detect(crop)))
    return [
        Look(at, tuple(tuple(box) for box in boxes), tuple(scores))
        for at, boxes, scores in json.loads(path.read_text())
    ]


def _detect(crop: Crop) -> list[tuple[float, list[Box], list[float]]]:
    net = Coco(CocoConfig(min_score=LOWEST_SCORE))
    task = Detect("people", "fast", "person", max_objects=200)
    found = []
    with av.open(str(CLIP)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            whole = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            height, width = whole.shape[:2]
            left, upper, right, lower = crop.kept
            pixels = np.ascontiguousarray(
                whole[
                    round(upper * height) : round(lower * height),
                    round(left * width) : round(right * width),
                ]
            )
            (answer,) = net.answer([(pixels, [task])])[0]
            assert isinstance(answer, Boxes)
            found.append((index / CLIP_FPS, list(answer.boxes_xyxy), list(answer.scores)))
    return found
