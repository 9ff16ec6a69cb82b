"""A file of JSON lines holds every event once, whatever was interrupted, and changes with time."""

import errno
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig, _appending
from connectors.sinks import jsonl as module
from connectors.sinks.jsonl import JsonlConfig, JsonlSink
from pipeline.core.errors import SinkError
from pipeline.core.events import to_cloudevent
from pipeline.core.sinks import Sink, SinkContext
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract

DAY_S = 86400.0


def ids(path: Path) -> list[str]:
    """The ids in a file."""
    return [json.loads(line)["id"] for line in path.read_text().split("\n") if line]


def records(*numbers: int) -> list[str]:
    """The ids of plain events."""
    return [an_event(number).record_id for number in numbers]


class TestContract(SinkContract):
    """What it shares with every sink."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "new" / "events.jsonl"
        self.aside = tmp_path / "aside"

    def built(self) -> Sink:
        """A sink with a file in a folder that is not there yet."""
        return JsonlConfig(path=self.path).build(SinkContext(SITE))

    def received(self) -> list[str]:
        """The ids in the file."""
        return ids(self.path) if self.path.exists() else []

    def fail(self) -> None:
        """Put a folder in the file's place."""
        self.path.rename(self.aside)
        self.path.mkdir()

    def heal(self) -> None:
        """Put the file back."""
        self.path.rmdir()
        self.aside.rename(self.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of a test is."""
    return tmp_path / "events.jsonl"


def send(path: Path, *numbers: int, **fields: Any) -> None:
    """A whole life of a sink: opened, sent to, closed."""
    sink = JsonlConfig(path=path, **fields).build(SinkContext(SITE))
    try:
        sink.send([an_event(number) for number in numbers])
    finally:
        sink.close()


def test_a_line_is_a_cloudevent(path: Path) -> None:
    """In full, with letters as they are."""
    sink = JsonlConfig(path=path).build(SinkContext("Späti"))
    sink.send(odd_events())
    sink.close()
    lines = path.read_text().split("\n")
    expected = [to_cloudevent(event, "Späti") for event in odd_events()]
    assert [json.loads(line) for line in lines[:-1]] == expected


def test_what_comes_again_is_not_written_again(path: Path) -> None:
    """Neither within one life of the sink nor in the next."""
    send(path, 1, 2)
    send(path, 1, 2, 3)
    sink = JsonlConfig(path=path).build(SinkContext(SITE))
    for _ in range(2):
        sink.send([an_event(3), an_event(4), an_event(4)])
    sink.close()
    assert ids(path) == records(1, 2, 3, 4)


@pytest.mark.parametrize(
    "cut",
    [
        1,  # all but the newline: the line is finished, not written again
        2,  # the closing brace is missing
        150,  # somewhere in the middle
    ],
)
def test_a_half_written_line_is_mended(path: Path, cut: int) -> None:
    """After a crash in the middle of writing, each event is there once and in full."""
    send(path, 1, 2)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    send(path, 2, 3)
    assert ids(path) == records(1, 2, 3)


def test_a_half_written_line_of_any_length_is_cut_off(path: Path) -> None:
    """Also one that is longer than what is read at once, and one that is all there is."""
    path.write_bytes(b'{"specversion":"1.0","id":"' + b"x" * 200_000)
    send(path, 1)
    assert ids(path) == records(1)


def test_the_end_of_a_long_file_is_enough(path: Path) -> None:
    """What repeats is found far back, without reading the file from its beginning."""
    count = module._REMEMBERED
    send(path, *range(count + 100))
    send(path, *range(150, count + 100))
    assert len(ids(path)) == count + 100


def test_a_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of the batch is taken back; it arrives whole when there is room again."""
    write = os.write
    room = 700

    def write_into_little_room(file: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(file, bytes(data)[:room])
        room -= written
        return written

    sink = JsonlConfig(path=path).build(SinkContext(SITE))
    sink.send([an_event(1)])
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_into_little_room)
        with pytest.raises(SinkError, match=r"events\.jsonl cannot be written: No space left"):
            sink.send([an_event(number) for number in (2, 3, 4)])
        assert room == 0
        assert ids(path) == records(1)
    sink.send([an_event(number) for number in (2, 3, 4)])
    sink.close()
    assert ids(path) == records(1, 2, 3, 4)


def test_a_file_that_is_moved_away_is_made_again(path: Path) -> None:
    """So other programs may rotate it, or a person delete it."""
    sink = JsonlConfig(path=path).build(SinkContext(SITE))
    sink.send([an_event(1)])
    path.rename(path.with_name("moved"))
    sink.send([an_event(2)])
    path.unlink()
    sink.send([an_event(3)])
    sink.close()
    assert ids(path) == records(3)


def test_a_full_file_is_put_aside(path: Path) -> None:
    """In numbered files, of which only the newest are kept; no line is torn or lost meanwhile."""
    for number in range(8):
        send(path, number, max_size="700B", keep=2)  # two lines fit
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "events.000002.jsonl",
        "events.000003.jsonl",
        "events.jsonl",
    ]
    assert ids(path.with_name("events.000002.jsonl")) == records(2, 3)
    assert ids(path) == records(6, 7)


def test_what_comes_again_is_known_from_the_file_put_aside(path: Path) -> None:
    """A crash right after the change of files doubles nothing."""
    send(path, 1, 2, max_size="700B")
    send(path, 3, max_size="700B")
    send(path, 2, 3, max_size="700B")
    assert ids(path.with_name("events.000001.jsonl")) + ids(path) == records(1, 2, 3)


def test_each_day_has_its_file(path: Path) -> None:
    """Also when the change of the day was missed, and never an empty one."""
    clock = ManualClock()
    config = JsonlConfig(path=path, daily=True)
    sink = JsonlSink(config, SinkContext(SITE, clock=clock))
    sink.send([an_event(1)])
    clock.advance(DAY_S)
    sink.send([an_event(2)])
    sink.close()
    assert ids(path.with_name("events.000001.jsonl")) == records(1)
    os.utime(path, (clock.now(), clock.now()))
    clock.advance(3 * DAY_S)
    sink = JsonlSink(config, SinkContext(SITE, clock=clock))
    sink.send([an_event(3)])
    sink.close()
    assert ids(path.with_name("events.000002.jsonl")) == records(2)
    assert ids(path) == records(3)


@pytest.mark.parametrize(
    ("sync", "forced"),
    [
        ("always", [1, 2, 3, 3]),  # at every batch, and nothing is left at the end
        ("interval", [0, 0, 1, 2]),  # once the interval is over, and what is left at the end
        ("never", [0, 0, 0, 0]),
    ],
)
def test_lines_are_forced_to_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch, sync: str, forced: list[int]
) -> None:
    """As often as `sync` says; the last figure is after closing."""
    clock = ManualClock()
    config = JsonlConfig.model_validate({"path": path, "sync": sync, "sync_every": "10s"})
    sink = JsonlSink(config, SinkContext(SITE, clock=clock))
    sink.send([])  # opens the file, which forces its name to the disk
    calls: list[int] = []
    fsync = os.fsync

    def counted(file: int) -> None:
        calls.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", counted)
    seen = []
    for number in range(3):
        sink.send([an_event(number)])
        seen.append(len(calls))
        clock.advance(6)
        if number == 2:
            sink.send([an_event(3)]) if sync == "interval" else None
    sink.close()
    assert [*seen, len(calls)] == forced


def test_something_else_than_a_file_is_refused(tmp_path: Path) -> None:
    """A folder or a device cannot hold lines that may not be duplicated."""
    with pytest.raises(SinkError, match="it is not a regular file"):
        send(tmp_path, 1)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("700B", 700),
        ("500kB", 500_000),
        ("100 MB", 100_000_000),
        ("1GiB", 2**30),
        ("1.5 MB", 1_500_000),
    ],
)
def test_sizes(written: str, size: int) -> None:
    """Have a unit."""
    assert JsonlConfig.model_validate({"path": "x", "max_size": written}).max_size == size


@pytest.mark.parametrize("written", ["100", 100, True, "1,5 MB", "MB", "100 mB"])
def test_sizes_without_a_unit_are_refused(written: object) -> None:
    """With a word on how to write them."""
    with pytest.raises(ValidationError, match="write it like 500kB"):
        JsonlConfig.model_validate({"path": "x", "max_size": written})


def test_the_words_all_sinks_share() -> None:
    """`only` and `not` take a name or a list of them; the type tells sinks apart."""
    config = TypeAdapter[Any](SinkConfig).validate_python(
        {"type": "jsonl", "path": "a/../b.jsonl", "only": "door*", "not": ["till", "yard"]}
    )
    assert isinstance(config, JsonlConfig)
    assert (config.only, config.without) == (("door*",), ("till", "yard"))
    assert config.give_up_after == timedelta(days=7)
    assert config.resource() == str(Path.cwd().resolve() / "b.jsonl")


def test_who_stood_still_writes_nothing_twice(tmp_path: Path) -> None:
    """Another process has written the same meanwhile, also into a file that follows."""
    for fields in ({}, {"max_size": "10kB", "keep": 1000}):
        path = tmp_path / f"{len(fields)}.jsonl"
        config = JsonlConfig.model_validate({"path": path, **fields})
        stood_still, goes_on = config.build(SinkContext(SITE)), config.build(SinkContext(SITE))
        events = [an_event(number) for number in range(60)]
        stood_still.send(events[:5])
        for number in range(5, 55, 5):
            goes_on.send(events[number : number + 5])
        stood_still.send(events[30:60])
        stood_still.close()
        goes_on.close()
        files = sorted(tmp_path.glob(f"{len(fields)}.*"), key=lambda file: (file == path, file))
        lines = [line for file in files for line in file.read_text().splitlines()]
        assert [json.loads(line)["id"] for line in lines] == [one.record_id for one in events]


def test_a_file_that_another_process_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: a process that is suspended just then does not let go."""
    monkeypatch.setattr(_appending, "_ALONE_WITHIN_S", 0.05)
    sink = JsonlConfig(path=tmp_path / "events.jsonl").build(SinkContext(SITE))
    with (
        _appending.alone_in(tmp_path),
        pytest.raises(SinkError, match="another process is writing there; it may be suspended"),
    ):
        sink.send([an_event(1)])
    sink.send([an_event(1)])
    sink.close()
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 1
