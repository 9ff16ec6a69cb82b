"""Section 3: whether the answers are right here, on this device, before any figure of speed.

In float32 the recorded results of the golden set have to come out exactly, however requests are
batched and whether cycles run as captured graphs or not; in half precision all but a few of the
first bins. Resizing gives Pillow's bytes. What cannot be right to the last bit, half precision
in another batch, is compared where both sides run the same kernels on the same shapes.

On a CPU, which has no graphs, cycles are captured by a stand-in that runs them again: then these
checks say that shapes and programs of graphs change no answer, and `stand_in` says so.
"""

import json
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.forced_work import WrongAnswerError
from benchmarks.gpu.bench import NEEDS_CUDA, NO_TIME, Bench, Json
from benchmarks.gpu.running import Allowance, sentence
from benchmarks.random_model import LABELS, frames, language
from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    DetectResult,
    EngineOptions,
    FailedResult,
    Moondream,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    Result,
    TextResult,
)
from pipeline.moondream.batch.engine import MoondreamBatcher
from pipeline.moondream.batch.strands import RequestTicket
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.checkpoints.variant import read_variant
from pipeline.moondream.device.graphs import Capture, CudaCapture, Work
from pipeline.moondream.device.kernels.loading import KERNELS, KernelChoice, load_kernels, why_plain
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.resize import resize
from pipeline.moondream.skills.base import Language
from tests.golden import golden_set

LEAST_FIRST_BINS = 0.95
GOLDEN_ROWS = 128
ADAPTER = "lora.safetensors"
# What was not captured at start is in the first round, and replayed in the second.
GRAPH_ROUNDS = 2
SIZES = (
    ((320, 240), (378, 378)),
    ((640, 480), (378, 378)),
    ((640, 480), (1176, 644)),
    ((1280, 720), (378, 378)),
    ((1280, 720), (1176, 644)),
    ((1920, 1080), (1176, 644)),
    ((3840, 2160), (1176, 644)),
    ((300, 900), (644, 378)),
    ((378, 500), (378, 378)),
    ((500, 378), (378, 378)),
    ((1, 1), (378, 378)),
    ((9000, 3), (378, 20)),
)
MIX_ROWS = 24
# Shares of the section's time that requests one by one, without and with graphs, and mixes leave
# to what comes after them.
KEPT_FROM_ALONE = {False: 0.7, True: 0.5}
KEPT_FROM_MIXES = 0.3
ON_CUDA_ALONE = ("kernels", "golden_float32_kernels", "golden_float16_first_bins")
# A bad check ends with this many differences told.
TOLD = 3


def correctness(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Run every check, each by itself: one that cannot run fails, and the others go on."""
    if not __debug__:
        raise RuntimeError("the golden set is compared by assertions: run python without -O")
    torch.backends.cuda.matmul.allow_tf32 = False
    checks: dict[str, Callable[[], Json]] = {
        "kernels": partial(_kernels, bench),
        "resize_bytes": partial(_resize_bytes, bench),
        "golden_float32_eager": partial(_golden, bench, allowance, graphs=False),
        "golden_float32_graphs": partial(_golden, bench, allowance, graphs=True),
        "golden_float32_kernels": partial(_golden, bench, allowance, graphs=True, kernels=True),
        "golden_after_failed_captures": partial(_golden_without_captures, bench),
        "golden_bfloat16_first_bins": partial(_first_bins, bench, torch.bfloat16),
        "golden_float16_first_bins": partial(_first_bins, bench, torch.float16),
        "golden_float32_mixes": partial(_golden_mixes, bench, allowance),
        "graphs_against_eager_mixes": partial(_graphs_against_eager, bench, allowance),
    }
    for name, check in checks.items():
        if name in ON_CUDA_ALONE and not bench.is_cuda:
            found[name] = dict(NEEDS_CUDA)
            continue
        if allowance.left() <= 0:
            found[name] = dict(NO_TIME)
            continue
        try:
            found[name] = check()
        # A check that cannot run is a check that failed; the reason goes into the file.
        except Exception as error:  # noqa: BLE001
            found[name] = {"ok": False, "error": sentence(error)}
        allowance.save()


def is_right(found: Any) -> bool:
    """Return whether nothing was wrong in a correctness section, as far as it was run."""
    if not isinstance(found, dict) or "error" in found:
        return False
    return all(check.get("ok", True) for check in found.values() if isinstance(check, dict))


def gave_wrong_answers(report: Any) -> bool:
    """Return whether some figure of a report ended in answers that were not those forced."""
    if isinstance(report, dict):
        error = str(report.get("error", ""))
        return error.startswith(WrongAnswerError.__name__) or any(
            map(gave_wrong_answers, report.values())
        )
    return isinstance(report, list) and any(map(gave_wrong_answers, report))


def _share(equal: int, of: int, differences: Sequence[str] = ()) -> Json:
    """Return the outcome of an exact check; checking nothing is a failure too."""
    row: Json = {"equal": equal, "of": of, "ok": equal == of and of > 0}
    if differences:
        row["differences"] = [one[:300] for one in differences[:TOLD]]
    return row


def _kernels(bench: Bench) -> Json:
    """Compare each kernel of ours with the plain operations it stands for, in each precision.

    What an engine would find out by itself when it is loaded, told for every case.
    """
    reason = why_plain(bench.dims.text, bench.device)
    if reason is not None:
        return {"skipped": reason}
    from pipeline.moondream.device.kernels.checks import CHECKS  # needs Triton

    wrong: list[str] = []
    cases: Json = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for kernel, of_kernel in CHECKS.items():
            for case, check in of_kernel.items():
                name = f"{kernel}, {case}, {str(dtype).removeprefix('torch.')}"
                try:
                    with torch.inference_mode():
                        found = check(bench.dims, bench.device, dtype)
                # The others are to be checked all the same, and what failed is told whole.
                except Exception as error:  # noqa: BLE001
                    traceback.print_exc(file=sys.stderr)
                    cases[name] = {"error": sentence(error)}
                    wrong.append(f"{name}: {sentence(error)}")
                    continue
                # Not-a-number is no JSON.
                cases[name] = {"largest": str(found.largest), "allowed": found.allowed}
                if not found.is_right:
                    wrong.append(f"{name}: {found.largest:.2g} where {found.allowed:.2g} may be")
    return {**_share(len(cases) - len(wrong), len(cases), wrong), "cases": cases}


def _resize_bytes(bench: Bench) -> Json:
    """Compare with Pillow, one axis after the other so that it cannot choose the order."""
    noise = np.random.default_rng(0)
    wrong: list[str] = []
    kernel = load_kernels(bench.dims, bench.device, bench.dtype).resize
    ways = (None,) if kernel is None else (None, kernel)
    for (width, height), (to_width, to_height) in SIZES:
        picture = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture[: height // 2] = picture[: height // 2] // 128 * 255  # overshoots at the edges
        image = Image.fromarray(picture)
        image = image.resize((to_width, height), Image.Resampling.LANCZOS)
        wanted = np.asarray(image.resize((to_width, to_height), Image.Resampling.LANCZOS))
        there = torch.from_numpy(picture).to(bench.device)
        for way in ways:
            (ours,) = resize(there, [(to_width, to_height)], way)
            if not np.array_equal(ours.cpu().numpy(), wanted):
                how = "plainly" if way is None else "by our kernel"
                wrong.append(f"{width}x{height} to {to_width}x{to_height} {how}")
                break
    return _share(len(SIZES) - len(wrong), len(SIZES), wrong)


def run_again(work: Work) -> Work:
    """Capture nothing: what would be replayed is run, with the same kernels on the same shapes."""
    return work


def refuse(work: Work) -> Work:
    """Refuse to capture, as where memory is short."""
    del work
    raise RuntimeError("no captures: this failure was asked for")


def _capture(bench: Bench) -> Capture:
    """Return the device's own way to capture."""
    return CudaCapture(bench.device) if bench.is_cuda else run_again


def _captured(
    network: Network,
    spoken: Language,
    capture: Capture,
    max_batch: int,
    *,
    warm_up: bool,
    kernels: KernelChoice = "auto",
) -> Moondream:
    """Return a model whose cycles are captured in a way of ours."""
    alone = EngineOptions(max_batch=1, graphs=False, kernels=kernels)
    model = Moondream(network, spoken, alone)
    options = EngineOptions(max_batch=max_batch, warm_up=warm_up, kernels=kernels)
    model.engine = MoondreamBatcher(network, spoken, options, capture)
    return model


def _load(bench: Bench, **options: Any) -> Moondream:
    """Return the golden network on the device, without graphs, encoding each picture anew."""
    plain = {"dtype": "float32", "max_batch": GOLDEN_ROWS, "graphs": False, "keep_pictures": False}
    options = {**plain, **options}
    return Moondream.load(golden_set.GOLDEN, device=bench.device, **options)


def _load_captured(
    bench: Bench,
    capture: Capture,
    adapter: str | None = None,
    max_batch: int = GOLDEN_ROWS,
    kernels: KernelChoice = "auto",
) -> Moondream:
    """Return the golden network in float32 with its cycles captured."""
    checkpoint = open_checkpoint(golden_set.GOLDEN)
    state = checkpoint.read(bench.device, torch.float32)
    path, text = golden_set.GOLDEN, checkpoint.dims.text
    extra = adapter and read_variant(path / adapter, text, bench.device, torch.float32)
    with torch.inference_mode():
        network = Network.from_state(state, checkpoint.dims, checkpoint.release, extra or None)
    spoken = Language(checkpoint.release, checkpoint.tokenizer, checkpoint.dims)
    return _captured(network, spoken, capture, max_batch, warm_up=bench.is_cuda, kernels=kernels)


def _golden(
    bench: Bench, allowance: Allowance, graphs: bool, kernels: KernelChoice = "auto"
) -> Json:
    """Compare all recorded results in one batch, those of the adapter, and then one by one.

    One by one as far as a share of the section's time goes: `alone` says how many; with kernels
    of our own, which are not what float32 usually runs, that is one.
    """
    plain, adapted = golden_set.entries("results.json"), golden_set.entries("results_lora.json")
    wrong: dict[str, str] = {}
    rounds = GRAPH_ROUNDS if graphs else 1
    capture = _capture(bench)
    if graphs:
        model = _load_captured(bench, capture, ADAPTER, kernels=kernels)
    else:
        model = _load(bench, variant=golden_set.GOLDEN / ADAPTER)
    for _ in range(rounds):
        _note(wrong, adapted, golden_set.answer(model, adapted), "with the adapter: ")
    del model
    bench.tidy()
    model = _load_captured(bench, capture, kernels=kernels) if graphs else _load(bench)
    for _ in range(rounds):
        _note(wrong, plain, golden_set.answer(model, plain))
    keep = KEPT_FROM_ALONE[graphs] * allowance.seconds
    alone = 0
    for entry in plain:
        if alone and (kernels is True or allowance.left() < keep):
            break
        _note(wrong, [entry], golden_set.answer(model, [entry]))
        alone += 1
    of = len(plain) + len(adapted)
    row = {**_share(of - len(wrong), of, list(wrong.values())), "alone": alone}
    if graphs:
        counts = model.graph_counts()
        row["replays"], row["failures"] = counts.replays, counts.failures
        row["ok"] = row["ok"] and counts.replays > 0 and counts.failures == 0
        row["stand_in"] = not bench.is_cuda
        row["kernels"] = list(model.kernels.in_use)
        row["refused"] = dict(model.kernels.refused)
        row["ok"] = row["ok"] and (kernels is not True or set(row["kernels"]) == set(KERNELS))
    return row


def _note(
    wrong: dict[str, str],
    entries: Sequence[golden_set.Entry],
    results: Sequence[Result],
    where: str = "",
) -> None:
    """Note every entry whose result is not the recorded one, by what was asked."""
    for entry, result in zip(entries, results, strict=True):
        try:
            golden_set.compare(entry, result)
        except AssertionError as error:
            wrong[where + json.dumps(entry, sort_keys=True)] = where + sentence(error)


def _golden_without_captures(bench: Bench) -> Json:
    """Let every capture fail, and compare all recorded results."""
    plain = golden_set.entries("results.json")
    wrong: dict[str, str] = {}
    model = _load_captured(bench, refuse)
    for _ in range(2):
        _note(wrong, plain, golden_set.answer(model, plain))
    counts = model.graph_counts()
    row = _share(len(plain) - len(wrong), len(plain), list(wrong.values()))
    row["failures"], row["captures"] = counts.failures, counts.captures
    row["ok"] = row["ok"] and counts.failures > 0 and counts.captures == 0
    return row


def _first_bins(bench: Bench, dtype: torch.dtype) -> Json:
    """Compare the first coordinate of each list in half precision."""
    entries = [e for e in golden_set.entries("results.json") if e["kind"] in ("detect", "point")]
    names = sorted({entry["image"] for entry in entries})
    model = _load(bench, dtype=dtype)
    equal = of = 0
    for name in names:
        asked = [entry for entry in entries if entry["image"] == name]
        requests = []
        for entry in asked:
            request = golden_set.request(entry)
            assert isinstance(request, DetectRequest | PointRequest)
            requests.append(replace(request, max_objects=1))
        (results,) = model.answer([(golden_set.picture(name), requests)])
        for entry, result in zip(asked, results, strict=True):
            of += 1
            if isinstance(result, DetectResult | PointResult):
                wanted = [step["x_bin"] for step in entry["steps"][:1]]
                equal += result.bins[:, 0].tolist() == wanted
    share = equal / of
    kernels = list(model.kernels.in_use)
    return {
        "share": share,
        "equal": equal,
        "of": of,
        "ok": share >= LEAST_FIRST_BINS,
        "kernels": kernels,
    }


def _golden_mixes(bench: Bench, allowance: Allowance) -> Json:
    """Send random mixes in at random moments, cancel some, and compare all the others."""
    plain = golden_set.entries("results.json")
    model = _load_captured(bench, _capture(bench), max_batch=MIX_ROWS)
    wrong: list[str] = []
    equal = done = cancelled = 0
    for seed in range(bench.scale.mixes):
        if done and allowance.left() < allowance.seconds * KEPT_FROM_MIXES:
            break
        rng = random.Random(seed)
        chosen = rng.choices(plain, k=rng.randint(1, 10))
        requests = [golden_set.request(entry) for entry in chosen]
        pictures = [e["image"] and golden_set.picture(e["image"]) for e in chosen]
        tickets = _sent_at_random(model, list(zip(pictures, requests, strict=True)), rng)
        differs: dict[str, str] = {}
        for entry, ticket in zip(chosen, tickets, strict=True):
            if ticket.is_cancelled and isinstance(ticket.result, FailedResult):
                cancelled += 1
                continue
            assert ticket.result is not None
            _note(differs, [entry], [ticket.result], f"mix {seed}: ")
        use = model.engine.in_use()
        if use.rows or use.blocks or use.reserved_blocks:
            differs["left"] = f"mix {seed}: rows or blocks were not given back: {use}"
        wrong += differs.values()
        equal += not differs
        done += 1
    return {**_share(equal, done, wrong), "cancelled": cancelled}


def _sent_at_random(
    model: Moondream, cases: Sequence[tuple[Any, Request]], rng: random.Random
) -> list[RequestTicket]:
    """Send cases in waves with steps in between, give some up, and finish the others."""
    tickets: list[RequestTicket] = []
    at = 0
    while at < len(cases):
        count = rng.randint(1, len(cases) - at)
        for picture, request in cases[at : at + count]:
            tickets += model.engine.submit(picture, [request])
        at += count
        for _ in range(rng.randint(0, 6)):
            model.engine.step()
        if rng.random() < 0.3:
            rng.choice(tickets).cancel()
    model.engine.run(tickets)
    model.engine.step()
    return tickets


def _graphs_against_eager(bench: Bench, allowance: Allowance) -> Json:
    """Run the same mixes replayed and eagerly, in the dtype and sizes of the figures.

    The eager side runs what would be replayed: the same kernels on the same shapes, so not one
    token may differ. An engine without graphs may choose other kernels for other shapes, and in
    half precision another rounding is another token.
    """
    bench.made().end_at_once(False)
    pictures = [frames(crops, 3, bench.dims.vision) for crops in (1, 1, 9)]
    flat = [picture for own in pictures for picture in own]
    network, spoken = bench.made().network, language(bench.dims)
    replayed, eager = (
        _captured(network, spoken, capture, MIX_ROWS, warm_up=False)
        for capture in (_capture(bench), run_again)
    )
    wrong: list[str] = []
    equal = done = 0
    for seed in range(bench.scale.mixes):
        if done and allowance.left() <= 0:
            break
        sides: list[list[RequestTicket]] = []
        for model in (replayed, eager):
            rng = random.Random(seed)
            cases = [(rng.choice(flat), _random_request(rng)) for _ in range(rng.randint(1, 10))]
            sides.append(_sent_at_random(model, cases, rng))
        ours, theirs = ([_content(ticket.result) for ticket in side] for side in sides)
        if ours != theirs:
            number = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
            wrong.append(f"mix {seed}, request {number}: {ours[number]} but {theirs[number]}")
        equal += ours == theirs
        done += 1
    row = _share(equal, done, wrong)
    row["replays"] = replayed.graph_counts().replays
    row["ok"] = row["ok"] and row["replays"] > 0
    row["stand_in"] = not bench.is_cuda
    return row


def _random_request(rng: random.Random) -> Request:
    label, most = rng.choice(LABELS), rng.randint(1, 3)
    kinds: list[Request] = [
        DetectRequest(label, max_objects=most, raw=True),
        PointRequest(label, max_objects=most),
        QueryRequest(label, max_tokens=2 * most),
        CaptionRequest("short", max_tokens=3 * most),
    ]
    return rng.choice(kinds)


def _content(result: Result | None) -> object:
    """Return the bins or tokens of a result, or why there are none."""
    if isinstance(result, DetectResult | PointResult):
        return result.bins.tolist()
    if isinstance(result, TextResult):
        return list(result.token_ids)
    return result.reason if isinstance(result, FailedResult) else None
