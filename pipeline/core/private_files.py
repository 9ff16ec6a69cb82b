"""Files that only their owner can read, unless the deployment lets its group read them too.

What moonwatch writes shows people. Modes of files and folders that exist are left as they are, and
the process's umask can only take rights away.
"""

import os
import stat
from pathlib import Path

_group_may_read = False


def let_group_read(allowed: bool) -> None:
    """Whether what this process creates from now on can be read by its group."""
    global _group_may_read
    _group_may_read = allowed


def file_mode() -> int:
    """The mode of a new file."""
    return 0o640 if _group_may_read else 0o600


def make_folder(folder: Path) -> None:
    """Create a folder, and those above it, where they are missing; raises OSError."""
    missing = []
    for place in (folder, *folder.parents):
        if place.exists():
            break
        missing.append(place)
    for place in reversed(missing):
        place.mkdir(mode=0o750 if _group_may_read else 0o700, exist_ok=True)
    if not folder.is_dir():
        folder.mkdir()  # raises the error that says why not


def create_file(path: Path) -> None:
    """Create an empty file where there is none; raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, file_mode()))


def opened(path: str | os.PathLike[str], flags: int) -> int:
    """For the parameter `opener` of `open`."""
    return os.open(path, flags | os.O_CLOEXEC, file_mode())


def is_readable_by_everybody(path: Path) -> bool:
    """Whether every user of this machine may read a file, as far as its own mode says."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
