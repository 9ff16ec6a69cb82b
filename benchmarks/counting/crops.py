"""The bundled clip cut off at its edges, so that they run through people: what is still counted.

The cut picture is held against the whole one, with zones and lines on the same ground, the same
detector, tracker and rules.
"""

from dataclasses import replace
from statistics import fmean

import numpy as np

from benchmarks.counting.measuring import MIN_SCORE, RATES
from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.plaza import cached, detections
from benchmarks.counting.plaza import scene as whole_scene
from benchmarks.counting.replay import Outcome, moonwatch, replay
from benchmarks.counting.scenes import Direction, Scene
from benchmarks.counting.scoring import counted
from pipeline.core.geometry import Box, Line, Point, Polygon

CROPS: dict[str, Box] = {
    "lower 35 % off": (0.0, 0.0, 1.0, 0.65),
    "lower 50 % off": (0.0, 0.0, 1.0, 0.5),
    "left 30 % off": (0.3, 0.0, 1.0, 1.0),
    "right 30 % off": (0.0, 0.0, 0.7, 1.0),
    "upper 30 % off": (0.0, 0.3, 1.0, 1.0),
}
"""What is kept of the picture, in 0..1 of the whole one."""
ZONES = {
    "all": Polygon(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),
    "left half": Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))),
    "lower half": Polygon(((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))),
}
LINES = {"down": Line((0.5, 0.0), (0.5, 1.0)), "over": Line((0.0, 0.6), (1.0, 0.6))}
"""Zones and lines of the cut picture."""
SEEN_SHARE = 1 / 3
"""Of whom less than this is in the picture, nobody can be seen."""
MOST_OFF, MOST_APART = 0.05, 2.0
DIRECTIONS: tuple[Direction, ...] = ("in", "out")


def of_whole(kept: Box, place: Point) -> Point:
    """A place of the cut picture as one of the whole picture.

    What lies on its lower or upper edge, where that is cut, is moved to where the feet of people
    are of whom `SEEN_SHARE` is still to be seen.
    """
    left, upper, right, lower = kept
    x, y = left + place[0] * (right - left), upper + place[1] * (lower - upper)
    if lower < 1.0 and place[1] == 1.0:
        y += (1.0 - SEEN_SHARE) * _height_at(y)
    if upper > 0.0 and place[1] == 0.0:
        y += SEEN_SHARE * _height_at(y)
    return (x, y)


def _height_at(y: float) -> float:
    """The usual height of people whose feet are at that height of the clip's picture."""
    return float(np.interp(y, (0.3, 0.4, 0.46, 0.55, 0.76), (0.10, 0.12, 0.14, 0.15, 0.19)))


def crops(min_score: float = MIN_SCORE, *, only_cached: bool = False) -> Section:
    """Means over all phases; with `only_cached`, nothing is shown to the engine."""
    rows, missed = [], []
    whole = whole_scene()
    for name, kept in CROPS.items():
        if only_cached and not cached("1x1", kept).is_file():
            continue
        left, upper, right, lower = kept
        cut = replace(
            whole,
            aspect=whole.aspect * (right - left) / (lower - upper),
            lines=LINES,
            zones=ZONES,
            detections=detections("1x1", kept),
        )
        ground = replace(
            whole,
            lines={
                key: Line(of_whole(kept, line.start), of_whole(kept, line.end))
                for key, line in LINES.items()
            },
            zones={
                key: Polygon(tuple(of_whole(kept, corner) for corner in zone.corners))
                for key, zone in ZONES.items()
            },
        )
        for fps in RATES:
            now, was = (_outcomes(scene, fps, min_score) for scene in (cut, ground))
            cells = [name, str(fps)]
            for zone in ZONES:
                read, true = (fmean(run.occupancy[zone] for run in runs) for runs in (now, was))
                off = read / true - 1
                cells.append(f"{read:.2f} of {true:.2f} ({off:+.0%})")
                if zone == "all" and abs(off) > MOST_OFF:
                    missed.append(f"{name}, {fps}/s: {off:+.0%}")
            for line in LINES:
                made, truly = (_crossings(line, runs) for runs in (now, was))
                cells.append(f"{made[0]:.1f}/{made[1]:.1f} of {truly[0]:.1f}/{truly[1]:.1f}")
                apart = sum(abs(a - b) for a, b in zip(made, truly, strict=True))
                if apart > MOST_APART:
                    missed.append(f"{name}, {fps}/s: {apart:.1f} crossings of `{line}`")
            rows.append(cells)
    goal = Goal(
        "clip cut at its edges: mean occupancy within 5 %, crossings of a line within 2 of the "
        "uncut one's",
        "; ".join(missed) or "everywhere",
        not missed,
    )
    head = ["cut", "looks/s", *ZONES, *(f"`{line}`, in/out" for line in LINES)]
    return Section("crops", table(head, rows), (goal,) if rows else ())


def _outcomes(scene: Scene, fps: int, min_score: float) -> list[Outcome]:
    return [
        replay(
            scene,
            [look.above(min_score) for look in scene.looks("detected", fps, phase)],
            moonwatch(scene),
            1 / fps,
        )
        for phase in scene.phases(fps)
    ]


def _crossings(line: str, runs: list[Outcome]) -> list[float]:
    """In and out, on the mean of the phases."""
    return [fmean(counted(run.crossings[line])[d] for run in runs) for d in DIRECTIONS]
