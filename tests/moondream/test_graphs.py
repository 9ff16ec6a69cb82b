"""Captured cycles: which are captured, when, and what if that fails."""

import gc
import logging
import random
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product

import pytest
import torch

from pipeline.moondream.device import graphs
from pipeline.moondream.device.cycle import PREPARED, TEXT, Program
from pipeline.moondream.device.graphs import (
    MAX_TRIES,
    RETRY_AFTER,
    CudaCapture,
    GraphCounts,
    GraphedCycles,
    KeyedGraphs,
    Work,
    ladder,
)
from pipeline.moondream.device.rows import Shape

DETECT = Program(detect=True, point=False, text=False, reason=False, random=False)
# A batch of 64 rows of the 2B model.
MOST = Shape(64, 64, 8, 1345, 32)


class Device:
    """Runs cycles and captures them, and keeps a list of what it did."""

    def __init__(self, refusals: Mapping[int, list[RuntimeError]] | None = None) -> None:
        """`refusals` are errors to raise, by rows, one for each capture."""
        self.done: list[str] = []
        self._refusals = refusals or {}
        self._is_capturing = False
        self._last_rows = 0

    def run(self, program: Program, shape: Shape) -> None:
        """Run a cycle, or only record it while capturing."""
        self._last_rows = shape.rows
        if not self._is_capturing:
            self.done.append(f"run {shape.rows}")

    def capture(self, work: Work) -> Work:
        """Record a cycle."""
        self._is_capturing = True
        try:
            work()
        finally:
            self._is_capturing = False
        if waiting := self._refusals.get(self._last_rows):
            raise waiting.pop(0)
        number = self.done.count("capture")
        self.done.append("capture")
        return lambda: self.done.append(f"replay {number}")


def own(rows: int) -> Shape:
    """Return what so many rows use that have a picture and a block each."""
    return Shape(rows, rows, 1, rows + 1, 1)


def cycle(cycles: GraphedCycles, rows: int, program: Program = TEXT) -> None:
    """Run a cycle the way the engine does."""
    program, least = cycles.program(program), own(rows)
    cycles(program, cycles.rung(program, least) or least)


def test_a_rung_is_captured_after_its_first_run_and_replayed_from_then_on() -> None:
    """Every call runs the cycle exactly once, and captures run nothing themselves."""
    device = Device()
    cycles = GraphedCycles(device.run, MOST, device.capture)
    for rows in (2, 2, 2, 4, 3, 2):
        cycle(cycles, rows)
    assert device.done == [
        "run 2", "capture", "replay 0", "replay 0", "run 4", "capture", "replay 1", "replay 0"
    ]  # fmt: skip
    counts = cycles.counts()
    assert counts == GraphCounts(4, 2, 2, counts.capture_seconds, 0, 0)
    assert counts.capture_seconds > 0


def test_without_graphs_everything_runs_as_it_is() -> None:
    """No shape is rounded, no program widened, and every cycle counts as eager."""
    device = Device()
    cycles = GraphedCycles(device.run, MOST, None)
    for _ in range(3):
        cycle(cycles, 3, DETECT)
    assert cycles.program(DETECT) == DETECT
    assert device.done == ["run 3"] * 3
    assert cycles.counts() == GraphCounts(eager=3)


def test_the_capture_used_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most that are kept, the oldest starts over and the others stay."""
    monkeypatch.setattr(graphs, "MAX_GRAPHS", 2)
    device = Device()
    cycles = GraphedCycles(device.run, MOST, device.capture)
    for rows in (1, 2, 1, 4, 1, 2):
        cycle(cycles, rows)
    assert device.done == [
        "run 1", "capture", "run 2", "capture", "replay 0", "run 4", "capture", "replay 0",
        "run 2", "capture",
    ]  # fmt: skip
    assert cycles.counts().evictions == 2


def test_a_failed_capture_costs_one_graph(caplog: pytest.LogCaptureFixture) -> None:
    """Its cycles run as they are, the others keep theirs; each kind of failure is said once."""
    full: list[RuntimeError] = [torch.OutOfMemoryError("CUDA out of memory") for _ in range(2)]
    device = Device({2: full, 4: [RuntimeError("not permitted when capturing")]})
    cycles = GraphedCycles(device.run, MOST, device.capture)
    with caplog.at_level(logging.WARNING):
        for rows in (1, 2, 2, 4, 4, 1):
            cycle(cycles, rows)
        cycle(cycles, 2, DETECT)
    assert device.done == [
        "run 1", "capture", "run 2", "run 2", "run 4", "run 4", "replay 0", "run 2"
    ]  # fmt: skip
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "of 2 rows failed" in caplog.messages[0]
    assert "OutOfMemoryError: CUDA out of memory" in caplog.messages[0]
    assert "RuntimeError: not permitted" in caplog.messages[1]
    counts = cycles.counts()
    assert (counts.failures, counts.captures, counts.replays, counts.eager) == (3, 1, 1, 6)


def test_a_warm_up_that_is_too_large_costs_one_graph(caplog: pytest.LogCaptureFixture) -> None:
    """Loading goes on with the smaller ones; a cycle with rows says what it lacks."""
    device = Device()

    def run(program: Program, shape: Shape) -> None:
        if shape.rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        device.run(program, shape)

    cycles = GraphedCycles(run, MOST, device.capture)
    for rows in (4, 2):
        cycles.warm_up(TEXT, cycles.rung(TEXT, own(rows)) or own(rows))
    assert "of 4 rows failed" in caplog.text
    assert (cycles.counts().failures, cycles.counts().captures) == (1, 1)
    cycle(cycles, 2)
    assert device.done[-1] == "replay 0"
    with pytest.raises(torch.OutOfMemoryError):
        cycle(cycles, 4)


def test_a_failed_capture_is_tried_again_after_a_while() -> None:
    """When memory is free again the graph is made; one that always fails is let be at last."""
    device = Device({2: [RuntimeError("full")], 4: [RuntimeError("never")] * 99})
    cycles = GraphedCycles(device.run, MOST, device.capture)
    for _ in range(RETRY_AFTER + 2):
        cycle(cycles, 2)
    assert cycles.counts().captures == 1
    cycle(cycles, 2)
    assert device.done[-1] == "replay 0"
    for _ in range((MAX_TRIES + 2) * (RETRY_AFTER + 1)):
        cycle(cycles, 4)
    assert cycles.counts().failures == 1 + MAX_TRIES


def test_every_program_is_served_by_a_captured_one() -> None:
    """What is captured has all that rows ask for, and no more but where tokens are masked."""
    cycles = GraphedCycles(Device().run, MOST, Device().capture)
    for wanted in map(Program._make, product((False, True), repeat=7)):
        if not any(wanted[:3]) or (not wanted.text and any(wanted[3:])):
            continue  # an empty batch, or thinking that is no text
        served = cycles.program(wanted)
        assert served.serves(wanted)
        needs_more = wanted.likely or wanted.masked
        assert served.random == (wanted.random or needs_more)
        assert served.masked == needs_more
        assert served.likely == wanted.likely
        if not (wanted.detect or wanted.point):
            assert served.steps == wanted.steps
        if wanted.detect and not any(wanted[4:]):
            assert served in PREPARED


@pytest.mark.parametrize("seed", range(20))
def test_a_rung_covers_what_is_in_use(seed: int) -> None:
    """Whatever the engine's size and what is in use, there is a rung; and few of them in all."""
    rng = random.Random(seed)
    rows = rng.randint(1, 130)
    most = Shape(rows, rng.randint(1, rows), 8, rng.randint(34, 21 * rows + 34), 32)
    cycles = GraphedCycles(Device().run, most, Device().capture)
    assert len(cycles.rungs) * len(PREPARED) <= graphs.MAX_GRAPHS
    for _ in range(50):
        least = Shape(*(rng.randint(1, limit) for limit in most))
        rung = cycles.rung(TEXT, least)
        assert rung is not None
        assert rung.covers(least)
        assert most.covers(rung)


@pytest.mark.parametrize(
    ("least", "rung"),
    [
        ((1, 1, 1, 2, 1), (1, 1, 1, 33, 32)),
        ((1, 0, 0, 33, 32), (1, 1, 1, 33, 32)),  # a long answer, without a picture
        ((8, 2, 4, 9, 1), (8, 2, 8, 33, 32)),  # two pictures with four questions each
        ((30, 30, 1, 40, 2), (32, 32, 1, 73, 8)),  # a picture each
        ((32, 8, 4, 33, 1), (32, 8, 8, 73, 8)),
        ((32, 10, 4, 33, 1), (48, 12, 8, 105, 8)),  # more pages than four rows a picture have
        ((64, 30, 3, 65, 2), (64, 32, 8, 137, 32)),
        ((64, 60, 2, 500, 20), (64, 64, 8, 548, 32)),
        ((64, 64, 8, 1345, 32), MOST),
    ],
)
def test_rungs_of_the_large_model(least: tuple[int, ...], rung: tuple[int, ...]) -> None:
    """No more than R pages are read for R rows, and a fourth of it where rows share pictures."""
    cycles = GraphedCycles(Device().run, MOST, Device().capture)
    assert cycles.rung(TEXT, Shape(*least)) == Shape(*rung)
    assert all(one.pages <= one.rows for one in ladder(MOST))


def test_a_refused_rung_is_let_be_where_its_shape_is_met_by_chance() -> None:
    """What is in use may lie exactly as the rung says, and that is no reason to try again."""
    least = own(1)
    device = Device({1: [RuntimeError("never")] * 99})
    cycles = GraphedCycles(device.run, least, device.capture)
    assert cycles.rungs == (least,)
    for _ in range(20):
        cycle(cycles, 1)
    assert (cycles.counts().failures, cycles.counts().eager) == (1, 20)


class Sizes:
    """Work of many sizes, and a list of what was done."""

    def __init__(self, refusals: list[RuntimeError] | None = None) -> None:
        self.done: list[str] = []
        self._refusals = refusals or []
        self._is_capturing = False
        self._graphs = KeyedGraphs(self._run, self._capture, "some work")

    def _run(self, size: int) -> None:
        if not self._is_capturing:
            self.done.append(f"run {size}")

    def _capture(self, work: Work) -> Work:
        self._is_capturing = True
        work()
        self._is_capturing = False
        if self._refusals:
            raise self._refusals.pop(0)
        number = self.done.count("capture")
        self.done.append("capture")
        return lambda: self.done.append(f"replay {number}")

    def do(self, *sizes: int) -> GraphCounts:
        """Do the work of these sizes, one after the other."""
        for size in sizes:
            self._graphs(size)
        return self._graphs.counts()

    def warm_up(self, size: int) -> None:
        """Do it as while loading."""
        self._graphs.warm_up(size)


def test_work_of_a_size_is_captured_when_it_is_met_again() -> None:
    """One that comes once is never captured; what was warmed up is replayed at once."""
    work = Sizes()
    work.warm_up(9)
    counts = work.do(1, 2, 1, 9, 1)
    assert work.done == [
        "run 9", "capture", "run 1", "run 2", "run 1", "capture", "replay 0", "replay 1"
    ]  # fmt: skip
    assert (counts.eager, counts.captures, counts.replays, counts.failures) == (3, 2, 2, 0)


def test_work_that_cannot_be_captured_goes_on_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """It costs this size alone, is said once for each kind of failure, and tried again later."""
    work = Sizes([RuntimeError("no"), RuntimeError("again no"), torch.OutOfMemoryError("full")])
    with caplog.at_level(logging.WARNING):
        work.do(1, 1, 2, 2, 3, 3, 4, 4, 4)
    assert [one for one in work.done if not one.startswith("run")] == ["capture", "replay 0"]
    assert len(caplog.messages) == 2
    assert "capturing some work as a CUDA graph failed (1)" in caplog.messages[0]
    assert "OutOfMemoryError: full" in caplog.messages[1]
    counts = work.do(*[1] * (RETRY_AFTER + 2))
    assert (counts.failures, counts.captures) == (3, 2)
    assert work.done[-1] == "replay 1"


def test_the_size_met_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most that are kept it starts over."""
    monkeypatch.setattr(graphs, "MAX_KEYED_GRAPHS", 2)
    work = Sizes()
    counts = work.do(1, 1, 2, 2, 1, 3, 3, 1, 2, 2, 2)
    assert counts.evictions == 2
    assert [one for one in work.done if not one.startswith("run")] == [
        "capture", "capture", "replay 0", "capture", "replay 0", "capture", "replay 3"
    ]  # fmt: skip


class StandInTorch:
    """What `CudaCapture` asks of torch.cuda, as torch 2.11 does it.

    A capture that fails leaves its stream current and its pool in use, and whoever begins another
    with this pool is refused; a capture while another is made spoils both. A pool whose graphs are
    all gone is refused too, as long as something lies there, as it always does here.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = "main"
        self.pools = 0
        self.recording: list[int] = []
        self.known: set[int] = set()
        self.living: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        for name, stand_in in (
            ("Stream", lambda _: "capture"),
            ("graph_pool_handle", self.new_pool),
            ("CUDAGraph", type("Graph", (), {"replay": lambda _: None})),
            ("current_stream", lambda _: self.stream),
            ("set_stream", lambda stream: setattr(self, "stream", stream)),
            ("graph", self.graph),
        ):
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self.end, raising=False)

    def new_pool(self) -> int:
        """Return a pool that was not there before."""
        self.pools += 1
        return self.pools

    def end(self, _: int, pool: int) -> None:
        """Stop recording."""
        if pool not in self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording.remove(pool)

    @contextmanager
    def graph(self, graph: object, *, pool: int, stream: str, **__: str) -> Iterator[None]:
        """Capture; what raises inside is not undone."""
        if pool in self.recording:
            raise RuntimeError("beginAllocateToPool: already recording to mempool_id")
        assert not self.recording, "two captures at a time"
        if pool in self.known and pool not in self.living.values():
            raise RuntimeError("it->second->use_count > 0 INTERNAL ASSERT FAILED")
        self.known.add(pool)
        self.living[graph] = pool
        before, self.stream = self.stream, stream
        self.recording.append(pool)
        yield
        self.recording.remove(pool)
        self.stream = before


def test_what_a_failed_capture_leaves_behind_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work goes on where it did, memory is freed again, and the next capture succeeds."""
    cuda = StandInTorch(monkeypatch)
    capture = CudaCapture(torch.device("cuda", 0))

    def refused() -> None:
        assert cuda.stream == "capture"
        raise RuntimeError("not permitted when capturing")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="not permitted"):
            capture(refused)
        assert (cuda.stream, cuda.recording) == ("main", [])
    assert callable(capture(lambda: None))
    assert cuda.stream == "main"


@pytest.mark.slow
def test_graphs_may_all_go_before_the_next_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where one engine is dropped and the next captures in the same way."""
    StandInTorch(monkeypatch)
    capture = CudaCapture(torch.device("cuda", 0))

    def refused() -> None:
        raise RuntimeError("not permitted when capturing")

    for _ in range(2):
        capture(lambda: None)
        gc.collect()
        assert callable(capture(lambda: None))
        with pytest.raises(RuntimeError, match="not permitted"):
            capture(refused)
        gc.collect()


@pytest.mark.parametrize("has_ended", [True, False], ids=["torch 2.13", "torch 2.11"])
@pytest.mark.slow
def test_a_first_capture_that_fails_spoils_no_pool(
    has_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pool has no graph then, and would be refused for ever."""
    cuda = StandInTorch(monkeypatch)
    capture = CudaCapture(torch.device("cuda", 0))

    def refused() -> None:
        if has_ended:
            cuda.recording.clear()
        raise RuntimeError("not permitted when capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        capture(refused)
    gc.collect()
    assert callable(capture(lambda: None))


def test_engines_of_one_process_capture_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that wants to capture waits until the other has done."""
    cuda = StandInTorch(monkeypatch)
    one, other = (CudaCapture(torch.device("cuda", 0)) for _ in range(2))
    begun = threading.Event()
    found: list[object] = []

    def capture_too() -> None:
        begun.set()
        try:
            found.append(other(lambda: None))
        except AssertionError as error:
            found.append(error)

    thread = threading.Thread(target=capture_too)

    def work() -> None:
        thread.start()
        assert begun.wait(10)
        thread.join(0.05)  # it would be through by then, were it let
        assert thread.is_alive()

    one(work)
    thread.join(10)
    assert len(found) == 1
    assert callable(found[0])
    assert cuda.recording == []


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # of whatever torch such a machine has
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_refused_capture_spoils_no_later_one() -> None:
    """On a device: what waits for the host cannot be captured, and what comes after it can."""
    device = torch.device("cuda", torch.cuda.current_device())
    capture = CudaCapture(device)
    numbers = torch.zeros(4, device=device)

    def add() -> None:
        numbers.add_(1)

    def add_and_wait() -> None:
        numbers.add_(1)
        numbers.sum().item()

    add()
    current = torch.cuda.current_stream()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            capture(add_and_wait)
        assert torch.cuda.current_stream() == current
    replay = capture(add)
    torch.cuda.empty_cache()  # which refuses while its allocator believes in a capture
    before = numbers.tolist()
    replay()
    replay()
    assert numbers.tolist() == [number + 2 for number in before]
