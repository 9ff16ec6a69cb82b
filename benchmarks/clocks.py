"""Times of live pictures under every kind of camera clock and network, against the truth.

Usage: python -m benchmarks.clocks [--seed 1]

A simulated camera captures pictures at known times and stamps them with its clock; a simulated
network delivers them late, in order. `LiveTimeline` sees what it sees of a real camera: an arrival
and a timestamp. Nothing is waited for.
"""

import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from connectors.sources.ffmpeg.timeline import LiveTimeline
from pipeline.core.sources import CameraClockState
from pipeline.testing import ManualClock

SETTLED_S = 60.0
"""What comes later is judged for jitter; distances are judged from the first picture on."""


@dataclass(frozen=True, slots=True)
class Network:
    """How late packets come."""

    name: str
    least_s: float = 0.02
    jitter_s: float = 0.0
    """Mean of what is added to each, exponentially distributed."""
    holds: tuple[float, float] | None = None
    """Every so many seconds all packets are held for so long, then delivered together."""
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera and its clock."""

    name: str
    stamp: Callable[[float, random.Random], float | None]
    """The timestamp of a picture captured so many seconds after the start."""
    fps: float = 25.0
    seconds: float = 180.0
    gaps: tuple[float, float] | None = None
    """A camera that sends on motion only: seconds with and without pictures."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What was simulated, and what came of it."""

    captured: float
    arrived: float
    at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one simulation."""

    pictures: Sequence[Picture] = field(repr=False)
    state: CameraClockState | None
    said_after_s: float | None
    """When the clock was first said to be wrong."""

    @property
    def oldest_s(self) -> float:
        """The largest distance of a time to its arrival."""
        return max(one.arrived - one.at for one in self.pictures)

    @property
    def too_old_s(self) -> float:
        """The same beyond what the network was late by."""
        return max(one.captured - one.at for one in self.pictures)

    @property
    def future_s(self) -> float:
        """By how much a time was later than its arrival."""
        return max(one.at - one.arrived for one in self.pictures)

    @property
    def jitter_s(self) -> tuple[float, float]:
        """Differences of distances to true ones, once settled: 99 of 100, and the worst."""
        late = [one for one in self.pictures if one.captured > SETTLED_S]
        off = sorted(abs(b.at - a.at - (b.captured - a.captured)) for a, b in pairwise(late))
        return off[int(0.99 * (len(off) - 1))], off[-1]


def play(camera: Camera, network: Network, seed: int) -> Outcome:
    """Simulate a camera over a network."""
    chance = random.Random(f"{seed} {camera.name} {network.name}")
    clock = ManualClock(0.0)
    timeline = LiveTimeline(clock)
    pictures = []
    said_after = None
    for captured, arrived, stamp in _packets(camera, network, chance):
        clock.advance(max(0.0, arrived - clock.now()))
        timeline.arrive(stamp)
        pictures.append(Picture(captured, arrived, timeline.at(stamp)))
        state = timeline.state
        if said_after is None and state is not None and not state.is_right:
            said_after = captured
    return Outcome(pictures, timeline.state, said_after)


def _packets(
    camera: Camera, network: Network, chance: random.Random
) -> Iterator[tuple[float, float, float | None]]:
    arrived = 0.0
    for nth in range(int(camera.seconds * camera.fps)):
        captured = nth / camera.fps
        if camera.gaps is not None:
            with_s, without_s = camera.gaps
            if captured % (with_s + without_s) > with_s:
                continue
        stamp = camera.stamp(captured, chance)
        if chance.random() < network.loss:
            continue
        late = network.least_s
        if network.jitter_s:
            late += chance.expovariate(1 / network.jitter_s)
        at = captured + late
        if network.holds is not None:
            every_s, for_s = network.holds
            since = at % every_s
            if since < for_s and at > every_s:
                at += for_s - since
        # In order, and no two in the same millisecond.
        arrived = max(arrived + 0.001, at)
        yield captured, arrived, stamp


def runs_at(rate: float) -> Camera:
    """A clock that advances so many seconds in one."""
    return Camera(f"rate {rate:g}", lambda t, _: 1000.0 + rate * t)


def steps_by(step_s: float, every_s: float) -> Camera:
    """A clock that is set by so much, again and again."""
    return Camera(
        f"steps of {step_s:+g} s every {every_s:g} s",
        lambda t, _: 50_000.0 + t + step_s * (t // every_s),
    )


def drifts(most: float, period_s: float) -> Camera:
    """A clock that runs faster and slower, up to so much."""
    turn = 2 * math.pi / period_s
    return Camera(
        f"drifts by {most:g} over {period_s:g} s",
        lambda t, _: t + most / turn * (1 - math.cos(turn * t)),
    )


def cameras(rates: Sequence[float]) -> list[Camera]:
    """The clocks to try."""
    slow_gaps = runs_at(0.84)
    return [
        *map(runs_at, rates),
        replace(runs_at(1.0), name="rate 1 at 1 picture/s", fps=1.0),
        replace(runs_at(0.84), name="rate 0.84 at 1 picture/s", fps=1.0),
        replace(runs_at(20.0), name="rate 20 at 1 picture/s", fps=1.0),
        replace(runs_at(1.0), name="rate 1, on motion only", gaps=(20.0, 40.0), seconds=400.0),
        replace(slow_gaps, name="rate 0.84, on motion only", gaps=(20.0, 40.0), seconds=400.0),
        replace(
            Camera("stands while nothing is sent", lambda t, _: t // 60 * 20.04 + min(t % 60, 20)),
            gaps=(20.0, 40.0),
            seconds=400.0,
        ),
        drifts(0.0002, 100.0),
        drifts(0.2, 100.0),
        steps_by(0.5, 20.0),
        steps_by(-0.5, 20.0),
        steps_by(3.0, 20.0),
        steps_by(-3.0, 20.0),
        steps_by(86_400.0, 50.0),
        steps_by(-600.0, 50.0),
        Camera("wraps at 32 bits", lambda t, _: (47_700.0 + t) % (2**32 / 90_000)),
        Camera("stands still", lambda _t, _: 7.0),
        Camera("in thousandths", lambda t, _: t / 1000),
        Camera("in thousands", lambda t, _: t * 1000),
        Camera("whole seconds", lambda t, _: float(int(t))),
        Camera("runs backwards", lambda t, _: 9000.0 - t),
        Camera("garbage", lambda _t, chance: chance.uniform(-1e6, 1e6)),
        Camera(
            "1 of 50 is garbage",
            lambda t, chance: chance.uniform(-1e6, 1e6) if chance.random() < 1 / 50 else t,
        ),
        Camera("none", lambda _t, _: None),
        Camera("half are missing", lambda t, chance: t if chance.random() < 1 / 2 else None),
    ]


NETWORKS = (
    Network("still"),
    Network("jitter 30 ms", jitter_s=0.03),
    Network("jitter 300 ms", jitter_s=0.3),
    Network("holds 5 s every 30 s", jitter_s=0.01, holds=(30.0, 5.0)),
    Network("loses 5 %", jitter_s=0.03, loss=0.05),
)
RATES = (0.1, 0.5, 0.84, 0.97, 0.995, 1.0, 1.0001, 1.03, 1.2, 2.0, 5.0, 20.0)


def main() -> None:
    """Print a line for each clock: the worst over all networks, and jitter for each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    names = " / ".join(network.name for network in NETWORKS)
    print(f"Networks: {names}\n")
    print("| clock | oldest s | too old s | early s | jitter ms, 99 of 100 | worst ms | said |")
    print("|---|---|---|---|---|---|---|")
    for camera in cameras(RATES):
        told = [play(camera, network, seed) for network in NETWORKS]
        usual = " / ".join(f"{one.jitter_s[0] * 1000:.0f}" for one in told)
        worst = " / ".join(f"{one.jitter_s[1] * 1000:.0f}" for one in told)
        print(
            f"| {camera.name} | {max(one.oldest_s for one in told):.2f} "
            f"| {max(one.too_old_s for one in told):.2f} "
            f"| {max(0.0, *(one.future_s for one in told)):.3f} "
            f"| {usual} | {worst} | {_said(told)} |"
        )


def _said(told: Sequence[Outcome]) -> str:
    wrong = [one for one in told if one.state is not None and not one.state.is_right]
    if not wrong:
        return "right"
    first = wrong[0]
    words = "" if first.state is None else first.state.words.partition(", so")[0]
    times = [one.said_after_s for one in wrong if one.said_after_s is not None]
    share = "" if len(wrong) == len(told) else f" (on {len(wrong)} of {len(told)})"
    return f"after {min(times):.0f} to {max(times):.0f} s: {words}{share}"


if __name__ == "__main__":
    main()
