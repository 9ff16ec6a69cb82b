"""Moondream 2 on torch: every skill, batched.

Knows no camera, queue or config file, and imports nothing else of this project. Tensor names end
in the letters of their shape: N crops or segments or blocks, P pictures or pages, S positions of
a picture (patches or prefix), T tokens of any prompts, B rows of the batch, R prompts, J longest
prompt, M queries or blocks of a row, Q lanes of a page, L keys, C text width, E encoder width,
H heads, K key heads or bins, G query heads of a key head, D head width, V vocabulary, F fields.

Torch is imported when `Moondream` is first asked for: requests and results need none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.moondream.errors import (
    CheckpointError,
    MoondreamError,
    PictureError,
    RequestError,
)
from pipeline.moondream.types import (
    CaptionRequest,
    CountRequest,
    CountResult,
    DetectRequest,
    DetectResult,
    FailedResult,
    Grounding,
    PointRequest,
    PointResult,
    QueryRequest,
    Reasoning,
    Request,
    Result,
    TextResult,
)

if TYPE_CHECKING:
    from pipeline.moondream.api import Moondream
    from pipeline.moondream.engine import EngineOptions

__all__ = [
    "CaptionRequest",
    "CheckpointError",
    "CountRequest",
    "CountResult",
    "DetectRequest",
    "DetectResult",
    "EngineOptions",
    "FailedResult",
    "Grounding",
    "Moondream",
    "MoondreamError",
    "PictureError",
    "PointRequest",
    "PointResult",
    "QueryRequest",
    "Reasoning",
    "Request",
    "RequestError",
    "Result",
    "TextResult",
]

_NEED_TORCH = {
    "Moondream": "pipeline.moondream.api",
    "EngineOptions": "pipeline.moondream.engine",
}


def __getattr__(name: str) -> object:
    """Import what needs torch when it is asked for."""
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEED_TORCH[name]), name)
