"""How likely tokens were: the model's own probabilities, whoever else is in the batch."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.moondream import (
    CaptionRequest,
    FailedResult,
    QueryRequest,
    TextResult,
)
from pipeline.moondream.device.reads import LIKELY, N_FIELDS, N_LIKELY, TokenReader
from pipeline.moondream.device.rows import mask_words
from tests.moondream.mixes import CASES, assert_same, build, expected, submit
from tests.moondream.test_engine import run_it_again
from tests.moondream.tiny import tiny_language, tiny_release

ASKED: tuple[QueryRequest | CaptionRequest, ...] = (
    QueryRequest("what is it", max_tokens=20, logprobs=3),
    QueryRequest("why?", reasoning=True, max_tokens=7, temperature=1.0, seed=2, logprobs=1),
    CaptionRequest("long", max_tokens=18, temperature=0.7, top_p=0.9, seed=5, logprobs=20),
    CaptionRequest("short", max_tokens=9, logprobs=0),
)


def answers(engine: Any, others: int = 0) -> list[TextResult]:
    """Return the answers about one picture, beside so many other requests."""
    beside = submit(engine, CASES[:others])
    tickets = submit(engine, [(1, request) for request in ASKED])
    engine.run([*tickets, *beside])
    for case, ticket in zip(CASES, beside, strict=False):
        assert_same(ticket.result, expected(case))
    found = [ticket.result for ticket in tickets]
    assert all(isinstance(result, TextResult) for result in found)
    return [result for result in found if isinstance(result, TextResult)]


def test_every_token_of_an_answer_has_its_probability() -> None:
    """Tokens, bytes and alternatives as asked, best first, and the answer as without them."""
    for request, result in zip(ASKED, answers(build()), strict=True):
        assert_same(replace(result, logprobs=None), expected((1, replace(request, logprobs=None))))
        assert result.logprobs is not None
        assert request.logprobs is not None
        assert tuple(one.token_id for one in result.logprobs) == result.token_ids
        joined = b"".join(one.bytes for one in result.logprobs)
        assert joined.decode(errors="replace") == result.text
        for one in result.logprobs:
            assert one.logprob <= 0
            assert one.token == one.bytes.decode(errors="replace") or not one.bytes
            assert len(one.top) == request.logprobs
            values = [other.logprob for other in one.top]
            assert values == sorted(values, reverse=True)
            assert sum(map(math.exp, values)) <= 1 + 1e-5
            if not request.temperature and one.top:
                assert one.top[0].token_id == one.token_id
            same = [other.logprob for other in one.top if other.token_id == one.token_id]
            assert all(value == pytest.approx(one.logprob, abs=1e-5) for value in same)


@pytest.mark.parametrize("capture", [None, run_it_again])
def test_a_batch_changes_no_probability(capture: Any) -> None:
    """Beside objects, thoughts and other answers, and in captured cycles, they are the same."""
    alone = answers(build(max_batch=1))
    together = answers(build(capture=capture), others=30)
    for one, other in zip(alone, together, strict=True):
        assert_same(other, one)


def test_a_stop_word_has_no_probabilities_in_the_answer() -> None:
    """What is not of the text is left out, but it was generated."""
    free = expected((1, replace(ASKED[0], logprobs=None)))
    assert isinstance(free, TextResult)
    stop = free.text[8:11]
    engine = build()
    (ticket,) = submit(engine, [(1, replace(ASKED[0], stop=(stop,)))])
    engine.run([ticket])
    assert isinstance(ticket.result, TextResult)
    assert ticket.result.finish == "stop"
    assert ticket.result.logprobs is not None
    kept = len(ticket.result.logprobs)
    assert kept < len(ticket.result.token_ids) == ticket.facts.completion_tokens
    spelt = tiny_language().tokenizer.decode(ticket.result.token_ids[:kept])
    assert spelt.startswith(ticket.result.text)
    before = tiny_language().tokenizer.decode(ticket.result.token_ids[: kept - 1])
    assert len(before) < len(ticket.result.text)


@pytest.mark.parametrize("logprobs", [-1, 21, True, "5"])
def test_numbers_of_alternatives_that_cannot_be(logprobs: Any) -> None:
    """There are 0 to 20."""
    engine = build()
    (ticket,) = submit(engine, [(None, QueryRequest("hello", logprobs=logprobs))])
    assert isinstance(ticket.result, FailedResult)
    assert "0 to 20" in ticket.result.reason


def test_what_is_read_is_the_model_s_own_distribution() -> None:
    """Before temperature, top_p and masks; computed anew from the same logits."""
    reader = TokenReader(tiny_release().ids, [30], [31], torch.device("cpu"))
    logits = torch.randn(3, 512, generator=torch.Generator().manual_seed(4)) * 3
    wanted = logits.double().log_softmax(dim=-1)
    words = np.full((3, mask_words(512)), -1, dtype=np.int32)
    words[1] = 0
    words[1, 7] = np.int32(1 << 9)  # only token 7 * 32 + 9
    out, likely = torch.zeros(3, N_FIELDS), torch.zeros(3, N_LIKELY)
    tokens = reader.read(
        logits.clone(), out, None, None, allowed_BW=torch.from_numpy(words), likely_BF=likely
    )
    assert tokens.tolist() == [int(logits[0].argmax()), 7 * 32 + 9, int(logits[2].argmax())]
    for row in range(3):
        best = wanted[row].topk(LIKELY)
        assert likely[row, 0] == pytest.approx(float(wanted[row, tokens[row]]), abs=1e-5)
        assert likely[row, 1 : 1 + LIKELY].tolist() == best.indices.tolist()
        torch.testing.assert_close(likely[row, 1 + LIKELY :], best.values.float())


@pytest.mark.parametrize("place", [0, 31, 32, 511])
def test_every_bit_of_a_mask_is_its_token(place: int) -> None:
    """The lowest bit of a word is its first token, the sign bit its last."""
    reader = TokenReader(tiny_release().ids, [30], [31], torch.device("cpu"))
    words = np.zeros((1, mask_words(512)), dtype=np.uint32)
    words[0, place // 32] = np.uint32(1) << np.uint32(place % 32)
    allowed = torch.from_numpy(words.view(np.int32))
    token = reader.read(torch.randn(1, 512), torch.zeros(1, N_FIELDS), allowed_BW=allowed)
    assert token.tolist() == [place]
