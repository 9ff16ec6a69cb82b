"""A recording of tracks, one JSON line per judged frame and task, for `moonwatch render`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.geometry import Box
from pipeline.core.private_files import make_folder, opened
from pipeline.core.rules import Observation

_BEGINNING = b'{"camera": '


@dataclass(frozen=True, slots=True)
class LoggedTrack:
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
    tracks: tuple[LoggedTrack, ...]


class TrackRecorder:
    """A processor's watcher that records tracks. One thread writes; close it at the end."""

    def __init__(self, path: Path) -> None:
        """Begin a new recording; raises ConfigError if it cannot be written.

        An earlier one is replaced, a file that holds something else is not.
        """
        try:
            if path.is_file() and not _is_recording(path):
                problem = f"{path} holds something else than recorded tracks; name another file"
                raise ConfigError([Problem("--record", problem)])
            make_folder(path.parent)
            self._file = open(path, "w", encoding="utf-8", opener=opened)  # noqa: SIM115
        except OSError as error:
            problem = f"{path} cannot be written: {error.strerror}"
            raise ConfigError([Problem("--record", problem)]) from None

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
        """Flush and close the file."""
        self._file.close()


def _is_recording(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.read(len(_BEGINNING))
    return _BEGINNING.startswith(first)


def read_recording(path: Path, camera: str) -> Iterator[Moment]:
    """The moments of one camera, in the order they were judged; raises ConfigError.

    A last line that was only half written, by a run that was killed, is left out.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, text in enumerate(lines, start=1):
            if not text.endswith("\n"):
                return
            moment = _moment(path, number, text)
            if moment.camera == camera:
                yield moment


def _moment(path: Path, number: int, text: str) -> Moment:
    try:
        line = json.loads(text)
        tracks = tuple(
            LoggedTrack(t["id"], t["label"], t["score"], tuple(t["box"])) for t in line["tracks"]
        )
        return Moment(line["camera"], line["task"], line["at"], tracks)
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = f"line {number} of {path} is not what `run --record` writes"
        raise ConfigError([Problem("--tracks", problem)]) from None
