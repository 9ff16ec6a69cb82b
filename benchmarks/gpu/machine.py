"""Sections 1 and 2: what the machine is, and what it can do at most."""

import hashlib
import os
import platform
import subprocess
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.gpu.bench import Bench, Json
from benchmarks.gpu.running import Allowance
from benchmarks.roofline import MULTIPLY_ADD, best_seconds

ROOT = Path(__file__).parents[2]
CLOCKS = "clocks.sm,clocks.mem,temperature.gpu,power.draw,utilization.gpu,pstate,driver_version"
SMI_TIMEOUT = 10.0
FRAME_BYTES = 1080 * 1920 * 3
LAUNCHES = 2000
ON_THE_HOST = {"float32": torch.float32}
PRODUCTS = {"bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32, **ON_THE_HOST}


def machine(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Say what runs here: the card, its driver and libraries, and the host."""
    del allowance
    found.update(
        device=card(bench),
        dims=bench.dims_name,
        dtype=str(bench.dtype).removeprefix("torch."),
        torch=torch.__version__,
        python=platform.python_version(),
        cpu=_cpu_model(),
        cpu_count=os.cpu_count(),
        torch_threads=torch.get_num_threads(),
    )
    if not bench.is_cuda:
        return
    backends: Any = torch.backends
    about = torch.cuda.get_device_properties(bench.device)
    found.update(
        memory_gb=about.total_memory / 1e9,
        sm_count=about.multi_processor_count,
        capability=f"{about.major}.{about.minor}",
        cuda=torch.version.cuda,
        cudnn=backends.cudnn.version(),
        triton=_triton(),
        sdpa_backends={
            "flash": backends.cuda.flash_sdp_enabled(),
            "efficient": backends.cuda.mem_efficient_sdp_enabled(),
            "cudnn": backends.cuda.cudnn_sdp_enabled(),
            "math": backends.cuda.math_sdp_enabled(),
        },
        clocks_before=clocks(),
    )


def ceilings(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Measure products, copies, uploads and launches, each the best of some rounds."""
    for name, dtype in (PRODUCTS if bench.is_cuda else ON_THE_HOST).items():
        found[f"{name}_tflop_per_s"] = _product(bench, dtype, tf32=name == "tf32")
    found["copy_gb_per_s"] = bench.rates().bandwidth / 1e9
    allowance.save()
    if bench.is_cuda:
        _uploads(bench, found)
        _launches(bench, found)


def _product(bench: Bench, dtype: torch.dtype, *, tf32: bool) -> float:
    """Return the rate of a large product of random matrices."""
    side = bench.scale.matrix_side
    a, b = torch.randn(2, side, side, device=bench.device).to(dtype)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        seconds = best_seconds(partial(torch.matmul, a, b), bench.device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    return MULTIPLY_ADD * side**3 / seconds / 1e12


def _uploads(bench: Bench, found: Json) -> None:
    pageable = torch.zeros(FRAME_BYTES, dtype=torch.uint8)
    pinned = pageable.pin_memory()
    there = torch.empty(FRAME_BYTES, dtype=torch.uint8, device=bench.device)
    for name, source in (("pageable", pageable), ("pinned", pinned)):
        upload = partial(there.copy_, source, non_blocking=True)
        seconds = best_seconds(upload, bench.device, rounds=20)
        found[f"upload_{name}_ms"] = seconds * 1e3
        found[f"upload_{name}_gb_per_s"] = FRAME_BYTES / seconds / 1e9


def _launches(bench: Bench, found: Json) -> None:
    """Time the smallest kernel: launched one by one, and as nodes of a graph."""
    one = torch.zeros(1, device=bench.device)

    def many() -> None:
        for _ in range(LAUNCHES):
            one.add_(1)

    many()
    bench.wait()
    started = perf_counter()
    many()
    found["launch_host_us"] = (perf_counter() - started) / LAUNCHES * 1e6
    bench.wait()
    found["launch_us"] = best_seconds(many, bench.device) / LAUNCHES * 1e6
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        many()
    found["graph_node_us"] = best_seconds(graph.replay, bench.device) / LAUNCHES * 1e6


def card(bench: Bench) -> str:
    """Return the name of the device."""
    return torch.cuda.get_device_name(bench.device) if bench.is_cuda else bench.device.type


def clocks() -> Json | None:
    """Return what the driver's tool says of the card now; None where it is not there."""
    names = CLOCKS.split(",")
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={CLOCKS}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=SMI_TIMEOUT, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in said.stdout.splitlines()[0].split(",")]
    return dict(zip(names, values, strict=False))


def commit() -> str | None:
    """Return the commit of the checkout, with "+" where files differ from it."""
    try:
        said = [
            subprocess.run(
                ["git", *words], cwd=ROOT, capture_output=True, text=True,
                timeout=SMI_TIMEOUT, check=True,
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        ]  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0] + ("+" if said[1] else "")


def source_hash() -> str:
    """Return the SHA-256 of the engine's and the benchmark's files: a copy may have no commit."""
    whole = hashlib.sha256()
    for folder in ("pipeline/moondream", "benchmarks/gpu"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            whole.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return whole.hexdigest()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _triton() -> str | None:
    try:
        import triton  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    version: Any = triton.__version__
    return str(version)
