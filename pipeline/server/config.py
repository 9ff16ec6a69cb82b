"""The `server:` section of a deployment file: who may ask the model how much, and over what."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from pipeline.core.config import Config, PositiveDuration, all_left_out
from pipeline.core.machine import Lack, unreadable_file
from pipeline.server.fetch_config import FetchConfig
from pipeline.server.prices import LedgerConfig, PricesConfig

LOOPBACK = "127.0.0.1"


def _listens(value: str) -> str:
    listen_address(value)
    return value.strip()


def listen_address(text: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`; `:PORT` is this machine only. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            f"{text!r} is not a valid address; use :8080 (this machine only) or 0.0.0.0:8080 (all)"
        )
    return host.strip("[]") or LOOPBACK, int(port)


def _is_proxy(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f"{value!r} is neither an address nor a network; write it like 10.0.0.5 or 10.0.0.0/24"
        ) from None
    return value


def _is_origin(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_origin = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_origin = is_origin and value == f"{parts.scheme}://{parts.netloc}" and "@" not in value
    except ValueError:
        is_origin = False
    if value != "*" and not is_origin:
        raise ValueError(
            f"{value!r} is not the origin of a page; write it like https://shop.example.com, "
            "without a path, or * for any"
        )
    return value


class ServeConfig(Config):
    """How the model is served to callers over HTTP."""

    listen: Annotated[str, AfterValidator(_listens)] = Field(
        ":8080",
        description="Where to listen, HOST:PORT; without a host, on this machine only.",
    )
    engine: str | None = Field(
        None,
        description="Name of the `moondream` engine that answers; optional where there is only "
        "one.",
    )
    share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the running batch that is the callers' while cameras want it too; "
        "what one side does not use is the other's.",
    )
    queue: int = Field(64, ge=1, le=10_000, description="The most requests that wait in line.")
    wait: PositiveDuration = Field(
        timedelta(seconds=10),
        description="How long a request waits in line at most before it is refused (503).",
    )
    timeout: PositiveDuration = Field(
        timedelta(minutes=5), description="How long a request may take altogether."
    )
    body_limit: int = Field(
        30_000_000,
        ge=1024,
        le=1_000_000_000,
        description="The largest request in bytes, its pictures included.",
    )
    body_timeout: PositiveDuration = Field(
        timedelta(seconds=60), description="How long a request may take to arrive."
    )
    connections: int = Field(
        512, ge=1, le=65_536, description="The most connections that are open at a time."
    )
    stalled_after: PositiveDuration = Field(
        timedelta(minutes=2),
        description="How long the model may work on one step before `/health` says that it has "
        "stopped answering.",
    )
    finish_within: PositiveDuration = Field(
        timedelta(seconds=30),
        description="How long running requests may take to finish when the server is stopped.",
    )
    pictures: FetchConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Which pictures are fetched that callers name by their address; none by "
        "default.",
    )
    prices: PricesConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="What callers are charged, for `moonwatch usage`; nothing by default.",
    )
    ledger: LedgerConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="The list of all requests, of which the totals of each day are made.",
    )
    cors: tuple[Annotated[str, AfterValidator(_is_origin)], ...] = Field(
        (), description="Origins whose pages may ask from a browser; none by default."
    )
    tls_cert: Path | None = Field(
        None, description="File of the certificate chain (PEM), to speak HTTPS."
    )
    tls_key: Path | None = Field(None, description="File of the certificate's private key (PEM).")
    trusted_proxies: tuple[Annotated[str, AfterValidator(_is_proxy)], ...] = Field(
        (),
        description="Addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed.",
    )

    @model_validator(mode="after")
    def _has_both_files(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("HTTPS needs both `tls_cert` and `tls_key`")
        return self

    def lacks(self) -> Iterator[Lack]:
        """Whether the files for HTTPS can be read here.

        Never fatal: commands that do not serve work without them.
        """
        for key in ("tls_cert", "tls_key"):
            for lack in unreadable_file(key, getattr(self, key)):
                yield replace(lack, is_fatal=False)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port to listen on."""
        return listen_address(self.listen)
