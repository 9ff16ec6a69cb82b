"""The bundled detector: frames a second for each core, by OpenCV's dnn and by ONNX Runtime.

Usage: python -m benchmarks.detectors [--rounds N] [--frames N]; prints tables. See detectors.md.

Both nets see the same inputs, made from the bundled clip beforehand, in one process and in turns;
processor time is what counts, because a machine that others use too takes longer but not more of
it. Two workers are two processes that begin at the same moment. The time that the kernel let them
wait for a core is taken off theirs (`/proc/PID/schedstat`); waiting for anything else is not.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.core.answers import Boxes
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Detect
from pipeline.inference.engines._coco import WEIGHTS
from pipeline.inference.engines._coco.detector import Coco, CocoBoxes, look, merged
from pipeline.inference.engines._coco.tiles import tiles_of
from pipeline.inference.engines._onnx.session import Net
from pipeline.inference.engines.coco import CocoConfig, columns_rows

CLIP = Path(__file__).parent.parent / "configs" / "media" / "plaza.mp4"
EVERY = 8
LEAST = 0.1
"""Boxes from this score up are compared."""
ALIKE = 1e-3
"""Boxes whose edges are this near are the same, in fractions of the picture."""
PERSON = Detect("people", "fast", "person", max_objects=100)
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def main() -> None:
    """Print all tables."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--frames", type=int, default=24, help="for each side of a round")
    arguments.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.worker is not None:
        _work(options.worker, options.frames)
        return
    print(
        f"onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}, {CLIP.name}, "
        f"{options.rounds} rounds of {options.frames} frames, medians\n"
    )
    _print_paths(options.rounds, options.frames)
    _print_equality()
    _print_workers(options.rounds, options.frames)


def pictures(every: int = EVERY, most: int | None = None) -> list[Pixels]:
    """Pictures of the clip."""
    with av.open(str(CLIP)) as container:
        shown = islice(container.decode(video=0), 0, None, every)
        found = [np.asarray(one.to_ndarray(format="rgb24"), np.uint8) for one in shown]
    return found[:most]


def opencv() -> Run:
    """The net as it ran before: on one core, as ONNX Runtime does here."""
    cv2.setNumThreads(1)
    net: Any = cv2.dnn.readNetFromONNX(str(WEIGHTS))

    def run(filled: NDArray[np.float32]) -> NDArray[np.float32]:
        net.setInput(filled)
        return np.array(net.forward(), np.float32)

    return run


def onnx_runtime() -> Run:
    """The net as it runs now, on one core."""
    net = Net(WEIGHTS, threads=1)
    name = net.inputs[0].name

    def run(filled: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(net.run(**{name: filled})[0], np.float32)

    return run


def _print_paths(rounds: int, frames: int) -> None:
    shown = pictures(most=frames)
    shown = [shown[n % len(shown)] for n in range(frames)]
    (whole,) = tiles_of(1, 1)
    runs = {"OpenCV dnn": opencv(), "ONNX Runtime": onnx_runtime()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():  # the first pass of each is for its memory
        look(run, shown[0], whole)
    for turn in range(rounds):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            for picture in shown:
                look(runs[name], picture, whole)
            taken[name].append((time.process_time() - start) / frames)
    print("| path | processor time a frame | frames a second for each core |\n|---|---|---|")
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"| {name} | {middle * 1000:.1f} ms | {1 / middle:.1f} |")
    old, new = taken.values()
    ratios = [one / other for one, other in zip(old, new, strict=True)]
    print(
        f"\n{statistics.median(ratios):.2f} x as many frames for each core "
        f"({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{1 / statistics.median(ratios):.2f} of the processor time\n"
    )


def _print_equality() -> None:
    shown = pictures()
    runs = (opencv(), onnx_runtime())
    print("| look | pictures | boxes | unmatched | largest difference of a box | of a score |")
    print("|---|---|---|---|---|---|")
    looks: dict[str, tuple[str, Callable[[Pixels], Pixels]]] = {
        "whole picture": ("1x1", lambda picture: picture),
        "2x1 tiles": ("2x1", lambda picture: picture),
        "upper half (2.7:1, filled up)": ("1x1", lambda picture: picture[: len(picture) // 2]),
        "enlarged to 1536x1152": ("1x1", lambda picture: np.repeat(picture, 2, 0).repeat(2, 1)),
    }
    for name, (tiles, prepared) in looks.items():
        parts = tiles_of(*columns_rows(tiles))
        count, others, box_off, score_off = 0, 0, 0.0, 0.0
        step = 1 if tiles == "1x1" else 4
        for picture in shown[::step]:
            seen = prepared(picture)
            old, new = (merged([look(run, seen, p) for p in parts], parts, LEAST) for run in runs)
            off = differences(old, new)
            count += len(old.scores)
            others += off[0]
            box_off, score_off = max(box_off, off[1]), max(score_off, off[2])
        print(
            f"| {name} | {len(shown[::step])} | {count} | {others} | {box_off:.1e} of the picture "
            f"| {score_off:.1e} |"
        )
    print()


def differences(old: CocoBoxes, new: CocoBoxes) -> tuple[int, float, float]:
    """How many boxes have no like of their class on the other side, and how far the rest are off.

    Boxes of equal scores may change places in the list.
    """
    others, box_off, score_off = abs(len(old.scores) - len(new.scores)), 0.0, 0.0
    for box, score, kind in zip(old.boxes, old.scores, old.classes, strict=True):
        (same,) = np.nonzero(new.classes == kind)
        off = np.abs(new.boxes[same] - box).max(axis=1)
        if not len(same) or off.min() > ALIKE:
            others += 1
            continue
        nearest = same[off.argmin()]
        box_off = max(box_off, float(off.min()))
        score_off = max(score_off, float(abs(new.scores[nearest] - score)))
    return others, box_off, score_off


def _print_workers(rounds: int, frames: int) -> None:
    kinds: dict[str, list[_Worker]] = {
        "one worker, one core": [_Worker(1, frames)],
        "two workers, one core each": [_Worker(1, frames), _Worker(1, frames)],
        "one worker, two cores": [_Worker(2, frames)],
    }
    rounds_of: dict[str, list[_Round]] = {name: [] for name in kinds}
    try:
        for _ in range(rounds):
            for name, workers in kinds.items():
                rounds_of[name].append(_together(workers, frames))
    finally:
        for worker in (worker for workers in kinds.values() for worker in workers):
            worker.end()
    print("| | processor time a frame | frames a second | x one worker | by the clock |")
    print("|---|---|---|---|---|")
    alone = next(iter(rounds_of.values()))
    for name, found in rounds_of.items():
        ratio = statistics.median(a.rate / b.rate for a, b in zip(found, alone, strict=True))
        print(
            f"| {name} | {statistics.median(r.cost_s for r in found) * 1000:.1f} ms "
            f"| {statistics.median(r.rate for r in found):.1f} | {ratio:.2f} "
            f"| {statistics.median(r.rate_by_the_clock for r in found):.1f} |"
        )


@dataclass(frozen=True)
class _Round:
    """What workers did in one round."""

    cost_s: float
    """Processor seconds a frame."""
    rate: float
    """Frames a second of all together, had each of them its cores for itself."""
    rate_by_the_clock: float


class _Worker:
    """A process that answers frames whenever it is told to."""

    def __init__(self, threads: int, frames: int) -> None:
        command = [sys.executable, "-m", "benchmarks.detectors", "--worker", str(threads)]
        self._process = subprocess.Popen(
            [*command, "--frames", str(frames)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said()  # it is loaded

    def go(self) -> None:
        """Begin a round."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def said(self) -> list[float]:
        """When the round began and ended, and its processor seconds."""
        assert self._process.stdout is not None
        return [float(number) for number in self._process.stdout.readline().split()]

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def _together(workers: Sequence[_Worker], frames: int) -> _Round:
    for worker in workers:
        worker.go()
    said = [worker.said() for worker in workers]
    lasted = max(done for _, done, _, _ in said) - min(begun for begun, _, _, _ in said)
    total = len(workers) * frames
    cost = sum(cpu for _, _, cpu, _ in said) / total
    rate = sum(frames / (done - begun - delayed) for begun, done, _, delayed in said)
    return _Round(cost, rate, total / lasted)


def _work(threads: int, frames: int) -> None:
    """Answer frames as a worker does for each line that arrives; print when, and what it took."""
    cv2.setNumThreads(1)
    coco = Coco(CocoConfig(threads=threads))
    shown = pictures(most=frames)
    batch = [(shown[n % len(shown)], (PERSON,)) for n in range(frames)]
    warm = coco.answer(batch[: 2 * threads])
    assert all(isinstance(answer, Boxes) for (answer,) in warm)
    print(0.0, flush=True)
    for _ in sys.stdin:
        delayed, begun, cpu = _delayed_s(), time.time(), time.process_time()
        for at in range(0, frames, threads):
            coco.answer(batch[at : at + threads])
        done, cpu = time.time(), time.process_time() - cpu
        print(begun, done, cpu, (_delayed_s() - delayed) / threads, flush=True)


def _delayed_s() -> float:
    """How long this process's threads have waited for a core that others had, all of them."""
    try:
        tasks = list(Path("/proc/self/task").glob("*/schedstat"))
        return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9
    except (OSError, IndexError, ValueError):  # another kernel: nothing is taken off
        return 0.0


if __name__ == "__main__":
    main()
