"""Two processes deliver in turn; the lease is taken over at moments of chance."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from connectors.sinks._appending import alone_in
from connectors.stores.sql import SqlStore
from pipeline.core.errors import StoreError
from pipeline.core.store import DELIVER, Commit
from pipeline.testing import patience, wait_until
from tests.contracts.event_tools import an_event
from tests.delivery.far_ends import FarEnd
from tests.delivery.standing_by import SINK
from tests.delivery.test_all_sinks import (
    ROOT,
    SLOW_TO_CONNECT,
    far_end,
    without_repetitions,
)
from tests.pausing import pause

# Every third owner is killed, the others sleep while the lease is taken over.
_ROUNDS = 6
_EVERY_S = 0.01
_MOST_BEHIND = 300
_TAKEN_OVER = ("archive", "csv", "jsonl", "kafka", "mail", "mqtt", "nats", "redis_stream", "stdout")


class _Pair:
    """Two processes that deliver the events of one store, of which at most one is suspended."""

    def __init__(self, end: FarEnd, folder: Path) -> None:
        self._end = end
        self._folder = folder
        self.store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
        self.store.register_sinks([SINK], [SINK])
        self.members: dict[int, subprocess.Popen[bytes]] = {}
        self.made = 0
        self._enough = threading.Event()
        self._maker = threading.Thread(target=self._make)
        for _ in range(2):
            self.start()
        self._maker.start()

    def start(self) -> None:
        """One more process."""
        command = [sys.executable, "-W", "error", "-m", "tests.delivery.standing_by"]
        told = [str(self._folder), json.dumps(self._end.config)]
        stdout = (self._folder.parent / "end" / "stdout").open("ab")
        stderr = (self._folder / "errors").open("ab")
        with stdout, stderr:
            made = subprocess.Popen([*command, *told], cwd=ROOT, stdout=stdout, stderr=stderr)
        self.members[made.pid] = made

    def end(self, pid: int) -> None:
        """Kill it."""
        member = self.members.pop(pid)
        member.kill()
        member.wait(patience(20))

    def owner(self) -> int | None:
        """The process that delivers."""
        record = self.store.lease(DELIVER)
        held = record is not None and record.ended_at is None
        return record.owner.pid if record is not None and held else None

    def is_at_work(self) -> None:
        """Wait until what is new by now is delivered."""
        before = self.store.cursor(SINK).position
        wait_until(lambda: self.store.cursor(SINK).position > before, 30)

    def is_not(self, pid: int) -> None:
        """Wait until another one delivers."""
        wait_until(lambda: self.owner() not in {None, pid}, 30)
        self.is_at_work()

    def suspend(self, chance: random.Random, longest_s: float) -> int:
        """Stop the owner at a moment of chance, but not while it keeps others from writing.

        Within a transaction of SQLite, or while it holds the folder that it appends to, nobody
        could take over; all would wait for it.
        """
        while True:
            owner = self.owner()
            assert owner is not None
            time.sleep(chance.uniform(0, longest_s))
            pause(owner)
            if self._can_be_written():
                return owner
            os.kill(owner, signal.SIGCONT)
            self.is_at_work()

    def _can_be_written(self) -> bool:
        places = self._folder.parent / "end"
        for folder in (places, *(place for place in places.rglob("*") if place.is_dir())):
            try:
                with alone_in(folder):
                    pass
            except OSError:
                return False
        with closing(sqlite3.connect(self._folder / "moonwatch.db", timeout=1.0)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            database.rollback()
            return True

    def finish(self) -> list[str]:
        """Deliver the rest, and end well; returns the ids of all events."""
        self._enough.set()
        self._maker.join(patience(20))
        wait_until(lambda: self.store.cursor(SINK).behind == 0, 60)
        wait_until(lambda: all((self._folder / str(pid)).exists() for pid in self.members), 30)
        for member in self.members.values():
            member.terminate()
        ended = {member.wait(patience(20)) for member in self.members.values()}
        assert ended == {0}, (self._folder / "errors").read_text()
        assert self.store.undelivered(SINK) == []
        return [an_event(number).record_id for number in range(self.made)]

    def close(self) -> None:
        """However it went."""
        self._enough.set()
        self._maker.join(patience(20))
        for member in self.members.values():
            member.kill()
            member.wait(patience(20))
        self.store.close()

    def _make(self) -> None:
        while not self._enough.wait(_EVERY_S):
            events = [an_event(self.made), an_event(self.made + 1)]
            with suppress(StoreError):  # it is locked: the same ones once more
                # Some sinks take longer for an event than it takes to make one.
                if self.made - self.store.cursor(SINK).position < _MOST_BEHIND:
                    self.store.commit(Commit(events=events))
                    self.made += 2


@contextmanager
def _pair(end: FarEnd, folder: Path) -> Iterator[_Pair]:
    folder.mkdir()
    made = _Pair(end, folder)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("type_name", _TAKEN_OVER)
def test_a_lease_that_is_taken_over_at_any_moment_loses_nothing(
    type_name: str, tmp_path: Path
) -> None:
    """Each event arrives at least once, and exactly once where the sink's ids make it possible."""
    chance = random.Random(1)
    longest_s = 0.3 if type_name in SLOW_TO_CONNECT else 0.05
    with far_end(type_name, tmp_path) as end, _pair(end, tmp_path / "work") as pair:
        wait_until(lambda: pair.owner() is not None, 30)
        pair.is_at_work()
        for number in range(_ROUNDS):
            owner = pair.suspend(chance, longest_s)
            if number % 3 == 2:
                pair.end(owner)
                pair.start()
            pair.is_not(owner)
            if owner in pair.members:
                os.kill(owner, signal.SIGCONT)
        kept = pair.finish()
        wait_until(lambda: len(set(end.received())) >= len(kept), 30)
        received = end.received()
        assert without_repetitions(received) == kept
        if end.is_exact:
            assert received == kept
