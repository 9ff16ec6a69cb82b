"""Pictures reach the device beside its main work: pinned, in order, and never read too early.

A stand-in for the device keeps back what it was asked to do until someone waits for it, as a GPU
may, and keeps a list of what was asked for.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.moondream import FailedResult, QueryRequest
from pipeline.moondream.batch.engine import CUT_MEANWHILE
from pipeline.moondream.batch.strands import RequestTicket
from pipeline.moondream.pictures.crops import Crops, as_writeable, make_crops
from pipeline.moondream.pictures.uploads import RING, CudaSideLane, Mark, PictureUploads
from tests.moondream.mixes import ENGINES, REQUESTS, assert_same, build, expected, run_mix
from tests.moondream.tiny import TINY, pictures

_T = TypeVar("_T")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the tiny network off the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class LateMark:
    """Does what was asked for when it is waited for, by the host or by other work."""

    def __init__(self, asked: list[str], late: Callable[[], None], for_host: bool) -> None:
        self._asked = asked
        self._late: Callable[[], None] | None = late
        self._for_host = for_host

    def wait(self) -> None:
        """Do it now."""
        self._asked.append("host waits")
        self._do()

    def precede(self, tensors: list[Tensor]) -> None:
        """Do it now, unless it is left for the host to wait for."""
        del tensors
        if not self._for_host:
            self._do()

    def _do(self) -> None:
        if self._late is not None:
            self._late()
            self._late = None


class LateLane:
    """Copies when the copy is waited for; crops are there when the cutting is waited for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.copies_wait_for_the_host = False

    def pinned(self, n_bytes: int) -> Tensor:
        """Return plain memory."""
        self.asked.append(f"pin {n_bytes}")
        return torch.zeros(n_bytes, dtype=torch.uint8)

    def copy(self, staged: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Mark]:
        """Copy later, what is in the pinned memory then."""
        self.asked.append("copy")
        there = torch.zeros(shape, dtype=torch.uint8)
        late = partial(self._copy, staged, there)
        return there, LateMark(self.asked, late, self.copies_wait_for_the_host)

    @staticmethod
    def _copy(staged: Tensor, there: Tensor) -> None:
        there.view(-1).copy_(staged)

    def compute(self, work: Callable[[], _T]) -> tuple[_T, Mark]:
        """Cut now, but show black crops until someone waits."""
        self.asked.append("cut")
        found = work()
        assert isinstance(found, Crops)
        true = found.pixels.clone()
        found.pixels.zero_()
        late = partial(self._copy, true.view(-1), found.pixels)
        return found, LateMark(self.asked, late, False)


def noise(count: int, height: int = 60, width: int = 80) -> list[np.ndarray[Any, Any]]:
    """Return different pictures that may only be read, as frames shared by tasks are."""
    drawn = np.random.default_rng(3)
    found = [drawn.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]
    for one in found:
        one.flags.writeable = False
    return found


def test_no_buffer_is_filled_again_before_its_copy() -> None:
    """More pictures than buffers, of growing and shrinking sizes: each arrives whole."""
    lane = LateLane()
    lane.copies_wait_for_the_host = True
    uploads = PictureUploads(lane)
    sizes = [(4, 5), (6, 7), (3, 3), (8, 8), (8, 8), (2, 9), (6, 7), (9, 9), (1, 1)]
    sent = [noise(1, *size)[0] for size in sizes]
    arrived = [uploads.send(picture) for picture in sent]
    waits = lane.asked.count("host waits")
    for _, copied in filter(None, uploads._ring):
        copied.wait()
    for picture, there in zip(sent, arrived, strict=True):
        assert np.array_equal(there.numpy(), picture)
    assert waits == len(sent) - RING


def test_buffers_are_used_again() -> None:
    """Pictures of one size need as many pinned buffers as there are in the ring, for ever."""
    lane = LateLane()
    uploads = PictureUploads(lane)
    for picture in noise(5 * RING):
        uploads.send(picture)
    assert sum(asked.startswith("pin") for asked in lane.asked) == RING


def test_read_only_frames_are_not_copied_on_a_cpu() -> None:
    """A picture is read where it lies, though it may not be written to; its crops are their own."""
    (frame,) = noise(1, 42, 42)
    seen: list[NDArray[np.uint8]] = []

    def send(pixels: NDArray[np.uint8]) -> Tensor:
        seen.append(pixels)
        return torch.from_numpy(as_writeable(pixels))

    crops = make_crops(frame, TINY.vision, send=send)
    assert seen[0] is frame
    assert np.shares_memory(as_writeable(frame), frame)
    assert not frame.flags.writeable
    assert np.array_equal(crops.pixels[0].numpy(), frame)
    assert not np.shares_memory(crops.pixels.numpy(), frame)


def test_pictures_are_cut_while_the_batch_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the launch of a cycle and the wait for its results, a few at a time."""
    lane = LateLane()
    engine = build(max_batch=12, per_prefill=2 * CUT_MEANWHILE, side_lane=lane)
    buffers, cycles = engine._runner._buffers, engine._runner._cycles
    read_back, run = buffers.read_back, type(cycles).__call__
    coming = noise(2 * CUT_MEANWHILE, 42, 42)
    tickets: list[RequestTicket] = []

    def noted_run(self: Any, *args: Any) -> None:
        lane.asked.append("launch")
        run(self, *args)
        while coming:  # they arrive while the device is busy
            tickets.extend(engine.submit(coming.pop(), [REQUESTS[0]]))

    def noted_read(*args: Any) -> Any:
        lane.asked.append("read")
        return read_back(*args)

    monkeypatch.setattr(type(cycles), "__call__", noted_run)
    monkeypatch.setattr(buffers, "read_back", noted_read)
    endless = QueryRequest("go on", max_tokens=99, temperature=50.0, top_p=1.0, seed=0)
    (text,) = engine.submit(None, [endless])
    for _ in range(2):
        engine.step()
    words = [asked for asked in lane.asked if asked in ("launch", "read", "cut")]
    assert words == ["launch", *["cut"] * CUT_MEANWHILE, "read"]
    engine.run([*tickets, text])


@pytest.mark.parametrize("seed", range(4))
def test_random_mixes_through_the_side_lane(seed: int) -> None:
    """Crops are never read before they are there, whatever is cancelled or found encoded."""
    rng = random.Random(90 + seed)
    lane = LateLane()
    engine = build(*ENGINES[seed], side_lane=lane, keep_pictures=seed % 2 == 0)
    for _ in range(6):
        run_mix(engine, rng)
    assert lane.asked.count("cut") >= 3


def test_a_picture_without_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its pinned memory is refused, its requests say so, and all others are answered."""
    lane = LateLane()
    pinned = lane.pinned

    def short_of_memory(n_bytes: int) -> Tensor:
        if n_bytes > 10_000:
            raise RuntimeError("CUDA error: out of memory")
        return pinned(n_bytes)

    monkeypatch.setattr(lane, "pinned", short_of_memory)
    engine = build(side_lane=lane)
    large, small = pictures()[1], pictures()[0]
    assert large.size > 10_000 > small.size
    bad, good = (engine.submit(one, [REQUESTS[0]])[0] for one in (large, small))
    engine.run([bad, good])
    assert isinstance(bad.result, FailedResult)
    assert "cutting the picture failed: RuntimeError: CUDA error" in bad.result.reason
    assert_same(good.result, expected((0, REQUESTS[0])))


def test_memory_that_lacks_only_while_the_device_works_fails_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A picture that cannot be cut ahead of time is cut in its turn."""
    lane = LateLane()
    engine = build(side_lane=lane)
    endless = QueryRequest("go on", max_tokens=40, temperature=50.0, top_p=1.0, seed=0)
    (text,) = engine.submit(None, [endless])
    engine.step()
    pinned = lane.pinned
    tickets: list[RequestTicket] = []
    refused: list[int] = []
    cut = type(engine)._cut_next_pictures

    def arriving(self: Any, most: int | None = None) -> None:
        if most is not None and not tickets:
            tickets.extend(engine.submit(pictures()[1], [REQUESTS[0]]))

            def short_of_memory(n_bytes: int) -> Tensor:
                refused.append(n_bytes)
                raise RuntimeError("CUDA error: out of memory")

            monkeypatch.setattr(lane, "pinned", short_of_memory)
        cut(self, most)
        monkeypatch.setattr(lane, "pinned", pinned)

    monkeypatch.setattr(type(engine), "_cut_next_pictures", arriving)
    engine.step()
    assert refused
    engine.run([*tickets, text])
    assert_same(tickets[0].result, expected((1, REQUESTS[0])))


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # of whatever torch such a machine has
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_crops_cut_on_the_side_are_those_of_a_cpu() -> None:
    """Many pictures in flight at once, of many sizes, while the device is busy."""
    device = torch.device("cuda", torch.cuda.current_device())
    uploads = PictureUploads(CudaSideLane(device))
    sent = [picture for size in ((60, 80), (500, 700), (42, 42)) for picture in noise(8, *size)]
    random.Random(0).shuffle(sent)
    busy = torch.randn(4096, 4096, device=device)
    cut = []
    for picture in sent:
        busy = (busy @ busy).clamp(-1, 1)
        work = partial(make_crops, picture, TINY.vision, None, device, "pillow", uploads.send)
        cut.append(uploads.cut(work))
    for picture, (crops, mark) in zip(sent, cut, strict=True):
        mark.precede([crops.pixels])
        assert torch.equal(crops.pixels.cpu(), make_crops(picture, TINY.vision).pixels)
