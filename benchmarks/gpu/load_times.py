"""Section 9: loading a checkpoint of these sizes from a file, with the file out of and in cache."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.gpu.bench import NO_TIME, Bench, Json
from benchmarks.gpu.machine import ROOT
from benchmarks.gpu.running import Allowance
from benchmarks.loading import forget, write

FILE = "model.safetensors"


def loading(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Write random weights to a temporary folder and load them in processes of their own."""
    bench.forget_networks()
    with tempfile.TemporaryDirectory(prefix="moonwatch-loading-") as name:
        folder = Path(name)
        started = perf_counter()
        write(folder, bench.dims, torch.bfloat16, bench.device)
        bench.tidy()
        found["writing_s"] = perf_counter() - started
        found["file_gb"] = (folder / FILE).stat().st_size / 1e9
        forget(folder / FILE)
        for state in ("file_on_disk", "file_in_cache"):
            if allowance.left() <= 0:
                found[state] = dict(NO_TIME)
                continue
            found[state] = _loaded(bench, folder, max(allowance.left(), 30.0))
            allowance.save()


def _loaded(bench: Bench, folder: Path, timeout: float) -> Json:
    command = [sys.executable, "-m", "benchmarks.loading", "--folder", str(folder)]
    command += [
        "--device",
        str(bench.device),
        "--dtype",
        "bfloat16" if bench.is_cuda else "float32",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=timeout, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        return {"error": f"the loading process ended with {done.returncode}: {' '.join(last)}"}
    figures: Json = json.loads(done.stdout.splitlines()[-1])
    return figures
