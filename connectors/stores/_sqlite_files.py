"""SQLite's files may be opened by SQLite alone in a process that has them open.

Its locks are those of POSIX, which belong to a process and a file: closing any descriptor of a
database releases the locks of every connection that the process has to it. Whichever other process
closes the database next then takes itself for the last one and removes the write-ahead log, with
what is committed into it from then on (sqlite.org, "How To Corrupt An SQLite Database File", 2.2).
"""

import threading
from pathlib import Path

from pipeline.core.private_files import create_file

_MAGIC = b"SQLite format 3\0"
_lock = threading.Lock()
_in_use: set[tuple[int, int]] = set()
"""Device and number of each file that this process has opened as a database, for its life."""


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one that has its name later; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def prepare(path: Path) -> None:
    """Make an empty private file where there is none; from now on only SQLite may open it.

    Raises OSError.
    """
    with _lock:
        if identity(path) is None:
            create_file(path)
        found = identity(path)
        if found is not None:
            _in_use.add(found)


def can_be_a_database(path: Path) -> bool:
    """Whether a file is SQLite's, or is to become one; what cannot be read is left to others."""
    try:
        with _lock:
            if identity(path) in _in_use or not path.is_file():
                return True
            with path.open("rb") as file:
                return file.read(len(_MAGIC)) in (b"", _MAGIC)
    except (OSError, ValueError):
        return True
