"""The other end of a connection: its address, and what a trusted proxy says of it."""

import hmac
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection

from pipeline.web.config import WebConfig, WebProxyConfig

PROXY_SECRET_HEADER = "x-moonwatch-proxy"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the connection tells."""

    address: str
    """Of the browser or program; empty where it is not known."""
    host: str
    """What it calls this server, with the port if it is not the usual one."""
    is_encrypted: bool
    """Whether it speaks https, with this server or with the proxy before it."""
    proxy: WebProxyConfig | None = None
    """The settings of the proxy that is trusted for this request; None where there is none."""

    @property
    def network(self) -> str:
        """What attempts to sign in are counted by: an address, or the half of an IPv6 address
        that one customer has.
        """
        try:
            found = ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(found, IPv6Address):
            if found.ipv4_mapped is not None:
                return str(found.ipv4_mapped)
            return f"{IPv6Address(int(found) >> 64 << 64)}/64"
        return str(found)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine itself."""
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return False


def peer_of(connection: HTTPConnection, config: WebConfig) -> Peer:
    """The other end of a request or a WebSocket."""
    address = connection.client.host if connection.client is not None else ""
    is_encrypted = connection.scope.get("scheme") in ("https", "wss")
    host = connection.headers.get("host", "")
    proxy = config.proxy
    if proxy is None or not _is_trusted(connection, address, proxy):
        return Peer(address, host, is_encrypted)
    said = connection.headers
    # The last address is the one that the proxy has seen itself; those before it are hearsay.
    hops = [hop.strip() for hop in ",".join(said.getlist("x-forwarded-for")).split(",")]
    forwarded = next((hop for hop in reversed(hops) if hop and not proxy.trusts(hop)), None)
    return Peer(
        address=_shortened(forwarded) if forwarded else address,
        host=said.get("x-forwarded-host", host).partition(",")[0].strip(),
        is_encrypted=is_encrypted or said.get("x-forwarded-proto", "").strip() == "https",
        proxy=proxy,
    )


def _is_trusted(connection: HTTPConnection, address: str, proxy: WebProxyConfig) -> bool:
    given = connection.headers.getlist(PROXY_SECRET_HEADER)
    if len(given) != 1 or not proxy.trusts(address):
        return False
    return hmac.compare_digest(given[0].encode(), proxy.secret.reveal().encode())


def _shortened(text: str) -> str:
    return text[:64]
