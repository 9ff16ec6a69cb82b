"""Events in a folder as tables for a spreadsheet: a file for each day, a row for each event, once.

A crash comes between the writing of rows and the moving of the sink's cursor, and then they come
again: so the ids in the ends of a day's file are read when it is opened, and a row that was written
only in part is cut off.
"""

import csv
import io
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from connectors.sinks._appending import alone_in, append, is_at, sync_folder
from connectors.sinks._base import BaseSinkConfig
from connectors.sinks._text import printable
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, timestamp
from pipeline.core.local_time import local_time
from pipeline.core.machine import Lack, unwritable_folder
from pipeline.core.private_files import file_mode, make_folder
from pipeline.core.ranges import nearest_moment
from pipeline.core.sinks import SinkContext

_log = logging.getLogger(__name__)
_AT_ONCE = 500
# More than one load, which is what comes again after a crash.
_REMEMBERED = 4 * _AT_ONCE
_TAIL = 4 * 1024 * 1024
# Late events belong to other days: not each of them opens and closes a file.
_OPEN_FILES = 4
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NAME = re.compile(r"[\w][\w .-]*", re.ASCII)
COLUMNS = (
    "id",
    "happening",
    "type",
    "phase",
    "at",
    "at_local",
    "site",
    "camera",
    "rule",
    "label",
    "track",
    "verified",
    "data",
    "media",
)
"""The heading. Columns may be added at the end; these keep their names and meanings."""


class CsvConfig(BaseSinkConfig):
    """Write events into a file for each day, for spreadsheets."""

    type: Literal["csv"] = "csv"
    folder: Path
    """The folder of the files; made where it is missing."""
    name: str = "events"
    """What the files' names begin with: `events-2026-11-27.csv`, by the day of the site's clock."""
    separator: Literal[",", ";", "tab"] = ","
    """What is between two cells; `;` where the spreadsheet's language writes decimal commas."""
    bom: bool = False
    """Whether a file begins with a byte order mark, by which Excel knows that it is UTF-8."""
    keep: int | None = Field(None, ge=1, le=100_000)
    """How many days' files are kept; all of them unless given."""

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name[:60]!r} cannot begin a file's name; write letters, digits, _, - and ."
            )
        return name

    @property
    def at_once(self) -> int:
        """How many events are written together, at most."""
        return _AT_ONCE

    def resource(self) -> str | None:
        """The files."""
        return f"{os.path.realpath(self.folder)}/{self.name}-*.csv"

    @property
    def is_file(self) -> bool:
        """Always."""
        return True

    def lacks(self) -> Iterator[Lack]:
        """Whether files can be written there; events wait until they can."""
        for lack in unwritable_folder("folder", self.folder):
            yield replace(lack, is_fatal=False)

    def build(self, context: SinkContext) -> "CsvSink":
        """A sink that opens a file when its first event comes."""
        return CsvSink(self, context)


class CsvSink:
    """Appends rows to the file of the day on which each event happened."""

    def __init__(self, config: CsvConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._zone = ZoneInfo(context.timezone)
        self._delimiter = {"tab": "\t"}.get(config.separator, config.separator)
        self._files: dict[date, _DayFile] = {}
        self._pruned: date | None = None

    def send(self, events: Sequence[Event]) -> None:
        """Append those that are not there yet; SinkError leaves no half-written row."""
        days: dict[date, list[Event]] = {}
        for event in events:
            days.setdefault(self._day(event.at), []).append(event)
        for day, those in days.items():
            file = None
            rows = {event.record_id: self._row(event) for event in those}
            try:
                make_folder(self._config.folder)
                with alone_in(self._config.folder):
                    file = self._file(day)
                    file.append(rows)
                file.sync()
            except OSError as error:
                if file is not None:
                    file.close()
                self._files.pop(day, None)
                path = self._path(day)
                raise SinkError(f"{path} cannot be written: {error.strerror or error}") from error
        self._prune()

    def close(self) -> None:
        """Close the files; every row is on the disk by now. Safe to call twice."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _day(self, at: float) -> date:
        moment = datetime.fromtimestamp(nearest_moment(at), UTC)
        return moment.astimezone(self._zone).date()

    def _path(self, day: date) -> Path:
        return self._config.folder / f"{self._config.name}-{day.isoformat()}.csv"

    def _file(self, day: date) -> "_DayFile":
        file = self._files.pop(day, None)
        if file is not None and not file.is_as_left:
            file.close()  # somebody moved or deleted it, or another process delivered meanwhile
            file = None
        if file is None:
            file = _DayFile(self._path(day), self._heading(), self._delimiter)
        self._files[day] = file  # the last one used is the last one
        while len(self._files) > _OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        return file

    def _heading(self) -> bytes:
        return ((_BOM if self._config.bom else "") + self._line(COLUMNS)).encode()

    def _row(self, event: Event) -> bytes:
        subject = event.subject
        verified = event.data.get("verified")
        cells = (
            event.record_id,
            event.id,
            event.type,
            event.phase,
            timestamp(event.at),
            local_time(event.at, self._context.timezone),
            self._context.site_of(event),
            event.camera,
            event.rule,
            "" if subject is None else subject.label,
            "" if subject is None or subject.track is None else str(subject.track),
            verified if isinstance(verified, str) else "",
            json.dumps(dict(event.data), ensure_ascii=False, separators=(",", ":")),
            " ".join(event.media),
        )
        return self._line([_harmless(cell) for cell in cells]).encode("utf-8", "backslashreplace")

    def _line(self, cells: Sequence[str]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerow(cells)
        return text.getvalue()

    def _prune(self) -> None:
        """Delete the files of days that are too old, once a day."""
        keep, today = self._config.keep, self._day(self._context.clock.now())
        if keep is None or self._pruned == today:
            return
        self._pruned = today
        oldest = today - timedelta(days=keep - 1)
        pattern = re.compile(rf"{re.escape(self._config.name)}-(\d{{4}}-\d\d-\d\d)\.csv")
        with suppress(OSError):
            for path in self._config.folder.iterdir():
                found = pattern.fullmatch(path.name)
                with suppress(ValueError, OSError):
                    if found and date.fromisoformat(found[1]) < oldest and _is_ours(path):
                        path.unlink()


class _DayFile:
    """An open file of one day, and the ids at its end."""

    def __init__(self, path: Path, heading: bytes, delimiter: str) -> None:
        """Open it, or begin it with the heading; raises OSError."""
        self.path = path
        make_folder(path.parent)
        if path.exists() and not path.is_file():
            raise OSError(0, "it is not a regular file")
        is_new = not path.exists()
        self.handle = os.open(
            path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, file_mode()
        )
        try:
            self._make_whole(heading)
            self._size = os.fstat(self.handle).st_size
            self.ids = dict.fromkeys(self._last_ids(delimiter))
        except BaseException:
            os.close(self.handle)
            raise
        if is_new:
            sync_folder(path.parent)

    def append(self, rows: dict[str, bytes]) -> None:
        """Write the rows that are not there yet, by the ids of their events."""
        fresh = {record_id: row for record_id, row in rows.items() if record_id not in self.ids}
        if not fresh:
            return
        append(self.handle, b"".join(fresh.values()))
        self._size = os.fstat(self.handle).st_size
        self.ids.update(dict.fromkeys(fresh))
        for record_id in list(self.ids)[: max(0, len(self.ids) - _REMEMBERED)]:
            del self.ids[record_id]

    def sync(self) -> None:
        """Force the rows to the disk, also those that were there: they may not be on it yet."""
        os.fsync(self.handle)

    @property
    def is_as_left(self) -> bool:
        """Whether nobody has moved it, or written to it, since it was opened or appended to."""
        return is_at(self.handle, self.path) and os.fstat(self.handle).st_size == self._size

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            os.close(self.handle)

    def _make_whole(self, heading: bytes) -> None:
        size = os.fstat(self.handle).st_size
        beginning = os.pread(self.handle, len(heading), 0)
        if size >= len(heading):
            if beginning != heading:
                raise OSError(
                    0,
                    "it begins with other columns than these; move it away, or choose another "
                    "`name` or `folder`",
                )
        elif heading.startswith(beginning):
            os.ftruncate(self.handle, 0)
            append(self.handle, heading)
            return
        else:
            raise OSError(0, "it holds something else than events; choose another `name`")
        tail = os.pread(self.handle, _TAIL, max(0, size - _TAIL))
        cut = len(tail) - (tail.rfind(b"\r\n") + 2)
        if cut:
            os.ftruncate(self.handle, size - cut)
            _log.warning("%s: cut off %d bytes of an unfinished row", self.path, cut)

    def _last_ids(self, delimiter: str) -> list[str]:
        size = os.fstat(self.handle).st_size
        tail = os.pread(self.handle, _TAIL, max(0, size - _TAIL))
        lines = tail.split(b"\r\n")[-_REMEMBERED - 1 : -1]
        # Ids have no letter that would have to be quoted; a quoted cell is not one.
        return [line.split(delimiter.encode(), 1)[0].decode("utf-8", "replace") for line in lines]


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).removeprefix(_BOM.encode()).startswith(b"id")


def _harmless(cell: str) -> str:
    """On one line, and nothing that a spreadsheet would run."""
    text = printable(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text
