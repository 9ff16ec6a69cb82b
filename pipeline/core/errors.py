"""The error tree. Every error is one sentence that names the place, the value and the way out.

MoonwatchError
├── ConfigError     the operator's file is not valid; lists every problem at once
├── SourceError     a camera or file cannot be opened or read; has a reason
├── QueueError      the transport between stages is out of reach
│   ├── UnreadablePictureError   one picture in it cannot be read; everything else can
│   ├── LeaseLostError   another processor now owns the partition
│   └── CameraTakenError another sampler now has the camera
├── EngineError     an engine cannot start, or cannot answer at all
├── StoreError      events cannot be stored
│   ├── NoTablesError        the database can be reached; nothing was ever stored in it
│   ├── FencedOffError       another processor has taken over; nothing was stored
│   ├── OwnershipLostError   another process has taken over the lease; nothing was stored
│   └── PictureRecordError   a picture cannot be recorded now, and so was not written
└── SinkError       events cannot be delivered; says whether a retry can help
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class MoonwatchError(Exception):
    """Root of everything moonwatch raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a deployment file: where, and what to do about it."""

    path: str
    message: str
    line: int | None = None
    """Line of the file, from 1, where there is one."""
    file: str | None = None
    """The included file that it is in; None for the deployment file itself."""

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line is not None else ""
        line = f"{self.file} {line}".rstrip() if self.file is not None else line
        place = f"{self.path} ({line})" if self.path and line else self.path or line
        return f"{place}: {self.message}" if place else self.message


class ConfigError(MoonwatchError):
    """The deployment file is not valid. `problems` holds all of its mistakes, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SourceFailure(StrEnum):
    """Why a source gives no pictures. Logs, metrics and events use the value."""

    REFUSED = "refused"
    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not found"
    TIMEOUT = "timeout"
    DNS = "name not resolved"
    UNREACHABLE = "unreachable"
    ENDED = "stream ended"
    UNSUPPORTED = "unsupported"
    BROKEN = "broken stream"


class SourceError(MoonwatchError):
    """A source cannot be opened or read; `reason` is a `SourceFailure`. Holds no credentials."""

    def __init__(self, reason: SourceFailure, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class QueueError(MoonwatchError):
    """The queue is out of reach or holds something unreadable."""


class LeaseLostError(QueueError):
    """A partition of the results now belongs to another processor; nothing was done."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        super().__init__(f"partition {partition} of the results now belongs to another processor")


class CameraTakenError(QueueError):
    """Another sampler now has the camera; nothing was put on the queue."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        super().__init__(f"camera {camera} is now sampled by another process")


class UnreadablePictureError(QueueError):
    """A picture in the queue cannot be read; a retry cannot help."""


class EngineError(MoonwatchError):
    """An engine cannot be started, or cannot answer anything."""


class StoreError(MoonwatchError):
    """The store cannot be opened, read or written."""


class NoTablesError(StoreError):
    """The database can be reached, and nothing was ever stored in it."""


class FencedOffError(StoreError):
    """A partition's results are now processed elsewhere; nothing was stored."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        super().__init__(f"partition {partition} of the results was taken over; nothing was stored")


class OwnershipLostError(StoreError):
    """A lease of the store now belongs to another process or another file; nothing was stored."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the lease `{name}` of the store was taken over; nothing was stored")


class PictureRecordError(StoreError):
    """The store is out of reach, so a picture was not written; a retry can help."""


class SinkError(MoonwatchError):
    """A sink did not accept events. `retryable` is False when a retry cannot help.

    `retry_after_s` is how long the other side asked us to wait.
    """

    def __init__(
        self, message: str, *, retryable: bool = True, retry_after_s: float | None = None
    ) -> None:
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        super().__init__(message)
