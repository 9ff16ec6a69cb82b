"""What a rule knows about its camera."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from pipeline.core.arming import ArmedTimes
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.geometry import Line, Polygon
from pipeline.core.opening_hours import ALWAYS, OpeningHours
from pipeline.core.switching import SwitchTimes
from pipeline.rules.schedule import ReportingTime, Schedule

if TYPE_CHECKING:
    from pipeline.rules.base import RuleBase

T = TypeVar("T")
USUAL_ASPECT = 16 / 9
"""The shape of nearly every camera's picture, for callers that do not know theirs."""


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What one rule works with: its names, its task, and the lines and zones of its picture."""

    camera: str
    rule: str
    label: str | None = None
    """What the rule's task looks for; None for a question."""
    every_s: float = 0.0
    """How often the task is asked, in seconds; 0 means every picture."""
    lines: Mapping[str, Line] = field(default_factory=lambda: MappingProxyType({}))
    zones: Mapping[str, Polygon] = field(default_factory=lambda: MappingProxyType({}))
    timezone: str = "UTC"
    """IANA name of the site's time zone, for schedules."""
    hours: OpeningHours = ALWAYS
    """When the site is open, for a schedule that is `open`."""
    armed: ArmedTimes = field(default_factory=ArmedTimes, compare=False)
    """When its camera is armed, for a rule that reports only then."""
    switches: SwitchTimes = field(default_factory=SwitchTimes, compare=False)
    """Whether it was switched off, and which limit it was given, by hand."""
    aspect: float = USUAL_ASPECT
    """Width ÷ height of the picture: a length in 0..1 means different distances across and down."""

    def reporting_time(self, config: "RuleBase") -> ReportingTime:
        """When a rule reports: in its hours, armed or disarmed as it wants, and while it is on."""
        schedule = Schedule(config.schedule, self.timezone, self.hours)
        return ReportingTime(schedule, config.when, self.armed, self.switches)

    def line(self, name: str) -> Line:
        """The line of that name; raises ConfigError."""
        return self._lookup(self.lines, "line", name)

    def crossable(self, name: str) -> Line:
        """The line of that name; raises ConfigError also where it has no length."""
        line = self.line(name)
        if line.start == line.end:
            path = f"cameras.{self.camera}.lines.{name}"
            said = "begins and ends at the same point; move one of them"
            raise ConfigError([Problem(path, said)])
        return line

    def zone(self, name: str | None) -> Polygon | None:
        """The zone of that name, or None for the whole picture; raises ConfigError."""
        return None if name is None else self._lookup(self.zones, "zone", name)

    def _lookup(self, shapes: Mapping[str, T], kind: str, name: str) -> T:
        if name in shapes:
            return shapes[name]
        known = ", ".join(sorted(shapes)) or "none"
        path = f"cameras.{self.camera}.rules.{self.rule}.{kind}"
        raise ConfigError([Problem(path, f"there is no {kind} {name!r}; known: {known}")])
