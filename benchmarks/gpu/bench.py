"""What the sections share: device, sizes, networks of random weights, and how much work is fitting.

Knows nothing of the sections and of the file they fill.
"""

import gc
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.forced_work import WrongAnswerError
from benchmarks.random_model import DIMS, RandomNetwork, language, random_network
from benchmarks.roofline import Rates, measure
from pipeline.moondream import EngineOptions, FailedResult, Moondream, Request, Result
from pipeline.moondream.device.graphs import GraphCounts
from pipeline.moondream.dims import Dims

NEEDS_CUDA = {"skipped": "needs CUDA"}
NO_TIME = {"skipped": "time"}

Json = dict[str, Any]
Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much work each section does: all of it on a device, little on a CPU."""

    max_batch: int
    batches: tuple[int, ...]
    crops: tuple[int, ...]
    least_rounds: int
    least_seconds: float
    matrix_side: int
    copy_bytes: int
    mixes: int
    latency_runs: int
    neighbours: int
    cameras: int
    camera_fps: float
    live_seconds: float
    live_size_wh: tuple[int, int]
    pictures_in_prefill: int


ON_A_DEVICE = Scale(
    max_batch=64,
    batches=(32, 1, 8, 64),
    crops=(1, 9, 13),
    least_rounds=3,
    least_seconds=2.0,
    matrix_side=8192,
    copy_bytes=2**31,
    mixes=200,
    latency_runs=50,
    neighbours=31,
    cameras=30,
    camera_fps=2.0,
    live_seconds=30.0,
    live_size_wh=(1280, 720),
    pictures_in_prefill=16,
)
ON_A_CPU = Scale(
    max_batch=8,
    batches=(4, 1),
    crops=(1, 9),
    least_rounds=1,
    least_seconds=0.0,
    matrix_side=1024,
    copy_bytes=2**26,
    mixes=10,
    latency_runs=3,
    neighbours=3,
    cameras=2,
    camera_fps=0.5,
    live_seconds=4.0,
    live_size_wh=(320, 240),
    pictures_in_prefill=2,
)


@dataclass(slots=True)
class Bench:
    """The device under test with its networks, which are made once for each precision."""

    device: torch.device
    dims_name: str
    scale: Scale
    _networks: dict[torch.dtype, RandomNetwork] = field(default_factory=dict)
    _rates: dict[torch.dtype, Rates] = field(default_factory=dict)
    _engine: Moondream | None = None
    # What became of making the engine that sections share.
    engine_facts: Json = field(default_factory=dict)

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU of the kind that all of this is for."""
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """The precision that figures are taken in."""
        return torch.bfloat16 if self.is_cuda else torch.float32

    @property
    def dims(self) -> Dims:
        """The sizes of the random networks."""
        return DIMS[self.dims_name]

    def made(self, dtype: torch.dtype | None = None) -> RandomNetwork:
        """Return the network of a precision; no other is kept beside it but that of `dtype`."""
        wanted = dtype or self.dtype
        if wanted not in self._networks:
            self._networks = {key: n for key, n in self._networks.items() if key is self.dtype}
            self._networks[wanted] = random_network(self.dims, self.device, wanted)
        return self._networks[wanted]

    def model(self, dtype: torch.dtype | None = None, **options: Any) -> Moondream:
        """Return an engine around the network of a precision."""
        network = self.made(dtype).network
        return Moondream(network, language(self.dims), EngineOptions(**options))

    def engine(self) -> Moondream:
        """Return the engine of the figures, which sections share: its captures take seconds."""
        if self._engine is None:
            self.begin_peak()
            started = perf_counter()
            self._engine = self.model(max_batch=self.scale.max_batch)
            graphs = self._engine.graph_counts()
            self.engine_facts.update(
                rows=self.scale.max_batch,
                ready_s=perf_counter() - started,
                captures=graphs.captures,
                capture_seconds=graphs.capture_seconds,
                failures=graphs.failures,
                kernels=list(self._engine.kernels.in_use),
                refused=dict(self._engine.kernels.refused),
                **self.peak_memory(),
            )
        return self._engine

    def forget_engine(self) -> None:
        """Drop the engine of the figures, for work that needs its memory."""
        self._engine = None
        self.tidy()

    def rates(self, dtype: torch.dtype | None = None) -> Rates:
        """Return how fast the device multiplies and copies, measured once."""
        wanted = dtype or self.dtype
        if wanted not in self._rates:
            scale = self.scale
            self._rates[wanted] = measure(self.device, wanted, scale.matrix_side, scale.copy_bytes)
            self.tidy()
        return self._rates[wanted]

    def wait(self) -> None:
        """Wait for all work on the device."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def tidy(self) -> None:
        """Give the memory of what is no longer used back to the device."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()

    def forget_networks(self) -> None:
        """Drop all networks and the engine, for a section that needs the memory."""
        self._networks = {}
        self.forget_engine()

    def begin_peak(self) -> None:
        """Start to watch the most memory in use."""
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> Json:
        """Return the most memory in use: of the device, or of the process since its start."""
        if self.is_cuda:
            return {
                "memory_gb": torch.cuda.max_memory_allocated(self.device) / 1e9,
                "reserved_gb": torch.cuda.max_memory_reserved(self.device) / 1e9,
            }
        return {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def answer(model: Moondream, pictures: Pictures, requests: Sequence[Request]) -> list[list[Result]]:
    """Answer all requests on all pictures; WrongAnswerError where one fails."""
    found = model.answer([(picture, requests) for picture in pictures])
    for results in found:
        for result in results:
            if isinstance(result, FailedResult):
                raise WrongAnswerError(f"a request failed: {result.reason}")
    return found


def counted(before: GraphCounts, after: GraphCounts) -> Json:
    """Return what became of the cycles in between."""
    return {
        name: getattr(after, name) - getattr(before, name)
        for name in ("replays", "eager", "captures", "capture_seconds", "evictions", "failures")
    }
