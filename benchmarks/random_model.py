"""Networks of random weights, and pictures of noise: what the engine's benchmarks run on.

How long an answer gets is forced by the end token's bias, so the figures say how fast the engine
is and nothing about what a model sees.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pipeline.moondream.checkpoints.releases import LATEST_RELEASE, RELEASES
from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from pipeline.moondream.dims import DIMS_05B, DIMS_2B, Dims, RegionDims, TextDims, VisionDims
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.crops import tiling
from pipeline.moondream.skills.base import Language
from pipeline.moondream.templates import Ids, Release, Template

SMALL = Dims(
    text=TextDims(dim=256, ff_dim=1024, n_layers=6, vocab_size=8192, n_heads=4, n_kv_heads=4),
    vision=VisionDims(
        enc_dim=192,
        enc_ff_dim=768,
        enc_n_layers=6,
        enc_n_heads=4,
        proj_inner_dim=512,
        proj_out_dim=256,
    ),
    region=RegionDims(dim=256, inner_dim=512, coord_feat_dim=64, size_feat_dim=64),
)
# Nine patches a crop: everything runs in milliseconds, and no figure of it says anything.
TINY = Dims(
    text=TextDims(
        dim=64, ff_dim=96, n_layers=2, vocab_size=512, max_context=400, n_heads=4, n_kv_heads=2
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
    region=RegionDims(dim=64, coord_feat_dim=16, size_feat_dim=16, inner_dim=48),
)
DIMS = {"2b": DIMS_2B, "0.5b": DIMS_05B, "small": SMALL, "tiny": TINY}
# Width and height of pictures whose tiling gives so many crops, the global one counted.
SIZE_BY_CROPS = {1: (320, 240), 9: (1280, 720), 10: (640, 640), 13: (1024, 768)}
LABELS = ("person", "car", "bicycle", "dog", "bag", "door", "fire", "helmet")
YES_AND_NO = ("yes", "Yes", "YES", "no", "No", "NO")
UNKNOWN_ID, FIRST_WORD_ID = 9, 10
NEVER, ALWAYS = -1e4, 1e4  # logits that decide
WEIGHT_STD = 0.02
SEED = 0


@dataclass(frozen=True, slots=True)
class RandomNetwork:
    """A network, and the one number that says whether its lists and texts ever end."""

    network: Network
    head_bias: torch.Tensor

    def end_at_once(self, at_once: bool) -> None:
        """End every list and text before its first token, or never before it is cut.

        The number is changed in its place, so captured graphs heed it too.
        """
        self.head_bias[RELEASES[LATEST_RELEASE].ids.eos] = ALWAYS if at_once else NEVER


def random_network(dims: Dims, device: torch.device, dtype: torch.dtype) -> RandomNetwork:
    """Return random weights that never end a list or a text."""
    torch.manual_seed(SEED)
    state = {}
    for name, shape in tensor_table(dims).items():
        values = torch.empty(shape, device=device, dtype=dtype)
        state[name] = values.fill_(1) if ".ln" in name else values.normal_(std=WEIGHT_STD)
    with torch.inference_mode():
        network = Network.from_state(state, dims, RELEASES[LATEST_RELEASE])
    made = RandomNetwork(network, state["text.lm_head.bias"])
    made.end_at_once(False)
    return made


def language(dims: Dims) -> Language:
    """Return a language of whole words; its prompts are as long as the real ones."""
    vocab_size = dims.text.vocab_size
    words = {word: FIRST_WORD_ID + at for at, word in enumerate((*LABELS, *YES_AND_NO))}
    others = range(FIRST_WORD_ID + len(words), vocab_size)
    words |= {"?": UNKNOWN_ID, **{f"word{number}": number for number in others}}
    tokenizer = Tokenizer(WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    release = fitting(RELEASES[LATEST_RELEASE], vocab_size)
    return Language(release, TextTokenizer(tokenizer, "in memory"), dims)


def fitting(release: Release, vocab_size: int) -> Release:
    """Return a release whose prompts have their length, and no id beyond the vocabulary."""

    def within(ids: Ids) -> Ids:
        return tuple(token if token < vocab_size else UNKNOWN_ID for token in ids)

    def template(given: Template) -> Template:
        return Template(within(given.prefix), within(given.suffix))

    prompts = release.prompts
    captions = {length: within(ids) for length, ids in prompts.captions.items()}
    return replace(
        release,
        prompts=replace(
            prompts,
            captions=MappingProxyType(captions),
            query=template(prompts.query),
            detect=template(prompts.detect),
            point=template(prompts.point),
        ),
    )


def size_for(crops: int, vision: VisionDims) -> tuple[int, int]:
    """Return width and height of a picture that is cut into so many crops."""
    step = vision.window_patches * vision.enc_patch_size
    border = vision.crop_size - step
    grid = [
        (border + cols * step, border + rows * step)
        for rows in range(1, vision.max_crops + 1)
        for cols in range(1, vision.max_crops + 1)
    ]
    for width, height in (SIZE_BY_CROPS.get(crops, grid[0]), *grid):
        rows, cols = tiling(height, width, vision)
        if crops == (1 if rows * cols == 1 else 1 + rows * cols):
            return width, height
    raise ValueError(f"no picture is cut into {crops} crops by a network of these sizes")


def frames(crops: int, count: int, vision: VisionDims) -> list[NDArray[np.uint8]]:
    """Return pictures of noise that are cut into so many crops."""
    width, height = size_for(crops, vision)
    noise = np.random.default_rng(SEED)
    return [noise.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def make_fresh(pictures: list[NDArray[np.uint8]]) -> None:
    """Change every picture a little, so that nothing kept of an earlier round serves this one."""
    for picture in pictures:
        picture[0] = _fresh_noise.integers(0, 256, picture[0].shape, dtype=np.uint8)


_fresh_noise = np.random.default_rng(SEED + 1)
