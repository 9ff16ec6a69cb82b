"""A question the model thinks about before it answers, naming places in the picture."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.device.next_token import Draws
from pipeline.moondream.device.reads import Read, RowKind
from pipeline.moondream.network.region import coord_values
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.skills.base import Language, Skill, Turn
from pipeline.moondream.skills.text import TextSkill
from pipeline.moondream.types import Grounding, QueryRequest, Reasoning


class ReasoningSkill(Skill):
    """Thinks until it is ready or `max_tokens` are thought, then answers like any text.

    Phases: thoughts; the call, whose ids ask for the answer and are fed one by one; the answer.
    """

    def __init__(
        self, language: Language, prompt: Prompt, request: QueryRequest, has_picture: bool
    ) -> None:
        self.answer = TextSkill(language, prompt, request, has_picture)
        self._call = language.release.answer_prompt()
        self._room = language.room(prompt, has_picture)
        most = self._room - len(self._call) - 1  # the answer is one token at least
        if most < 1:
            least = len(self._call) + 2
            raise language.too_long(prompt, has_picture, "reasoning and an answer", least)
        super().__init__(prompt, min(2 * request.max_tokens + len(self._call), self._room))
        self.temperature, self.top_p = request.temperature, request.top_p
        # Thoughts draw other numbers than the answer of the same seed.
        self._draws = Draws(None if request.seed is None else request.seed + 1)
        self._max_tokens = request.max_tokens
        self._limit = min(request.max_tokens, most)
        self._thoughts = Thoughts(language)
        self._finish: Literal["answer", "length", "context"] | None = None
        self._ids = language.release.ids

    @property
    def pieces(self) -> list[str]:
        """The pieces of the answer so far."""
        return self.answer.pieces

    def begin(self, reads: Sequence[Read]) -> Turn | None:
        """Take the first thought."""
        return self._think(reads[-1].next_token, fed=0)

    def advance(self, reads: Sequence[Read]) -> Turn | None:
        """Take thoughts, then feed the call, then take the answer."""
        if not self._is_thinking:
            return self._answer(reads)
        turn: Turn | None = None
        for number, read in enumerate(reads, start=1):
            self._thoughts.fed(int(read.coord_bin))
            turn = self._think(read.next_token, fed=number)
            if turn.kind is RowKind.START:
                break  # what the later steps fed was not the call
        return turn

    @property
    def completion_tokens(self) -> int:
        """The thoughts so far, and the tokens of the answer."""
        return self.reasoning_tokens + self.answer.completion_tokens

    @property
    def reasoning_tokens(self) -> int:
        """The thoughts so far."""
        return len(self._thoughts.ids)

    @property
    def wants_likely(self) -> bool:
        """Whether the answer has begun and log-probabilities were asked for."""
        return not self._is_thinking and self.answer.wants_likely

    @property
    def allowed(self) -> NDArray[np.int32] | None:
        """What the answer's mask lets come next; thoughts are free."""
        return None if self._is_thinking else self.answer.allowed

    def draw(self, ahead: int) -> float:
        """Return the uniform number for the token `ahead` of the next one."""
        if self._is_thinking:
            return self._draws.at(len(self._thoughts.ids) + ahead)
        return self.answer.draw(ahead)

    def reasoning(self) -> Reasoning:
        """Return the thoughts so far."""
        return self._thoughts.reasoning(self._finish or "length")

    @property
    def _is_thinking(self) -> bool:
        return self._finish is None

    def _think(self, token: int, fed: int) -> Turn:
        """Take the token after a step. The last thought allowed is fed before the call is."""
        if token == self._ids.answer:
            return self._end("answer", fed)
        if len(self._thoughts.ids) >= self._limit:
            cut = self._limit < self._max_tokens
            return self._end("context" if cut else "length", fed)
        self._thoughts.add(token)
        return Turn(RowKind.REASON, token, fed)

    def _end(self, finish: Literal["answer", "length", "context"], fed: int) -> Turn:
        self._finish = finish
        self.answer.leave_room(self._room - len(self._thoughts.ids) - len(self._call))
        return Turn(RowKind.START, self._call.pop(0), fed)

    def _answer(self, reads: Sequence[Read]) -> Turn | None:
        if self._call:
            return Turn(RowKind.START, self._call.pop(0), fed=1)
        return self.answer.advance(reads)


class Thoughts:
    """Thoughts in chunks: a grounding token starts a new one, coordinates belong to theirs."""

    def __init__(self, language: Language) -> None:
        self._ids = language.release.ids
        self._decode = language.tokenizer.decode
        self._coords = coord_values(language.dims.region.coord_bins).tolist()
        self.ids: list[int] = []
        self._chunks: list[tuple[list[int], list[int]]] = [([], [])]

    def add(self, token: int) -> None:
        """Take one token."""
        if token in (self._ids.start_ground, self._ids.end_ground):
            self._chunks.append(([], []))
        self._chunks[-1][0].append(token)
        self.ids.append(token)

    def fed(self, coord_bin: int) -> None:
        """Say that the last token was fed; it was `coord_bin` if it stands for a coordinate."""
        if self.ids[-1] == self._ids.coord:
            self._chunks[-1][1].append(coord_bin)

    def reasoning(self, finish: Literal["answer", "length", "context"]) -> Reasoning:
        """Return the text of all chunks, and the points of those that name any."""
        text = ""
        grounding: list[Grounding] = []
        for ids, bins in self._chunks:
            start = len(text)
            text += self._decode(ids)
            values = [self._coords[number] for number in bins]
            points = tuple(zip(values[::2], values[1::2], strict=False))
            if points:
                grounding.append(Grounding(start, len(text), points))
        all_bins = tuple(number for _, bins in self._chunks for number in bins)
        return Reasoning(text, tuple(grounding), tuple(self.ids), all_bins, finish)
