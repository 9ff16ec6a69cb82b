"""What rules have measured today, for `/metrics`: read from the store, so right after a restart."""

import logging

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.measures import BUCKET_S
from pipeline.core.store import History
from pipeline.deployment.model import Deployment
from pipeline.reports.steps import minutes_of
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
_EVERY_S = 60.0


class TodaysNumbers:
    """Keeps the gauges of today up to date, one rule at a time.

    Today is the site's business day. What is not known has no sample.
    """

    def __init__(
        self, deployment: Deployment, history: History, metrics: Metrics, clock: Clock
    ) -> None:
        self._history = history
        self._metrics = metrics
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}
        self._trouble: str | None = None
        self.update(deployment)

    def update(self, deployment: Deployment) -> None:
        """Go on with another version of the file; figures of rules that are gone go."""
        self._deployment = deployment
        # Also of rules that stay: one may be of another type now, with other measures.
        self.forget()
        measuring = [
            (camera, name)
            for camera, config in deployment.cameras.items()
            for name, rule in config.rules.items()
            if rule.measures
        ]
        self._due = dict.fromkeys(measuring, float("-inf"))

    def look(self) -> None:
        """Read the rule whose figures are the oldest, where that was a minute ago."""
        if not self._due:
            return
        (camera, name), looked_at = min(self._due.items(), key=lambda one: one[1])
        now = self._clock.monotonic()
        if now - looked_at < _EVERY_S:
            return
        self._due[camera, name] = now
        try:
            self._show(camera, name)
            self._trouble = None
        except StoreError as error:
            self.forget()
            self._due = dict.fromkeys(self._due, now)
            if self._trouble is None:
                logger.warning("the numbers of today cannot be read for /metrics: %s", error)
            self._trouble = str(error)

    def forget(self) -> None:
        """Show nothing more: another process does, or none."""
        self._metrics.today_value.clear()
        self._metrics.today_coverage.clear()

    def _show(self, camera: str, name: str) -> None:
        hours = self._deployment.site_of(camera).opening_hours
        now = self._clock.now()
        since = hours.begins(hours.day_of(now))
        minutes = list(minutes_of(self._history, camera, name, since, now))
        values, coverage = self._metrics.today_value, self._metrics.today_coverage
        for measure in self._deployment.cameras[camera].rules[name].measures:
            value = measure.of(minutes)
            if value is not None:
                values.labels(camera, name, measure.name).set(value)
            else:  # a day begins without anything known, and what was yesterday's is gone
                values.remove(camera, name, measure.name)
        known_s = sum(minute.coverage for minute in minutes) * BUCKET_S
        coverage.labels(camera, name).set(min(1.0, known_s / max(BUCKET_S, now - since)))
