"""Requests about pictures and their results: small frozen values.

Knows nothing of the model. Boxes and points are fractions 0..1 of the picture as it was given.
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.templates import SpatialRef

CaptionLength = Literal["short", "normal", "long"]
Finish = Literal["end", "length", "context", "stop"]
FailureCode = Literal[
    "bad_request", "too_long", "bad_picture", "cancelled", "overflow", "mask", "engine"
]
CountBy = Literal["detect", "point", "ask"]

MAX_OBJECTS = 50
MAX_TOKENS = 768
TOP_P = 0.3
MAX_STOPS = 4
MAX_STOP_LETTERS = 256
MAX_LOGPROBS = 20


class MaskState(Protocol):
    """How far one answer has come, and which tokens may come next.

    Both methods raise `MaskError` where a limit of work is reached.
    """

    @property
    def is_complete(self) -> bool:
        """Whether the answer may not go on: only the end may follow."""
        ...

    def allowed(self) -> NDArray[np.int32]:
        """Return which tokens may come next: token t is bit t % 32 of word t // 32."""
        ...

    def take(self, token: int) -> None:
        """Note that a token was generated; it must be one that was allowed."""
        ...


class TokenMask(Protocol):
    """What an answer must look like, as JSON of a schema; many requests may share it.

    `pipeline.moondream.structured.json_mask` makes one.
    """

    @property
    def vocab_size(self) -> int:
        """How many tokens the model has that it is made for."""
        ...

    def begin(self) -> MaskState:
        """Return the state before the first token of an answer."""
        ...


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
    repeatable. The answer ends before the first of the `stop` words (four at most). `logprobs` asks
    for the log-probability of each of its tokens, and of so many of the likeliest (0 to 20). A
    `mask` allows the answer nothing but what has its form.
    """

    question: str
    reasoning: bool = False
    spatial_refs: tuple[SpatialRef, ...] | None = None
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_p: float = TOP_P
    choices: tuple[str, ...] | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    mask: TokenMask | None = None


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """A description of the picture; the fields are those of `QueryRequest`."""

    length: CaptionLength = "normal"
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_p: float = TOP_P
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    mask: TokenMask | None = None


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
class LikelyToken:
    """A token that could have come; the fields are those of `TokenLogprob`."""

    token: str
    bytes: builtins.bytes
    logprob: float
    token_id: int


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer, how likely it was, and the likeliest at its place, best first.

    `token` is its text, with U+FFFD for half a character; `bytes` are what it adds to the answer:
    none for a control token, whose `token` is its name. `logprob` is the natural logarithm of the
    probability that the model itself gave it: before temperature, top_p and masks.
    """

    token: str
    bytes: builtins.bytes
    logprob: float
    token_id: int
    top: tuple[LikelyToken, ...] = ()


@dataclass(frozen=True, slots=True)
class TextResult:
    """An answer or a caption.

    `pieces` are what streaming hands out. `token_ids` are all tokens generated but the end, those
    of a stop word among them. `finish` is "end", or "length" for max_tokens, or "context" where
    the model has no positions left, or "stop" for a stop word. `logprobs` has the tokens of the
    text, where they were asked for. `yes_probability` weighs the spellings of
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
    logprobs: tuple[TokenLogprob, ...] | None = None


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
    """Why a request has no answer: one sentence, and what kind of reason it is.

    Of the codes, "bad_request" and "too_long" (for the model's positions) are the request's own
    doing, "bad_picture" is its picture's, and "mask" says that the form of the answer was too much
    work; "overflow" and "engine" are ours.
    """

    reason: str
    code: FailureCode = "engine"


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a request took so far; after its end, cancelled or not, what it took in all.

    `prompt_tokens` are the positions of the prompt: `image_tokens` of the picture and its start
    token, and `text_tokens`, the template's among them. `completion_tokens` were generated, the
    `reasoning_tokens` of them in thinking; the end token is not counted. `crops` (1 to 13) is how
    many pieces the picture is cut into; it had not to be encoded where `picture_was_kept`. A
    request waited in line for `queued_ms`, took part in a prefill of `prefill_ms` and in cycles
    during `decode_ms`, each beside others.
    """

    prompt_tokens: int = 0
    image_tokens: int = 0
    text_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    crops: int = 0
    picture_was_kept: bool = False
    queued_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


Result = DetectResult | PointResult | CountResult | TextResult | FailedResult
