"""Section 8: what one cycle, one prefill and one cut consist of, by torch's profiler.

A prefill is one step of the engine with newcomers, so cutting their pictures is part of it; what
cutting one picture takes is profiled by itself.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import NO_TIME, Bench, Json, Pictures
from benchmarks.gpu.running import Allowance, sentence
from benchmarks.random_model import LABELS, frames, make_fresh
from pipeline.moondream import DetectRequest, Moondream
from pipeline.moondream.pictures.crops import make_crops

TOP = 25
OBJECTS = 20  # enough cycles to warm up and to profile one
WARM_CYCLES = 4
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch", "cudaMemcpyAsync")


def profiles(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Profile each piece; one that cannot be profiled says why, and the others go on."""
    bench.made().end_at_once(False)
    rows = bench.scale.batches[0]
    ahead = bench.scale.pictures_in_prefill
    kinds = {"cycle_eager": False, **({"cycle_replayed": True} if bench.is_cuda else {})}
    pieces: dict[str, Callable[[], Json]] = {
        name: partial(_cycle, bench, rows, graphs) for name, graphs in kinds.items()
    }
    pieces[f"prefill_of_{ahead}_pictures"] = partial(_prefill, bench, ahead, 1)
    pieces["prefill_of_1_picture"] = partial(_prefill, bench, 1, 1)
    if bench.is_cuda:
        pieces[f"prefill_of_{ahead}_pictures_replayed"] = partial(_prefill, bench, ahead, 1, True)
        pieces["prefill_of_1_picture_replayed"] = partial(_prefill, bench, 1, 1, True)
    for crops in bench.scale.crops[:2]:
        pieces[f"cut_into_{crops}"] = partial(_cut, bench, crops)
    if not bench.is_cuda:
        found["cycle_replayed"] = {"skipped": "needs CUDA"}
    for name, piece in pieces.items():
        if allowance.left() <= 0:
            found[name] = dict(NO_TIME)
            continue
        try:
            found[name] = piece()
        # The profiler needs rights that a machine may not give; its other pieces may still do.
        except Exception as error:  # noqa: BLE001
            found[name] = {"error": sentence(error)}
        bench.tidy()
        allowance.save()


def _cycle(bench: Bench, rows: int, graphs: bool) -> Json:
    """Profile one cycle of `rows` pictures with one detection each."""
    model = bench.engine() if graphs else bench.model(max_batch=rows, graphs=False)
    pictures = frames(1, rows, bench.dims.vision)
    _submit(model, pictures)
    while model.engine.in_use().waiting:
        model.engine.step()
    for _ in range(WARM_CYCLES):
        model.engine.step()
    found = _profiled(bench, model.engine.step)
    while not model.engine.is_idle:
        model.engine.step()
    return found


def _prefill(bench: Bench, count: int, crops: int, graphs: bool = False) -> Json:
    """Profile one prefill of new pictures; a shape is captured when it is met again."""
    if graphs:
        model = bench.engine()
    else:
        model = bench.model(max_batch=count, graphs=False, pictures_per_prefill=count)
    pictures = frames(crops, count, bench.dims.vision)
    for _ in range(3):
        _submit(model, pictures, objects=1)
        while not model.engine.is_idle:
            model.engine.step()
        make_fresh(pictures)
    _submit(model, pictures, objects=1)
    found = _profiled(bench, model.engine.step)
    while not model.engine.is_idle:
        model.engine.step()
    return found


def _cut(bench: Bench, crops: int) -> Json:
    (picture,) = frames(crops, 1, bench.dims.vision)
    vision = bench.dims.vision

    def cut() -> None:
        make_crops(picture, vision, device=bench.device)

    cut()
    return _profiled(bench, cut)


def _submit(model: Moondream, pictures: Pictures, objects: int = OBJECTS) -> None:
    for picture in pictures:
        model.engine.submit(picture, [DetectRequest(LABELS[0], max_objects=objects, raw=True)])


def _profiled(bench: Bench, work: Callable[[], object]) -> Json:
    """Return kernels, launches and times of one call, and what took longest."""
    activities = [ProfilerActivity.CPU]
    if bench.is_cuda:
        activities.append(ProfilerActivity.CUDA)
    bench.wait()
    with profile(activities=activities) as seen:
        started = perf_counter()
        work()
        bench.wait()
        passed = perf_counter() - started
    averages: Any = seen.key_averages()
    on_host = [one for one in averages if one.device_type.name == "CPU"]
    on_device = [one for one in averages if one.device_type.name != "CPU"]
    if bench.is_cuda:
        longest = sorted(on_device, key=lambda one: -float(one.self_device_time_total))
    else:
        longest = sorted(on_host, key=lambda one: -float(one.self_cpu_time_total))
    spent = "self_device_time_total" if bench.is_cuda else "self_cpu_time_total"
    return {
        "wall_ms": passed * 1e3,
        "cpu_ms": sum(one.self_cpu_time_total for one in on_host) / 1e3,
        "cuda_ms": sum(one.self_device_time_total for one in on_device) / 1e3
        if bench.is_cuda
        else None,
        "kernels": sum(one.count for one in on_device) if bench.is_cuda else None,
        "operations": sum(one.count for one in on_host if one.key.startswith("aten::")),
        "launches": {
            name: sum(one.count for one in on_host if one.key.startswith(name)) for name in LAUNCHES
        },
        "top": [
            {"name": one.key[:90], "count": one.count, "ms": getattr(one, spent) / 1e3}
            for one in longest[:TOP]
        ],
    }
