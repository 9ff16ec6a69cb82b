"""Cases for the engine, what each gives alone, and random mixes of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.moondream import (
    CaptionRequest,
    CountRequest,
    DetectRequest,
    DetectResult,
    EngineOptions,
    FailedResult,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    Result,
    TextResult,
    TokenLogprob,
)
from pipeline.moondream.batch.engine import MoondreamBatcher
from pipeline.moondream.batch.strands import RequestTicket
from pipeline.moondream.device.graphs import Capture
from pipeline.moondream.device.kernels.loading import StepKernels
from pipeline.moondream.pictures.uploads import SideLane
from tests.moondream.tiny import TINY, pictures, tiny_language, tiny_network


@dataclass(eq=False)
class NearTokens:
    """A mask of the 32 tokens of one word, which the token before says."""

    vocab_size: int = TINY.text.vocab_size
    taken: list[int] = field(default_factory=list)

    def begin(self) -> "NearTokens":
        """Return one answer's state."""
        return NearTokens(self.vocab_size)

    is_complete = False

    def allowed(self) -> NDArray[np.int32]:
        """Return one word of ones."""
        words = np.zeros(self.vocab_size // 32, dtype=np.int32)
        words[word_after(self.taken[-1] if self.taken else 0)] = -1
        return words

    def take(self, token: int) -> None:
        """Note a token, which must have been allowed."""
        assert token // 32 == word_after(self.taken[-1] if self.taken else 0)
        self.taken.append(token)


def word_after(token: int) -> int:
    """Return the word that may follow a token; never the first, which has the end."""
    return 1 + (token * 7 + 3) % (TINY.text.vocab_size // 32 - 1)


REQUESTS: tuple[Request, ...] = (
    DetectRequest("person", 6),
    DetectRequest("car", 3, raw=True),
    PointRequest("person", 5),
    CountRequest("car", by="point", max_objects=4),
    CaptionRequest("short", max_tokens=9),
    CaptionRequest("long", max_tokens=18, temperature=0.7, top_p=0.9, seed=5),
    QueryRequest("what is it", max_tokens=12),
    QueryRequest("is it?", reasoning=True, max_tokens=10),
    QueryRequest("why?", reasoning=True, max_tokens=7, temperature=1.0, top_p=0.8, seed=2),
    QueryRequest("where?", spatial_refs=((0.2, 0.3), (0.1, 0.2, 0.5, 0.9)), max_tokens=6),
    QueryRequest("what is it", max_tokens=20, stop=("zebra", "ing", "a "), logprobs=2),
    CaptionRequest("normal", max_tokens=25, temperature=0.9, seed=4, mask=NearTokens()),
    QueryRequest("who?", reasoning=True, max_tokens=8, mask=NearTokens(), logprobs=0, stop=("e",)),
    QueryRequest("which?", choices=("red", "blue car", "a")),
)
WITHOUT_PICTURE: tuple[Request, ...] = (
    QueryRequest("hello", max_tokens=20),
    QueryRequest("hello", reasoning=True, max_tokens=6),
)
Case = tuple[int | None, Request]
CASES: tuple[Case, ...] = (
    *((number, request) for number in range(len(pictures())) for request in REQUESTS),
    *((None, request) for request in WITHOUT_PICTURE),
)
# Rows, and megabytes for keys and values: one by one, short of memory, short of rows, ample.
ENGINES = ((1, 1.0), (8, 0.2), (5, 20.0), (24, 20.0))


def build(
    max_batch: int = 24,
    megabytes: float = 20.0,
    per_prefill: int = 3,
    capture: Capture | None = None,
    side_lane: SideLane | None = None,
    kernels: StepKernels | None = None,
    **options: Any,
) -> MoondreamBatcher:
    """Return an engine around the tiny network."""
    chosen = EngineOptions(max_batch, int(megabytes * 1e6), 2, per_prefill, **options)
    return MoondreamBatcher(tiny_network(), tiny_language(), chosen, capture, side_lane, kernels)


def submit(engine: MoondreamBatcher, cases: Sequence[Case]) -> list[RequestTicket]:
    """Put cases in line, those of a picture that stand together with one encoding."""
    tickets: list[RequestTicket] = []
    at = 0
    while at < len(cases):
        number = cases[at][0]
        end = next((i for i in range(at, len(cases)) if cases[i][0] != number), len(cases))
        picture = None if number is None else pictures()[number]
        tickets += engine.submit(picture, [request for _, request in cases[at:end]])
        at = end
    return tickets


@cache
def expected(case: Case) -> Result:
    """Return what a case gives alone, in an engine of one row."""
    engine = build(max_batch=1)
    (ticket,) = submit(engine, [case])
    engine.run([ticket])
    assert ticket.result is not None
    return ticket.result


def assert_same(found: Result | None, wanted: Result) -> None:
    """Compare results: choices exactly, probabilities to rounding."""
    assert type(found) is type(wanted), (found, wanted)
    if isinstance(found, DetectResult | PointResult):
        assert isinstance(wanted, DetectResult | PointResult)
        assert found.bins.tolist() == wanted.bins.tolist()
        assert found.saturated == wanted.saturated
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-3)
    elif isinstance(found, TextResult):
        assert isinstance(wanted, TextResult)
        assert (found.text, found.token_ids) == (wanted.text, wanted.token_ids)
        assert (found.pieces, found.finish) == (wanted.pieces, wanted.finish)
        assert found.reasoning == wanted.reasoning
        assert_alike(found.logprobs, wanted.logprobs)
        if wanted.yes_probability is not None:
            assert found.yes_probability == pytest.approx(wanted.yes_probability, rel=1e-3)
        if wanted.choices is not None:
            assert found.choices == pytest.approx(wanted.choices, rel=1e-3)
    else:
        assert found == wanted


def assert_alike(
    found: Sequence[TokenLogprob] | None, wanted: Sequence[TokenLogprob] | None
) -> None:
    """Compare to rounding; alternatives that are alike likely may change places."""
    assert (found is None) == (wanted is None)
    for one, other in zip(found or (), wanted or (), strict=True):
        assert (one.token_id, len(one.top)) == (other.token_id, len(other.top))
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        for mine, theirs in zip(one.top, other.top, strict=True):
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-3)


def assert_clean(engine: MoondreamBatcher) -> None:
    """Every row, page and block was given back; pages may be kept, but every one can be taken."""
    assert engine.is_idle
    use = engine.in_use()
    assert (use.rows, use.pages, use.blocks, use.reserved_blocks) == (0, 0, 0, 0)


def run_mix(engine: MoondreamBatcher, rng: random.Random) -> None:
    """Send a random mix in at random moments, give some up, and check all the others."""
    cases = rng.choices(CASES, k=rng.randint(1, 10))
    waves: list[list[Case]] = []
    while cases:
        count = rng.randint(1, len(cases))
        waves.append(cases[:count])
        cases = cases[count:]
    sent: list[tuple[Case, RequestTicket]] = []
    for wave in waves:
        sent += zip(wave, submit(engine, wave), strict=True)
        for _ in range(rng.randint(0, 6)):
            engine.step()
        if rng.random() < 0.3:
            rng.choice(sent)[1].cancel()
    engine.run([ticket for _, ticket in sent])
    engine.step()
    for case, ticket in sent:
        if ticket.is_cancelled and isinstance(ticket.result, FailedResult):
            assert "cancelled" in ticket.result.reason
        else:
            assert_same(ticket.result, expected(case))
    assert_clean(engine)
