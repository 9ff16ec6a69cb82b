"""Half precision, and an accelerator where there is one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.moondream import (
    DetectRequest,
    DetectResult,
    Moondream,
    PointRequest,
    PointResult,
    Request,
)
from tests.golden.golden_set import (
    GOLDEN,
    Entry,
    answer,
    compare,
    entries,
    load,
    picture,
    request,
)

LEAST_EQUAL = 0.95
RESULTS = entries("results.json")
OBJECTS = [entry for entry in RESULTS if entry["kind"] in ("detect", "point")]


def one_object(entry: Entry) -> Request:
    """Return the request of an entry for its first object only."""
    asked = request(entry)
    assert isinstance(asked, DetectRequest | PointRequest)
    return replace(asked, max_objects=1)


@pytest.mark.slow
def test_bfloat16_starts_as_float32() -> None:
    """The first coordinate after each prompt is the float32 one, all but always."""
    model = load(dtype="bfloat16")
    names = sorted({entry["image"] for entry in OBJECTS})
    asked = {name: [e for e in OBJECTS if e["image"] == name] for name in names}
    found = model.answer([(picture(n), [one_object(e) for e in asked[n]]) for n in names])
    equal = [
        result.bins[:, 0].tolist() == [step["x_bin"] for step in entry["steps"][:1]]
        for name, results in zip(names, found, strict=True)
        for entry, result in zip(asked[name], results, strict=True)
        if isinstance(result, DetectResult | PointResult)
    ]
    assert len(equal) == len(OBJECTS)
    assert np.mean(equal) >= LEAST_EQUAL


@pytest.mark.gpu
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # of whatever torch such a machine has
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("graphs", [False, True])
def test_cuda_in_float32(graphs: bool) -> None:
    """On CUDA, eager and in captured graphs, float32 gives the recorded results in one batch.

    Pictures are encoded the first time, and found in their pages after that.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    model = Moondream.load(GOLDEN, device="cuda", dtype="float32", max_batch=128, graphs=graphs)
    eager = model.graph_counts().eager
    for _ in range(3):
        for entry, result in zip(RESULTS, answer(model, RESULTS), strict=True):
            compare(entry, result)
    counts = model.graph_counts()
    assert counts.failures == 0
    assert (counts.replays > counts.eager - eager) == graphs
    assert model.picture_counts().reused > 0
