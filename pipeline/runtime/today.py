"""What rules have measured today, for `/metrics`: read from the store, so right after a restart."""

import logging
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

    Today is the site's business day. What is not known has no sample.
    """

    def __init__(
        self, deployment: Deployment, history: History, metrics: Metrics, clock: Clock
    ) -> None:
        self._history = history
        self._metrics = metrics
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}
        self._hastened: set[tuple[str, str]] = set()
        self.figures: Mapping[tuple[str, str], TodaysFigures] = {}
        """By camera and rule, of those that were read; replaced as a whole."""
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
        now = self._clock.monotonic()
        due_at = {
            rule: looked_at + (_SOON_S if rule in self._hastened else _EVERY_S)
            for rule, looked_at in self._due.items()
        }
        (camera, name), at = min(due_at.items(), key=lambda one: one[1])
        if now < at:
            return
        self._due[camera, name] = now
        self._hastened.discard((camera, name))
        try:
            self._show(camera, name)
            self._trouble = None
        except StoreError as error:
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
        self.figures = {}
        self._metrics.today_value.clear()
        self._metrics.today_coverage.clear()

    def _show(self, camera: str, name: str) -> None:
        hours = self._deployment.site_of(camera).opening_hours
        now = self._clock.now()
        since = hours.begins(hours.day_of(now))
        minutes = list(minutes_of(self._history, camera, name, since, now))
        values, coverage = self._metrics.today_value, self._metrics.today_coverage
        found: dict[str, float | None] = {}
        for measure in self._deployment.cameras[camera].rules[name].measures:
            value = found[measure.name] = measure.of(minutes)
            if value is not None:
                values.labels(camera, name, measure.name).set(value)
            else:  # a day begins without anything known, and what was yesterday's is gone
                values.remove(camera, name, measure.name)
        known_s = sum(minute.coverage for minute in minutes) * BUCKET_S
        share = min(1.0, known_s / max(BUCKET_S, now - since))
        coverage.labels(camera, name).set(share)
        until = min(now, minutes[-1].minute + BUCKET_S) if minutes else None
        self.figures = {
            **self.figures,
            (camera, name): TodaysFigures(found, share, since, until),
        }
