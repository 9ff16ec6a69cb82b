"""The port of a sink, where events go."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from pipeline.core.events import Event

ReadsFile: TypeAlias = Callable[[str], bytes | None]
"""Reads a file that an event refers to; None where there is none. Raises StoreError."""


def no_file(_: str) -> bytes | None:
    """There are no files."""
    return None


class Sink(Protocol):
    """Where events go. `send` is called by one thread, in order."""

    def send(self, events: Sequence[Event]) -> None:
        """Deliver all of them or raise SinkError; the same events may then be sent again."""
        ...

    def close(self) -> None:
        """Flush and release everything."""
        ...
