"""The port of a camera or file: what the sampler needs from it, and how it is read."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pipeline.core.frames import Picture


@dataclass(frozen=True, slots=True)
class Need:
    """What the sampler will use of a stream, so that a source decodes only that."""

    every_s: float = 0.0
    """The shortest time between two used pictures; 0 means every picture."""
    is_repeat: Callable[[], bool] = field(default=lambda: False, compare=False)
    """Whether everything read so far was already processed before a restart. Pictures and times
    stay the same, but a source that plays a recording at its own pace does so only after this."""
    is_owed: Callable[[], bool] = field(default=lambda: False, compare=False)
    """Whether the last picture could not be used, so that the next one is needed, however soon it
    comes."""
    quiet_s: float = 15.0
    """How long a live source that is asked for each picture may go without one before it fails."""


class Source(Protocol):
    """A camera or a file. Opened, read and closed by one thread; may be opened again."""

    @property
    def live(self) -> bool:
        """Whether it cannot be paused: live pictures may be dropped, a file's may not."""
        ...

    @property
    def run(self) -> str:
        """The name of this numbering of frames: stable for a file, new at each live start."""
        ...

    def open(self, need: Need) -> None:
        """Connect, within the source's own deadline; raises SourceError."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """Pictures in time order until a file ends; raises SourceError when a stream breaks."""
        ...

    def counters(self) -> Mapping[str, int]:
        """What was lost since `open`, by reason (such as `decode error`)."""
        ...

    def close(self) -> None:
        """Release everything; safe to call twice, and from another thread to end a read."""
        ...


@dataclass(frozen=True, slots=True)
class CameraClockState:
    """What is known of a camera's own clock, from which its pictures' times come."""

    is_right: bool
    words: str
    """What is wrong and what is done about it."""
    rate: float | None = None
    """Seconds that it advances in one second, where it has a rate."""


@runtime_checkable
class ClockedSource(Protocol):
    """A source that judges the clock of its camera."""

    @property
    def camera_clock(self) -> CameraClockState | None:
        """Whether the clock is right; None while that is not known."""
        ...


_LEAP_S = 2.0


class StreamLog:
    """What a stream is, and how its packets come: written by the thread that reads it."""

    def __init__(self) -> None:
        self.codec: str | None = None
        self.size_wh = (0, 0)
        self.said_at: float | None = None
        """The time of day on the device's own clock when it was asked, in UTC seconds."""
        self.asked_at = 0.0
        """This machine's at the same moment."""
        self.packets = 0
        self.keys = 0
        self.longest_between_keys = 0
        """In packets, as a stream's stamps may be wrong."""
        self.backward = 0
        """Stamps that were before the one before."""
        self.leaps = 0
        """Stamps that were more than two seconds away from what had passed."""
        self.began_at = self.ended_at = 0.0
        """When packets came first and last, on a clock that never jumps."""
        self._since_key = 0
        self._last: tuple[float, float] | None = None

    def begin(self, codec: str, size_wh: tuple[int, int], said_at: float | None) -> None:
        """The stream is open."""
        self.codec, self.size_wh = codec, size_wh
        self.said_at, self.asked_at = said_at, time.time()

    def hear(self, stamp_s: float | None, *, is_key: bool) -> None:
        """A packet has come."""
        now = time.monotonic()
        self.packets += 1
        self.began_at, self.ended_at = self.began_at or now, now
        self._since_key += 1
        if is_key:
            if self.keys:
                self.longest_between_keys = max(self.longest_between_keys, self._since_key)
            self.keys, self._since_key = self.keys + 1, 0
        if stamp_s is None:
            return
        if self._last is not None:
            step = stamp_s - self._last[0]
            self.backward += step < 0
            self.leaps += abs(step - (now - self._last[1])) > _LEAP_S
        self._last = (stamp_s, now)


@runtime_checkable
class ObservedSource(Protocol):
    """A source that writes down what its stream is."""

    def observe(self, log: StreamLog) -> None:
        """From the next `open` on."""
        ...
