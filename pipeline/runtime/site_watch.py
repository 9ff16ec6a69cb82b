"""How the site stands, for sinks that show states: read by the process that delivers.

Whether something goes on is what the events in the store say, in their order, also those that no
sink wants; how many there are now is in the running minute; a camera works while a process has it
open and finds nothing wrong with it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.core.arming import EFFECTIVE_AFTER_S, ArmedTimes, ArmingBook
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError, StoreError
from pipeline.core.events import Event
from pipeline.core.frames import LEFT_OUT
from pipeline.core.machine import installed_version
from pipeline.core.measures import BUCKET_S, Bucket, minute_of
from pipeline.core.site_state import (
    CameraLayout,
    CameraState,
    MeasureLayout,
    RuleLayout,
    RuleState,
    SiteLayout,
    SiteState,
)
from pipeline.core.store import EventFilter, History, Page, Span, Store, StoredEvent
from pipeline.core.switching import SwitchBook, SwitchTimes
from pipeline.core.verifying import outcome_of
from pipeline.deployment.model import Deployment
from pipeline.processing.health import RULE as HEALTH_RULE
from pipeline.rules.base import RuleBase
from pipeline.rules.line_crossing import CrossingNames
from pipeline.rules.switched import file_limit, limit_range
from pipeline.runtime.reports import Report
from pipeline.runtime.today import TodaysNumbers
from pipeline.runtime.wellness import STILL_JUDGED
from pipeline.telemetry.figures import Figures, added

logger = logging.getLogger(__name__)
# How often new events are looked for; and levels, health and reports, which cost more.
_EVENTS_EVERY_S, _LEVELS_EVERY_S = 1.0, 5.0
# A level is that of the running minute, or of one that has just ended.
_LEVEL_FOR_S = 150.0
_LEVEL = "mean"
_PAGE = 500
# What goes on now began within so many starts and ends.
_STARTS, _STARTS_AT_ONCE = 20_000, 1000

ReadsReports = Callable[[], Sequence[Report]]
"""The last reports of the processes of this deployment; raises QueueError or StoreError."""


@dataclass(slots=True)
class _Known:
    """What was read, and when."""

    position: int | None = None
    """The last event that was looked at."""
    ongoing: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """The happenings that have begun and not ended, by camera and rule."""
    troubles: dict[str, dict[str, Event]] = field(default_factory=dict)
    """The same of cameras' troubles, with the event that began each."""
    levels: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    online_since: dict[str, float] = field(default_factory=dict)
    reports: Sequence[Report] = ()
    figures: Figures = field(default_factory=dict)
    """Of all reports together."""
    events_at: float = float("-inf")
    levels_at: float = float("-inf")


class SiteWatch:
    """Reads only while somebody asks. Any thread may ask."""

    def __init__(
        self,
        deployment: Deployment,
        store: Store,
        history: History,
        today: TodaysNumbers,
        reports: ReadsReports,
        clock: Clock,
    ) -> None:
        self._store, self._history = store, history
        self._today, self._reports = today, reports
        self._clock = clock
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._arming = ArmingBook(store.armings, clock)
        self._switches = SwitchBook(store.switches, clock)
        self.update(deployment)

    def update(self, deployment: Deployment) -> None:
        """Go on with another version of the file."""
        with self._lock:
            self._deployment = deployment
            self._layout = layout_of(deployment)
            self._with_level = [
                (name, rule)
                for name, camera in self._layout.cameras.items()
                for rule, layout in camera.rules.items()
                if any(measure.name == _LEVEL for measure in layout.measures)
            ]
            self._known = _Known()
            book = self._arming
            self._armed = {
                name: ArmedTimes(deployment.site_of(name).arming_plan, book, name)
                for name in deployment.cameras
            }
            self._site_armed = ArmedTimes(deployment.site.arming_plan, book)
            self._switched = {
                (name, rule): SwitchTimes(self._switches, name, rule, camera.was)
                for name, camera in deployment.cameras.items()
                for rule in camera.rules
            }
            self._state: SiteState | None = None

    def state(self) -> SiteState:
        """How the site stands; the same object until something changes. Raises StoreError."""
        with self._lock:
            now, known = self._clock.monotonic(), self._known
            is_old = False
            if now - known.events_at >= _EVENTS_EVERY_S:
                self._follow_events(known)
                self._arming.refresh()
                self._switches.refresh()
                known.events_at, is_old = now, True
            if now - known.levels_at >= _LEVELS_EVERY_S:
                self._read_levels(known)
                known.levels_at, is_old = now, True
            if self._state is None or is_old:
                state = SiteState(
                    self._layout,
                    {name: self._camera(name, known) for name in self._layout.cameras},
                    self._is_armed(self._site_armed),
                )
                self._state = self._state if state == self._state else state
            return self._state

    def _follow_events(self, known: _Known) -> None:
        if known.position is None:
            known.position = self._begin(known)
        while True:
            kept = self._store.outbox(known.position, _PAGE)
            for one in kept:
                if isinstance(one, StoredEvent):
                    self._take(known, one.event)
                    self._today.hasten(one.event.camera, one.event.rule)
                known.position = one.position
            if len(kept) < _PAGE:
                return

    def _begin(self, known: _Known) -> int:
        """Find what goes on now; returns the position from which to follow."""
        try:
            return self._look_back(known)
        except StoreError:
            # One damaged event hides all others from this question; deliveries go round it.
            ends = [cursor.position + cursor.behind for cursor in self._history.cursors()]
            known.ongoing, known.troubles = {}, {}
            return max(0, max(ends, default=0) - _STARTS)

    def _look_back(self, known: _Known) -> int:
        newest = self._history.events(EventFilter(), Page(limit=1))
        position = newest[0].position if newest else 0
        found: list[Event] = []
        beyond: int | None = position + 1
        while beyond is not None and len(found) < _STARTS:
            page = self._history.events(
                EventFilter(phases=("start", "end")), Page(_STARTS_AT_ONCE, beyond)
            )
            found += [one.event for one in page]
            beyond = page[-1].position if len(page) == _STARTS_AT_ONCE else None
        for event in reversed(found):
            self._take(known, event)
        return position

    @staticmethod
    def _take(known: _Known, event: Event) -> None:
        if event.phase == "single":
            return
        verified = outcome_of(event)
        is_over = event.phase == "end" or (verified is not None and verified.outcome == "rejected")
        if event.rule == HEALTH_RULE and event.type.startswith("camera_"):
            troubles = known.troubles.setdefault(event.camera, {})
            if is_over:
                troubles.pop(event.id, None)
            else:
                troubles.setdefault(event.id, event)
            return
        ongoing = known.ongoing.setdefault((event.camera, event.rule), set())
        if is_over:
            ongoing.discard(event.id)
        else:
            ongoing.add(event.id)

    def _read_levels(self, known: _Known) -> None:
        now = self._clock.now()
        span = Span(minute_of(now - _LEVEL_FOR_S))
        levels: dict[tuple[str, str], Bucket] = {}
        # Rule by rule, as the store finds them: a question about all of them would read everything.
        for camera, rule in self._with_level:
            for bucket in self._history.buckets(camera, rule, span):
                if bucket.values.get(_LEVEL) is not None:
                    levels[camera, rule] = bucket
        known.levels = levels
        known.online_since = {one.camera: one.at for one in self._history.latest_health()}
        try:
            known.reports = [one for one in self._reports() if not one.is_last]
            self._trouble = None
        except (QueueError, StoreError) as error:
            known.reports = ()  # nobody knows whether the cameras work
            if self._trouble is None:
                logger.warning("whether cameras work cannot be seen now: %s", error)
            self._trouble = str(error)
        known.figures = added([report.figures for report in known.reports])

    def _camera(self, name: str, known: _Known) -> CameraState:
        troubles = sorted(known.troubles.get(name, {}).values(), key=lambda event: event.at)
        # What hinders judging comes first.
        troubles.sort(key=lambda event: str(event.data.get("state")) in STILL_JUDGED)
        samplers = [report for report in known.reports if name in report.samples]
        found = [one for report in samplers for one in report.wellness.get(name, ())]
        hindering = [one for one in found if one.get("state") not in STILL_JUDGED]
        state, since, detail = None, known.online_since.get(name), ""
        if troubles:
            first = troubles[0]
            state, since = str(first.data.get("state")), first.at
            detail = str(first.data.get("message") or first.data.get("reason") or "")
        elif hindering:
            state, detail = str(hindering[0].get("state")), str(hindering[0].get("sentence", ""))
        elif samplers and since is not None:
            state = "online"
        elif since is not None:
            state, detail = "unknown", "no process reports that it has the camera open"
        stopped = {str(event.data.get("state")) for event in troubles} - set(STILL_JUDGED)
        figures = known.figures.get(name)
        lost = figures.dropped.items() if figures else ()
        dropped = sum(number for why, number in lost if why not in LEFT_OUT)
        frames = dropped + (figures.sampled if figures else 0)
        return CameraState(
            works=bool(samplers) and since is not None and not stopped and not hindering,
            state=state,
            since=since,
            detail=detail,
            dropped_ratio=round(dropped / frames, 3) if frames else None,
            rules={
                rule: self._rule(name, rule, known) for rule in self._layout.cameras[name].rules
            },
            timezone=self._deployment.site_of(name).timezone,
            is_armed=self._is_armed(self._armed[name]),
        )

    def _is_armed(self, times: ArmedTimes) -> bool:
        """As of when a word that is given now takes effect: whoever gave it sees it at once."""
        return times.at(self._clock.now() + EFFECTIVE_AFTER_S).is_armed

    def _rule(self, camera: str, name: str, known: _Known) -> RuleState:
        level, today = known.levels.get((camera, name)), self._today.figures.get((camera, name))
        # As of when a word that is given now takes effect, as for arming.
        at = self._clock.now() + EFFECTIVE_AFTER_S
        times, layout = self._switched[camera, name], self._layout.cameras[camera].rules[name]
        return RuleState(
            active=bool(known.ongoing.get((camera, name))),
            level=level.values.get(_LEVEL) if level else None,
            level_coverage=self._coverage(level) if level else 0.0,
            level_at=level.minute if level else None,
            today=today.values if today else {},
            today_coverage=today.coverage if today else 0.0,
            today_since=today.since if today else None,
            today_at=today.until if today else None,
            is_on=times.is_on(at),
            more_than=times.more_than(at, layout.more_than) if layout.limits else None,
        )

    def _coverage(self, minute: Bucket) -> float:
        """How much of a minute is known, of one that runs of what has passed of it."""
        if not minute.unfinished:
            return minute.coverage
        passed_s = min(BUCKET_S, max(1.0, self._clock.now() - minute.minute))
        return round(min(1.0, minute.coverage * BUCKET_S / passed_s), 1)


def layout_of(deployment: Deployment) -> SiteLayout:
    """What there is, as sinks need to know it."""
    names = deployment.site_names()
    return SiteLayout(
        deployment.site.name,
        {
            name: CameraLayout(
                {rule: _rule_layout(config) for rule, config in camera.rules.items()},
                names.get(name, ""),
                any(rule.when != "always" for rule in camera.rules.values()),
            )
            for name, camera in deployment.cameras.items()
        },
        tuple(deployment.sequences),
        installed_version(),
    )


def _rule_layout(rule: RuleBase) -> RuleLayout:
    names = getattr(rule, "names", None)
    return RuleLayout(
        str(getattr(rule, "type", "")),
        tuple(MeasureLayout(one.name, one.over_time, one.unit) for one in rule.recorded()),
        (names.in_, names.out) if isinstance(names, CrossingNames) else (),
        limit_range(rule),
        file_limit(rule),
    )
