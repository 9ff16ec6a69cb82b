"""The golden set: requests, and whether results are those the reference gave."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    Moondream,
    PointRequest,
    PointResult,
    QueryRequest,
    Reasoning,
    Request,
    Result,
    TextResult,
)

GOLDEN = Path(os.environ.get("MOONDREAM_GOLDEN", Path(__file__).parent))
BOX_TOLERANCE = 1e-6  # the last digit of a power differs between scalar and vector code

Entry = dict[str, Any]


def entries(name: str) -> list[Entry]:
    """Return the recorded results of a file."""
    loaded: list[Entry] = json.loads((GOLDEN / name).read_text())
    return loaded


def arrays(name: str) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the arrays of a file."""
    with np.load(GOLDEN / name) as stored:
        return dict(stored)


@cache
def picture(name: str) -> Image.Image:
    """Return a picture of the set."""
    file = json.loads((GOLDEN / "images.json").read_text())[name]["file"]
    with Image.open(GOLDEN / file) as image:
        image.load()
        return image


def load(**options: Any) -> Moondream:
    """Return the model of the set on the CPU."""
    torch.set_num_threads(1)  # the network is tiny, and test processes share the cores
    return Moondream.load(GOLDEN, device="cpu", **options)


def request(entry: Entry) -> Request:
    """Return the request an entry is the result of."""
    kind = entry["kind"]
    if kind == "detect":
        return DetectRequest(entry["object"], entry["max_objects"], raw=True)
    if kind == "point":
        return PointRequest(entry["object"], entry["max_objects"])
    if kind == "caption":
        return CaptionRequest(entry["length"], max_tokens=entry["max_tokens"])
    refs = entry["spatial_refs"]
    return QueryRequest(
        entry["question"],
        reasoning=entry["reasoning"],
        spatial_refs=refs and tuple(tuple(ref) for ref in refs),
        max_tokens=entry["max_tokens"],
    )


def answer(model: Moondream, wanted: list[Entry]) -> list[Result]:
    """Return the results of entries run as one batch, each picture once."""
    by_picture: dict[str | None, list[int]] = {}
    for number, entry in enumerate(wanted):
        by_picture.setdefault(entry["image"], []).append(number)
    work = [
        (None if name is None else picture(name), [request(wanted[i]) for i in numbers])
        for name, numbers in by_picture.items()
    ]
    found: dict[int, Result] = {}
    for numbers, results in zip(by_picture.values(), model.answer(work), strict=True):
        found.update(zip(numbers, results, strict=True))
    return [found[number] for number in range(len(wanted))]


def compare(entry: Entry, result: Result) -> None:
    """Assert that a result is the recorded one."""
    place = f"{entry.get('id', entry['kind'])} on {entry['image']}"
    assert not isinstance(result, FailedResult), f"{place}: {result}"
    if isinstance(result, DetectResult):
        _compare_objects(place, entry, result, ("x_bin", "y_bin", "w_bin", "h_bin"))
        wanted = [
            [box[side] for side in ("x_min", "y_min", "x_max", "y_max")]
            for box in entry["result"]["objects"]
        ]
        boxes = np.array(wanted).reshape(-1, 4)
        np.testing.assert_allclose(result.boxes_xyxy, boxes, rtol=0, atol=BOX_TOLERANCE)
    elif isinstance(result, PointResult):
        _compare_objects(place, entry, result, ("x_bin", "y_bin"))
        wanted = [[point["x"], point["y"]] for point in entry["result"]["points"]]
        assert result.points_xy.tolist() == wanted, place
    else:
        assert isinstance(result, TextResult), place
        _compare_text(place, entry, result)


def _compare_objects(
    place: str, entry: Entry, result: DetectResult | PointResult, fields: tuple[str, ...]
) -> None:
    bins = [[step[field] for field in fields] for step in entry["steps"]]
    assert result.bins.tolist() == bins, place
    assert result.saturated == (entry["finish"] == "max_objects"), place
    assert len(result.scores) == len(bins), place
    assert ((result.scores > 0) & (result.scores <= 1)).all(), place


def _compare_text(place: str, entry: Entry, result: TextResult) -> None:
    assert list(result.token_ids) == entry["token_ids"], place
    assert list(result.pieces) == entry["chunks"], place
    assert result.text == entry["text"], place
    assert result.finish == {"eos": "end", "length": "length"}[entry["finish"]], place
    if entry.get("reasoning"):
        assert result.reasoning is not None, place
        _compare_reasoning(place, entry, result.reasoning)


def _compare_reasoning(place: str, entry: Entry, thoughts: Reasoning) -> None:
    assert list(thoughts.token_ids) == entry["reasoning_token_ids"], place
    assert list(thoughts.coord_bins) == entry["reasoning_coord_bins"], place
    assert thoughts.finish == entry["reasoning_finish"], place
    assert thoughts.text == entry["reasoning_out"]["text"], place
    grounding = [
        {"start_idx": g.start, "end_idx": g.end, "points": [list(p) for p in g.points_xy]}
        for g in thoughts.grounding
    ]
    assert grounding == entry["reasoning_out"]["grounding"], place
