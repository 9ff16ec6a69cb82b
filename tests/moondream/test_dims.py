"""Network sizes: what a config may say, and the sentence for each thing it may not."""

import pytest

from pipeline.moondream.dims import DIMS_05B, DIMS_2B, Dims, TextDims
from pipeline.moondream.errors import CheckpointError


def test_the_defaults_are_the_published_2b_model() -> None:
    """Derived lengths of the default dims are those the model is known by."""
    assert DIMS_2B.prefix_len == 730
    assert (DIMS_2B.text.head_dim, DIMS_2B.text.rotary_dim, DIMS_2B.text.qkv_dim) == (64, 32, 6144)
    assert (DIMS_2B.vision.grid, DIMS_2B.vision.n_patches, DIMS_2B.vision.head_dim) == (27, 729, 72)
    assert (DIMS_2B.vision.patch_dim, DIMS_2B.vision.window_patches) == (588, 19)
    assert (DIMS_2B.region.coord_bins, DIMS_2B.region.size_bins) == (1024, 1024)


def test_an_empty_published_config_means_2b() -> None:
    """The file of the 2B model carries an empty group list."""
    assert Dims.from_config({"model_type": "moondream1", "config": {}}) == DIMS_2B


def test_a_config_without_key_heads_has_one_per_query_head() -> None:
    """The published 0.5B config leaves n_kv_heads out and means 16."""
    config = {
        "text": {"dim": 1024, "ff_dim": 4096, "n_heads": 16, "prefix_attn": 730},
        "vision": {"enc_dim": 720, "enc_ff_dim": 2690, "enc_n_heads": 10, "proj_out_dim": 1024},
        "region": {"dim": 1024},
    }
    assert Dims.from_config(config) == DIMS_05B


def test_grouped_key_heads_are_read() -> None:
    """Fewer key and value heads make the fused projection narrower."""
    text = Dims.from_config({"text": {"n_heads": 32, "n_kv_heads": 8}}).text
    assert text == TextDims(n_kv_heads=8)
    assert text.qkv_dim == 2048 + 2 * 512


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"text": {"ff_dims": 1}}, "did you mean text.ff_dim"),  # a typo
        ({"text": {"moe": {"num_experts": 64}}}, "Moondream 3"),  # the successor's config
        ({"text": {"dim": "2048"}}, "text.dim must be a whole number"),  # a string
        ({"text": {"n_layers": True}}, "text.n_layers must be a whole number"),  # a bool
        ({"text": {"n_layers": 0}}, "text.n_layers is 0"),  # no layers
        ({"text": {"n_heads": 30}}, "text.n_heads (30) does not divide"),  # uneven heads
        ({"text": {"n_heads": 32, "n_kv_heads": 5}}, "text.n_kv_heads (5) does not divide"),
        ({"text": {"max_context": 700}}, "no room for a prompt"),  # shorter than a picture
        ({"vision": {"crop_size": 380}}, "vision.enc_patch_size (14) does not divide"),
        ({"vision": {"in_channels": 1}}, "pictures have 3"),
        ({"vision": {"overlap_margin": 14}}, "leaves nothing of a crop"),
        ({"vision": {"proj_out_dim": 1024}}, "they must be equal"),  # does not fit the text
        ({"region": {"dim": 1024}}, "they must be equal"),
        ({"region": {"size_out_dim": 2047}}, "2 does not divide"),  # widths and heights
        ({"text": {"n_heads": 1024, "n_kv_heads": 1024}}, "multiple of 4"),  # head of 2
        ({"text": [1]}, "'text' must be a mapping"),
        ({"config": 3}, "'config' must be a mapping"),
    ],
)
def test_impossible_configs_are_refused(config: dict[str, object], said: str) -> None:
    """Each mistake is named with its place and value."""
    with pytest.raises(CheckpointError, match=said.replace("(", r"\(").replace(")", r"\)")):
        Dims.from_config(config)
