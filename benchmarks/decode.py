"""What a sampled frame costs to decode, against a bare PyAV loop over the same stream.

Usage: python -m benchmarks.decode [--rounds N] [CLIP]; prints a table. See decode.md.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av

from connectors.sources.file import FileConfig
from pipeline.core.sources import Need

CLIP = Path(__file__).parent.parent / "configs/media/plaza.mp4"
RATES = (10.0, 2.0, 0.2)
# Encodings with a key frame every second: x264's own choice, and what an IP camera sends.
STREAMS = {
    "x264 default (B frames)": {"preset": "medium"},
    "camera-like (no B frames)": {"tune": "zerolatency", "profile": "baseline"},
}
# A picture this little before its due time is on time, as in the sampler.
_EARLY_S = 0.001


@dataclass(frozen=True)
class Cost:
    """What one reading of the clip took."""

    frames: int
    cpu_s: float

    @property
    def per_frame_ms(self) -> float:
        """CPU milliseconds for one sampled frame."""
        return self.cpu_s / self.frames * 1000


def encode(source: Path, target: Path, options: dict[str, str]) -> None:
    """The clip again, with a key frame every second."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as copy:
        video = clip.streams.video[0]
        rate = Fraction(video.average_rate or 10)
        stream = cast(Any, copy.add_stream("libx264", rate=rate))
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        every = str(round(rate))
        stream.options = {"g": every, "keyint_min": every, "sc_threshold": "0", **options}
        for frame in clip.decode(video):
            frame.pict_type = av.video.frame.PictureType.NONE
            copy.mux(stream.encode(frame))
        copy.mux(stream.encode(None))


class Due:
    """Which pictures are sampled: the first one at or after each time of a grid."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._origin: float | None = None
        self._slot = 0

    def take(self, at: float) -> bool:
        """Whether this one is."""
        if self._origin is None:
            self._origin = at
            return True
        slot = int((at - self._origin + _EARLY_S) / self._every_s)
        is_due = slot > self._slot
        self._slot = max(slot, self._slot)
        return is_due


def bare(path: Path, every_s: float) -> Cost:
    """Decode everything with PyAV in one thread, convert what is due to RGB."""
    frames, due = 0, Due(every_s)
    with av.open(str(path)) as container:
        begun = time.process_time()
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            if due.take(float(frame.time)):
                frames += frame.to_ndarray(format="rgb24").shape[2] == 3
        return Cost(frames, time.process_time() - begun)


def ours(path: Path, every_s: float) -> Cost:
    """The same through the file source, told what is needed."""
    frames, due = 0, Due(every_s)
    source = FileConfig(path=str(path)).build()
    source.open(Need(every_s))
    begun = time.process_time()
    for picture in source.pictures():
        if due.take(picture.captured_at):
            frames += picture.rgb().shape[2] == 3
    cost = Cost(frames, time.process_time() - begun)
    source.close()
    return cost


def compare(path: Path, rate: float, rounds: int) -> tuple[Cost, Cost, float]:
    """Medians of both, taken in turns so that a busy machine bears on both, and their ratio."""
    readings: dict[Callable[[Path, float], Cost], list[Cost]] = {bare: [], ours: []}
    for nth in range(rounds + 1):
        for read in (bare, ours) if nth % 2 else (ours, bare):
            cost = read(path, 1.0 / rate)
            if nth:  # the first round warms up
                readings[read].append(cost)
    ratios = [b.per_frame_ms / a.per_frame_ms for a, b in zip(*readings.values(), strict=True)]
    first, second = (_median(costs) for costs in readings.values())
    return first, second, statistics.median(ratios)


def _median(costs: list[Cost]) -> Cost:
    return sorted(costs, key=lambda cost: cost.cpu_s)[len(costs) // 2]


def main() -> None:
    """Encode, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, default=CLIP)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print("| stream | samples/s | frames | bare PyAV, ms/frame | ours, ms/frame | ours ÷ bare |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in STREAMS.items():
            path = Path(folder) / "clip.mp4"
            encode(arguments.clip, path, options)
            for rate in RATES:
                first, second, ratio = compare(path, rate, arguments.rounds)
                print(
                    f"| {name} | {rate:g} | {first.frames} / {second.frames} "
                    f"| {first.per_frame_ms:.2f} | {second.per_frame_ms:.2f} "
                    f"| {ratio:.2f} (1 ÷ {1 / ratio:.1f}) |"
                )


if __name__ == "__main__":
    main()
