"""Where the tasks with `where: motion` of one camera look, from one job to the next."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.frames import Picture
from pipeline.core.jobs import WHOLE, Focus
from pipeline.core.tasks import Task
from pipeline.sampling.masks import Masks
from pipeline.sampling.moving import MAP_SIDE, Mask, MotionMap, places_of
from pipeline.sampling.resize import fitted

_LOOKS_AFTER = 3
"""A place is looked at so many times more after the motion in it has ended: who walked off is not
taken for someone who stands there, even where two of the looks fail."""


class _Debt:
    """What one task has yet to look at."""

    def __init__(self, confirm_s: float) -> None:
        self.confirm_s = confirm_s
        self.whole_at: float | None = None
        """When it last looked at the whole picture; None before the first time."""
        self.looks: Mask | None = None
        """(h, w) of the map, uint8: how often each place has yet to be looked at."""


class CameraFocus:
    """The motion map of a camera, and what each task has yet to look at.

    Every place where something moved since a task was last asked is looked at, and `_LOOKS_AFTER`
    times after that. The whole picture is looked at where the scene is not known, where rain or a
    switched light is everywhere, and every `confirm_every`.
    """

    def __init__(self, confirm_s: Mapping[str, float], masks: Masks) -> None:
        self._debts = {task: _Debt(seconds) for task, seconds in confirm_s.items()}
        self._masks = masks
        self._map = MotionMap()
        self._at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether any task looks where it moves."""
        return bool(self._debts)

    def look(self, picture: Picture) -> None:
        """Take in the next picture, whether or not it becomes a frame."""
        size_wh = fitted(picture.size_wh, MAP_SIDE)
        self._at = picture.captured_at
        seen = self._map.look(picture.grey(size_wh), self._at, self._masks.hidden(size_wh))
        for debt in self._debts.values():
            if debt.looks is None or debt.looks.shape != seen.moving.shape:
                debt.looks = np.zeros(seen.moving.shape, np.uint8)
            if seen.is_known:
                debt.looks[seen.moving] = _LOOKS_AFTER + 1
            else:
                debt.whole_at = None

    def focus(self, tasks: Sequence[Task]) -> Focus | None:
        """Where a job with these tasks looks in the last picture; None if all see all of it."""
        debts = [(task.id, self._debts[task.id]) for task in tasks if task.id in self._debts]
        if not debts:
            return None
        owed = np.zeros((1, 1), np.bool_)
        for _, debt in debts:
            if debt.looks is not None:
                owed = owed | (debt.looks > 0)
        is_whole = any(self._is_due(debt) for _, debt in debts)
        if is_whole:
            owed = owed | self._map.resting()
        places = places_of(owed)
        if places is None:
            places, is_whole = [], True
        regions = (WHOLE, *places) if is_whole else tuple(places)
        return Focus(regions, tuple(task for task, _ in debts))

    def take(self, tasks: Sequence[Task], focus: Focus | None) -> None:
        """A job with these tasks looks there."""
        if focus is None:
            return
        for task in tasks:
            debt = self._debts.get(task.id)
            if debt is None or debt.looks is None:
                continue
            debt.looks[debt.looks > 0] -= 1
            if WHOLE in focus.regions:
                debt.whole_at = self._at

    def lost(self) -> None:
        """A job was dropped before it was answered: what it was to confirm is still to be."""
        for debt in self._debts.values():
            debt.whole_at = None

    def _is_due(self, debt: _Debt) -> bool:
        return debt.whole_at is None or not 0 <= self._at - debt.whole_at < debt.confirm_s
