"""The engine: the same answers however requests come together, and nothing left behind."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.plain_loop import PlainLoop
from pipeline.moondream import (
    CaptionRequest,
    CountRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    TextResult,
)
from pipeline.moondream.device import graphs
from pipeline.moondream.device.graphs import Capture, Work
from tests.moondream.mixes import (
    CASES,
    ENGINES,
    REQUESTS,
    WITHOUT_PICTURE,
    Case,
    assert_clean,
    assert_same,
    build,
    expected,
    run_mix,
    submit,
)
from tests.moondream.test_uploads import LateLane
from tests.moondream.tiny import TINY, pictures, tiny_language, tiny_network, tiny_release


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the tiny network off the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_cases_tell_something() -> None:
    """The random network gives different answers to different cases, of different lengths."""
    found = [expected(case) for case in CASES]
    boxes = {len(result) for result in found if isinstance(result, DetectResult)}
    texts = {result.text for result in found if isinstance(result, TextResult)}
    thoughts = [r.reasoning for r in found if isinstance(r, TextResult) and r.reasoning]
    assert len(boxes) >= 3
    assert len(texts) >= 15
    assert {thought.finish for thought in thoughts} == {"answer", "length"}
    assert any(thought.coord_bins for thought in thoughts)
    assert not any(isinstance(result, FailedResult) for result in found)


@pytest.mark.parametrize(("max_batch", "megabytes"), ENGINES)
def test_all_cases_side_by_side(max_batch: int, megabytes: float) -> None:
    """All skills in one batch answer as each does alone, whatever has to wait."""
    engine = build(max_batch, megabytes)
    tickets = submit(engine, CASES)
    engine.run(tickets)
    for case, ticket in zip(CASES, tickets, strict=True):
        assert_same(ticket.result, expected(case))
    assert_clean(engine)


@pytest.mark.parametrize("seed", range(4))
def test_random_mixes(seed: int) -> None:
    """Order, batch, mix, arrival in mid-flight and cancellation change no answer."""
    rng = random.Random(seed)
    engine = build(*ENGINES[seed], keep_pictures=False)
    for _ in range(15):
        run_mix(engine, rng)
    assert engine.picture_counts().reused == engine.in_use().kept_pages == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(20))
def test_two_thousand_random_mixes(seed: int) -> None:
    """The same, two thousand times."""
    rng = random.Random(1000 + seed)
    capture = (None, run_it_again, refuse_some(seed))[seed % 3]
    engine = build(*ENGINES[seed % len(ENGINES)], capture=capture, keep_pictures=seed % 2 == 0)
    for _ in range(100):
        run_mix(engine, rng)


@pytest.mark.parametrize("number", range(len(pictures())))
def test_second_opinion(number: int) -> None:
    """A plain loop with a full mask and no sharing gives the same objects and words."""
    loop = PlainLoop(tiny_network(), tiny_language())
    for request in REQUESTS:
        if isinstance(request, DetectRequest) and not request.raw:
            continue
        if isinstance(request, QueryRequest) and (request.reasoning or request.choices):
            continue
        if isinstance(request, QueryRequest) and (request.spatial_refs or request.stop):
            continue
        if isinstance(request, CountRequest) or (
            isinstance(request, CaptionRequest) and request.temperature
        ):
            continue
        plain = loop.answer(pictures()[number], request)
        found = expected((number, request))
        if isinstance(found, DetectResult | PointResult):
            assert found.bins.tolist() == plain.bins
        else:
            assert isinstance(found, TextResult)
            assert list(found.token_ids) == plain.token_ids


def test_choices_follow_the_chain_rule() -> None:
    """A choice is as likely as its tokens one after the other, and the end after them."""
    request = REQUESTS[-1]
    assert isinstance(request, QueryRequest)
    assert request.choices is not None
    loop = PlainLoop(tiny_network(), tiny_language())
    logs = {
        words: loop.log_probability(pictures()[0], request.question, words)
        for words in request.choices
    }
    total = sum(np.exp(value) for value in logs.values())
    found = expected((0, request))
    assert isinstance(found, TextResult)
    assert found.choices == pytest.approx({k: np.exp(v) / total for k, v in logs.items()}, rel=1e-3)
    assert found.text == max(logs, key=lambda words: logs[words])


def run_it_again(work: Work) -> Work:
    """Capture nothing, as a CPU does not: what would be replayed is run."""
    return work


def refuse_some(seed: int) -> Capture:
    """Return captures of which every other one fails, at random."""
    rng = random.Random(seed)

    def capture(work: Work) -> Work:
        if rng.random() < 0.5:
            raise RuntimeError("no memory for this one")
        return work

    return capture


@pytest.mark.parametrize(("max_batch", "megabytes"), ENGINES)
def test_graphs_of_a_ladder_change_nothing(max_batch: int, megabytes: float) -> None:
    """Rows, pages, lanes and blocks a graph has beyond those in use do no harm."""
    engine = build(max_batch, megabytes, capture=run_it_again)
    assert engine.graph_counts().captures > 0
    warm = engine.graph_counts().eager
    tickets = submit(engine, CASES)
    engine.run(tickets)
    for case, ticket in zip(CASES, tickets, strict=True):
        assert_same(ticket.result, expected(case))
    assert_clean(engine)
    # Only programs that draw at random, or point alone, are met unprepared.
    assert engine.graph_counts().eager - warm <= 3 * len(engine._runner._cycles.rungs)


@pytest.mark.parametrize("seed", range(4))
def test_random_mixes_in_graphs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same mixes where what runs is moved to the low places, and where captures fail."""
    # So tight that whatever lies high has to move.
    for name in ("BLOCKS_PER_ROW", "TABLE_CELLS", "LEAST_ROW_BLOCKS"):
        monkeypatch.setattr(graphs, name, 1)
    monkeypatch.setattr(graphs, "MORE_BLOCKS", 0)
    rng = random.Random(40 + seed)
    capture = refuse_some(seed) if seed % 2 else run_it_again
    engine = build(*ENGINES[seed], capture=capture)
    for _ in range(8):
        run_mix(engine, rng)
    counts = engine.graph_counts()
    assert counts.replays > 0
    assert (counts.failures > 0) == bool(seed % 2)


def test_more_requests_than_lanes() -> None:
    """A picture with very many requests is encoded once and works through them."""
    engine = build()
    tickets = engine.submit(pictures()[1], REQUESTS * 3)
    engine.step()
    assert engine.in_use().pages == 1
    engine.run(tickets)
    for request, ticket in zip(REQUESTS * 3, tickets, strict=True):
        assert_same(ticket.result, expected((1, request)))


def untyped(kind: Any, *values: Any, **fields: Any) -> Any:
    """Return a request whose fields need not have their types."""
    return kind(*values, **fields)


def test_bad_ones_fail_alone() -> None:
    """A broken picture and impossible requests get a sentence, their neighbours an answer."""
    engine = build()
    bad: list[Any] = [
        DetectRequest(""),
        PointRequest("car", 0),
        QueryRequest("x " * 300),
        QueryRequest("x", temperature=-1),
        QueryRequest("x", top_p=-0.1),
        QueryRequest("x", choices=("one",)),
        QueryRequest("x", choices=("a", "b"), reasoning=True),
        QueryRequest("x", spatial_refs=((0.5, 1.5),)),
        untyped(QueryRequest, "x", spatial_refs=((0.5,),)),
        untyped(CaptionRequest, "huge"),
        untyped(CountRequest, "car", by="guess"),
        untyped(QueryRequest, "x", max_tokens="many"),
        "detect a car",
    ]
    mixed = engine.submit(pictures()[0], [REQUESTS[0], *bad, REQUESTS[2]])
    broken = engine.submit(np.zeros((3, 4), np.uint8), [REQUESTS[0], REQUESTS[6]])
    blind = engine.submit(None, [DetectRequest("car"), CaptionRequest(), WITHOUT_PICTURE[0]])
    engine.run([*mixed, *broken, *blind])
    assert_same(mixed[0].result, expected((0, REQUESTS[0])))
    assert_same(mixed[-1].result, expected((0, REQUESTS[2])))
    assert_same(blind[-1].result, expected((None, WITHOUT_PICTURE[0])))
    for ticket in (*mixed[1:-1], *broken, *blind[:-1]):
        assert isinstance(ticket.result, FailedResult)
        assert len(ticket.result.reason) > 10
    assert_clean(engine)


def test_overflow_fails_the_picture_alone() -> None:
    """Not-a-number in one picture's keys fails its requests and spoils no one who comes after."""
    engine = build(max_batch=6)
    spoilt: list[Case] = [(0, REQUESTS[0]), (0, REQUESTS[6])]
    sound: list[Case] = [(1, REQUESTS[0]), (1, REQUESTS[4])]
    tickets = submit(engine, spoilt + sound)
    engine.step()
    engine._cache.page_v[:, 0] = torch.nan
    engine.run(tickets)
    for ticket in tickets[:2]:
        assert isinstance(ticket.result, FailedResult)
        assert "overflowed" in ticket.result.reason
    for case, ticket in zip(sound, tickets[2:], strict=True):
        assert_same(ticket.result, expected(case))
    again = submit(engine, CASES[: len(REQUESTS)])
    engine.run(again)
    assert engine.picture_counts() == (3, 0, 0)  # the spoilt page is not kept
    for case, ticket in zip(CASES, again, strict=False):
        assert_same(ticket.result, expected(case))


def test_text_stops_at_the_last_position() -> None:
    """A text longer than the model's positions is cut there, and says so."""
    engine = build()
    prompt = len(tiny_release().text_only_prompt(tiny_language().tokenizer, "go on"))
    endless = QueryRequest("go on", max_tokens=10_000, temperature=50.0, top_p=1.0, seed=0)
    (alone,) = engine.submit(None, [endless])
    seen = engine.submit(pictures()[0], [endless, replace(endless, reasoning=True)])
    engine.run([alone, *seen])
    assert isinstance(alone.result, TextResult)
    assert alone.result.finish == "context"
    assert len(alone.result.token_ids) == TINY.text.max_context - prompt
    for ticket in seen:
        assert isinstance(ticket.result, TextResult)
        assert ticket.result.finish in ("end", "context")
    assert_clean(engine)


def test_objects_stop_at_the_last_position() -> None:
    """A list longer than the model's positions is cut there and called saturated."""
    engine = build()
    requests: list[Request] = [DetectRequest("car", 10_000, raw=True), PointRequest("car", 10_000)]
    tickets = engine.submit(pictures()[4], requests)
    engine.run(tickets)
    for ticket in tickets:
        assert isinstance(ticket.result, DetectResult | PointResult)
        assert len(ticket.result) < TINY.text.max_context
    assert_clean(engine)


class BrokenFile:
    """A picture whose library raises what no picture of ours knows of."""

    def convert(self, _: str) -> Any:
        """Refuse to be read."""
        raise KeyError("no such plugin")


def test_a_picture_that_raises_anything_fails_alone() -> None:
    """Whatever a library says of a broken file: others, running or in line, are answered."""
    engine = build(side_lane=LateLane())
    (text,) = submit(engine, CASES[-2:-1])
    engine.step()
    broken: Any = BrokenFile()
    (bad,) = engine.submit(broken, [REQUESTS[0]])
    (good,) = engine.submit(pictures()[0], [REQUESTS[0]])
    engine.run([bad, good, text])
    assert isinstance(bad.result, FailedResult)
    assert "cutting the picture failed: KeyError: 'no such plugin'" in bad.result.reason
    assert_same(good.result, expected((0, REQUESTS[0])))
    assert_same(text.result, expected(CASES[-2]))
    assert_clean(engine)


@pytest.mark.parametrize("is_read", [False, True])
def test_a_step_that_breaks_off_is_not_gone_on_with(
    is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows may be a step further on the device than here: they fail, and no answer is wrong."""
    engine = build()
    cases = [CASES[0], CASES[4], CASES[6]]
    tickets = submit(engine, cases)
    for _ in range(3):
        engine.step()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if is_read:
            patched.setattr(engine._runner._buffers, "read_back", interrupted)
        else:
            patched.setattr("pipeline.moondream.skills.text.TextSkill.advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.step()
    waiting = submit(engine, cases)
    engine.run([*tickets, *waiting])
    for case, ticket in zip(cases * 2, [*tickets, *waiting], strict=True):
        if isinstance(ticket.result, FailedResult):
            assert ticket in tickets
            assert "a step failed: KeyboardInterrupt" in ticket.result.reason
        else:
            assert_same(ticket.result, expected(case))
    assert_clean(engine)
