"""How fast the Moondream engine is, on random weights with the number of objects forced.

Examples:
    python -m benchmarks.engine --dims small --batch 8 --tasks-per-frame 4 --compare
    python -m benchmarks.engine --device cuda --dims 2b --crops 9 --objects 5 --batch 32
"""

import argparse
import resource
import statistics
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from benchmarks.plain_loop import PlainLoop
from benchmarks.roofline import Rates, Workload, least_seconds, measure
from pipeline.moondream import DetectRequest, DetectResult, EngineOptions
from pipeline.moondream.api import choose_device
from pipeline.moondream.dims import DIMS_05B, DIMS_2B, Dims, RegionDims, TextDims, VisionDims
from pipeline.moondream.engine import MoondreamBatcher
from pipeline.moondream.network import Network
from pipeline.moondream.releases import LATEST_RELEASE, RELEASES
from pipeline.moondream.skills.base import Language
from pipeline.moondream.tensors import tensor_table
from pipeline.moondream.tokenizer import TextTokenizer

SMALL = Dims(
    text=TextDims(dim=256, ff_dim=1024, n_layers=6, vocab_size=8192, n_heads=4, n_kv_heads=4),
    vision=VisionDims(
        enc_dim=192,
        enc_ff_dim=768,
        enc_n_layers=6,
        enc_n_heads=4,
        proj_inner_dim=512,
        proj_out_dim=256,
    ),
    region=RegionDims(dim=256, inner_dim=512, coord_feat_dim=64, size_feat_dim=64),
)
DIMS = {"2b": DIMS_2B, "0.5b": DIMS_05B, "small": SMALL}
# Width and height of pictures whose tiling gives so many crops, the global one counted.
SIZE_BY_CROPS = {1: (320, 240), 9: (1280, 720), 10: (640, 640), 13: (1024, 768)}
LABELS = ("person", "car", "bicycle", "dog", "bag", "door", "fire", "helmet")
NEVER, ALWAYS = -1e4, 1e4  # logits that decide
WEIGHT_STD = 0.02
SEED = 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default=None, help="bfloat16 on CUDA, float32 on a CPU")
    parser.add_argument("--dims", choices=DIMS, default="small")
    parser.add_argument("--crops", type=int, choices=SIZE_BY_CROPS, default=1)
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="frames answered together")
    parser.add_argument("--tasks-per-frame", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch on the CPU; 0: its own")
    parser.add_argument("--compare", action="store_true", help="also one picture at a time")
    return parser.parse_args()


def random_network(dims: Dims, device: torch.device, dtype: torch.dtype, objects: int) -> Network:
    """Return random weights that never end a list, or end every list at once for 0 objects."""
    torch.manual_seed(SEED)
    state = {}
    for name, shape in tensor_table(dims).items():
        values = torch.empty(shape, device=device, dtype=dtype)
        state[name] = values.fill_(1) if ".ln" in name else values.normal_(std=WEIGHT_STD)
    release = RELEASES[LATEST_RELEASE]
    state["text.lm_head.bias"][release.ids.eos] = NEVER if objects else ALWAYS
    with torch.inference_mode():
        return Network.from_state(state, dims, release)


def language(dims: Dims) -> Language:
    """Return a language of whole words; the prompts are as long as those of the real one."""
    words = {word: 10 + number for number, word in enumerate(LABELS)}
    tokenizer = Tokenizer(WordLevel({**words, "?": 9}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    return Language(RELEASES[LATEST_RELEASE], TextTokenizer(tokenizer, "in memory"), dims)


def frames(crops: int, count: int) -> list[NDArray[np.uint8]]:
    """Return pictures of noise."""
    width, height = SIZE_BY_CROPS[crops]
    noise = np.random.default_rng(SEED)
    return [noise.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def run_engine(
    engine: MoondreamBatcher, pictures: list[NDArray[np.uint8]], tasks: list[DetectRequest]
) -> tuple[list[float], list[list[DetectResult]]]:
    """Answer all tasks on all pictures; return each picture's latency and its results."""
    started = perf_counter()
    tickets = [engine.submit(picture, tasks) for picture in pictures]
    latency: dict[int, float] = {}
    while len(latency) < len(pictures):
        engine.step()
        for number, own in enumerate(tickets):
            if number not in latency and all(ticket.is_done for ticket in own):
                latency[number] = perf_counter() - started
    found = []
    for own in tickets:
        results = [ticket.result for ticket in own]
        found.append([result for result in results if isinstance(result, DetectResult)])
    return [latency[number] for number in range(len(pictures))], found


def measure_engine(
    engine: MoondreamBatcher,
    pictures: list[NDArray[np.uint8]],
    tasks: list[DetectRequest],
    rounds: int,
) -> tuple[float, list[float]]:
    """Return seconds a round and the latencies of all frames; the first rounds warm up."""
    for _ in range(3):  # graphs are captured in the second
        run_engine(engine, pictures, tasks)
    engine.stages.clear()
    started, latencies = perf_counter(), []
    for _ in range(rounds):
        latencies += run_engine(engine, pictures, tasks)[0]
    return (perf_counter() - started) / rounds, latencies


def peak_gigabytes(device: torch.device) -> float:
    """Return the most memory used so far: the device's, or the process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def report(
    args: argparse.Namespace, engine: MoondreamBatcher, network: Network, rates: Rates
) -> float:
    """Measure, print a table, and return seconds a round."""
    pictures = frames(args.crops, args.batch)
    tasks = tasks_of(args)
    seconds, latencies = measure_engine(engine, pictures, tasks, args.rounds)
    engine.stages.is_on = True
    engine.stages.clear()
    for _ in range(args.rounds):
        run_engine(engine, pictures, tasks)
    stages = {name: total / args.rounds for name, total in engine.stages.seconds.items()}
    engine.stages.is_on = False
    prompt_len = len(network_prompt(network))
    work = Workload(args.batch, args.crops, args.tasks_per_frame, args.objects, prompt_len)
    least = least_seconds(network.dims, work, rates, network.dtype.itemsize)
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


def network_prompt(network: Network) -> list[int]:
    """Return a prompt as the tasks have it."""
    return RELEASES[LATEST_RELEASE].detect_prompt(language(network.dims).tokenizer, LABELS[0])


def tasks_of(args: argparse.Namespace) -> list[DetectRequest]:
    """Return the tasks of each frame."""
    most = max(1, args.objects)
    return [
        DetectRequest(LABELS[i % len(LABELS)], max_objects=most, raw=True)
        for i in range(args.tasks_per_frame)
    ]


def compare(args: argparse.Namespace, engine: MoondreamBatcher, network: Network) -> None:
    """Run the plain loop and the engine side by side on the same frames and tasks."""
    pictures, tasks = frames(args.crops, args.batch), tasks_of(args)
    loop = PlainLoop(network, language(network.dims))
    loop.answer(pictures[0], tasks[0])
    plain_times, engine_times = [], []
    for _ in range(args.rounds):
        started = perf_counter()
        plain = [[loop.answer(picture, task) for task in tasks] for picture in pictures]
        plain_times.append(perf_counter() - started)
        started = perf_counter()
        _, found = run_engine(engine, pictures, tasks)
        engine_times.append(perf_counter() - started)
    same = [
        one.bins.tolist() == other.bins
        for ours, theirs in zip(found, plain, strict=True)
        for one, other in zip(ours, theirs, strict=True)
    ]
    slow, fast = statistics.median(plain_times), statistics.median(engine_times)
    print(f"| one picture at a time | {args.batch / slow:.2f} frames a second |")
    print(f"| engine, in turns with it | {args.batch / fast:.2f} frames a second |")
    print(f"| ratio | {slow / fast:.1f} × |")
    print(f"| same bins | {sum(same)} of {len(same)} answers |")


def main() -> None:
    """Measure what the command line asks for."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    default = torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype = getattr(torch, args.dtype) if args.dtype else default
    dims = DIMS[args.dims]
    network = random_network(dims, device, dtype, args.objects)
    rows = args.batch * args.tasks_per_frame
    options = EngineOptions(max_batch=rows, pictures_per_prefill=min(args.batch, 16))
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
