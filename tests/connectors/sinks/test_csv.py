"""A folder of tables holds a row for each event, whatever was interrupted, and opens anywhere."""

import csv
import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig
from connectors.sinks.csv import COLUMNS, CsvConfig
from pipeline.core.errors import SinkError
from pipeline.core.events import Subject
from pipeline.core.sinks import Sink, SinkContext
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract

MIDNIGHT = 1_700_089_200.0
"""In Berlin; 16 November 2023 begins."""


def rows(path: Path, separator: str = ",") -> list[dict[str, str]]:
    """What a spreadsheet would show."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "new" / "tables"
        self.aside = tmp_path / "aside"

    def built(self) -> Sink:
        """A sink with a folder that is not there yet."""
        return CsvConfig(folder=self.folder).build(SinkContext(SITE))

    def received(self) -> list[str]:
        """The ids in the files, as they were written."""
        files = self.folder.glob("*.csv") if self.folder.is_dir() else ()
        found = [(row["id"], path) for path in sorted(files) for row in rows(path)]
        # Files are by day, and the odd events lie on days before and after each other.
        order = {event.record_id: number for number, event in enumerate(odd_events())}
        return [one for one, _ in sorted(found, key=lambda one: order.get(one[0], 0))]

    def fail(self) -> None:
        """Put a file in the folder's place."""
        self.folder.rename(self.aside)
        self.folder.write_text("")

    def heal(self) -> None:
        """Put the folder back."""
        self.folder.unlink()
        self.aside.rename(self.folder)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A whole life of a sink: opened, sent to, closed; returns the file of the events' day."""

    def life(*numbers: int, **fields: Any) -> Path:
        sink = CsvConfig(folder=tmp_path, **fields).build(SinkContext(SITE))
        sink.send([an_event(number) for number in numbers])
        sink.close()
        return tmp_path / "events-2023-11-14.csv"

    return life


def test_a_row_is_what_happened(tmp_path: Path) -> None:
    """The columns of `export`, in the site's own day and time."""
    event = replace(
        an_event(),
        at=MIDNIGHT + 5,
        subject=Subject("person", 7),
        data={"direction": "in", "verified": "confirmed"},
        media=("door/2023-11-16/a.jpg",),
    )
    sink = CsvConfig(folder=tmp_path).build(SinkContext(SITE, timezone="Europe/Berlin"))
    sink.send([event, replace(an_event(1), at=MIDNIGHT - 5)])
    sink.close()
    (row,) = rows(tmp_path / "events-2023-11-16.csv")
    assert tuple(row) == COLUMNS
    assert (row["at"], row["at_local"]) == ("2023-11-15T23:00:05.000Z", "2023-11-16T00:00:05+01:00")
    assert (row["label"], row["track"], row["verified"]) == ("person", "7", "confirmed")
    assert json.loads(row["data"]) == {"direction": "in", "verified": "confirmed"}
    assert row["media"] == "door/2023-11-16/a.jpg"
    assert len(rows(tmp_path / "events-2023-11-15.csv")) == 1


def test_what_comes_again_is_written_once(write: Callable[..., Path]) -> None:
    """Also by the next process, and also where the last row was cut off by a crash."""
    path = write(1, 2, 3)
    whole = path.read_bytes()
    for cut in range(1, 40):
        path.write_bytes(whole[:-cut])
        assert [row["id"] for row in rows(write(2, 3))] == [
            an_event(number).record_id for number in (1, 2, 3)
        ]
        assert path.read_bytes() == whole


@pytest.mark.parametrize("length", [0, 1, 10, 60])
def test_a_heading_that_was_cut_off_is_written_again(
    write: Callable[..., Path], length: int
) -> None:
    """A crash may come at any moment."""
    path = write(1)
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    assert write(1).read_bytes() == whole


@pytest.mark.parametrize(("separator", "letter"), [(",", ","), (";", ";"), ("tab", "\t")])
def test_it_opens_in_every_spreadsheet(
    write: Callable[..., Path], separator: str, letter: str
) -> None:
    """With the separator of the language, and a mark that says UTF-8."""
    path = write(1, 2, separator=separator, bom=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfid" + letter.encode())
    assert [row["id"] for row in rows(write(2, separator=separator, bom=True), letter)] == [
        an_event(1).record_id,
        an_event(2).record_id,
    ]


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_nothing_in_it_is_a_formula(tmp_path: Path, word: str) -> None:
    """What comes from outside is shown, never run; and no word breaks its row."""
    sink = CsvConfig(folder=tmp_path).build(SinkContext(SITE))
    sink.send([replace(an_event(), subject=Subject(word), camera=f"{word}\n;,\"'")])
    sink.close()
    (path,) = tmp_path.iterdir()
    (row,) = rows(path)
    for cell in row.values():
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert path.read_bytes().count(b"\r\n") == 2
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("content", [b"name,amount\r\n", b"\x00\x01\x02", b"id;happening\r\n" * 9])
def test_a_file_of_somebody_else_is_not_touched(tmp_path: Path, content: bytes) -> None:
    """Nor one with other columns or another separator: the sentence says what to do."""
    path = tmp_path / "events-2023-11-14.csv"
    path.write_bytes(content)
    sink = CsvConfig(folder=tmp_path).build(SinkContext(SITE))
    with pytest.raises(SinkError, match="choose another `name`"):
        sink.send([an_event()])
    assert path.read_bytes() == content


def test_old_days_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    """Once a day, and only files that this sink writes."""
    clock = ManualClock(MIDNIGHT)
    own = tmp_path / "events-2023-11-10.csv"
    own.write_text(",".join(COLUMNS) + "\r\n")
    others = [tmp_path / "events-2023-11-09.csv", tmp_path / "sales-2023-11-10.csv"]
    for other in others:
        other.write_text("amount\r\n")
    sink = CsvConfig(folder=tmp_path, keep=2).build(SinkContext(SITE, clock=clock))
    sink.send([an_event()])
    assert not own.exists()
    assert all(other.exists() for other in others)
    assert (tmp_path / "events-2023-11-14.csv").exists()  # kept today and yesterday
    clock.advance(86400)
    sink.send([an_event(90_000)])
    assert not (tmp_path / "events-2023-11-14.csv").exists()
    sink.close()


def test_a_full_disk_leaves_no_half_of_a_row(write: Callable[..., Path]) -> None:
    """And what was refused is written once there is room."""
    path = write(1)
    size = path.stat().st_size
    sink = CsvConfig(folder=path.parent).build(SinkContext(SITE))
    sink.send([an_event(2)])
    full = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (full + 10, limits[1]))
    try:
        with pytest.raises(SinkError, match="cannot be written"):
            sink.send([an_event(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == full > size
    sink.send([an_event(3)])
    sink.close()
    assert [row["id"] for row in rows(path)] == [an_event(n).record_id for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "../etc"}, "cannot begin a file's name"),
        ({"name": ""}, "cannot begin a file's name"),
        ({"separator": "|"}, "','"),
        ({"keep": 0}, "greater than or equal to 1"),
        ({}, "Field required"),
    ],
)
def test_bad_settings_are_named(fields: dict[str, Any], words: str) -> None:
    """With what is possible instead."""
    given = {"type": "csv", **({"folder": "tables"} if fields else {}), **fields}
    with pytest.raises(ValidationError) as told:
        TypeAdapter(SinkConfig).validate_python(given)
    assert words in str(told.value)


def test_who_stood_still_writes_nothing_twice(tmp_path: Path) -> None:
    """Another process has written the same rows meanwhile."""
    config = CsvConfig(folder=tmp_path)
    stood_still, goes_on = config.build(SinkContext(SITE)), config.build(SinkContext(SITE))
    events = [an_event(number) for number in range(20)]
    stood_still.send(events[:5])
    goes_on.send(events[5:15])
    stood_still.send(events[10:20])
    stood_still.close()
    goes_on.close()
    (file,) = tmp_path.glob("*.csv")
    assert [row["id"] for row in rows(file)] == [one.record_id for one in events]
