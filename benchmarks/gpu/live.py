"""Section 6: many cameras on a clock, three tasks a frame, as a server of them has it."""

import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks.forced_work import WrongAnswerError
from benchmarks.gpu.bench import Bench, Json, counted
from benchmarks.gpu.latency import percentiles
from benchmarks.gpu.running import Allowance
from benchmarks.random_model import LABELS, SEED, make_fresh
from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    FailedResult,
    QueryRequest,
    Request,
)
from pipeline.moondream.batch.strands import RequestTicket

DETECT_OBJECTS = 3
CAPTION_TOKENS = 30
# One frame in five gets a short caption instead of a second question.
CAPTION_EVERY = 5
# Frames of one camera in the engine at a time; another one is dropped, as a queue would.
WAITING_FRAMES = 2
IDLE_SECONDS = 0.001
SMI_EVERY_MS = "500"

Clock = Callable[[], float]


@dataclass(slots=True)
class LiveFrame:
    """A frame that was handed in: when it was due, and what was asked about it."""

    camera: int
    due: float
    tickets: list[RequestTicket] = field(default_factory=list)


def live(bench: Bench, allowance: Allowance, found: Json) -> None:
    """Hand frames in when they are due, step in between, and note how old answers are."""
    scale = bench.scale
    bench.made().end_at_once(False)
    model = bench.engine()
    width, height = scale.live_size_wh
    noise = np.random.default_rng(SEED)
    pictures = [
        noise.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(scale.cameras)
    ]
    # Two rounds of frames before the clock starts: libraries load their kernels meanwhile.
    for number in range(2):
        warm = [
            ticket
            for camera, picture in enumerate(pictures)
            for ticket in model.engine.submit(picture, _requests(camera, number))
        ]
        model.engine.run(warm)
    seconds = min(scale.live_seconds, max(allowance.left() * 0.8, 1.0))
    before = model.graph_counts()
    ages: list[float] = []
    answered: dict[str, int] = defaultdict(int)
    dropped = handed = 0
    in_work: list[LiveFrame] = []
    every = 1 / scale.camera_fps
    # Cameras do not look all at once.
    due = [camera * every / scale.cameras for camera in range(scale.cameras)]
    taken = [0] * scale.cameras
    with _gpu_busy(bench) as busy:
        began = time.perf_counter()
        while True:
            now = time.perf_counter() - began
            for camera in range(scale.cameras):
                if due[camera] > min(now, seconds):
                    continue
                at, due[camera] = due[camera], due[camera] + every
                if sum(frame.camera == camera for frame in in_work) >= WAITING_FRAMES:
                    dropped += 1
                    continue
                picture = pictures[camera].copy()
                make_fresh([picture])
                asked = _requests(camera, taken[camera])
                in_work.append(LiveFrame(camera, at, model.engine.submit(picture, asked)))
                taken[camera] += 1
                handed += 1
            if now >= seconds and not in_work:
                break
            if in_work:
                model.engine.step()
            else:
                time.sleep(IDLE_SECONDS)
            now = time.perf_counter() - began
            for frame in in_work:
                for ticket in [one for one in frame.tickets if one.is_done]:
                    frame.tickets.remove(ticket)
                    if isinstance(ticket.result, FailedResult):
                        raise WrongAnswerError(f"a request failed: {ticket.result.reason}")
                    ages.append(now - frame.due)
                    answered[type(ticket.result).__name__] += 1
            in_work = [frame for frame in in_work if frame.tickets]
        whole = time.perf_counter() - began
    age = percentiles(ages)
    found.update(
        cameras=scale.cameras,
        fps_a_camera=scale.camera_fps,
        size=f"{width}x{height}",
        seconds=whole,
        frames=handed,
        dropped=dropped,
        answers=len(ages),
        answered=dict(answered),
        answers_per_second=len(ages) / whole,
        frames_per_second=handed / whole,
        **{f"age_{name}": value for name, value in age.items()},
        gpu_busy_share=sum(busy) / len(busy) / 100 if busy else None,
        graphs=counted(before, model.graph_counts()),
    )


def _requests(camera: int, number: int) -> list[Request]:
    """Return boxes, a question answered by one word, and a short caption on some frames."""
    label = LABELS[camera % len(LABELS)]
    last: Request = QueryRequest(f"{label} {LABELS[number % len(LABELS)]}", max_tokens=1)
    if (camera + number) % CAPTION_EVERY == 0:
        last = CaptionRequest("short", max_tokens=CAPTION_TOKENS)
    return [
        DetectRequest(label, max_objects=DETECT_OBJECTS, raw=True),
        QueryRequest(label, max_tokens=1),
        last,
    ]


@contextmanager
def _gpu_busy(bench: Bench) -> Iterator[list[float]]:
    """Fill a list with the driver's own samples of how busy the card is, in percent."""
    samples: list[float] = []
    tool = None
    if bench.is_cuda:
        try:
            tool = subprocess.Popen(
                ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
                 "-lms", SMI_EVERY_MS],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        except OSError:
            tool = None  # the figure is null then
    try:
        yield samples
    finally:
        if tool is not None:
            tool.terminate()
            said, _ = tool.communicate(timeout=10)
            samples += [float(line) for line in said.split() if line.isdigit()]
