"""Pictures and clips as objects of a bucket; only those that it wrote are replaced or deleted."""

import atexit
import errno
import hashlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, TypeVar

import obstore
from obstore import exceptions
from obstore.store import ObjectStore

from connectors.places.buckets import client_of, reason_of
from connectors.stores.files import AtPlace, FileMediaStore, ForgottenPictures
from connectors.stores.media import S3MediaConfig
from pipeline.core.errors import PictureRecordError, StoreError
from pipeline.core.store import PictureRecord, PictureRecords

_T = TypeVar("_T")

_SETTING = "store.media.url"
_DIGEST = "sha256"
"""The metadata of an object that says which content was written."""
_AGAIN_AFTER_S = 30.0
"""A bucket that is out of reach would keep the counts waiting at every event."""
# Clips go up in pieces of 5 MiB, each of which may take so many times as long as a picture.
_CLIP_PATIENCE = 6
_KINDS = {".jpg": "image/jpeg", ".mp4": "video/mp4"}


class _Kept(TypedDict):
    size: int
    digest: str


class BucketMediaStore(FileMediaStore):
    """Keeps each picture and clip as the object `PREFIX/reference`.

    `folder` is where clips grow until they are whole, and where pictures of the time before the
    bucket may lie.
    """

    def __init__(
        self, config: S3MediaConfig, folder: Path, records: PictureRecords | None = None
    ) -> None:
        super().__init__(folder, records)
        self._url = config.url
        timeout_s = config.timeout.total_seconds()
        self._pictures = _client(config, timeout_s)
        self._clips = _client(config, timeout_s * _CLIP_PATIENCE)
        self._listed: dict[str, frozenset[str]] = {}
        self._copies: Path | None = None
        self._again_at = 0.0
        self._trouble = ""

    @property
    def where(self) -> str:
        """The bucket's address."""
        return self._url

    def put(self, reference: str, content: bytes) -> None:
        """Keep a picture as an object, recorded before it is written; see `FileMediaStore.put`."""
        self.path(reference)
        digest = hashlib.sha256(content).hexdigest()
        if self._records is not None:
            self._record_object(self._records, reference, digest, len(content))
        self._reach(
            f"picture {reference} cannot be kept",
            lambda: obstore.put(
                self._pictures, reference, content, attributes=_attributes(reference, digest)
            ),
        )

    def read(self, reference: str) -> bytes | None:
        """An object's content; None where there is none. Raises StoreError."""
        here = super().read(reference)
        if here is not None:
            return here

        def fetch() -> bytes | None:
            try:
                return obstore.get(self._pictures, reference).bytes().to_bytes()
            except FileNotFoundError:
                return None

        return self._reach(f"{reference} cannot be read", fetch)

    def try_out(self) -> str:
        """Put, get and delete an object; the end of a sentence. Raises StoreError."""
        name, content = f"moonwatch-doctor-{secrets.token_hex(8)}", secrets.token_bytes(16)
        self._reach("nothing can be put", lambda: obstore.put(self._pictures, name, content))
        try:
            read = self._reach(
                "what was put cannot be read",
                lambda: obstore.get(self._pictures, name).bytes().to_bytes(),
            )
        finally:
            self._reach(
                f"the test object {name} cannot be deleted",
                lambda: obstore.delete(self._pictures, name),
            )
        if read != content:
            raise StoreError(f"{self._url} gives back something else than was put")
        return "takes, gives and deletes objects"

    @property
    def is_elsewhere(self) -> bool:
        """Always."""
        return True

    def keep_file(self, reference: str, placed: Path) -> None:
        """Keep a finished file, which stays in its folder; raises StoreError."""
        try:
            digest = hashlib.sha256()
            with placed.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            attributes = _attributes(reference, digest.hexdigest())
            self._reach(
                f"clip {reference} cannot be kept",
                lambda: obstore.put(self._clips, reference, placed, attributes=attributes),
            )
        except OSError as error:
            raise StoreError(f"clip {reference} cannot be read: {error.strerror}") from error

    def delete_unlisted(self, reference: str, done: ForgottenPictures) -> bool:
        """Delete a clip that was sent but never recorded: the object says whose it is."""
        try:
            kept = self._kept(reference)
            if kept is None:
                return super().delete_unlisted(reference, done)
            if not kept["digest"]:
                done.left_alone += 1
                return True
            self._reach(
                f"{reference} cannot be deleted", lambda: obstore.delete(self._pictures, reference)
            )
        except StoreError as error:
            raise OSError(errno.EIO, str(error)) from error
        done.pictures += 1
        done.bytes += kept["size"]
        return True

    def size(self, reference: str) -> int | None:
        """How large the object is; None without one. Raises StoreError."""
        kept = self._kept(reference)
        return None if kept is None else kept["size"]

    def has(self, reference: str) -> bool:
        """Whether it is there; the objects of a day are listed once. Raises StoreError."""
        self.path(reference)
        parent = reference.rpartition("/")[0]
        if parent not in self._listed:
            self._listed[parent] = self._reach(
                "pictures cannot be listed",
                lambda: frozenset(
                    one["path"]
                    for page in obstore.list(self._pictures, parent or None, chunk_size=1000)
                    for one in page
                ),
            )
        return reference in self._listed[parent] or super().has(reference)

    def local(self, reference: str) -> Path:
        """A copy that is there until this process ends. Raises StoreError."""
        if super().has(reference):
            return super().local(reference)
        self.path(reference)
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="moonwatch-media-"))
            atexit.register(shutil.rmtree, self._copies, ignore_errors=True)
        copy = self._copies / reference
        if not copy.exists():
            content = self._reach(
                f"{reference} cannot be read",
                lambda: obstore.get(self._clips, reference).bytes().to_bytes(),
            )
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        return copy

    def unrecorded(self, before: float) -> int:
        """None: an object does not say which release wrote it."""
        del before
        return 0

    def _record_object(
        self, records: PictureRecords, reference: str, digest: str, size: int
    ) -> None:
        kept = self._kept(reference)
        try:
            known = [] if kept is None else records.pictures_under(reference)
            mine = kept is None or kept["digest"] in {digest, *(one.digest for one in known)}
            if mine:
                records.record_picture(PictureRecord(reference, digest, size, self._url))
        except StoreError as error:
            raise PictureRecordError(str(error)) from error
        if not mine:
            raise StoreError(
                f"picture {reference} cannot be kept in {self._url}: in its place is an object "
                "that this store did not record; move it away, or name another prefix in "
                f"`{_SETTING}`"
            )

    def _delete(
        self, reference: str, records: Sequence[PictureRecord], done: ForgottenPictures
    ) -> AtPlace:
        in_folders = [one for one in records if "://" not in one.folder]
        found = super()._delete(reference, in_folders, done) if in_folders else AtPlace.MISSING
        ours = {(one.digest, one.size) for one in records if one.folder == self._url}
        if not ours:
            return found
        try:
            kept = self._kept(reference)
            if kept is None:
                return found
            if (kept["digest"], kept["size"]) not in ours:
                return AtPlace.FOREIGN
            self._reach(
                f"{reference} cannot be deleted", lambda: obstore.delete(self._pictures, reference)
            )
        except StoreError as error:
            raise OSError(errno.EIO, str(error)) from error
        done.pictures += 1
        done.bytes += kept["size"]
        return AtPlace.DELETED

    def _kept(self, reference: str) -> _Kept | None:
        def look() -> _Kept | None:
            try:
                # `head` does not say what the metadata is; the content is not read.
                found = obstore.get(self._pictures, reference, options={"head": True})
            except FileNotFoundError:
                return None
            digest = str(found.attributes.get(_DIGEST, ""))
            return {"size": found.meta["size"], "digest": digest}

        return self._reach(f"{reference} cannot be looked at", look)

    def _reach(self, what: str, call: Callable[[], _T]) -> _T:
        """Ask the bucket; StoreError says what is wrong, without the library's own words."""
        if time.monotonic() < self._again_at:
            raise StoreError(f"{what} in {self._url}: {self._trouble}")
        try:
            return call()
        except (exceptions.BaseError, OSError) as error:
            reason, is_outage = reason_of(error, _SETTING)
            if is_outage:
                self._again_at, self._trouble = time.monotonic() + _AGAIN_AFTER_S, reason
        raise StoreError(f"{what} in {self._url}: {reason}")


def _client(config: S3MediaConfig, timeout_s: float) -> ObjectStore:
    try:
        return client_of(config, timeout_s, _SETTING)
    except ValueError as error:
        raise StoreError(str(error)) from None


def _attributes(reference: str, digest: str) -> dict[str, str]:
    kind = _KINDS.get(Path(reference).suffix, "application/octet-stream")
    return {"Content-Type": kind, _DIGEST: digest}
