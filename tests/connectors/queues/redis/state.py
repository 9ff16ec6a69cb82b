"""What is in a Redis queue, read beside it from its keys: jobs, results, pictures, dead letters."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from connectors.queues.redis.keys import parts_of
from pipeline.core.wire import decode_job, decode_result
from tests.redis_server import Client

NO_PIXELS = np.zeros((0, 0, 3), np.uint8)

Key = tuple[str, str, int]
"""A job's or result's engine, camera and ordinal."""
Lane = tuple[str, str]
"""Engine and camera."""


@dataclass(frozen=True)
class Entry:
    """A job in its lane, or a result in its partition."""

    id: str
    """Empty where the queue has yet to choose it."""
    key: Key
    deliveries: int = 0
    failed: bool = False
    """A result that says why there is none."""


@dataclass(frozen=True)
class State:
    """Everything that a call may change; two are equal when nothing did."""

    lanes: Mapping[Lane, tuple[Entry, ...]]
    results: Mapping[int, tuple[Entry, ...]]
    flight: frozenset[Key]
    dead: tuple[Entry, ...]
    drops: int

    def lane(self, lane: Lane) -> tuple[Entry, ...]:
        """A lane's jobs, oldest first."""
        return self.lanes.get(lane, ())

    def waiting(self, lane: Lane) -> tuple[Entry, ...]:
        """Those that no worker was given."""
        return tuple(one for one in self.lane(lane) if not one.deliveries)

    def partition(self, number: int) -> tuple[Entry, ...]:
        """A partition's results, oldest first."""
        return self.results.get(number, ())

    def untaken(self, number: int) -> int:
        """How many of them no processor was given."""
        return sum(not one.deliveries for one in self.partition(number))

    def with_lane(self, lane: Lane, entries: tuple[Entry, ...]) -> "State":
        """The same with other jobs in a lane."""
        rest = {name: found for name, found in self.lanes.items() if name != lane}
        return replace(self, lanes=rest | ({lane: entries} if entries else {}))

    def with_results(self, number: int, entries: tuple[Entry, ...]) -> "State":
        """The same with other results in a partition."""
        rest = {name: found for name, found in self.results.items() if name != number}
        return replace(self, results=rest | ({number: entries} if entries else {}))

    def plus(self, number: int, *keys: Key, failed: bool = False) -> "State":
        """The same with more results in a partition."""
        more = tuple(Entry("", key, failed=failed) for key in keys)
        return self.with_results(number, self.partition(number) + more)

    def references(self) -> Mapping[tuple[str, int], int]:
        """How many jobs and dead letters refer to each picture, by camera and number."""
        jobs = [one for lane in self.lanes.values() for one in lane]
        return Counter(one.key[1:] for one in (*jobs, *self.dead))

    def unnamed(self) -> "State":
        """Without the ids, which the queue chooses."""
        return replace(
            self,
            lanes={lane: _unnamed(entries) for lane, entries in self.lanes.items()},
            results={number: _unnamed(entries) for number, entries in self.results.items()},
            dead=_unnamed(self.dead),
        )


def _unnamed(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(replace(one, id="") for one in entries)


@dataclass(frozen=True)
class Pictures:
    """Pictures by camera and number, as the queue counts and keeps them."""

    references: Mapping[tuple[str, int], int]
    kept: Mapping[tuple[str, int], bool]
    """Those that are there, and whether they stay until they are let go."""


def read(client: Client, prefix: str) -> tuple[State, Pictures]:
    """What there is now, read beside the queue by commands of the test's own."""
    found = _Found(client, f"{{{prefix}}}:")
    dead = found.values("dead", "xrange")
    state = State(
        lanes=_streams(found, "lane", "workers", _lane, _job),
        results=_streams(found, "results", "processors", int, _result),
        flight=frozenset(
            (engine, camera, int(ordinal))
            for name, ordinals in found.values("flight", "smembers").items()
            for engine, camera, _ in [parts_of(name)]
            for ordinal in ordinals
        ),
        dead=tuple(Entry(id_.decode(), _job(fields)[0]) for id_, fields in dead.get("", ())),
        drops=sum(int(n) for one in found.values("dropped", "hvals").values() for n in one),
    )
    references = {
        (parts_of(name)[0], int(seq)): int(count)
        for name, fields in found.values("refs", "hgetall").items()
        for seq, count in fields.items()
        if seq.isdigit()
    }
    kept = {
        (camera, int(seq)): ms == -1
        for name, ms in found.values("picture", "pttl").items()
        for camera, _, seq in [parts_of(name)]
    }
    return state, Pictures(references, kept)


class _Found:
    """The keys of a deployment."""

    def __init__(self, client: Client, base: str) -> None:
        self._client, self._base = client, base
        self._names: dict[str, list[str]] = {}
        for raw in client.keys(f"{base}*"):
            kind, _, rest = raw.decode().removeprefix(base).partition(":")
            self._names.setdefault(kind, []).append(rest)

    def values(self, kind: str, command: str, *args: Any) -> dict[str, Any]:
        """What a command says of each key of a kind, by the rest of its name."""
        names = self._names.get(kind, ())
        with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                key = f"{self._base}{kind}:{name}" if name else f"{self._base}{kind}"
                getattr(pipeline, command)(key, *args)
            return dict(zip(names, pipeline.execute(), strict=True))


def _streams(
    found: _Found, kind: str, group: str, place: Callable[[str], Any], read: Any
) -> dict[Any, tuple[Entry, ...]]:
    streams = {}
    told = found.values(kind, "xpending_range", group, "-", "+", 10_000)
    for name, entries in found.values(kind, "xrange").items():
        pending = {one["message_id"]: one["times_delivered"] for one in told[name]}
        assert set(pending) <= {id_ for id_, _ in entries}, f"{name}: pending and gone"
        if entries:
            streams[place(name)] = tuple(
                Entry(id_.decode(), key, pending.get(id_, 0), failed)
                for id_, fields in entries
                for key, failed in [read(fields)]
            )
    return streams


def _lane(name: str) -> Lane:
    engine, _, camera = parts_of(name)
    return engine, camera


def _job(fields: dict[bytes, bytes]) -> tuple[Key, bool]:
    job = decode_job(fields[b"j"], NO_PIXELS)
    return (job.engine, job.frame.camera, job.ordinal), False


def _result(fields: dict[bytes, bytes]) -> tuple[Key, bool]:
    if b"j" in fields:
        return _job(fields)[0], True
    result = decode_result(fields[b"r"])
    return (result.engine, result.camera, result.ordinal), False
