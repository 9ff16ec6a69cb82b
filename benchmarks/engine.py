"""How fast the Moondream engine is, on random weights with the number of objects forced.

Examples:
    python -m benchmarks.engine --dims small --batch 8 --tasks-per-frame 4 --compare
    python -m benchmarks.engine --device cuda --dims 2b --crops 9 --objects 5 --batch 32
"""

import argparse
import resource
import statistics
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.forced_work import PlainRequest, Work
from benchmarks.plain_loop import PlainLoop, all_of
from benchmarks.random_model import (
    DIMS,
    SIZE_BY_CROPS,
    frames,
    language,
    make_fresh,
    random_network,
)
from benchmarks.roofline import Rates, least_seconds, measure
from pipeline.moondream import DetectResult, EngineOptions, PointResult, Result, TextResult
from pipeline.moondream.api import choose_device
from pipeline.moondream.batch.engine import MoondreamBatcher
from pipeline.moondream.network.network import Network

WARM_ROUNDS = 3


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default=None, help="bfloat16 on CUDA, float32 on a CPU")
    parser.add_argument("--dims", choices=DIMS, default="small")
    parser.add_argument("--crops", type=int, choices=SIZE_BY_CROPS, default=1)
    parser.add_argument("--task", choices=("detect", "point", "query", "caption"), default="detect")
    parser.add_argument("--objects", type=int, default=5, help="of a detect or point task")
    parser.add_argument("--tokens", type=int, default=20, help="of a query or caption task")
    parser.add_argument("--batch", type=int, default=8, help="frames answered together")
    parser.add_argument("--tasks-per-frame", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch on the CPU; 0: its own")
    parser.add_argument("--compare", action="store_true", help="also the plain loops")
    return parser.parse_args()


def run_engine(
    engine: MoondreamBatcher, pictures: list[NDArray[np.uint8]], tasks: list[PlainRequest]
) -> tuple[list[float], list[list[Result]]]:
    """Answer all tasks on all pictures; return each picture's latency and its results."""
    started = perf_counter()
    tickets = [engine.submit(picture, tasks) for picture in pictures]
    latency: dict[int, float] = {}
    while len(latency) < len(pictures):
        engine.step()
        for number, own in enumerate(tickets):
            if number not in latency and all(ticket.is_done for ticket in own):
                latency[number] = perf_counter() - started
    found = [[ticket.result for ticket in own if ticket.result is not None] for own in tickets]
    return [latency[number] for number in range(len(pictures))], found


def measure_engine(
    engine: MoondreamBatcher,
    pictures: list[NDArray[np.uint8]],
    tasks: list[PlainRequest],
    rounds: int,
) -> tuple[float, list[float]]:
    """Return seconds a round and the latencies of all frames; the first rounds warm up."""
    seconds, latencies = 0.0, []
    for number in range(WARM_ROUNDS + rounds):
        make_fresh(pictures)
        started = perf_counter()
        found, _ = run_engine(engine, pictures, tasks)
        if number >= WARM_ROUNDS:
            seconds += perf_counter() - started
            latencies += found
    return seconds / rounds, latencies


def peak_gigabytes(device: torch.device) -> float:
    """Return the most memory used so far: the device's, or the process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def report(
    args: argparse.Namespace, engine: MoondreamBatcher, network: Network, rates: Rates
) -> float:
    """Measure, print a table, and return seconds a round."""
    pictures = frames(args.crops, args.batch, network.dims.vision)
    asked = work_of(args)
    tasks = asked.requests()
    asked.check(run_engine(engine, pictures, tasks)[1])
    seconds, latencies = measure_engine(engine, pictures, tasks, args.rounds)
    engine.stages.is_on = True
    engine.stages.clear()
    for _ in range(args.rounds):
        make_fresh(pictures)
        run_engine(engine, pictures, tasks)
    stages = {name: total / args.rounds for name, total in engine.stages.seconds.items()}
    engine.stages.is_on = False
    load = asked.load(language(network.dims))
    least = least_seconds(network.dims, load, rates, network.dtype.itemsize)
    ordered = sorted(latencies)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    print("| figure | value |\n|---|---|")
    print(f"| matrix rate | {rates.flops / 1e12:.3f} TFLOP/s |")
    print(f"| copy bandwidth | {rates.bandwidth / 1e9:.1f} GB/s |")
    print(f"| frames a second | {args.batch / seconds:.2f} |")
    print(f"| latency p50 / p99 | {statistics.median(ordered) * 1e3:.0f} / {p99 * 1e3:.0f} ms |")
    print(f"| peak memory | {peak_gigabytes(network.device):.2f} GB |")
    print(f"| share of the roofline | {sum(least.values()) / seconds:.0%} |")
    for name, spent in stages.items():
        share = f", {least[name] / spent:.0%} of the roofline" if spent and name in least else ""
        print(f"| {name} | {spent * 1e3:.0f} ms a batch{share} |")
    return seconds


def work_of(args: argparse.Namespace) -> Work:
    """Return what is asked of each frame, and how long the answers are."""
    is_text = args.task in ("query", "caption")
    return Work(
        args.task,
        args.crops,
        args.batch,
        args.tasks_per_frame,
        objects=None if is_text else args.objects,
        tokens=args.tokens if is_text else None,
    )


def content(result: Result) -> list[list[int]] | list[int]:
    """Return bins or tokens."""
    if isinstance(result, DetectResult | PointResult):
        bins: list[list[int]] = result.bins.tolist()
        return bins
    assert isinstance(result, TextResult)
    return list(result.token_ids)


def compare(args: argparse.Namespace, engine: MoondreamBatcher, network: Network) -> None:
    """Run both plain loops and the engine in turns on the same frames and tasks.

    Processor time is printed beside the time that passed: other work on the machine disturbs it
    less, and on a device it says nothing.
    """
    pictures = frames(args.crops, args.batch, network.dims.vision)
    tasks = work_of(args).requests()
    loop = PlainLoop(network, language(network.dims))
    loop.answer(pictures[0], tasks[0])
    took: dict[str, list[tuple[float, float]]] = {"every": [], "once": [], "engine": []}
    same = dict.fromkeys(("every", "once"), 0)
    for _ in range(args.rounds):
        make_fresh(pictures)
        answers: dict[str, list[list[object]]] = {}
        for who in took:
            started, worked = perf_counter(), process_time()
            if who == "engine":
                _, found = run_engine(engine, pictures, tasks)
                answers[who] = [[content(one) for one in own] for own in found]
            else:
                plain = all_of(loop, pictures, tasks, encode_once=who == "once")
                answers[who] = [[one.bins or one.token_ids for one in own] for own in plain]
            took[who].append((perf_counter() - started, process_time() - worked))
        for who in same:
            same[who] += sum(
                ours == theirs
                for own, other in zip(answers["engine"], answers[who], strict=True)
                for ours, theirs in zip(own, other, strict=True)
            )
    passed = {who: [one[0] for one in times] for who, times in took.items()}
    worked_by = {who: [one[1] for one in times] for who, times in took.items()}
    total = args.rounds * args.batch * args.tasks_per_frame
    engine_rate = args.batch / statistics.median(passed["engine"])
    print(f"| engine, in turns with the loops | {engine_rate:.2f} frames a second |")
    for who, name in (("every", "encodes for every request"), ("once", "encodes once a frame")):
        rate = args.batch / statistics.median(passed[who])
        print(f"| loop that {name} | {rate:.2f} frames a second |")
        print(f"| ratio of processor time | {_ratios(worked_by[who], worked_by['engine'])} |")
        print(f"| ratio of time | {_ratios(passed[who], passed['engine'])} |")
        print(f"| same bins or tokens | {same[who]} of {total} answers |")


def _ratios(theirs: list[float], ours: list[float]) -> str:
    """Return the median ratio of the turns, with the least and the most."""
    ratios = [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
    return f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Measure what the command line asks for."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    default = torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype = getattr(torch, args.dtype) if args.dtype else default
    dims = DIMS[args.dims]
    made = random_network(dims, device, dtype)
    made.end_at_once(args.task in ("detect", "point") and args.objects == 0)
    network = made.network
    rows = args.batch * args.tasks_per_frame
    options = EngineOptions(
        max_batch=rows, pictures_per_prefill=min(args.batch, 16), keep_pictures=False
    )
    engine = MoondreamBatcher(network, language(dims), options)
    settings = ", ".join(
        f"{key} {value}" for key, value in vars(replace_device(args, device)).items()
    )
    print(f"{settings}; torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    report(args, engine, network, measure(device, dtype))
    if args.compare:
        compare(args, engine, network)


def replace_device(args: argparse.Namespace, device: torch.device) -> argparse.Namespace:
    """Return the settings with the device's name in place of "auto"."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return argparse.Namespace(**{**vars(args), "device": name})


if __name__ == "__main__":
    main()
