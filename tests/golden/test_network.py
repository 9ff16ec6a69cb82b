"""The parts of the network against recorded numbers."""

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.device.cache import KvCache, plan_cache
from pipeline.moondream.device.prefill import PrefixBatch, PromptRow, last_tokens, prefill
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.vision import Tiles
from pipeline.moondream.pictures.crops import make_crops
from pipeline.moondream.prompts import Prompt, spatial_prompt
from tests.golden.golden_set import GOLDEN, arrays, entries, picture

EMBEDDING_TOLERANCE = 1e-5
LOGIT_TOLERANCE = 1e-4
PICTURES = sorted(json.loads((GOLDEN / "images.json").read_text()))
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    """Run everything as the engine does."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


def build(dtype: torch.dtype) -> Network:
    """Return the golden network."""
    checkpoint = open_checkpoint(GOLDEN)
    state = checkpoint.read("cpu", dtype)
    return Network.from_state(state, checkpoint.dims, checkpoint.release)


@pytest.fixture(scope="module")
def network() -> Network:
    """The golden network in float32."""
    return build(torch.float32)


@pytest.fixture(scope="module")
def tokens(network: Network) -> dict[str, torch.Tensor]:
    """The tokens of all pictures, their crops encoded in one run."""
    crops = {name: make_crops(picture(name), network.dims.vision) for name in PICTURES}
    tiles, first = [], 0
    for one in crops.values():
        tiles.append(Tiles(first, one.rows, one.cols))
        first += len(one.pixels)
    features = network.vision.encode(torch.cat([one.pixels for one in crops.values()]))
    return dict(zip(crops, network.vision.project(features, tiles), strict=True))


@pytest.mark.parametrize("name", PICTURES)
def test_crops(network: Network, name: str) -> None:
    """Crops are the recorded bytes; a single crop stands for both of its views."""
    recorded = json.loads((GOLDEN / "images.json").read_text())[name]
    crops = make_crops(picture(name), network.dims.vision)
    pixels = crops.pixels.numpy()
    if crops.is_single:
        pixels = np.concatenate([pixels, pixels])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == recorded["crops_sha256"]


@pytest.mark.parametrize("name", PICTURES)
def test_picture_tokens(tokens: dict[str, torch.Tensor], name: str) -> None:
    """A picture's tokens are the recorded ones."""
    whole = GOLDEN / f"image_{name}.npz"
    wanted = arrays(whole.name)["img_emb"] if whole.exists() else arrays("embeddings.npz")[name]
    step = len(tokens[name]) // len(wanted)
    found = tokens[name][::step].numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EMBEDDING_TOLERANCE)


def test_logits_after_every_prompt(network: Network, tokens: dict[str, torch.Tensor]) -> None:
    """All prompts of all pictures in one prefill give the recorded logits."""
    wanted, rows = arrays("logits.npz"), []
    results = entries("results.json")
    for entry in results:
        refs = entry.get("spatial_refs") or ()
        ids = entry["prompt_ids"]
        coord = open_checkpoint(GOLDEN).release.ids.coord
        prompt = spatial_prompt(ids, ids.index(coord), refs) if refs else Prompt(tuple(ids))
        page = None if entry["image"] is None else PICTURES.index(entry["image"])
        rows.append(PromptRow(prompt, page, []))
    plan = plan_cache(network.dims, 4, len(PICTURES), 2**30)
    cache = KvCache(network.dims, plan, CPU, torch.float32)
    stacked = torch.stack([tokens[name] for name in PICTURES])
    hidden = prefill(network, cache, PrefixBatch(stacked, range(len(PICTURES))), rows)
    logits = network.text.logits(hidden[last_tokens(rows)])
    for entry, found in zip(results, logits.numpy(), strict=True):
        np.testing.assert_allclose(
            found, wanted[entry["id"]], rtol=0, atol=LOGIT_TOLERANCE, err_msg=entry["id"]
        )


def test_region_coders(network: Network) -> None:
    """Numbers become the recorded embeddings, hidden states the recorded logits."""
    recorded = {name: torch.from_numpy(values) for name, values in arrays("region.npz").items()}
    region = network.region
    pairs = (
        (region.encode_coord(recorded["coord_in"]), recorded["coord_out"]),
        (region.encode_size(recorded["size_in"]), recorded["size_out"]),
        (region.coord_logits(recorded["hidden_in"]), recorded["coord_logits"]),
        (region.size_logits(recorded["hidden_in"]), recorded["size_logits"]),
    )
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=0, atol=EMBEDDING_TOLERANCE)


def test_region_encoders_in_bfloat16() -> None:
    """In bfloat16 coordinates and sizes become the recorded embeddings, bit for bit."""
    recorded = {name: torch.from_numpy(values) for name, values in arrays("region.npz").items()}
    region = build(torch.bfloat16).region
    coords = region.encode_coord(recorded["coord_in"]).float()
    sizes = region.encode_size(recorded["size_in"]).float()
    assert torch.equal(coords, recorded["coord_out_bf16"])
    assert torch.equal(sizes, recorded["size_out_bf16"])


def test_coordinates_fed_back_are_encoded_as_any_other() -> None:
    """The table of coordinate embeddings holds what the encoder gives for each bin's value."""
    region = build(torch.bfloat16).region
    bins = torch.tensor([0, 1, 511, 513, 1023])
    table = region.embed_coord_bins(bins)
    assert torch.equal(table, region.encode_coord((bins / region.dims.coord_bins)[:, None]))
