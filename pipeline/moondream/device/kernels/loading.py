"""Which kernels of our own a network uses: found out once, when it is loaded.

A kernel is used where the device and the precision suit it, where it compiles, and where its
results on random numbers agree with the plain operations. One that fails any of this is left out
by itself, and the log says why.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from pipeline.moondream.device.cache import KvCache
from pipeline.moondream.device.rows import RowBuffers, Shape
from pipeline.moondream.dims import Dims, TextDims
from pipeline.moondream.errors import MoondreamError
from pipeline.moondream.network.layers import AddNorm
from pipeline.moondream.network.text import Mix, TextModel
from pipeline.moondream.pictures.resize import ResizeAxis

_log = logging.getLogger(__name__)

# Triton compiles for these and newer ones (Ampere); before them there is no bfloat16 either.
LEAST_CAPABILITY = (8, 0)
LEAST_WIDTH = 16

KernelChoice = Literal["auto"] | bool


class AttendKernel(Protocol):
    """Makes what attends for one step."""

    def __call__(
        self,
        cache: KvCache,
        buffers: RowBuffers,
        shape: Shape,
        offset: int,
        dims: TextDims,
        turns: tuple[Tensor, Tensor],
        /,
    ) -> Mix:
        """Return the attention of the step `offset` positions after what was uploaded."""
        ...


class HeadTurn(Protocol):
    """Turns queries and keys by their positions where they lie, and keeps keys and values."""

    def queries(self, heads_THD: Tensor, position_T: Tensor, /) -> None:
        """Turn queries of some tokens and keep nothing."""
        ...

    def __call__(self, layer: int, heads_TED: Tensor, n_queries: int, /) -> None:
        """Turn queries and keys of all tokens, and keep keys and values."""
        ...


class TurnKernel(Protocol):
    """Makes what turns and keeps during one pass."""

    def __call__(
        self, cache: KvCache, turns: tuple[Tensor, Tensor], position_T: Tensor, place_T: Tensor, /
    ) -> HeadTurn:
        """Return it for tokens at these positions, whose first key heads go to these places.

        Places in the pages of a layer are counted from 0 on, those in its blocks from -1 down.
        """
        ...


@dataclass(frozen=True, slots=True)
class StepKernels:
    """The kernels of decoding, prefills and cutting, None where plain operations do their part.

    `joined`: the kernel of `attend` takes the inner values of the wide layer too, so that a block
    has two products instead of four; networks with adapters keep four all the same. `refused` says
    why a kernel, or all of them ("all"), are not used.
    """

    attend: AttendKernel | None = None
    add_norm: AddNorm | None = None
    joined: Literal[True] | None = None
    turn: TurnKernel | None = None
    resize: ResizeAxis | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_use(self) -> tuple[str, ...]:
        """The names of the kernels that are used."""
        return tuple(name for name in KERNELS if getattr(self, name) is not None)


# Where each is defined, in modules that import Triton; None for what is a manner of another.
KERNELS: Mapping[str, tuple[str, str] | None] = {
    "attend": ("attend", "FusedAttend"),
    "add_norm": ("add_norm", "add_norm"),
    "joined": None,
    "turn": ("turn", "FusedTurn"),
    "resize": ("resize", "resize_axis"),
}
PLAIN = StepKernels()


def load_kernels(
    dims: Dims, device: torch.device, dtype: torch.dtype, wanted: KernelChoice = "auto"
) -> StepKernels:
    """Return the kernels that work here, each tried once; "auto" keeps to half precision.

    In float32, where answers are to be the published ones to the last bit, plain operations stay
    unless kernels are asked for with True. Raises MoondreamError where those asked for cannot be.
    """
    if wanted not in ("auto", True, False):
        raise MoondreamError(f"kernels {wanted!r} is not known; use auto, true or false")
    if wanted is False:
        return StepKernels(refused={"all": "they are switched off"})
    reason = why_plain(dims.text, device)
    if reason is None and wanted == "auto" and dtype is torch.float32:
        reason = "float32 keeps to plain operations, whose results are exact"
    if reason is not None:
        if wanted is True:
            raise MoondreamError(f"kernels cannot be used: {reason}; use kernels auto")
        _log.debug("no kernels of our own: %s", reason)
        return StepKernels(refused={"all": reason})
    return _tried(dims, device, dtype)


def lay_out(kernels: StepKernels, text: TextModel) -> StepKernels:
    """Lay a network's weights as the kernels want them, and return those that it suits."""
    reason = text.join() if kernels.joined else None
    text.fix()
    if reason is None:
        return kernels
    return replace(kernels, joined=None, refused={**kernels.refused, "joined": reason})


def why_plain(dims: TextDims, device: torch.device) -> str | None:
    """Return why there are no kernels on a device, None where they can be tried."""
    if device.type != "cuda":
        return f"they need CUDA, and the device is {device}"
    if torch.version.hip is not None:
        return "they are made for NVIDIA's GPUs"
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        return f"the GPU is of capability {capability[0]}.{capability[1]}, and they need 8.0"
    if find_spec("triton") is None:
        return "the library triton is not installed"
    return unfit(dims)


def unfit(dims: TextDims) -> str | None:
    """Return why the kernels do not fit a network's sizes, None where they do."""
    width = dims.head_dim
    if width < LEAST_WIDTH or width & (width - 1):
        return f"heads are {width} wide, and they need a power of two from {LEAST_WIDTH} on"
    return None


def _tried(dims: Dims, device: torch.device, dtype: torch.dtype) -> StepKernels:
    """Import, compile and check each kernel by itself."""
    found: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for name, place in KERNELS.items():
        try:
            kernel = True if place is None else _imported(*place)
            _check(name, dims, device, dtype)
        # A compiler may fail in any way; then the plain operations do the work.
        except Exception as error:  # noqa: BLE001
            words = " ".join(str(error).split())[:300]
            refused[name] = f"{type(error).__name__}: {words}"
            _log.warning(
                "the kernel %s is not used on %s, and plain operations do its work, which is "
                "slower. The reason: %s", name, device, refused[name],
            )  # fmt: skip
            continue
        found[name] = kernel
    if "attend" not in found:
        found.pop("joined", None)
    return StepKernels(**found, refused=refused)


def _imported(module: str, name: str) -> Any:
    return getattr(import_module(f"pipeline.moondream.device.kernels.{module}"), name)


def _check(name: str, dims: Dims, device: torch.device, dtype: torch.dtype) -> None:
    checks: Mapping[str, Mapping[str, Any]] = _imported("checks", "CHECKS")
    with torch.inference_mode(), torch.cuda.device(device):
        for case, check in checks[name].items():
            found = check(dims, device, dtype)
            if not found.is_right:
                raise MoondreamError(
                    f"its results are wrong ({case}): they differ by {found.largest:.2g} of what "
                    f"is largest, and {found.allowed:.2g} is allowed"
                )
