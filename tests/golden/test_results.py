"""Every recorded result, alone and in batches: the same bins, tokens and pieces of text."""

import json

import pytest

from pipeline.moondream import Moondream
from pipeline.moondream.device.cache import plan_cache
from tests.golden.golden_set import GOLDEN, answer, compare, entries, load

RESULTS = entries("results.json")
PICTURES = sorted({entry["image"] or "" for entry in RESULTS})
GROUPS: dict[str, list[str]] = json.loads((GOLDEN / "batches.json").read_text())


@pytest.fixture(scope="module")
def model() -> Moondream:
    """The golden network in float32."""
    return load(max_batch=128)


@pytest.mark.parametrize("name", PICTURES)
def test_each_alone(model: Moondream, name: str) -> None:
    """A request that runs by itself gives the recorded result."""
    for entry in RESULTS:
        if (entry["image"] or "") == name:
            compare(entry, answer(model, [entry])[0])


@pytest.mark.parametrize("group", GROUPS)
def test_groups(model: Moondream, group: str) -> None:
    """Requests that run as one batch give what each gives alone."""
    wanted = [entry for entry in RESULTS if entry["id"] in GROUPS[group]]
    for entry, result in zip(wanted, answer(model, wanted), strict=True):
        compare(entry, result)


@pytest.mark.parametrize(
    ("max_batch", "requests_of_room"),
    [
        pytest.param(128, None, marks=pytest.mark.slow),  # all of them at once
        # Rows are short: requests join as others leave.
        pytest.param(7, None, marks=pytest.mark.slow),
        (16, 5),  # memory is short: pictures and requests wait
    ],
)
def test_all_together(model: Moondream, max_batch: int, requests_of_room: int | None) -> None:
    """All requests of all skills side by side give what each gives alone."""
    one = plan_cache(model.dims, model.dtype.itemsize, 1, 2**40).bytes_total
    room = None if requests_of_room is None else requests_of_room * one
    crowded = load(max_batch=max_batch, kv_bytes=room)
    for entry, result in zip(RESULTS, answer(crowded, RESULTS), strict=True):
        compare(entry, result)


def test_variant() -> None:
    """With the adapter, pictures and prompts alike go through it."""
    wanted = entries("results_lora.json")
    model = load(variant=GOLDEN / "lora.safetensors")
    for entry, result in zip(wanted, answer(model, wanted), strict=True):
        compare(entry, result)
    compare(wanted[0], answer(model, wanted[:1])[0])
