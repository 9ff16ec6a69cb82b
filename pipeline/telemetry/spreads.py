"""How long things took lately, in counts by bucket, so that several processes can be added up."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from pipeline.core.events import JsonValue
from pipeline.core.ranges import counted_number, measured_number
from pipeline.telemetry.metrics import LATENCY_BUCKETS, Metrics

HOUR_S = 3600.0
ENGINE_S = 600.0
"""Of how long the figures of engines are."""
_EVERY_S = 60.0
_FRESH_S = 5.0
_ANSWERED = "moonwatch_answer_seconds_bucket"
_BATCHED = ("moonwatch_batch_size_count", "moonwatch_batch_size_sum")
_JUDGED = "moonwatch_end_to_end_seconds_bucket"
_WAITING = ("moonwatch_queue_length", "moonwatch_queue_oldest_seconds")
Tables = Mapping[str, Mapping[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class LatencyCounts:
    """How many took how long: by the bounds of `LATENCY_BUCKETS`, and beyond the last one."""

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """About what this share took at most, in seconds; None without any.

        What is beyond the last bound counts as it.
        """
        wanted, seen = share * self.total, 0
        if not self.total:
            return None
        for place, count in enumerate(self.counts):
            if count and seen + count >= wanted:
                if place == len(LATENCY_BUCKETS):
                    break
                low = LATENCY_BUCKETS[place - 1] if place else 0.0
                return low + (LATENCY_BUCKETS[place] - low) * (wanted - seen) / count
            seen += count
        return float(LATENCY_BUCKETS[-1])

    def plus(self, other: "LatencyCounts") -> "LatencyCounts":
        """Both together."""
        return LatencyCounts(tuple(map(add, self.counts, other.counts)))

    @classmethod
    def of_json(cls, said: Any) -> "LatencyCounts":
        """What another process has counted; raises TypeError or ValueError."""
        counts = tuple(counted_number(count) for count in said)
        if len(counts) != len(LATENCY_BUCKETS) + 1:
            raise ValueError("it has other buckets")
        return cls(counts)


_NONE = LatencyCounts((0,) * (len(LATENCY_BUCKETS) + 1))


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """How an engine did in the last ten minutes, in one process."""

    took: LatencyCounts
    """From submitting a job to its answers."""
    jobs: int = 0
    batched: int = 0
    """Sum over these jobs of how many were answered together."""
    waiting: int | None = None
    """Jobs that wait in a queue in memory; None for a shared one, which knows it itself."""
    oldest_s: float | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for other processes."""
        return {
            "took": list(self.took.counts),
            "jobs": self.jobs,
            "batched": self.batched,
            "waiting": self.waiting,
            "oldest_s": self.oldest_s,
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> "EngineSpeed":
        """The figures of an `as_json()`; raises LookupError, TypeError or ValueError."""
        waiting, oldest_s = said.get("waiting"), said.get("oldest_s")
        return cls(
            LatencyCounts.of_json(said["took"]),
            counted_number(said["jobs"]),
            counted_number(said["batched"]),
            None if waiting is None else counted_number(waiting),
            None if oldest_s is None else measured_number(oldest_s),
        )


def spreads_added(spreads: Iterable[LatencyCounts]) -> LatencyCounts:
    """Those of several processes as one."""
    return reduce(LatencyCounts.plus, spreads, _NONE)


class Lately:
    """What a process's metrics have counted in the last minutes and hour. One thread uses it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._past: deque[tuple[float, Tables]] = deque()
        self._now: tuple[float, Tables] | None = None

    def speeds(self, moment: float, *, has_queue: bool) -> dict[str, EngineSpeed]:
        """By engine; `has_queue` says that what waits, waits in this process."""
        now, before = self._at(moment), self._before(moment - ENGINE_S)
        took = _spreads(now, before, _ANSWERED)
        jobs, batched = (_less(now, before, name) for name in _BATCHED)
        waiting, oldest = (now[name] if has_queue else {} for name in _WAITING)
        names = dict.fromkeys([*took, *(name for name, *_ in waiting)])
        return {
            name: EngineSpeed(
                took.get(name, _NONE),
                jobs.get(name, 0),
                batched.get(name, 0),
                int(waiting[name,]) if (name,) in waiting else None,
                round(oldest[name,], 3) if waiting.get((name,)) and (name,) in oldest else None,
            )
            for name in names
        }

    def judged(self, moment: float) -> dict[str, LatencyCounts]:
        """From capture to judging, by live camera, of the last hour."""
        found = _spreads(self._at(moment), self._before(moment - HOUR_S), _JUDGED)
        return {camera: spread for camera, spread in found.items() if spread.total}

    def _at(self, moment: float) -> Tables:
        if self._now is None or moment - self._now[0] >= _FRESH_S:
            tables = self._metrics.tables(_ANSWERED, *_BATCHED, _JUDGED, *_WAITING)
            self._now = (moment, tables)
            if not self._past or moment - self._past[-1][0] >= _EVERY_S:
                self._past.append(self._now)
                # The last one before the hour is what is taken off.
                while len(self._past) > 1 and moment - self._past[1][0] >= HOUR_S:
                    self._past.popleft()
        return self._now[1]

    def _before(self, moment: float) -> Tables:
        """What was counted by then; nothing before the process was started."""
        found = [tables for at, tables in self._past if at <= moment]
        return found[-1] if found else {}


def _less(now: Tables, before: Tables, name: str) -> dict[str, int]:
    earlier = before.get(name, {})
    return {key[0]: max(0, int(n - earlier.get(key, 0.0))) for key, n in now[name].items()}


def _spreads(now: Tables, before: Tables, name: str) -> dict[str, LatencyCounts]:
    earlier = before.get(name, {})
    cumulative: dict[str, list[tuple[float, float]]] = {}
    for key, count in now[name].items():
        cumulative.setdefault(key[0], []).append((float(key[1]), count - earlier.get(key, 0.0)))
    found = {}
    for of, steps in cumulative.items():
        counts = [0] * (len(LATENCY_BUCKETS) + 1)
        below = 0.0
        for bound, count in sorted(steps):
            counts[bisect_left(LATENCY_BUCKETS, bound)] = max(0, round(count - below))
            below = count
        found[of] = LatencyCounts(tuple(counts))
    return found


def speeds_added(speeds: Sequence[EngineSpeed]) -> EngineSpeed:
    """Those of several processes as one."""
    waits = [one.waiting for one in speeds if one.waiting is not None]
    oldest = [one.oldest_s for one in speeds if one.oldest_s is not None]
    return EngineSpeed(
        spreads_added(one.took for one in speeds),
        sum(one.jobs for one in speeds),
        sum(one.batched for one in speeds),
        sum(waits) if waits else None,
        max(oldest, default=None),
    )
