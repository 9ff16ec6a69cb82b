"""Tells, as an event, whenever the plan of a site arms or disarms it.

The event's id follows from the site and the moment, so that it is stored once, whatever is killed
and whoever takes over.
"""

import logging
import threading
from collections.abc import Callable

from pipeline.core.arming import event_of_plan
from pipeline.core.clock import SET_SINCE, Clock
from pipeline.core.errors import OwnershipLostError, StoreError
from pipeline.core.store import Commit, LeaseProof, Store
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.runtime.stages.base import StageThread

logger = logging.getLogger(__name__)
_LOOK_S = 1.0
# What was missed for longer than this is old news.
_LATE_S = 86400.0


class ArmingDesk:
    """Stores the events of planned changes. One thread calls `run` or `step`."""

    def __init__(
        self,
        deployment: Deployment,
        store: Store,
        clock: Clock,
        lease: LeaseProof | None = None,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """With a `lease` nothing is stored once another process has taken that lease."""
        self._deployment, self._store, self._clock = deployment, store, clock
        self._lease, self._may_go_on = lease, may_go_on
        self._is_silent = False
        self._stop = threading.Event()
        self._thread: StageThread | None = None
        self._unforeseen = UnforeseenErrors("telling of planned arming", clock, logger)

    def use(self, deployment: Deployment) -> None:
        """Go by this version of the file; the thread begins with the first plan."""
        self._deployment = deployment
        if self._thread is None and _planned_sites(deployment):
            self._thread = StageThread("arming", self.run, self._stop.set)
            self._thread.start()

    @property
    def trouble(self) -> str | None:
        """What went wrong that nobody foresaw, while it is so."""
        return self._unforeseen.trouble

    def run(self) -> None:
        """Tell what changes until stopped."""
        while not self._stop.is_set() and self._may_go_on():
            try:
                self.step()
                self._is_silent = False
            except OwnershipLostError:
                return  # the keeper of the lease reports it
            except StoreError as error:
                if not self._is_silent:
                    logger.warning("planned arming is told later: %s", error)
                self._is_silent = True
            except Exception as error:  # noqa: BLE001 - the next look may go well
                self._unforeseen.happened(error)
            self._clock.wait(_LOOK_S, self._stop)

    def stop(self, within_s: float) -> bool:
        """End; False if that took too long."""
        return self._thread is None or self._thread.stop(within_s)

    def step(self) -> None:
        """Tell what has changed since it was last looked at. Raises StoreError."""
        now = self._clock.now()
        if now < SET_SINCE:
            return
        for name, site in _planned_sites(self._deployment).items():
            mark = f"arming {name}"
            done = self._store.mark(mark)
            if done is None or done > now:
                # A new plan begins with its next change; a clock that was ahead is not waited for.
                self._store.remember(mark, now)
                continue
            plan, events = site.arming_plan, []
            planned = plan.at(now)
            while planned.since > max(done, now - _LATE_S):
                events.append(event_of_plan(site.name, planned))
                planned = plan.at(planned.since - 0.001)
            if events:
                self._store.commit(Commit(events=tuple(reversed(events)), lease=self._lease))
                self._store.remember(mark, now)


def _planned_sites(deployment: Deployment) -> dict[str, SiteConfig]:
    sites = {"": deployment.site, **deployment.sites}
    return {name: site for name, site in sites.items() if not isinstance(site.armed, bool)}
