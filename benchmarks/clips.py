"""What clips cost: memory and processor time of what is kept, and from an event to its file.

Usage: python -m benchmarks.clips [--seconds 60] [--mbit 4] [--key-every 2 10]

A stream of 1280x720 at 25 pictures a second and about `--mbit` is made, with a key frame every 2 s
and every 10 s. It is given to the decoder as a camera's is, with a need of two pictures a second,
with and without a ring in turns, and the processor time of this process is compared. Then clips are
cut around events at random moments: how much of the time before each was asked for, how much was
got, and how long writing took; as the stream is, and encoded anew with a mask.
Figures: benchmarks/clips.md
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any, cast

import av
import numpy as np

from connectors.sources.ffmpeg.clip_files import begin_clip
from connectors.sources.ffmpeg.decoder import Decoder
from connectors.sources.ffmpeg.ring import PacketRing, RingFeed
from pipeline.core.clips import ClipMake, ClipNeed
from pipeline.core.geometry import Polygon
from pipeline.core.sources import Need
from pipeline.sampling.masks import Masks

RATE, SIZE_WH = 25, (1280, 720)
BEFORE_S, AFTER_S, LAG_S = 5.0, 10.0, 10.0
NEED = ClipNeed(BEFORE_S, LAG_S, 64_000_000)
MASK = Polygon(((0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0)))
CLIPS, PAIRS = 8, 5


def made(path: Path, seconds: int, key_s: int, mbit: float) -> Path:
    """A stream in which something moves through noise, as a camera at dusk sends it."""
    width, height = SIZE_WH
    noise = np.random.default_rng(7).integers(0, 40, (height, width * 2), np.uint8)
    with av.open(str(path), "w", format="mpegts") as container:
        stream = cast(Any, container.add_stream("libx264", rate=RATE))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = round(mbit * 1e6)
        stream.options = {"preset": "ultrafast", "sc_threshold": "0", "bf": "0"}
        stream.codec_context.gop_size = key_s * RATE
        for nth in range(seconds * RATE):
            pixels = np.full((height, width, 3), 90, np.uint8)
            pixels += noise[:, nth * 7 % width :][:, :width, None]
            pixels[200:500, nth * 5 % (width - 100) :][:, :100] = 200
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = nth, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def played(path: Path, ring: PacketRing | None) -> float:
    """Read it once as a camera is read; how many seconds of processor time that took."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = Decoder(stream, Need(every_s=0.5), lambda pts: pts or 0.0, Counter())
        if ring is not None:
            ring.begin(stream.codec_context)
        began = time.process_time()
        for packet in container.demux(stream):
            for picture in decoder.pictures(packet):
                picture.grey((160, 90))
            if ring is not None and packet.size and packet.pts is not None:
                ring.keep(packet, float(packet.pts * packet.time_base))
        return time.process_time() - began


def cut(folder: Path, ring: PacketRing, at: float, make: ClipMake) -> tuple[float, float, float]:
    """A clip of an event: what was got before it, and seconds and processor seconds it took."""
    began, worked = time.perf_counter(), time.process_time()
    feed = RingFeed(ring, at - BEFORE_S)
    making = begin_clip(folder / "clip.mp4.part", feed, at - BEFORE_S, make)
    making.advance(at + AFTER_S)
    file = making.finish(folder / "clip.mp4")
    return at - file.since, time.perf_counter() - began, time.process_time() - worked


def measure(folder: Path, seconds: int, key_s: int, mbit: float) -> None:
    """One stream, all figures of it."""
    path = made(folder / f"{key_s}.ts", seconds, key_s, mbit)
    rate = path.stat().st_size * 8 / seconds / 1e6
    print(f"key frame every {key_s} s, {rate:.1f} Mbit/s")
    without, with_ring, kept = [], [], 0
    for _ in range(PAIRS):
        without.append(played(path, None))
        ring = PacketRing(NEED)
        with_ring.append(played(path, ring))
        kept = ring.kept_bytes
    plain, ringed = statistics.median(without), statistics.median(with_ring)
    print(f"  kept for {BEFORE_S + LAG_S:g} s: {kept / 1e6:.1f} MB")
    print(
        f"  processor time without and with the ring: {plain / seconds:.2%}, {ringed / seconds:.2%}"
    )
    whole = PacketRing(ClipNeed(seconds, LAG_S, 10**9))
    played(path, whole)
    random = Random(7)
    first = whole.beyond(0)[0].at
    events = [first + random.uniform(BEFORE_S, seconds - AFTER_S - 1) for _ in range(CLIPS)]
    kinds = {"copied": ClipMake(), "masked": ClipMake(Masks([MASK]).fill)}
    for kind, make in kinds.items():
        found = [cut(folder, whole, at, make) for at in events]
        got = [before for before, _, _ in found]
        took = [seconds for _, seconds, _ in found]
        worked = statistics.median(worked for _, _, worked in found)
        print(
            f"  {kind}: asked {BEFORE_S:g} s before, got {min(got):.2f} to {max(got):.2f}; written "
            f"and playable in {statistics.median(took):.2f} s (at most {max(took):.2f}), "
            f"{worked / (BEFORE_S + AFTER_S):.1%} of a core for each second of it"
        )


def main(words: Sequence[str] | None = None) -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--mbit", type=float, default=4.0)
    parser.add_argument("--key-every", type=int, nargs="*", default=[2, 10], metavar="SECONDS")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        for key_s in chosen.key_every:
            measure(Path(folder), chosen.seconds, key_s, chosen.mbit)


if __name__ == "__main__":
    main()
