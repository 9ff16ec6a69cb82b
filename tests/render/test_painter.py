"""What is drawn on a clip: the boxes of every task that was recorded."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from connectors.sources.file import FileConfig
from pipeline.core.geometry import Box
from pipeline.core.sources import Need
from pipeline.processing.track_log import LoggedTrack, Moment
from pipeline.render.painter import Crossing, Scene, render, totals
from tests.connectors.sources.clips import Clip, write_clip

LEFT, RIGHT = (0.1, 0.3, 0.3, 0.7), (0.7, 0.3, 0.9, 0.7)
SIZE_WH = (320, 240)


def tracked(task: str, at: float, box: Box | None) -> Moment:
    """A moment with one track, whose id is the same in every task, or with none."""
    tracks = () if box is None else (LoggedTrack(1, task, 0.9, box),)
    return Moment("plaza", task, at, tracks)


def pictures_with(
    tmp_path: Path, *moments: Moment, crossings: Sequence[Crossing] = (), frames: int = 10
) -> list[NDArray[np.uint8]]:
    """A clip at ten pictures a second, on which this was drawn; 0 where nothing was."""
    clip = write_clip(tmp_path / "clip.mp4", Clip(frames=frames, size_wh=SIZE_WH))
    drawn = []
    for name, shown in (("bare.mp4", ()), ("drawn.mp4", moments)):
        source = FileConfig(path=str(clip), starts_at="1970-01-01T00:00:00Z").build()
        source.open(Need())
        render(source.pictures(), Scene({}, {}, crossings, shown), tmp_path / name, Fraction(10))
        source.close()
        video = cv2.VideoCapture(str(tmp_path / name))
        drawn.append([video.read()[1] for _ in range(frames)])
        video.release()
    bare, boxed = drawn
    return [
        np.asarray(cv2.absdiff(a, b).max(axis=2) > 60, np.uint8)
        for a, b in zip(bare, boxed, strict=True)
    ]


def is_drawn(picture: NDArray[np.uint8], box: Box) -> bool:
    """Whether the sides of a box are there."""
    width, height = SIZE_WH
    left, right = (round(x * width) for x in (box[0], box[2]))
    rows = picture[round(box[1] * height) + 20 : round(box[3] * height) - 20]
    return all(rows[:, x - 3 : x + 4].max(axis=1).mean() > 0.8 for x in (left, right))


@pytest.mark.parametrize("order", ["people first", "bags first"])
def test_a_task_that_sees_nothing_hides_no_other(tmp_path: Path, order: str) -> None:
    """Two tasks of the same frames are two lines at the same time; one of them may be empty."""
    moments = []
    for nth in range(10):
        both = [tracked("people", nth / 10, LEFT), tracked("bags", nth / 10, None)]
        moments += both if order == "people first" else both[::-1]
    pictures = pictures_with(tmp_path, *moments)
    assert [is_drawn(picture, LEFT) for picture in pictures] == [True] * 10


def test_tasks_of_different_paces_are_drawn_together(tmp_path: Path) -> None:
    """Each is interpolated between its own frames, and ids that are alike are not mixed up."""
    moments = [tracked("people", nth / 10, LEFT) for nth in range(10)]
    moments += [tracked("bags", at, RIGHT) for at in (0.0, 0.9)]
    pictures = pictures_with(tmp_path, *moments)
    assert all(is_drawn(picture, LEFT) and is_drawn(picture, RIGHT) for picture in pictures)
    middle = [picture[:, 110:210].mean() for picture in pictures]
    assert max(middle) == 0  # no trail from the one to the other


def test_who_followed_is_marked_for_three_seconds(tmp_path: Path) -> None:
    """Beside the track's id, and not beside the same id of another task."""
    moments = [tracked("people", nth / 10, LEFT) for nth in range(50)]
    crossings = [
        Crossing("door", 1.0, "in", "followed", ("people", 1)),
        Crossing("door", 4.5, "in", "followed", ("bags", 1)),
    ]
    pictures = pictures_with(tmp_path, *moments, crossings=crossings, frames=50)
    # The label stands on the box, and is much wider with a word more.
    wide = [nth / 10 for nth, picture in enumerate(pictures) if picture[55:72, 80:95].mean() > 0.3]
    assert wide == [nth / 10 for nth in range(10, 40)]


def test_a_line_says_how_many_were_picked_beside_how_many_crossed() -> None:
    """One who followed was counted by the line's other rule as well, and is not counted twice."""
    counted = [Crossing("door", 1.0, "in"), Crossing("door", 2.0, "in"), Crossing("door", 3, "out")]
    followed = Crossing("door", 2.0, "in", "followed", ("people", 2))
    assert totals([], 9.0) == ["in 0", "out 0"]
    assert totals(counted, 2.5) == ["in 2", "out 0"]
    assert totals([*counted, followed], 1.5) == ["in 1", "out 0", "followed 0"]
    assert totals([*counted, followed], 3.0) == ["in 2", "out 1", "followed 1"]
    assert totals([followed], 3.0) == ["followed 1"]
