"""Captured cycles: which shapes are captured, when, and what if that fails."""

import logging

import pytest

from pipeline.moondream.cycle import Program
from pipeline.moondream.graphs import MAX_GRAPHS, CapturedCycles, GraphCounts, Work
from pipeline.moondream.rows import Shape

DETECT = Program(detect=True, point=False, text=False, reason=False, random=False)
LIMITS = Shape(4096, 64, 8, 2113, 32)


class Device:
    """Runs cycles and captures them, and keeps a list of what it did."""

    def __init__(self, refuses: bool = False) -> None:
        self.done: list[str] = []
        self._refuses = refuses
        self._is_capturing = False

    def run(self, program: Program, shape: Shape) -> None:
        """Run a cycle, or only record it while capturing."""
        if not self._is_capturing:
            self.done.append(f"run {shape.rows}")

    def capture(self, work: Work) -> Work:
        """Record a cycle."""
        if self._refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        self._is_capturing = True
        work()
        self._is_capturing = False
        number = self.done.count("capture")
        self.done.append("capture")
        return lambda: self.done.append(f"replay {number}")


def shape_of(rows: int) -> Shape:
    """Return the shape of so many rows."""
    return Shape(rows, 1, 1, 2, 1)


def test_a_shape_is_captured_after_its_second_run_and_replayed_from_then_on() -> None:
    """Every call runs the cycle exactly once, and captures run nothing themselves."""
    device = Device()
    cycles = CapturedCycles(device.run, LIMITS, device.capture)
    for _ in range(4):
        cycles(DETECT, shape_of(2))
    cycles(DETECT, shape_of(4))
    cycles(DETECT, shape_of(2))
    assert device.done == [
        "run 2", "run 2", "capture", "replay 0", "replay 0", "run 4", "replay 0"
    ]  # fmt: skip
    counts = cycles.counts()
    assert counts == GraphCounts(3, 3, 1, counts.capture_seconds, 0, 0)
    assert counts.capture_seconds > 0


def test_the_capture_used_longest_ago_goes_first() -> None:
    """Beyond the most that are kept, the oldest shape starts over and the others stay."""
    device = Device()
    cycles = CapturedCycles(device.run, LIMITS, device.capture)
    for rows in range(1, MAX_GRAPHS + 2):
        cycles(DETECT, shape_of(rows))
        cycles(DETECT, shape_of(rows))
        cycles(DETECT, shape_of(2 if rows > 1 else 1))
    device.done.clear()
    cycles(DETECT, shape_of(2))
    cycles(DETECT, shape_of(1))
    assert device.done == ["replay 1", "run 1", "capture"]
    assert cycles.counts().evictions == 2


def test_where_capturing_fails_cycles_go_on_without(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is said once, and every cycle still runs once."""
    device = Device(refuses=True)
    cycles = CapturedCycles(device.run, LIMITS, device.capture)
    with caplog.at_level(logging.WARNING):
        for rows in (1, 1, 1, 2, 2):
            cycles(DETECT, shape_of(rows))
    assert device.done == ["run 1"] * 3 + ["run 2"] * 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "run without graphs" in caplog.text
    counts = cycles.counts()
    assert (counts.failures, counts.captures, counts.replays, counts.eager) == (1, 0, 0, 5)


@pytest.mark.parametrize(
    ("shape", "rounded"),
    [
        ((1, 1, 1, 2, 1), (1, 1, 1, 2, 1)),
        ((3, 3, 1, 5, 3), (4, 4, 1, 8, 4)),  # powers of two while small
        ((33, 17, 5, 70, 9), (40, 24, 8, 80, 16)),  # multiples above
        ((63, 64, 8, 1300, 30), (64, 64, 8, 1312, 32)),
        ((9, 0, 0, 20, 1), (16, 0, 0, 32, 1)),  # questions without pictures
    ],
)
def test_graph_shapes_round_up(shape: tuple[int, ...], rounded: tuple[int, ...]) -> None:
    """Few shapes serve all batches, each at least as large as what it serves."""
    device = Device()
    cycles = CapturedCycles(device.run, Shape(64, 64, 8, 2113, 32), device.capture)
    assert cycles.round_up(Shape(*shape)) == Shape(*rounded)
