"""Pictures that events refer to, as files in one folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.core.errors import StoreError

_UNFINISHED = ".part"


class FileMediaStore:
    """Keeps each picture under `folder/reference`; a picture is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, reference: str, content: bytes) -> None:
        """Keep a file under a relative reference; writing it again replaces it."""
        target = self.path(reference)
        unfinished = target.with_name(f"{target.name}.{os.getpid()}{_UNFINISHED}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(target)
            except OSError:
                with contextlib.suppress(OSError):
                    unfinished.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreError(
                f"picture {reference} cannot be kept in {self.folder}: {error.strerror}"
            ) from error

    def path(self, reference: str) -> Path:
        """Where a reference's file is; refuses one that leads out of the folder."""
        parts = PurePosixPath(reference).parts
        outside = not parts or reference.startswith("/") or ".." in parts
        if outside or "\\" in reference or "\0" in reference or ":" in parts[0]:
            raise StoreError(f"{reference!r} is not a reference to a picture inside {self.folder}")
        return self.folder.joinpath(*parts)

    def prune(self, before: float) -> int:
        """Delete what was written before `before` (UTC seconds); how many pictures."""
        try:
            return sum(self._prune(before))
        except OSError as error:
            raise StoreError(
                f"old pictures in {self.folder} cannot be deleted: {error.strerror}"
            ) from error

    def _prune(self, before: float) -> Iterator[bool]:
        for folder, _, names in os.walk(self.folder, topdown=False):
            for name in names:
                file = Path(folder, name)
                # Another process may prune, or replace a picture, at the same time.
                with contextlib.suppress(FileNotFoundError):
                    if file.stat().st_mtime < before:
                        file.unlink()
                        yield not name.endswith(_UNFINISHED)
            if Path(folder) != self.folder:
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
