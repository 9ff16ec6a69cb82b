"""The port of a camera or file: what the sampler needs from it, and how it is read."""

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
