"""A whole frame through Redis on lines that stay open, beside redis-py's public calls.

Usage: python -m benchmarks.queue_lines [--frames 80] [--rounds 15]

One process does all calls of a frame in turn: put, claim, answer, take, acknowledge, in batches of
eight; first with pictures of 1280x720 that are compressed and read, then with ready-made ones
(60 kB, eight times as many frames). Both ways take turns, round by round, on one server, in either
order. Processor time is that of the process and of Redis together. See queue.md.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import redis

from benchmarks.queue import BATCH, CAMERAS
from benchmarks.queue_sides import Ours
from connectors.queues.redis.client.lines import Command
from tests.redis_server import Server

WAYS = ("lines", "public")


class PublicLines:
    """What redis-py's users call: a command by itself, or a pipeline of several."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """All commands in one round trip."""
        if len(commands) == 1:
            try:
                return [self._client.execute_command(*commands[0])]
            except redis.ResponseError as refusal:
                return [refusal]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _queue(way: str, url: str, *, compress: bool) -> Ours:
    queue = Ours(url, compress=compress)
    if way == "public":
        link: Any = queue.queues.results
        link = link._link
        link._lines = PublicLines(link._target.connect())
    return queue


def _go_through(queue: Ours, ordinals: range) -> None:
    for ordinal in ordinals:
        for camera in range(CAMERAS):
            queue.put(f"camera-{camera}", ordinal, time.time())
        assert queue.work(BATCH) == BATCH
        assert len(queue.finish(64)) == BATCH


def _measured_us(server: Server, queue: Ours, frames: int) -> tuple[float, float]:
    """Time and processor time of a frame."""
    batches = frames // BATCH
    _go_through(queue, range(1))
    began, used = time.perf_counter(), time.process_time() + _server_s(server)
    _go_through(queue, range(1, 1 + batches))
    used, elapsed = time.process_time() + _server_s(server) - used, time.perf_counter() - began
    return elapsed / (batches * BATCH) * 1e6, used / (batches * BATCH) * 1e6


def _server_s(server: Server) -> float:
    used = server.client().info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def compare(server: Server, frames: int, rounds: int, *, compress: bool) -> None:
    """A row for the time and one for the processor time of a frame."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in random.sample(WAYS, len(WAYS)):
            server.client().flushall()
            queue = _queue(way, server.url, compress=compress)
            found[way].append(_measured_us(server, queue, frames))
            queue.queues.close()
    print(f"\npictures {'compressed and read' if compress else 'ready-made'}, us a frame")
    for which, what in enumerate(("time", "processor time")):
        lines, public = ([one[which] for one in found[way]] for way in WAYS)
        ratios = [a / b for a, b in zip(public, lines, strict=True)]
        print(
            f"{what:<16}lines {_spread(lines, 0):<24}public {_spread(public, 0):<24}"
            f"public / lines {_spread(ratios, 2)}"
        )


def _spread(found: Sequence[float], digits: int) -> str:
    middle = statistics.median(found)
    return f"{middle:.{digits}f} ({min(found):.{digits}f}..{max(found):.{digits}f})"


def main() -> None:
    """Both kinds of pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    server = Server(("--save", "", "--appendonly", "no")).start()
    try:
        compare(server, args.frames, args.rounds, compress=True)
        compare(server, args.frames * 8, args.rounds, compress=False)
    finally:
        server.close()


if __name__ == "__main__":
    main()
