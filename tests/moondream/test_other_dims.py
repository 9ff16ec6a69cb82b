"""A checkpoint unlike the published ones: nothing is wired to their sizes, ids or prompts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.plain_loop import PlainLoop
from pipeline.moondream import (
    CaptionRequest,
    CountRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    Moondream,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    TextResult,
)
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.checkpoints.releases import LATEST_RELEASE, RELEASES, release_from_config
from pipeline.moondream.dims import Dims
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.crops import make_crops
from tests.moondream.checkpoints import byte_tokenizer, write_folder
from tests.moondream.mixes import assert_same
from tests.moondream.tiny import random_state

# Two query heads for each key head, 27 encoder layers, a grid of 6 patches with a step of 2,
# widths that are multiples of nothing, bins of other numbers, a start that is not the end.
CONFIG: dict[str, Any] = {
    "text": {
        "dim": 96,
        "ff_dim": 83,
        "n_layers": 3,
        "vocab_size": 320,
        "max_context": 150,
        "n_heads": 6,
        "n_kv_heads": 3,
    },
    "vision": {
        "enc_dim": 21,
        "enc_patch_size": 7,
        "enc_n_layers": 27,
        "enc_ff_dim": 37,
        "enc_n_heads": 3,
        "proj_out_dim": 96,
        "crop_size": 42,
        "max_crops": 7,
        "overlap_margin": 2,
        "proj_inner_dim": 33,
    },
    "region": {
        "dim": 96,
        "coord_feat_dim": 10,
        "coord_out_dim": 90,
        "size_feat_dim": 14,
        "size_out_dim": 120,
        "inner_dim": 35,
    },
    "tokenizer": {
        "bos_id": 2,
        "eos_id": 11,
        "answer_id": 14,
        "thinking_id": 8,
        "coord_id": 17,
        "size_id": 19,
        "start_ground_points_id": 5,
        "end_ground_id": 12,
        "templates": {
            "caption": {"short": [1, 40, 14], "normal": [1, 41, 42, 14]},
            "query": {"prefix": [1, 50, 51, 9], "suffix": [14, 7]},
            "detect": {"prefix": [1, 60], "suffix": [10, 14]},
            "point": {"prefix": [61], "suffix": [14]},
        },
    },
}
BINS = np.array([90, 90, 60, 60])  # of x, y, width, height
PLAIN: tuple[DetectRequest | PointRequest | CaptionRequest | QueryRequest, ...] = (
    DetectRequest("person", 6, raw=True),
    DetectRequest("a red car", 3, raw=True),
    PointRequest("dog", 7),
    CaptionRequest("short", max_tokens=9),
    CaptionRequest("normal", max_tokens=14),
    QueryRequest("what is it", max_tokens=12),
)
OTHERS: tuple[Request, ...] = (
    QueryRequest("why?", reasoning=True, max_tokens=10),
    QueryRequest("where?", spatial_refs=((0.2, 0.3), (0.1, 0.2, 0.5, 0.9)), max_tokens=6),
    QueryRequest("which?", choices=("red", "blue car")),
    CountRequest("car", by="point", max_objects=4),
)
WITHOUT_PICTURE = QueryRequest("hello", max_tokens=9)
# So that some lists and texts end early, some late, and reasoning names places.
LIKELY = {"eos": 1.5, "coord": 3.4, "answer": 2.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights with these sizes, ids and prompts."""
    ids = release_from_config(RELEASES[LATEST_RELEASE], CONFIG).ids
    weights = random_state(Dims.from_config(CONFIG), ids, likely=LIKELY)
    named = {f"model.{name}": values.contiguous() for name, values in weights.items()}
    return write_folder(tmp_path_factory.mktemp("other"), named, CONFIG, byte_tokenizer())


@pytest.fixture(scope="module")
def model(folder: Path) -> Moondream:
    """The checkpoint as users load it."""
    torch.set_num_threads(1)
    return Moondream.load(folder, device="cpu", max_batch=40)


def pictures() -> list[NDArray[np.uint8]]:
    """Return pictures of one crop, of a few and of as many as there may be."""
    noise = np.random.default_rng(5)
    sizes = ((40, 30), (45, 43), (50, 70), (300, 44), (90, 95))
    return [noise.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_a_plain_loop_gives_the_same(folder: Path, model: Moondream) -> None:
    """One picture and one request at a time with a full mask: the same bins and tokens."""
    checkpoint = open_checkpoint(folder)
    with torch.inference_mode():
        state = checkpoint.read("cpu", torch.float32)
        network = Network.from_state(state, checkpoint.dims, checkpoint.release)
    loop = PlainLoop(network, model.language)
    found = model.answer([(picture, PLAIN) for picture in pictures()])
    lengths = set()
    for picture, results in zip(pictures(), found, strict=True):
        for request, result in zip(PLAIN, results, strict=True):
            plain = loop.answer(picture, request)
            if isinstance(result, DetectResult | PointResult):
                assert result.bins.tolist() == plain.bins
                assert (result.bins < BINS[: result.bins.shape[1]]).all()
            else:
                assert isinstance(result, TextResult)
                assert list(result.token_ids) == plain.token_ids
            lengths.add(len(plain.bins) + len(plain.token_ids))
    assert len(lengths) > 3


def test_all_skills_together_are_as_each_alone(model: Moondream) -> None:
    """Reasoning, references, choices and counting hold for any sizes too."""
    requests = (*PLAIN, *OTHERS)
    together = model.answer([*((p, requests) for p in pictures()), (None, [WITHOUT_PICTURE])])
    for picture, results in zip(pictures(), together, strict=False):
        for request, result in zip(requests, results, strict=True):
            assert not isinstance(result, FailedResult)
            ((alone,),) = model.answer([(picture, [request])])
            assert_same(result, alone)
    ((alone,),) = model.answer([(None, [WITHOUT_PICTURE])])
    assert_same(together[-1][0], alone)


def test_tilings_follow_the_sizes_of_the_checkpoint(model: Moondream) -> None:
    """Crops have the checkpoint's side, and there are as many as its step and bound give."""
    crops = [make_crops(picture, model.dims.vision) for picture in pictures()]
    assert {one.pixels.shape[1:] for one in crops} == {(42, 42, 3)}
    # Windows of 14 pixels, seven at most; only a very long picture has more.
    assert [(one.rows, one.cols) for one in crops] == [(1, 1), (2, 2), (2, 3), (8, 1), (2, 2)]


def test_a_length_the_prompts_lack_fails(model: Moondream) -> None:
    """The captions are those of the file, not of the release."""
    ((failed,),) = model.answer([(pictures()[0], [CaptionRequest("long")])])
    assert isinstance(failed, FailedResult)
    assert "short, normal" in failed.reason
