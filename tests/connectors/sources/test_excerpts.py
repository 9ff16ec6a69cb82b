"""Parts of recordings are what is played at those times, without playing all before them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from connectors.sources.file import FileConfig
from connectors.sources.recordings.source import FileSource
from pipeline.core.frames import Picture
from pipeline.core.sources import Need
from tests.runtime.clips import CLIP, cut

STARTS_AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
START = STARTS_AT.timestamp()


def source(path: Path) -> FileSource:
    """A recording that begins at noon."""
    return FileConfig(path=str(path), starts_at=STARTS_AT).build()


def played(recording: FileSource, since: float, until: float) -> list[Picture]:
    """Those of its pictures, by playing all of it."""
    recording.open(Need())
    try:
        return [one for one in recording.pictures() if since <= one.captured_at < until]
    finally:
        recording.close()


def same(one: Sequence[Picture], other: Sequence[Picture]) -> bool:
    """Whether times and pixels are equal."""
    return [p.captured_at for p in one] == pytest.approx(
        [p.captured_at for p in other], abs=1e-6
    ) and all((a.rgb() == b.rgb()).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("since", "until"), [(0.0, 1.0), (20.3, 21.4), (63.0, 64.0), (78.9, 99.0)])
def test_an_excerpt_is_what_is_played(since: float, until: float) -> None:
    """Times and pixels, at the beginning, in the middle and at the end of the bundled clip."""
    recording = source(CLIP)
    files = list(recording.probe())
    found = list(recording.excerpt(files, START + since, START + until))
    expected = played(source(CLIP), START + since, START + until)
    assert found
    assert same(found, expected)


def test_an_excerpt_goes_over_files(tmp_path: Path) -> None:
    """From the end of one into the next; outside of all there is nothing."""
    for name in ("a.mp4", "b.mp4"):
        cut(tmp_path / name, 4.0)
    recording = source(tmp_path)
    files = list(recording.probe())
    assert len(files) == 2
    since, until = files[1].start - 0.5, files[1].start + 0.5
    found = list(recording.excerpt(files, since, until))
    assert same(found, played(source(tmp_path), since, until))
    assert found[0].captured_at < files[1].start <= found[-1].captured_at
    assert list(recording.excerpt(files, START - 10.0, START)) == []
    assert list(recording.excerpt(files, START + 100.0, START + 110.0)) == []


def test_an_excerpt_of_single_pictures(tmp_path: Path) -> None:
    """They are one recording, of which only those in time are given."""
    for number in range(6):
        shade = np.full((32, 32, 3), 40 * number, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{number}.jpg"), shade)
    recording = FileConfig(path=str(tmp_path), starts_at=STARTS_AT, rate=1.0).build()
    files = list(recording.probe())
    found = recording.excerpt(files, START + 2.0, START + 4.0)
    assert [round(int(one.rgb()[0, 0, 0]) / 40) for one in found] == [2, 3]
