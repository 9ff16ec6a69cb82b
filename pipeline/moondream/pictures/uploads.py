"""Pictures on their way to the device, beside the work of the running batch.

A picture is copied once into pinned memory, goes from there to the device while it computes, and is
cut into crops there on a stream of its own; whoever reads the crops makes the device wait, not the
host. Knows nothing of what is done to a picture.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Pinned buffers that pictures take turns in. The host waits for a buffer only while more pictures
# than this are on their way at once.
RING = 4

_T = TypeVar("_T")


class Mark(Protocol):
    """A point in the work of the device that was asked for so far."""

    def wait(self) -> None:
        """Let the host wait until the device has come to it."""
        ...

    def precede(self, tensors: list[Tensor]) -> None:
        """Let what the device is asked for from now on, which uses the tensors, wait for it."""
        ...


class SideLane(Protocol):
    """Where a device copies and computes beside its main work."""

    def pinned(self, n_bytes: int) -> Tensor:
        """Return bytes of the host's memory that the device can read by itself."""
        ...

    def copy(self, staged: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Mark]:
        """Start copying pinned bytes to a new tensor; the mark is behind the copy."""
        ...

    def compute(self, work: Callable[[], _T]) -> tuple[_T, Mark]:
        """Ask for work beside the main one; the mark is behind it."""
        ...


class CudaMark:
    """An event of a stream."""

    def __init__(self, stream: Any) -> None:
        self._event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record(stream)

    def wait(self) -> None:
        """Let the host wait for the event."""
        self._event.synchronize()

    def precede(self, tensors: list[Tensor]) -> None:
        """Let the current stream wait for the event, and keep the tensors' memory until it is done.

        They were made for another stream, which could else have their memory again too early.
        """
        stream = torch.cuda.current_stream()
        stream.wait_event(self._event)
        for tensor in tensors:
            tensor.record_stream(stream)


class CudaSideLane:
    """Two streams: copies do not queue behind the cutting of the pictures before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copying: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._cutting: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def pinned(self, n_bytes: int) -> Tensor:
        """Return pinned memory."""
        return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)

    def copy(self, staged: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Mark]:
        """Copy on the first stream."""
        with torch.cuda.stream(self._copying):
            there = torch.empty(shape, dtype=torch.uint8, device=self._device)
            there.view(-1).copy_(staged, non_blocking=True)
        return there, CudaMark(self._copying)

    def compute(self, work: Callable[[], _T]) -> tuple[_T, Mark]:
        """Compute on the second."""
        with torch.cuda.stream(self._cutting):
            found = work()
        return found, CudaMark(self._cutting)


class PictureUploads:
    """Sends pictures through a ring of pinned buffers."""

    def __init__(self, lane: SideLane) -> None:
        self._lane = lane
        self._ring: list[tuple[Tensor, Mark] | None] = [None] * RING
        self._next = 0

    def cut(self, work: Callable[[], _T]) -> tuple[_T, Mark]:
        """Do what cuts a picture beside the main work; inside, `send` gets it to the device."""
        return self._lane.compute(work)

    def send(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return contiguous pixels on the device, for the work this is called in.

        The array may be read-only, and may change as soon as this returns.
        """
        turn = self._ring[self._next]
        buffer = None
        if turn is not None:
            buffer, copied = turn
            copied.wait()
        if buffer is None or len(buffer) < rgb.size:
            buffer = self._lane.pinned(rgb.size)
        staged = buffer[: rgb.size]
        # Not by torch: waking its threads for a copy takes longer than the copy.
        staged.numpy()[:] = rgb.reshape(-1)
        there, copied = self._lane.copy(staged, rgb.shape)
        self._ring[self._next] = buffer, copied
        self._next = (self._next + 1) % RING
        copied.precede([there])
        return there
