"""A store has one run, which says so in it; whatever happens to the run or the file."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.errors import StoreError
from pipeline.core.store import DELIVER, RUN, LeaseOwner, LeaseRecord
from pipeline.deployment.loader import load
from pipeline.insight.status import status_of
from pipeline.runtime.ownership import LEASE_TTL, StoreLease
from pipeline.testing import ManualClock, patience, wait_until
from tests.architecture.source_tree import ROOT
from tests.cli.commands import moonwatch
from tests.cli.test_run import ids
from tests.pausing import pause
from tests.runtime.clips import CLIP, camera, cut, deployment, written
from tests.runtime.fleet import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class Running:
    """A `moonwatch run` that writes its log into a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Everything it wrote."""
        return self.log.read_text()

    def ended(self, within_s: float = 20.0) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(patience(within_s))


@dataclass
class Shop:
    """A deployment whose recording is played at its own speed, again and again."""

    folder: Path
    running: list[Running]

    def __post_init__(self) -> None:
        cameras = {"plaza": camera(CLIP, loop=True, speed="realtime")}
        self.file = written(self.folder, deployment(self.folder, cameras))
        self.database = self.folder / "events.db"
        self.sink = self.folder / "events.jsonl"

    def run(self, *options: str) -> Running:
        """One more run on the store."""
        log = self.folder / f"run{len(self.running)}.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "pipeline", "run", str(self.file), *options]
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        self.running.append(Running(process, log))
        return self.running[-1]

    def owner(self) -> LeaseRecord | None:
        """Whose the store is; nobody's while it is not there."""
        try:
            store = SqlStore(f"sqlite:///{self.database}", read_only=True)
        except StoreError:
            return None
        try:
            return store.lease(RUN)
        finally:
            store.close()

    def owned_by(self, run: Running) -> None:
        """Wait until a run owns the store."""

        def is_owner() -> bool:
            assert run.process.poll() is None, run.said()
            record = self.owner()
            return record is not None and record.owner.pid == run.process.pid

        wait_for(is_owner, patience(30), run.said)

    def kept(self) -> list[str]:
        """The ids of the events in the store."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("SELECT record_id FROM moonwatch_events ORDER BY position")
            return [row[0] for row in rows]

    def delivered(self) -> list[str]:
        """The ids of the events in the sink."""
        return ids(self.sink.read_bytes()) if self.sink.exists() else []

    def work(self, run: Running, events: int = 1) -> None:
        """Wait until so many more events have reached the sink."""
        wanted = len(self.delivered()) + events
        wait_for(lambda: len(self.delivered()) >= wanted, patience(40), run.said)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Nobody runs yet."""
    shop = Shop(tmp_path, [])
    yield shop
    for run in shop.running:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait(patience(10))


def test_a_second_run_is_refused_with_who_and_since_when(shop: Shop) -> None:
    """Exit code 2 and a sentence with host, process and the site's time; the first goes on."""
    first = shop.run()
    shop.owned_by(first)
    code, _, errors = moonwatch("run", shop.file)
    record = shop.owner()
    assert record is not None
    since = datetime.fromtimestamp(record.since, ZoneInfo("Europe/London"))
    assert code == 2, errors
    assert f"process {first.process.pid} on {socket.gethostname()}" in errors
    assert since.isoformat(timespec="seconds") in errors
    assert "--wait" in errors
    shop.work(first)
    first.process.terminate()
    assert first.ended() == 0, first.said()
    assert len(set(shop.kept())) == len(shop.kept())
    assert shop.delivered() == shop.kept()


def test_two_that_start_together_double_nothing(tmp_path: Path) -> None:
    """One of them does the work, the other one is refused or finds nothing more to do."""
    clip = cut(tmp_path / "clip.mp4", 8.0)
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(clip, speed="realtime")}))
    command = [sys.executable, "-m", "pipeline", "run", str(file)]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for one in both:
        one.communicate(timeout=patience(60))
    assert sorted(one.returncode for one in both) == [0, 2]
    happened = ids((tmp_path / "events.jsonl").read_bytes())
    assert len(happened) > 5
    assert len(set(happened)) == len(happened)


def test_a_run_waits_for_the_end_of_another(shop: Shop) -> None:
    """With `--wait`: said once; it goes on when the first ends, and SIGTERM ends the waiting."""
    first = shop.run()
    shop.owned_by(first)
    patient, other = shop.run("--wait"), shop.run("--wait")
    for one in (patient, other):
        wait_for(lambda one=one: "waiting for the store: " in one.said(), patience(30), one.said)  # type: ignore[misc]
    other.process.terminate()
    assert other.ended() == 0, other.said()
    assert f"process {first.process.pid} on" in patient.said()
    first.process.terminate()
    assert first.ended() == 0, first.said()
    shop.owned_by(patient)
    shop.work(patient)
    assert patient.said().count("waiting for the store: ") == 1


def test_after_a_kill_the_next_run_starts_by_itself(shop: Shop) -> None:
    """Nobody has to clean up: the store counts as left after a few seconds."""
    first = shop.run()
    shop.owned_by(first)
    shop.work(first)
    first.process.kill()
    first.process.wait()
    second = shop.run()
    shop.owned_by(second)
    shop.work(second)
    second.process.terminate()
    assert second.ended() == 0, second.said()
    assert shop.delivered() == shop.kept()


def test_a_run_that_lost_its_store_while_paused_writes_nothing_more(shop: Shop) -> None:
    """On waking it says who has taken over, and ends with 1; not a byte of the store changes.

    A sink may get what was in its lane's hands when it was paused, and nothing after that.
    """
    first = shop.run()
    shop.owned_by(first)
    shop.work(first)
    store = opened_while_paused(shop, first)
    try:
        clock = ManualClock()
        me = LeaseOwner("taker", "elsewhere", 77)
        taker, sender = (StoreLease(store, name, me, clock) for name in (RUN, DELIVER))
        for _ in range(2):
            taker.look()
            sender.look()
            clock.advance(LEASE_TTL.total_seconds())
        assert taker.proof is not None
        assert sender.proof is not None
        before, sent = everything(shop.database), shop.delivered()
        first.process.send_signal(signal.SIGCONT)
        assert first.ended() == 1, first.said()
        assert "taken over while this process was suspended" in first.said()
        assert "process 77 on elsewhere" in first.said()
        assert everything(shop.database) == before
        assert shop.delivered()[: len(sent)] == sent
        assert shop.delivered() == shop.kept()[: len(shop.delivered())]
        assert taker.holds(taker.proof)
    finally:
        store.close()


def opened_while_paused(shop: Shop, run: Running) -> SqlStore:
    """The store, with a run paused at a moment when it is not writing, which would lock it."""
    deadline = time.monotonic() + patience(20)
    while True:
        pause(run.process.pid)
        try:
            return SqlStore(f"sqlite:///{shop.database}", patience_s=0.1)
        except StoreError:
            assert time.monotonic() < deadline
            run.process.send_signal(signal.SIGCONT)
            time.sleep(0.1)


def everything(database: Path) -> dict[str, list[Any]]:
    """All that a store holds but for the leases and what processes report of themselves."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        ours = ("moonwatch_leases", "moonwatch_presence")
        tables = [name for (name,) in names if name not in ours]
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def test_status_says_whether_it_runs_and_when_it_ended(shop: Shop) -> None:
    """With the queue in memory, of which nothing else is seen; a killed one is a trouble."""

    def state() -> str:
        found = status_of(load(shop.file, []), SystemClock())
        assert found.run is not None
        assert (found.run.state in found.troubles) == found.run.state.startswith("run did not shut")
        return found.run.state

    first = shop.run()
    shop.owned_by(first)
    at_work = f", process {first.process.pid} on {socket.gethostname()}"
    assert state().startswith("run has been active since 20")
    assert at_work in state()
    assert at_work in moonwatch("status", shop.file)[1]
    first.process.terminate()
    assert first.ended() == 0, first.said()
    assert state().startswith("run ended at 20")
    second = shop.run()
    shop.owned_by(second)
    pause(second.process.pid)
    wait_until(lambda: ", last heard " in state())
    second.process.send_signal(signal.SIGCONT)
    wait_until(lambda: ", last heard " not in state())
    second.process.kill()
    os.waitid(os.P_PID, second.process.pid, os.WEXITED | os.WNOWAIT)
    # At the first look, though it renewed its record just now, and before its parent has noticed.
    gone = f"cleanly: process {second.process.pid} on {socket.gethostname()} is gone; it was last"
    assert gone in state()
    second.process.wait()
    code, told, _ = moonwatch("status", shop.file)
    assert code == 1
    assert gone in " ".join(told.split())


@contextmanager
def copied(database: Path) -> Iterator[Path]:
    """A back-up, to be put back in the place of its original."""
    copy = database.with_name("copy.db")
    with closing(sqlite3.connect(database)) as source:
        source.execute(f"VACUUM INTO '{copy}'")
    yield copy


@pytest.mark.parametrize("how", ["mv", "rm"])
def test_a_file_that_is_replaced_at_work_is_opened_anew(shop: Shop, how: str) -> None:
    """Said once; judging and delivery go on with the new file, which stays whole."""
    run = shop.run()
    shop.owned_by(run)
    shop.work(run, 3)
    with copied(shop.database) as copy:
        shop.work(run, 3)
        if how == "mv":
            in_copy = count(copy)
            copy.replace(shop.database)
        else:
            in_copy = 0
            shop.database.unlink()

    def goes_on() -> bool:
        return (
            shop.database.exists() and has_table(shop.database) and count(shop.database) > in_copy
        )

    wait_for(goes_on, patience(40), run.said)
    shop.work(run, 3)
    out = moonwatch("status", shop.file, "--json")[1]
    assert json.loads(out)["run"]["is_alive"], out
    run.process.terminate()
    assert run.ended() == 0, run.said()
    said = run.said()
    assert (
        said.count("was replaced; opening the new file" if how == "mv" else "was deleted; unless")
        == 1
    ), said
    kept = shop.kept()
    assert set(kept[in_copy:]) <= set(shop.delivered())
    assert shop.delivered()[-1] == kept[-1]
    with closing(sqlite3.connect(shop.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (position,) = connection.execute("SELECT position FROM moonwatch_cursors").fetchone()
        assert (
            position
            == connection.execute("SELECT max(position) FROM moonwatch_events").fetchone()[0]
        )


def has_table(database: Path) -> bool:
    """Whether the tables of a new file are there."""
    with closing(sqlite3.connect(database)) as connection:
        return bool(
            connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'moonwatch_leases'"
            ).fetchone()
        )


def count(database: Path) -> int:
    """How many events a store holds."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM moonwatch_events").fetchone()[0])
