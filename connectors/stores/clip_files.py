"""Clips as files in the media folder, beside the pictures; only those that are recorded go."""

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from connectors.stores.files import FileMediaStore, ForgottenPictures
from pipeline.core.clips import (
    FAILED,
    HELD,
    MOST_FILES,
    PARTIAL,
    READY,
    Clip,
    ClipAnswer,
    ClipRecords,
    ClipState,
    HeldFile,
    file_reference,
)
from pipeline.core.errors import StoreError
from pipeline.core.private_files import create_file, make_folder
from pipeline.core.store import PictureRecord

# Events and counts must still find room when clips have none.
_LEAVE_BYTES = 256 * 1024 * 1024
_SETTLED: tuple[ClipState, ...] = (HELD, READY, PARTIAL, FAILED)
_AT_ONCE = 500
# What lies beside a clip's place until it is there; that of files that are to be sent is the last.
_UNFINISHED = (".part", ".whole.part", ".held")
_HELD = _UNFINISHED[-1]


class ClipFileStore:
    """Keeps each clip under `folder/reference`."""

    def __init__(self, media: FileMediaStore, leave_bytes: int = _LEAVE_BYTES) -> None:
        self._media = media
        self._leave_bytes = leave_bytes

    @property
    def folder(self) -> str:
        """The folder without links, or the bucket's address."""
        return self._media.where

    def place(self, reference: str) -> Path:
        """Where a clip's file is to be put; its folder exists."""
        target = self._media.path(reference)
        try:
            make_folder(target.parent)
        except OSError as error:
            raise StoreError(
                f"clip {reference} cannot be kept in {self._media.folder}: {error.strerror}"
            ) from error
        return target

    def has_room(self) -> bool:
        """Whether there is room for a clip, and for everything else after it."""
        place = self._media.folder
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            return shutil.disk_usage(place).free > self._leave_bytes
        except OSError:
            return True  # writing says it better

    @property
    def is_elsewhere(self) -> bool:
        """Whether files are sent to another place than this machine's folder."""
        return self._media.is_elsewhere

    def keep(self, reference: str, placed: Path) -> None:
        """Keep a finished file, or hold it until it is sent; raises StoreError."""
        if not self.is_elsewhere or placed.name.endswith(_HELD):
            return
        try:
            placed.replace(placed.with_name(placed.name + _HELD))
        except OSError as error:
            raise StoreError(f"clip {reference} cannot be kept: {error.strerror}") from error

    def found(self, reference: str, *, is_older: bool) -> Path | None:
        """A finished file that an earlier process has left; see `ClipFolder`."""
        target = self.place(reference)
        for path in (target, target.with_name(target.name + _HELD)):
            if path.exists():
                return path
        if not (self.is_elsewhere and is_older):
            return None
        content = self._media.read(reference)
        if content is None:
            return None
        fetched = target.with_name(target.name + _UNFINISHED[1])
        try:
            create_file(fetched)
            fetched.write_bytes(content)
            fetched.replace(target)
        except OSError as error:
            raise StoreError(f"clip {reference} cannot be fetched: {error.strerror}") from error
        return target

    def share(self, reference: str, other: str) -> bool:
        """Keep a finished file as that of another clip too; see `ClipFolder`."""
        source = self.found(reference, is_older=True)
        if source is None:
            return False
        target = self.place(other)
        unfinished = target.with_name(target.name + _UNFINISHED[0])
        try:
            if self.is_elsewhere and not source.name.endswith(_HELD):
                source.replace(target)  # it was fetched for this
            else:
                unfinished.unlink(missing_ok=True)
                try:
                    os.link(source, unfinished)
                except OSError:  # a drive without links
                    create_file(unfinished)
                    shutil.copyfile(source, unfinished)
                unfinished.replace(target)
        except OSError as error:
            raise StoreError(f"clip {other} cannot be kept: {error.strerror}") from error
        self.keep(other, target)
        return True

    def held(self) -> Sequence[HeldFile]:
        """The files that are to be sent, the oldest first."""
        files = []
        for path in self._media.folder.glob(f"*/*/*{_HELD}"):
            with contextlib.suppress(OSError):
                seen = path.lstat()
                if stat.S_ISREG(seen.st_mode):
                    reference = path.relative_to(self._media.folder).as_posix()
                    files.append(
                        HeldFile(reference.removesuffix(_HELD), seen.st_size, seen.st_mtime)
                    )
        return sorted(files, key=lambda file: file.since)

    def send(self, reference: str) -> None:
        """Send one that is held; raises StoreError."""
        placed = self._held(reference)
        if placed.exists():  # else a sampler beside this one has sent it
            self._media.keep_file(reference, placed)
        self.drop(reference)

    def drop(self, reference: str) -> None:
        """Delete one that is held; raises StoreError."""
        path = self._held(reference)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"clip {reference} cannot be deleted: {error.strerror}") from error
        with contextlib.suppress(OSError):  # until one is not empty
            for folder in path.parents[:2]:
                folder.rmdir()

    def is_kept(self, clip: Clip) -> bool:
        """Whether all files of a clip are where they are to be; raises StoreError."""
        return bool(clip.files) and all(
            self._media.size(reference) == file.size for reference, file in clip.files
        )

    def _held(self, reference: str) -> Path:
        path = self._media.path(reference)
        return path.with_name(path.name + _HELD)

    def checked(self, answer: ClipAnswer) -> ClipAnswer:
        """The answer, or a failure where the file cannot be seen from here."""
        if answer.file is None:
            return answer
        if answer.folder == self.folder and "://" in self.folder:
            return answer  # its sampler has put it into the same bucket
        files = enumerate((answer.file, *answer.more), 1)
        if all(
            self._media.size(file_reference(answer.reference, nth)) == file.size
            for nth, file in files
        ):
            return answer
        reason = (
            f"its sampler wrote it to {answer.folder}, which is not {self.folder} of the process "
            "that judges; give both the same folder in `store.media`, as on a network drive"
        )
        return replace(answer, state=FAILED, reason=reason, file=None, more=())


def prune_clips(
    records: ClipRecords,
    media: FileMediaStore,
    before: float | None,
    at_most: int | None,
) -> ForgottenPictures:
    """Delete clips that were wanted before `before`, and the oldest beyond `at_most` bytes.

    A file whose content is not what was recorded is somebody else's, and stays. Raises StoreError.
    """
    done = ForgottenPictures()
    if at_most is not None and records.clip_bytes() > at_most:
        # Newest first, what has room stays.
        every = records.clips(_SETTLED, limit=10**9)
        total = 0
        beyond: list[Clip] = []
        for clip in reversed(every):
            total += sum(file.size for _, file in clip.files)
            if clip.file is not None and total > at_most:
                beyond.append(clip)
        _delete(records, media, beyond, done)
    if before is not None:
        old = [clip for clip in records.clips(limit=10**9) if clip.kept_at < before]
        _delete(records, media, old, done)
    return done


def _delete(
    records: ClipRecords, media: FileMediaStore, clips: Sequence[Clip], done: ForgottenPictures
) -> None:
    gone: list[str] = []
    for clip in clips:
        try:
            for reference, file in clip.files:
                record = PictureRecord(reference, file.digest, file.size, clip.folder, clip.kept_at)
                media.delete(reference, [record], done)
            for nth in range(1, MOST_FILES + 1):
                _delete_unfinished(media, file_reference(clip.wish.reference, nth))
            # A process may have ended between a file and its record.
            nth = len(clip.files) + 1
            while nth <= MOST_FILES and media.delete_unlisted(
                file_reference(clip.wish.reference, nth), done
            ):
                nth += 1
        except (OSError, StoreError) as error:  # the next look tries again
            done.failed += 1
            done.trouble = done.trouble or f"{clip.wish.reference}: {_reason(error)}"
            continue
        gone.append(clip.wish.reference)
    for start in range(0, len(gone), _AT_ONCE):
        records.forget_clips(gone[start : start + _AT_ONCE])


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _delete_unfinished(media: FileMediaStore, reference: str) -> None:
    with contextlib.suppress(StoreError, FileNotFoundError):
        path = media.path(reference)
        for ending in _UNFINISHED:
            left = path.with_name(path.name + ending)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(left.lstat().st_mode):
                    left.unlink()
