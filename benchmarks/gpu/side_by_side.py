"""Section 7: the engine in turns with loops built like the published code, over the same modules.

Both loops take one picture and one request at a time. One encodes the picture for every request,
the other once a frame: the published code can be used in both ways.
"""

import statistics
from functools import partial
from time import perf_counter

import torch

from benchmarks.gpu.bench import NO_TIME, Bench, Json, Pictures, answer
from benchmarks.gpu.running import Allowance
from benchmarks.plain_loop import Found, PlainLoop, all_of
from benchmarks.random_model import LABELS, frames, language, make_fresh
from pipeline.moondream import DetectRequest, DetectResult, Moondream, Result

OBJECTS = 5
FRAMES = 8
ROUNDS = 3
LOOPS = {"encode_per_request": False, "encode_once": True}


def side_by_side(bench: Bench, allowance: Allowance, found: list[Json]) -> None:
    """Take times in the precision of the figures, and compare bins in float32."""
    bench.made().end_at_once(False)
    first, *others = [(1, 4), (1, 1), *([(9, 4), (9, 1)] if bench.is_cuda else [])]
    pieces = [partial(_times, bench, *first), partial(_equal_bins, bench)]
    pieces += [partial(_times, bench, *other) for other in others]
    for piece in pieces:
        row: Json = {}
        found.append(row)
        piece(allowance, row)
        bench.tidy()
        allowance.save()


def _equal_bins(bench: Bench, allowance: Allowance, row: Json) -> None:
    """Compare in the precision where another order of sums is not another answer."""
    row.update(task="equal bins in float32", crops=1, frames=FRAMES, tasks_per_frame=4)
    if allowance.left() <= 0:
        row.update(NO_TIME)
        return
    made = bench.made(torch.float32)
    made.end_at_once(False)
    loop = PlainLoop(made.network, language(bench.dims))
    # Half of the rows at a time: this network stands beside the one of the figures.
    model = bench.model(torch.float32, max_batch=FRAMES * 2, graphs=False)
    pictures = frames(1, FRAMES, bench.dims.vision)
    ours = _bins(answer(model, pictures, _requests(4)))
    for name, once in LOOPS.items():
        theirs = _plain_bins(all_of(loop, pictures, _requests(4), encode_once=once))
        equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
        row[name] = {"equal": equal, "of": len(ours)}


def _times(bench: Bench, crops: int, tasks: int, allowance: Allowance, row: Json) -> None:
    row.update(task="detect", crops=crops, frames=FRAMES, tasks_per_frame=tasks)
    if allowance.left() <= 0:
        row.update(NO_TIME)
        return
    pictures = frames(crops, FRAMES, bench.dims.vision)
    requests = _requests(tasks)
    loop = PlainLoop(bench.made().network, language(bench.dims))
    engines = {"engine_eager": bench.model(max_batch=FRAMES * tasks, graphs=False)}
    if bench.is_cuda:
        engines["engine_graphs"] = bench.engine()
    loop.answer(pictures[0], requests[0])
    for model in engines.values():
        for _ in range(3 if bench.is_cuda else 1):
            _engine_seconds(model, pictures, requests)
    took: dict[str, list[float]] = {name: [] for name in (*LOOPS, *engines)}
    for number in range(ROUNDS):
        longest = sum(map(max, took.values())) if number else 0.0
        if number and allowance.left() < longest:
            break
        for name, once in LOOPS.items():
            make_fresh(pictures)
            started = perf_counter()
            all_of(loop, pictures, requests, encode_once=once)
            bench.wait()
            took[name].append(perf_counter() - started)
        for name, model in engines.items():
            took[name].append(_engine_seconds(model, pictures, requests))
    row["rounds"] = len(took["engine_eager"])
    row["frames_per_second"] = {
        name: FRAMES / statistics.median(times) for name, times in took.items()
    }
    for engine in engines:
        for name in LOOPS:
            ratios = [slow / fast for slow, fast in zip(took[name], took[engine], strict=True)]
            row[f"{engine}_over_{name}"] = {
                "median": statistics.median(ratios), "min": min(ratios), "max": max(ratios),
            }  # fmt: skip


def _engine_seconds(model: Moondream, pictures: Pictures, requests: list[DetectRequest]) -> float:
    make_fresh(pictures)
    started = perf_counter()
    answer(model, pictures, requests)
    return perf_counter() - started


def _requests(tasks: int) -> list[DetectRequest]:
    return [DetectRequest(label, max_objects=OBJECTS, raw=True) for label in LABELS[:tasks]]


def _bins(found: list[list[Result]]) -> list[list[list[int]]]:
    return [
        result.bins.tolist()
        for results in found
        for result in results
        if isinstance(result, DetectResult)
    ]


def _plain_bins(found: list[list[Found]]) -> list[list[list[int]]]:
    return [one.bins for own in found for one in own]
