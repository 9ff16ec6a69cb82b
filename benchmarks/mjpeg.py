"""Whole and cut pictures found in MJPEG streams that are wrong in every known way, and how fast.

Usage: python -m benchmarks.mjpeg [--streams N] [--seed N]; prints two tables. See mjpeg.md.
"""

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np

from connectors.sources.live.multipart import PictureFinder, boundary_of
from tests.wild.mjpeg_streams import FAULTS, GROUPS, faulty_stream

# One piece that a socket gives, at its smallest and at its largest.
_PIECES = (1460, 65_536)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=30, help="streams for each fault")
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    _print_faults(options.streams, options.seed)
    _print_speed(options.rounds)


def _print_faults(streams: int, seed: int) -> None:
    print("| fault | streams | whole | found | cut | taken | found late |")
    print("|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for group in GROUPS:
        for fault in group:
            counts: Counter[str] = Counter()
            first = seed + 1000 * FAULTS.index(fault)
            for nth in range(first, first + streams):
                counts += _judged(nth, fault)
            total += counts
            print(_row(fault, counts))
    print(_row("**all**", total))


def _judged(seed: int, fault: str) -> Counter[str]:
    stream = faulty_stream(seed, fault)
    finder = PictureFinder(boundary_of(stream.content_type or "") or b"")
    longest = 1 if seed % 10 == 0 else 10 ** (2 + seed % 4)
    found: list[bytes] = []
    for piece in stream.pieces(random.Random(seed), longest):
        found.extend(finder.feed(piece))
    # In a stream that stays open, what is only found at its end would be waited for in vain.
    late = list(finder.end())
    right = Counter(stream.whole) & Counter(found + late)
    return Counter(
        streams=1,
        whole=len(stream.whole),
        found=right.total(),
        cut=stream.cut,
        taken=len(found) + len(late) - right.total(),
        late=(Counter(stream.whole) & Counter(late)).total(),
    )


def _row(name: str, counts: Counter[str]) -> str:
    keys = ("streams", "whole", "found", "cut", "taken", "late")
    return f"| {name} | " + " | ".join(str(counts[key]) for key in keys) + " |"


def _print_speed(rounds: int) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    picture = cv2.imencode(".jpg", cv2.GaussianBlur(noise, (7, 7), 0))[1].tobytes()
    print("\n| picture kB | length given | pieces of | bare, MB/s | ours, MB/s | ours / bare |")
    print("|---|---|---|---|---|---|")
    for has_length in (True, False):
        size = b"Content-Length: %d\r\n" % len(picture) if has_length else b""
        part = b"--frame\r\nContent-Type: image/jpeg\r\n" + size + b"\r\n" + picture + b"\r\n"
        body = part * 60 + b"--frame"
        for piece in _PIECES:
            bare = _bare_by_length if has_length else _bare_by_boundary
            times = [(_timed(bare, body, piece), _timed(_ours, body, piece)) for _ in range(rounds)]
            rates = [
                statistics.median(len(body) / t / 1e6 for t in side)
                for side in zip(*times, strict=True)
            ]
            ratio = statistics.median(theirs / ours for theirs, ours in times)
            print(
                f"| {len(picture) // 1000} | {'yes' if has_length else 'no'} | {piece} "
                f"| {rates[0]:.0f} | {rates[1]:.0f} | {ratio:.2f} |"
            )


def _timed(find: Callable[[bytes, int], int], body: bytes, piece: int) -> float:
    began = time.process_time()
    found = find(body, piece)
    assert found == 60
    return time.process_time() - began


def _ours(body: bytes, piece: int) -> int:
    finder = PictureFinder(b"frame")
    found = 0
    for at in range(0, len(body), piece):
        for _ in finder.feed(body[at : at + piece]):
            found += 1
    return found


def _bare_by_length(body: bytes, piece: int) -> int:
    """What a loop does that believes every length."""
    buffer, found = bytearray(), 0
    for at in range(0, len(body), piece):
        buffer += body[at : at + piece]
        while (head := buffer.find(b"\r\n\r\n")) >= 0:
            length = int(buffer[:head].partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            end = head + 4 + length
            if len(buffer) < end + 2:
                break
            bytes(buffer[head + 4 : end])
            del buffer[: end + 2]
            found += 1
    return found


def _bare_by_boundary(body: bytes, piece: int) -> int:
    """What a loop does that cuts at every boundary."""
    buffer, found, searched = bytearray(), 0, 0
    for at in range(0, len(body), piece):
        buffer += body[at : at + piece]
        while (end := buffer.find(b"\r\n--frame", max(1, searched))) >= 0:
            head = buffer.find(b"\r\n\r\n")
            bytes(buffer[head + 4 : end])
            del buffer[: end + 2]
            found, searched = found + 1, 0
        searched = max(0, len(buffer) - 9)
    return found


if __name__ == "__main__":
    main()
