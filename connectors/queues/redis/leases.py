"""Who owns which partition of the results, with fencing tokens that only rise."""

from collections.abc import Mapping
from datetime import timedelta

from connectors.queues.redis.client.link import Link
from pipeline.core.membership import Leased


class RedisLeases:
    """Leases kept in Redis and measured on its clock; see `pipeline.core.membership.Leases`."""

    def __init__(self, link: Link, partitions: int) -> None:
        self._link = link
        self._partitions = partitions

    def acquire(self, what: Leased, owner: str, ttl: timedelta, floor: int = 0) -> int | None:
        """Own it for `ttl`; returns the fencing token, None while it is another's."""
        token = self._link.script("lease_acquire", what, owner, _ms(ttl), floor)
        return None if token is None else int(token)

    def renew(self, what: Leased, token: int, ttl: timedelta) -> bool:
        """Own it for `ttl` from now; False when the lease was lost."""
        return bool(self._link.script("lease_renew", what, token, _ms(ttl)))

    def release(self, what: Leased, token: int) -> None:
        """Let others have it at once; does nothing when the lease was lost."""
        self._link.script("lease_release", what, token)

    def owners(self) -> Mapping[int, tuple[str, int]]:
        """Owner and token of every partition that is owned."""
        found = self._link.script("lease_owners", self._partitions)
        return {int(number): (owner.decode(), int(token)) for number, owner, token in found}


def _ms(ttl: timedelta) -> int:
    return max(1, round(ttl.total_seconds() * 1000))
