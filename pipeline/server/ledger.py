"""The ledger: one entry for each request, written by a thread of its own.

Nothing waits for the store. What cannot be written there goes to a file in `spool`, from which it
is taken up again, by this process or by a later one; an entry that is written twice is there once.
"""

import fcntl
import hashlib
import json
import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, Final

from pipeline.core.accounts import AccountStore, LedgerEntry, RequestOutcome
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.private_files import make_folder, opened

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 100_000
"""Entries in memory; more are lost, which is counted and said."""
MOST_SPOOLED_BYTES: Final = 1_000_000_000
_AT_ONCE = 1000
_EVERY_S = 0.5
_AGAIN_AFTER_S = 2.0
_SAY_LOST_EVERY_S = 60.0
_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class LedgerState:
    """How the ledger does, for `/health` and metrics."""

    written: int
    waiting: int
    """In memory."""
    spooled: int
    """In this process's file, until the store takes them."""
    lost: int
    trouble: str | None
    """Why entries are not written where they belong; None if all is well."""


class Ledger:
    """Takes entries from any thread without ever waiting, and brings them to the store."""

    def __init__(
        self,
        accounts: AccountStore,
        clock: Clock,
        spool: Path | None = None,
        *,
        place: str = "",
        most_waiting: int = MOST_WAITING,
        most_spooled: int = MOST_SPOOLED_BYTES,
    ) -> None:
        """`spool` is a folder; what is left in it of the same `place`, a store, is taken up."""
        self._accounts = accounts
        self._clock = clock
        self._spool = None if spool is None else _Spool(spool, place, most_spooled)
        self._most_waiting = most_waiting
        self._waiting: deque[LedgerEntry] = deque()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._written = self._lost = self._lost_said = 0
        self._lost_said_at = float("-inf")
        self._again_at = float("-inf")
        self._store_trouble: str | None = None
        self._spool_trouble: str | None = None

    def note(self, entry: LedgerEntry) -> None:
        """Keep an entry; returns at once, and is lost only where memory's bound is reached."""
        with self._lock:
            if len(self._waiting) >= self._most_waiting:
                self._lost += 1
            else:
                self._waiting.append(entry)
            is_much = len(self._waiting) >= _AT_ONCE
        if is_much:
            self._wake.set()

    @property
    def state(self) -> LedgerState:
        """How it does now."""
        with self._lock:
            waiting, lost = len(self._waiting), self._lost
        spooled = self._spool.entries if self._spool is not None else 0
        trouble = self._store_trouble
        if trouble is not None and self._spool_trouble is not None:
            trouble = f"{trouble}; {self._spool_trouble}"
        if lost:
            said = f"{lost} requests are missing in the accounts: there was no room to keep them"
            trouble = f"{said}; {trouble}" if trouble else said
        return LedgerState(self._written, waiting, spooled, lost, trouble)

    def start(self) -> None:
        """Begin to write; without it, `write` does it."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def write(self) -> None:
        """Bring what waits to the store, or to the spool where the store cannot take it."""
        with self._writing:
            while self._write_some():
                pass
            is_time = self._store_trouble is None or self._clock.monotonic() >= self._again_at
            if is_time and self._spool is not None:
                self._take_up(self._spool)
        self._say_lost()

    def close(self) -> None:
        """Write what is left, to the spool if need be; safe to call twice."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
            self._thread = None
        self._again_at = float("-inf")
        self.write()
        left = len(self._waiting)
        if left:
            logger.error(
                "%d requests are missing in the accounts: %s", left, self.state.trouble or ""
            )
        if self._spool is not None:
            self._spool.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            try:
                self.write()
            except Exception:  # the accounts of all later requests depend on this thread
                logger.exception("the ledger failed; it goes on")

    def _write_some(self) -> bool:
        """Write a batch; whether there may be more to write."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        if not batch:
            return False
        if self._keep(batch):
            return True
        if self._spool is not None:
            try:
                self._spool.put(batch)
            except OSError as error:
                cause = error.strerror or str(error)
                self._spool_trouble = f"nor can they be put into {self._spool.folder}: {cause}"
            else:
                self._spool_trouble = None
                return True
        with self._lock:
            # Back to where they were, as far as there is room.
            room = max(0, self._most_waiting - len(self._waiting))
            self._lost += len(batch) - min(room, len(batch))
            self._waiting.extendleft(reversed(batch[:room]))
        return False

    def _keep(self, batch: Sequence[LedgerEntry]) -> bool:
        """Whether the store took them; after a failure it is left alone for a while."""
        if self._clock.monotonic() < self._again_at:
            return False
        try:
            self._written += self._accounts.keep(batch)
        except StoreError as error:  # a state that lasts: its sentence is enough
            self._again_at = self._clock.monotonic() + _AGAIN_AFTER_S
            trouble = f"requests wait to be written to the accounts: {error}"
            if self._store_trouble is None:
                logger.error("%s", trouble)  # noqa: TRY400
            self._store_trouble = trouble
            return False
        if self._store_trouble is not None:
            logger.info("the accounts can be written again")
        self._store_trouble = self._spool_trouble = None
        return True

    def _take_up(self, spool: "_Spool") -> None:
        """Bring what was put aside to the store."""
        try:
            for batch in spool.batches(_AT_ONCE):
                if not self._keep(batch):
                    return
        except OSError as error:
            cause = error.strerror or str(error)
            trouble = f"{spool.folder} cannot be read: {cause}"
            if self._spool_trouble is None:
                logger.error("%s", trouble)  # noqa: TRY400
            self._spool_trouble = trouble

    def _say_lost(self) -> None:
        now = self._clock.monotonic()
        if self._lost > self._lost_said and now - self._lost_said_at >= _SAY_LOST_EVERY_S:
            self._lost_said, self._lost_said_at = self._lost, now
            logger.error("%s", self.state.trouble)


class _Spool:
    """Entries in files, one a process: JSON lines, held by a lock as long as somebody writes."""

    def __init__(self, folder: Path, place: str, most_bytes: int) -> None:
        self.folder = folder
        self.entries = 0
        """In this process's own file."""
        tag = hashlib.sha256(place.encode()).hexdigest()[:12]
        self._glob = f"ledger-{tag}-*.jsonl"
        self._tag = tag
        self._path = folder
        self._most_bytes = most_bytes
        self._file: IO[bytes] | None = None
        self._has_looked = False

    def put(self, entries: Sequence[LedgerEntry]) -> None:
        """Append them, so that they survive a crash; all or, with OSError, none."""
        lines = b"".join(_line(entry) for entry in entries)
        file = self._file = self._file or self._new_file()
        size = file.seek(0, os.SEEK_END)
        if size + len(lines) > self._most_bytes:
            raise OSError(f"it holds {size:,} bytes already, the most that is kept")
        try:
            if file.write(lines) != len(lines):
                raise OSError("the disk is full")  # noqa: TRY301
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
        self.entries += len(entries)

    def batches(self, size: int) -> Iterator[Sequence[LedgerEntry]]:
        """Everything put aside, by this process or one that ended; a file whose end was reached
        is deleted.
        """
        if self._file is not None:
            yield from self._of_file(self._path, size)
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file, self.entries = None, 0
        if self._has_looked:
            return
        for path in sorted(self.folder.glob(self._glob)):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # another process is at work
                    continue
                yield from self._of_file(path, size)
                path.unlink(missing_ok=True)
        self._has_looked = True

    def close(self) -> None:
        """Leave what is left to the next process."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _new_file(self) -> IO[bytes]:
        make_folder(self.folder)
        self._path = self.folder / f"ledger-{self._tag}-{uuid.uuid4().hex[:12]}.jsonl"
        file = open(self._path, "ab", buffering=0, opener=opened)  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._path.exists():
                # A process that looks for what others left was faster, and found it empty.
                raise OSError("its new file was taken away; it is tried again")  # noqa: TRY301
        except OSError:
            file.close()
            raise
        return file

    def _of_file(self, path: Path, size: int) -> Iterator[Sequence[LedgerEntry]]:
        batch: list[LedgerEntry] = []
        spoilt = 0
        with path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is None:
                    spoilt += 1
                    continue
                batch.append(entry)
                if len(batch) == size:
                    yield batch
                    batch = []
        if batch:
            yield batch
        if spoilt:
            logger.warning("%d lines of %s cannot be read and are passed over", spoilt, path)


def _line(entry: LedgerEntry) -> bytes:
    return json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n"


def _entry(line: bytes) -> LedgerEntry | None:
    """An entry of a line; None for a line that was cut, or written by somebody else."""
    try:
        read = json.loads(line)
        # A line of an earlier release lacks what was added since, one of a later has more.
        made = {
            field.name: read[field.name]
            for field in fields(LedgerEntry)
            if field.name in read or field.default is MISSING
        }
        made["outcome"] = RequestOutcome(made["outcome"])
    except (ValueError, TypeError, KeyError):
        return None
    for field in fields(LedgerEntry):
        if field.name not in made:
            continue
        value, kinds = made[field.name], _KINDS.get(field.type, (field.type,))
        if isinstance(value, bool) or not isinstance(value, kinds):
            return None
    return LedgerEntry(**made)


_KINDS: dict[Any, Any] = {float: (int, float)}
