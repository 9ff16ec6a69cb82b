"""Which events go to a sink, how many at once, and how long one is tried for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Protocol

from pipeline.core.events import Event
from pipeline.core.store import UnreadableEvent


class RouteOptions(Protocol):
    """What every sink's config says about its lane."""

    @property
    def only(self) -> tuple[str, ...]:
        """Names of rules, cameras or types that are wanted; empty for all."""
        ...

    @property
    def without(self) -> tuple[str, ...]:
        """Names of rules, cameras or types that are not."""
        ...

    @property
    def give_up_after(self) -> timedelta:
        """How long an event is tried for."""
        ...

    @property
    def at_once(self) -> int:
        """How many events the sink is sent together, at most."""
        ...

    @property
    def from_beginning(self) -> bool:
        """Whether a new sink gets what was kept before it came."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one sink. Names may have the wildcards `*`, `?` and `[...]`."""

    sink: str
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    at_once: int = 100
    give_up_after: timedelta = timedelta(days=7)
    from_beginning: bool = False

    @classmethod
    def of(cls, sink: str, options: RouteOptions) -> "Route":
        """The route that a sink's config describes."""
        return cls(
            sink,
            options.only,
            options.without,
            options.at_once,
            options.give_up_after,
            options.from_beginning,
        )

    def wants(self, event: Event | UnreadableEvent) -> bool:
        """Whether the event's rule, camera or type is among `only`, and none is in `without`."""
        names = (event.rule, event.camera, event.type)
        return (not self.only or _any_match(names, self.only)) and not _any_match(
            names, self.without
        )


def _any_match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
