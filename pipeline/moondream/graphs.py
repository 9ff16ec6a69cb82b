"""CUDA graphs of whole cycles: captured once for a program and a shape, then replayed.

Shapes are rounded up so that few graphs serve all batches. Knows nothing of what a cycle does,
only that it reads and writes fixed addresses and never waits for the host.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from pipeline.moondream.cycle import Program
from pipeline.moondream.rows import Shape

# Graphs kept; the one used longest ago goes first. Each holds some megabytes of kernel arguments.
MAX_GRAPHS = 96
# Up to here counts are rounded to the next power of two, above to multiples: decoding costs grow
# with rows, so rounding 33 rows up to 64 would cost a third of the speed.
POWER_OF_TWO_UP_TO = 8
ROUND_TO = 8
ROUND_BLOCKS_TO = 16

Run = Callable[[Program, Shape], None]


class CapturedCycles:
    """Runs cycles, from the third time of a shape on as a captured graph.

    The first run of a shape is eager, which also lets the libraries set themselves up; capturing
    runs nothing, so no row's state is touched by it.
    """

    def __init__(self, run: Run, limits: Shape) -> None:
        self._run, self._limits = run, limits
        self._graphs: OrderedDict[tuple[Program, Shape], torch.cuda.CUDAGraph | None]
        self._graphs = OrderedDict()
        self._pool: Any = None

    def round_up(self, shape: Shape) -> Shape:
        """Return the shape whose graph serves `shape`, within the limits."""
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
        if key not in self._graphs:
            self._run(program, shape)
            self._keep(key, None)
            return
        graph = self._graphs[key]
        if graph is None:
            graph = self._capture(program, shape)
            self._keep(key, graph)
        self._graphs.move_to_end(key)
        graph.replay()

    def _capture(self, program: Program, shape: Shape) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, pool=self._pool):
            self._run(program, shape)
        # Graphs never run at the same time, so they share the memory of what lies between.
        self._pool = self._pool or graph.pool()
        return graph

    def _keep(self, key: tuple[Program, Shape], graph: torch.cuda.CUDAGraph | None) -> None:
        self._graphs[key] = graph
        if len(self._graphs) > MAX_GRAPHS:
            self._graphs.popitem(last=False)


def _round(count: int, multiple: int) -> int:
    if count <= POWER_OF_TWO_UP_TO:
        return 1 << max(count - 1, 0).bit_length() if count else 0
    return -(-count // multiple) * multiple
