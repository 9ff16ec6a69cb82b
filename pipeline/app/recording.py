"""A recording of what was tracked, one JSON line a judged frame, for `moonwatch render`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.geometry import Box
from pipeline.core.ports import Observation


@dataclass(frozen=True, slots=True)
class Seen:
    """One recorded track at one moment; the box is in 0..1 of the frame."""

    id: int
    label: str
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything tracked for one task in one frame, at `at` UTC seconds."""

    camera: str
    task: str
    at: float
    tracks: tuple[Seen, ...]


class TrackRecorder:
    """Writes what a processor's watcher is shown. One thread writes; close it at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")

    def __call__(self, seen: Observation, task: str, size_wh: tuple[int, int]) -> None:
        """Record one observation."""
        line = {
            "camera": seen.camera,
            "task": task,
            "at": seen.at,
            "size_wh": list(size_wh),
            "tracks": [
                {
                    "id": track.id,
                    "label": track.label,
                    "score": round(track.score, 4),
                    "box": [round(value, 5) for value in track.box],
                }
                for track in seen.tracks
            ],
        }
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Write out what is left."""
        self._file.close()


def read_recording(path: Path, camera: str) -> Iterator[Moment]:
    """The moments of one camera, in the order they were judged."""
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            if line["camera"] == camera:
                yield Moment(
                    camera=camera,
                    task=line["task"],
                    at=line["at"],
                    tracks=tuple(
                        Seen(t["id"], t["label"], t["score"], tuple(t["box"]))
                        for t in line["tracks"]
                    ),
                )
