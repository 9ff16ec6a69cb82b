"""The counting benchmark's scene: the clip's detections, its truth, and what is counted on it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box, Line, Polygon
from pipeline.core.rules import Observation, Verdict
from pipeline.core.tasks import Detect
from pipeline.core.tracks import Track
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines.coco import CocoConfig
from pipeline.rules.at_work.line_crossing import LineCrossing
from pipeline.rules.at_work.occupancy import Occupancy
from pipeline.rules.context import RuleContext
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "configs" / "media" / "plaza.mp4"
TRUTH: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "plaza.truth.json").read_text())
CACHE = ROOT / "build" / "counting"
CLIP_FPS = 10
ASPECT = 768 / 576
LOWEST_SCORE = 0.1
"""What is kept of the detections; every run takes its own share of it."""

TRUE_LINES = {line["name"]: Line(tuple(line["from"]), tuple(line["to"])) for line in TRUTH["lines"]}
TRUE_COUNTS = {
    line["name"]: (line["left_to_right"], line["right_to_left"]) for line in TRUTH["lines"]
}
TRUE_CROSSINGS = sum(sum(pair) for pair in TRUE_COUNTS.values())
ZONE = Polygon(tuple(tuple(corner) for corner in TRUTH["zones"][0]["polygon"]))
TRUE_OCCUPANCY: float = TRUTH["zones"][0]["mean_occupancy"]
OTHER_LINES = {
    **{f"down {x}": Line((x, 0.1), (x, 1.0)) for x in (0.25, 0.4, 0.6, 0.75)},
    **{f"over {y}": Line((0.0, y), (1.0, y)) for y in (0.35, 0.43, 0.62, 0.72)},
    "slope 1": Line((0.1, 0.2), (0.9, 0.9)),
    "slope 2": Line((0.9, 0.2), (0.1, 0.9)),
    "short 1": Line((0.3, 0.3), (0.7, 0.6)),
    "short 2": Line((0.3, 0.75), (0.75, 0.4)),
}
"""Lines nobody counted by hand: what is counted at fewer frames is compared with 10 a second."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the detector found in one frame."""

    at: float
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]

    def above(self, score: float) -> "Look":
        """Only the boxes from a score up."""
        kept = [pair for pair in zip(self.boxes, self.scores, strict=True) if pair[1] >= score]
        return Look(self.at, tuple(box for box, _ in kept), tuple(score for _, score in kept))


Update = Callable[[float, Sequence[Box], Sequence[float]], Sequence[Track]]


@dataclass(slots=True)
class Outcome:
    """What one run counted."""

    counts: dict[str, tuple[int, int]]
    occupancy: float
    ids: int
    crossings: dict[str, list[tuple[float, str, int]]] = field(default_factory=dict)
    """(seconds, direction, track) by line."""

    @property
    def errors(self) -> int:
        """Sum over the truth's lines and directions of |counted - true|."""
        return difference(self.counts, TRUE_COUNTS)


def difference(
    counted: Mapping[str, tuple[int, int]], wanted: Mapping[str, tuple[int, int]]
) -> int:
    """Sum of absolute differences over the lines of `wanted` and both directions."""
    return sum(
        abs(a - b)
        for name, pair in wanted.items()
        for a, b in zip(counted[name], pair, strict=True)
    )


def detections(tiles: str) -> list[Look]:
    """The engine's persons in every frame of the clip; computed once, then read from `build/`."""
    path = CACHE / f"plaza_{tiles}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_detect(tiles)))
    return [
        Look(at, tuple(tuple(box) for box in boxes), tuple(scores))
        for at, boxes, scores in json.loads(path.read_text())
    ]


def _detect(tiles: str) -> list[tuple[float, list[Box], list[float]]]:
    net = Coco(CocoConfig(min_score=LOWEST_SCORE, tiles=tiles))
    task = Detect("people", "fast", "person", max_objects=200)
    found = []
    with av.open(str(CLIP)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            (answer,) = net.answer([(pixels, [task])])[0]
            assert isinstance(answer, Boxes)
            found.append((index / CLIP_FPS, list(answer.boxes_xyxy), list(answer.scores)))
    return found


def count(update: Update, looks: Sequence[Look], fps: int) -> Outcome:
    """Track the looks, and let the shipped rules count."""
    lines = {**TRUE_LINES, **OTHER_LINES}
    context = RuleContext(
        camera="plaza",
        rule="counting",
        label="person",
        every_s=1.0 / fps,
        lines=lines,
        zones={"crossroads": ZONE},
        aspect=ASPECT,
    )
    crossing = {name: LineCrossingConfig(of="people", line=name).build(context) for name in lines}
    occupancy = OccupancyConfig(of="people", zone="crossroads").build(context)
    return _judged(update, looks, crossing, occupancy)


def _judged(
    update: Update,
    looks: Sequence[Look],
    crossing: Mapping[str, LineCrossing],
    occupancy: Occupancy,
) -> Outcome:
    events: dict[str, list[tuple[float, str, int]]] = {name: [] for name in crossing}
    verdicts: list[Verdict] = []
    ids: set[int] = set()
    for seq, look in enumerate(looks):
        tracks = tuple(update(look.at, look.boxes, look.scores))
        ids |= {track.id for track in tracks}
        answer = Boxes("fast", look.boxes, look.scores)
        seen = Observation("plaza", "run", seq, look.at, answer, tracks)
        verdicts.append(occupancy.judge(seen))
        for name, rule in crossing.items():
            for event in rule.judge(seen).events:
                track = event.subject.track if event.subject else None
                events[name].append((event.at, str(event.data["direction"]), track or 0))
    verdicts.append(occupancy.finish(looks[-1].at))
    minutes = {bucket.minute: bucket for verdict in verdicts for bucket in verdict.buckets}
    samples = sum(bucket.samples for bucket in minutes.values())
    total = sum((bucket.values["mean"] or 0.0) * bucket.samples for bucket in minutes.values())
    counts = {name: (_number(found, "in"), _number(found, "out")) for name, found in events.items()}
    return Outcome(counts, total / samples, len(ids), events)


def _number(events: Sequence[tuple[float, str, int]], direction: str) -> int:
    return sum(event[1] == direction for event in events)


def explained(outcome: Outcome, within_s: float = 2.0) -> list[str]:
    """For each line of the truth: crossings that were missed, and those nobody made."""
    lines = []
    for line in TRUTH["lines"]:
        extra = sorted(outcome.crossings[line["name"]])
        missed = []
        for true in line["crossings"]:
            direction = "in" if true["direction"] == "left_to_right" else "out"
            near = [e for e in extra if e[1] == direction and abs(e[0] - true["t"]) <= within_s]
            if near:
                extra.remove(min(near, key=lambda event: abs(event[0] - true["t"])))
            else:
                missed.append(f"{true['t']:.1f} {direction}")
        surplus = [f"{at:.1f} {direction} (track {track})" for at, direction, track in extra]
        lines.append(
            f"{line['name']}: missed {', '.join(missed) or 'none'}; "
            f"extra {', '.join(surplus) or 'none'}"
        )
    return lines
