"""A network small enough to run thousands of requests, with random weights."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.moondream.checkpoints.releases import LATEST_RELEASE, RELEASES, release_from_config
from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from pipeline.moondream.dims import Dims, RegionDims, TextDims, VisionDims
from pipeline.moondream.network.network import Network
from pipeline.moondream.skills.base import Language
from pipeline.moondream.templates import Release, SpecialIds

GOLDEN = Path(__file__).parents[1] / "golden"
# Nine patches a crop, grouped key heads, and little room after the prompt.
TINY = Dims(
    text=TextDims(
        dim=64,
        ff_dim=96,
        n_layers=2,
        vocab_size=512,
        max_context=160,
        n_heads=4,
        n_kv_heads=2,
    ),
    vision=VisionDims(
        enc_dim=16,
        enc_n_layers=1,
        enc_ff_dim=24,
        enc_n_heads=2,
        proj_out_dim=64,
        crop_size=42,
        overlap_margin=1,
        proj_inner_dim=32,
    ),
    region=RegionDims(
        dim=64,
        coord_feat_dim=16,
        coord_out_dim=128,
        size_feat_dim=16,
        size_out_dim=256,
        inner_dim=48,
    ),
)
# So that lists end, and reasoning names places and comes to an answer, before they are cut.
LIKELY_ENDS = {"eos": 3.0, "coord": 3.4, "answer": 3.2}
SEED = 13


def random_state(
    dims: Dims, ids: SpecialIds, seed: int = SEED, likely: Mapping[str, float] = LIKELY_ENDS
) -> dict[str, torch.Tensor]:
    """Return random weights, with what makes some special ids likelier."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}
    for name, shape in sorted(tensor_table(dims).items()):
        values = torch.randn(shape, generator=generator)
        if name.endswith("bias"):
            values *= 0.1
        elif name == "text.wte" or name.endswith("encoder.weight"):
            values *= 0.2  # so that words depend on the picture more than on the word before
        elif values.ndim == 2 and "features" not in name:
            values *= shape[1] ** -0.5
        elif "ln" in name:
            values = 1 + 0.1 * values
        state[name] = values
    for which, bonus in likely.items():
        state["text.lm_head.bias"][getattr(ids, which)] += bonus
    return state


@cache
def tiny_network(seed: int = SEED, dtype: torch.dtype = torch.float32) -> Network:
    """Return a network of random weights whose texts and lists end after a few tokens."""
    release = tiny_release()
    drawn = random_state(TINY, release.ids, seed)
    state = {name: values.to(dtype) for name, values in drawn.items()}
    with torch.inference_mode():
        return Network.from_state(state, TINY, release)


def tiny_release() -> Release:
    """Return the newest release with the ids and prompts of the small tokenizer."""
    config = json.loads((GOLDEN / "config.json").read_text())
    return release_from_config(RELEASES[LATEST_RELEASE], config)


@cache
def tiny_language() -> Language:
    """Return the language of the tiny network."""
    return Language(tiny_release(), TextTokenizer.open(GOLDEN / "tokenizer.json"), TINY)


@cache
def pictures() -> tuple[NDArray[np.uint8], ...]:
    """Return pictures of different tilings."""
    noise = np.random.default_rng(SEED)
    sizes = ((30, 40), (60, 80), (90, 50), (44, 200), (42, 42))
    return tuple(noise.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes)
