"""The `trackers` package's ByteTrack and OC-SORT behind our types, and their settings."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from benchmarks.counting_scene import Update
from pipeline.core.geometry import Box
from pipeline.core.tracks import Step, Track

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import supervision as sv
    from trackers import ByteTrackTracker, OCSORTTracker
    from trackers.utils import iou as overlaps

SIZE = np.array([768.0, 576.0, 768.0, 576.0])


@dataclass(frozen=True, slots=True)
class Settings:
    """How a package tracker is run."""

    kind: str
    min_score: float
    overlap: str = "IoU"
    """How boxes are compared; the package's default is plain IoU."""
    keywords: dict[str, Any] = field(default_factory=dict)

    def tracker(self, fps: int) -> Update:
        """A fresh tracker for a frame rate."""
        make = {"ByteTrack": ByteTrackTracker, "OC-SORT": OCSORTTracker}[self.kind]
        compare = getattr(overlaps, self.overlap)()
        return _Adapter(make(frame_rate=float(fps), iou=compare, **self.keywords)).update

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
    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self._first: dict[int, float] = {}

    def update(self, at: float, boxes: Sequence[Box], scores: Sequence[float]) -> list[Track]:
        shape = (len(boxes), 4)
        given = sv.Detections(
            xyxy=np.array(boxes, float).reshape(shape) * SIZE,
            confidence=np.array(scores, float),
            class_id=np.zeros(len(boxes), int),
        )
        found = self._tracker.update(given)
        tracks = []
        for box, id_, score in zip(
            found.xyxy / SIZE, found.tracker_id, found.confidence, strict=True
        ):
            if id_ < 0:
                continue
            first = self._first.setdefault(int(id_), at)
            x_min, y_min, x_max, y_max = box.tolist()
            step = Step(at, (x_min, y_min, x_max, y_max))
            tracks.append(Track(int(id_), "person", float(score), first, (step,)))
        return sorted(tracks, key=lambda track: track.id)


def as_it_comes() -> dict[str, Settings]:
    """Plain IoU, with the thresholds set for this detector's scores and a memory of two seconds."""
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
