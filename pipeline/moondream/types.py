"""Requests about pictures and their results: small frozen values.

Knows nothing of the model. Boxes and points are fractions 0..1 of the picture as it was given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.templates import SpatialRef

CaptionLength = Literal["short", "normal", "long"]
Finish = Literal["end", "length", "context"]
CountBy = Literal["detect", "point", "ask"]

MAX_OBJECTS = 50
MAX_TOKENS = 768
TOP_P = 0.3


@dataclass(frozen=True, slots=True)
class DetectRequest:
    """Boxes around everything `label` names; `raw` leaves them as the model gave them."""

    label: str
    max_objects: int = MAX_OBJECTS
    raw: bool = False


@dataclass(frozen=True, slots=True)
class PointRequest:
    """One point on everything `label` names."""

    label: str
    max_objects: int = MAX_OBJECTS


@dataclass(frozen=True, slots=True)
class CountRequest:
    """How many of `label` there are: by detecting and by pointing (both are done), or in words."""

    label: str
    by: CountBy = "detect"
    max_objects: int = MAX_OBJECTS


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A question, with or without a picture.

    `reasoning` thinks first and returns the thoughts; `spatial_refs` are points (x, y) and boxes
    (x_min, y_min, x_max, y_max) the question is about; `choices` are the only answers allowed,
    judged by their likelihood. A `temperature` of 0 is greedy; with a `seed`, a sampled answer is
    repeatable.
    """

    question: str
    reasoning: bool = False
    spatial_refs: tuple[SpatialRef, ...] | None = None
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_p: float = TOP_P
    choices: tuple[str, ...] | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """A description of the picture."""

    length: CaptionLength = "normal"
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_p: float = TOP_P
    seed: int | None = None


Request = DetectRequest | PointRequest | CountRequest | QueryRequest | CaptionRequest


@dataclass(frozen=True, slots=True, eq=False)
class DetectResult:
    """Boxes in the model's order; `bins` (N, 4) are the centre's x and y, width and height.

    `saturated` says that `max_objects` were found and there may be more. `scores` are explained
    in docs/moondream.md.
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    bins: NDArray[np.int64]
    saturated: bool

    def __len__(self) -> int:
        """How many there are."""
        return len(self.boxes_xyxy)


@dataclass(frozen=True, slots=True, eq=False)
class PointResult:
    """Points in the model's order; the fields are those of `DetectResult`, `bins` (N, 2)."""

    points_xy: NDArray[np.float64]
    scores: NDArray[np.float64]
    bins: NDArray[np.int64]
    saturated: bool

    def __len__(self) -> int:
        """How many there are."""
        return len(self.points_xy)


@dataclass(frozen=True, slots=True)
class Grounding:
    """The points that a part of the reasoning, characters `start` to `end`, refers to."""

    start: int
    end: int
    points_xy: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it answered."""

    text: str
    grounding: tuple[Grounding, ...]
    token_ids: tuple[int, ...]
    coord_bins: tuple[int, ...]
    finish: Literal["answer", "length", "context"]


@dataclass(frozen=True, slots=True)
class TextResult:
    """An answer or a caption.

    `pieces` are what streaming hands out. `finish` is "end", or "length" for max_tokens, or
    "context" where the model has no positions left. `yes_probability` weighs the spellings of
    yes against those of no as the answer's first token, `yes_no_mass` is how much probability
    the two had together. `choices` has the probability of each given choice.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()
    finish: Finish = "end"
    reasoning: Reasoning | None = None
    yes_probability: float | None = None
    yes_no_mass: float | None = None
    choices: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class CountResult:
    """A count, None where the model's words held no number.

    `detected` and `pointed` are what both ways gave, and `agreement` the smaller over the
    larger; they are None where the model was asked in words, whose answer is `text`.
    """

    count: int | None
    by: CountBy
    saturated: bool = False
    detected: int | None = None
    pointed: int | None = None
    agreement: float | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class FailedResult:
    """Why a request has no answer: one sentence."""

    reason: str


Result = DetectResult | PointResult | CountResult | TextResult | FailedResult
