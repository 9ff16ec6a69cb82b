"""Second thoughts: who was who in the last look is judged again by the next one.

People who pass each other between two looks are told apart by where they go on to: a walker seldom
turns round. So where an exchange of two things was nearly as likely as what was believed, it is
remembered for one more look, and what then explains both looks best is believed. (The idea is that
of D. B. Reid's multiple hypotheses, 1979, with two of them and a depth of one look.)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.tracking.association import Detections, costs, matched
from pipeline.tracking.memory import TrackMemory, from_json
from pipeline.tracking.motion import MotionModel

APART_S = 0.4
"""Looks that follow each other faster leave no doubts: who passes somebody is seen on the way, and
where he goes shows only after several looks."""
MOST_COST = 4.0
"""An exchange that is less likely by more than this (log-likelihood) is not thought of again."""
MOST_DOUBTS = 8
"""More are not remembered of a look: those that are least sure."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Two things and their boxes in a look, either of which may have been the other's."""

    cost: float
    """How much less likely that is than what was believed."""
    row: int
    """The one that was followed to `column`."""
    other: int | None
    """The one that was followed to `other_column`; None for one that begins there."""
    column: int
    other_column: int | None
    """None for one that was missed."""


@dataclass(slots=True)
class SecondThought:
    """Two things after a look, and what they are if they were exchanged in it."""

    cost: float
    """How much less likely the exchange was in that look."""
    first: TrackMemory
    second: TrackMemory | None
    """None until it was begun, if it begins in that look."""
    other_first: TrackMemory
    other_second: TrackMemory
    begins: int | None = None
    """The column at which the second begins."""

    def is_of(self, begun: Mapping[int, TrackMemory]) -> bool:
        """Whether there is doubt, now that new things were begun at these columns."""
        if self.begins is None:
            return True
        self.second = second = begun.get(self.begins)
        # Where something is known of a place it has told who is there.
        return second is not None and second.beside is None and second.evidence.looks == 1

    def to_json(self, things: Sequence[TrackMemory]) -> list[Any] | None:
        """Everything, exactly; None if one of them is not followed any more."""
        rows = _rows(self, things)
        if rows is None:
            return None
        return [*rows, self.cost, self.other_first.to_json(), self.other_second.to_json()]


def doubt_from_json(
    kept: Sequence[Any], things: Sequence[TrackMemory], model: MotionModel
) -> SecondThought:
    """What `to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
    first, second, cost, *others = kept
    if not 0 <= min(first, second) <= max(first, second) < len(things):
        raise ValueError(f"a doubt about things {first} and {second} of {len(things)}")
    other_first, other_second = (from_json(other, model) for other in others)
    return SecondThought(float(cost), things[first], things[second], other_first, other_second)


def exchanges(
    prices: Mapping[tuple[int, int], float],
    pairs: Sequence[tuple[int, int]],
    begins: Collection[int],
) -> list[Exchange]:
    """The exchanges that were nearly as likely as these pairs, the likeliest first.

    `begins` are the columns at which new things may begin.
    """
    columns, rows = dict(pairs), {column: row for row, column in pairs}
    found = []
    for (row, column), price in prices.items():
        mine, rival = columns.get(row), rows.get(column)
        if mine == column:
            continue
        if rival is None:
            if mine is not None and column in begins:
                found.append(Exchange(price - prices[row, mine], row, None, mine, column))
        elif mine is None:
            found.append(Exchange(price - prices[rival, column], rival, row, column, None))
        elif row < rival and (rival, mine) in prices:
            swapped, believed = (
                price + prices[rival, mine],
                prices[row, mine] + prices[rival, column],
            )
            found.append(Exchange(swapped - believed, row, rival, mine, column))
    near = [exchange for exchange in found if exchange.cost < MOST_COST]
    near.sort(key=lambda one: (one.cost, one.row, one.column))
    return near[:MOST_DOUBTS]


def judged_again(
    doubts: Sequence[SecondThought],
    things: Sequence[TrackMemory],
    prices: dict[tuple[int, int], float],
    detections: Detections,
    model: MotionModel,
) -> tuple[list[TrackMemory], dict[tuple[int, int], float]]:
    """The things and their prices for this look, with those exchanged that it shows to be others.

    Whoever was shown under a number keeps it: from now on it is followed from the other place.
    """
    things = list(things)
    was: float | None = None
    for doubt in doubts:
        rows = _rows(doubt, things)
        if rows is None:
            continue  # one of them is gone, or was exchanged with another
        first, second = rows
        if was is None:
            was = _total(prices)
        others = costs((doubt.other_first, doubt.other_second), detections, model)
        exchanged = {
            pair: price for pair, price in prices.items() if pair[0] not in (first, second)
        }
        for (which, column), price in others.items():
            exchanged[second if which else first, column] = price
        now = _total(exchanged)
        if now + doubt.cost < was:
            prices, was = exchanged, now
            for row, other in ((first, doubt.other_first), (second, doubt.other_second)):
                things[row] = _in_place_of(things[row], other)
    return things, prices


def _rows(doubt: SecondThought, things: Sequence[TrackMemory]) -> tuple[int, int] | None:
    """Where both things of a doubt are among the things that are followed."""
    rows = {id(thing): row for row, thing in enumerate(things)}
    first, second = rows.get(id(doubt.first)), rows.get(id(doubt.second))
    return None if first is None or second is None else (first, second)


def _total(prices: Mapping[tuple[int, int], float]) -> float:
    return sum(prices[pair] for pair in matched(prices))


def _in_place_of(thing: TrackMemory, other: TrackMemory) -> TrackMemory:
    other.id = thing.id
    if not (thing.unshown or thing.missed):
        other.unshown = []  # a step of that moment was shown
    return other
