"""Ends what was switched by hand where an edit of the file is about the same.

A limit by hand holds only instead of the limit that it was given for, so no frame waits for this:
what it writes down keeps an old limit from coming back with a later edit.
"""

import logging
import threading
from collections.abc import Callable

from pipeline.core.clock import Clock
from pipeline.core.errors import OwnershipLostError, StoreError
from pipeline.core.store import LeaseProof, Store
from pipeline.core.switching import BY_FILE, ENABLED, RuleSwitch, SwitchBook
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.deployment.model import Deployment
from pipeline.rules.base import RuleBase
from pipeline.rules.switched import file_limit, limit_range
from pipeline.runtime.stages.base import StageThread

logger = logging.getLogger(__name__)
_LOOK_S = 0.5


class SwitchDesk:
    """Looks once at each version of the file. One thread calls `run` or `step`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        lease: LeaseProof | None = None,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """With a `lease` nothing is stored once another process has taken that lease."""
        self._store, self._clock = store, clock
        self._lease, self._may_go_on = lease, may_go_on
        self._due: Deployment | None = None
        self._before: Deployment | None = None
        self._is_silent = False
        self._stop = threading.Event()
        self._thread: StageThread | None = None
        self._unforeseen = UnforeseenErrors("comparing switches with the file", clock, logger)

    def use(self, deployment: Deployment) -> None:
        """Compare this version of the file, as soon as the store can be written."""
        self._due = deployment
        if self._thread is None:
            self._thread = StageThread("switches", self.run, self._stop.set)
            self._thread.start()

    @property
    def trouble(self) -> str | None:
        """What went wrong that nobody foresaw, while it is so."""
        return self._unforeseen.trouble

    def run(self) -> None:
        """Compare each version that is given, until stopped."""
        while not self._stop.is_set() and self._may_go_on():
            try:
                self.step()
                self._is_silent = False
            except OwnershipLostError:
                return  # the keeper of the lease reports it
            except StoreError as error:
                if not self._is_silent:
                    logger.warning("switches are compared with the file later: %s", error)
                self._is_silent = True
            except Exception as error:  # noqa: BLE001 - the next look may go well
                self._unforeseen.happened(error)
            self._clock.wait(_LOOK_S, self._stop)

    def stop(self, within_s: float) -> bool:
        """End; False if that took too long."""
        return self._thread is None or self._thread.stop(within_s)

    def step(self) -> None:
        """End what the newest version of the file ends, if it was not compared. StoreError."""
        deployment = self._due
        if deployment is None:
            return
        book = SwitchBook(self._store.switches)
        book.refresh()
        for change in book.newest():
            why = _why_over(change, deployment, self._before)
            if why is None:
                continue
            said = True if change.key == ENABLED else None
            self._store.switch(
                change.camera, change.rule, change.key, said, BY_FILE, lease=self._lease
            )
            text = "camera %s, rule %s: %s by %s is as the file says again, as %s"
            what = "off" if change.key == ENABLED else f"more_than {change.value}"
            logger.info(
                text,
                *(change.camera, change.rule, what, change.by, why),
                extra={"camera": change.camera},
            )
        self._before = deployment
        if self._due is deployment:
            self._due = None


def _why_over(change: RuleSwitch, now: Deployment, before: Deployment | None) -> str | None:
    """Why what was switched ends with this version of the file; None where it does not."""
    if change.value is None or change.value is True:
        return None
    config = _rule(change, now)
    if config is None:
        return "the rule is not in the file"
    if change.key == ENABLED:
        return None
    if limit_range(config) is None:
        return "the rule has no such limit now"
    limit = file_limit(config)
    if change.instead_of is None:
        earlier = None if before is None else _rule(change, before)
        is_edited = earlier is not None and file_limit(earlier) != limit
    else:
        is_edited = not change.holds_for(limit)
    return f"the file says {'none' if limit is None else limit} there now" if is_edited else None


def _rule(change: RuleSwitch, deployment: Deployment) -> RuleBase | None:
    """The rule in a file, also where its camera has another name there."""
    camera = deployment.cameras.get(change.camera)
    if camera is None:
        cameras = deployment.cameras.values()
        camera = next((one for one in cameras if change.camera in one.was), None)
    return None if camera is None else camera.rules.get(change.rule)
