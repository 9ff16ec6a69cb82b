"""Which pictures may be fetched that callers name by their address."""

import ipaddress
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.core.config import Config, PositiveDuration


def _is_domain(value: str) -> str:
    name = value.strip().rstrip(".").lower()
    bare = name.removeprefix("*.")
    if name == "any":
        return name
    if not bare or any(sign in bare for sign in "/:*@ ") or ".." in bare:
        raise ValueError(
            f"{value!r} is not a domain; write example.com, *.example.com for all below it, or any"
        )
    return name


def _is_network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(
            f"{value!r} is not a network; write it like 10.0.5.0/24 ({error})"
        ) from None


class FetchConfig(Config):
    """Which pictures may be fetched that callers name by their address."""

    domains: tuple[Annotated[str, AfterValidator(_is_domain)], ...] = Field(
        (),
        description="The servers pictures may be fetched from: example.com, *.example.com for all "
        "names below it, or any. Empty, pictures come in the request alone.",
    )
    networks: tuple[Annotated[str, AfterValidator(_is_network)], ...] = Field(
        (),
        description="Private networks that may be fetched from all the same, such as "
        "10.0.5.0/24; all others are refused whatever a name resolves to.",
    )
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        (80, 443), description="The ports that may be used."
    )
    at_most_bytes: int = Field(
        20_000_000, ge=1000, le=200_000_000, description="The largest file that is read."
    )
    deadline: PositiveDuration = Field(
        timedelta(seconds=10),
        description="How long a picture may take to arrive, redirects included.",
    )
