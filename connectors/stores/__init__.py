"""Where events, counts, health and checkpoints are kept, and the pictures beside them."""

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from connectors.stores import _sqlite_files
from connectors.stores.media import FolderMediaConfig, MediaConfig, S3MediaConfig
from pipeline.core.address import Address
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.config import (
    ByteSize,
    Config,
    Duration,
    PositiveDuration,
    all_left_out,
    parse_duration,
    parse_size,
)
from pipeline.core.machine import Lack, missing_libraries, unwritable_file, unwritable_folder

if TYPE_CHECKING:
    from connectors.stores.files import FileMediaStore
    from connectors.stores.sql import SqlStore
    from pipeline.core.store import PictureRecords

__all__ = ["StoreConfig"]

_SCHEMES = ("sqlite", "postgresql", "postgres")
# Login, host and port as SQLAlchemy takes them apart, which would put a piece of a password with an
# @ in it into the host.
_SERVER = re.compile(
    r"(?:[^:/@]*(?::[^@]*)?@)?(?:\[[0-9A-Fa-f:.%]+\]|[^/:@?\[\]]*)(?::\d{1,5})?(?:[/?].*)?"
)


def _zero(value: Any) -> Any:
    """Nothing at all needs no unit."""
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    return "0s" if is_number and str(value).strip() in ("0", "0.0") else value


class ObservationsConfig(Config):
    """What was seen: boxes, tracks and answers of every picture, without the picture."""

    keep: Annotated[Duration, BeforeValidator(_zero)] = Field(
        default_factory=lambda: parse_duration("7d")
    )
    """How long it is kept, but never longer than the store's `keep`; 0 keeps nothing."""


class CountsConfig(Config):
    """What rules have counted by the minute, and in which state cameras were."""

    keep: PositiveDuration | None = Field(default_factory=lambda: parse_duration("400d"))
    """How long it is kept, but never shorter than the store's `keep`; null forever."""


class KeptClipsConfig(Config):
    """How long clips are kept, and how much room they may take."""

    keep: PositiveDuration | None = Field(default_factory=lambda: parse_duration("14d"))
    """How long they are kept; null for as long as there is room."""
    at_most: ByteSize | None = Field(default_factory=lambda: parse_size("20GB"))
    """The room that all of them together may take: beyond it the oldest go first; null for no
    limit."""


class StoreConfig(Config):
    """The database of events and counts: SQLite in one file, or PostgreSQL by its URL."""

    url: Address = Address("sqlite:///moonwatch.db")
    """`sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host/db`."""
    keep: PositiveDuration | None = Field(default_factory=lambda: parse_duration("30d"))
    """How long events and pictures are kept; events only go once every sink has them. Null keeps
    everything."""
    counts: CountsConfig = Field(default_factory=all_left_out, validate_default=True)
    """What is kept of counts, so that a month can be compared with the one before."""
    media: MediaConfig | None = None
    """Folder of the pictures and clips; `moonwatch.media` beside the database unless given. Or
    `{type: s3, url: "s3://BUCKET/PREFIX"}`."""
    clips: KeptClipsConfig = Field(default_factory=all_left_out, validate_default=True)
    """How long clips are kept."""
    observations: ObservationsConfig = Field(default_factory=ObservationsConfig)
    """What is kept of what was seen, so that a line drawn today counts yesterday's people."""

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: Address) -> Address:
        scheme, colon, rest = url.reveal().partition("://")
        if not colon or scheme.partition("+")[0] not in _SCHEMES:
            raise ValueError(
                "a store is sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
            )
        if scheme.startswith("sqlite") and (not rest.startswith("/") or rest in ("/", "/:memory:")):
            raise ValueError(
                "a store in memory loses every event; name a file, such as sqlite:///moonwatch.db"
            )
        if not scheme.startswith("sqlite") and not _SERVER.fullmatch(rest):
            raise ValueError(
                "has no host that could be read; percent-encode special characters of the "
                "password (@ is %40, / is %2F), and write the port in digits"
            )
        return url

    @property
    def file(self) -> Path | None:
        """The database's file; None for a server."""
        if not self.url.scheme.startswith("sqlite"):
            return None
        return Path(self.url.reveal().partition("://")[2][1:].partition("?")[0])

    @property
    def keep_counts(self) -> timedelta | None:
        """How long counts are kept; None for ever."""
        if self.keep is None or self.counts.keep is None:
            return None
        return max(self.keep, self.counts.keep)

    @property
    def media_folder(self) -> Path:
        """Where pictures are kept; with a bucket, where clips grow until they are whole."""
        if isinstance(self.media, Path):
            return self.media
        if isinstance(self.media, FolderMediaConfig):
            return self.media.path
        return self.file.with_suffix(".media") if self.file else Path("moonwatch.media")

    def lacks(self) -> Iterator[Lack]:
        """Whether database and pictures can be written here, and the driver is installed."""
        if self.file is None:
            yield from missing_libraries("PostgreSQL", ["psycopg"], "postgresql", "url")
        else:
            yield from unwritable_file("url", self.file)
            if not _sqlite_files.can_be_a_database(self.file):
                yield Lack("url", f"{self.file} is not a database; name another file")
        yield from unwritable_folder("media", self.media_folder)

    def build(self, clock: Clock | None = None, patience_s: float | None = None) -> "SqlStore":
        """Open the database, making or upgrading its tables; raises StoreError.

        `patience_s` is how long a lock or a server is waited for, if not as long as usual.
        """
        # SQLAlchemy takes a good part of a second to import, which `check` need not wait for.
        module = importlib.import_module("connectors.stores.sql")
        more = {} if patience_s is None else {"patience_s": patience_s}
        store: SqlStore = module.SqlStore(self.url, clock or SystemClock(), **more)
        return store

    def build_reader(self, clock: Clock | None = None) -> "SqlStore":
        """Open a database that is there, to read only; raises StoreError."""
        module = importlib.import_module("connectors.stores.sql")
        store: SqlStore = module.SqlStore(self.url, clock or SystemClock(), read_only=True)
        return store

    def build_media(self, records: "PictureRecords | None" = None) -> "FileMediaStore":
        """The folder of pictures, made when the first one is kept, or the bucket.

        Pictures are recorded in `records`, which is the store; without it none is ever deleted.
        Raises StoreError where a bucket cannot be used.
        """
        if isinstance(self.media, S3MediaConfig):
            module = importlib.import_module("connectors.stores.buckets")
            bucket: FileMediaStore = module.BucketMediaStore(self.media, self.media_folder, records)
            return bucket
        module = importlib.import_module("connectors.stores.files")
        media: FileMediaStore = module.FileMediaStore(self.media_folder, records)
        return media
