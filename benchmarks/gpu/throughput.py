"""Section 4: frames a second of every kind of work, by crops and batch, with what bounds it."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from benchmarks.forced_work import Work, WrongAnswerError
from benchmarks.gpu.bench import NO_TIME, Bench, Json, Pictures, answer, counted
from benchmarks.gpu.running import Allowance, sentence
from benchmarks.random_model import frames, make_fresh
from benchmarks.roofline import least_seconds
from pipeline.moondream import Moondream

# Rounds that may go by until one of them captures nothing.
MOST_WARM_ROUNDS = 12
STAGE_ROUNDS = 2


def grid(bench: Bench) -> list[Work]:
    """Return all rows, those that goals are about first: the time may not suffice for all."""
    scale, main = bench.scale, bench.scale.batches[0]
    cells = [
        Work("detect", crops, batch, objects=objects)
        for objects in (5, 0)
        for batch in scale.batches
        for crops in scale.crops
    ]
    goals = [Work("detect", crops, main, objects=5) for crops in scale.crops[:2]]
    others = [
        Work("detect", 1, main // 4, 4, objects=5),
        Work("detect", 1, main, objects=20),
        Work("point", 1, main, objects=5),
        Work("query", 1, main, tokens=3),
        Work("query", 1, main, tokens=20),
        Work("caption", 1, main, tokens=60),
        *(replace(goal, repeated=True) for goal in goals),
        Work("detect", 1, main, 4, objects=5),  # more rows than fit: they take turns
    ]
    return list(dict.fromkeys([*goals, *others, *cells]))


def throughput(bench: Bench, allowance: Allowance, found: list[Json]) -> None:
    """Measure the rows in one engine, as many as there is time for."""
    bench.rates()
    bench.engine()
    pictures: dict[int, Pictures] = {}
    for work in grid(bench):
        row: Json = {
            "task": work.task,
            "crops": work.crops,
            "batch": work.batch,
            "tasks_per_frame": work.tasks_per_frame,
            "objects": work.objects,
            "tokens": work.tokens,
            "repeated_pictures": work.repeated,
        }
        found.append(row)
        if allowance.left() <= 0:
            row.update(NO_TIME)
            continue
        if work.crops not in pictures:
            count = max(bench.scale.batches)
            pictures[work.crops] = frames(work.crops, count, bench.dims.vision)
        try:
            row.update(measured(bench, work, pictures[work.crops][: work.batch], allowance))
        # Memory may be short for the largest rows alone; what state the engine is in is not known.
        except (RuntimeError, WrongAnswerError) as error:
            row["error"] = sentence(error)
            bench.forget_engine()
        allowance.save()


def measured(bench: Bench, work: Work, pictures: Pictures, allowance: Allowance) -> Json:
    """Return the figures of one row: rates, stages, share of the roofline, memory and graphs."""
    model = bench.engine()
    bench.made().end_at_once(work.objects == 0)
    requests = work.requests()

    def one_round() -> float:
        if not work.repeated:
            make_fresh(pictures)
        started = perf_counter()
        found = answer(model, pictures, requests)
        seconds = perf_counter() - started
        work.check(found)
        return seconds

    warm = warm_up(model, one_round)
    bench.begin_peak()
    before, encoded = model.graph_counts(), model.picture_counts()
    times: list[float] = []
    while not times or (
        (len(times) < bench.scale.least_rounds or sum(times) < bench.scale.least_seconds)
        and allowance.left() > 0
    ):
        times.append(one_round())
    now = model.picture_counts()
    reused = now.reused - encoded.reused
    if not work.repeated and (reused or now.encoded - encoded.encoded != len(times) * work.batch):
        raise WrongAnswerError(f"{reused} pictures were not encoded, though each of them was new")
    row: Json = {
        "frames_per_second": {
            "median": work.batch / statistics.median(times),
            "min": work.batch / max(times),
            "max": work.batch / min(times),
        },
        "rounds": len(times),
        "pictures_reused": reused,
        "warm_rounds": warm,
        **bench.peak_memory(),
        "graphs": counted(before, model.graph_counts()),
    }
    # With a wait after each stage: what overlaps otherwise does not here.
    stages = model.engine.stages
    stages.is_on = True
    stages.clear()
    rounds = STAGE_ROUNDS if bench.is_cuda else 1
    whole = sum(one_round() for _ in range(rounds)) / rounds
    spent = {name: seconds / rounds for name, seconds in stages.seconds.items()}
    stages.is_on = False
    load = work.load(model.language)
    least = least_seconds(bench.dims, load, bench.rates(), bench.dtype.itemsize)
    row["stages_ms"] = {name: seconds * 1e3 for name, seconds in spent.items()}
    row["stages_ms"]["host"] = (whole - sum(spent.values())) * 1e3
    row["roofline"] = {
        name: least[name] / seconds for name, seconds in spent.items() if name in least and seconds
    }
    row["roofline"]["whole"] = sum(least.values()) / statistics.median(times)
    decode = spent.get("decode", 0.0)
    row["steps_per_second"] = load.steps / decode if decode and load.steps else None
    return row


def warm_up(model: Moondream, one_round: Callable[[], object]) -> int:
    """Run rounds until one of them captured nothing; return how many that were."""
    for number in range(1, MOST_WARM_ROUNDS + 1):
        before = model.graph_counts()
        one_round()
        # What runs eagerly is captured right after it, or never will be.
        if model.graph_counts().captures == before.captures:
            return number
    return MOST_WARM_ROUNDS
