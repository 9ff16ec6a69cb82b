"""Numbered places that are taken lowest first, so that those in use stay close together."""

import heapq


class Slots:
    """Places first … first+count-1; `top` is one past the highest place in use."""

    def __init__(self, count: int, first: int = 0) -> None:
        self._free = list(range(first, first + count))
        self._used: set[int] = set()
        self._first = first

    @property
    def free(self) -> int:
        """How many places can be taken."""
        return len(self._free)

    @property
    def used(self) -> int:
        """How many places are taken."""
        return len(self._used)

    @property
    def top(self) -> int:
        """One past the highest place in use; `first` when none is."""
        return max(self._used, default=self._first - 1) + 1

    def take(self) -> int:
        """Take the lowest free place; there must be one."""
        place = heapq.heappop(self._free)
        self._used.add(place)
        return place

    def give(self, place: int) -> None:
        """Give a place back."""
        self._used.remove(place)
        heapq.heappush(self._free, place)
