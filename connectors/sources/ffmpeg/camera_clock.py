"""A camera's clock, judged by when its pictures arrive: when each was captured, and whether the
clock can be trusted.

A picture cannot arrive before it was captured, and the network only ever adds to that. So among
the arrivals the earliest ones, measured against the stream's timestamps, are the clock: the line
above which no point lies is its rate (the convex hull of clock-skew estimation). What lies below
is the network, and is kept out of the times.

All times here are seconds of this host's monotonic clock.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.sources import CameraClockState

LATEST_S = 2.0
"""No picture is dated further back from its arrival than this, beyond the last unusual silence of
the network, which counts half a second less each second: that is what a network can explain."""

# A step of the stream's clock against arrivals: smaller is disorder, a buffer that is emptied, or
# a correction that is followed.
_JUMP_S = 1.0
# Two strange packets that are as far apart as they arrived, but for this, make a jump.
_SAME_JUMP_S = 0.25
# So many jumps in so short a time are no clock.
_TOO_MANY_JUMPS = 5
_TOO_MANY_JUMPS_S = 10.0
# Timestamps closer than this are the same; time goes on with the arrivals then.
_SAME_S = 0.002
_SAME_ARRIVAL_S = 0.01
# A small step back shows when so many packets in a row, for so long, have not caught up with what
# was there before. Reordered pictures are at most eight.
_BEHIND_PACKETS = 10
_BEHIND_S = 0.25

# A silence of so many usual distances, and of so long, after which all is late by most of it. What
# a network held comes faster than it was captured; if after this long it does not by so much, it
# was the clock that stood, as some do while they have nothing to send.
_SILENT_DISTANCES = 5.0
_SILENT_S = 3.0
_RESUMED_S = 1.0
_RESUMED_SHARE = 0.75

# How the anchor follows a clock that is a little slow: by the smallest lag of each window, made up
# over the next half minute. Quartz is off by 0.0001, which is a lag of 3 ms.
_WINDOW_S = 10.0
_WINDOW_PACKETS = 8
_MAKE_UP_S = 30.0

# The rate is measured over the earliest arrival of each half second, for at most two minutes (or
# as many points as there are, of a camera that sends rarely).
_BLOCK_S = 0.5
_POINTS = 240
_LONGEST_S = 120.0
_FEWEST_POINTS = 8
# Each second at first, and a thirtieth of what was measured later each time.
_CHECK_S = 1.0
_CHECK_SHARE = 1 / 30
_SHORTEST_S = 8.0
# Points of one clock lie on a line, but for what the network adds: so many so near.
_NEAR_S = 0.5
_NEAR_SHARE = 0.75
# A clock is wrong if it is off by more than this over what was measured (and by more for each
# second that is missing to half a minute, and by several times what the network adds); and the
# correction is renewed if it would be off by that.
_OFF_S = 0.6
_OFF_SOONER = 0.02
_LONG_ENOUGH_S = 30.0
_TIMES_LATE = 3.0
_RENEW_S = 0.1
_LONG_S = 60.0
# Clocks outside of this are of no use: what they say is lost in rounding.
_SLOWEST, _FASTEST = 0.02, 2000.0
_STANDS = 0.0005
# The share of packets that make no sense, or have no timestamp, from which arrivals take over.
_ODD_SHARE = 0.3
_BARE_SHARE = 0.9

# Jumps within `_JUMPS_S` that are said; fewer are a clock that was set, or a wrap.
_JUMPS = 3
_JUMPS_S = 300.0
# How long a clock is wrong before that is said, and right before that is: what the network does
# for a moment is no news.
_SAY_S = 6.0
_RIGHT_S = 60.0

# So many packets in a row without a timestamp are dated by those before them.
_FEW = 5
# Arrivals are smoothed as far as they are regular: by a tenth of each deviation, unless it is
# larger than this many usual distances (in seconds: between the two).
_SMOOTH = 0.1
_IRREGULAR = 3.0
_IRREGULAR_S = (0.25, 1.0)

BY_ARRIVAL = "its pictures are dated by their arrival"


@dataclass(frozen=True, slots=True)
class _EarlyArrival:
    """The earliest arrival of half a second."""

    now: float
    pts: float
    pulled: float
    """By how much the anchor had been moved back by then, in all."""


@dataclass(frozen=True, slots=True)
class _RateLine:
    """The clock over some points: `pts = start + rate * now`."""

    rate: float
    start: float
    span_s: float
    pulled: float
    """By how much the anchor was moved back meanwhile."""
    late_s: float
    """How far the points are below it, on average: what the network adds."""
    is_part: bool
    """Whether older points do not lie on it: on a bad network some of the last ones seem to."""

    @property
    def is_right(self) -> bool:
        """Whether nothing speaks against a clock that runs with ours."""
        return abs(self.rate - 1) * self.span_s <= _OFF_S

    @property
    def is_wrong(self) -> bool:
        """Whether that is certain."""
        sooner_s = max(0.0, _LONG_ENOUGH_S - self.span_s)
        least = max(_OFF_S + _OFF_SOONER * sooner_s, _TIMES_LATE * self.late_s)
        return abs(self.rate - 1) * self.span_s > (2 * least if self.is_part else least)


class CameraClock:
    """Dates a live stream's packets, whatever its timestamps are worth.

    Three ways. As the timestamps say, as long as they are right; as they say, at the rate that was
    measured, if that is surely off; by arrival, smoothed, where they say nothing.
    """

    def __init__(self) -> None:
        self._last_now: float | None = None
        self._silence_s = 0.0
        self._anchor: float | None = None
        self._seconds = 1.0  # real seconds for one of the stream's
        self._newest = 0.0
        self._last_pts = 0.0
        self._behind = (0, 0.0)
        self._odd: tuple[float, float] | None = None
        self._resumed: tuple[float, float, float] | None = None
        self._stands_in_silence = False
        self._by_arrival: str | None = None
        # Following.
        self._window_end = 0.0
        self._window_packets = 0
        self._window_lag = float("inf")
        self._owed = 0.0
        self._pulled = 0.0
        # Measuring.
        self._points: deque[_EarlyArrival] = deque(maxlen=_POINTS)
        self._block: _EarlyArrival | None = None
        self._block_since = self._block_lag = 0.0
        self._next_check = 0.0
        self._packets = self._odd_packets = self._bare_packets = 0
        self._rate: float | None = None
        # Arrivals.
        self._date = 0.0
        self._step_s = 0.0
        self._bare_in_a_row = 0
        self._usual_s = 0.0
        # What is said.
        self._jumps: deque[float] = deque(maxlen=1000)
        self._wrong_since: float | None = None
        self._right_since: float | None = None
        self._state: CameraClockState | None = None

    @property
    def state(self) -> CameraClockState | None:
        """Whether the clock is right, once that is known."""
        return self._state

    @property
    def latest_s(self) -> float:
        """How far back from now a picture can be dated."""
        return LATEST_S + self._silence_s

    def date(self, pts: float | None, now: float) -> float:
        """When the packet with this timestamp, which has arrived just now, was captured."""
        passed = 0.0 if self._last_now is None else max(0.0, now - self._last_now)
        # What comes as rarely as ever explains no lateness.
        self._silence_s = max(self._silence_s - passed / 2, passed - self._usual_s, 0.0)
        is_first = self._last_now is None
        self._last_now = now
        smoothed = now if is_first else self._smoothed(now, passed)
        self._packets += 1
        if pts is None:
            self._bare_packets += 1
            self._bare_in_a_row += 1
            is_alone = self._bare_in_a_row <= _FEW and self._by_arrival is None
            date = self._continued(now) if is_alone and self._anchor is not None else smoothed
        else:
            self._bare_in_a_row = 0
            date = self._dated(pts, now, passed)
            if self._by_arrival is not None:
                self._measure(pts, now, 0.0)
                date = smoothed
            self._last_pts = pts
        if now >= self._next_check:
            self._check(now)
        date = min(now, max(date, now - self.latest_s))
        if not is_first:
            step = max(0.0, min(date - self._date, _JUMP_S))
            self._step_s += (_SMOOTH if self._step_s else 1.0) * (step - self._step_s)
        self._date = date
        return date

    def _dated(self, pts: float, now: float, passed: float) -> float:
        """By the timestamps."""
        if self._anchor is None:
            self._begin(pts, now)
        if self._by_arrival is not None or self._anchor is None:
            return now
        ahead = self._seconds * (pts - self._newest)
        lag = now - (self._anchor + self._seconds * pts)
        step = self._seconds * (pts - self._last_pts)
        # An arrival that is much too early is a jump only if the timestamp jumped; if it went on
        # as it should, the ones before came late, as after a start or a jump in a stall.
        leapt = step - passed > _JUMP_S or self._odd is not None
        if (lag < -_JUMP_S and leapt) or ahead < -_JUMP_S:
            self._pulled += max(0.0, step - passed)
            return self._strange(pts, now)
        self._odd = None
        if 0 <= step < _SAME_S and passed > _SAME_ARRIVAL_S:
            self._anchor += passed
            lag -= passed
        lag = self._stepped_back(pts, now, lag)
        lag = self._stood(pts, now, passed, lag)
        if lag < 0:
            self._anchor += lag
            self._pulled -= lag
            self._owed = lag = 0.0
        self._newest = max(self._newest, pts)
        self._follow(lag, now, passed)
        self._measure(pts, now, lag)
        return self._anchor + self._seconds * pts

    def _begin(self, pts: float, now: float) -> None:
        self._anchor = now - self._seconds * pts
        self._newest = self._last_pts = pts
        self._behind = (0, now)
        self._open_window(now)

    def _strange(self, pts: float, now: float) -> float:
        """A packet that does not fit: alone it is passed over, with another one it is a jump."""
        before, self._odd = self._odd, (pts, now)
        self._odd_packets += 1
        if before is None:
            return self._continued(now)
        pts_before, then = before
        if abs(now - then - self._seconds * (pts - pts_before)) > _SAME_JUMP_S:
            # The second in a row: rather the clock is strange than the packet.
            self._measure(pts, now, 0.0)
            return now
        early, at = min((then - self._seconds * pts_before, then), (now - self._seconds * pts, now))
        self._odd = None
        self._jump(early, max(pts, pts_before), now)
        return early + self._seconds * pts if at <= now else now

    def _continued(self, now: float) -> float:
        """One step after the last packet: for one whose own timestamp says nothing."""
        return min(now, self._date + self._step_s) if self._step_s else now

    def _stepped_back(self, pts: float, now: float, lag: float) -> float:
        """Notice a step back that is as small as disorder; the lag is measured anew then."""
        packets, since = self._behind
        if pts >= self._newest:
            self._behind = (0, now)
            return lag
        self._behind = (packets + 1, since)
        if packets < _BEHIND_PACKETS or now - since < _BEHIND_S:
            return lag
        self._jump(now - self._seconds * pts, pts, now)
        return 0.0

    def _stood(self, pts: float, now: float, passed: float, lag: float) -> float:
        """Notice a clock that stood during a silence; the lag is measured anew then."""
        if passed > max(_SILENT_S, _SILENT_DISTANCES * self._usual_s) and lag > passed / 2:
            self._resumed = (pts, now, lag)
            if self._stands_in_silence:
                self._move(now - self._seconds * pts, max(self._newest, pts), now)
                return 0.0
        elif self._resumed is not None:
            from_pts, since, late_s = self._resumed
            comes_faster = now - since <= _RESUMED_SHARE * self._seconds * (pts - from_pts)
            if now - since >= _RESUMED_S:
                self._resumed = None
                is_stood = self._stands_in_silence
                self._stands_in_silence = not comes_faster
                if not (comes_faster or is_stood):
                    self._move(now - self._seconds * pts, max(self._newest, pts), now)
                    return 0.0
            elif comes_faster and lag < late_s / 2 and not self._stands_in_silence:
                self._resumed = None
        return lag

    def _move(self, anchor: float, newest: float, now: float) -> None:
        """Count on from there, and measure anew."""
        self._anchor = anchor
        self._newest = newest
        self._behind = (0, now)
        self._points.clear()
        self._block = None
        self._open_window(now)
        self._owed = 0.0

    def _jump(self, anchor: float, newest: float, now: float) -> None:
        self._move(anchor, newest, now)
        self._jumps.append(now)
        lately = sum(at > now - _TOO_MANY_JUMPS_S for at in self._jumps)
        if lately >= _TOO_MANY_JUMPS:
            self._give_up("its timestamps make no sense")

    def _follow(self, lag: float, now: float, passed: float) -> None:
        """Make up for a clock that is a little slow, too slowly to be seen in any distance."""
        if now >= self._window_end and self._window_packets >= _WINDOW_PACKETS:
            self._owed = self._window_lag
            self._open_window(now)
        self._window_packets += 1
        self._window_lag = min(self._window_lag, lag)
        if self._owed > 0 and self._anchor is not None:
            more = min(self._owed, self._owed * passed / _MAKE_UP_S)
            self._anchor += more
            self._window_lag -= more
            self._owed -= more

    def _open_window(self, now: float) -> None:
        self._window_end = now + _WINDOW_S
        self._window_packets = 0
        self._window_lag = float("inf")

    def _measure(self, pts: float, now: float, lag: float) -> None:
        if self._block is not None and now - self._block_since >= _BLOCK_S:
            self._points.append(self._block)
            self._block = None
        if self._block is None:
            self._block_since = now
        if self._block is None or lag <= self._block_lag:
            self._block = _EarlyArrival(now, pts, self._pulled)
            self._block_lag = lag

    def _check(self, now: float) -> None:
        """Judge the clock, once a second."""
        points = list(self._points)
        known_s = points[-1].now - points[0].now if points else 0.0
        self._next_check = now + _CHECK_S + min(known_s, _LONGEST_S) * _CHECK_SHARE
        while len(points) > _FEWEST_POINTS and now - points[0].now > _LONGEST_S:
            self._points.popleft()
            points.pop(0)
        line = None
        while len(points) >= _FEWEST_POINTS and points[-1].now - points[0].now >= _SHORTEST_S:
            line = _line(points, is_part=len(points) < len(self._points))
            if line is not None:
                break
            points = points[len(points) // 4 or 1 :]
        if line is not None:
            self._judge(line)
        elif self._odd_packets > _ODD_SHARE * self._packets and len(self._points) >= (
            _FEWEST_POINTS
        ):
            self._give_up("its timestamps make no sense")
        elif self._bare_packets > _BARE_SHARE * self._packets and self._packets >= _FEWEST_POINTS:
            self._give_up("it sends no timestamps")
        # What was seen long ago counts less and less.
        self._packets = self._packets * 7 // 8
        self._odd_packets = self._odd_packets * 7 // 8
        self._bare_packets = self._bare_packets * 7 // 8
        self._speak(now)

    def _judge(self, line: _RateLine) -> None:
        if line.rate < _SLOWEST or line.rate > _FASTEST:
            stands = abs(line.rate) < _STANDS
            why = "its timestamps stand still" if stands else _runs(line.rate)
            self._give_up(why, 0.0 if stands else _rounded(line.rate))
            return
        wrong_by = abs(line.rate * self._seconds - 1) * line.span_s
        if self._by_arrival is not None:
            self._by_arrival = None
            self._set(line, 1 / line.rate if line.is_wrong else 1.0, anew=True)
        elif self._seconds == 1.0:
            # A backlog that is worked off looks fast, but nothing of it comes too early.
            early = line.pulled >= 0.5 * (line.rate - 1) * line.span_s
            if line.is_wrong and early:
                self._set(line, 1 / line.rate, anew=True)
        elif line.is_right and (line.span_s >= _LONG_S or wrong_by > _OFF_S):
            self._set(line, 1.0, anew=True)
        elif wrong_by > _RENEW_S + line.late_s / 2:
            self._set(line, 1 / line.rate, anew=wrong_by > _OFF_S)

    def _set(self, line: _RateLine, seconds: float, *, anew: bool) -> None:
        """Count on with this rate: from where the line is, or from where the times are."""
        if anew or self._anchor is None:
            last = self._points[-1].now
            self._anchor = last - seconds * (line.start + line.rate * last)
            self._newest = self._last_pts
            self._owed = 0.0
        else:
            self._anchor += (self._seconds - seconds) * self._newest
        self._seconds = seconds
        self._rate = _rounded(line.rate)
        self._odd = None
        self._open_window(self._points[-1].now)

    def _give_up(self, why: str, rate: float | None = None) -> None:
        self._by_arrival = why
        self._rate = rate
        self._seconds = 1.0
        self._odd = None

    def _smoothed(self, now: float, passed: float) -> float:
        """By arrival: as regular as the arrivals are."""
        usual = self._usual_s or passed
        self._usual_s = usual + _SMOOTH * (min(passed, _IRREGULAR * usual) - usual)
        expected = self._date + usual
        off = now - expected
        least, most = _IRREGULAR_S
        if abs(off) > max(least, min(_IRREGULAR * usual, most)):
            return now
        return expected + _SMOOTH * off

    def _speak(self, now: float) -> None:
        while self._jumps and self._jumps[0] < now - _JUMPS_S:
            self._jumps.popleft()
        wrong = self._wrong()
        if wrong is None:
            self._wrong_since = None
            self._right_since = now if self._right_since is None else self._right_since
            if now - self._right_since >= _RIGHT_S:
                self._state = CameraClockState(True, "its timestamps are right", 1.0)
            return
        self._right_since = None
        self._wrong_since = now if self._wrong_since is None else self._wrong_since
        if now - self._wrong_since >= _SAY_S or self._by_jumps():
            self._state = wrong

    def _by_jumps(self) -> bool:
        return len(self._jumps) >= _JUMPS

    def _wrong(self) -> CameraClockState | None:
        if self._by_arrival is not None:
            return CameraClockState(False, f"{self._by_arrival}, so {BY_ARRIVAL}", self._rate)
        if self._by_jumps():
            since = self._last_now or 0.0
            within = max(1.0, since - self._jumps[0])
            said = f"its clock jumped {len(self._jumps)} times in {within:.0f} s"
            return CameraClockState(False, f"{said}, so {BY_ARRIVAL} after each", None)
        if self._seconds != 1.0:
            rate = 1 / self._seconds
            said = f"{_runs(rate)}, so its timestamps are corrected by that"
            return CameraClockState(False, said, _rounded(rate))
        return None


def _line(points: Sequence[_EarlyArrival], *, is_part: bool) -> _RateLine | None:
    """The line above which no point lies, at their middle; None if they are not of one clock."""
    hull: list[_EarlyArrival] = []
    for point in points:
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    middle = (points[0].now + points[-1].now) / 2
    nth = next(n for n in range(1, len(hull)) if hull[n].now >= middle)
    left, right = hull[nth - 1], hull[nth]
    rate = (right.pts - left.pts) / (right.now - left.now)
    start = left.pts - rate * left.now
    late = [(start + rate * p.now - p.pts) / max(abs(rate), _SLOWEST) for p in points]
    if sum(one <= _NEAR_S for one in late) < _NEAR_SHARE * len(points):
        return None
    pulled = points[-1].pulled - points[0].pulled
    mean = sum(late) / len(late)
    return _RateLine(rate, start, points[-1].now - points[0].now, pulled, mean, is_part)


def _turns_up(a: _EarlyArrival, b: _EarlyArrival, c: _EarlyArrival) -> bool:
    """Whether `b` lies on or below the line from `a` to `c`."""
    return (b.pts - a.pts) * (c.now - a.now) <= (c.pts - a.pts) * (b.now - a.now)


def _runs(rate: float) -> str:
    return f"its clock runs at {_rounded(rate):g} times real time"


def _rounded(rate: float) -> float:
    """To what is surely measured."""
    return float(f"{rate:.3g}")
