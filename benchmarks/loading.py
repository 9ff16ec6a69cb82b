"""Loading a Moondream checkpoint from a local file: seconds by part, and memory beside the file.

Usage: python -m benchmarks.loading [--dims 2b] [--device cpu] [--dtype bfloat16]

A checkpoint of random weights is written to a temporary folder (3.9 GB for 2B dims in bfloat16) and
loaded in processes of their own, first with the file out of the host's cache where the system lets
go of it, then with the file in it. The most memory is the process's own peak less what importing
takes; on a CPU, weights in the file's own dtype stay in the mapped file, so all of them are read
once to be in memory. The folder is deleted at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel

from benchmarks.random_model import DIMS, SEED
from pipeline.moondream import Moondream
from pipeline.moondream.api import choose_device
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.checkpoints.releases import LATEST_RELEASE, RELEASES
from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.dims import Dims
from pipeline.moondream.network.network import Network

STATUS = Path("/proc/self/status")
# Rows of the batch: keys and values are claimed at loading and are no part of the figure.
ROWS = 1


def main() -> None:
    """Write the checkpoint, load it in turns, print a table; or, in a child, load and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", choices=DIMS, default="2b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--stored", default="bfloat16")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder is not None:
        print(json.dumps(loaded(args.folder, args.device, args.dtype)))
        return
    with tempfile.TemporaryDirectory(prefix="moonwatch-loading-") as name:
        folder = Path(name)
        write(folder, DIMS[args.dims], getattr(torch, args.stored))
        size = (folder / "model.safetensors").stat().st_size
        forget(folder / "model.safetensors")
        runs = {"file on disk": child(args, folder), "file in cache": child(args, folder)}
    print(f"{args.dims} dims, {args.stored} file of {size / 1e9:.2f} GB, as {args.dtype}")
    print(f"on {args.device}; torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    names = list(next(iter(runs.values())))
    print("| figure | " + " | ".join(runs) + " |\n|---|" + "---|" * len(runs))
    for name in names:
        print(f"| {name} | " + " | ".join(f"{run[name]:.2f}" for run in runs.values()) + " |")
    ratios = [run["peak memory of loading, GB"] * 1e9 / size for run in runs.values()]
    print("| peak memory over file size | " + " | ".join(f"{r:.2f} ×" for r in ratios) + " |")


def write(folder: Path, dims: Dims, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
    """Write random weights, and a tokenizer with the ids that the release calls special.

    The weights are drawn on `device`: on a GPU that takes a second instead of half a minute.
    """
    torch.manual_seed(SEED)
    weights = {
        f"model.{name}": torch.empty(shape, dtype=dtype, device=device).uniform_(-0.05, 0.05).cpu()
        for name, shape in tensor_table(dims).items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    groups = ("text", "vision", "region")
    config: dict[str, object] = {group: _fields(getattr(dims, group)) for group in groups}
    # Prompts that fit any vocabulary.
    ask = {"prefix": [1, 2], "suffix": [3]}
    captions = {"short": [1, 2, 3]}
    config["tokenizer"] = {
        "answer_id": RELEASES[LATEST_RELEASE].ids.answer,
        "templates": {"caption": captions, **dict.fromkeys(("query", "detect", "point"), ask)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    most = max(RELEASES[LATEST_RELEASE].ids.known()) + 1
    tokenizer = Tokenizer(WordLevel({f"<{i}>": i for i in range(most)}, unk_token="<0>"))
    tokenizer.add_special_tokens([AddedToken(f"<{i}>", special=True) for i in range(most)])
    tokenizer.save(str(folder / "tokenizer.json"))


def forget(path: Path) -> None:
    """Ask the system to drop a file from its cache, so that the next reader meets the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Load in a new process and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.loading", "--folder", str(folder)]
    command += ["--device", args.device, "--dtype", args.dtype]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def loaded(folder: Path, device: str, dtype: str) -> dict[str, float]:
    """Load by parts, then whole, and return seconds and gigabytes."""
    figures: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = perf_counter()
        yield
        figures[f"{name}, s"] = perf_counter() - started

    place, precision = choose_device(device), getattr(torch, dtype)
    before = peak_bytes()
    with timed("check names, shapes and tokenizer"):
        checkpoint = open_checkpoint(folder)
    with timed("read weights"):
        state = checkpoint.read(place, precision)
        touched = sum(float(tensor.view(-1)[::1024].sum()) for tensor in state.values())
    with timed("build the network"), torch.inference_mode():
        network = Network.from_state(state, checkpoint.dims, checkpoint.release)
    figures["peak memory of loading, GB"] = (peak_bytes() - before) / 1e9
    if place.type == "cuda":
        figures["peak memory of the device, GB"] = torch.cuda.max_memory_allocated(place) / 1e9
    del state, network, touched
    with timed("Moondream.load, all of it again"):
        Moondream.load(folder, device=device, dtype=dtype, max_batch=ROWS)
    return figures


def peak_bytes() -> int:
    """Return the most memory this process has had in use at a time."""
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no VmHWM; this needs Linux")


def _fields(group: object) -> dict[str, int]:
    return {name: getattr(group, name) for name in group.__dataclass_fields__}  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
