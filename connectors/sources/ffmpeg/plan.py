"""Which packets of a stream are worth decoding, given how rarely a picture is needed."""

from collections import deque
from collections.abc import Callable

# As many key intervals as a camera that varies them ("smart" codecs) needs to show its longest.
_REMEMBERED = 8
_ENOUGH = 2
# A key interval of 1.001 s serves a need of 1 s: what rounding and a quartz make of it.
_SLACK = 1.05
# Beyond this a difference between key frames is a jump of the stream's clock, not an interval.
_LONGEST_S = 600.0
# Times of the same moment, computed in two ways, differ by less than this.
_ROUNDING_S = 1e-6
# Pictures to see before non-reference frames are judged, and how many there must be, with and
# without them, to each one needed: so no sample is later than a quarter of the need for it.
_SEEN = 16
_TO_ONE_NEEDED = 4
# A consumer that makes up for rounding takes a picture this much too early.
_EARLY_S = 0.002


class KeyIntervals:
    """The distance of key frames, observed; says when key frames alone are enough.

    The rule: they are, when the longest of the last eight intervals is no longer than the shortest
    time between two pictures that will be used (5 % more is allowed), and two intervals were seen.
    """

    def __init__(self, every_s: float) -> None:
        self.longest_s = every_s * _SLACK
        """The longest interval at which key frames are enough."""
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: float | None = None

    def see(self, pts_s: float | None) -> None:
        """Note a key frame."""
        if self._last is not None and pts_s is not None:
            interval = pts_s - self._last
            if 0 < interval < _LONGEST_S:
                self._intervals.append(interval)
        self._last = pts_s

    def suffice(self) -> bool:
        """Whether key frames alone give a picture as often as one is needed."""
        return len(self._intervals) >= _ENOUGH and not self.too_long()

    def too_long(self) -> bool:
        """Whether key frames were seen to come too rarely."""
        return max(self._intervals, default=0.0) > self.longest_s


class WantedPictures:
    """Which pictures a consumer may take that uses one every `every_s`.

    Consumers differ: some keep to a grid of times, with a little allowance for rounding, some ask
    for the next picture `every_s` after the last one. Both find every picture here that they would
    have taken of the full stream.
    """

    def __init__(self, every_s: float, is_owed: Callable[[], bool] = lambda: False) -> None:
        """`is_owed` says that the last one could not be used, so that the next one is wanted."""
        self._every_s = every_s
        self._is_owed = is_owed
        self._since_last: float | None = None
        self._on_grid = 0.0

    def take(self, at: float) -> bool:
        """Whether the picture of this time (UTC seconds, rising) may be used; notes that it is."""
        if self._every_s <= 0:
            return True
        if self._since_last is None:
            self._since_last = self._on_grid = at + self._every_s
            return True
        wanted = self._is_owed()
        if wanted:
            self._since_last = at + self._every_s
        if at >= self._since_last - _EARLY_S:
            wanted = True
            if at >= self._since_last - _ROUNDING_S:
                self._since_last = at + self._every_s
        if at >= self._on_grid - _EARLY_S:
            wanted = True
            if at >= self._on_grid - _ROUNDING_S:
                self._on_grid += self._every_s * max(1, (at - self._on_grid) // self._every_s + 1)
        return wanted


class Thinning:
    """Whether frames that no other refers to may be left out, by the pictures' distances."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._seen = 0
        self._usual_s = 0.0
        self._last: float | None = None
        self._on = False
        self._never = every_s <= 0

    def see(self, at: float) -> bool:
        """Note a picture's time; whether to leave out what can be left out from now on."""
        if self._never:
            return False
        gap = at - self._last if self._last is not None else 0.0
        self._last = at
        if self._on:
            self._never = gap * _TO_ONE_NEEDED > self._every_s + _ROUNDING_S
            self._on = not self._never
        else:
            self._seen += 1
            self._usual_s = max(self._usual_s, gap)
            if self._seen >= _SEEN:
                self._on = self._usual_s * _TO_ONE_NEEDED <= self._every_s + _ROUNDING_S
                self._never = not self._on
        return self._on
