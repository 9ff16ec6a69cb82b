"""Keeps the days of the file's sites written down in the store, for its SQL views."""

import logging
from collections.abc import Callable, Mapping

from pipeline.core.clock import SET_SINCE, Clock
from pipeline.core.errors import OwnershipLostError, StoreError
from pipeline.core.local_days import SiteDays, local_spans
from pipeline.core.store import LeaseProof, Store
from pipeline.deployment.model import Deployment

logger = logging.getLogger(__name__)

_EVERY_S = 3600.0
_AGAIN_S = 60.0
_AHEAD_S = 8 * 86_400.0
# A minute that a wrong clock has dated does not make it write down centuries.
_FARTHEST_S = 40 * 366 * 86_400.0


class SiteDayKeeper:
    """Writes them at the start, after an edit, every hour and at the end. One thread calls it."""

    def __init__(
        self,
        deployment: Deployment,
        store: Store,
        clock: Clock,
        lease: Callable[[], LeaseProof | None] = lambda: None,
    ) -> None:
        """Nothing is written once another process has taken the `lease`."""
        self._lease = lease
        self._deployment = deployment
        self._store = store
        self._clock = clock
        self._due = float("-inf")
        self._written: tuple[Mapping[str, SiteDays], Mapping[str, str]] | None = None
        self.trouble: str | None = None
        """Why they cannot be written; None if all is well."""

    def update(self, deployment: Deployment) -> None:
        """Go on with another version of the file."""
        self._deployment, self._due = deployment, float("-inf")

    def look(self) -> None:
        """Write what is new, where the last time is an hour ago."""
        if self._clock.monotonic() >= self._due:
            self._write()

    def close(self) -> None:
        """Write the days of recordings that were judged since: they may be of any time."""
        if any(one.source.is_recording for one in self._deployment.cameras.values()):
            self._write()

    def _write(self) -> None:
        self._due = self._clock.monotonic() + _EVERY_S
        try:
            wanted = self._wanted(self._store.local_days.known_time())
            if wanted != self._written:
                self._store.local_days.write(*wanted, self._lease())
                self._written = wanted
        except OwnershipLostError:
            pass  # they are another process's to write by now
        except StoreError as error:
            self._due = self._clock.monotonic() + _AGAIN_S
            said = f"the days of sites cannot be written for SQL views: {error}"
            if self.trouble is None:
                logger.warning("%s", said)
            self.trouble = said
        else:
            self.trouble = None

    def _wanted(
        self, known: tuple[int, int] | None
    ) -> tuple[Mapping[str, SiteDays], Mapping[str, str]]:
        now = self._clock.now()
        times = [*(known or ()), *([now, now + _AHEAD_S] if now >= SET_SINCE else ())]
        middle = now if now >= SET_SINCE else max(times, default=0.0)
        near = [at for at in times if abs(at - middle) <= _FARTHEST_S]
        since, until = min(near, default=0.0), max(near, default=0.0)
        places = {"": self._deployment.site, **self._deployment.sites}
        sites = {
            key: SiteDays(
                place.name, place.timezone, tuple(local_spans(place.opening_hours, since, until))
            )
            for key, place in places.items()
        }
        cameras = {name: one.site or "" for name, one in self._deployment.cameras.items()}
        return sites, cameras
