"""Follows what the boxes of one task show, or of several tasks that look for kinds of one thing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.core.answers import Boxes
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.tracks import Track, Tracker
from pipeline.processing.plan import TaskPlan
from pipeline.tracking.classes import merged
from pipeline.tracking.sharing import adapted

SHARED_BY = "shared_by"
"""The state of a task whose tracker is stored with another task has only this: its name."""


@dataclass(slots=True)
class ShownTracks:
    """What one task is shown in one picture; never changed, but, as a Track, not frozen."""

    tracks: tuple[Track, ...]
    others: tuple[Track, ...]
    """Of other kinds."""
    tracked: bool


class Following:
    """One tracker and the tasks whose boxes it is given.

    A thing is shown to the task of the kind that the scores so far speak for most. All other tasks
    that were asked are told of it, too, so that it is known there if it turns out to be theirs.
    """

    def __init__(self, tasks: Sequence[TaskPlan], tracker: Tracker) -> None:
        self._tasks = tuple(tasks)
        self._labels = {task.task: task.label for task in tasks}
        self._tracker = tracker

    @property
    def tasks(self) -> tuple[TaskPlan, ...]:
        """The tasks that share the tracker; the first one's state holds it."""
        return self._tasks

    def see(
        self,
        at: float,
        answers: Mapping[str, Boxes],
        carried: Mapping[str, Collection[Box]] = MappingProxyType({}),
    ) -> dict[str, ShownTracks]:
        """What each task that was answered is shown of a picture.

        `carried` are the boxes of each task that were seen in an earlier one, and stand since.
        """
        own = {task: answers[task] for task in self._labels if task in answers}
        if not own:
            return {}
        if len(self._tasks) == 1:
            ((task, answer),) = own.items()
            stands = carried.get(task, ()) if carried else ()
            tracks = self._tracker.update(at, answer.boxes_xyxy, answer.scores, carried=stands)
            return {task: ShownTracks(tracks, (), bool(tracks) or self._tracker.withholds)}
        boxes = [box for answer in own.values() for box in answer.boxes_xyxy]
        scores = [score for answer in own.values() for score in answer.scores]
        labels = [self._labels[task] for task, answer in own.items() for _ in answer.boxes_xyxy]
        asked = frozenset(self._labels[task] for task in own)
        stands = frozenset(box for task in own for box in carried.get(task, ()))
        tracks = self._tracker.update(at, *merged(boxes, scores, labels), asked, stands)
        tracked = bool(tracks) or self._tracker.withholds
        return {
            task: ShownTracks(
                tuple(track for track in tracks if track.label == self._labels[task]),
                tuple(track for track in tracks if track.label != self._labels[task]),
                tracked,
            )
            for task in own
        }

    def states(self) -> dict[str, JsonValue]:
        """The state of each task."""
        first, *more = self._labels
        return {first: self._tracker.state(), **{task: {SHARED_BY: first} for task in more}}

    def restore(self, states: Mapping[str, JsonValue]) -> None:
        """Resume from the states of tasks by their labels; raises ValueError for anything else.

        They may be of one shared tracker, or of one for each task as before.
        """
        labels = tuple(self._labels.values())
        self._tracker.restore(adapted(states, labels if len(labels) > 1 else ()))


def resolved(states: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The stored states of all tasks, each with its tracker's, wherever that is stored."""

    def one(state: JsonValue) -> JsonValue:
        if isinstance(state, dict) and isinstance(first := state.get(SHARED_BY), str):
            return states.get(first)
        return state

    return {task: one(state) for task, state in states.items()}
