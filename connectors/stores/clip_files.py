"""Clips as files in the media folder, beside the pictures; only those that are recorded go."""

import contextlib
import shutil
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from connectors.stores.files import FileMediaStore, ForgottenPictures
from pipeline.core.clips import (
    FAILED,
    MOST_FILES,
    PARTIAL,
    READY,
    Clip,
    ClipAnswer,
    ClipRecords,
    ClipState,
    file_reference,
)
from pipeline.core.errors import StoreError
from pipeline.core.private_files import make_folder
from pipeline.core.store import PictureRecord

# Events and counts must still find room when clips have none.
_LEAVE_BYTES = 256 * 1024 * 1024
_SETTLED: tuple[ClipState, ...] = (READY, PARTIAL, FAILED)
_AT_ONCE = 500
_UNFINISHED = (".part", ".whole.part")


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

    def keep(self, reference: str, placed: Path) -> None:
        """Take it to where it is kept; raises StoreError."""
        self._media.keep_file(reference, placed)

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
        except OSError as error:  # the next look tries again
            done.failed += 1
            done.trouble = done.trouble or f"{clip.wish.reference}: {error.strerror}"
            continue
        gone.append(clip.wish.reference)
    for start in range(0, len(gone), _AT_ONCE):
        records.forget_clips(gone[start : start + _AT_ONCE])


def _delete_unfinished(media: FileMediaStore, reference: str) -> None:
    with contextlib.suppress(StoreError, FileNotFoundError):
        path = media.path(reference)
        for ending in _UNFINISHED:
            left = path.with_name(path.name + ending)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(left.lstat().st_mode):
                    left.unlink()
