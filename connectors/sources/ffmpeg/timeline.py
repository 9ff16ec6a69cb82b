"""When the light fell: a stream's own timestamps turned into UTC seconds that always rise.

A stream's clock says how far pictures are apart, better than their arrival does; what it cannot
say is the time of day. So it is anchored once, and only what is certainly wrong is mended.
"""

from pipeline.core.clock import Clock

# A step back of less than this is disorder within the stream; more is a new start of its clock
# (a wrap, a restarted encoder, two recordings in one file).
_DISORDER_S = 1.0
# Two pictures never share a time: trackers divide by what lies between them.
_APART_S = 0.001
# Recordings made on motion have honest gaps in their timestamps: a night, but not a whole day, by
# which clocks are set.
_FILE_GAP_S = 20 * 3600.0
# MPEG's timestamps begin again after 26.5 hours; with a gap of more than this it is a new encoder.
_WRAP_S = 2**33 / 90_000
_WRAP_GAP_S = 3600.0
# A live stream's clock may run this far ahead of its pictures' arrival before it is called a jump:
# longer than packets come late and are then delivered together.
_AHEAD_S = 5.0
# How fast the anchor follows a camera whose clock runs slow. Quartz is off by 0.0001 at most; ten
# times that changes no measured duration by more than a thousandth.
_FOLLOW = 0.001
_FOLLOW_WINDOW_S = 10.0
# The host's own clock, set forward by more than this (after a boot without a battery), is believed.
_CLOCK_SET_S = 2.0


class FileTimeline:
    """Times of a recording: `start` plus its pts, the same on every reading of the file."""

    def __init__(self, start: float, usual_s: float, first_pts_s: float | None = None) -> None:
        """`first_pts_s` is the pts at the start: of the first picture, or of its sound before."""
        self.start = start
        self.closed: list[tuple[float, float]] = []
        """Jumps of its clock that are no gaps: when, and by how many seconds."""
        self.usual_s = usual_s
        """How far pictures are apart where no timestamp says it."""
        self._zero = first_pts_s
        self._last_pts = first_pts_s
        self._last_at: float | None = None

    def at(self, pts_s: float | None) -> float:
        """The time of the picture with this pts in seconds; without one, the usual step later."""
        if pts_s is None:
            return self._rise(self.end())
        step = 0.0 if self._last_pts is None else pts_s - self._last_pts
        if self._zero is None or not -_DISORDER_S <= step <= _FILE_GAP_S:
            self._begin_anew(pts_s, step)
        self._last_pts = pts_s
        return self._rise(self.start + (pts_s - (self._zero or 0.0)))

    def _begin_anew(self, pts_s: float, step: float) -> None:
        if self._zero is not None and 0 <= step + _WRAP_S <= _WRAP_GAP_S:
            self._zero -= _WRAP_S
            return
        if self._zero is not None:
            self.closed.append((self.end(), step))
        self._zero = pts_s - (self.end() - self.start)

    def end(self) -> float:
        """Where time continues after the last picture."""
        return self.start if self._last_at is None else self._last_at + self.usual_s

    def _rise(self, at: float) -> float:
        if self._last_at is not None:
            at = max(at, self._last_at + _APART_S)
        self._last_at = at
        return at


class LiveTimeline:
    """Times of a live stream: anchored at the first picture's arrival, and never in the future.

    What waits in buffers at the start arrives late but together; the earliest arrival (measured
    against pts) counts, so the anchor only moves back, within the first moments, to where it
    belongs. A camera whose clock runs slow is followed at a thousandth of the time at most.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._anchor: float | None = None
        self._last_pts = 0.0
        self._last_now = 0.0
        self._last_at: float | None = None
        self._window_end = 0.0
        self._window_lag = 0.0

    def at(self, pts_s: float | None) -> float:
        """The time of the picture with this pts in seconds, which has arrived just now."""
        now = self._now()
        if pts_s is None:
            return self._rise(now)
        if self._anchor is None or self._jumped(pts_s, now):
            self._anchor = now - pts_s
            self._open_window(now)
        self._last_pts, self._last_now = pts_s, now
        lag = now - (self._anchor + pts_s)
        if lag < 0:
            self._anchor += lag
            lag = 0.0
        at = self._anchor + pts_s
        self._follow(lag, now)
        return self._rise(at)

    def _now(self) -> float:
        monotonic = self._clock.monotonic()
        change = self._clock.now() - monotonic - self._offset
        if change > _CLOCK_SET_S:
            self._offset += change
            self._last_now += change
            if self._anchor is not None:
                self._anchor += change
                self._open_window(monotonic + self._offset)
        return monotonic + self._offset

    def _jumped(self, pts_s: float, now: float) -> bool:
        step = pts_s - self._last_pts
        return step < -_DISORDER_S or step > now - self._last_now + _AHEAD_S

    def _follow(self, lag: float, now: float) -> None:
        self._window_lag = min(self._window_lag, lag)
        if now >= self._window_end and self._anchor is not None:
            self._anchor += min(self._window_lag, _FOLLOW * _FOLLOW_WINDOW_S)
            self._open_window(now)

    def _open_window(self, now: float) -> None:
        self._window_end = now + _FOLLOW_WINDOW_S
        self._window_lag = float("inf")

    def _rise(self, at: float) -> float:
        if self._last_at is not None:
            at = max(at, self._last_at + _APART_S)
        self._last_at = at
        return at
