"""Pictures that events refer to, as files in one folder; only those that it wrote are deleted."""

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import groupby
from pathlib import Path, PurePosixPath

from pipeline.core.errors import PictureRecordError, StoreError
from pipeline.core.private_files import file_mode, make_folder
from pipeline.core.store import PictureRecord, PictureRecords

_UNFINISHED = ".part"
_AT_ONCE = 500
_ATTEMPTS = 3
# A picture that is not here may lie on another host with the same store, which deletes it itself.
_MISSING_FOR_S = 7 * 86400.0
# A picture without a digest was written just before its event was stored, or earlier where the
# store was out of reach.
_BEFORE_EVENT_S = 86400.0
_AFTER_EVENT_S = 3600.0
# See `reference_of` in pipeline/processing/snapshots.py.
_PICTURE = re.compile(r"[0-9a-f]{26}(\.(start|end|update-\d+))?\.jpg")
# In front of every clip is when it began; see connectors/sources/ffmpeg/clip_files.py.
_CLIP_TAG, _CLIP_HEAD = b"\xa9cmt", 4 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(slots=True)
class ForgottenPictures:
    """What was deleted, and what was not."""

    pictures: int = 0
    bytes: int = 0
    left_alone: int = 0
    """Files that are not what was recorded any more: changed, replaced, or behind a link."""
    failed: int = 0
    trouble: str | None = None
    """Why the first of those could not be deleted."""


class AtPlace(Enum):
    """What is at a recorded picture's place."""

    DELETED = auto()
    MISSING = auto()
    FOREIGN = auto()


@dataclass(slots=True)
class _OpenFolders:
    """The folders from the media folder down to a picture, open; links are not followed."""

    handles: list[int] = field(default_factory=list)

    def descend(self, root: Path, folders: Sequence[str]) -> AtPlace | None:
        """Open them; what is found instead of a folder, or None."""
        try:
            self.handles.append(os.open(root, _FOLDER))
            for name in folders:
                here = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.handles[-1])
                self.handles.append(here)
        except FileNotFoundError:
            return AtPlace.MISSING
        except OSError:
            if self.handles and not _is_folder(folders[len(self.handles) - 1], self.handles[-1]):
                return AtPlace.FOREIGN
            raise
        return None

    def tidy(self, folders: Sequence[str]) -> None:
        """Remove those that are empty now, from the innermost outwards."""
        with contextlib.suppress(OSError):
            for name, parent in zip(reversed(folders), reversed(self.handles[:-1]), strict=True):
                os.rmdir(name, dir_fd=parent)

    def close(self) -> None:
        """Let go of all of them."""
        for handle in self.handles:
            os.close(handle)


class FileMediaStore:
    """Keeps each picture under `folder/reference`; a picture is there whole or not at all.

    A picture is recorded in the store before it is written. Only what is recorded is ever replaced
    or deleted, and only while its content is what was recorded. Without `records` nothing is
    deleted.
    """

    def __init__(self, folder: Path, records: PictureRecords | None = None) -> None:
        self.folder = folder
        self._records = records

    def put(self, reference: str, content: bytes) -> None:
        """Keep a file under a relative reference; writing it again replaces it.

        Raises PictureRecordError where the store is out of reach, and StoreError where the file
        cannot be written, or where another file is in its place, also one of another store's.
        """
        target = self.path(reference)
        digest = hashlib.sha256(content).hexdigest()
        if self._records is not None:
            self._record(self._records, reference, digest, len(content))
        try:
            _write(target, digest, content)
        except OSError as error:
            raise StoreError(
                f"picture {reference} cannot be kept in {self.folder}: {error.strerror}"
            ) from error

    def read(self, reference: str) -> bytes | None:
        """A file's content; None where there is none. Raises StoreError."""
        try:
            return self.path(reference).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{reference} in {self.folder} cannot be read: {error.strerror}"
            ) from error

    def try_out(self) -> str:
        """Write, read and delete a file; the end of a sentence. Raises StoreError."""
        if not self.folder.is_dir():
            return "is made with the first picture"
        content = os.urandom(16)
        try:
            with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=self.folder) as file:
                file.write(content)
                file.flush()
                read = Path(file.name).read_bytes()
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from error
        if read != content:
            raise StoreError(f"{self.folder} gives back something else than was written")
        return "can be written"

    def path(self, reference: str) -> Path:
        """Where a reference's file is; refuses one that leads out of the folder."""
        return self.folder.joinpath(*self._parts(reference))

    @property
    def where(self) -> str:
        """What the place is called, for all processes alike: the folder without links."""
        return os.path.realpath(self.folder)

    def size(self, reference: str) -> int | None:
        """How large a file is; None where it cannot be seen."""
        try:
            return self.path(reference).stat().st_size
        except (OSError, StoreError):
            return None

    def has(self, reference: str) -> bool:
        """Whether a file is there."""
        return self.path(reference).is_file()

    def local(self, reference: str) -> Path:
        """Where it can be read on this machine."""
        return self.path(reference)

    @property
    def is_elsewhere(self) -> bool:
        """Whether files are sent to another place than their folder."""
        return False

    def keep_file(self, reference: str, placed: Path) -> None:
        """Keep a finished file that was put in its place: it is there."""

    def delete_unlisted(self, reference: str, done: ForgottenPictures) -> bool:
        """Delete a clip that was written but never recorded; whether something was there.

        Its name is that of an event, and what it says of its beginning is moonwatch's. Raises
        OSError and StoreError.
        """
        path = self.path(reference)
        try:
            seen = path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(seen.st_mode):
            return True
        with path.open("rb") as file:
            is_ours = _CLIP_TAG in file.read(_CLIP_HEAD)
        if is_ours:
            path.unlink(missing_ok=True)
            done.pictures += 1
            done.bytes += seen.st_size
        else:
            done.left_alone += 1
        return True

    def prune(self, before: float) -> ForgottenPictures:
        """Delete pictures that were written before `before` (UTC seconds), whose event is gone.

        Raises StoreError where their records cannot be read.
        """
        done = ForgottenPictures()
        if self._records is None:
            return done
        beyond = ("", "")
        while True:
            page = self._records.old_pictures(before, _AT_ONCE, beyond)
            settled: list[PictureRecord] = []
            for reference, group in groupby(page, lambda record: record.reference):
                records = list(group)
                try:
                    found = self._delete(reference, records, done)
                except OSError as error:  # the next look tries again
                    done.failed += 1
                    done.trouble = done.trouble or f"{reference}: {error.strerror}"
                    continue
                overdue = records[-1].written_at < before - _MISSING_FOR_S
                if found is not AtPlace.MISSING or overdue:
                    settled += records
                done.left_alone += found is AtPlace.FOREIGN
            self._records.forget_pictures(settled)
            if len(page) < _AT_ONCE:
                return done
            beyond = (page[-1].reference, page[-1].digest)

    def delete(
        self, reference: str, records: Sequence[PictureRecord], done: ForgottenPictures
    ) -> None:
        """Delete a file if its content is one of those recorded; raises OSError."""
        found = self._delete(reference, records, done)
        done.left_alone += found is AtPlace.FOREIGN

    def unrecorded(self, before: float) -> int:
        """How many files look like its pictures and are older than `before`, but are not recorded.

        An earlier release wrote them and stored no event, or the store is a new one.
        """
        records = self._records
        if records is None:
            return 0
        found = 0
        for file in self.folder.glob("*/????-??-??/*.jpg"):
            if not _PICTURE.fullmatch(file.name) or file.is_symlink():
                continue
            with contextlib.suppress(OSError):
                reference = file.relative_to(self.folder).as_posix()
                old = file.stat().st_mtime < before
                found += old and not records.pictures_under(reference)
        return found

    def _parts(self, reference: str) -> tuple[str, ...]:
        parts = PurePosixPath(reference).parts
        outside = not parts or reference.startswith("/") or ".." in parts
        if outside or "\\" in reference or "\0" in reference or ":" in parts[0]:
            raise StoreError(f"{reference!r} is not a reference to a picture inside {self.folder}")
        return parts

    def _record(self, records: PictureRecords, reference: str, digest: str, size: int) -> None:
        target = self.path(reference)
        try:
            known = records.pictures_under(reference) if os.path.lexists(target) else None
            written = PictureRecord(reference, digest, size, os.path.realpath(self.folder))
            # A database that was deleted, or is another one, knows nothing of the same picture.
            mine = known is None or any(
                _is_as_recorded(target, record) for record in (*known, written)
            )
            if mine:
                records.record_picture(written)
                return
        except StoreError as error:
            raise PictureRecordError(str(error)) from error
        raise StoreError(
            f"picture {reference} cannot be kept in {self.folder}: "
            "in its place is a file that this store did not record; move it away, or name another "
            "folder in `store.media`"
        )

    def _delete(
        self, reference: str, records: Sequence[PictureRecord], done: ForgottenPictures
    ) -> AtPlace:
        """Delete a picture and what was left of an attempt to write it; raises OSError."""
        try:
            *folders, name = self._parts(reference)
        except StoreError:
            return AtPlace.FOREIGN  # somebody else's record
        roots = [os.path.realpath(self.folder), *(one.folder for one in records if one.folder)]
        found = AtPlace.MISSING
        for root in dict.fromkeys(roots):
            place = _OpenFolders()
            try:
                instead = place.descend(Path(root), folders)
                if instead is None:
                    instead = _delete_in(place.handles[-1], name, records, done)
                    place.tidy(folders)
            finally:
                place.close()
            if instead is not AtPlace.MISSING:
                found = instead
        return found


def _write(target: Path, digest: str, content: bytes) -> None:
    # Two processes that write the same picture at once write the same bytes to the same file.
    unfinished = target.with_name(_unfinished(target.name, digest))
    for attempt in range(_ATTEMPTS):
        make_folder(target.parent)
        try:
            file = os.open(
                unfinished, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, file_mode()
            )
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.ftruncate(file, len(content))
                os.fsync(file)
            finally:
                os.close(file)
            unfinished.replace(target)
        except FileNotFoundError:
            # Retention removed the empty folder, or the other process was quicker.
            if target.exists():
                return
            if attempt == _ATTEMPTS - 1:
                raise
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        else:
            return


def _unfinished(name: str, digest: str) -> str:
    return f"{name}.{digest[:16]}{_UNFINISHED}"


def _delete_in(
    folder: int, name: str, records: Sequence[PictureRecord], done: ForgottenPictures
) -> AtPlace:
    for record in records:
        if record.digest:
            _delete_unfinished(folder, _unfinished(name, record.digest), record.size)
    try:
        file = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except FileNotFoundError:
        return AtPlace.MISSING
    except OSError:
        if _is_file(name, folder):
            raise
        return AtPlace.FOREIGN
    try:
        size = os.fstat(file).st_size
        if not any(_is_content(file, record) for record in records):
            return AtPlace.FOREIGN
        with contextlib.suppress(FileNotFoundError):  # another process deletes too
            if os.path.samestat(
                os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(file)
            ):
                os.unlink(name, dir_fd=folder)
                done.pictures += 1
                done.bytes += size
    finally:
        os.close(file)
    return AtPlace.DELETED


def _delete_unfinished(folder: int, name: str, size: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(seen.st_mode) and seen.st_size <= size:
            os.unlink(name, dir_fd=folder)


def _is_as_recorded(path: Path, record: PictureRecord) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _is_content(file, record)
    finally:
        os.close(file)


def _is_content(file: int, record: PictureRecord) -> bool:
    """Whether an open file is what was recorded: by content, or else by the time of its writing."""
    seen = os.fstat(file)
    if not stat.S_ISREG(seen.st_mode):
        return False
    if not record.digest:
        late_s = seen.st_mtime - record.written_at
        return record.reference.endswith(".jpg") and -_BEFORE_EVENT_S <= late_s <= _AFTER_EVENT_S
    return seen.st_size == record.size and _digest(file) == record.digest


def _digest(file: int) -> str:
    digest = hashlib.sha256()
    for block in _blocks(file):
        digest.update(block)
    return digest.hexdigest()


def _blocks(file: int) -> Iterator[bytes]:
    at = 0
    while block := os.pread(file, 1 << 20, at):
        at += len(block)
        yield block


def _is_folder(name: str, parent: int) -> bool:
    return _has_kind(name, parent, stat.S_IFDIR)


def _is_file(name: str, parent: int) -> bool:
    return _has_kind(name, parent, stat.S_IFREG)


def _has_kind(name: str, parent: int, kind: int) -> bool:
    try:
        seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return True  # gone meanwhile: the next look sees
    return stat.S_IFMT(seen.st_mode) == kind
