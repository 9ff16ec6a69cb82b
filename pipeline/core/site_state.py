"""How a site stands: what sinks are told that show states beside delivering events.

It is read from the store, not put together from the events that a sink gets: a sink that was out of
reach shows the truth at once when it is back. None is unknown, everywhere; it is never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pipeline.core.switching import SwitchRange


@dataclass(frozen=True, slots=True)
class MeasureLayout:
    """A number that a rule keeps."""

    name: str
    over_time: str
    """How it adds up over a day: sum, mean, max, min or last."""
    unit: str


@dataclass(frozen=True, slots=True)
class RuleLayout:
    """A rule of a camera, as far as a sink needs to know it."""

    type: str
    measures: tuple[MeasureLayout, ...] = ()
    words: tuple[str, ...] = ()
    """What its events call directions, where the file gives them names."""
    limits: SwitchRange | None = None
    """The `more_than` that it can be given; None where it has none."""
    more_than: int | None = None
    """That of the file; None where it has none."""


@dataclass(frozen=True, slots=True)
class CameraLayout:
    """A camera and its rules."""

    rules: Mapping[str, RuleLayout] = field(default_factory=dict)
    site: str = ""
    """The site it is at, where that is not the deployment's own."""
    can_be_armed: bool = False
    """Whether it has rules that report only while it is armed, or disarmed."""


@dataclass(frozen=True, slots=True)
class SiteLayout:
    """What there is: it changes only with the deployment file."""

    site: str
    cameras: Mapping[str, CameraLayout] = field(default_factory=dict)
    sequences: tuple[str, ...] = ()
    version: str = ""
    """Of this release."""
    web_url: str | None = None
    """Where the application is, for links to it; None where there is none."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """How a rule stands."""

    active: bool | None = None
    """Whether something that it reports goes on now."""
    level: float | None = None
    """How many there are, on average over the running minute."""
    level_coverage: float = 0.0
    """How much of that minute is known."""
    level_at: float | None = None
    """The minute, in UTC seconds; None where there is none yet."""
    today: Mapping[str, float | None] = field(default_factory=dict)
    """Its measures over the site's running day."""
    today_coverage: float = 0.0
    today_since: float | None = None
    """When that day began, in UTC seconds; None until it was read."""
    today_at: float | None = None
    """The last minute of today that is known of, in UTC seconds."""
    is_on: bool | None = None
    """Whether it tells events, as it was asked for last; so is the limit."""
    more_than: int | None = None
    """The limit; None for no limit, too."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """How a camera stands."""

    works: bool | None = None
    """Whether its pictures arrive and are judged."""
    state: str | None = None
    """One word: online, or the first of its troubles; None before it was ever seen."""
    since: float | None = None
    detail: str = ""
    dropped_ratio: float | None = None
    """The share of frames dropped since the running processes began."""
    rules: Mapping[str, RuleState] = field(default_factory=dict)
    timezone: str = "UTC"
    """Of its site."""
    is_armed: bool | None = None
    """As it was asked for last: what was asked for takes effect a moment later."""


@dataclass(frozen=True, slots=True)
class SiteState:
    """How everything stands at one moment."""

    layout: SiteLayout
    cameras: Mapping[str, CameraState] = field(default_factory=dict)
    is_armed: bool | None = None
    """Whether cameras are armed of which nobody said anything else."""


@runtime_checkable
class ShowsState(Protocol):
    """A sink that shows states too, and is told of them also while no event flows."""

    def show(self, state: SiteState, lag_s: float, undelivered: int) -> None:
        """Show it; raises SinkError, and is then called again.

        `lag_s` is how long the oldest event waits for this sink, `undelivered` how many it refused.
        Called twice a second and more, mostly with the very same state: what has not changed costs
        nothing.
        """
        ...
