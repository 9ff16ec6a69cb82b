"""Remembers what stands still where an engine is shown only the moving parts of a picture.

A box that was seen at the same place in two looks is carried through the frames in which nobody
looks there, until it was missed in two close looks in a row. Who walks off leaves no ghost: the
sampler has every place looked at several times more after motion in it has ended, and where so many
results in a row are missing that this may not have happened, nothing is carried before it is seen
again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.core.answers import Boxes
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box, iou
from pipeline.core.jobs import WHOLE, Result
from pipeline.core.ranges import PLACES, SCORES, holds_finite, within

STANDING_VERSION = 1
SAME_IOU = 0.4
"""Boxes of two looks that overlap so much show the same thing, if it stands."""
LOOKED_AT = 0.75
"""A thing was looked at where this share of its box was shown."""
PART = 0.6
"""A box at the border of what was shown is of the thing whose box holds this share of it."""
SEEN_TWICE, MISSED_TWICE = 2, 2
AS_CLOSE = 2.5
"""A thing was looked for in a part of the picture up to so many times as large as the one it was
seen in; in larger ones it may be too small to be seen."""
MOST_LOST = 3
"""So many results without an answer in a row may hide that something walked off."""
_EDGE = 0.004
"""A box this near to the border of what was shown, in 0..1 of the picture, may be cut off there."""
_MOST_STANDING = 1000


@dataclass(slots=True)
class _Stander:
    box: Box
    """As it was seen last."""
    score: float
    seen: int = 1
    """In how many looks, at this place."""
    missed: int = 0
    """Looks at its place in a row without it."""
    shown: float = 1.0
    """How large the part of the picture was that it was seen in, 0..1: it may be too small to be
    seen in a larger one."""


@dataclass(frozen=True, slots=True)
class WithStanding:
    """An answer about the whole picture: what was seen, and what stands elsewhere."""

    answer: Boxes
    carried: frozenset[Box]
    """Those of its boxes that are from an earlier picture."""


class StandingMemory:
    """What stands still in the pictures of one task; the same results give the same answers."""

    def __init__(self) -> None:
        self._standing: list[_Stander] = []
        self._run = ""
        self._ordinal = -1
        self._lost = 0

    def note(self, result: Result) -> None:
        """Take in the next result of the lane, whatever it holds."""
        if result.run != self._run:
            self._lost = MOST_LOST
        else:
            self._lost += max(0, result.ordinal - self._ordinal - 1)
        self._run, self._ordinal = result.run, result.ordinal
        if self._lost >= MOST_LOST:
            self._doubt()

    def failed(self) -> None:
        """The task was not answered in this result."""
        self._lost += 1
        if self._lost >= MOST_LOST:
            self._doubt()

    def see(self, answer: Boxes, looked: Sequence[Box] | None) -> WithStanding:
        """The answer about the whole picture; `looked` is None where all of it was shown."""
        self._lost = 0
        shown = (WHOLE,) if looked is None else tuple(looked)
        pairs = self._paired(answer.boxes_xyxy)
        boxes = dict(enumerate(zip(answer.boxes_xyxy, answer.scores, strict=True)))
        carried: list[_Stander] = []
        repeated: set[Box] = set()
        kept: list[_Stander] = []
        for index, stander in enumerate(self._standing):
            if index in pairs:
                number = pairs[index]
                box, score = boxes[number]
                stander.seen, stander.missed = stander.seen + 1, 0
                if _is_part(box, stander.box, shown):
                    # The rest of it lies where nobody looked.
                    boxes[number] = (stander.box, score)
                    repeated.add(stander.box)
                elif iou(stander.box, box) > SAME_IOU:
                    stander.box, stander.score = box, score
                    stander.shown = _size_shown(box, shown)
                kept.append(stander)
                continue
            close = [one for one in shown if _area(one) <= AS_CLOSE * stander.shown]
            if _share_in(stander.box, close) < LOOKED_AT:
                kept.append(stander)
                if stander.seen >= SEEN_TWICE:
                    carried.append(stander)
                continue
            stander.missed += 1
            if stander.missed < MISSED_TWICE:
                kept.append(stander)
        known = set(pairs.values())
        kept += [
            _Stander(box, score, shown=_size_shown(box, shown))
            for number, (box, score) in boxes.items()
            if number not in known
        ]
        self._standing = kept[:_MOST_STANDING]
        given = [*boxes.values(), *((one.box, one.score) for one in carried)]
        return WithStanding(
            replace(
                answer,
                boxes_xyxy=tuple(box for box, _ in given),
                scores=tuple(score for _, score in given),
            ),
            frozenset(one.box for one in carried) | repeated,
        )

    def state(self) -> JsonValue:
        """Everything needed to resume exactly after a restart."""
        standing: list[JsonValue] = [
            [*one.box, one.score, one.shown, one.seen, one.missed] for one in self._standing
        ]
        return {
            "version": STANDING_VERSION,
            "run": self._run,
            "ordinal": self._ordinal,
            "lost": self._lost,
            "standing": standing,
        }

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError, and changes nothing, for anything else."""
        if not isinstance(state, dict) or state.get("version") != STANDING_VERSION:
            raise ValueError(f"not what this release knows of what stands ({STANDING_VERSION})")
        if not holds_finite({name: value for name, value in state.items() if name != "run"}):
            raise ValueError("it holds a number that is none of a picture's")
        try:
            kept: Any = state["standing"]
            standing = [_read(row) for row in kept]
            run: Any = state["run"]
            ordinal, lost = (_whole(state[name]) for name in ("ordinal", "lost"))
            run.encode()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not what is known of what stands: {error!r}") from error
        self._standing, self._run, self._ordinal, self._lost = standing, run, ordinal, lost

    def _doubt(self) -> None:
        for one in self._standing:
            one.seen = min(one.seen, SEEN_TWICE - 1)

    def _paired(self, boxes: Sequence[Box]) -> dict[int, int]:
        """Which stander was seen in which box, the best pairs first.

        A box that only overlaps one shows it as well: seen small, or in part, it is not exact.
        """
        candidates = sorted(
            (overlap <= SAME_IOU, -overlap, stander.box, box, index, number)
            for index, stander in enumerate(self._standing)
            for number, box in enumerate(boxes)
            if (overlap := iou(stander.box, box)) > SAME_IOU
            or (
                overlap > 0
                and max(_share_in(box, [stander.box]), _share_in(stander.box, [box])) > PART
            )
        )
        pairs: dict[int, int] = {}
        taken: set[int] = set()
        for *_, index, number in candidates:
            if index not in pairs and number not in taken:
                pairs[index] = number
                taken.add(number)
        return pairs


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _read(row: Sequence[Any]) -> _Stander:
    x_min, y_min, x_max, y_max, score, shown = map(float, row[:6])
    seen, missed = map(int, row[6:])
    box = (x_min, y_min, x_max, y_max)
    if not all(within(value, PLACES) for value in box) or not within(score, SCORES):
        raise ValueError(f"{row!r} is not a box with its score")
    return _Stander(box, score, seen, missed, shown)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _size_shown(box: Box, shown: Sequence[Box]) -> float:
    """How large the smallest part is in which a box lies."""
    return min((_area(one) for one in shown if _share_in(box, [one]) > LOOKED_AT), default=1.0)


def _share_in(box: Box, regions: Sequence[Box]) -> float:
    """The largest share of a box that lies in one of some regions."""
    area = _area(box)
    if area <= 0:
        return 0.0
    shares = [
        max(0.0, min(box[2], region[2]) - max(box[0], region[0]))
        * max(0.0, min(box[3], region[3]) - max(box[1], region[1]))
        / area
        for region in regions
    ]
    return max(shares, default=0.0)


def _is_part(box: Box, of: Box, shown: Sequence[Box]) -> bool:
    """Whether a box shows as much of a thing as was shown of it."""
    return _share_in(box, [of]) > PART and _is_cut_off(box, shown)


def _is_cut_off(box: Box, shown: Sequence[Box]) -> bool:
    """Whether an inner border cuts it off in every part of the picture that it may be from."""
    around = [
        region
        for region in shown
        if region != WHOLE
        and region[0] - _EDGE <= box[0]
        and region[1] - _EDGE <= box[1]
        and box[2] <= region[2] + _EDGE
        and box[3] <= region[3] + _EDGE
    ]
    return bool(around) and all(
        (region[0] > 0 and box[0] <= region[0] + _EDGE)
        or (region[1] > 0 and box[1] <= region[1] + _EDGE)
        or (region[2] < 1 and box[2] >= region[2] - _EDGE)
        or (region[3] < 1 and box[3] >= region[3] - _EDGE)
        for region in around
    )
