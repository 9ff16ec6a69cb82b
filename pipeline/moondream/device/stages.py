"""How long each stage of the work took: one stopwatch per stage, free of cost when off."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

import torch

Stage = Literal["resize", "vision", "prefill", "decode"]
STAGES: tuple[Stage, ...] = ("resize", "vision", "prefill", "decode")


class Stages:
    """Seconds by stage. Measuring waits for the device after each stage, so it starts off."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.is_on = False
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def clear(self) -> None:
        """Start over."""
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add what happens inside to a stage."""
        if not self.is_on:
            yield
            return
        started = perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[stage] += perf_counter() - started
