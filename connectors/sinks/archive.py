"""Events as objects of a bucket, or as files of a folder: compressed JSON lines by day and hour.

No event is in two objects, and none is missing, because

* a load is the next events in the store's order after the sink's cursor, which moves only once all
  objects of the load are up;
* its events are put together by the hour in which they happened, and an object is named by the
  hour and the position of the first event in it;
* the loads of two attempts begin at the same cursor, so one of them is the beginning of the other.
  The first event of an hour is the same in both, unless the shorter one ends before it; and then it
  is the first of its hour in a later load, as none of that hour lies between the cursor and it.

So whatever an attempt has put up before it was killed is named as the repetition names it, and is
replaced before the cursor passes its first event: by fewer events, where the loads are smaller now,
the rest of which are in the next objects. Positions are those of one store: names have an id that
is made once and noted in it, so that a new database, or another shop with the same prefix, never
replaces what is there.

A process that stood still for so long that another one delivers by now may still be about to put up
its load. It only makes objects that are not there, and replaces those that are as it has seen them;
one with more events than its own, which a repetition hardly ever meets, it leaves alone for a
minute, in which it learns that it delivers no more.

Pictures and reports go up before the object whose events refer to them. A clip that is not ready
by then is noted, and goes up with one of the next loads or when the sink is closed; nothing waits
for it.
"""

import gzip
import hashlib
import logging
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import field_validator, model_validator

from connectors.places.buckets import BucketAccess, client_of, is_bucket, reason_of
from connectors.sinks._appending import alone_in, sync_folder
from connectors.sinks._base import BaseSinkConfig, report_file
from connectors.sinks._templates import clip_reference
from connectors.sinks._text import json_line
from pipeline.core.clips import MOST_FILES, file_reference
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import REPORT, Event, to_cloudevent
from pipeline.core.machine import Lack, missing_libraries, unwritable_folder
from pipeline.core.private_files import file_mode, make_folder
from pipeline.core.ranges import nearest_moment
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ObjectStore

_T = TypeVar("_T")

_log = logging.getLogger(__name__)
_AT_ONCE = 200
_DIGITS = 12
_DIGEST = "sha256"
"""The metadata of an object that says which content was written."""
_ID = "id"
_WAITING = "clip/"
# A clip is ready some seconds after its event, or when a sampler reaches its bucket again.
_CLIP_WITHIN_S = 86_400.0
_MOST_WAITING = 1000
_TRIED_AT_ONCE = 50
_TRY_AGAIN_S = 5.0
_CLOSING_S = 10.0
# A lease that was not renewed for less than this is known to be lost.
_STANDSTILL_S = 60.0
# Parts of a clip may take so many times as long as a picture.
_CLIP_PATIENCE = 6
_REMEMBERED = 10_000
_MEDIA_TYPES = {
    ".gz": "application/gzip",
    ".jpg": "image/jpeg",
    ".mp4": "video/mp4",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".pdf": "application/pdf",
    ".parquet": "application/vnd.apache.parquet",
}
_FOLDER = re.compile(r"\.{0,2}/[^\0]*")


class ArchiveConfig(BaseSinkConfig, BucketAccess):
    """Keep events, and their pictures and clips, in a bucket or a folder."""

    type: Literal["archive"] = "archive"
    url: str
    """`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`; or a folder, as
    `/FOLDER`, `./FOLDER` or `file:///FOLDER`, which is made where it is missing."""
    media: bool = True
    """Whether pictures and clips of the events are kept beside them. Reports always are."""

    @field_validator("url")
    @classmethod
    def _is_place(cls, url: str) -> str:
        parts = urlsplit(url)
        is_local = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
        if not (is_bucket(url) or _FOLDER.fullmatch(url) or is_local):
            raise ValueError(
                "an archive is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, or a "
                "folder: /FOLDER, ./FOLDER or file:///FOLDER"
            )
        return url.rstrip("/") or "/"

    @model_validator(mode="after")
    def _folder_needs_no_login(self) -> "ArchiveConfig":
        if self.folder is not None:
            for name in ("endpoint", "region", "access_key", "secret_key"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` is for buckets; a folder needs none")
        return self

    @property
    def folder(self) -> Path | None:
        """The folder; None for a bucket."""
        if self.url.startswith("file://"):
            return Path(unquote(urlsplit(self.url).path))
        return None if "://" in self.url else Path(self.url)

    @property
    def at_once(self) -> int:
        """How many events share an object, at most."""
        return _AT_ONCE

    def resource(self) -> str | None:
        """The prefix, or the folder."""
        if self.folder is not None:
            return os.path.realpath(self.folder)
        return self.url if self.endpoint is None else f"{self.url} at {self.endpoint}"

    def lacks(self) -> Iterator[Lack]:
        """Whether the library is installed here, or the folder can be written."""
        if self.folder is None:
            yield from missing_libraries("an archive in a bucket", ["obstore"], "s3")
        else:
            for lack in unwritable_folder("url", self.folder):
                yield replace(lack, is_fatal=False)

    def build(self, context: SinkContext) -> "ArchiveSink":
        """A sink that reaches its place when the first event comes."""
        return ArchiveSink(self, context)


class ArchiveSink:
    """Puts up an object for each hour of a load. Exactly once, see the module."""

    def __init__(self, config: ArchiveConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._shelf: _Shelf | None = None
        self._store_id = ""
        self._kept: dict[str, None] = {}
        self._waiting: dict[str, float] | None = None
        self._tried_at = float("-inf")
        self._larger: dict[str, float] = {}
        self._said: set[str] = set()

    def send(self, events: Sequence[Event]) -> None:
        """Put up what the events refer to, and then the events; SinkError leaves them to be sent
        again.
        """
        if not events:
            return
        objects = self._objects(events)
        shelf = self._reached()
        if not self._store_id:
            self._store_id = self._context.notes.note_once(_ID, secrets.token_hex(4))
        for event in events:
            if event.type == REPORT:
                self._keep_report(shelf, event)
            elif self._config.media:
                self._keep_pictures(shelf, event)
        if self._config.media:
            self._note_clips(shelf, events)
        for name, lines in objects.items():
            # Without a time in it: the same events are the same bytes.
            self._keep_events(shelf, f"events/{name}-{self._store_id}.jsonl.gz", lines)
        if self._config.media:
            self._keep_waiting(shelf, _TRIED_AT_ONCE, float("inf"))

    def close(self) -> None:
        """Look once more for clips that were not ready. Safe to call twice."""
        if not self._config.media:
            return
        with suppress(SinkError, StoreError):
            if self._waiting_clips():
                self._tried_at = float("-inf")
                until = self._context.clock.monotonic() + _CLOSING_S
                self._keep_waiting(self._reached(), _MOST_WAITING, until)

    def _objects(self, events: Sequence[Event]) -> Mapping[str, Sequence[bytes]]:
        """The lines of each object, by its name without what all have in common."""
        hours: dict[str, list[Event]] = {}
        for event in events:
            # To the millisecond, as the event's own time is written.
            moment = datetime.fromtimestamp(round(nearest_moment(event.at), 3), UTC)
            hours.setdefault(f"dt={moment:%Y-%m-%d}/{moment:%H}", []).append(event)
        return {
            f"{hour}-{_place_of(those[0])}": [
                json_line(to_cloudevent(event, self._context.site_of(event))) for event in those
            ]
            for hour, those in hours.items()
        }

    def _keep_events(self, shelf: "_Shelf", key: str, lines: Sequence[bytes]) -> None:
        content = gzip.compress(b"".join(lines), mtime=0)
        found = shelf.create(key, content)
        if found is None or found.content == content:
            self._larger.pop(key, None)
            return
        if _lines_of(found.content) > len(lines):
            now = self._context.clock.monotonic()
            if now - self._larger.setdefault(key, now) < _STANDSTILL_S:
                raise SinkError(
                    f"{key} has more events than are to be put there, as where another process "
                    "delivers by now; it is replaced in a minute"
                )
        shelf.put(key, content, found)
        self._larger.pop(key, None)

    def _reached(self) -> "_Shelf":
        if self._shelf is None:
            folder = self._config.folder
            self._shelf = _BucketShelf(self._config) if folder is None else _FolderShelf(folder)
        return self._shelf

    def _keep_report(self, shelf: "_Shelf", event: Event) -> None:
        content = report_file(event, self._context.read)
        if _is_inside(event.media[0]):
            shelf.put_unless_same(event.media[0], content)

    def _keep_pictures(self, shelf: "_Shelf", event: Event) -> None:
        for reference in event.media:
            if reference in self._kept:
                continue
            if not _is_inside(reference):
                self._say("odd", f"{reference!r} is not a reference to a picture, and is left out")
                continue
            try:
                content = self._context.read(reference)
            except StoreError as error:
                raise SinkError(f"a picture cannot be read: {error}") from error
            if content is None:
                self._say(
                    "gone",
                    f"picture {reference} is gone, so its event is archived without it; further "
                    "ones that are gone are not told of",
                )
                continue
            shelf.put_unless_same(f"media/{reference}", content)
            self._kept[reference] = None
            if len(self._kept) > _REMEMBERED:
                del self._kept[next(iter(self._kept))]

    def _note_clips(self, shelf: "_Shelf", events: Sequence[Event]) -> None:
        """Put up the clips that are ready, and note those that are not."""
        waiting, now = self._waiting_clips(), self._context.clock.now()
        new: dict[str, str | None] = {}
        for event in events:
            reference = clip_reference(event)
            if reference is None or reference in waiting or reference in self._kept:
                continue
            if self._keep_clip(shelf, reference):
                continue
            if now - event.at > _CLIP_WITHIN_S:
                self._say("old", f"clip {reference} of an old event is not there: not archived")
            else:
                waiting[reference] = now
                new[_WAITING + reference] = repr(now)
        excess = list(waiting)[: max(0, len(waiting) - _MOST_WAITING)]
        for reference in excess:
            del waiting[reference]
            new[_WAITING + reference] = None
        if excess:
            self._say(
                "many",
                f"more than {_MOST_WAITING} clips are not ready; {excess[0]} and others that have "
                "waited longest are not archived",
            )
        if new:
            self._context.notes.take_down(new)

    def _waiting_clips(self) -> dict[str, float]:
        """Clips that were not ready, and since when; those tried longest ago come first."""
        if self._waiting is None:
            noted = self._context.notes.notes(_WAITING)
            self._waiting = {}
            for key, text in sorted(noted.items(), key=lambda one: one[1]):
                with suppress(ValueError):
                    self._waiting[key.removeprefix(_WAITING)] = float(text)
        return self._waiting

    def _keep_waiting(self, shelf: "_Shelf", most: int, until: float) -> None:
        """Put up clips that are ready by now. The events are up, so what fails here only waits."""
        clock, waiting = self._context.clock, self._waiting_clips()
        if clock.monotonic() - self._tried_at < _TRY_AGAIN_S:
            return
        self._tried_at = clock.monotonic()
        done: dict[str, str | None] = {}
        for reference in list(waiting)[:most]:
            since = waiting.pop(reference)
            if self._keep_clip(shelf, reference):
                done[_WAITING + reference] = None
            elif clock.now() - since > _CLIP_WITHIN_S:
                done[_WAITING + reference] = None
                self._say("late", f"clip {reference} was not ready within a day: not archived")
            else:
                waiting[reference] = since
            if clock.monotonic() > until:
                break
        if done:
            with suppress(StoreError):  # they are looked for again then, and are there
                self._context.notes.take_down(done)

    def _keep_clip(self, shelf: "_Shelf", reference: str) -> bool:
        """Put up a clip with all its files; False where it is not ready, or cannot be put up."""
        if not _is_inside(reference):
            self._say("odd", f"{reference!r} is not a reference to a clip, and is left out")
            return True
        try:
            for nth in range(1, MOST_FILES + 1):
                file = file_reference(reference, nth)
                content = self._context.read(file)
                if content is None:
                    if nth == 1:
                        return False
                    break
                shelf.put_unless_same(f"media/{file}", content)
        except (SinkError, StoreError) as error:
            self._say("clip", f"clip {reference} waits: {error}")
            return False
        self._kept[reference] = None
        return True

    def _say(self, kind: str, sentence: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("sink %s: %s", self._context.name, sentence)


@dataclass(frozen=True, slots=True)
class _ObjectThere:
    """An object that is there."""

    content: bytes
    version: "UpdateVersion | None" = None


class _Shelf(Protocol):
    """Where objects are put. All raise SinkError."""

    def create(self, key: str, content: bytes) -> _ObjectThere | None:
        """Put an object in its place, as a whole or not at all; if there is one, return that."""
        ...

    def put(self, key: str, content: bytes, over: _ObjectThere | None = None) -> None:
        """The same over what is there; SinkError if that is no longer what was found."""
        ...

    def put_unless_same(self, key: str, content: bytes) -> None:
        """The same, but what has this content already is left alone."""
        ...


class _BucketShelf:
    """A bucket's prefix."""

    def __init__(self, config: ArchiveConfig) -> None:
        self._config = config
        timeout_s = config.timeout.total_seconds()
        self._small = self._client(timeout_s)
        self._large = self._client(timeout_s * _CLIP_PATIENCE)

    def create(self, key: str, content: bytes) -> _ObjectThere | None:
        """Put an object there unless there is one."""
        import obstore
        from obstore import exceptions

        attributes = _attributes(key, content)

        def create() -> _ObjectThere | None:
            try:
                obstore.put(self._small, key, content, attributes=attributes, mode="create")
            except exceptions.AlreadyExistsError:
                found = obstore.get(self._small, key)
                version: UpdateVersion = {}
                if found.meta["e_tag"] is not None:
                    version["e_tag"] = found.meta["e_tag"]
                if found.meta["version"] is not None:
                    version["version"] = found.meta["version"]
                return _ObjectThere(found.bytes().to_bytes(), version or None)
            except exceptions.NotSupportedError:  # a server that knows no conditions
                obstore.put(self._small, key, content, attributes=attributes)
            return None

        return self._reach(key, create)

    def put(self, key: str, content: bytes, over: _ObjectThere | None = None) -> None:
        """Put an object there."""
        import obstore
        from obstore import exceptions

        attributes = _attributes(key, content)
        mode: PutMode = "overwrite" if over is None or over.version is None else over.version

        def put() -> None:
            try:
                obstore.put(self._for(key), key, content, attributes=attributes, mode=mode)
            except exceptions.NotSupportedError:  # a server that knows no conditions
                obstore.put(self._for(key), key, content, attributes=attributes)

        self._reach(key, put)

    def put_unless_same(self, key: str, content: bytes) -> None:
        """Put an object there, unless its metadata say that it has this content."""
        import obstore
        from obstore import exceptions

        attributes = _attributes(key, content)

        def create() -> bool:
            try:
                obstore.put(self._for(key), key, content, attributes=attributes, mode="create")
            except exceptions.AlreadyExistsError:
                found = obstore.get(self._small, key, options={"head": True})
                return found.attributes.get(_DIGEST) == attributes[_DIGEST]
            except exceptions.NotSupportedError:  # a server that knows no conditions
                return False
            return True

        if not self._reach(key, create):
            self.put(key, content)

    def _client(self, timeout_s: float) -> "ObjectStore":
        try:
            return client_of(self._config, timeout_s, "url")
        except ValueError as error:
            raise SinkError(str(error)) from None

    def _for(self, key: str) -> "ObjectStore":
        return self._large if key.endswith(".mp4") else self._small

    def _reach(self, key: str, call: Callable[[], _T]) -> _T:
        from obstore import exceptions

        try:
            return call()
        except exceptions.PreconditionError:
            reason = "another process has replaced it just now"
        except (exceptions.BaseError, OSError) as error:
            reason = reason_of(error, "url")[0]
        # Out of reach of the library's own words, which quote requests.
        raise SinkError(f"{key} cannot be kept in {self._config.url}: {reason}")


class _FolderShelf:
    """A folder of this machine, or a network drive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cleaned: set[Path] = set()

    def create(self, key: str, content: bytes) -> _ObjectThere | None:
        """Put a file there unless there is one."""
        try:
            found = self._found(key)
        except OSError as error:
            reason = error.strerror or error
            raise SinkError(f"{self._folder / key} cannot be read: {reason}") from error
        if found is None:
            self._write(key, content, lambda path: not path.exists())
        return found

    def _found(self, key: str) -> _ObjectThere | None:
        """What is there, safe from a power cut."""
        try:
            with (self._folder / key).open("rb") as file:
                found = file.read()
                os.fsync(file.fileno())  # it may have come just before a crash
        except FileNotFoundError:
            return None
        sync_folder((self._folder / key).parent)
        return _ObjectThere(found)

    def put(self, key: str, content: bytes, over: _ObjectThere | None = None) -> None:
        """Put a file there, on the disk when this returns."""
        self._write(key, content, lambda path: over is None or path.read_bytes() == over.content)

    def _write(self, key: str, content: bytes, is_as_seen: Callable[[Path], bool]) -> None:
        path = self._folder / key
        # Another process may be about to put one there, too.
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            self._make_folder(path.parent)
            self._clean(path.parent)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with os.fdopen(os.open(part, flags, file_mode()), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                with alone_in(path.parent):
                    has_changed = not is_as_seen(path)
                    if not has_changed:
                        part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise SinkError(f"{path} cannot be written: {error.strerror or error}") from error
        if has_changed:
            raise SinkError(f"{path} cannot be written: another process has replaced it just now")

    def _clean(self, folder: Path) -> None:
        """Remove what a crash left of files that were not put in their places yet."""
        if folder in self._cleaned:
            return
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        self._cleaned.add(folder)

    def put_unless_same(self, key: str, content: bytes) -> None:
        """Put a file there, unless it is there."""
        path = self._folder / key
        try:
            with path.open("rb") as file:
                is_same = file.read(len(content) + 1) == content
                if is_same:
                    os.fsync(file.fileno())
        except OSError:
            is_same = False
        if not is_same:
            self.put(key, content)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        make_folder(folder)
        for place in folder.parents:
            with suppress(PermissionError):  # it may be entered, but not listed
                sync_folder(place)
            if place == self._folder.parent:
                return


def _place_of(event: Event) -> str:
    """The event's position, as what names sort by; one that was never stored has its id's."""
    if event.position is not None:
        return f"{event.position:0{_DIGITS}d}"
    key = event.record_id.encode("utf-8", "backslashreplace")
    return hashlib.blake2b(key, digest_size=6).hexdigest()


def _is_inside(reference: str) -> bool:
    """Whether a reference names a file below where it belongs."""
    parts = PurePosixPath(reference).parts
    return (
        bool(parts)
        and not reference.startswith("/")
        and ".." not in parts
        and not any(letter in reference for letter in "\\\0")
    )


def _lines_of(content: bytes) -> int:
    try:
        return gzip.decompress(content).count(b"\n")
    except (OSError, EOFError, zlib.error):  # somebody else's
        return 0


def _attributes(key: str, content: bytes) -> dict[str, str]:
    kind = _MEDIA_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
    return {"Content-Type": kind, _DIGEST: hashlib.sha256(content).hexdigest()}
