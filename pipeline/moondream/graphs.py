"""Cycles captured once for a program and a shape, then replayed: on CUDA as graphs.

Shapes are rounded up so that few captures serve all batches. Knows nothing of what a cycle does,
only that it reads and writes fixed addresses and never waits for the host.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from pipeline.moondream.cycle import Program
from pipeline.moondream.rows import Shape

_log = logging.getLogger(__name__)

# Graphs kept; the one used longest ago goes first. Each holds some megabytes of kernel arguments.
MAX_GRAPHS = 96
# Shapes remembered as seen once; they start over beyond it, which only delays captures.
MAX_SEEN = 4096
# Up to here counts are rounded to the next power of two, above to multiples: decoding costs grow
# with rows, so rounding 33 rows up to 64 would cost a third of the speed.
POWER_OF_TWO_UP_TO = 8
ROUND_TO = 8
ROUND_BLOCKS_TO = 16

Run = Callable[[Program, Shape], None]
Work = Callable[[], None]
Key = tuple[Program, Shape]


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """What became of all cycles since loading: `replays` + `eager` is how many there were.

    `captures` succeeded and took `capture_seconds`, with those that failed (`failures`);
    `evictions` are captures given up for newer ones.
    """

    replays: int = 0
    eager: int = 0
    captures: int = 0
    capture_seconds: float = 0.0
    evictions: int = 0
    failures: int = 0


class CudaCapture:
    """Records work as a CUDA graph and returns what replays it; the work does not run meanwhile.

    Graphs never run at the same time, so they share the memory between their inputs and outputs.
    The stream belongs to this device: torch's own belongs to the device that captured first. Other
    threads may keep using CUDA while this one captures.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """Capture on the current device, which must be the one this was made for."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            work()
        replay: Work = graph.replay
        return replay


class CapturedCycles:
    """Runs cycles, from the third time of a shape on as captured.

    The first two runs are eager. The second is captured right after it, by the same thread: so
    the libraries have loaded their kernels and made this thread's handles, which is not allowed
    while capturing. Where a capture fails, everything runs eagerly from then on.
    """

    def __init__(self, run: Run, limits: Shape, capture: Callable[[Work], Work]) -> None:
        self._run, self._limits = run, limits
        self._capture: Callable[[Work], Work] | None = capture
        self._captured: OrderedDict[Key, Work] = OrderedDict()
        self._seen: set[Key] = set()
        self._replays = self._eager = 0
        self._captures = self._evictions = self._failures = 0
        self._capture_seconds = 0.0

    def counts(self) -> GraphCounts:
        """Return what became of the cycles so far."""
        return GraphCounts(
            self._replays,
            self._eager,
            self._captures,
            self._capture_seconds,
            self._evictions,
            self._failures,
        )

    def round_up(self, shape: Shape) -> Shape:
        """Return the shape whose capture serves `shape`, within the limits."""
        rounded = (
            _round(shape.rows, ROUND_TO),
            _round(shape.pages, ROUND_TO),
            _round(shape.lanes, ROUND_TO),
            _round(shape.blocks, ROUND_BLOCKS_TO),
            _round(shape.row_blocks, ROUND_TO),
        )
        return Shape(*map(min, rounded, self._limits))

    def __call__(self, program: Program, shape: Shape) -> None:
        """Run one cycle; `shape` must come from `round_up`."""
        key = (program, shape)
        replay = self._captured.get(key)
        if replay is not None:
            self._captured.move_to_end(key)
            replay()
            self._replays += 1
            return
        self._run(program, shape)
        self._eager += 1
        if key in self._seen:
            self._keep(key)
        else:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(key)

    def _keep(self, key: Key) -> None:
        if self._capture is None:
            return
        started = perf_counter()
        try:
            self._captured[key] = self._capture(lambda: self._run(*key))
            self._captures += 1
        # torch raises RuntimeError for whatever cannot be captured, and for a lack of memory.
        except RuntimeError as error:
            self._capture = None
            self._failures += 1
            _log.warning("capturing a CUDA graph failed; cycles run without graphs: %s", error)
            return
        finally:
            self._capture_seconds += perf_counter() - started
        if len(self._captured) > MAX_GRAPHS:
            self._captured.popitem(last=False)
            self._evictions += 1


def _round(count: int, multiple: int) -> int:
    if count <= POWER_OF_TWO_UP_TO:
        return 1 << max(count - 1, 0).bit_length() if count else 0
    return -(-count // multiple) * multiple
