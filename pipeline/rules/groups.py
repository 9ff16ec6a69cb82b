"""People who cross a line together: those who belong to one group are counted once."""

import math
from dataclasses import dataclass, field

from pipeline.rules.crossers import Crossed

BODY_M = 1.7
"""A body's height in metres: what is known of a length in a picture without real measures."""
KEPT_S = 60.0
"""How long a group is remembered; crossings are reported within seconds."""


@dataclass(slots=True)
class Group:
    """Those who crossed in one direction, close to each other."""

    direction: int
    first_at: float
    members: list[tuple[float, float]] = field(default_factory=list)
    """Where each of them crossed, and how tall they are there, in picture heights."""


@dataclass(slots=True)
class GroupsMemory:
    """The groups of the last minute."""

    groups: list[Group] = field(default_factory=list)


class Groups:
    """Whoever crosses in the same direction as somebody before, `within_s` seconds of the first of
    them and no farther than `apart_m` from one of them, belongs to the same group.

    Times count from a group's first, so that a stream of people is many groups and not one.
    """

    def __init__(self, within_s: float, apart_m: float) -> None:
        self._within_s = within_s
        self._apart_m = apart_m
        self.memory = GroupsMemory()

    def is_new(self, crossed: Crossed) -> bool:
        """Add one crossing; whether nobody before belongs to it."""
        groups = self.memory.groups
        while groups and groups[0].first_at < crossed.at - KEPT_S:
            del groups[0]
        here = (crossed.along, crossed.height)
        for group in reversed(groups):
            if group.direction == crossed.direction and self._is_with(group, crossed.at, here):
                group.members.append(here)
                return False
        groups.append(Group(crossed.direction, crossed.at, [here]))
        return True

    def _is_with(self, group: Group, at: float, here: tuple[float, float]) -> bool:
        if abs(at - group.first_at) > self._within_s:
            return False
        return any(metres_apart(here, there) <= self._apart_m for there in group.members)


def metres_apart(a: tuple[float, float], b: tuple[float, float]) -> float:
    """How far two crossings, as (place on the line, height of the body), are from each other.

    Nothing is known of the ground, so a body's height is the measure; it errs by the tenth that
    people's heights vary, and by a hat.
    """
    height = (a[1] + b[1]) / 2
    return abs(a[0] - b[0]) / height * BODY_M if height > 0 else math.inf
