"""What rules make of the boxes of a live picture: nothing yet, a number, or a happening."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from pipeline.core.live import BoxState
from pipeline.core.rules import Verdict

K = TypeVar("K")
V = TypeVar("V")
NEVER_ALARMING: Final = frozenset({"line_crossing"})
"""Types of events that are a number that goes up, and nothing that is wrong."""
SHOWN_S: Final = 10.0
"""How long something that happened in one moment is shown, in seconds of capture time."""
# As many as can still be in the picture.
_MOST_REMEMBERED = 500

Counted = Mapping[str, Mapping[int, int | None]]
"""By rule: the ids of what it has counted, each as `CountsTracks` tells it."""


class _About(NamedTuple):
    rule: str
    task: str
    track: int | None
    """None where it is about all that the rule has counted."""


@dataclass(slots=True)
class BoxStates:
    """What is going on among the things of one camera and engine, by the events of its rules."""

    _going_on: dict[str, _About] = field(default_factory=dict)
    """By the event's id."""
    _moments: dict[_About, float] = field(default_factory=dict)
    """When something happened in one moment last, UTC seconds."""

    def note(self, verdict: Verdict, tasks: Mapping[str, str]) -> None:
        """Take what rules concluded; `tasks` has the task of each rule."""
        for event in verdict.events:
            task = tasks.get(event.rule)
            if task is None:
                continue
            track = event.subject.track if event.subject is not None else None
            about = _About(event.rule, task, track)
            if event.phase == "start":
                _remember(self._going_on, event.id, about)
            elif event.phase == "end":
                self._going_on.pop(event.id, None)
            elif event.phase == "single" and event.type not in NEVER_ALARMING:
                _remember(self._moments, about, event.at)

    def alarms(self) -> tuple[str, ...]:
        """The rules whose happening goes on."""
        return tuple(sorted({about.rule for about in self._going_on.values()}))

    def of(self, task: str, counted: Counted, at: float) -> Callable[[int], BoxState]:
        """Tells the state of each track of a task, for a picture that was captured at `at`."""
        green = {id_ for ids in counted.values() for id_ in ids}
        red: set[int] = set()
        shown = [one for one, then in self._moments.items() if 0 <= at - then <= SHOWN_S]
        for about in (*self._going_on.values(), *shown):
            if about.task != task:
                continue
            ids = counted.get(about.rule, {})
            if about.track is None:
                red |= {id_ for id_, named in ids.items() if named is not None}
            else:
                # Trackers may have given it another id since.
                red |= {about.track, *(id_ for id_, named in ids.items() if named == about.track)}

        def state(track: int) -> BoxState:
            return "alarm" if track in red else "counted" if track in green else "idle"

        return state


def _remember(kept: dict[K, V], key: K, value: V) -> None:
    """Keep something, and forget what is oldest where there is too much."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > _MOST_REMEMBERED:
        del kept[next(iter(kept))]
