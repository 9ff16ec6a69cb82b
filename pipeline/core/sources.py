"""The port of a camera or file: what the sampler needs of it, and how it is read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.frames import Picture


@dataclass(frozen=True, slots=True)
class Need:
    """What the sampler will use of a stream, so that a source decodes no more than that."""

    every_s: float = 0.0
    """Shortest time between two pictures that will be used; 0 means every picture."""
    is_repeat: Callable[[], bool] = field(default=lambda: False, compare=False)
    """Whether all that was read so far was judged before a restart. It changes no picture and no
    time, but a source that keeps the pace of a recording begins to do so where this ends."""
    is_owed: Callable[[], bool] = field(default=lambda: False, compare=False)
    """Whether the last picture could not be used after all, so that the next one is wanted, however
    soon it comes."""


class Source(Protocol):
    """A camera or a file. Opened, read and closed by one thread; may be opened again."""

    @property
    def live(self) -> bool:
        """Whether time goes on without us: live pictures may be dropped, a file's may not."""
        ...

    @property
    def run(self) -> str:
        """Name of this numbering of frames: stable for a file, new for each live start."""
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
        """Let go of everything; safe to call twice, and from another thread to end a read."""
        ...
