"""Where pictures and clips are kept: a folder, or a bucket in S3 or another object store."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from pipeline.core.address import Address, Secret
from pipeline.core.config import Config, PositiveDuration, parse_duration
from pipeline.core.machine import Lack, missing_libraries

_BUCKET = re.compile(r"(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(?:/[^\s?#]*)?")


class FolderMediaConfig(Config):
    """A folder of this machine, or a network drive."""

    type: Literal["folder"] = "folder"
    path: Path
    """The folder; made when the first picture is kept."""


class S3MediaConfig(Config):
    """A bucket of Amazon S3 or of a server that speaks its protocol, of Google or of Azure."""

    type: Literal["s3"]
    url: str
    """`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`."""
    endpoint: Address | None = None
    """`https://HOST:PORT` of a server other than the cloud's own, such as MinIO; of Azure with the
    account behind it: `https://HOST:PORT/ACCOUNT`."""
    region: str | None = None
    """The bucket's region, for `s3://`; else that of the environment."""
    access_key: Secret | None = None
    """The id of the key for `s3://`, the name of the account for `az://`; else the environment's,
    as the cloud's own tools take it."""
    secret_key: Secret | None = None
    """The key itself, for `s3://` and `az://`."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long one request may take; what fails is tried again for about as long."""

    @field_validator("url")
    @classmethod
    def _is_bucket(cls, url: str) -> str:
        if not _BUCKET.fullmatch(url) or ".." in url.split("/"):
            raise ValueError(
                "a bucket is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
            )
        return url.rstrip("/")

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint(cls, endpoint: Address | None) -> Address | None:
        if endpoint is not None:
            parts = urlsplit(endpoint.reveal())
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
                raise ValueError("an endpoint is https://HOST or http://HOST:PORT, without a login")
        return endpoint

    @model_validator(mode="after")
    def _fits_together(self) -> "S3MediaConfig":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("needs both `access_key` and `secret_key`, or neither")
        if self.region is not None and not self.url.startswith("s3://"):
            raise ValueError("`region` is for s3:// only; a bucket of the others has one place")
        if self.access_key is not None and self.url.startswith("gs://"):
            raise ValueError(
                "`access_key` is not for gs://; GOOGLE_SERVICE_ACCOUNT in the environment names "
                "the key's file"
            )
        return self

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
