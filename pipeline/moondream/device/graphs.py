"""Cycles captured once for a program and a shape, then replayed: on CUDA as graphs.

A graph reads and writes as much as it did when it was captured, so shapes come off a ladder that
is fixed at start: a cycle takes the lowest rung that covers it, and what is in use is moved to the
low places where it lies above the rung. Everything else (which pages, whose blocks, how long a
row is) is data on the device. Knows nothing of what a cycle does, only that it reads and writes
fixed addresses and never waits for the host.
"""

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Generic, TypeVar

import torch

from pipeline.moondream.device.cycle import CAPTURED, Program
from pipeline.moondream.device.rows import Shape

_log = logging.getLogger(__name__)

# Graphs kept; the one used longest ago goes first. Each holds some megabytes of kernel arguments.
MAX_GRAPHS = 96
# A capture that was refused, as for lack of memory, is tried again after so many cycles without
# it, and so often in all.
RETRY_AFTER = 1000
MAX_TRIES = 3
# Rows of the rungs up to eight, and then in steps that double after every 32, 64, 128 …: costs grow
# with rows, so rounding 33 up to 64 would cost a third of the speed.
FIRST_ROWS, STEP_ROWS = (1, 2, 4, 8), 8
# Rows that share pictures are expected to be four of each, as an engine of a deployment has them.
ROWS_PER_PICTURE = 4
# Blocks of a rung: two for each row, and some for a long answer among them. One row may have as
# many as leave its table small; longer ones use a higher rung.
BLOCKS_PER_ROW, MORE_BLOCKS = 2, 8
TABLE_CELLS, LEAST_ROW_BLOCKS = 256, 8
# What a rung costs beside its pages: a page of 730 positions is read as long as twelve blocks,
# and the scores of ten lanes cost about as much as a page.
CELLS_OF_A_PAGE, BLOCKS_OF_A_PAGE, ROWS_OF_A_PAGE = 10, 12, 20

Run = Callable[[Program, Shape], None]
Work = Callable[[], None]
Capture = Callable[[Work], Work]
Key = tuple[Program, Shape]


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """What became of all cycles since loading: `replays` + `eager` is how many there were.

    `captures` succeeded and took `capture_seconds`, with those that failed (`failures`);
    `evictions` are captures given up for newer ones. These count runs of the encoder and prefills
    too, of which `prepared_replays` were replayed and `prepared_eager` ran as they are, though they
    could have been captured.
    """

    replays: int = 0
    eager: int = 0
    captures: int = 0
    capture_seconds: float = 0.0
    evictions: int = 0
    failures: int = 0
    prepared_replays: int = 0
    prepared_eager: int = 0

    def with_prepared(self, other: "GraphCounts") -> "GraphCounts":
        """Return these counts of cycles with those of what comes before them."""
        return GraphCounts(
            self.replays,
            self.eager,
            self.captures + other.captures,
            self.capture_seconds + other.capture_seconds,
            self.evictions + other.evictions,
            self.failures + other.failures,
            self.prepared_replays + other.replays,
            self.prepared_eager + other.eager,
        )


# torch captures one graph at a time in a process: it waits for the whole device first, which spoils
# what another engine captures there just then.
_CAPTURING = threading.Lock()


class CudaCapture:
    """Records work as a CUDA graph and returns what replays it; the work does not run meanwhile.

    Graphs never run at the same time, so they share the memory between their inputs and outputs.
    The stream belongs to this device: torch's own belongs to the device that captured first. Other
    threads may keep using CUDA while this one captures.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        # Once all graphs of a pool are gone, torch refuses every further capture with it for as
        # long as anything else lies there, such as a workspace of cuBLAS. So one is held.
        self._held: torch.cuda.CUDAGraph | None = None

    def __call__(self, work: Work) -> Work:
        """Capture on the current device, which must be the one this was made for."""
        with _CAPTURING:
            graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
            try:
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ):
                    work()
            except BaseException:
                self._leave(current)
                raise
            self._held = graph
        replay: Work = graph.replay
        return replay

    def _leave(self, stream: torch.cuda.Stream) -> None:
        """Undo what torch leaves behind when a capture fails.

        It stays on the stream of the capture. Its allocator, before torch 2.13, goes on as if that
        still captured: it refuses all later captures with this pool, and never frees what several
        streams have used, as pictures that were cut on the side.
        """
        torch.cuda.set_stream(stream)
        with suppress(RuntimeError):  # it had ended
            torch._C._cuda_endAllocateToPool(self._device.index, self._pool)
            # Its allocator of pinned memory has no such way out, but a pool of another name is
            # free.
            self._held = None
        # The failed graph was perhaps the only one of its pool.
        if self._held is None:
            self._pool = torch.cuda.graph_pool_handle()


def ladder_of_rows(most: Shape) -> tuple[Shape, ...]:
    """Return the shapes of graphs whose kernels read nothing but what the rows in them have."""
    return tuple(most._replace(rows=rows) for rows in _row_counts(most.rows))


def ladder(most: Shape) -> tuple[Shape, ...]:
    """Return the shapes that graphs are made of, from the cheapest to one that covers all.

    Plain operations read what their shapes say, so a graph of R rows reads all of the lowest
    pages it was made for, whether in use or not. So there are two for each R: one of R pages with
    a lane each, for rows that have pictures of their own, and one of R/4 pages with all lanes, for
    rows that share them. Each page is read once for all of its lanes. Rows that have more pages or
    longer answers than that use a rung of more rows, and at last one of everything.
    """
    rungs = []
    for rows in _row_counts(most.rows):
        row_blocks = min(max(LEAST_ROW_BLOCKS, TABLE_CELLS // rows), most.row_blocks)
        blocks = max(BLOCKS_PER_ROW * rows + MORE_BLOCKS, row_blocks) + 1
        rungs.append(Shape(rows, rows, 1, blocks, row_blocks))
        if rows > 1:
            rungs.append(Shape(rows, -(-rows // ROWS_PER_PICTURE), rows, blocks, row_blocks))
    usual = rungs[-1]
    rungs.append(most._replace(pages=-(-most.rows // 2), blocks=usual.blocks))
    rungs.append(most._replace(blocks=4 * usual.blocks))
    rungs.append(most)
    within = {Shape(*map(min, rung, most)): None for rung in rungs}
    return tuple(sorted(within, key=_cost))


class GraphedCycles:
    """Runs cycles, from the second time of a program and a rung on as captured.

    The first run is eager, and is captured right after it by the same thread: so the libraries
    have loaded their kernels and made this thread's handles, which is not allowed while capturing.
    A capture that fails costs this one graph: its cycles stay eager, the others keep theirs.
    """

    def __init__(
        self,
        run: Run,
        most: Shape,
        capture: Capture | None,
        rungs: Callable[[Shape], tuple[Shape, ...]] = ladder,
    ) -> None:
        """Without a `capture` every cycle is eager."""
        self._run, self._capture = run, capture
        self.rungs = rungs(most) if capture else ()
        self._captured: OrderedDict[Key, Work] = OrderedDict()
        self._refused: dict[Key, _FailedCapture] = {}
        self._said: set[type[RuntimeError]] = set()
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

    def program(self, wanted: Program) -> Program:
        """Return the program to run: what is captured serves several, at equal results."""
        if self._capture is None:
            return wanted
        return next(program for program in CAPTURED if program.serves(wanted))

    def rung(self, program: Program, least: Shape) -> Shape | None:
        """Return the rung for what is in use, counted; None where the cycle is better run as it is.

        That is where nothing is captured, and where this graph was refused.
        """
        if self._capture is None:
            return None
        rung = next(rung for rung in self.rungs if rung.covers(least))
        refusal = self._refused.get((program, rung))
        if refusal is None or refusal.has_waited():
            return rung
        return None

    def __call__(self, program: Program, shape: Shape) -> None:
        """Run one cycle of any shape; one of a rung is captured after it."""
        key = (program, shape)
        replay = self._captured.get(key)
        if replay is not None:
            self._captured.move_to_end(key)
            replay()
            self._replays += 1
            return
        self._run(program, shape)
        self._eager += 1
        if self._capture is not None and shape in self.rungs:
            refusal = self._refused.get(key)
            # What lies in use may have the shape of a rung by chance, also of one that was refused.
            if refusal is None or refusal.is_due:
                self._keep(key, self._capture)

    def warm_up(self, program: Program, shape: Shape) -> None:
        """Run and capture a cycle in which there are no rows.

        Where the device has too little memory for it, that costs this graph, and not the loading:
        it may never be as much that is asked at once.
        """
        try:
            self(program, shape)
        except torch.OutOfMemoryError as error:
            self._refuse((program, shape), error)

    def _keep(self, key: Key, capture: Capture) -> None:
        started = perf_counter()
        try:
            self._captured[key] = capture(lambda: self._run(*key))
        # torch raises RuntimeError for whatever cannot be captured, and for a lack of memory.
        except RuntimeError as error:
            self._refuse(key, error)
            return
        finally:
            self._capture_seconds += perf_counter() - started
        self._captures += 1
        self._refused.pop(key, None)
        if len(self._captured) > MAX_GRAPHS:
            self._captured.popitem(last=False)
            self._evictions += 1

    def _refuse(self, key: Key, error: RuntimeError) -> None:
        self._failures += 1
        self._refused.setdefault(key, _FailedCapture()).again()
        self._say(key, error)

    def _say(self, key: Key, error: RuntimeError) -> None:
        """Say a kind of failure when it is first met: what refuses one graph may refuse all."""
        if type(error) in self._said:
            return
        self._said.add(type(error))
        _log.warning(
            "capturing a CUDA graph of %d rows failed, so its cycles run without one; further "
            "failures of this kind are only counted. The reason: %s: %s",
            key[1].rows, type(error).__name__, error,
        )  # fmt: skip


@dataclass(slots=True)
class _FailedCapture:
    """How often a capture failed, and how many cycles it has been left alone since."""

    tries: int = 0
    cycles: int = 0

    def again(self) -> None:
        """Count a failure."""
        self.tries, self.cycles = self.tries + 1, 0

    def has_waited(self) -> bool:
        """Count a cycle, and return whether it is time to try again."""
        self.cycles += 1
        return self.is_due

    @property
    def is_due(self) -> bool:
        """Whether it is time to try again."""
        return self.tries < MAX_TRIES and self.cycles > RETRY_AFTER


# Graphs of pieces that come in many sizes are kept up to so many, and each is made when its size is
# met for the second time: one that comes only once would cost more than it saves.
MAX_KEYED_GRAPHS = 64
MEETINGS = 2
MANY_KEYS = 4096  # when so many sizes were met, counting starts over

K = TypeVar("K", bound=Hashable)


class KeyedGraphs(Generic[K]):
    """Runs work of many sizes, each captured right after its second run and then replayed.

    The work reads and writes fixed addresses, and depends on nothing but its key and what lies
    there. A capture that fails costs this one graph: the work of its key goes on as it is.
    """

    def __init__(self, run: Callable[[K], None], capture: Capture, name: str) -> None:
        """`name` is what the work is called where a failure is told."""
        self._run, self._capture, self._name = run, capture, name
        self._captured: OrderedDict[K, Work] = OrderedDict()
        self._met: Counter[K] = Counter()
        self._refused: dict[K, _FailedCapture] = {}
        self._said: set[type[RuntimeError]] = set()
        self._counts = GraphCounts()

    def counts(self) -> GraphCounts:
        """Return what became of the runs so far."""
        return self._counts

    def __call__(self, key: K) -> None:
        """Do the work of a key once."""
        replay = self._captured.get(key)
        if replay is not None:
            self._captured.move_to_end(key)
            replay()
            self._count(replays=1)
            return
        self._run(key)
        self._count(eager=1)
        refusal = self._refused.get(key)
        if refusal is not None:
            if refusal.has_waited():
                self._keep(key)
            return
        if len(self._met) > MANY_KEYS:
            self._met.clear()
        self._met[key] += 1
        if self._met[key] >= MEETINGS:
            self._keep(key)

    def warm_up(self, key: K) -> None:
        """Do the work of a key and capture it; a lack of memory costs this graph alone."""
        try:
            self._run(key)
        except torch.OutOfMemoryError as error:
            self._refuse(key, error)
            return
        self._keep(key)

    def _keep(self, key: K) -> None:
        started = perf_counter()
        try:
            self._captured[key] = self._capture(lambda: self._run(key))
        # torch raises RuntimeError for whatever cannot be captured, and for a lack of memory.
        except RuntimeError as error:
            self._refuse(key, error)
            return
        finally:
            self._count(capture_seconds=perf_counter() - started)
        self._refused.pop(key, None)
        evicted = len(self._captured) > MAX_KEYED_GRAPHS
        if evicted:
            gone, _ = self._captured.popitem(last=False)
            self._met.pop(gone, None)
        self._count(captures=1, evictions=int(evicted))

    def _refuse(self, key: K, error: RuntimeError) -> None:
        self._count(failures=1)
        self._refused.setdefault(key, _FailedCapture()).again()
        if type(error) in self._said:
            return
        self._said.add(type(error))
        _log.warning(
            "capturing %s as a CUDA graph failed (%s), so it runs without one; further failures of "
            "this kind are only counted. The reason: %s: %s",
            self._name, key, type(error).__name__, error,
        )  # fmt: skip

    def _count(self, **more: float) -> None:
        had = self._counts
        changed = {name: getattr(had, name) + count for name, count in more.items()}
        self._counts = replace(had, **changed)


def _row_counts(most: int) -> list[int]:
    counts, step = list(FIRST_ROWS), STEP_ROWS
    while counts[-1] < most:
        counts.append(counts[-1] + step)
        if counts[-1] == 4 * step:
            step *= 2
    return [*(rows for rows in counts if rows < most), most]


def _cost(shape: Shape) -> float:
    """Return what a rung takes, in readings of a page; all of it counts a little, to break ties."""
    cells = shape.pages * shape.lanes
    return (
        shape.pages
        + cells / CELLS_OF_A_PAGE
        + shape.blocks / BLOCKS_OF_A_PAGE
        + shape.rows / ROWS_OF_A_PAGE
    )
