"""When the light fell: a stream's own timestamps turned into UTC seconds that always rise.

A stream's clock says how far pictures are apart, better than their arrival does; what it cannot
say is the time of day. So it is anchored once, and only what is certainly wrong is mended.
"""

from collections import deque

from connectors.sources.ffmpeg.camera_clock import CameraClock
from pipeline.core.clock import Clock
from pipeline.core.sources import CameraClockState

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
# The host's own clock, set forward by more than this (after a boot without a battery), is believed.
_CLOCK_SET_S = 2.0
# Dates of packets that may still be inside the decoder, behind the newest picture, and in all.
_INSIDE = 64
_MOST_INSIDE = 32768
# A camera's own word on when a picture was captured (RTCP sender reports) is taken if, for so long,
# it was this little before what the arrivals say, and always by the same.
_REPORTED_S = 20.0
_REPORTS = 8
_REPORTED_EARLIER_S = (-0.02, 1.0)
_REPORTED_SAME_S = 0.1
# How fast times move towards it.
_TOWARDS_REPORTS = 0.02


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

    def dated(self, pts_s: float) -> float:
        """The time of a packet with this pts that lies near the last picture."""
        return self.start + (pts_s - (self._zero or 0.0))

    def end(self) -> float:
        """Where time continues after the last picture."""
        return self.start if self._last_at is None else self._last_at + self.usual_s

    def _rise(self, at: float) -> float:
        if self._last_at is not None:
            at = max(at, self._last_at + _APART_S)
        self._last_at = at
        return at


class LiveTimeline:
    """Times of a live stream, anchored at its pictures' arrival: never in the future, never much
    older than their arrival, and as far apart as they were captured.

    `arrive` is told of each packet as it comes, `at` asked for each picture as it is shown; what a
    CameraClock makes of the packet is the picture's time, however long it was inside the decoder.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._camera = CameraClock()
        self._reports = _SenderReports()
        self._dates: dict[float | None, tuple[int, float]] = {}
        self._arrived = 0
        self._last_at: float | None = None

    @property
    def state(self) -> CameraClockState | None:
        """Whether the camera's clock is right, once that is known."""
        return self._camera.state

    def report(self, said_at: float, pts_s: float) -> None:
        """The camera's own clock says that the picture with this pts was captured then (UTC)."""
        self._reports.say(said_at, pts_s)

    def arrive(self, pts_s: float | None) -> float:
        """A packet with this pts in seconds has come: when it was captured, in seconds from
        anywhere that neither jump nor depend on the host's time of day.
        """
        monotonic = self._clock.monotonic()
        date = self._camera.date(pts_s, monotonic)
        if pts_s is not None:
            earlier = self._reports.earlier(pts_s, date + self._offset, monotonic)
            date = max(date - earlier, monotonic - self._camera.latest_s)
        self._arrived += 1
        self._dates.pop(pts_s, None)
        self._dates[pts_s] = (self._arrived, date)
        if len(self._dates) > _MOST_INSIDE:
            del self._dates[next(iter(self._dates))]
        return date

    def dated(self, pts_s: float | None) -> float:
        """When the packet with this pts that has just come was captured, in UTC seconds: its
        picture's time, before it was decoded.
        """
        known = self._dates.get(pts_s)
        return (self._clock.monotonic() if known is None else known[1]) + self._offset

    def at(self, pts_s: float | None) -> float:
        """The time of the picture with this pts in seconds: of the packet that came with it, or of
        this moment.
        """
        self._heed_host()
        if pts_s is None:
            _, date = self._dates.pop(None, (0, self._clock.monotonic()))
            return self._rise(date + self._offset)
        if pts_s not in self._dates:
            self.arrive(pts_s)
        nth, date = self._dates[pts_s]
        while self._dates[oldest := next(iter(self._dates))][0] < nth - _INSIDE:
            del self._dates[oldest]
        return self._rise(date + self._offset)

    def _heed_host(self) -> None:
        """The host's own clock may have been set: forward is believed, as time never goes back. Set
        backward, it ends the stream (see LiveSource), and another timeline begins.
        """
        change = self._clock.now() - self._clock.monotonic() - self._offset
        if change > _CLOCK_SET_S:
            self._offset += change

    def _rise(self, at: float) -> float:
        if self._last_at is not None:
            at = max(at, self._last_at + _APART_S)
        self._last_at = at
        return at


class _SenderReports:
    """What a camera says about its time of day, as far as it can be believed."""

    def __init__(self) -> None:
        self._said: tuple[float, float] | None = None
        self._earlier: deque[tuple[float, float]] = deque()
        self._wanted = 0.0
        self._taken = 0.0
        self._last: float | None = None

    def say(self, said_at: float, pts_s: float) -> None:
        """Of the packet that comes next."""
        self._said = (pts_s, said_at)

    def earlier(self, pts_s: float, at: float, now: float) -> float:
        """By how much pictures are captured earlier than arrivals say; 0 if that is not sure."""
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        if self._said is not None and self._said[0] == pts_s:
            newest = self._earlier[-1][0] if self._earlier else 0.0
            if not self._earlier or now - newest >= _REPORTED_S / 20:
                self._earlier.append((now, at - self._said[1]))
                self._wanted = self._sure()
        while self._earlier and now - self._earlier[0][0] > 1.5 * _REPORTED_S:
            self._earlier.popleft()
            self._wanted = self._sure()
        most = _TOWARDS_REPORTS * passed
        self._taken += max(-most, min(most, self._wanted - self._taken))
        return self._taken

    def _sure(self) -> float:
        said = self._earlier
        if len(said) < _REPORTS or said[-1][0] - said[0][0] < _REPORTED_S:
            return 0.0
        values = sorted(value for _, value in said)
        least, most = _REPORTED_EARLIER_S
        if values[0] < least or values[-1] > most or values[-1] - values[0] > _REPORTED_SAME_S:
            return 0.0
        return max(0.0, values[len(values) // 2])
