"""Captions and answers: tokens one after the other."""

import math
from collections.abc import Sequence

from pipeline.moondream.checkpoints.tokenizer import TextStream
from pipeline.moondream.device.next_token import Draws
from pipeline.moondream.device.reads import Read, RowKind
from pipeline.moondream.errors import RequestError
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.skills.base import Language, Skill, Turn, need_count
from pipeline.moondream.types import CaptionRequest, Finish, QueryRequest, TextResult


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
        self._limit = min(self._max_tokens, language.room(prompt, has_picture))
        super().__init__(prompt, self._limit)
        self.temperature, self.top_p = request.temperature, request.top_p
        self._draws = Draws(request.seed)
        self._stream = TextStream(language.tokenizer, language.release.streaming)
        self._ids = language.release.ids
        self._tokens: list[int] = []
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
        turn: Turn | None = None
        for number, read in enumerate(reads, start=1):
            turn = self._take(read, fed=number)
            if turn is None:
                return None
        return turn

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
        self._say(self._stream.push(token))
        if len(self._tokens) >= self._limit:
            self._end("length" if self._limit == self._max_tokens else "context")
            return None
        return Turn(RowKind.TEXT, token, fed)

    def _end(self, finish: Finish) -> None:
        self._finish = finish
        self._say(self._stream.finish())

    def _say(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)

    def _yes_or_no(self) -> tuple[float | None, float | None]:
        if self._yes is None or self._no is None or not self._yes + self._no > 0:
            return None, None
        return self._yes / (self._yes + self._no), self._yes + self._no


def check_warmth(request: QueryRequest | CaptionRequest) -> None:
    """Raise RequestError for a temperature or top_p that cannot be drawn with."""
    if not 0 <= request.temperature < math.inf:
        raise RequestError(f"temperature is {request.temperature}; it must be 0 or more")
    if not 0 < request.top_p <= 1:
        raise RequestError(f"top_p is {request.top_p}; it must be above 0 and at most 1")
