"""One device for all: nothing the model does on an accelerator needs a tensor of the host's.

Everything runs on torch's `meta` device, where tensors have a place and a shape but no numbers:
reading a number fails there, and so does mixing devices.
"""

import io
import pickle
from itertools import product
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.moondream.batch.plan import yes_no_tokens
from pipeline.moondream.device.cache import KvCache, plan_cache
from pipeline.moondream.device.cycle import Cycle, Program
from pipeline.moondream.device.encoding import CropEncoder
from pipeline.moondream.device.prefill import PassShape, Prefills, PrefixBatch, PromptRow, prefill
from pipeline.moondream.device.reads import TokenReader
from pipeline.moondream.device.rows import RowBuffers, Shape
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.vision import Tiles
from pipeline.moondream.prompts import Prompt
from tests.moondream.tiny import TINY, tiny_language, tiny_network

PAGES, ROWS, BLOCKS = 4, 8, 12
SHAPES = (
    Shape(rows=8, pages=4, lanes=2, blocks=12, row_blocks=2),
    Shape(rows=1, pages=1, lanes=1, blocks=2, row_blocks=1),
    Shape(rows=2, pages=0, lanes=0, blocks=4, row_blocks=2),
)
PROGRAMS = tuple(
    Program(detect, point, text, reason, random, likely, masked)
    for detect, point, text, reason, random, likely, masked in product((False, True), repeat=7)
    # Reasoning is text too, and only text is drawn at random, judged or masked.
    if (detect or point or text) and (text or not (reason or random or likely or masked))
)
# What needs the host: a value read, or a shape that depends on values.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")
# What copies the host's numbers to the device; on `meta` these are no operations.
COPIES = (torch.tensor, torch.as_tensor, torch.from_numpy)

_T = TypeVar("_T")


class OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails on every operation that reads, writes or makes a tensor elsewhere, or that waits."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and look at what went in and what came out."""
        del types
        out = func(*args, **(kwargs or {}))
        self.n_operations += 1
        name = func.name()
        assert not any(word in name for word in WAITS), f"{name} waits for the host"
        for leaf in tree_leaves((args, kwargs, out)):
            if isinstance(leaf, torch.Tensor):
                assert leaf.device.type == "meta", f"{name} takes or gives a tensor of the host"
        return out


class NoCopies(TorchFunctionMode):
    """Fails where a tensor is made of the host's numbers."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch's unless it copies."""
        del types
        assert func not in COPIES, f"{func.__name__} copies from the host"
        return func(*args, **(kwargs or {}))


def moved(value: _T) -> _T:
    """Return a copy of an object whose tensors, wherever in it, are on the meta device."""
    tensors: list[torch.Tensor] = []

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> int | None:
            if not isinstance(obj, torch.Tensor):
                return None
            tensors.append(obj)
            return len(tensors) - 1

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> torch.Tensor:
            there = tensors[pid]
            return torch.empty_strided(
                there.shape, there.stride(), dtype=there.dtype, device="meta"
            )

    stored = io.BytesIO()
    Writer(stored).dump(value)
    stored.seek(0)
    copied: _T = Reader(stored).load()
    return copied


@pytest.fixture(scope="module")
def network() -> Network:
    """The tiny network in bfloat16, without its numbers."""
    return moved(tiny_network(dtype=torch.bfloat16))


def cache_of(network: Network, device: str) -> KvCache:
    """Return a small cache."""
    plan = plan_cache(TINY, 2, PAGES, 2**20)
    return KvCache(network.dims, plan, torch.device(device), torch.bfloat16)


@pytest.fixture(scope="module")
def cycle() -> Cycle:
    """The cycle of a tiny engine, its cache and its buffers, without their numbers."""
    network = tiny_network(dtype=torch.bfloat16)
    hidden = torch.zeros(ROWS + 1, TINY.text.dim, dtype=torch.bfloat16)
    buffers = RowBuffers(BLOCKS, 2, hidden, TINY.text.vocab_size)
    reader = TokenReader(
        tiny_language().release.ids, *yes_no_tokens(tiny_language()), torch.device("cpu")
    )
    return moved(Cycle(network, cache_of(network, "cpu"), buffers, reader))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_cycle_waits_for_the_host(cycle: Cycle, shape: Shape) -> None:
    """Every program touches the device's tensors alone, so it can be captured as a graph."""
    for program in PROGRAMS:
        with torch.inference_mode(), NoCopies(), OneDevice() as watch:
            cycle(program, shape)
        assert watch.n_operations > 50, program


def test_the_watch_sees_what_it_is_for() -> None:
    """A value read, a tensor of the host's and a list made a tensor are all noticed."""
    there, here = torch.zeros(3, device="meta"), torch.zeros(3)
    slips = (
        lambda: int(there.argmax()),
        lambda: there.copy_(here),
        lambda: there + torch.arange(3),
        lambda: there[there > 0],
        lambda: there + torch.tensor([1.0, 2.0, 3.0], device="meta"),
    )
    for slip in slips:
        with (
            pytest.raises((AssertionError, RuntimeError, NotImplementedError)),
            NoCopies(),
            OneDevice(),
        ):
            slip()


def test_pictures_are_encoded_on_one_device(network: Network) -> None:
    """Encoding, pooling and projecting crops make nothing on the host."""
    side = TINY.vision.crop_size
    crops = torch.zeros(8, side, side, 3, dtype=torch.uint8, device="meta")
    tiles = [Tiles(0, 1, 1), Tiles(1, 2, 3)]
    with torch.inference_mode():
        features = network.vision.encode(crops)
        tokens = network.vision.project(features, tiles)
    assert tokens.device.type == "meta"
    assert tokens.shape == (2, TINY.vision.n_patches, TINY.text.dim)
    assert tokens.dtype is torch.bfloat16


def test_prompts_are_read_on_one_device(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes, prompts of pictures and of none, references and all: the states stay there.

    The host's numbers go there in one way, which does not wait until the device has come to them.
    """

    def sent(values: Any, device: torch.device) -> torch.Tensor:
        numbers = np.array(values)
        kind = torch.long if numbers.dtype.kind == "i" else torch.float32
        return torch.zeros(numbers.shape, dtype=kind, device=device)

    monkeypatch.setattr("pipeline.moondream.device.prefill.to_device", sent)
    rows = [
        PromptRow(Prompt((1, 2, 3)), 0, [1]),
        PromptRow(Prompt((1, 5, 5, 6, 3), ((1, 0.5), (2, 0.5)), ((3, (0.1, 0.2)),)), 2, [2]),
        PromptRow(Prompt((4,) * 70), None, [3, 4]),
    ]
    tokens = torch.zeros(
        2, TINY.vision.n_patches, TINY.text.dim, dtype=torch.bfloat16, device="meta"
    )
    with torch.inference_mode():
        cache = cache_of(network, "meta")
        for prefixes in (PrefixBatch(tokens, [0, 2]), None):
            with NoCopies():
                hidden = prefill(network, cache, prefixes, rows)
            assert hidden.device.type == "meta"
            assert hidden.shape == (78, TINY.text.dim)
            assert hidden.dtype is torch.bfloat16


@pytest.mark.parametrize(
    "shape",
    [
        PassShape(2, 2, 16, is_paired=True, following=True),
        PassShape(2, 4, 16, is_paired=False, following=True),
        PassShape(2, 4, 16, is_paired=False, following=None),
        PassShape(0, 4, 32, is_paired=False, following=True),
        PassShape(0, 1, 16, is_paired=False, following=False),
    ],
)
def test_no_pass_waits_for_the_host(network: Network, shape: PassShape) -> None:
    """Whatever its prompts follow, a pass of one shape does the same each time, on the device."""
    with torch.inference_mode():
        prefills = Prefills(network, cache_of(network, "meta"), lambda work: work, PAGES)
        with NoCopies(), OneDevice() as watch:
            prefills.run(shape)
    assert watch.n_operations > 50


def test_no_run_of_the_encoder_waits_for_the_host(network: Network) -> None:
    """Pictures of one crop and of several are encoded by the device alone."""
    with torch.inference_mode():
        encoder = CropEncoder(network, 16, lambda work: work, PAGES)
        for tilings in (((1, 1),) * 3, ((1, 1), (2, 3))):
            encoder.run(tilings)  # what is made of a tiling once is kept
            with NoCopies(), OneDevice() as watch:
                encoder.run(tilings)
            assert watch.n_operations > 20
