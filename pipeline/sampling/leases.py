"""Which cameras this process samples: leases are renewed, shared fairly and given back.

Any number of samplers may be started, each for all cameras or for some of them; only one samples a
camera at a time. A new sampler gets cameras from those with too many; a dead one's are taken over
once its leases expire. A camera is given back only when it is closed.
"""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pipeline.core.errors import QueueError
from pipeline.core.membership import Leases, camera_lease

logger = logging.getLogger(__name__)

CAMERA_TTL = timedelta(seconds=3)
# Six looks during the life of a lease: a free camera is soon taken, and two renewals may fail.
CAMERA_LOOK_S = CAMERA_TTL.total_seconds() / 6
_RENEW_EVERY = 2
# Shares must be uneven for this long, 2 s, before cameras move: longer than a dead sampler is still
# listed after its leases have expired.
_UNEVEN_LOOKS = 4


@dataclass(frozen=True, slots=True)
class OtherSampler:
    """What another sampler reports about itself."""

    able: Collection[str]
    """The cameras that it samples or could sample."""
    sampled: int
    """How many it samples."""


Samplers = Callable[[], Mapping[str, OtherSampler]]
"""The live samplers, by the names under which they own cameras; raises QueueError."""


class CameraLeases:
    """The cameras a process samples. One thread keeps the leases, another opens and closes."""

    def __init__(
        self, leases: Leases, owner: str, cameras: Collection[str], samplers: Samplers
    ) -> None:
        """`owner` is unique for every start of a process."""
        self._leases = leases
        self._owner = owner
        self._samplers = samplers
        self._lock = threading.Lock()
        self._wanted = frozenset(cameras)
        self._owned: dict[str, int] = {}
        self._leaving: set[str] = set()
        self._open: Collection[str] = frozenset()
        self._elsewhere: Mapping[str, str] = {}
        self._free: Collection[str] = frozenset()
        self._looks = 0
        self._uneven_looks = 0
        self._was_away = False

    @property
    def held(self) -> Mapping[str, int]:
        """The cameras to sample, each with its fencing token."""
        with self._lock:
            return {c: token for c, token in self._owned.items() if c not in self._leaving}

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """The samplers of the cameras that this process could sample but does not."""
        return self._elsewhere

    def share(self, cameras: Collection[str]) -> None:
        """Take a share of these cameras from now on."""
        with self._lock:
            self._wanted = frozenset(cameras)
            self._leaving |= self._owned.keys() - self._wanted

    def use(self, cameras: Collection[str]) -> None:
        """Set which cameras are open; only others are given back."""
        self._open = frozenset(cameras)

    def lose(self, camera: str) -> None:
        """Forget a camera that another process now samples."""
        self._forget(camera)

    def let_go(self, camera: str) -> None:
        """A camera was closed: give it back at once, if it was to be given back."""
        with self._lock:
            token = self._owned.get(camera) if camera in self._leaving else None
        if token is not None:
            try:
                self._leases.release(camera_lease(camera), token)
            except QueueError:
                return  # the next look tries again
            self._forget(camera)

    def look(self) -> None:
        """Renew the leases, give back cameras beyond the fair share, take free ones.

        While the queue is out of reach everything stays as it is: no other process can take any.
        """
        try:
            self._look()
        except QueueError:
            # The queue logs it; the next look tries again.
            self._was_away, self._free = True, frozenset()

    def end(self) -> None:
        """Give everything back, so that others need not wait for the leases to expire."""
        with self._lock:
            owned, self._owned = self._owned, {}
            self._leaving.clear()
        try:
            for camera, token in owned.items():
                self._leases.release(camera_lease(camera), token)
        except QueueError:
            return  # they expire by themselves

    def _look(self) -> None:
        if self._looks % _RENEW_EVERY == 0 or self._was_away:
            self._renew()
        self._looks += 1
        with self._lock:
            wanted = self._wanted
        others = {
            member: other
            for member, other in self._samplers().items()
            if member != self._owner and not wanted.isdisjoint(other.able)
        }
        owners = self._owners(wanted)
        self._give_back(wanted, owners, others)
        self._take(wanted, owners, others)
        self._elsewhere = {camera: who for camera, who in owners.items() if who != self._owner}
        self._was_away = False

    def _owners(self, cameras: Collection[str]) -> dict[str, str]:
        names = {camera_lease(camera): camera for camera in sorted(cameras)}
        found = self._leases.owners_of(names) if names else {}
        return {names[name]: owner for name, (owner, _) in found.items()}

    def _forget(self, camera: str) -> None:
        with self._lock:
            self._owned.pop(camera, None)
            self._leaving.discard(camera)

    def _renew(self) -> None:
        with self._lock:
            owned = dict(self._owned)
        for camera, token in owned.items():
            # A lease that expired while the queue was away, or that it lost, is renewed too.
            if not self._leases.renew(camera_lease(camera), token, CAMERA_TTL, self._owner):
                logger.warning("the lease of camera %s was lost", camera)
                self._forget(camera)

    def _give_back(
        self,
        wanted: Collection[str],
        owners: Mapping[str, str],
        others: Mapping[str, OtherSampler],
    ) -> None:
        """Leave cameras to samplers that have at least two fewer and could sample them."""
        with self._lock:
            staying = self._owned.keys() - self._leaving
            leaving = frozenset(self._leaving)
        loads, too_many = Counter(owners.values()), set[str]()
        for member, other in others.items():
            # It may have cameras that this process could not sample.
            loads[member] = max(loads[member], other.sampled)
        for camera in [*leaving, *sorted(staying.intersection(self._open), reverse=True)]:
            able = [member for member, other in others.items() if camera in other.able]
            poorest = min(able, key=lambda member: loads[member], default=None)
            if poorest is None:
                continue
            if camera in leaving:
                loads[poorest] += 1  # it is on its way
            elif loads[poorest] + 2 <= len(staying):
                loads[poorest] += 1
                staying.remove(camera)
                too_many.add(camera)
        # Free cameras go first. And a sampler that has just died still counts for a moment: closing
        # cameras for it would be pointless.
        is_uneven = bool(too_many) and all(camera in owners for camera in wanted)
        self._uneven_looks = self._uneven_looks + 1 if is_uneven else 0
        with self._lock:
            if self._uneven_looks >= _UNEVEN_LOOKS:
                self._leaving |= too_many
                self._uneven_looks = 0
            closed = [camera for camera in self._leaving if camera not in self._open]
        for camera in closed:
            self.let_go(camera)

    def _take(
        self,
        wanted: Collection[str],
        owners: Mapping[str, str],
        others: Mapping[str, OtherSampler],
    ) -> None:
        with self._lock:
            free = [c for c in sorted(wanted) if c not in owners and c not in self._owned]
        # Right after the queue was away, a camera's last sampler may be about to renew its lease.
        takers = 1 + len(others)
        missing = 0 if self._was_away else math.ceil(len(wanted) / takers) - len(self.held)
        # A camera that is still free at the second look is taken whatever the shares: the others
        # may be dead or unable to sample it.
        left = [camera for camera in free if camera in self._free]
        missing = max(missing, math.ceil(len(left) / takers))
        for camera in [*left, *(camera for camera in free if camera not in left)]:
            if missing <= 0:
                break
            token = self._leases.acquire(camera_lease(camera), self._owner, CAMERA_TTL)
            if token is not None:
                missing -= 1
                with self._lock:
                    self._owned[camera] = token
        self._free = frozenset(free) - self.held.keys()
