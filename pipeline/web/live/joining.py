"""Puts a picture and what was made of it together, by camera, run and number of the frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.core.live import Answered, JudgedView, Preview, Shown

T = TypeVar("T")
Place = tuple[str, str, int]
"""Camera, run and number of a frame."""
# Answers about frames whose picture has not come, and pictures that wait; per process.
_MOST_KEPT = 4096


@dataclass(frozen=True, slots=True)
class JoinedFrame:
    """A picture with what is known of it; never with what is known of another."""

    preview: Preview
    views: tuple[JudgedView, ...]
    answered: Answered
    """`false` where an engine was not heard of yet, `failed` where one could not say."""


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """What became known of a frame whose picture was shown without it."""

    place: Place
    views: tuple[JudgedView, ...]
    answered: Answered


Ready = JoinedFrame | LateAnswer


@dataclass(slots=True)
class _WaitingPicture:
    preview: Preview
    until: float
    views: dict[str, JudgedView] = field(default_factory=dict)
    is_shown: bool = False

    def is_complete(self) -> bool:
        return self.views.keys() >= set(self.preview.engines)

    def answered(self) -> Answered:
        if not self.preview.engines or not self.is_complete():
            return "false"
        said = {self.views[engine].answered for engine in self.preview.engines}
        return "failed" if "failed" in said else "false" if "false" in said else "true"


class Joiner:
    """Holds a picture for its answers, but no longer than `answer_wait_s`. Used by one thread."""

    def __init__(self, answer_wait_s: float, monotonic: Callable[[], float]) -> None:
        self._wait_s = answer_wait_s
        self._monotonic = monotonic
        self._waiting: dict[Place, _WaitingPicture] = {}
        self._early: dict[Place, dict[str, JudgedView]] = {}

    def take(self, shown: Sequence[Shown]) -> list[Ready]:
        """What can be shown now, in order, after these have come."""
        ready: list[Ready] = []
        for one in shown:
            place = (one.camera, one.run, one.seq)
            if isinstance(one, Preview):
                waits = _WaitingPicture(one, self._monotonic() + self._wait_s)
                waits.views = self._early.pop(place, {})
                self._waiting[place] = waits
                if waits.is_complete():
                    ready += self._show(place, waits)
            else:
                ready += self._answer(place, one)
        ready += self._overdue()
        _trim(self._waiting)
        _trim(self._early)
        return ready

    def next_due_s(self) -> float | None:
        """Seconds until the first picture has waited long enough; None if none waits."""
        until = [one.until for one in self._waiting.values() if not one.is_shown]
        return max(0.0, min(until) - self._monotonic()) if until else None

    def _answer(self, place: Place, view: JudgedView) -> list[Ready]:
        waits = self._waiting.get(place)
        if waits is None:
            self._early.setdefault(place, {})[view.engine] = view
            return []
        waits.views[view.engine] = view
        if not waits.is_shown:
            return self._show(place, waits) if waits.is_complete() else []
        if waits.is_complete():
            return [LateAnswer(place, tuple(waits.views.values()), waits.answered())]
        return []

    def _show(self, place: Place, waits: _WaitingPicture) -> list[Ready]:
        """Show it; those of the camera that are older are never shown any more."""
        waits.is_shown = True
        camera = place[0]
        for other, one in [*self._waiting.items()]:
            if other[0] == camera and other != place and _is_older(one.preview, waits.preview):
                del self._waiting[other]
        for other in [other for other in self._early if other[0] == camera]:
            if other[1] == place[1] and other[2] < place[2]:
                del self._early[other]
        return [JoinedFrame(waits.preview, tuple(waits.views.values()), waits.answered())]

    def _overdue(self) -> list[Ready]:
        now = self._monotonic()
        ready: list[Ready] = []
        for place, waits in [*self._waiting.items()]:
            # Without an engine to wait for there is nothing to come.
            if not waits.is_shown and now >= waits.until and place in self._waiting:
                ready += self._show(place, waits)
        return ready


def _is_older(one: Preview, than: Preview) -> bool:
    if one.run == than.run:
        return one.seq < than.seq
    return one.captured_at <= than.captured_at


def _trim(kept: dict[Place, T]) -> None:
    while len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]
