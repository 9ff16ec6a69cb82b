"""What a request took, for accounts; and what is said of requests at the edge of what can be."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.moondream import (
    CaptionRequest,
    CountRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    MaskError,
    Moondream,
    MoondreamError,
    PointRequest,
    QueryRequest,
    Request,
    RequestError,
    RequestFacts,
    TextResult,
    TooLongError,
)
from pipeline.moondream.batch.engine import MoondreamBatcher
from pipeline.moondream.batch.plan import plan
from tests.moondream.mixes import assert_clean, assert_same, build, submit
from tests.moondream.test_structured import Stumbling
from tests.moondream.tiny import TINY, pictures, tiny_language, tiny_network

QUESTION = QueryRequest("what is it", max_tokens=12)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_prompt_and_generated_tokens_are_counted() -> None:
    """Positions of the picture with its start token, words with their template, tokens written."""
    engine = build()
    requests: tuple[Request, ...] = (
        QUESTION,
        QueryRequest("is it?", reasoning=True, max_tokens=10),
        CaptionRequest("short", max_tokens=9),
        DetectRequest("person", 6),
        PointRequest("person", 5),
        CountRequest("car", max_objects=4),
        QueryRequest("which?", choices=("red", "blue car")),
    )
    tickets = engine.submit(pictures()[1], requests)
    engine.run(tickets)
    for request, ticket in zip(requests, tickets, strict=True):
        facts, result = ticket.facts, ticket.result
        skills = plan(request, tiny_language(), has_picture=True).skills
        assert facts.image_tokens == TINY.prefix_len == 10
        assert facts.text_tokens == sum(len(skill.prompt.ids) for skill in skills)
        assert facts.prompt_tokens == facts.image_tokens + facts.text_tokens
        if isinstance(result, TextResult) and result.choices is None:
            thoughts = 0 if result.reasoning is None else len(result.reasoning.token_ids)
            assert facts.reasoning_tokens == thoughts
            assert facts.completion_tokens == thoughts + len(result.token_ids) > 0
        elif isinstance(result, DetectResult):
            assert facts.completion_tokens == 3 * len(result.bins)
        else:
            assert facts.reasoning_tokens == 0
    (alone,) = engine.submit(None, [QUESTION])
    engine.run([alone])
    assert (alone.facts.image_tokens, alone.facts.crops) == (0, 0)
    assert alone.facts.prompt_tokens == alone.facts.text_tokens > 0
    assert not alone.facts.picture_was_kept


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(("number", "crops"), [(4, 1), (1, 13), (3, 9)])
def test_crops_of_a_picture(number: int, crops: int, keep: bool) -> None:
    """As many as were encoded, also where they are still there; one where no more are allowed."""
    engine = build(keep_pictures=keep)
    first, *_ = engine.submit(pictures()[number], [QUESTION, QUESTION])
    engine.run([first])
    (again,) = engine.submit(pictures()[number].copy(), [QUESTION])
    engine.run([again])
    (coarse,) = engine.submit(pictures()[number], [QUESTION], max_crops=1)
    engine.run([coarse])
    assert (first.facts.crops, first.facts.picture_was_kept) == (crops, False)
    assert (again.facts.crops, again.facts.picture_was_kept) == (crops, keep)
    assert coarse.facts.crops == 1
    assert coarse.facts.picture_was_kept == (keep and crops == 1)


def test_where_the_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    """In line, in the prefill, and in cycles; then it stands still."""
    clock = Clock()
    engine = MoondreamBatcher(tiny_network(), tiny_language(), clock=clock)
    (ticket,) = engine.submit(None, [replace(QUESTION, temperature=50.0, top_p=1.0, seed=1)])
    clock.now += 2
    assert ticket.facts == replace(ticket.facts, queued_ms=2000, prefill_ms=0, decode_ms=0)
    prefill = engine._runner.prefill

    def slow(*args: Any) -> Any:
        clock.now += 3
        return prefill(*args)

    monkeypatch.setattr(engine._runner, "prefill", slow)
    engine.step()
    clock.now += 5
    facts = ticket.facts
    assert (facts.queued_ms, facts.prefill_ms, facts.decode_ms) == (2000, 3000, 5000)
    assert facts.completion_tokens == 1
    engine.run([ticket])
    clock.now += 7
    assert ticket.facts == replace(facts, completion_tokens=12)


def test_what_was_cancelled_has_its_account() -> None:
    """In line and in its midst: what it took until then, and no more."""
    clock = Clock()
    engine = MoondreamBatcher(tiny_network(), tiny_language(), clock=clock)
    request = replace(QUESTION, max_tokens=90, temperature=50.0, top_p=1.0, seed=1, stop=("zebra",))
    running, waiting = engine.submit(pictures()[1], [request, request])
    waiting.cancel()
    for _ in range(4):
        clock.now += 1
        engine.step()
    assert isinstance(waiting.result, FailedResult)
    assert (waiting.result.code, waiting.facts.completion_tokens) == ("cancelled", 0)
    assert (waiting.facts.queued_ms, waiting.facts.prefill_ms) == (1000, 0)
    given = list(running.pieces)
    running.cancel()
    clock.now += 1
    engine.step()
    assert isinstance(running.result, FailedResult)
    assert running.result.code == "cancelled"
    last = running.facts
    assert last.completion_tokens == 4
    assert (last.crops, last.image_tokens) == (13, 10)
    assert (last.queued_ms, last.decode_ms) == (1000, 4000)
    clock.now += 9
    assert running.facts == last
    assert list(running.pieces) == given
    assert_clean(engine)


def failed(request: Any, picture: Any = None) -> FailedResult:
    """Return why a request fails."""
    engine = build()
    (ticket,) = engine.submit(picture, [request])
    engine.run([ticket])
    assert isinstance(ticket.result, FailedResult), ticket.result
    return ticket.result


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (QueryRequest("z" * 400), "too_long", "the prompt has 405 tokens, 256 too many"),
        (QueryRequest("x" * 1_000_000), "too_long", "1000000 letters"),
        (DetectRequest("z" * 142), "too_long", "of the model's 160 positions 10 are for the"),
        (QueryRequest("z" * 143, reasoning=True), "too_long", "for reasoning and an answer"),
        (QueryRequest(" "), "bad_request", "question is ' '"),
        (QueryRequest("x", temperature=-0.5), "bad_request", "temperature is -0.5"),
        (QueryRequest("x", temperature=float("nan")), "bad_request", "temperature is nan"),
        (QueryRequest("x", top_p=1.5), "bad_request", "top_p is 1.5; it must be 0 to 1"),
        (QueryRequest("x", max_tokens=0), "bad_request", "max_tokens is 0"),
        (QueryRequest("x", seed=2**63), "bad_request", "seed is 9223372036854775808"),
        (CaptionRequest("tiny"), "bad_request", "caption length 'tiny'"),  # type: ignore[arg-type]
    ],
)
def test_failures_have_their_numbers_and_their_code(request_: Any, code: str, said: str) -> None:
    """A server can tell a prompt that is too long from a field that is wrong."""
    result = failed(request_, pictures()[0])
    assert result.code == code
    assert said in result.reason


def test_a_picture_that_is_none_is_its_own_fault() -> None:
    """Its code says so."""
    assert failed(QUESTION, b"no picture").code == "bad_picture"


def test_too_long_says_by_how_many_tokens() -> None:
    """So many fewer, and it is answered."""
    language = tiny_language()
    with pytest.raises(TooLongError) as raised:
        plan(QueryRequest("z" * 300), language, has_picture=True)
    over = raised.value.tokens - raised.value.room
    assert f"{over} too many" in str(raised.value)
    engine = build()
    (fits, not_quite) = engine.submit(
        pictures()[0], [QueryRequest("z" * (300 - over)), QueryRequest("z" * (301 - over))]
    )
    engine.run([fits, not_quite])
    assert isinstance(fits.result, TextResult)
    assert len(fits.result.token_ids) <= 1
    assert isinstance(not_quite.result, FailedResult)


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 0.5, 2.0])
@pytest.mark.parametrize("top_p", [0.0, 0.3, 1.0])
def test_temperatures_and_nuclei_at_their_edges(temperature: float, top_p: float) -> None:
    """A top_p of 0 is the likeliest token, whatever the temperature; a seed repeats the others."""
    engine = build()
    request = replace(QUESTION, temperature=temperature, top_p=top_p, seed=-(2**63))
    greedy, one, other = engine.submit(pictures()[0], [QUESTION, request, request])
    engine.run([greedy, one, other])
    assert isinstance(one.result, TextResult)
    assert_same(other.result, one.result)
    assert isinstance(greedy.result, TextResult)
    if top_p == 0 or temperature < 1e-4:
        assert one.result.token_ids == greedy.result.token_ids
    elif temperature == 2.0 and top_p == 1.0:
        assert one.result.token_ids != greedy.result.token_ids


def test_an_answer_of_one_token() -> None:
    """It is the first of the longer answer, and ended by its length."""
    engine = build()
    one, more = engine.submit(pictures()[0], [replace(QUESTION, max_tokens=1), QUESTION])
    engine.run([one, more])
    assert isinstance(one.result, TextResult)
    assert isinstance(more.result, TextResult)
    assert one.result.token_ids == more.result.token_ids[:1]
    assert one.result.finish == "length"
    assert one.facts.completion_tokens == 1


def test_streams_with_stop_words_and_all_else() -> None:
    """The pieces are the text of the answer; what fails is raised as its own kind."""
    model = Moondream(tiny_network(), tiny_language())
    request = replace(QUESTION, max_tokens=40)
    whole = model.query(pictures()[0], "what is it", max_tokens=40)
    stop = whole.text[9:12]
    rich = replace(request, stop=(stop,), logprobs=2, seed=3, top_p=1.0)
    assert "".join(model.stream(pictures()[0], rich)) == whole.text[: whole.text.find(stop)]
    stream = model.stream(pictures()[0], request)
    next(stream)
    stream.close()
    for bad, kind in (
        (QueryRequest("z" * 400), TooLongError),
        (QueryRequest("x", top_p=2.0), RequestError),
        (replace(request, mask=Stumbling(512, 1)), MaskError),
    ):
        with pytest.raises(kind):
            list(model.stream(pictures()[0], bad))
        with pytest.raises(MoondreamError):
            model.query(pictures()[0], bad.question, top_p=bad.top_p, mask=bad.mask)
    model.engine.step()
    assert_clean(model.engine)


def test_facts_of_a_request_that_never_began() -> None:
    """Nothing was taken."""
    engine = build()
    (ticket,) = submit(engine, [(None, QueryRequest(""))])
    assert ticket.facts == replace(RequestFacts(), queued_ms=ticket.facts.queued_ms)
