"""The end of a file of JSON lines: made whole after a crash, and read for what it holds."""

import json
import os
from pathlib import Path
from typing import BinaryIO

_BLOCK = 64 * 1024
# Lines are a kilobyte or less; a file of something else is not read through for ids.
_FURTHEST = 16 * 1024 * 1024
_BEGINNING = b'{"specversion":"1.0"'


def is_ours(path: Path) -> bool:
    """Whether a file is empty or begins with an event, even if that was written only in part."""
    with path.open("rb") as file:
        first = file.read(len(_BEGINNING))
    return _BEGINNING.startswith(first)


def make_whole(path: Path) -> int:
    """Finish or cut off a last line that was written only in part; returns the bytes cut off."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(file, size)
        if start == size:
            return 0
        file.seek(start)
        if _id_of(file.read(size - start)) is not None:
            file.write(b"\n")
            return 0
        file.truncate(start)
        return size - start


def last_ids(path: Path, limit: int) -> list[str]:
    """The ids in the last `limit` lines, oldest first."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        data, start = b"", size
        while start > 0 and data.count(b"\n") <= limit and size - start < _FURTHEST:
            step = min(_BLOCK, start)
            start -= step
            file.seek(start)
            data = file.read(step) + data
    ids = (_id_of(line) for line in data.splitlines()[-limit:])
    return [found for found in ids if found is not None]


def _start_of_last_line(file: BinaryIO, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _id_of(line: bytes) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    found = record.get("id") if isinstance(record, dict) else None
    return found if isinstance(found, str) else None
