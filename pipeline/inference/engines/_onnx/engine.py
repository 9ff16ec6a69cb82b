"""A net of ONNX Runtime as an engine: it says what it runs on."""

from typing import Protocol

from pipeline.core.clock import Clock
from pipeline.inference.engines.batching import BatchingEngine, BatchModel


class NetModel(BatchModel, Protocol):
    """A model whose net runs somewhere."""

    @property
    def provider(self) -> str:
        """What runs the net."""
        ...

    @property
    def fell_back(self) -> str | None:
        """Why what runs the net is not what was wanted first."""
        ...


class NetEngine(BatchingEngine):
    """Batches requests for a net."""

    def __init__(
        self, model: NetModel, max_batch: int, max_wait_s: float, clock: Clock | None = None
    ) -> None:
        super().__init__(model, max_batch, max_wait_s, clock)
        self.provider = model.provider
        self.fell_back = model.fell_back
