"""Remembers what was judged, to be stored with what followed from it.

It runs beside judging, so little is done for each result: frames are collected until the commit,
and written there in haste, one tail for each camera, engine and minute. The store makes a block of
them once the minute is over.
"""

import json
from dataclasses import dataclass, field, replace

from pipeline.core.answers import Failed
from pipeline.core.jobs import Result
from pipeline.core.observations import (
    ObservationTail,
    ObservedFrame,
    Waypoint,
    minute_of,
    snapped,
    tail,
)
from pipeline.processing.judge import Judge

_WAYPOINT_EVERY_S = 3600.0
_NO_NUMBERS = "the answer held places or scores that are no numbers"


@dataclass(slots=True)
class _Stretch:
    """Frames in a row of one camera, engine, run and minute."""

    camera: str
    engine: str
    run: str
    minute: int
    begins: bool
    anew: bool
    ends: bool = False
    frames: list[ObservedFrame] = field(default_factory=list)

    def tail(self) -> ObservationTail:
        return ObservationTail(
            camera=self.camera,
            engine=self.engine,
            run=self.run,
            minute=self.minute,
            frames=len(self.frames),
            content=tail(self.frames),
            begins=self.begins,
            ends=self.ends,
            anew=self.anew,
        )


@dataclass(slots=True)
class JustJudged:
    """What was judged since the last commit."""

    stretches: list[_Stretch] = field(default_factory=list)
    latest: dict[tuple[str, str], _Stretch] = field(default_factory=dict)
    """The last one of each camera and engine."""
    waypoints: list[Waypoint] = field(default_factory=list)

    def tails(self) -> list[ObservationTail]:
        """All of it, to be stored."""
        return [stretch.tail() for stretch in self.stretches]


@dataclass(slots=True)
class _Place:
    """Where the remembering of one camera and engine is."""

    judge: Judge
    """That of the last waypoint."""
    hour: float
    at: float = 0.0
    run: str | None = None
    minute: int | None = None
    anew: bool = False
    """Whether its run begins with results of which not even the minute is known."""


class Remembering:
    """Collects what judges are shown. One thread calls it, as it calls the judges."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], _Place] = {}

    def begin(self, judge: Judge, result: Result, seen: JustJudged) -> None:
        """A judge is about to be shown a result: its state is kept where others may begin.

        That is once an hour, and where it resumes, begins anew, or its clock was set back.
        """
        if result.unjudgeable or result.last:
            return
        key, at = (result.camera, result.engine), result.captured_at
        place, hour = self._places.get(key), at // _WAYPOINT_EVERY_S
        if place is None:
            place = self._places[key] = _Place(judge, hour)
        elif place.judge is judge and place.hour == hour and at >= place.at:
            place.at = at
            return
        place.judge, place.hour, place.at = judge, hour, at
        # Written and read, as parts of a state go on changing.
        state = json.loads(json.dumps(judge.state()))
        seen.waypoints.append(
            Waypoint(result.camera, result.engine, result.run, result.ordinal, at, state)
        )

    def stop(self, result: Result) -> None:
        """The results of its camera and engine are not remembered any more, or not yet."""
        self._places.pop((result.camera, result.engine), None)

    def take(self, judge: Judge, result: Result, seen: JustJudged) -> None:
        """A judge was shown a result; where it failed, another judge has taken its place."""
        key = (result.camera, result.engine)
        place = self._places.get(key)
        if place is None:
            # Its rules have not begun. Of what cannot be read not even the time is known.
            place = self._places[key] = _Place(judge, float("nan"))
        if not result.unjudgeable:
            minute = minute_of(result.captured_at)
        elif place.minute is not None:
            minute = place.minute
        elif judge.last_at is not None:
            minute = minute_of(judge.last_at)
        else:
            place.anew = place.anew or result.ordinal == 0
            return  # it changes nothing, and its number is missing
        begins = (place.run, place.minute) != (result.run, minute)
        anew, place.anew = place.anew or result.ordinal == 0, False
        stretch = seen.latest.get(key)
        if stretch is None or begins or anew:
            stretch = _Stretch(result.camera, result.engine, result.run, minute, begins, anew)
            seen.stretches.append(stretch)
            seen.latest[key] = stretch
        stretch.frames.append(judge.observed() or ObservedFrame(_keepable(result)))
        stretch.ends = result.last
        place.run, place.minute = result.run, minute


def _keepable(result: Result) -> Result:
    """A result that was not judged, as far as it can be kept."""
    try:
        return snapped(result)
    except (ValueError, ArithmeticError):  # a place or score that is no number
        failed = Failed(result.engine, _NO_NUMBERS)
        return replace(result, answers=dict.fromkeys(result.answers, failed), looked=None)
