"""Captions and answers: tokens one after the other."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.checkpoints.tokenizer import TextStream
from pipeline.moondream.device.next_token import Draws
from pipeline.moondream.device.reads import LIKELY, Read, RowKind
from pipeline.moondream.errors import RequestError
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.skills.base import Language, Skill, Turn, need_count
from pipeline.moondream.skills.stops import StopStream, checked_stops
from pipeline.moondream.types import (
    MAX_LOGPROBS,
    CaptionRequest,
    Finish,
    LikelyToken,
    MaskState,
    QueryRequest,
    TextResult,
    TokenLogprob,
    TokenMask,
)


class TextSkill(Skill):
    """Writes up to `max_tokens` tokens; `pieces` grows as text becomes certain."""

    def __init__(
        self,
        language: Language,
        prompt: Prompt,
        request: QueryRequest | CaptionRequest,
        has_picture: bool,
    ) -> None:
        self._max_tokens = need_count("max_tokens", request.max_tokens)
        check_warmth(request)
        check_seed(request.seed)
        self._n_likely = checked_logprobs(request.logprobs)
        self._mask = None if request.mask is None else _begun(request.mask, language)
        self._allowed = None if self._mask is None else self._mask.allowed()
        self._limit = min(self._max_tokens, language.room(prompt, has_picture))
        super().__init__(prompt, self._limit)
        self.temperature, self.top_p = request.temperature, request.top_p
        self._draws = Draws(request.seed)
        stream = TextStream(language.tokenizer, language.release.streaming)
        self._stream = StopStream(stream, checked_stops(request.stop))
        self._tokenizer = language.tokenizer
        self._ids = language.release.ids
        self._tokens: list[int] = []
        self._likely: list[tuple[float, ...]] = []
        self._finish: Finish = "end"
        self._yes: float | None = None
        self._no: float | None = None
        self.pieces: list[str] = []

    def leave_room(self, positions: int) -> None:
        """Cut the text to the positions that are left for it."""
        self._limit = min(self._limit, positions)

    def begin(self, reads: Sequence[Read]) -> Turn | None:
        """Take the first token."""
        return self._take(reads[-1], fed=0)

    def advance(self, reads: Sequence[Read]) -> Turn | None:
        """Take one token a step until the text ends."""
        if self._mask is not None:
            reads = reads[:1]  # the mask was for this one alone
        turn: Turn | None = None
        for number, read in enumerate(reads, start=1):
            turn = self._take(read, fed=number)
            if turn is None:
                return None
        return turn

    @property
    def completion_tokens(self) -> int:
        """The tokens so far."""
        return len(self._tokens)

    @property
    def wants_likely(self) -> bool:
        """Whether log-probabilities were asked for."""
        return self._n_likely is not None

    @property
    def allowed(self) -> NDArray[np.int32] | None:
        """What the mask lets come next."""
        return self._allowed

    def draw(self, ahead: int) -> float:
        """Return the uniform number for the token `ahead` of the next one."""
        return self._draws.at(len(self._tokens) + ahead)

    def result(self) -> TextResult:
        """Return the text so far."""
        yes_probability, mass = self._yes_or_no()
        return TextResult(
            text="".join(self.pieces),
            token_ids=tuple(self._tokens),
            pieces=tuple(self.pieces),
            finish=self._finish,
            yes_probability=yes_probability,
            yes_no_mass=mass,
            logprobs=self._logprobs(),
        )

    def _take(self, read: Read, fed: int) -> Turn | None:
        """Take the token after a step; the last one allowed is not fed, nothing follows it."""
        if self._yes is None:
            self._yes, self._no = read.yes, read.no
        token = read.next_token
        if token == self._ids.eos:
            self._end("end")
            return None
        self._tokens.append(token)
        if self._n_likely is not None:
            self._likely.append(read.likely)
        self._say(self._stream.push(token))
        if self._stream.has_stopped:
            self._finish = "stop"
            return None
        if self._mask is not None:
            self._mask.take(token)
            if self._mask.is_complete:
                self._end("end")
                return None
        if len(self._tokens) >= self._limit:
            self._end("length" if self._limit == self._max_tokens else "context")
            return None
        if self._mask is not None:
            self._allowed = self._mask.allowed()
        return Turn(RowKind.TEXT, token, fed)

    def _end(self, finish: Finish) -> None:
        self._say(self._stream.finish())
        self._finish = "stop" if self._stream.has_stopped else finish

    def _say(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)

    def _logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Return how likely each token of the text was; a stop word's are not of it."""
        if self._n_likely is None:
            return None
        spell, text_of = self._tokenizer.token_bytes, self._tokenizer.token_text
        left = None
        if self._finish == "stop":
            left = len("".join(self.pieces))
        found: list[TokenLogprob] = []
        before = b""
        for token, (chosen, *others) in zip(self._tokens, self._likely, strict=True):
            if left is not None and len(before.decode(errors="replace")) >= left:
                break
            before += spell(token)
            ids, values = others[: self._n_likely], others[LIKELY : LIKELY + self._n_likely]
            top = tuple(
                LikelyToken(text_of(int(other)), spell(int(other)), value, int(other))
                for other, value in zip(ids, values, strict=True)
            )
            found.append(TokenLogprob(text_of(token), spell(token), chosen, token, top))
        return tuple(found)

    def _yes_or_no(self) -> tuple[float | None, float | None]:
        if self._yes is None or self._no is None or not self._yes + self._no > 0:
            return None, None
        return self._yes / (self._yes + self._no), self._yes + self._no


def check_warmth(request: QueryRequest | CaptionRequest) -> None:
    """Raise RequestError for a temperature or top_p that cannot be drawn with."""
    if not 0 <= request.temperature < math.inf:
        raise RequestError(f"temperature is {request.temperature}; it must be 0 or more")
    if not 0 <= request.top_p <= 1:
        raise RequestError(f"top_p is {request.top_p}; it must be 0 to 1")


def check_seed(seed: object) -> None:
    """Raise RequestError for a seed that is no 64-bit number."""
    if seed is not None and not (isinstance(seed, int) and -(2**63) <= seed < 2**63):
        raise RequestError(f"seed is {seed!r:.40}; it must be a whole number of at most 64 bits")


def checked_logprobs(count: object) -> int | None:
    """Return how many alternatives are asked for, or raise RequestError."""
    if count is None:
        return None
    if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MAX_LOGPROBS:
        return count
    raise RequestError(f"logprobs is {count!r:.40}; it must be 0 to {MAX_LOGPROBS} alternatives")


def _begun(mask: TokenMask, language: Language) -> MaskState:
    if mask.vocab_size != language.dims.text.vocab_size:
        raise RequestError(
            f"the mask is made for a model of {mask.vocab_size} tokens, but this one has "
            f"{language.dims.text.vocab_size}; make it with this model's language"
        )
    return mask.begin()
