"""The bundled clip cut off at its edges, so that they run through people: what is still counted.

Measured against the whole picture, with the same detector, tracker and rules: there, too, only
those are shown of whom the cut picture holds enough, but with their feet.
"""

from dataclasses import replace

import numpy as np

from benchmarks.counting.measuring import MIN_SCORE
from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.plaza import TRUE_LINES, detections
from benchmarks.counting.plaza import scene as whole_scene
from benchmarks.counting.replay import Outcome, moonwatch, replay
from benchmarks.counting.scenes import Rows, Scene
from benchmarks.counting.scoring import counted
from benchmarks.counting.synthetic import EVERYWHERE
from pipeline.core.geometry import Box, Line, Point

CROPS: dict[str, Box] = {
    "lower 35 % off": (0.0, 0.0, 1.0, 0.65),
    "lower 50 % off": (0.0, 0.0, 1.0, 0.5),
    "left 30 % off": (0.3, 0.0, 1.0, 1.0),
    "right 30 % off": (0.0, 0.0, 0.7, 1.0),
    "upper 30 % off": (0.0, 0.3, 1.0, 1.0),
}
"""What is kept of the picture, in 0..1 of the whole one."""
ENOUGH = 1 / 3
"""The share of a body's height that a cut picture has to show for it to be somebody."""
MOST_OFF, MOST_APART = 0.05, 2
RATES = (10, 5)


def crops(min_score: float = MIN_SCORE) -> Section:
    """Mean occupancy of the whole (cut) picture, and crossings of the two lines."""
    rows, goals = [], []
    whole = whole_scene()
    for name, kept in CROPS.items():
        cut = _cut_scene(whole, kept)
        reference = replace(
            whole, lines=TRUE_LINES, zones=EVERYWHERE, detections=_shown(whole.detections, kept)
        )
        for fps in RATES:
            read, true = (_counted(scene, fps, min_score) for scene in (cut, reference))
            off = read.occupancy["all"] / true.occupancy["all"] - 1
            numbers = [
                sum(
                    abs(counted(read.crossings[line])[d] - counted(true.crossings[line])[d])
                    for d in ("in", "out")
                )
                for line in cut.lines
            ]
            made = sum(len(true.crossings[line]) for line in cut.lines)
            apart = sum(numbers)
            rows.append(
                (
                    name,
                    str(fps),
                    f"{read.occupancy['all']:.2f} of {true.occupancy['all']:.2f} ({off:+.1%})",
                    f"{apart} of {made}",
                )
            )
            goals.append((name, fps, off, apart))
    text = "clip cut at its edges: occupancy within 5 %, crossings within 2 of the uncut one's"
    missed = [
        f"{name} at {fps}/s: {off:+.1%}, {apart}"
        for name, fps, off, apart in goals
        if abs(off) > MOST_OFF or apart > MOST_APART
    ]
    head = ("cut", "frames/s", "occupancy", "crossings apart")
    return Section(
        "crops", table(head, rows), (Goal(text, "; ".join(missed) or "all", not missed),)
    )


def _counted(scene: Scene, fps: int, min_score: float) -> Outcome:
    looks = [look.above(min_score) for look in scene.looks("detected", fps)]
    return replay(scene, looks, moonwatch(scene), 1 / fps)


def _cut_scene(whole: Scene, kept: Box) -> Scene:
    """The clip as a camera with a smaller picture sees it."""
    left, upper, right, lower = kept
    lines = {
        name: Line(_within(cut.start, kept), _within(cut.end, kept))
        for name, line in TRUE_LINES.items()
        if (cut := _clipped(line, kept)) is not None
    }
    return replace(
        whole,
        aspect=whole.aspect * (right - left) / (lower - upper),
        lines=lines,
        zones=EVERYWHERE,
        detections=detections("1x1", kept),
    )


def _within(point: Point, kept: Box) -> Point:
    left, upper, right, lower = kept
    return ((point[0] - left) / (right - left), (point[1] - upper) / (lower - upper))


def _clipped(line: Line, kept: Box) -> Line | None:
    """The part of a line in what is kept; None where little of it is left."""
    begin, end = 0.0, 1.0
    for axis in (0, 1):
        start, step = line.start[axis], line.end[axis] - line.start[axis]
        if abs(step) < 1e-9:
            if not kept[axis] <= start <= kept[axis + 2]:
                return None
            continue
        near, far = sorted(((kept[axis] - start) / step, (kept[axis + 2] - start) / step))
        begin, end = max(begin, near), min(end, far)
    if end - begin < 0.2:
        return None

    def point(share: float) -> Point:
        return (
            line.start[0] + share * (line.end[0] - line.start[0]),
            line.start[1] + share * (line.end[1] - line.start[1]),
        )

    return Line(point(begin), point(end))


def _shown(rows: Rows, kept: Box) -> Rows:
    """Boxes of which the cut picture shows enough: the middle across, a third of the height."""
    x0, y0, x1, y1 = rows[:, 2:].T
    left, upper, right, lower = kept
    middle = (x0 + x1) / 2
    height = np.minimum(y1, lower) - np.maximum(y0, upper)
    enough = (left <= middle) & (middle <= right) & (height >= ENOUGH * (y1 - y0))
    return np.asarray(rows[enough], np.float32)
