"""Events in a file, one CloudEvent in JSON a line; each line once, also after a crash."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from connectors.sinks import _rotation, _tail
from connectors.sinks._appending import alone_in, append, is_at, sync_folder
from connectors.sinks._base import BaseSinkConfig
from connectors.sinks._text import json_line
from pipeline.core.config import ByteSize, PositiveDuration, parse_duration
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, to_cloudevent
from pipeline.core.machine import Lack, is_folder, is_there, unwritable_file
from pipeline.core.private_files import file_mode, make_folder
from pipeline.core.sinks import SinkContext

_log = logging.getLogger(__name__)
_AT_ONCE = 500
# A crash between the writing of a batch and the moving of the cursor brings the batch again, so
# this must be more than one batch.
_REMEMBERED = 4 * _AT_ONCE


class JsonlConfig(BaseSinkConfig):
    """Append events to a file."""

    type: Literal["jsonl"] = "jsonl"
    path: Path
    """The file; its folder is created if it is missing."""
    sync: Literal["always", "interval", "never"] = "always"
    """When a line is safe from a power cut: at once, within `sync_every`, or when the system
    pleases. None of them loses a line when only moonwatch dies."""
    sync_every: PositiveDuration = Field(default_factory=lambda: parse_duration("1s"))
    """With `sync: interval`, how often written lines are forced to the disk while events come."""
    max_size: ByteSize | None = None
    """A file that would grow beyond this, such as `100MB`, is put aside as `NAME.000001.jsonl`."""
    daily: bool = False
    """Whether each day (UTC) has a separate file."""
    keep: int = Field(10, ge=1)
    """How many rotated files are kept."""

    @property
    def at_once(self) -> int:
        """How many events are written together, at most."""
        return _AT_ONCE

    def resource(self) -> str | None:
        """The file."""
        return os.path.realpath(self.path)

    @property
    def is_file(self) -> bool:
        """Always."""
        return True

    def lacks(self) -> Iterator[Lack]:
        """Whether the file can be written here; events wait until it can."""
        for lack in unwritable_file("path", self.path):
            yield replace(lack, is_fatal=False)
        if not is_there(self.path) or is_folder(self.path):
            return
        if not self.path.is_file():
            yield Lack("path", f"{self.path} is not a regular file", is_fatal=False)
            return
        with suppress(OSError):
            if not _tail.is_ours(self.path):
                words = f"{self.path} holds something else than events; name another file"
                yield Lack("path", words, is_fatal=False)

    def build(self, context: SinkContext) -> "JsonlSink":
        """A sink that opens the file when the first event comes."""
        return JsonlSink(self, context)


class JsonlSink:
    """Appends lines. What comes again is not written again.

    A batch comes again when moonwatch died, or the store failed, between the writing of it and the
    moving of the sink's cursor. So the ids of the last 2000 lines are remembered, and read from
    the file when it is opened; a line that was written only in part is cut off then.
    """

    def __init__(self, config: JsonlConfig, context: SinkContext) -> None:
        self._config = config
        self._context = context
        self._clock = context.clock
        self._file: int | None = None
        self._day = date.min
        self._unsynced = False
        self._synced_at = self._clock.monotonic()
        self._seen: dict[str, None] = {}
        self._size = 0

    def send(self, events: Sequence[Event]) -> None:
        """Append those that are not there yet; SinkError leaves no half-written line."""
        try:
            file = self._ready()
            lines = {
                event.record_id: json_line(to_cloudevent(event, self._context.site_of(event)))
                for event in events
                if event.record_id not in self._seen
            }
            if lines:
                with alone_in(self._config.path.parent):
                    self._append(file, lines)
            self._sync()
        except OSError as error:
            self._let_go()
            raise SinkError(
                f"{self._config.path} cannot be written: {error.strerror or error}"
            ) from error

    def _append(self, file: int, lines: dict[str, bytes]) -> None:
        """Write lines, by the ids of their events, that nobody has written meanwhile."""
        if os.fstat(file).st_size != self._size or not is_at(file, self._config.path):
            self._let_go()  # another process delivered while this one was suspended
            file = self._ready()
        fresh = {name: line for name, line in lines.items() if name not in self._seen}
        if not fresh:
            return
        file = self._room_for(file, sum(map(len, fresh.values())))
        append(file, b"".join(fresh.values()))
        self._size = os.fstat(file).st_size
        self._unsynced = True
        self._remember(list(fresh))

    def close(self) -> None:
        """Flush to the disk and close the file; safe to call twice."""
        try:
            if self._file is not None and self._unsynced and self._config.sync != "never":
                os.fsync(self._file)
        except OSError as error:
            raise SinkError(f"{self._config.path} cannot be written: {error.strerror}") from error
        finally:
            self._let_go()

    def _ready(self) -> int:
        """The open file; opened again where somebody moved or deleted it meanwhile."""
        if self._file is not None and not is_at(self._file, self._config.path):
            self._let_go()
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> int:
        path = self._config.path
        make_folder(path.parent)
        if path.exists() and not path.is_file():
            raise OSError(0, "it is not a regular file")
        started = self._clock.now()
        if path.exists():
            if not _tail.is_ours(path):
                raise OSError(0, "it holds something else than events; name another file")
            cut = _tail.make_whole(path)
            if cut:
                _log.warning("%s: cut off %d bytes of an unfinished line", path, cut)
            if path.stat().st_size:
                started = path.stat().st_mtime
        self._day = _day(started)
        self._size = path.stat().st_size if path.exists() else 0
        self._remember(self._ids_in_files())
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, file_mode())
        # What an earlier process wrote may not be on the disk yet.
        self._unsynced = True
        sync_folder(path.parent)
        return file

    def _ids_in_files(self) -> list[str]:
        ids: list[str] = []
        path = self._config.path
        files = [*_rotation.put_aside_before(path), *([path] if path.exists() else [])]
        for file in reversed(files):
            if len(ids) < _REMEMBERED:
                ids = _tail.last_ids(file, _REMEMBERED - len(ids)) + ids
        return ids

    def _remember(self, ids: Sequence[str]) -> None:
        self._seen.update(dict.fromkeys(ids))
        for record_id in list(self._seen)[: max(0, len(self._seen) - _REMEMBERED)]:
            del self._seen[record_id]

    def _room_for(self, file: int, size: int) -> int:
        """The file to append to: a new one where the old one is full, or of another day."""
        today = _day(self._clock.now())
        present = os.fstat(file).st_size
        limit = self._config.max_size
        full = limit is not None and present + size > limit
        if not present or not (full or (self._config.daily and today != self._day)):
            return file
        if self._config.sync != "never":
            os.fsync(file)
        self._let_go()
        _rotation.put_aside(self._config.path, self._config.keep)
        self._file = self._open()
        return self._file

    def _sync(self) -> None:
        now = self._clock.monotonic()
        due = now - self._synced_at >= self._config.sync_every.total_seconds()
        if self._file is None or not self._unsynced or self._config.sync == "never":
            return
        if self._config.sync == "always" or due:
            os.fsync(self._file)
            self._unsynced = False
            self._synced_at = now

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()
