"""The `web:` section of a deployment file: where the application answers, and to whom."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from pipeline.core.config import Config, PositiveDuration, parse_duration

LOOPBACK = "127.0.0.1"
DEFAULT_LISTEN = ":8090"


def listen_address(text: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`; `:PORT` is this machine only. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            f"{text!r} is not a valid address; use :8090 (this machine only) or 0.0.0.0:8090 (all)"
        )
    return host.strip("[]") or LOOPBACK, int(port)


def _listens(value: str) -> str:
    listen_address(value)
    return value.strip()


class WebConfig(Config):
    """What others reach over the web."""

    listen: Annotated[str, AfterValidator(_listens)] | None = Field(
        None,
        description=(
            "Where the application answers, HOST:PORT; without a host, on this machine only. With "
            "it, `run` serves the application too; `moonwatch web` uses :8090 by default."
        ),
    )

    public_url: str | None = Field(
        None,
        description=(
            "Address at which `--http` of `run` or `deliver` can be reached from elsewhere, such "
            "as `https://shop.example`: links to pictures and clips begin with it."
        ),
    )
    links_for: PositiveDuration = Field(
        default_factory=lambda: parse_duration("7d"),
        description="How long a link can be used, at least; it ends at midnight UTC.",
    )

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
            valid = valid and (parts.port or 1) > 0 and "@" not in parts.netloc
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment or re.search(r"[\s<>\"]", url):
            raise ValueError(
                "a public address is https://HOST, perhaps with a port and a path, and without a "
                "login, a question mark or spaces"
            )
        return url.rstrip("/")
