"""Appending to files so that a crash or a full disk leaves no half of what was written."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Whoever writes a file holds it for less than a millisecond, unless it is suspended just then.
_ALONE_WITHIN_S = 2.0
_ALONE_LOOK_S = 0.01


@contextmanager
def alone(handle: int) -> Iterator[None]:
    """Keep an open file or folder to this process; raises OSError if another one does not let go.

    A process that was suspended while another took over may be about to write the same as that
    one. On a file system without locks, nothing is kept.
    """
    deadline = time.monotonic() + _ALONE_WITHIN_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise OSError(0, "another process is writing there; it may be suspended") from None
            time.sleep(_ALONE_LOOK_S)
        except OSError:
            break
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The same for a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with alone(handle):
            yield
    finally:
        os.close(handle)


def append(file: int, data: bytes) -> None:
    """Write all of it or, on a full disk, nothing."""
    before = os.fstat(file).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, before)
        raise


def is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make a new file's name safe from a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
