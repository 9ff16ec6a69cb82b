"""Other users of the machine: what moonwatch writes about people is not for them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sinks.jsonl import JsonlConfig
from connectors.stores import StoreConfig
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, SinkError
from pipeline.core.private_files import let_group_read
from pipeline.core.sinks import SinkContext
from pipeline.core.store import Commit
from pipeline.deployment.loader import load
from pipeline.insight.status import status_of
from pipeline.processing.track_log import TrackRecorder
from tests.cli.commands import moonwatch
from tests.contracts.event_tools import an_event
from tests.runtime.clips import camera, cut, deployment, written


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What most machines have: everybody may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)
    let_group_read(False)


def modes(folder: Path) -> dict[str, int]:
    """The mode of everything in a folder."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("group", [False, True])
def test_everything_that_a_run_writes(tmp_path: Path, group: bool) -> None:
    """Database, pictures, events, tracks and the drawn clip: its user alone, or also its group."""
    clip = cut(tmp_path / "plaza.mp4", 3.0)
    written_to = tmp_path / "new" / "shop"
    more: dict[str, Any] = {"files": {"group": True}} if group else {}
    content = deployment(written_to, {"plaza": camera(clip)}, **more)
    file = written(tmp_path, content)
    tracks, out = written_to / "tracks.jsonl", written_to / "drawn" / "out.mp4"
    code, _, errors = moonwatch("run", file, "--record", tracks)
    assert code == 0, errors
    code, _, errors = moonwatch("render", file, "--tracks", tracks, "--out", out)
    assert code == 0, errors
    found = modes(tmp_path / "new")
    assert any(name.endswith(".jpg") for name in found)
    for name in ("shop/events.db", "shop/events.jsonl", "shop/tracks.jsonl", "shop/drawn/out.mp4"):
        assert found[name] == (0o640 if group else 0o600), name
    allowed = 0o750 if group else 0o700
    for name, mode in {**found, ".": stat.S_IMODE((tmp_path / "new").stat().st_mode)}.items():
        assert mode & ~allowed == 0, name


def test_the_write_ahead_log_of_a_running_store(tmp_path: Path) -> None:
    """It holds the newest events, and has the mode of its database."""
    store = StoreConfig(url=f"sqlite:///{tmp_path}/new/events.db").build()
    store.commit(Commit(events=[an_event(1)]))
    assert {"events.db", "events.db-wal", "events.db-shm"} == set(modes(tmp_path / "new"))
    assert set(modes(tmp_path / "new").values()) == {0o600}
    store.close()


def test_files_put_aside_by_a_sink(tmp_path: Path) -> None:
    """A new file after rotation is as closed as the first one."""
    sink = JsonlConfig.model_validate(
        {"path": tmp_path / "e" / "events.jsonl", "max_size": "400B"}
    ).build(SinkContext("shop"))
    for number in range(5):
        sink.send([an_event(number)])
    sink.close()
    assert len(modes(tmp_path / "e")) > 2
    assert set(modes(tmp_path / "e").values()) == {0o600}


def test_a_stricter_umask_is_respected(tmp_path: Path) -> None:
    """The group may read, but the user's umask takes that away."""
    os.umask(0o077)
    let_group_read(True)
    StoreConfig(url=f"sqlite:///{tmp_path}/new/events.db").build().close()
    assert modes(tmp_path / "new")["events.db"] == 0o600


def test_a_database_that_everybody_can_read_already(tmp_path: Path) -> None:
    """Its mode was somebody's decision, so it stays; `status` says what helps."""
    content = deployment(tmp_path, {"plaza": camera(tmp_path / "x.mp4")})
    loaded = load(written(tmp_path, content), [])
    loaded.store.build().close()
    (tmp_path / "events.db").chmod(0o644)
    loaded.store.build().close()
    assert modes(tmp_path)["events.db"] == 0o644
    (note,) = [n for n in status_of(loaded, SystemClock()).notes if "every user" in n]
    assert f"chmod o= {tmp_path}/events.db*" in note
    (tmp_path / "events.db").chmod(0o640)
    assert not [n for n in status_of(loaded, SystemClock()).notes if "every user" in n]


NOTES = b"tomorrow: call the bank\nand the landlord, without a line end"


def test_events_into_a_file_that_holds_something_else(tmp_path: Path) -> None:
    """The owner's notes are neither cut off at their last line nor continued."""
    notes = tmp_path / "notes.txt"
    notes.write_bytes(NOTES)
    sink = JsonlConfig(path=notes).build(SinkContext("shop"))
    with pytest.raises(SinkError, match=r"notes.txt .* holds something else than events; name"):
        sink.send([an_event(1)])
    assert notes.read_bytes() == NOTES


def test_files_of_somebody_else_among_those_put_aside(tmp_path: Path) -> None:
    """An export named after a month looks like a rotated file: it stays as it is."""
    export = tmp_path / "events.202611.jsonl"
    export.write_bytes(b'{"month": "November"}\n')
    sink = JsonlConfig.model_validate(
        {"path": tmp_path / "events.jsonl", "max_size": "400B", "keep": 1}
    ).build(SinkContext("shop"))
    for number in range(9):
        sink.send([an_event(number)])
    sink.close()
    assert export.read_bytes() == b'{"month": "November"}\n'
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3, names


def test_tracks_into_a_file_that_holds_something_else(tmp_path: Path) -> None:
    """`run --record shop.yaml` would have emptied the deployment file."""
    notes = tmp_path / "shop.yaml"
    notes.write_bytes(NOTES)
    with pytest.raises(ConfigError, match="holds something else than recorded tracks"):
        TrackRecorder(notes)
    assert notes.read_bytes() == NOTES
    again = tmp_path / "tracks.jsonl"
    for _ in range(2):
        TrackRecorder(again).close()


@pytest.mark.slow
def test_a_clip_drawn_onto_itself(tmp_path: Path) -> None:
    """`render --out` with the recording's own name is refused, and the recording is whole."""
    clip = cut(tmp_path / "plaza.mp4", 1.0)
    before = clip.read_bytes()
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip)}))
    tracks = tmp_path / "tracks.jsonl"
    tracks.write_bytes(b"")
    for out in (clip, tracks):
        code, _, errors = moonwatch("render", file, "--tracks", tracks, "--out", out)
        assert code == 2
        assert "name another file" in errors
    assert clip.read_bytes() == before
