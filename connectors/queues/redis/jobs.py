"""Jobs in Redis: a stream for each engine, kind and camera, served in turn."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from connectors.queues.redis import keys
from connectors.queues.redis.client.link import Link
from connectors.queues.redis.leases import CameraFence
from connectors.queues.redis.limits import UNTAKEN_MS, Limits
from connectors.queues.redis.pictures import Codec, Outgoing
from connectors.queues.redis.results import hand_on, packed
from pipeline.core.clock import Clock
from pipeline.core.errors import CameraTakenError, QueueError
from pipeline.core.jobs import Job, Result
from pipeline.core.membership import partition_of
from pipeline.core.queues import AHEAD_ROOM, Backlog, Claim, DeadLetter, Receipt
from pipeline.core.ranges import is_moment
from pipeline.core.wire import decode_job, encode_job

logger = logging.getLogger(__name__)

# A dropped job's pixels stay behind.
_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
_LONG_NUMBER = 20
# Between the parts of a claim's id, none of which holds it.
_BAR = "|"


class RedisJobs:
    """Jobs of all processes that share a Redis. See `connectors.queues.redis` for the design."""

    def __init__(
        self,
        link: Link,
        limits: Limits,
        codec: Codec,
        clock: Clock,
        fence: CameraFence | None = None,
    ) -> None:
        """`fence` is of the sampler whose camera's jobs alone are put here."""
        self._link = link
        self._limits = limits
        self._codec = codec
        self._clock = clock
        self._fence = fence
        self._fence_args = fence.told() if fence is not None else ("", "")
        self._outgoing = Outgoing(codec)
        self._claim_args = (
            limits.visibility_ms,
            limits.max_attempts,
            limits.dead_letters,
            limits.live_age_ms,
            limits.results_room,
        )
        self._idle_until: dict[str, float] = {}
        self._said_unreadable = False

    def fenced(self, fence: CameraFence) -> "RedisJobs":
        """The same for the sampler of one camera: it puts nothing once another has the camera."""
        return RedisJobs(self._link, self._limits, self._codec, self._clock, fence)

    def put(self, job: Job, wait_s: float) -> Receipt:
        """Take a live job at once, a file's job as soon as there is room within `wait_s`.

        A job that is on its way already is accepted and not taken twice. Raises QueueError: at
        once while Redis is known to be away, and within its timeout otherwise. Raises
        CameraTakenError where this is a sampler's own and the camera is another's by now.
        """
        lane = keys.lane_of(job)
        until = self._clock.monotonic() + wait_s
        while True:
            status, *rest = self._offer(job, lane)
            if status == b"picture":
                continue  # it expired between two steps, and is sent again
            if status == b"taken":
                raise CameraTakenError(job.frame.camera)
            if status != b"full":
                return Receipt(accepted=True, dropped=_readable(rest), answered=True)
            left_s = until - self._clock.monotonic()
            if left_s <= 0:
                return Receipt(accepted=False)
            self._link.wait_for({f"bell:room:{lane}": rest[0]}, left_s)

    def claim(
        self, engine: str, limit: int, wait_s: float, *, only_ahead: bool = False
    ) -> list[Claim]:
        """Take up to `limit` jobs, the camera that was served longest ago first.

        Those that go ahead have every second turn, or all of them with `only_ahead`, which waits
        for nothing. While Redis is away there are none; nothing is raised.
        """
        name = keys.engine_named(engine)
        if only_ahead:
            return (self._claim(name, limit, only_ahead=True) or []) if limit > 0 else []
        until = self._clock.monotonic() + wait_s
        while limit > 0:
            # Where nothing was left the last time there is a token before there is a job.
            idle_s = self._idle_until.pop(name, 0.0) - self._clock.monotonic()
            left_s = until - self._clock.monotonic()
            if min(idle_s, left_s) > 0:
                self._link.wait_for_token(f"wake:{name}", min(idle_s, left_s))
            claims = self._claim(name, limit)
            left_s = until - self._clock.monotonic()
            if claims or left_s <= 0:
                return claims or []
            if claims is None:
                self._link.pause(left_s)
        return []

    def answer(
        self,
        claims: Sequence[Claim],
        results: Sequence[Result],
        wait_s: float,
        keep: Collection[str] = (),
    ) -> bool:
        """Hand the claims' results on and forget the jobs, all or none, in one step.

        False when there was no room, or no Redis, for `wait_s`; repeat it then. What was done
        already, by this worker or another, is not done twice. The pictures of the cameras in
        `keep` stay for a while.
        """
        args: list[str | bytes | int] = []
        for claim, result in zip(claims, results, strict=True):
            kept = self._limits.keep_ms if claim.job.frame.camera in keep else ""
            job = (result.ordinal, *claim.id.split(_BAR), kept)
            args += [*packed(result, self._limits.partitions), *job]
        if not args:
            return True
        room = self._limits.results_room
        return hand_on(self._link, self._clock, wait_s, "answer", room, *args)

    def backlog(self) -> Mapping[str, Backlog]:
        """What waits, by engine; claimed jobs do not count. Raises QueueError."""
        return {
            keys.parts_of(engine.decode(errors="replace"))[0]: Backlog(length, _moment(at))
            for engine, length, at in self._link.script("backlog")
        }

    def drops(self) -> Mapping[tuple[str, str, str], int]:
        """How many live jobs were ever let go here, by camera, engine and reason."""
        flat = self._link.script("dropped")
        found = {}
        for name, number in zip(flat[::2], flat[1::2], strict=True):
            parts = keys.parts_of(name.decode(errors="replace"))
            if len(parts) == 4 and number.isdigit():
                engine, _, camera, reason = parts
                found[camera, engine, reason] = int(number)
        return found

    def dead_letters(self) -> Sequence[DeadLetter]:
        """Jobs, and unreadable results, given up on, oldest first. Raises QueueError."""
        return [_letter(*found) for found in self._link.script("dead")]

    def retry(self, dead_letter_id: str) -> bool:
        """Put a dead letter back in its lane, behind what waits there, with no attempts."""
        return bool(self._script_of("retry", dead_letter_id, self._limits.live_ms))

    def drop(self, dead_letter_id: str) -> bool:
        """Forget a dead letter."""
        return bool(self._script_of("forget", dead_letter_id))

    def ping(self) -> None:
        """Ask whether Redis is there; raises QueueError."""
        self._link.ping()

    def _script_of(self, name: str, letter: str, *more: int) -> Any:
        first, dash, second = letter.partition("-")
        if not (dash and first.isdecimal() and second.isdecimal()):
            return 0
        return self._link.script(name, letter, *more)

    def _offer(self, job: Job, lane: str) -> list[Any]:
        if self._outgoing.is_known(job.frame):
            reply: list[Any] = self._link.script(
                "put", *self._put_args(job, lane, sent=False), is_done=_is_taken
            )
            if reply[0] != b"picture":
                return reply
        # In one round trip; what is not taken expires by itself.
        expiring = (
            f"picture:{keys.picture_of(job.frame)}",
            self._outgoing.data(job.frame),
            self._limits.live_ms if job.live else UNTAKEN_MS,
        )
        args = self._put_args(job, lane, sent=True)
        sent: list[Any] = self._link.script("put", *args, storing=expiring, is_done=_is_taken)
        return sent

    def _put_args(self, job: Job, lane: str, *, sent: bool) -> tuple[str | bytes | float, ...]:
        frame, limits = job.frame, self._limits
        flight = keys.flight_named(job.engine, frame.camera, frame.run)
        partition = partition_of(frame.camera, limits.partitions)
        size = "x".join(map(str, frame.size_wh))
        rest = (flight, str(job.ordinal), str(partition), repr(frame.captured_at), size)
        offered = (
            lane,
            AHEAD_ROOM if job.goes_ahead else limits.live_room if job.live else limits.file_room,
            encode_job(job),
            keys.run_named(frame.camera, frame.run),
            frame.seq,
            flight,
            job.ordinal,
            _BAR.join(rest),
            limits.flight_ms(live=job.live),
            int(sent),
            *self._fence_args,
        )
        if not job.live:
            return offered
        return (*offered, limits.live_ms, limits.live_age_ms, limits.results_room)

    def _claim(self, engine: str, limit: int, *, only_ahead: bool = False) -> list[Claim] | None:
        """What there is; None while Redis is away."""
        try:
            due_ms, more, *found = self._link.script(
                "claim", engine, limit, *self._claim_args, int(only_ahead)
            )
            # In a round trip of their own: a script that returned them would copy each four times.
            names = [one[4].decode(errors="replace") for one in found]
            files = self._link.fetch([f"picture:{name}" for name in names])
        except QueueError:
            return None
        if not more and not only_ahead:
            due_s = due_ms / 1000 if due_ms >= 0 else float("inf")
            self._idle_until[engine] = self._clock.monotonic() + due_s
        return [c for f, file in zip(found, files, strict=True) if (c := self._read(f, file))]

    def _read(self, found: Sequence[Any], file: bytes | None) -> Claim | None:
        lane, entry, attempts, data, picture = found
        try:
            job = decode_job(data, self._codec.decode(file))
            names = _BAR.join(part.decode() for part in (lane, entry, picture))
        except (QueueError, UnicodeDecodeError) as error:
            if not self._said_unreadable:
                self._said_unreadable = True
                logger.warning(
                    "a job cannot be answered and is kept as a dead letter: %s; "
                    "further ones are not logged",
                    error,
                )
            self._bury(found, str(error))
            return None
        return Claim(names, job, attempts)

    def _bury(self, found: Sequence[Any], reason: str) -> None:
        lane, entry, attempts, *_ = found
        try:
            self._link.script("bury", lane, entry, attempts, reason, self._limits.dead_letters)
        except QueueError:
            return  # it comes again when its lease ends


def _is_taken(reply: Any) -> bool:
    """Whether a put took a job; others answer so without writing anything."""
    return bool(reply) and reply[0] == b"ok"


def _readable(dropped: Sequence[bytes]) -> tuple[Job, ...]:
    jobs = []
    for data in dropped:
        try:
            jobs.append(decode_job(data, _NO_PIXELS))
        except QueueError:
            continue  # of a newer release; it is counted in Redis
    return tuple(jobs)


def _letter(id_: bytes, lane: bytes, attempts: Any, reason: bytes, picture: bytes) -> DeadLetter:
    """What can be said of a dead letter, whatever it is of."""
    told = keys.parts_of(lane.decode(errors="replace"))
    engine, _, camera = told if len(told) == 3 else ("", "", "")
    seq = keys.parts_of(picture.decode(errors="replace"))[-1]
    return DeadLetter(
        id=id_.decode(),
        camera=camera,
        engine=engine,
        seq=int(seq) if seq.isdecimal() and len(seq) < _LONG_NUMBER else -1,
        attempts=_whole(attempts),
        reason=reason.decode(errors="replace"),
    )


def _whole(value: Any) -> int:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return int(text) if text.isdecimal() and len(text) < _LONG_NUMBER else 0


def _moment(at: bytes | None) -> float | None:
    """A time in UTC seconds; None where there is none, or it is not one."""
    try:
        found = float(at) if at else None
    except ValueError:
        return None
    return found if is_moment(found) else None
