"""The bundled clip as a scene: the engine's detections, its truth, lines and zones."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.counting.scenes import Crossing, Rows, Scene
from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box, Line, Polygon
from pipeline.core.tasks import Detect
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines.coco import CocoConfig

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "configs" / "media" / "plaza.mp4"
TRUTH: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "plaza.truth.json").read_text())
CACHE = ROOT / "build" / "counting"
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
FPS = 10
ASPECT = 768 / 576
LOWEST_SCORE = 0.1
"""What is kept of the detections; every run takes its own share of it."""

TRUE_LINES = {line["name"]: Line(tuple(line["from"]), tuple(line["to"])) for line in TRUTH["lines"]}
OTHER_LINES = {
    **{f"down {x}": Line((x, 0.1), (x, 1.0)) for x in (0.25, 0.4, 0.6, 0.75)},
    **{f"over {y}": Line((0.0, y), (1.0, y)) for y in (0.35, 0.43, 0.62, 0.72)},
    "slope 1": Line((0.1, 0.2), (0.9, 0.9)),
    "slope 2": Line((0.9, 0.2), (0.1, 0.9)),
    "short 1": Line((0.3, 0.3), (0.7, 0.6)),
    "short 2": Line((0.3, 0.75), (0.75, 0.4)),
}
"""Lines nobody counted by hand: what is counted at fewer frames is compared with 10 a second."""
LAWN = Polygon(((0.05, 0.35), (0.4, 0.35), (0.4, 0.62), (0.05, 0.62)))
"""A zone around a boulder that the detector takes for a person in most looks."""
LAWN_TRUTH = 1.075
"""How many are on it on the mean of all frames, by the public annotation of this scene."""


def scene(tiles: str = "1x1") -> Scene:
    """The clip; detections from score `LOWEST_SCORE` up."""
    zones = {"crossroads": Polygon(tuple(tuple(p) for p in TRUTH["zones"][0]["polygon"]))}
    return Scene(
        name="plaza",
        label="person",
        fps=FPS,
        aspect=ASPECT,
        frames=TRUTH["frames"],
        lines={**TRUE_LINES, **OTHER_LINES},
        zones={**zones, "lawn": LAWN},
        truth=np.zeros((0, 6), np.float32),
        detections=detections(tiles),
        crossings={
            line["name"]: tuple(
                Crossing(made["t"], 0, "in" if made["direction"] == "left_to_right" else "out")
                for made in line["crossings"]
            )
            for line in TRUTH["lines"]
        },
        occupancy={
            "crossroads": TRUTH["zones"][0]["mean_occupancy"],
            "lawn": LAWN_TRUTH,
        },
    )


def detections(tiles: str, kept: Box = WHOLE) -> Rows:
    """The engine's persons in every frame of the clip, or of what is kept of it; computed once,
    then read from `build/`.
    """
    path = cached(tiles, kept)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_detect(tiles, kept)))
    rows = [
        (round(at * FPS), score, *box)
        for at, boxes, scores in json.loads(path.read_text())
        for box, score in zip(boxes, scores, strict=True)
    ]
    return np.array(rows, np.float32).reshape(-1, 6)


def cached(tiles: str, kept: Box = WHOLE) -> Path:
    """Where they are kept; after a change of the engine the file has to go."""
    name = tiles if kept == WHOLE else f"crop_{'_'.join(f'{edge:g}' for edge in kept)}"
    return CACHE / f"plaza_{name}.json"


def _detect(tiles: str, kept: Box) -> list[tuple[float, list[Box], list[float]]]:
    net = Coco(CocoConfig(min_score=LOWEST_SCORE, tiles=tiles))
    task = Detect("people", "fast", "person", max_objects=200)
    found = []
    with av.open(str(CLIP)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            whole = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            left, right = (round(edge * whole.shape[1]) for edge in kept[::2])
            upper, lower = (round(edge * whole.shape[0]) for edge in kept[1::2])
            pixels = np.ascontiguousarray(whole[upper:lower, left:right])
            (answer,) = net.answer([(pixels, [task])])[0]
            assert isinstance(answer, Boxes)
            found.append((index / FPS, list(answer.boxes_xyxy), list(answer.scores)))
    return found
