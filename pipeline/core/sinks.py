"""The port of a sink, where events go."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.core.events import Event


class Sink(Protocol):
    """Where events go. `send` is called by one thread, in order."""

    def send(self, events: Sequence[Event]) -> None:
        """Deliver all of them or raise SinkError; the same events may then be sent again."""
        ...

    def close(self) -> None:
        """Flush and release everything."""
        ...
