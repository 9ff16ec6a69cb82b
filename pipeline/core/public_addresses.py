"""Which addresses are of the public internet: what strangers name may lead nowhere else.

Who follows an address that somebody from outside has named resolves its name, asks here about every
address that it has, and connects to the very one that was looked at: a name that resolves to
something else a moment later (DNS rebinding) gains nothing.
"""

import ipaddress
from typing import TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
# Ways to write an IPv4 address, or a tunnel to one, as an IPv6 address; and networks that are not
# on the public internet although Python's tables say nothing about them.
_NEVER_PUBLIC: tuple[IpNetwork, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the public internet's, reachable in its own right."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.scope_id is not None:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not any(
            network.version == address.version and address in network for network in _NEVER_PUBLIC
        )
    )


def address_of(text: str) -> IpAddress | None:
    """What a text says as an address; None for what is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
