"""Where the tasks with `where: motion` of one camera look, from one job to the next."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.frames import Picture
from pipeline.core.geometry import Box
from pipeline.core.jobs import WHOLE, Focus
from pipeline.core.tasks import Task
from pipeline.sampling.camera import Looking
from pipeline.sampling.masks import Masks
from pipeline.sampling.moving import MAP_SIDE, MotionMap, places_of
from pipeline.sampling.resize import fitted

_LOOKS_AFTER = 3
"""A place is looked at so many times more after the motion in it has ended: who walked off is not
taken for someone who stands there, even where two of the looks fail."""
_SWEEP_CONFIRMS = 12
"""In so many looks at the whole picture, every part of it is looked at closely as well: what is
small and stands still is seen in no other way."""
_FIRST_SWEEP_CONFIRMS = 3
"""The same while the scene is not known: who stands there from the first is soon found."""
_MOST_AT_ONCE = 4
"""Parts that are begun in one look: each of them is a pass."""
_SWEEP_LOOKS = 2
"""How often in a row: what is seen once may be nothing."""
_PART_SIDES, _STEP_SIDES = 1.5, 1.2
"""The size of such a part, and the way to the next one, in sides of what the engine is shown."""
_CLOSE_SHARE = 0.5
"""Parts of more than this share of the picture show no more than the whole of it."""


class _Debt:
    """What one task has yet to look at."""

    def __init__(self, looking: Looking) -> None:
        self.confirm_s, self.side = looking.confirm_s, looking.side
        self.whole_at: float | None = None
        """When it last confirmed the whole picture; None before the first time."""
        self.looks: NDArray[np.uint8] | None = None
        """(h, w) of the map: how often each place has yet to be looked at."""
        self.is_known = False
        """Whether the scene is known to the map."""
        self.confirms = 0
        """How often it looked at the whole picture."""
        self.parts: dict[Box, int] = {}
        """Parts that have yet to be looked at closely, and how often."""


class CameraFocus:
    """The motion map of a camera, and what each task has yet to look at.

    Every place where something moved since a task was last asked is looked at, and `_LOOKS_AFTER`
    times after that. The whole picture is looked at where the scene is not known, where rain or a
    switched light is everywhere, and every `confirm_every`; with it, some of its parts closely.
    """

    def __init__(
        self, looking: Mapping[str, Looking], masks: Masks, max_side: int | None = None
    ) -> None:
        """`max_side` is the longest side of a frame that parts are cut from."""
        self._debts = {task: _Debt(how) for task, how in looking.items()}
        self._masks = masks
        self._max_side = max_side
        self._size_wh = (1, 1)
        self._map = MotionMap()
        self._at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether any task looks where it moves."""
        return bool(self._debts)

    def look(self, picture: Picture) -> None:
        """Take in the next picture, whether or not it becomes a frame."""
        size_wh = fitted(picture.size_wh, MAP_SIDE)
        self._size_wh = fitted(picture.size_wh, self._max_side)
        self._at = picture.captured_at
        seen = self._map.look(picture.grey(size_wh), self._at, self._masks.hidden(size_wh))
        for debt in self._debts.values():
            if debt.looks is None or debt.looks.shape != seen.moving.shape:
                debt.looks = np.zeros(seen.moving.shape, np.uint8)
                debt.parts.clear()
            debt.is_known = seen.is_known
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
        parts: set[Box] = set()
        is_whole = any(self._is_due(debt) for _, debt in debts)
        for _, debt in debts:
            if debt.looks is not None:
                owed = owed | (debt.looks > 0)
            parts.update(debt.parts)
            if is_whole:
                parts.update(self._swept(debt))
        if is_whole:
            owed = owed | self._map.resting()
        places = places_of(owed)
        if places is None:
            places, is_whole = [], True
        whole = (WHOLE,) if is_whole else ()
        return Focus((*whole, *places, *sorted(parts)), tuple(task for task, _ in debts))

    def take(self, tasks: Sequence[Task], focus: Focus | None) -> None:
        """A job with these tasks looks there."""
        if focus is None:
            return
        # In rain every look is one at the whole; the parts have their turns at the usual pace.
        is_confirmed = WHOLE in focus.regions and any(
            self._is_due(self._debts[task.id]) for task in tasks if task.id in self._debts
        )
        for task in tasks:
            debt = self._debts.get(task.id)
            if debt is None or debt.looks is None:
                continue
            debt.looks[debt.looks > 0] -= 1
            debt.parts = {part: looks - 1 for part, looks in debt.parts.items() if looks > 1}
            if is_confirmed:
                begun = self._swept(debt).intersection(focus.regions)
                debt.parts |= dict.fromkeys(begun, _SWEEP_LOOKS - 1)
                debt.confirms += 1
                debt.whole_at = self._at

    def lost(self) -> None:
        """A job was dropped before it was answered: what it was to confirm is still to be."""
        for debt in self._debts.values():
            debt.whole_at = None

    def _is_due(self, debt: _Debt) -> bool:
        return debt.whole_at is None or not 0 <= self._at - debt.whole_at < debt.confirm_s

    def _swept(self, debt: _Debt) -> set[Box]:
        """The parts whose turn it is in this look at the whole picture."""
        width, height = self._size_wh
        side = _PART_SIDES * debt.side
        if min(side, width) * min(side, height) > _CLOSE_SHARE * width * height:
            return set()
        # What is shown of a region is twice as wide and high (`pipeline.inference.cuts`).
        across = _middles(width, debt.side)
        down = _middles(height, debt.side)
        half_x, half_y = side / 4 / width, side / 4 / height
        every = [
            (max(0.0, x - half_x), max(0.0, y - half_y), min(1.0, x + half_x), min(1.0, y + half_y))
            for y in down
            for x in across
        ]
        least = _SWEEP_CONFIRMS if debt.is_known else _FIRST_SWEEP_CONFIRMS
        turns = max(least, math.ceil(len(every) / _MOST_AT_ONCE))
        return set(every[debt.confirms % turns :: turns])


def _middles(length: int, side: int) -> list[float]:
    """The middles of the parts of one side of the picture, in 0..1 of it."""
    part = min(_PART_SIDES * side, length)
    steps = math.ceil((length - part) / (_STEP_SIDES * side))
    if not steps:
        return [0.5]
    return [(part / 2 + n * (length - part) / steps) / length for n in range(steps + 1)]
