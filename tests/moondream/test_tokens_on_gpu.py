"""Stop words, log-probabilities and masks in captured CUDA graphs: as in plain operations."""

from dataclasses import replace

import pytest
import torch

from pipeline.moondream import (
    CaptionRequest,
    EngineOptions,
    QueryRequest,
    Request,
    TextResult,
)
from pipeline.moondream.batch.engine import MoondreamBatcher
from pipeline.moondream.network.network import Network
from tests.moondream.mixes import REQUESTS, NearTokens
from tests.moondream.tiny import TINY, pictures, random_state, tiny_language, tiny_release

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),  # of whatever torch such a machine has
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def network() -> Network:
    """The tiny network on the device."""
    device = torch.device("cuda", torch.cuda.current_device())
    release = tiny_release()
    state = {name: part.to(device) for name, part in random_state(TINY, release.ids).items()}
    with torch.inference_mode():
        return Network.from_state(state, TINY, release)


def engine_of(network: Network, graphs: bool) -> MoondreamBatcher:
    """Return an engine of 24 rows."""
    return MoondreamBatcher(
        network, tiny_language(), EngineOptions(24, int(2e7), graphs=graphs, warm_up=graphs)
    )


def answers(engine: MoondreamBatcher, stop: str) -> list[TextResult]:
    """Answer with masks, stop words and log-probabilities, beside all other skills."""
    requests: list[Request] = [
        QueryRequest("what is it", max_tokens=20, logprobs=5),
        QueryRequest("what is it", max_tokens=20, stop=(stop,)),
        QueryRequest("why?", max_tokens=30, mask=NearTokens(), logprobs=1),
        QueryRequest("why?", max_tokens=30, mask=NearTokens(), temperature=1.0, top_p=0.9, seed=3),
        QueryRequest("is it?", reasoning=True, max_tokens=8, mask=NearTokens(), logprobs=0),
        CaptionRequest("short", max_tokens=12, temperature=0.8, seed=4, logprobs=20),
    ]
    tickets = engine.submit(pictures()[1], [*requests, *REQUESTS])
    tickets += engine.submit(pictures()[2], requests)
    engine.run(tickets)
    found = [ticket.result for ticket in (*tickets[: len(requests)], *tickets[-len(requests) :])]
    assert all(isinstance(result, TextResult) for result in found), found
    return [result for result in found if isinstance(result, TextResult)]


def test_graphs_give_what_plain_operations_give(network: Network) -> None:
    """The same tokens, and probabilities to rounding; every cycle of the second round replays."""
    plain = engine_of(network, graphs=False)
    (first,) = plain.submit(pictures()[1], [QueryRequest("what is it", max_tokens=20)])
    plain.run([first])
    assert isinstance(first.result, TextResult)
    stop = first.result.text[8:11]
    wanted = answers(plain, stop)
    graphed = engine_of(network, graphs=True)
    answers(graphed, stop)
    before = graphed._runner._cycles.counts()
    found = answers(graphed, stop)
    after = graphed._runner._cycles.counts()
    assert after.failures == 0
    assert after.replays - before.replays > 20
    assert after.eager == before.eager
    for one, other in zip(found, wanted, strict=True):
        assert replace(one, logprobs=None, yes_probability=None, yes_no_mass=None) == replace(
            other, logprobs=None, yes_probability=None, yes_no_mass=None
        )
        assert (one.logprobs is None) == (other.logprobs is None)
        for mine, theirs in zip(one.logprobs or (), other.logprobs or (), strict=True):
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-3)
            assert len(mine.top) == len(theirs.top)
            for top, its in zip(mine.top, theirs.top, strict=True):
                assert top.logprob == pytest.approx(its.logprob, abs=1e-3)
    assert wanted[1].finish == "stop"
