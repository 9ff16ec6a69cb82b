"""Which events go to a sink, how many at once, and how long each is retried."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pipeline.core.events import PHASES, REPORT, Event, Phase, is_about_health
from pipeline.core.sinks import is_chosen
from pipeline.core.store import UnreadableEvent
from pipeline.core.verifying import Outcome, outcome_of


class RouteOptions(Protocol):
    """The lane options in every sink's config."""

    @property
    def only(self) -> tuple[str, ...]:
        """Names of the rules, cameras or types to deliver; empty for all."""
        ...

    @property
    def without(self) -> tuple[str, ...]:
        """Names of the rules, cameras or types not to deliver."""
        ...

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Which phases of happenings to deliver."""
        ...

    @property
    def health_phases(self) -> tuple[Phase, ...] | None:
        """The same for trouble with cameras, where it is not the same."""
        ...

    @property
    def verified(self) -> tuple[Outcome, ...]:
        """The outcomes of second looks with which events are delivered."""
        ...

    @property
    def give_up_after(self) -> timedelta:
        """How long an event is retried."""
        ...

    @property
    def at_once(self) -> int:
        """The most events that are sent to the sink at once."""
        ...

    @property
    def skipped_after(self) -> timedelta | None:
        """How old an event may be when its turn comes; None for any age."""
        ...

    @property
    def from_beginning(self) -> bool:
        """Whether a new sink gets the events stored before it was added."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """The events that go to one sink. Names may contain the wildcards `*`, `?` and `[...]`."""

    sink: str
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    at_once: int = 100
    give_up_after: timedelta = timedelta(days=7)
    from_beginning: bool = False
    verified: tuple[Outcome, ...] = ("confirmed", "unverified")
    reports: tuple[str, ...] = ()
    """The names of the reports that are sent to it."""
    skipped_after: timedelta | None = None
    """How old an event may be when its turn comes; older ones are skipped, and counted."""
    phases: tuple[Phase, ...] = PHASES
    """Which phases of happenings it gets."""
    health_phases: tuple[Phase, ...] | None = None
    """Which phases of trouble with cameras it gets, where those are others."""

    @classmethod
    def of(cls, sink: str, options: RouteOptions, reports: tuple[str, ...] = ()) -> "Route":
        """The route that a sink's config describes."""
        return cls(
            sink,
            options.only,
            options.without,
            options.at_once,
            options.give_up_after,
            options.from_beginning,
            options.verified,
            reports,
            options.skipped_after,
            options.phases,
            options.health_phases,
        )

    def skips(self, event: Event, now: float) -> bool:
        """Whether it is too old by now."""
        oldest = self.skipped_after
        return oldest is not None and now - event.at > oldest.total_seconds()

    def wants(self, event: Event | UnreadableEvent) -> bool:
        """Whether the event's rule, camera or type is among `only`, and none is in `without`.

        It also has to be of one of the `phases`, which an event that cannot be read does not tell.
        One that was looked at twice is wanted only with an outcome that is in `verified`. Reports
        say themselves where they go.
        """
        if event.type == REPORT:
            return event.rule in self.reports
        if isinstance(event, Event) and event.phase not in self._phases_of(event):
            return False
        outcome = outcome_of(event) if isinstance(event, Event) else None
        if outcome is not None and (outcome.dropped or outcome.outcome not in self.verified):
            return False
        names = (event.rule, event.camera, event.type)
        return is_chosen(names, self.only, self.without)

    def _phases_of(self, event: Event) -> tuple[Phase, ...]:
        if self.health_phases is not None and is_about_health(event):
            return self.health_phases
        return self.phases
