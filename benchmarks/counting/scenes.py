"""A scene: true and detected boxes over time, lines and zones, and what really happened there."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.geometry import Box, Line, Polygon

Rows = NDArray[np.float32]
"""One box a row: frame, id or score, x_min, y_min, x_max, y_max."""
Direction = Literal["in", "out"]
Shown = Literal["perfect", "detected", "identified"]
"""What a tracker is shown: true boxes, a detector's, or true boxes with their true ids."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Somebody crosses a line; `at` counts seconds from the scene's beginning."""

    at: float
    track: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class Look:
    """The boxes of one frame, `at` seconds after the scene's beginning."""

    at: float
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]
    ids: tuple[int, ...] = ()
    """The true ones, where they are given away."""

    def above(self, score: float) -> "Look":
        """Only the boxes from a score up."""
        kept = [pair for pair in zip(self.boxes, self.scores, strict=True) if pair[1] >= score]
        return Look(self.at, tuple(box for box, _ in kept), tuple(score for _, score in kept))


@dataclass(frozen=True, slots=True)
class Scene:
    """Boxes with their truth."""

    name: str
    label: str
    fps: float
    aspect: float
    frames: int
    lines: Mapping[str, Line]
    zones: Mapping[str, Polygon]
    truth: Rows
    detections: Rows
    crossings: Mapping[str, tuple[Crossing, ...]]
    """By line; a line that is not in it was never counted by anybody."""
    occupancy: Mapping[str, float]
    """By zone, how many were in it on the mean of all frames."""
    first: int = 0
    """The number of the first frame."""
    floor: Mapping[int, float] = field(default_factory=dict)
    """Errors that the first rule made with true ids, by frames a second: for recorded scenes."""
    classes: NDArray[np.uint8] | None = None
    """For each detection 0, or 1 where the detector took it for another kind of thing."""

    @property
    def crossings_made(self) -> int:
        """True crossings of all lines."""
        return sum(len(made) for made in self.crossings.values())

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.frames / self.fps

    def phases(self, fps: float, most: int | None = None) -> list[int]:
        """At which frames sampling can begin: all, or at most so many, evenly spread."""
        number = max(1, math.floor(self.fps / fps + 1e-6))
        if most is None or most >= number:
            return list(range(number))
        return [round(k * number / most) for k in range(most)]

    def frames_at(self, fps: float, phase: int = 0) -> list[int]:
        """The frames that sampling takes: the first at or after each due time."""
        step = self.fps / fps
        begin = self.first + phase
        looks = math.floor((self.first + self.frames - 1 - begin) / step + 1e-9) + 1
        return [begin + math.ceil(k * step - 1e-6) for k in range(looks)]

    def looks(self, kind: Shown, fps: float, phase: int = 0) -> list[Look]:
        """What is seen at a rate, from the phase's frame on."""
        rows = self.detections if kind == "detected" else self.truth
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        frames = self.frames_at(fps, phase)
        begins = np.searchsorted(rows[:, 0], frames, "left").tolist()
        ends = np.searchsorted(rows[:, 0], frames, "right").tolist()
        looks = []
        for frame, begin, end in zip(frames, begins, ends, strict=True):
            seen: list[list[float]] = rows[begin:end].tolist()
            boxes = tuple((row[2], row[3], row[4], row[5]) for row in seen)
            at, column = frame / self.fps, tuple(row[1] for row in seen)
            if kind == "detected":
                looks.append(Look(at, boxes, column))
            else:
                ids = tuple(map(int, column)) if kind == "identified" else ()
                looks.append(Look(at, boxes, (1.0,) * len(seen), ids))
        return looks


def recorded(folder: Path) -> list[Scene]:
    """The scenes of a folder: `scenes.json` with a NAME.npz beside it for each.

    Raises ConfigError where they cannot be read. Arrays are loaded without pickle: nothing in them
    is executed.
    """
    path = folder / "scenes.json"
    try:
        described: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [_scene(name, of, folder / f"{name}.npz") for name, of in described.items()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"the scenes there cannot be read ({type(error).__name__}: {error}); it has to hold "
            "scenes.json and a NAME.npz for each scene, as benchmarks/counting.md describes"
        )
        raise ConfigError([Problem(str(folder), message)]) from error


def _scene(name: str, of: Mapping[str, Any], path: Path) -> Scene:
    with np.load(path, allow_pickle=False) as arrays:
        truth, detections = (np.asarray(arrays[k], np.float32) for k in ("truth", "detections"))
        classes = np.asarray(arrays["classes"], np.uint8) if "classes" in arrays else None
    return Scene(
        name=name,
        label=of["label"],
        fps=of["fps"],
        aspect=of["aspect"],
        frames=of["frames"],
        first=of.get("first", 0),
        lines={k: Line(_point(a), _point(b)) for k, (a, b) in of["lines"].items()},
        zones={k: Polygon(tuple(_point(p) for p in corners)) for k, corners in of["zones"].items()},
        truth=truth,
        detections=detections,
        crossings={
            line: tuple(Crossing(at, track, direction) for at, track, direction in made)
            for line, made in of["crossings"].items()
        },
        occupancy=of["occupancy"],
        floor={int(fps): errors for fps, errors in of.get("floor", {}).items()},
        classes=classes,
    )


def _point(values: Sequence[float]) -> tuple[float, float]:
    x, y = values
    return (float(x), float(y))
