"""The port of a sink, where events go, and what a sink is built with."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Protocol, Self, TypeAlias, runtime_checkable

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.events import Event
from pipeline.core.switching import SwitchesRules


def is_chosen(names: Sequence[str], only: Sequence[str], without: Sequence[str]) -> bool:
    """Whether one of the names is among `only`, if there are any, and none is in `without`.

    Both may contain the wildcards `*`, `?` and `[...]`.
    """

    def any_of(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    return (not only or any_of(only)) and not any_of(without)


ReadsFile: TypeAlias = Callable[[str], bytes | None]
"""Reads a file that an event refers to; None where there is none. Raises StoreError."""

MakesLink: TypeAlias = Callable[[str], str | None]
"""A signed address at which a file that an event refers to can be had; None where nothing serves
it."""


Arms: TypeAlias = Callable[[str | None, bool, str], object]
"""Arms or disarms a camera, or all of them, as somebody wants it. Raises StoreError."""


def no_file(_: str) -> bytes | None:
    """There are no files."""
    return None


def no_link(_: str) -> str | None:
    """Nothing serves files."""
    return None


class Notes(Protocol):
    """The small memory of one sink, which survives restarts. All raise StoreError."""

    def note(self, key: str) -> str | None:
        """What was noted under this key; None for nothing, or where its time is over."""
        ...

    def notes(self, prefix: str = "") -> Mapping[str, str]:
        """All that is noted under keys that begin with the prefix, by key."""
        ...

    def take_down(self, notes: Mapping[str, str | None], keep_s: float | None = None) -> None:
        """Note texts by key, all or none; None deletes. Kept for ever, or for `keep_s` seconds."""
        ...

    def note_once(self, key: str, text: str) -> str:
        """Note a text for ever unless something is noted; what is noted then, for all alike."""
        ...


class NotesInMemory:
    """Notes that are gone with the process, for tests and for what is sent by hand."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def note(self, key: str) -> str | None:
        """What was noted under this key."""
        return self._notes.get(key)

    def notes(self, prefix: str = "") -> Mapping[str, str]:
        """All that is noted under keys that begin with the prefix."""
        return {key: text for key, text in self._notes.items() if key.startswith(prefix)}

    def take_down(self, notes: Mapping[str, str | None], keep_s: float | None = None) -> None:
        """Note texts by key; None deletes."""
        for key, text in notes.items():
            if text is None:
                self._notes.pop(key, None)
            else:
                self._notes[key] = text

    def note_once(self, key: str, text: str) -> str:
        """Note a text unless something is noted; what is noted then."""
        return self._notes.setdefault(key, text)


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is built with, beside its own config."""

    site: str
    sites: Mapping[str, str] = field(default_factory=dict)
    """The site of each camera that is not at `site`."""
    name: str = "sink"
    """The sink's own name in the file."""
    timezone: str = "UTC"
    """The site's zone, such as `Europe/Berlin`."""
    clock: Clock = field(default_factory=SystemClock)
    read: ReadsFile = no_file
    """Gets pictures, clips and reports that events refer to."""
    link: MakesLink = no_link
    notes: Notes = field(default_factory=NotesInMemory)
    timezones: Mapping[str, str] = field(default_factory=dict)
    """The zone of each camera that is not at `site`."""
    arm: Arms | None = None
    """Arms and disarms, for sinks that take commands; None where nothing can be armed."""
    switch: SwitchesRules | None = None
    """Switches rules, for sinks that take commands; None where nothing can be switched."""

    def timezone_of(self, event: Event) -> str:
        """The zone of the site where the event's camera is."""
        return self.timezones.get(event.camera, self.timezone)

    def site_of(self, event: Event) -> str:
        """The name of the site where the event's camera is."""
        return self.sites.get(event.camera, self.site)


class Sink(Protocol):
    """Where events go. `send` is called by one thread, in order."""

    def send(self, events: Sequence[Event]) -> None:
        """Deliver all of them or raise SinkError; the same events may then be sent again."""
        ...

    def close(self) -> None:
        """Flush and release everything."""
        ...


HELD_BACK: Final = "held back"
"""The key under which a sink that tells later notes how it stands, for whoever asks."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What became of the events of a sink that does not tell each at once, since it is there."""

    messages: int = 0
    """Messages that were accepted, those about several events included."""
    held: int = 0
    """Events that were held back for a later message."""
    waiting: int = 0
    """How many of them wait now."""
    silenced: int = 0
    """Events that nobody is told of, as the file says for some hours."""
    reason: str = ""
    """Why what waits could not be told, if that was tried."""

    def in_words(self) -> str:
        """Such as `6 messages sent, 14 events wait for one (40 were held back)`."""
        said = [f"{self.messages} {'message' if self.messages == 1 else 'messages'} sent"]
        if self.held:
            wait = "event waits" if self.waiting == 1 else "events wait"
            said.append(f"{self.waiting} {wait} for one ({self.held} held back so far)")
        if self.silenced:
            said.append(f"{self.silenced} silenced in quiet hours")
        if self.reason:
            said.append(f"what waits is refused: {self.reason}")
        return ", ".join(said)

    def as_text(self) -> str:
        """The same as it is noted."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str | None) -> Self:
        """What was noted; nothing for what cannot be read."""
        try:
            known = json.loads(text) if text else {}
            return cls(**known)
        except (ValueError, TypeError):
            return cls()


@runtime_checkable
class TellsLater(Protocol):
    """A sink that may hold back what it accepts, and is called also while no event flows."""

    def tick(self) -> None:
        """Tell what is due; raises SinkError or StoreError, and is then called again."""
        ...

    def held_back(self) -> HeldBack:
        """How it stands."""
        ...
