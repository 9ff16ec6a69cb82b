"""Moondream 2 on torch: every skill, batched.

Knows nothing of cameras, queues and config files, and imports no other package of moonwatch.
Tensor names end in the letters of their shape: N crops or segments or blocks, P pictures or pages,
S positions of a picture (patches or prefix), T tokens of any prompts, B rows of the batch, R
prompts, J longest prompt, M queries or blocks of a row, Q lanes of a page, L keys, C text width,
E encoder width, H heads, K key heads or bins, G query heads of a key head, D head width, V
vocabulary, F fields.

Torch is imported when `Moondream` is first used: requests and results do not need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.moondream.api import Moondream
    from pipeline.moondream.batch.engine import EngineOptions
    from pipeline.moondream.device.graphs import GraphCounts
    from pipeline.moondream.device.pages import PictureCounts
    from pipeline.moondream.errors import (
        CheckpointError,
        MaskError,
        MoondreamError,
        PictureError,
        RequestError,
        TooLongError,
    )
    from pipeline.moondream.types import (
        CaptionRequest,
        CountRequest,
        CountResult,
        DetectRequest,
        DetectResult,
        FailedResult,
        Grounding,
        LikelyToken,
        MaskState,
        PointRequest,
        PointResult,
        QueryRequest,
        Reasoning,
        Request,
        RequestFacts,
        Result,
        TextResult,
        TokenLogprob,
        TokenMask,
    )

__all__ = [
    "CaptionRequest",
    "CheckpointError",
    "CountRequest",
    "CountResult",
    "DetectRequest",
    "DetectResult",
    "EngineOptions",
    "FailedResult",
    "GraphCounts",
    "Grounding",
    "LikelyToken",
    "MaskError",
    "MaskState",
    "Moondream",
    "MoondreamError",
    "PictureCounts",
    "PictureError",
    "PointRequest",
    "PointResult",
    "QueryRequest",
    "Reasoning",
    "Request",
    "RequestError",
    "RequestFacts",
    "Result",
    "TextResult",
    "TokenLogprob",
    "TokenMask",
    "TooLongError",
]

_HOMES = {
    "api": ("Moondream",),
    "batch.engine": ("EngineOptions",),
    "errors": (
        "CheckpointError",
        "MaskError",
        "MoondreamError",
        "PictureError",
        "RequestError",
        "TooLongError",
    ),
    "device.graphs": ("GraphCounts",),
    "device.pages": ("PictureCounts",),
    "types": (
        "CaptionRequest",
        "CountRequest",
        "CountResult",
        "DetectRequest",
        "DetectResult",
        "FailedResult",
        "Grounding",
        "LikelyToken",
        "MaskState",
        "PointRequest",
        "PointResult",
        "QueryRequest",
        "Reasoning",
        "Request",
        "RequestFacts",
        "Result",
        "TextResult",
        "TokenLogprob",
        "TokenMask",
    ),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: three of them need torch, most of them NumPy."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
