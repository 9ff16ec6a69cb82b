"""Turns a model that answers one batch of pictures at a time into an engine."""

import logging
from collections.abc import Sequence
from typing import Protocol

from pipeline.core.address import without_secrets
from pipeline.core.answers import Answer
from pipeline.core.clock import Clock
from pipeline.core.engines import EngineRequest, Ticket
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Task
from pipeline.inference.line import RequestLine

logger = logging.getLogger(__name__)


class BatchModel(Protocol):
    """A model that answers a batch. One thread calls it."""

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the model can make use of; None for no limit."""
        ...

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class BatchingEngine:
    """Batches requests for a model in a thread: a batch starts when full or after `max_wait_s`.

    When the model raises, each picture of the batch is retried by itself, so that only a faulty
    one fails.
    """

    def __init__(
        self,
        model: BatchModel,
        max_batch: int,
        max_wait_s: float,
        clock: Clock | None = None,
    ) -> None:
        self._model = model
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._raised: set[type[Exception]] = set()
        self._line = RequestLine(self._work, model.close, clock)

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the model can make use of; None for no limit."""
        return self._model.max_side

    def submit(self, request: EngineRequest) -> Ticket:
        """Put a request in line; returns at once."""
        return self._line.submit(request)

    def close(self) -> None:
        """Fail everything outstanding and free the model. Safe to repeat."""
        self._line.close()

    def _work(self) -> None:
        while batch := self._line.take(self._max_batch, self._max_wait_s):
            try:
                answers = self._ask(batch)
            except Exception as error:  # noqa: BLE001 - third-party code cannot end the engine
                self._say(batch[0], error)
                self._ask_each(batch)
            else:
                for ticket, given in zip(batch, answers, strict=True):
                    ticket.settle(given, len(batch))

    def _ask_each(self, batch: Sequence[Ticket]) -> None:
        for ticket in batch:
            if ticket.done or self._line.is_closed:
                continue
            ticket.asked_alone = len(batch) > 1
            try:
                [given] = self._ask([ticket])
            except Exception as error:  # noqa: BLE001 - as above; the failure is the answer
                ticket.fail(without_secrets(f"{type(error).__name__}: {error}"), batch=1)
            else:
                ticket.settle(given)

    def _ask(self, batch: Sequence[Ticket]) -> list[list[Answer]]:
        asked = [(ticket.request.pixels, ticket.request.tasks) for ticket in batch]
        answers = self._model.answer(asked)
        shape = [len(given) for given in answers]
        wanted = [len(tasks) for _, tasks in asked]
        if shape != wanted:
            raise ValueError(f"asked for {wanted} answers, the engine gave {shape}")
        return answers

    def _say(self, ticket: Ticket, error: Exception) -> None:
        """Log the first exception of each kind with its traceback; the answers hold the others."""
        if type(error) in self._raised:
            return
        self._raised.add(type(error))
        name = next((task.engine for task in ticket.request.tasks), "without tasks")
        logger.error(
            "engine %s failed on a batch; retrying its pictures one by one", name, exc_info=error
        )
