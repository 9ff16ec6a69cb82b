"""What rules have measured today, for `/metrics`: read from the store, so right after a restart."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.measures import BUCKET_S
from pipeline.core.store import History
from pipeline.deployment.model import Deployment
from pipeline.reports.steps import minutes_of
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
_EVERY_S = 60.0


# What has just happened is counted soon, but a busy rule is not read at each event.
_SOON_S = 5.0


@dataclass(frozen=True, slots=True)
class TodaysFigures:
    """What a rule has measured today."""

    values: Mapping[str, float | None]
    coverage: float
    since: float
    """When the day began, in UTC seconds."""
    until: float | None
    """The end of the last minute that is known of, but not after now; None where there is none."""


class TodaysNumbers:
    """Keeps the figures of today up to date, one rule at a time, and the gauges that show them.

    Today is the site's business day. What is not known has no sample. One thread looks; another may
    bring another version of the file meanwhile.
    """

    def __init__(
        self, deployment: Deployment, history: History, metrics: Metrics, clock: Clock
    ) -> None:
        self._history = history
        self._metrics = metrics
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}
        self._hastened: set[tuple[str, str]] = set()
        self._lock = threading.RLock()
        """Of what is shown and by which version of the file; never held to read the store."""
        self._forgotten = 0
        """How often; what was read before is not shown after."""
        self.figures: Mapping[tuple[str, str], TodaysFigures] = {}
        """By camera and rule, of those that were read; replaced as a whole."""
        self._trouble: str | None = None
        self.update(deployment)

    def update(self, deployment: Deployment) -> None:
        """Go on with another version of the file; figures of rules that are gone go."""
        measuring = [
            (camera, name)
            for camera, config in deployment.cameras.items()
            for name, rule in config.rules.items()
            if rule.measures
        ]
        with self._lock:
            self._deployment = deployment
            # Also of rules that stay: one may be of another type now, with other measures.
            self.forget()
            self._due = dict.fromkeys(measuring, float("-inf"))

    def look(self) -> None:
        """Read the rule whose figures are the oldest, where that was a minute ago."""
        with self._lock:
            due_at = {
                rule: looked_at + (_SOON_S if rule in self._hastened else _EVERY_S)
                for rule, looked_at in self._due.items()
            }
            now = self._clock.monotonic()
            chosen = min(due_at, key=due_at.__getitem__, default=None)
            if chosen is None or now < due_at[chosen]:
                return
            self._due[chosen] = now
            self._hastened.discard(chosen)
            deployment, forgotten = self._deployment, self._forgotten
        try:
            self._show(deployment, *chosen, forgotten)
            self._trouble = None
        except StoreError as error:
            with self._lock:
                self.forget()
                self._due = dict.fromkeys(self._due, now)
            if self._trouble is None:
                logger.warning("the numbers of today cannot be read for /metrics: %s", error)
            self._trouble = str(error)

    def hasten(self, camera: str, rule: str) -> None:
        """Something has happened: read this rule soon. Any thread may say so."""
        self._hastened.add((camera, rule))

    def forget(self) -> None:
        """Show nothing more: another process does, or none."""
        with self._lock:
            self._forgotten += 1
            self.figures = {}
            self._metrics.today_value.clear()
            self._metrics.today_coverage.clear()

    def _show(self, deployment: Deployment, camera: str, name: str, forgotten: int) -> None:
        hours = deployment.site_of(camera).opening_hours
        now = self._clock.now()
        since = hours.begins(hours.day_of(now))
        minutes = list(minutes_of(self._history, camera, name, since, now))
        measures = deployment.cameras[camera].rules[name].measures
        found = {measure.name: measure.of(minutes) for measure in measures}
        known_s = sum(minute.coverage for minute in minutes) * BUCKET_S
        share = min(1.0, known_s / max(BUCKET_S, now - since))
        until = min(now, minutes[-1].minute + BUCKET_S) if minutes else None
        values, coverage = self._metrics.today_value, self._metrics.today_coverage
        with self._lock:
            if self._forgotten != forgotten:
                return  # the rule may be gone, or another one now
            for measure, value in found.items():
                if value is not None:
                    values.labels(camera, name, measure).set(value)
                else:  # a day begins without anything known, and what was yesterday's is gone
                    values.remove(camera, name, measure)
            coverage.labels(camera, name).set(share)
            self.figures = {
                **self.figures,
                (camera, name): TodaysFigures(found, share, since, until),
            }
