"""The in-process queue at work: jobs, results and kept pictures of one process."""

import itertools
import threading
import time
from bisect import insort
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.clips import MemoryClips
from pipeline.core.clock import Clock
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import QUESTION_RUN, Job, Result, failed_result
from pipeline.core.live import MemoryLive
from pipeline.core.queues import (
    AHEAD_ROOM,
    Backlog,
    Claim,
    DeadLetter,
    Delivered,
    Queues,
    Receipt,
)

_MEGABYTE = 1_000_000
# Shortest sleep between two looks at leases, so that rounding never makes a busy loop.
_MIN_WAIT_S = 0.001


class HeldPixels:
    """Counts the bytes of the frames in the queue; jobs that share a frame count it once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._jobs_by_frame: dict[int, int] = {}

    @property
    def is_over(self) -> bool:
        """Whether more is held than the limit."""
        return self._bytes > self._limit

    def has_room(self, job: Job) -> bool:
        """Whether the job's frame fits below the limit, or is held already."""
        held = id(job.frame.pixels) in self._jobs_by_frame
        return held or self._bytes + job.frame.pixels.nbytes <= self._limit

    def hold(self, job: Job) -> None:
        """Count the job's frame."""
        key = id(job.frame.pixels)
        if key not in self._jobs_by_frame:
            self._bytes += job.frame.pixels.nbytes
        self._jobs_by_frame[key] = self._jobs_by_frame.get(key, 0) + 1

    def release(self, job: Job) -> None:
        """Count the job's frame no longer, once no other job shares it."""
        key = id(job.frame.pixels)
        self._jobs_by_frame[key] -= 1
        if self._jobs_by_frame[key] == 0:
            del self._jobs_by_frame[key]
            self._bytes -= job.frame.pixels.nbytes


# More frames of a live camera than usually lie between a worker's answer and the judgement.
FRAMES_A_CAMERA = 16
ROOM_BYTES = 512 * 1024 * 1024
_Key = tuple[str, str, int]
_LaneKind = Literal["live", "file", "ahead"]


class MemoryShelf:
    """Holds pixels without copying them.

    What is held for a recording stays until its results are judged: the recording waits where there
    is no room. Of all other frames a camera's oldest go first, then the oldest of all.
    """

    def __init__(
        self, frames_a_camera: int = FRAMES_A_CAMERA, room_bytes: int = ROOM_BYTES
    ) -> None:
        self._frames = frames_a_camera
        self._room = room_bytes
        self._used = 0
        self._held_bytes = 0
        self._pictures: dict[_Key, Pixels] = {}
        # The engines whose results are yet to be judged.
        self._held: dict[_Key, set[str]] = {}
        self._free: OrderedDict[_Key, None] = OrderedDict()
        self._cameras: dict[str, OrderedDict[_Key, None]] = {}
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether all room is taken by frames that must stay."""
        return self._held_bytes >= self._room

    def keep(self, frame: Frame) -> None:
        """Remember a frame's pixels for a while; keeping it again changes nothing."""
        key = _key_of(frame)
        with self._lock:
            if key not in self._pictures:
                self._add(key, frame.pixels)
                self._let_free(key)

    def hold(self, frame: Frame, engine: str) -> None:
        """Remember a frame's pixels until the engine's result is judged."""
        key = _key_of(frame)
        with self._lock:
            if key not in self._pictures:
                self._add(key, frame.pixels)
            elif key not in self._held:
                del self._free[key], self._cameras[key[0]][key]
            if key not in self._held:
                self._held_bytes += self._pictures[key].nbytes
            self._held.setdefault(key, set()).add(engine)

    def let_go(self, result: Result) -> None:
        """A result is judged: nothing more is held for it."""
        key = (result.camera, result.run, result.seq)
        with self._lock:
            engines = self._held.get(key)
            if engines is None:
                return
            engines.discard(result.engine)
            if not engines:
                del self._held[key]
                self._held_bytes -= self._pictures[key].nbytes
                self._let_free(key)

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """The pixels (H, W, 3) RGB of a frame, or None when they are gone."""
        with self._lock:
            return self._pictures.get((camera, run, seq))

    def _add(self, key: _Key, pixels: Pixels) -> None:
        self._pictures[key] = pixels
        self._used += pixels.nbytes

    def _let_free(self, key: _Key) -> None:
        self._free[key] = None
        own = self._cameras.setdefault(key[0], OrderedDict())
        own[key] = None
        if len(own) > self._frames:
            self._forget(next(iter(own)))
        while self._used > self._room and len(self._free) > 1:
            self._forget(next(iter(self._free)))

    def _forget(self, key: _Key) -> None:
        self._used -= self._pictures.pop(key).nbytes
        del self._free[key], self._cameras[key[0]][key]


def _key_of(frame: Frame) -> _Key:
    return frame.camera, frame.run, frame.seq


class MemoryResults:
    """Results of this process, in the order of publishing."""

    def __init__(self, room: int, visibility_s: float, clock: Clock, shelf: MemoryShelf) -> None:
        self._room = room
        self._shelf = shelf
        self._visibility_s = visibility_s
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, Result]] = []
        self._taken: dict[str, tuple[float, int, Result]] = {}
        self._orders = itertools.count()

    def publish(self, results: Sequence[Result], wait_s: float) -> bool:
        """Hand all on, or none when there was no room for `wait_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(len(results)), wait_s):
                return False
            self._extend(results)
            return True

    def wait_for_room(self, count: int, wait_s: float) -> bool:
        """Wait until as many could be handed on; False when there was no room for `wait_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._has_room(count), wait_s)

    def append(self, result: Result) -> None:
        """Hand one on without waiting for room: for the queue's own words on dead letters."""
        with self._changed:
            self._extend([result])

    def take(self, limit: int, wait_s: float) -> list[Delivered]:
        """Up to `limit` results, oldest first; they come again if not acknowledged in time."""
        with self._changed:
            self._changed.wait_for(self._has_results, wait_s)
            until = self._clock.monotonic() + self._visibility_s
            taken, self._waiting = self._waiting[:limit], self._waiting[limit:]
            for order, result in taken:
                self._taken[f"{order}"] = (until, order, result)
            self._changed.notify_all()
            return [Delivered(f"{order}", result) for order, result in taken]

    def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """Forget them, also when they came back meanwhile. Safe to repeat."""
        with self._changed:
            done = {one.id for one in delivered}
            returned = done - {one for one in done if self._taken.pop(one, None) is not None}
            if returned:
                self._waiting = [one for one in self._waiting if f"{one[0]}" not in returned]
            for one in delivered:
                self._shelf.let_go(one.result)
            self._changed.notify_all()

    def _extend(self, results: Sequence[Result]) -> None:
        self._waiting.extend((next(self._orders), result) for result in results)
        self._changed.notify_all()

    def _has_room(self, more: int) -> bool:
        # A batch larger than the whole room goes in alone rather than never. So does one whose
        # pictures have no room: what is waited for may be in it.
        return not self._waiting or (
            len(self._waiting) + more <= self._room and not self._shelf.is_full
        )

    def _has_results(self) -> bool:
        now = self._clock.monotonic()
        ended = [one for one, (until, _, _) in self._taken.items() if until <= now]
        for one in ended:
            _, order, result = self._taken.pop(one)
            insort(self._waiting, (order, result), key=lambda entry: entry[0])
        return bool(self._waiting)


@dataclass(order=True, slots=True)
class _QueuedJob:
    """A job in the queue; compares by order of arrival."""

    order: int
    id: str = field(compare=False)
    job: Job = field(compare=False)
    attempts: int = field(default=0, compare=False)


@dataclass(slots=True)
class _CameraLane:
    """What waits of one camera for one engine, oldest first."""

    waiting: list[_QueuedJob] = field(default_factory=list)
    last_turn: int = 0


class MemoryJobs:
    """Jobs of this process, a lane for each engine, kind and camera."""

    def __init__(
        self, config: MemoryConfig, clock: Clock, results: MemoryResults, shelf: MemoryShelf
    ) -> None:
        self._config = config
        self._clock = clock
        self._results = results
        self._shelf = shelf
        self._visibility_s = config.visibility.total_seconds()
        self._changed = threading.Condition()
        # Live jobs, those that go ahead and others of a camera have lanes of their own, so that
        # none pushes another out.
        self._lanes: dict[str, dict[tuple[str, _LaneKind], _CameraLane]] = {}
        # Engines that were given a job that goes ahead, and no frame since.
        self._owing: set[str] = set()
        self._known: set[tuple[str, str, str, int]] = set()
        self._entries: dict[str, _QueuedJob] = {}
        self._leases: dict[str, float] = {}
        self._dead: dict[str, tuple[_QueuedJob, DeadLetter]] = {}
        self._pixels = HeldPixels(config.megabytes * _MEGABYTE)
        self._orders = itertools.count()
        self._turns = itertools.count(1)

    def put(self, job: Job, wait_s: float) -> Receipt:
        """Take a live job at once, a file's job as soon as there is room within `wait_s`."""
        with self._changed:
            self._end_leases()
            if _name_of(job) in self._known:
                return Receipt(accepted=True)  # on its way already
            if not job.live and not self._changed.wait_for(lambda: self._has_room(job), wait_s):
                return Receipt(accepted=False)
            order = next(self._orders)
            self._enter(_QueuedJob(order, f"{order}", job))
            return Receipt(accepted=True, dropped=self._make_room(job) if job.live else ())

    def claim(
        self, engine: str, limit: int, wait_s: float, *, only_ahead: bool = False
    ) -> list[Claim]:
        """Take up to `limit` jobs, the camera that was served longest ago first.

        Those that go ahead have every second turn, or all of them with `only_ahead`, which waits
        for nothing.
        """
        with self._changed:
            self._wait_for_jobs(engine, 0.0 if only_ahead else wait_s)
            claims = []
            until = self._clock.monotonic() + self._visibility_s
            turns = self._turns_of(engine, only_ahead=only_ahead)
            for entry in itertools.islice(turns, max(0, limit)):
                entry.attempts += 1
                self._leases[entry.id] = until
                claims.append(Claim(entry.id, entry.job, entry.attempts))
            if claims:
                self._changed.notify_all()
            return claims

    def answer(
        self,
        claims: Sequence[Claim],
        results: Sequence[Result],
        wait_s: float,
        keep: Collection[str] = (),
    ) -> bool:
        """Hand the claims' results on and forget the jobs, also when their lease ran out meanwhile.

        False when there was no room for `wait_s`. What was answered already is passed over.
        """
        until = time.monotonic() + wait_s
        while refused := self._answer(claims, results, keep):
            # Not under the lock: who makes room may need it.
            if not self._results.wait_for_room(refused, until - time.monotonic()):
                return False
        return True

    def backlog(self) -> Mapping[str, Backlog]:
        """What waits, by engine; claimed jobs do not count."""
        with self._changed:
            self._end_leases()
            backlog = {}
            for engine, lanes in self._lanes.items():
                jobs = [entry.job for lane in lanes.values() for entry in lane.waiting]
                times = [job.frame.captured_at for job in jobs if job.live]
                backlog[engine] = Backlog(len(jobs), min(times, default=None))
            return backlog

    def dead_letters(self) -> Sequence[DeadLetter]:
        """Jobs given up on, oldest first."""
        with self._changed:
            self._end_leases()
            return [letter for _, letter in self._dead.values()]

    def retry(self, dead_letter_id: str) -> bool:
        """Put a dead letter back in its lane, at its old place and with no attempts."""
        with self._changed:
            entry, _ = self._dead.pop(dead_letter_id, (None, None))
            if entry is None:
                return False
            # A new name, so that a late acknowledgement of the first life does not end this one.
            self._enter(_QueuedJob(entry.order, f"{entry.order}.{next(self._orders)}", entry.job))
            return True

    def drop(self, dead_letter_id: str) -> bool:
        """Forget a dead letter."""
        with self._changed:
            return self._dead.pop(dead_letter_id, None) is not None

    def _answer(
        self, claims: Sequence[Claim], results: Sequence[Result], keep: Collection[str]
    ) -> int:
        """Answer what is not answered yet; how many results had no room, and then none is added."""
        with self._changed:
            given = zip(claims, results, strict=True)
            answered = {one.id: (one, result) for one, result in given if one.id in self._entries}
            for claim, _ in answered.values():
                if claim.job.frame.camera not in keep:
                    continue
                if claim.job.live:
                    self._shelf.keep(claim.job.frame)
                else:
                    self._shelf.hold(claim.job.frame, claim.job.engine)
            if not self._results.publish([result for _, result in answered.values()], 0):
                return len(answered)
            for id_ in answered:
                self._forget(self._entries[id_])
            self._changed.notify_all()
            return 0

    def _lane(self, job: Job) -> _CameraLane:
        lanes = self._lanes.setdefault(job.engine, {})
        return lanes.setdefault((job.frame.camera, _kind_of(job)), _CameraLane())

    def _enter(self, entry: _QueuedJob) -> None:
        self._entries[entry.id] = entry
        # Questions are put again after a restart; a recording is put again where it is played anew.
        if entry.job.frame.run.startswith(QUESTION_RUN):
            self._known.add(_name_of(entry.job))
        self._pixels.hold(entry.job)
        insort(self._lane(entry.job).waiting, entry)
        self._changed.notify_all()

    def _forget(self, entry: _QueuedJob) -> None:
        del self._entries[entry.id]
        self._known.discard(_name_of(entry.job))
        self._pixels.release(entry.job)
        if self._leases.pop(entry.id, None) is None:
            self._lane(entry.job).waiting.remove(entry)

    def _has_room(self, job: Job) -> bool:
        waiting = self._lane(job).waiting
        if not waiting:
            return True
        if job.goes_ahead:
            return len(waiting) < AHEAD_ROOM
        return len(waiting) < self._config.file_room and self._pixels.has_room(job)

    def _make_room(self, job: Job) -> tuple[Job, ...]:
        """Let the oldest of a live camera go until its lane and the pixels are within bounds."""
        waiting = self._lane(job).waiting
        dropped = []
        while len(waiting) > 1 and (len(waiting) > self._config.live_room or self._pixels.is_over):
            oldest = waiting[0]
            self._forget(oldest)
            dropped.append(oldest.job)
        return tuple(dropped)

    def _turns_of(self, engine: str, *, only_ahead: bool) -> Iterator[_QueuedJob]:
        """Take entries out of the lanes, one of each camera in turn, until all are empty."""
        lanes = self._lanes.get(engine, {})
        while True:
            ahead = [lane for (_, kind), lane in lanes.items() if kind == "ahead" and lane.waiting]
            frames = [lane for (_, kind), lane in lanes.items() if kind != "ahead" and lane.waiting]
            is_ahead = bool(ahead) and not (frames and engine in self._owing)
            if not (ahead or frames) or (only_ahead and not is_ahead):
                return
            (self._owing.add if is_ahead else self._owing.discard)(engine)
            lane = min(ahead if is_ahead else frames, key=lambda lane: lane.last_turn)
            lane.last_turn = next(self._turns)
            yield lane.waiting.pop(0)

    def _wait_for_jobs(self, engine: str, wait_s: float) -> None:
        """Wait until a job is there, waking for every lease that runs out meanwhile."""
        left_s = wait_s
        while not self._has_jobs(engine) and left_s > 0:
            next_end = min(self._leases.values(), default=float("inf"))
            lease_s = next_end - self._clock.monotonic()
            step_s = min(left_s, max(lease_s, _MIN_WAIT_S))
            self._changed.wait_for(lambda: self._has_jobs(engine), step_s)
            left_s -= step_s

    def _has_jobs(self, engine: str) -> bool:
        self._end_leases()
        return any(lane.waiting for lane in self._lanes.get(engine, {}).values())

    def _end_leases(self) -> None:
        """Put back what workers kept for too long; after too many attempts give it up."""
        now = self._clock.monotonic()
        for ended in [one for one, until in self._leases.items() if until <= now]:
            entry = self._entries[ended]
            if entry.attempts >= self._config.max_attempts:
                self._give_up(entry)
            else:
                del self._leases[ended]
                insort(self._lane(entry.job).waiting, entry)

    def _give_up(self, entry: _QueuedJob) -> None:
        reason = f"no worker finished it in {entry.attempts} attempts"
        frame = entry.job.frame
        self._forget(entry)
        self._dead[entry.id] = (
            entry,
            DeadLetter(entry.id, frame.camera, entry.job.engine, frame.seq, entry.attempts, reason),
        )
        while len(self._dead) > self._config.dead_letters:
            del self._dead[next(iter(self._dead))]
        # The processor waits for every job of a file, so it must hear of this one too.
        self._results.append(failed_result(entry.job, reason))


def _kind_of(job: Job) -> _LaneKind:
    if job.goes_ahead:
        return "ahead"
    return "live" if job.live else "file"


def _name_of(job: Job) -> tuple[str, str, str, int]:
    return job.engine, job.frame.camera, job.frame.run, job.ordinal


def build(config: MemoryConfig, clock: Clock) -> Queues:
    """A fresh queue."""
    shelf = MemoryShelf()
    results = MemoryResults(config.results_room, config.visibility.total_seconds(), clock, shelf)
    return Queues(
        MemoryJobs(config, clock, results, shelf),
        results,
        shelf,
        clips=MemoryClips(),
        live=MemoryLive(clock.monotonic),
    )
