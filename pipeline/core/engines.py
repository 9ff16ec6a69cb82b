"""The port of a model that answers tasks about pictures."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.core.answers import Answer
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Task


class Engine(Protocol):
    """Answers tasks about pictures, many at a time."""

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the engine can make use of; None for no limit."""
        ...

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked. One bad picture or task fails alone, as `Failed`."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...
