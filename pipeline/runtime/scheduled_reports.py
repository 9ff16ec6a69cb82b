"""Reports that are made at their times, by the process that delivers, and sent like events.

A report is a file in the media folder and an event that refers to it. The event's id follows from
the report's name and its period, so that each is stored, and delivered, once per period, whatever
is killed and whoever takes over.
"""

import logging
import threading
import traceback
from collections.abc import Callable, Mapping

from pipeline.core.audits import Audits
from pipeline.core.clock import SET_SINCE, Clock
from pipeline.core.errors import MoonwatchError, OwnershipLostError
from pipeline.core.events import REPORT, Event, event_id, timestamp
from pipeline.core.local_time import local_time
from pipeline.core.store import Commit, EventFilter, History, LeaseProof, Page, Store
from pipeline.deployment.model import Deployment, ReportConfig, SiteConfig
from pipeline.reports.making import MEDIA_TYPES, file_name, made
from pipeline.reports.periods import Period, finished
from pipeline.runtime.stages.base import StageThread

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_AGAIN_S = 60.0
# The last minutes of a period are stored a little after its end.
_SETTLED_S = 300.0
# Later than this, a report was missed and is made up for.
_LATE_S = 900.0


class ReportDesk:
    """Makes what is due. One thread calls `run` or `step`; another one may call `use`."""

    def __init__(
        self,
        deployment: Deployment,
        store: Store,
        history: History,
        clock: Clock,
        lease: LeaseProof | None = None,
        may_go_on: Callable[[], bool] = lambda: True,
        audits: Audits | None = None,
    ) -> None:
        """With a `lease` nothing is stored once another process has taken that lease."""
        self._deployment = deployment
        self._store = store
        self._history = history
        self._clock = clock
        self._lease = lease
        self._may_go_on = may_go_on
        self._audits = audits
        self._again_at: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread: StageThread | None = None

    def use(self, deployment: Deployment) -> None:
        """Make the reports of this version of the file; the thread begins with the first."""
        self._deployment = deployment
        self._again_at = {}
        self._troubles = {n: said for n, said in self._troubles.items() if n in deployment.reports}
        if deployment.reports and self._thread is None:
            self._thread = StageThread("reports", self.run, self._stop.set)
            self._thread.start()

    @property
    def troubles(self) -> Mapping[str, str]:
        """Why a report could not be made, by its name."""
        return dict(self._troubles)

    def run(self) -> None:
        """Make what is due until stopped."""
        while not self._stop.is_set() and self._may_go_on():
            if not self.step():
                return
            self._clock.wait(_LOOK_S, self._stop)

    def stop(self, within_s: float) -> bool:
        """End; False if a report took too long, which is then made at the next start."""
        return self._thread is None or self._thread.stop(within_s)

    def step(self) -> bool:
        """Make what is due now; False if another process delivers by now."""
        deployment = self._deployment
        for name, report in deployment.reports.items():
            if self._stop.is_set() or self._clock.monotonic() < self._again_at.get(name, 0.0):
                continue
            try:
                self._look_at(deployment, name, report)
            except OwnershipLostError:
                return False  # the keeper of the lease reports it
            except MoonwatchError as error:
                self._fail(name, str(error))
            except Exception as error:  # noqa: BLE001 - one report must not end all others
                places = "".join(traceback.format_tb(error.__traceback__))
                kind = type(error).__name__
                if name not in self._troubles:
                    # Without the error's message, which may contain credentials.
                    logger.error("report %s: unexpected %s at\n%s", name, kind, places)  # noqa: TRY400
                self._fail(name, f"an unexpected {kind}, see the log; please report it")
            else:
                if self._troubles.pop(name, None) is not None:
                    logger.info("report %s can be made again", name)
        return True

    def _look_at(self, deployment: Deployment, name: str, report: ReportConfig) -> None:
        now = self._clock.now()
        if now < SET_SINCE:
            return
        site = deployment.site if report.site is None else deployment.sites[report.site]
        hours, mark = site.opening_hours, f"report {name}"
        done = self._store.mark(mark)
        if done is None or done > now:
            # A new one begins with its next time; a clock that was ahead is not waited for.
            self._store.remember(mark, now)
            if done is None:
                following = report.recurrence.following(now, hours)
                logger.info(
                    "report %s is made from %s on", name, local_time(following, site.timezone)
                )
            return
        due = report.recurrence.latest(now, hours)
        if due <= done:
            return
        period = finished(report.recurrence.every, due, hours)
        if now < period.span(hours)[1] + _SETTLED_S:
            return
        if not self._is_stored(name, period):
            self._make(deployment, name, report, site, period, due, now)
        self._store.remember(mark, due)

    def _is_stored(self, name: str, period: Period) -> bool:
        wanted = EventFilter(rules=(name,), types=(REPORT,))
        newest = self._history.events(wanted, Page(limit=10))
        return any(stored.event.id == _id(name, period) for stored in newest)

    def _make(
        self,
        deployment: Deployment,
        name: str,
        report: ReportConfig,
        site: SiteConfig,
        period: Period,
        due: float,
        now: float,
    ) -> None:
        content = made(
            deployment, self._history, period, now, report.format, report.site, self._audits
        )
        file = file_name(name, period, report.format)
        reference = f"reports/{name}/{file}"
        is_late = now - due > _LATE_S
        event = Event(
            id=_id(name, period),
            type=REPORT,
            phase="single",
            camera="",
            rule=name,
            at=due,
            data={
                "site": site.name,
                "period": period.name,
                "title": period.title,
                "file": file,
                "file_type": MEDIA_TYPES[report.format],
                "size": len(content),
                **({"made_up": timestamp(now)} if is_late else {}),
            },
            media=(reference,),
        )
        # The file first: what is told to exist exists. Retention deletes it with its event.
        deployment.store.build_media(self._store).put(reference, content)
        self._store.commit(Commit(events=(event,), lease=self._lease))
        late = ""
        if is_late:
            late = f"; it was due at {local_time(due, site.timezone)}, when nothing delivered"
        logger.info("report %s of %s is made%s", name, period.name, late)

    def _fail(self, name: str, reason: str) -> None:
        if self._troubles.get(name) != reason:
            logger.error("report %s cannot be made: %s; trying again every minute", name, reason)
        self._troubles[name] = reason
        self._again_at[name] = self._clock.monotonic() + _AGAIN_S


def _id(name: str, period: Period) -> str:
    return event_id("", name, f"report {period.name}", 0.0)
