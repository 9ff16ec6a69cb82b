"""Who owns which partition of the results, and which camera: with tokens that only rise."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from connectors.queues.redis import keys
from connectors.queues.redis.client.link import Link
from pipeline.core.membership import Leased, camera_lease
from pipeline.core.ranges import readable

_LONGEST_TOKEN = 18


@dataclass(frozen=True, slots=True)
class CameraFence:
    """The token of the one who samples a camera: a newer one than this keeps it out."""

    camera: str
    token: int

    def told(self) -> tuple[str, str]:
        """The lease and the token, as the scripts take them."""
        return keys.lease_named(camera_lease(self.camera)), str(self.token)


class RedisLeases:
    """Leases kept in Redis and measured on its clock; see `pipeline.core.membership.Leases`."""

    def __init__(self, link: Link, partitions: int) -> None:
        self._link = link
        self._partitions = partitions

    def acquire(self, what: Leased, owner: str, ttl: timedelta, floor: int = 0) -> int | None:
        """Own it for `ttl`; returns the fencing token, None while it is another's."""
        name = keys.lease_named(what)
        token = self._link.script("lease_acquire", name, owner, _ms(ttl), floor)
        return None if token is None else int(token)

    def renew(self, what: Leased, token: int, ttl: timedelta, owner: str | None = None) -> bool:
        """Own it for `ttl` from now; False when the lease was lost.

        With its `owner` a lease that ended is taken up again if nobody has had it since.
        """
        name = keys.lease_named(what)
        return bool(self._link.script("lease_renew", name, token, _ms(ttl), owner or ""))

    def release(self, what: Leased, token: int) -> None:
        """Let others have it at once; does nothing when the lease was lost."""
        self._link.script("lease_release", keys.lease_named(what), token)

    def owners(self) -> Mapping[int, tuple[str, int]]:
        """Owner and token of every partition that is owned."""
        found = self._link.script("lease_owners", *range(self._partitions))
        return {int(number): _owner(owner, token) for number, owner, token in found}

    def owners_of(self, names: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """Owner and token of each of these that is owned."""
        asked = {keys.lease_named(name): name for name in names}
        found = self._link.script("lease_owners", *asked)
        return {asked[name.decode()]: _owner(owner, token) for name, owner, token in found}


def _owner(owner: bytes, token: bytes) -> tuple[str, int]:
    """Who has it and with which token; 0 where that is not one, which is below any other."""
    is_token = token.isdigit() and len(token) <= _LONGEST_TOKEN
    return readable(owner.decode(errors="replace")), int(token) if is_token else 0


def _ms(ttl: timedelta) -> int:
    return max(1, round(ttl.total_seconds() * 1000))
