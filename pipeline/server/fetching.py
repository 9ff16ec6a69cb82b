"""Fetches the pictures that callers name by address, from public servers only.

A server that fetches what strangers name is a door into the operator's own network (server-side
request forgery). So a name is resolved here, every address it has must be a public one, and the
connection goes to the very address that was looked at: a name that resolves to something else a
moment later (DNS rebinding) gains nothing. Each redirect is a new address and passes all of it.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import httpx

from pipeline.core.public_addresses import IpAddress, address_of, is_public
from pipeline.server.fetch_config import FetchConfig

logger = logging.getLogger(__name__)

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to all its addresses; raises OSError."""

CONNECT_S, READ_S = 3.0, 5.0
MOST_REDIRECTS = 3
LONGEST_ADDRESS = 2048
FETCHES_AT_ONCE, FETCHES_OF_A_CALLER = 16, 4
# Names are looked up by the system's resolver, which cannot be interrupted.
_LOOKUPS_AT_ONCE = 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What may be better in a moment, by the server's own word.
_TRANSIENT = frozenset({408, 425, 429})
_PORTS = {"http": 80, "https": 443}
# One sentence for what is refused and for what does not answer: callers shall not be able to tell
# which machines there are behind this one.
UNREACHABLE = "the picture could not be fetched from this address"


class PictureRefused(Exception):  # noqa: N818 - it is an answer to the caller, not a fault of ours
    """Why a picture cannot be used: a sentence that may be shown to the caller.

    `code` is the error code of the OpenAI interface; `is_transient` says that the same request may
    succeed later.
    """

    def __init__(
        self,
        message: str,
        code: Literal[
            "invalid_image_url", "image_too_large", "image_fetch_failed"
        ] = "invalid_image_url",
        *,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.is_transient = message, code, is_transient


@dataclass(frozen=True, slots=True)
class _Hop:
    """One address on the way to a picture, judged."""

    url: httpx.URL
    host: str
    port: int
    address: IpAddress


class Fetcher:
    """Fetches pictures for callers. One event loop uses it; `close` ends its threads."""

    def __init__(
        self,
        config: FetchConfig | None = None,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`resolve` and `tls` stand for the system's resolver and its certificates."""
        self._config = config or FetchConfig()
        self._networks = tuple(ipaddress.ip_network(text) for text in self._config.networks)
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "resolver")
        self._resolve = resolve or self._by_the_system
        self._tls = tls
        self._running: Counter[str] = Counter()

    @property
    def is_on(self) -> bool:
        """Whether any server may be fetched from."""
        return bool(self._config.domains)

    def close(self) -> None:
        """Let its threads end; lookups that hang are left behind."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, address: str, caller: str = "") -> bytes:
        """Return the bytes at an http or https address; raises PictureRefused.

        Of one caller only some are fetched at a time, and of all together.
        """
        if not self.is_on:
            raise PictureRefused(
                "this server fetches no pictures; send the picture itself as a data URI "
                "(data:image/jpeg;base64,...)"
            )
        with self._place(caller):
            try:
                async with asyncio.timeout(self._config.deadline.total_seconds()):
                    return await self._follow(_parsed(address))
            except TimeoutError:
                logger.info("a picture of %s did not arrive in time", _loggable(address))
                raise PictureRefused(UNREACHABLE, "image_fetch_failed", is_transient=True) from None

    @contextmanager
    def _place(self, caller: str) -> Iterator[None]:
        if self._running[caller] >= FETCHES_OF_A_CALLER or self._running.total() >= FETCHES_AT_ONCE:
            raise PictureRefused(
                "too many pictures are being fetched; try again in a moment, or send the pictures "
                "themselves",
                "image_fetch_failed",
                is_transient=True,
            )
        self._running[caller] += 1
        try:
            yield
        finally:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._get(await self._judged(url))
            if isinstance(found, bytes):
                return found
            if url.scheme == "https" and found.scheme != "https":
                raise PictureRefused("the address redirects from https to an insecure address")
            url = found
        raise PictureRefused(f"the address redirects more than {MOST_REDIRECTS} times")

    async def _judged(self, url: httpx.URL) -> _Hop:
        """Return where to connect; refuses what is not listed or not public."""
        host = url.host.rstrip(".").lower()
        port = url.port or _PORTS[url.scheme]
        if port not in self._config.ports:
            raise PictureRefused(
                f"pictures are not fetched from port {port}, only from "
                f"{', '.join(map(str, self._config.ports))}"
            )
        if not any(_covers(domain, host) for domain in self._config.domains):
            raise PictureRefused(
                "this server fetches no pictures from that domain; send the picture itself as a "
                "data URI"
            )
        try:
            texts = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            logger.info("the name of %s cannot be resolved: %s", _loggable(str(url)), error)
            raise PictureRefused(UNREACHABLE, "image_fetch_failed", is_transient=True) from None
        addresses = [address_of(text) for text in texts]
        good = [found for found in addresses if found is not None and self._may_reach(found)]
        # One bad address among them is enough: names of friendly servers have none.
        if not good or len(good) < len(addresses):
            logger.warning(
                "a caller named %s, which is not on the public internet: refused",
                _loggable(str(url)),
            )
            raise PictureRefused(UNREACHABLE, "image_fetch_failed", is_transient=True)
        return _Hop(url, host, port, good[0])

    def _may_reach(self, address: IpAddress) -> bool:
        return is_public(address) or any(
            network.version == address.version and address in network for network in self._networks
        )

    async def _get(self, hop: _Hop) -> bytes | httpx.URL:
        """Return what is there, or where it has moved to."""
        literal = f"[{hop.address}]" if hop.address.version == 6 else str(hop.address)
        # A client for each request: a kept connection would be found again by its address alone,
        # whatever name the certificate was checked for, and cookies would travel between callers.
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        client = httpx.AsyncClient(
            verify=self._certificates(), trust_env=False, follow_redirects=False, timeout=timeout
        )
        headers = {
            "host": hop.url.netloc.decode("ascii"),
            "accept": "image/jpeg, image/png, image/webp, image/gif, image/bmp",
            "accept-encoding": "identity",
            "user-agent": "moonwatch",
        }
        pinned = hop.url.copy_with(host=literal, fragment=None)
        try:
            async with (
                client,
                client.stream(
                    "GET", pinned, headers=headers, extensions={"sni_hostname": hop.host}
                ) as response,
            ):
                return await self._read(hop, response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            logger.info(
                "a picture of %s cannot be fetched: %s: %s",
                _loggable(str(hop.url)), type(error).__name__, error,
            )  # fmt: skip
            raise PictureRefused(UNREACHABLE, "image_fetch_failed", is_transient=True) from None

    async def _read(self, hop: _Hop, response: httpx.Response) -> bytes | httpx.URL:
        status = response.status_code
        if status in _REDIRECTS and "location" in response.headers:
            return _parsed(_joined(hop.url, response.headers["location"]))
        if not 200 <= status < 300:
            logger.info("a picture of %s: status %d", _loggable(str(hop.url)), status)
            raise PictureRefused(
                UNREACHABLE,
                "image_fetch_failed",
                is_transient=status >= 500 or status in _TRANSIENT,
            )
        if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise PictureRefused("the server at this address compresses the picture once more")
        most, read = self._config.at_most_bytes, bytearray()
        too_large = PictureRefused(
            f"the picture at this address is larger than {most} bytes", "image_too_large"
        )
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20 and int(declared) > most:
            raise too_large
        async for chunk in response.aiter_raw():
            read += chunk
            if len(read) > most:
                raise too_large
        return bytes(read)

    def _certificates(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    async def _by_the_system(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(place[0]) for *_, place in found]


def _parsed(address: str) -> httpx.URL:
    """Return the address taken apart; raises PictureRefused for what is not plainly http(s)."""
    if len(address) > LONGEST_ADDRESS:
        raise PictureRefused(f"the picture's address is longer than {LONGEST_ADDRESS} characters")
    # Parsers disagree about these, and what they disagree about is what attacks are made of.
    if any(sign <= " " or sign in "\\\x7f" for sign in address):
        raise PictureRefused("the picture's address has blanks, backslashes or control characters")
    try:
        url = httpx.URL(address)
        host = url.host
    except (httpx.InvalidURL, ValueError, TypeError):
        raise PictureRefused("the picture's address cannot be understood") from None
    if url.scheme not in _PORTS:
        raise PictureRefused("a picture's address begins with https:// or http://")
    if url.userinfo:
        raise PictureRefused("a picture's address with a user or password is not fetched")
    if not host or len(host) > 253:
        raise PictureRefused("the picture's address names no server")
    return url


def _joined(base: httpx.URL, location: str) -> str:
    try:
        return str(base.join(location))
    except (httpx.InvalidURL, ValueError):
        raise PictureRefused("the address redirects to something that is not an address") from None


def _covers(domain: str, host: str) -> bool:
    if domain == "any":
        return True
    below = domain.removeprefix("*")
    return host == domain or (below != domain and host.endswith(below))


def _loggable(address: str) -> str:
    """Scheme and host of an address: paths and queries may hold what is not ours to keep."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError):
        return "an address"
    return f"{url.scheme}://{url.host}"
