"""Section 5: how long one question takes, alone and while others run, and the first token."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from benchmarks.forced_work import QUESTION, WrongAnswerError
from benchmarks.gpu.bench import NO_TIME, Bench, Json, Pictures, counted
from benchmarks.gpu.running import Allowance
from benchmarks.random_model import frames, make_fresh
from pipeline.moondream import CaptionRequest, FailedResult, Moondream, QueryRequest, Request
from pipeline.moondream.batch.strands import RequestTicket

ANSWER_TOKENS = 3
# Neighbours write until they are replaced.
LONG_TEXT = 600


def latency(bench: Bench, allowance: Allowance, found: list[Json]) -> None:
    """Measure each case with its first run apart, and as many others as there is time for."""
    bench.made().end_at_once(False)
    question = QueryRequest(QUESTION, max_tokens=ANSWER_TOKENS)
    first_token = CaptionRequest("normal", max_tokens=1)
    cases: list[tuple[str, Request, int]] = [
        ("question of 3 tokens", question, 0),
        ("first token of a caption", first_token, 0),
        ("question of 3 tokens", question, bench.scale.neighbours),
        ("first token of a caption", first_token, bench.scale.neighbours),
    ]
    model = bench.engine()
    for crops in bench.scale.crops[:2]:
        for name, request, neighbours in cases:
            row: Json = {"task": name, "crops": crops, "other_rows": neighbours}
            found.append(row)
            if allowance.left() <= 0:
                row.update(NO_TIME)
                continue
            row.update(_measured(bench, model, request, crops, neighbours, allowance))
            allowance.save()


def _measured(
    bench: Bench,
    model: Moondream,
    request: Request,
    crops: int,
    neighbours: int,
    allowance: Allowance,
) -> Json:
    pictures = frames(crops, 1, bench.dims.vision)
    crowd = _Neighbours(model, frames(1, neighbours, bench.dims.vision))
    crowd.fill()
    started = perf_counter()
    _one(model, pictures, request)
    first = perf_counter() - started
    before = model.graph_counts()
    times: list[float] = []
    while len(times) < bench.scale.latency_runs and (not times or allowance.left() > 0):
        crowd.fill()
        make_fresh(pictures)
        started = perf_counter()
        _one(model, pictures, request)
        times.append(perf_counter() - started)
    crowd.leave()
    return {
        "first_ms": first * 1e3,
        **percentiles(times),
        "runs": len(times),
        "graphs": counted(before, model.graph_counts()),
    }


def _one(model: Moondream, pictures: Pictures, request: Request) -> None:
    (ticket,) = model.engine.submit(pictures[0], [request])
    model.engine.run([ticket])
    if isinstance(ticket.result, FailedResult):
        raise WrongAnswerError(f"a request failed: {ticket.result.reason}")


class _Neighbours:
    """Rows that go on writing long texts beside what is measured."""

    def __init__(self, model: Moondream, pictures: Pictures) -> None:
        self._model, self._pictures = model, pictures
        self._tickets: list[RequestTicket] = []

    def fill(self) -> None:
        """Replace those that have ended, and step until all of them write."""
        self._tickets = [ticket for ticket in self._tickets if not ticket.is_done]
        missing = len(self._pictures) - len(self._tickets)
        for picture in self._pictures[:missing]:
            request = CaptionRequest("long", max_tokens=LONG_TEXT)
            self._tickets += self._model.engine.submit(picture, [request])
        while self._pictures and self._model.engine.in_use().waiting:
            self._model.engine.step()

    def leave(self) -> None:
        """Cancel all of them."""
        for ticket in self._tickets:
            ticket.cancel()
        self._model.engine.step()


def percentiles(seconds: Sequence[float]) -> Json:
    """Return the middle and the tail of some times, in milliseconds."""
    values = np.percentile(np.array(seconds) * 1e3, (50, 95, 99))
    return {f"p{at}_ms": float(value) for at, value in zip((50, 95, 99), values, strict=True)}
