"""Where pictures and clips are kept: a folder, or a bucket in S3 or another object store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, field_validator

from connectors.places.buckets import BucketAccess, is_bucket
from pipeline.core.config import Config
from pipeline.core.machine import Lack, missing_libraries


class FolderMediaConfig(Config):
    """A folder of this machine, or a network drive."""

    type: Literal["folder"] = "folder"
    path: Path
    """The folder; made when the first picture is kept."""


class S3MediaConfig(BucketAccess):
    """A bucket of Amazon S3 or of a server that speaks its protocol, of Google or of Azure."""

    type: Literal["s3"]

    @field_validator("url")
    @classmethod
    def _is_bucket(cls, url: str) -> str:
        if not is_bucket(url):
            raise ValueError(
                "a bucket is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
            )
        return url.rstrip("/")

    def lacks(self) -> Iterator[Lack]:
        """Whether the library is installed."""
        yield from missing_libraries("a bucket", ["obstore"], "s3")


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        kind = value.get("type", "folder")
        return {"s3": "a bucket", "folder": "a folder"}.get(kind) if isinstance(kind, str) else None
    if isinstance(value, S3MediaConfig):
        return "a bucket"
    return "a folder" if isinstance(value, FolderMediaConfig) else "a path"


MediaConfig = Annotated[
    Annotated[Path, Tag("a path")]
    | Annotated[FolderMediaConfig, Tag("a folder")]
    | Annotated[S3MediaConfig, Tag("a bucket")],
    Discriminator(
        _kind,
        custom_error_type="media_kind",
        custom_error_message=(
            "write a path, {type: folder, path: PATH} or {type: s3, url: s3://BUCKET/PREFIX}"
        ),
    ),
]
