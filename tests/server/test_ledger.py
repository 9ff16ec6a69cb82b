"""The ledger loses nothing that it said it has: stores away, full disks, crashes and stops."""

import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.accounts import DAY_S, NO_LIMITS, KeyLimits, UsageBy, UsageQuestion
from pipeline.server.accounts import Accounts, LedgerRetention
from pipeline.server.errors import ApiError
from pipeline.server.keys import make_key
from pipeline.server.ledger import Ledger
from pipeline.server.limits import KeyGate
from pipeline.server.prices import LedgerConfig
from pipeline.testing import ManualClock, patience, wait_until
from tests.connectors.stores.postgres import server_url
from tests.contracts.accounts import NOON, entry


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the test."""
    return ManualClock(NOON)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SqlStore]:
    """A store that does not wait long for a lock."""
    store = SqlStore(f"sqlite:///{tmp_path}/serve.db", clock, patience_s=0.1)
    yield store
    store.close()


@pytest.fixture
def open_ledger(
    store: SqlStore, clock: ManualClock, tmp_path: Path
) -> Iterator[Callable[..., Ledger]]:
    """Opens a ledger over the store, with a spool unless told otherwise."""
    opened = []

    def make(*, spools: bool = True, most_waiting: int = 100, most_spooled: int = 10**6) -> Ledger:
        ledger = Ledger(
            store.accounts,
            clock,
            tmp_path / "spool" if spools else None,
            most_waiting=most_waiting,
            most_spooled=most_spooled,
        )
        opened.append(ledger)
        return ledger

    yield make
    for ledger in opened:
        ledger.close()


def requests(store: SqlStore) -> int:
    """How many are in the accounts."""
    return sum(total.requests for total in store.accounts.usage(UsageQuestion()))


def spooled(tmp_path: Path) -> list[Path]:
    """The files that wait for the store."""
    return sorted((tmp_path / "spool").glob("*"))


def test_what_is_noted_is_written(store: SqlStore, open_ledger: Callable[..., Ledger]) -> None:
    """By the thread, within a moment."""
    ledger = open_ledger()
    ledger.start()
    for number in range(10):
        ledger.note(entry(number))
    wait_until(lambda: requests(store) == 10)
    wait_until(lambda: ledger.state.written == 10)
    assert ledger.state.waiting == 0


def test_a_normal_stop_loses_nothing(store: SqlStore, open_ledger: Callable[..., Ledger]) -> None:
    """What was noted just before it is written."""
    ledger = open_ledger()
    ledger.start()
    for number in range(90):
        ledger.note(entry(number))
    ledger.close()
    ledger.close()
    assert requests(store) == 90


def test_a_locked_store_is_written_later(
    store: SqlStore,
    open_ledger: Callable[..., Ledger],
    clock: ManualClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Entries wait in a file of their own, which only we can read; each is there once after all."""
    caplog.set_level(logging.INFO)
    ledger = open_ledger()
    with store._database.write("hold the lock"):
        for number in range(3):
            ledger.note(entry(number))
            ledger.write()
            clock.advance(5)
        state = ledger.state
        assert (state.written, state.waiting, state.spooled, state.lost) == (0, 0, 3, 0)
        assert state.trouble is not None
        assert "requests wait to be written to the accounts" in state.trouble
        [file] = spooled(tmp_path)
        assert file.stat().st_mode & 0o077 == 0
        assert [record.levelname for record in caplog.records] == ["ERROR"]
    ledger.note(entry(3))
    ledger.write()
    assert requests(store) == 4
    assert ledger.state.trouble is None
    assert ledger.state.spooled == 0
    assert spooled(tmp_path) == []
    assert caplog.records[-1].getMessage() == "the accounts can be written again"


def test_what_waits_is_written_without_another_request(
    store: SqlStore, open_ledger: Callable[..., Ledger], clock: ManualClock
) -> None:
    """A night without callers does not leave the day's accounts in a file."""
    ledger = open_ledger()
    with store._database.write("hold the lock"):
        ledger.note(entry())
        ledger.write()
    ledger.write()
    assert requests(store) == 0  # not tried again at once
    clock.advance(5)
    ledger.write()
    assert requests(store) == 1
    assert ledger.state.trouble is None


def test_a_stop_while_the_store_is_away(
    store: SqlStore, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    """The next process takes up what was left, a line that was cut passed over."""
    ledger = open_ledger()
    with store._database.write("hold the lock"):
        for number in range(5):
            ledger.note(entry(number))
        ledger.close()
    assert requests(store) == 0
    [file] = spooled(tmp_path)
    with file.open("ab") as torn:
        torn.write(b'{"id":"abc"}\n["x"]\n\xff\n' + b'{"id":"00')
    open_ledger().write()
    assert requests(store) == 5
    assert spooled(tmp_path) == []


def test_lines_of_other_releases_are_read(
    store: SqlStore, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    """What this one wrote is read for ever: with a field more, or without one that came later."""
    ledger = open_ledger()
    with store._database.write("hold the lock"):
        ledger.note(entry())
        ledger.close()
    [file] = spooled(tmp_path)
    written = json.loads(file.read_bytes())
    assert written == {
        "id": f"{1:032x}", "at": NOON, "request_id": "req_1", "key_id": "aaaaaaaaaa",
        "key_name": "shop", "skill": "query", "model": "moondream2", "outcome": "done",
        "status": 200, "error": "", "pictures": 1, "crops": 3, "image_tokens": 730,
        "prompt_tokens": 742, "completion_tokens": 5, "reasoning_tokens": 2, "bytes_in": 1000,
        "queued_ms": 1.0, "prefill_ms": 20.0, "decode_ms": 30.0, "seconds": 0.06, "cost": 626_000,
        "currency": "USD",
    }  # fmt: skip
    later = {**written, "id": "2", "colour": "red"}
    earlier = {**written, "id": "3"}
    del earlier["currency"], earlier["crops"]
    wrong = {**written, "id": "4", "crops": "three"}
    lines = (json.dumps(line) for line in (written, later, earlier, wrong))
    file.write_text("".join(f"{line}\n" for line in lines))
    open_ledger().write()
    assert requests(store) == 3


def test_files_of_others_are_left_alone(
    store: SqlStore, open_ledger: Callable[..., Ledger], clock: ManualClock, tmp_path: Path
) -> None:
    """Those of a process at work, and those of another store."""
    at_work = open_ledger()
    elsewhere = Ledger(store.accounts, clock, tmp_path / "spool", place="another store")
    with store._database.write("hold the lock"):
        for number, ledger in enumerate((at_work, elsewhere)):
            ledger.note(entry(number))
            ledger.write()
    before = spooled(tmp_path)
    assert len(before) == 2
    open_ledger().write()
    assert spooled(tmp_path) == before
    clock.advance(5)
    at_work.write()
    assert requests(store) == 1
    elsewhere.close()
    assert requests(store) == 2


def test_without_a_spool_memory_is_bounded_and_losses_are_said(
    store: SqlStore, open_ledger: Callable[..., Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    """The newest are lost, counted, and said in the log and to `/health` until the end."""
    ledger = open_ledger(spools=False, most_waiting=10)
    with store._database.write("hold the lock"):
        for number in range(25):
            ledger.note(entry(number))
            ledger.write()
    assert ledger.state.lost == 15
    assert "missing in the accounts" in caplog.text
    ledger.close()
    assert requests(store) == 10
    assert ledger.state.trouble == (
        "15 requests are missing in the accounts: there was no room to keep them"
    )


@pytest.mark.parametrize("fault", ["full", "file in the way"])
def test_a_spool_that_cannot_be_written(
    store: SqlStore,
    open_ledger: Callable[..., Ledger],
    clock: ManualClock,
    tmp_path: Path,
    fault: str,
) -> None:
    """Entries stay in memory, as far as there is room, and are written once the store is back."""
    if fault == "file in the way":
        (tmp_path / "spool").write_text("")
    ledger = open_ledger(most_waiting=5, most_spooled=100)
    with store._database.write("hold the lock"):
        for number in range(8):
            ledger.note(entry(number))
            ledger.write()
        assert (ledger.state.waiting, ledger.state.lost) == (5, 3)
        assert "nor can they be put into" in (ledger.state.trouble or "")
    clock.advance(5)
    ledger.write()
    assert (requests(store), ledger.state.waiting) == (5, 0)


def test_noting_never_waits(
    store: SqlStore, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    """While the writer waits for a lock, ten thousand entries are taken in no time."""
    ledger = open_ledger(most_waiting=20_000)
    ledger.start()
    with store._database.write("hold the lock"):
        ledger.note(entry(0))
        began = time.perf_counter()
        slowest = 0.0
        for number in range(1, 10_000):
            before = time.perf_counter()
            ledger.note(entry(number))
            slowest = max(slowest, time.perf_counter() - before)
        assert time.perf_counter() - began < patience(2)
        assert slowest < patience(0.1)
    ledger.close()
    left = sum(len(file.read_bytes().splitlines()) for file in spooled(tmp_path))
    assert requests(store) + left == 10_000
    open_ledger().write()
    assert requests(store) == 10_000


_CRASHES = """
import sys
from pathlib import Path
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.server.ledger import Ledger
from tests.contracts.accounts import entry

store = SqlStore(sys.argv[1], SystemClock(), patience_s=0.1)
ledger = Ledger(store.accounts, SystemClock(), Path(sys.argv[2]))
ledger.start()
number = 0
while True:
    for _ in range(50):
        ledger.note(entry(number))
        number += 1
    while ledger.state.waiting:
        pass
    print(ledger.state.written + ledger.state.spooled, flush=True)
"""


def test_a_crash_loses_nothing_that_was_brought_away(tmp_path: Path) -> None:
    """Killed while it writes and the store comes and goes: all it had said is there, each once."""
    url, spool = f"sqlite:///{tmp_path}/serve.db", tmp_path / "spool"
    SqlStore(url).close()
    with subprocess.Popen(
        [sys.executable, "-c", _CRASHES, url, str(spool)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        said = 0
        with closing(sqlite3.connect(tmp_path / "serve.db")) as other:
            for turn in range(4):
                said = int(process.stdout.readline())
                if turn == 1:
                    other.execute("BEGIN IMMEDIATE")
            process.send_signal(signal.SIGKILL)
            process.wait()
            other.rollback()
    store = SqlStore(url)
    try:
        ledger = Ledger(store.accounts, ManualClock(NOON), spool)
        ledger.write()
        assert said >= 100
        assert requests(store) >= said
        with closing(sqlite3.connect(tmp_path / "serve.db")) as read:
            rows, distinct = read.execute(
                "SELECT count(*), count(DISTINCT id) FROM moonwatch_ledger"
            ).fetchone()
        assert rows == distinct == requests(store)
        assert spooled(tmp_path) == []
    finally:
        store.close()


def test_two_processes_write_one_account(
    store: SqlStore, open_ledger: Callable[..., Ledger]
) -> None:
    """Their totals are the sum of both."""
    ledgers = [open_ledger(most_waiting=1000) for _ in range(2)]

    def work(place: int) -> None:
        for number in range(200):
            ledgers[place].note(entry(1000 * place + number))
            if number % 20 == 0:
                ledgers[place].write()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in ledgers:
        ledger.close()
    again = open_ledger()
    again.write()
    assert requests(store) == 400


def test_old_requests_are_forgotten_and_totals_stay(store: SqlStore, clock: ManualClock) -> None:
    """After the time that the file says."""
    retention = LedgerRetention(store, timedelta(days=400), clock)
    store.accounts.keep([entry(number, NOON + number * DAY_S) for number in range(3)])
    assert retention.look() == 0
    days = 0
    while days < 401:
        clock.advance(DAY_S)
        days += 1
        retention.look()
    assert store.accounts.oldest_entry() == NOON + DAY_S
    [total] = store.accounts.usage(UsageQuestion())
    assert total.requests == 3


def test_a_clock_that_jumps_ahead_forgets_nothing(store: SqlStore, clock: ManualClock) -> None:
    """A year with a wrong digit at a start must not empty the ledger; nor one before 2020."""
    store.accounts.keep([entry()])
    LedgerRetention(store, timedelta(days=400), clock).look()
    clock._at += 3650 * DAY_S
    retention = LedgerRetention(store, timedelta(days=400), clock)
    for _ in range(24):
        clock.advance(3600)
        assert retention.look() == 0
    clock._at = 1000.0
    assert retention.look() == 0
    assert store.accounts.oldest_entry() == NOON


def test_accounts_open_and_close_as_one(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, a request, and all of it in the store after the end; no trouble on the way."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    config = StoreConfig.model_validate({"url": f"sqlite:///{tmp_path}/serve.db"})
    store = config.build(clock)
    secret, record = make_key("shop", NOON, limits=NO_LIMITS)
    store.accounts.add_key(record)
    accounts = Accounts(config, clock, ledger=LedgerConfig())
    accounts.start()
    entered = accounts.gate.enter(None, secret.reveal(), pictures=1, client_host="")
    entered.finish(request_id="r", skill="query", model="m")
    entered.release()
    assert accounts.troubles == []
    accounts.close()
    accounts.close()
    [total] = store.accounts.usage(UsageQuestion((UsageBy.KEY, UsageBy.DAY)))
    assert (total.key, total.day, total.requests) == ("shop", 20_000, 1)
    store.close()


def test_ids_of_entries_come_in_the_order_of_time(tmp_path: Path, clock: ManualClock) -> None:
    """So that the index of millions of them grows at its end."""
    config = StoreConfig.model_validate({"url": f"sqlite:///{tmp_path}/serve.db"})
    accounts = Accounts(config, clock, wants_keys=False, spool=tmp_path / "spool")
    ids = []
    for _ in range(20):
        clock.advance(0.01)
        entered = accounts.gate.enter(None, None, pictures=0, client_host="")
        ids.append(entered.finish(request_id="same", skill="query", model="m").id)
    accounts.close()
    assert ids == sorted(set(ids))


def test_postgresql_goes_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Callers with a known key are let in as before, and what they did waits in a file."""
    clock = ManualClock(NOON)
    with server_url() as url:
        store = SqlStore(url, clock, patience_s=1.0)
        try:
            secret, record = make_key("shop", NOON, limits=KeyLimits(pictures_per_day=2))
            store.accounts.add_key(record)
            ledger = Ledger(store.accounts, clock, tmp_path / "spool")
            gate = KeyGate(store.accounts, ledger, clock)
            request(gate, secret.reveal())
            ledger.write()
            gate.follow()
            assert ledger.state.written == 1
            assert gate.remarks == []
        finally:
            store.close()
    request(gate, secret.reveal())
    ledger.write()
    gate.follow()
    state = ledger.state
    assert (state.written, state.spooled, state.lost) == (1, 1, 0)
    assert gate.remarks == [
        "keys and limits are as they were last known",
        "requests wait to be written to the accounts",
    ]
    with pytest.raises(ApiError, match="2 pictures a day, and 2 are used"):
        request(gate, secret.reveal())
    assert secret.reveal() not in caplog.text
    ledger.close()
    assert len(spooled(tmp_path)) == 1


def request(gate: KeyGate, key: str) -> None:
    """A request with a picture, from its beginning to its end."""
    entered = gate.enter(None, key, pictures=1, client_host="192.0.2.1")
    entered.finish(request_id="r", skill="query", model="m")
    entered.release()
