"""Push services: where browsers have their messages from, as they themselves have told us.

An endpoint is an address that a stranger may have made up. So it is https, its name is resolved
here, every address of it has to be a public one, and the connection goes to the very address that
was looked at. Nothing is read of the answer but its status and when to come again.
"""

import asyncio
import email.utils
import ipaddress
import logging
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from pipeline.core.public_addresses import IpAddress, address_of, is_public
from pipeline.web.config import WebPushConfig

logger = logging.getLogger(__name__)

LONGEST_ENDPOINT: Final = 1024
CONNECT_S, READ_S, WHOLE_S = 5.0, 5.0, 10.0
_LOOKUPS_AT_ONCE = 8
_LONGEST_REST_S = 86400.0
_HTTPS = 443
# One sentence for what is refused and what does not answer: nobody shall learn from it which
# machines there are behind this one.
UNREACHABLE: Final = "the push service cannot be reached"


class PushUnreachable(Exception):  # noqa: N818 - it is what became of a message, no fault of ours
    """Why a push service could not be asked: a sentence that may be shown."""


@dataclass(frozen=True, slots=True)
class PushReply:
    """What a push service has answered."""

    status: int
    retry_after_s: float | None = None
    """When it wants to be asked again."""


def checked_endpoint(text: str, config: WebPushConfig) -> str:
    """An endpoint as far as it can be judged without asking; raises ValueError with a sentence."""
    if len(text) > LONGEST_ENDPOINT:
        raise ValueError(f"the endpoint has more than {LONGEST_ENDPOINT} characters")
    # Parsers disagree about these, and what they disagree about is what attacks are made of.
    if not text.isascii() or any(sign <= " " or sign in "\\\x7f" for sign in text):
        raise ValueError("the endpoint has characters that no address has")
    try:
        url = httpx.URL(text)
        host, port = url.host, url.port
    except (httpx.InvalidURL, ValueError, TypeError):
        raise ValueError("the endpoint is no address") from None
    if url.scheme != "https" or url.userinfo or url.fragment or not host or len(host) > 253:
        raise ValueError("the endpoint is not https://HOST/..., without a login")
    literal = address_of(host.strip("[]"))
    if literal is not None and not _may_reach(literal, port or _HTTPS, config):
        raise ValueError("the endpoint is not on the public internet")
    return text


class PushServices:
    """Sends to push services; usable from any thread, each with an event loop of its own."""

    def __init__(self) -> None:
        # Names are looked up by the system's resolver, which cannot be interrupted.
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "push-resolver")
        self._tls: tuple[object, ssl.SSLContext] | None = None

    def close(self) -> None:
        """Let its threads end; lookups that hang are left behind."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def post(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], config: WebPushConfig
    ) -> PushReply:
        """Send a message; within 10 s there is an answer, or PushUnreachable is raised."""
        try:
            async with asyncio.timeout(WHOLE_S):
                return await self._post(endpoint, body, headers, config)
        except TimeoutError:
            raise PushUnreachable(f"the push service did not answer within {WHOLE_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            logger.info("a push service at %s: %s", _host(endpoint), type(error).__name__)
            raise PushUnreachable(UNREACHABLE) from None

    async def _post(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], config: WebPushConfig
    ) -> PushReply:
        url = httpx.URL(checked_endpoint(endpoint, config))
        address = await self._judged(url.host.strip("[]"), url.port or _HTTPS, config)
        literal = f"[{address}]" if address.version == 6 else str(address)
        sent = {**headers, "host": url.netloc.decode("ascii"), "user-agent": "moonwatch"}
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        # A client for each message: a kept connection would be found again by its address alone.
        async with (
            httpx.AsyncClient(
                verify=self._certificates(config),
                trust_env=False,
                follow_redirects=False,
                timeout=timeout,
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=literal),
                content=body,
                headers=sent,
                extensions={"sni_hostname": url.host},
            ) as answer,
        ):
            return PushReply(answer.status_code, _seconds(answer.headers.get("retry-after")))

    async def _judged(self, host: str, port: int, config: WebPushConfig) -> IpAddress:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        addresses = [address_of(str(place[0])) for *_, place in found]
        good = [one for one in addresses if one is not None and _may_reach(one, port, config)]
        # One bad address among them is enough: names of push services have none.
        if not good or len(good) < len(addresses):
            logger.warning("a push service at %s is not on the public internet: refused", host)
            raise PushUnreachable(UNREACHABLE)
        return good[0]

    def _certificates(self, config: WebPushConfig) -> ssl.SSLContext:
        kept = self._tls
        if kept is None or kept[0] != config.certificates:
            kept = (config.certificates, ssl.create_default_context(cafile=config.certificates))
            self._tls = kept
        return kept[1]


def _may_reach(address: IpAddress, port: int, config: WebPushConfig) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or address
    listed = (ipaddress.ip_network(text) for text in config.networks)
    if any(network.version == mapped.version and mapped in network for network in listed):
        return True
    return port == _HTTPS and is_public(address)


def _seconds(said: str | None) -> float | None:
    """What a header `Retry-After` says, as seconds; None for what says nothing."""
    if said is None:
        return None
    if said.strip().isdecimal() and len(said) < 10:
        return min(_LONGEST_REST_S, float(said))
    try:
        at = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    rest = (at - datetime.now(UTC)).total_seconds()
    return min(_LONGEST_REST_S, max(0.0, rest))


def _host(endpoint: str) -> str:
    """Of an endpoint only this is written down: its path is what opens it."""
    try:
        return httpx.URL(endpoint).host
    except (httpx.InvalidURL, ValueError):
        return "an address"
