"""A recording of tracks comes back as it was, and what is none is refused with a sentence."""

from pathlib import Path

import pytest

from pipeline.core.answers import Boxes
from pipeline.core.errors import ConfigError
from pipeline.core.rules import Observation
from pipeline.core.tracks import Step, Track
from pipeline.processing.track_log import LoggedTrack, Moment, TrackRecorder, read_recording

BOX = (0.1, 0.2, 0.3, 0.4)


def seen(camera: str, at: float, *ids: int) -> Observation:
    """These tracks, all in one place."""
    tracks = tuple(Track(id_, "person", 0.75, at, (Step(at, BOX),)) for id_ in ids)
    return Observation(camera, "run", 0, at, Boxes("fast", (), ()), tracks)


def recorded(path: Path, *observations: Observation) -> Path:
    """A recording of them."""
    recorder = TrackRecorder(path)
    for one in observations:
        recorder(one, "people", (768, 576))
    recorder.close()
    return path


def test_what_is_recorded_can_be_read(tmp_path: Path) -> None:
    """One camera's moments, in their order, those without tracks too."""
    path = recorded(
        tmp_path / "new" / "tracks.jsonl",
        seen("plaza", 1.0, 7),
        seen("yard", 1.5, 3),
        seen("plaza", 2.0),
    )
    assert list(read_recording(path, "plaza")) == [
        Moment("plaza", "people", 1.0, (LoggedTrack(7, "person", 0.75, BOX),)),
        Moment("plaza", "people", 2.0, ()),
    ]
    assert list(read_recording(path, "nobody")) == []


def test_a_recording_that_broke_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A run may be killed in the middle of a line."""
    path = recorded(tmp_path / "tracks.jsonl", seen("plaza", 1.0, 7), seen("plaza", 2.0, 7))
    path.write_bytes(path.read_bytes()[:-20])
    assert [moment.at for moment in read_recording(path, "plaza")] == [1.0]


@pytest.mark.parametrize("content", ["{}\n", "no json\n", "[1]\n", '{"camera": "plaza"}\n'])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: str) -> None:
    """With the line that is wrong."""
    path = recorded(tmp_path / "tracks.jsonl", seen("plaza", 1.0, 7))
    path.write_text(path.read_text() + content)
    with pytest.raises(ConfigError, match=r"line 2 of .* is not what `run --record` writes"):
        list(read_recording(path, "plaza"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before anything is started."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--record: .*tracks\.jsonl cannot be written"):
        TrackRecorder(tmp_path / "file" / "tracks.jsonl")
