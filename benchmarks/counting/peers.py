"""The `trackers` package's ByteTrack and OC-SORT behind our types, and supervision's LineZone."""

import importlib
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from benchmarks.counting.replay import START, Outcome, Update
from benchmarks.counting.scenes import Crossing, Look, Scene
from pipeline.core.geometry import Point
from pipeline.core.tracks import Step, Track

MISSING = (
    "ByteTrack and OC-SORT are left out: the package `trackers` is not installed "
    "(`pip install --no-deps trackers==2.6.1 supervision==0.31.2` beside the development "
    "environment)"
)


def are_here() -> bool:
    """Whether the packages of the other trackers are installed; they are no requirement."""
    try:
        return all(importlib.util.find_spec(name) for name in ("trackers", "supervision"))
    except ValueError:  # its import is forbidden
        return False


def _package(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a package tracker is run."""

    kind: str
    min_score: float
    overlap: str = "IoU"
    """How boxes are compared; the package's default is plain IoU."""
    keywords: dict[str, Any] = field(default_factory=dict)
    is_scaled: bool = True
    """Whether it is told the frame rate."""

    def tracker(self, scene: Scene, fps: float) -> Update:
        """A fresh tracker for a frame rate."""
        make = getattr(
            _package("trackers"),
            {"ByteTrack": "ByteTrackTracker", "OC-SORT": "OCSORTTracker"}[self.kind],
        )
        compare = getattr(_package("trackers.utils.iou"), self.overlap)()
        rate = {"frame_rate": float(fps)} if self.is_scaled else {}
        return _Adapter(make(iou=compare, **rate, **self.keywords), scene, self.min_score).update

    def __str__(self) -> str:
        """The settings that differ from run to run, in short."""
        values = " ".join(f"{_SHORT[key]} {value:g}" for key, value in self.keywords.items())
        return f"{self.kind} {self.overlap}, boxes from {self.min_score:g}, {values}"


_SHORT = {
    "track_activation_threshold": "start",
    "high_conf_det_threshold": "high",
    "minimum_iou_threshold": "overlap",
    "lost_track_buffer": "lost/30 s",
    "minimum_consecutive_frames": "frames",
    "direction_consistency_weight": "direction",
    "delta_t": "steps",
}


class _Adapter:
    def __init__(self, tracker: Any, scene: Scene, min_score: float) -> None:
        self._tracker = tracker
        self._label, self._min_score = scene.label, min_score
        self._size = _size(scene)
        self._first: dict[int, float] = {}
        self._detections = _package("supervision").Detections

    def update(self, look: Look) -> Sequence[Track]:
        look = look.above(self._min_score)
        found = self._tracker.update(
            self._detections(
                xyxy=np.array(look.boxes, float).reshape(-1, 4) * self._size,
                confidence=np.array(look.scores, float),
                class_id=np.zeros(len(look.boxes), int),
            )
        )
        tracks = []
        for box, id_, score in zip(
            found.xyxy / self._size, found.tracker_id, found.confidence, strict=True
        ):
            if id_ < 0:
                continue
            at = START + look.at
            first = self._first.setdefault(int(id_), at)
            x_min, y_min, x_max, y_max = box.tolist()
            step = Step(at, (x_min, y_min, x_max, y_max))
            tracks.append(Track(int(id_), self._label, float(score), first, (step,)))
        return sorted(tracks, key=lambda track: track.id)


def _size(scene: Scene) -> Any:
    return np.array([1000.0 * scene.aspect, 1000.0] * 2)


def by_line_zone(scene: Scene, looks: Sequence[Look], update: Update) -> Outcome:
    """Count with supervision's LineZone, which looks at feet: its own default, whole boxes beyond
    the line, would miss whoever crosses lengthwise. Zones are not judged.
    """
    package = _package("supervision")
    size = _size(scene)

    def corner(point: Point) -> Any:
        return package.Point(point[0] * size[0], point[1] * size[1])

    lines = {
        name: package.LineZone(
            corner(line.start), corner(line.end), (package.Position.BOTTOM_CENTER,)
        )
        for name, line in scene.lines.items()
    }
    found: dict[str, list[Crossing]] = {name: [] for name in lines}
    ids: set[int] = set()
    for look in looks:
        tracks = update(look)
        ids |= {track.id for track in tracks}
        shown = package.Detections(
            xyxy=np.array([track.box for track in tracks], float).reshape(-1, 4) * size,
            tracker_id=np.array([track.id for track in tracks], int),
            class_id=np.zeros(len(tracks), int),
        )
        for name, line in lines.items():
            # Its `in` ends on the left-hand side, ours on the right.
            to_left, to_right = line.trigger(shown)
            for track, left, right in zip(tracks, to_left, to_right, strict=True):
                if left or right:
                    found[name].append(Crossing(look.at, track.id, "in" if right else "out"))
    return Outcome(found, {}, len(ids))


def as_it_comes() -> dict[str, Settings]:
    """With the package's defaults, and not told the frame rate."""
    return {kind: Settings(kind, 0.0, is_scaled=False) for kind in ("ByteTrack", "OC-SORT")}


def scaled() -> dict[str, Settings]:
    """Plain IoU, told the frame rate, with the thresholds set for usual scores and a memory of two
    seconds.
    """
    byte = {
        "track_activation_threshold": 0.4,
        "high_conf_det_threshold": 0.4,
        "lost_track_buffer": 60,
    }
    observed = {
        "high_conf_det_threshold": 0.35,
        "minimum_iou_threshold": 0.1,
        "lost_track_buffer": 60,
    }
    return {
        "ByteTrack": Settings("ByteTrack", 0.2, keywords=byte),
        "OC-SORT": Settings("OC-SORT", 0.2, keywords=observed),
    }


def candidates(kind: str) -> Iterator[Settings]:
    """The grid that `--tune` searches, for each rate on its own."""
    compared = (
        ("IoU", 0.05),
        ("IoU", 0.2),
        ("DIoU", -0.5),
        ("DIoU", 0.0),
        ("CIoU", -0.3),
        ("GIoU", -0.5),
        ("GIoU", -0.9),
    )
    for (overlap, least), high, lost, frames in product(compared, (0.3, 0.4), (30, 60, 90), (1, 2)):
        common = {
            "high_conf_det_threshold": high,
            "minimum_iou_threshold": least,
            "lost_track_buffer": lost,
            "minimum_consecutive_frames": frames,
        }
        if kind == "ByteTrack":
            for min_score, start in product((0.2, 0.3), (0.4, 0.5)):
                chosen = {"track_activation_threshold": start, **common}
                yield Settings(kind, min_score, overlap, chosen)
        else:
            for weight, steps in product((0.1, 0.3), (1, 3)):
                chosen = {"direction_consistency_weight": weight, "delta_t": steps, **common}
                yield Settings(kind, 0.2, overlap, chosen)


def _byte(min_score: float, overlap: str, values: tuple[float, float, float, int]) -> Settings:
    high, start, least, lost = values
    return Settings(
        "ByteTrack",
        min_score,
        overlap,
        {
            "track_activation_threshold": start,
            "high_conf_det_threshold": high,
            "minimum_iou_threshold": least,
            "lost_track_buffer": lost,
            "minimum_consecutive_frames": 2,
        },
    )


def _observed(
    overlap: str, values: tuple[float, float, int], frames: int = 2, **others: float
) -> Settings:
    high, least, lost = values
    return Settings(
        "OC-SORT",
        0.2,
        overlap,
        {
            "high_conf_det_threshold": high,
            "minimum_iou_threshold": least,
            "lost_track_buffer": lost,
            "minimum_consecutive_frames": frames,
            **others,
        },
    )


TUNED: dict[str, dict[int, Settings]] = {
    "ByteTrack": {
        10: _byte(0.3, "DIoU", (0.4, 0.4, -0.5, 30)),
        5: _byte(0.2, "CIoU", (0.3, 0.5, -0.3, 30)),
        2: _byte(0.2, "CIoU", (0.3, 0.5, -0.3, 90)),
        1: _byte(0.3, "GIoU", (0.3, 0.4, -0.9, 60)),
    },
    "OC-SORT": {
        10: _observed("IoU", (0.4, 0.05, 60), direction_consistency_weight=0.1),
        5: _observed("IoU", (0.3, 0.05, 60), direction_consistency_weight=0.1),
        2: _observed("DIoU", (0.4, -0.5, 60), frames=1, direction_consistency_weight=0.3),
        1: _observed("GIoU", (0.4, -0.5, 30), direction_consistency_weight=0.3, delta_t=1),
    },
}
"""The best found, in hindsight, on the two lines of the truth: one setting for each rate."""
