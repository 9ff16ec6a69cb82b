"""Results in Redis: a stream for each partition, taken by one owner or shared by consumers."""

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from connectors.queues.redis.client.link import Link
from connectors.queues.redis.keys import flight_named, lane_named, parts_of
from connectors.queues.redis.leases import CameraFence
from connectors.queues.redis.limits import Limits
from pipeline.core.answers import Failed
from pipeline.core.clock import Clock
from pipeline.core.errors import CameraTakenError, LeaseLostError, QueueError
from pipeline.core.jobs import Result, failed_result
from pipeline.core.membership import partition_of
from pipeline.core.queues import Delivered
from pipeline.core.ranges import MOST_ORDINAL, is_moment, is_size
from pipeline.core.wire import (
    decode_job,
    decode_result,
    encode_result,
    place_in_order,
    place_of_result,
)

logger = logging.getLogger(__name__)

_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
_BAR = "|"
# Cursors of a partition: what is new, and what was taken before and not acknowledged.
_NEW = b">"
_BEFORE = b"0-0"


class PartitionResults:
    """The results of some partitions; with fencing tokens, those of their owner alone."""

    def __init__(
        self,
        link: Link,
        limits: Limits,
        clock: Clock,
        owned: Mapping[int, int | None],
        fence: CameraFence | None = None,
    ) -> None:
        """`fence` is of the sampler whose camera's results alone are published here."""
        self._link = link
        self._limits = limits
        self._clock = clock
        self._fence = fence
        self._tokens = {number: token for number, token in owned.items() if token is not None}
        self._order = sorted(owned)
        self._cursors = {n: _BEFORE if n in self._tokens else _NEW for n in self._order}
        self._losses_seen = link.losses
        self._owed: list[Delivered] = []
        self._owing = threading.Lock()
        self._said_unreadable = False

    def publish(self, results: Sequence[Result], wait_s: float) -> bool:
        """Hand all on, or none when there was no room, or no Redis, for `wait_s`.

        Raises CameraTakenError where this is a sampler's own and the camera is another's by now.
        """
        limits = self._limits
        args = [arg for result in results for arg in packed(result, limits.partitions)]
        if not args:
            return True
        fence = self._fence.told() if self._fence is not None else ("", "")
        told = (limits.results_room, *fence, *args)
        return hand_on(self._link, self._clock, wait_s, "publish", *told, fence=self._fence)

    def take(self, limit: int, wait_s: float) -> list[Delivered]:
        """Up to `limit` results, oldest first in each partition.

        While Redis is away there are none. Raises LeaseLostError when a token is not the present
        one; nothing was taken then.
        """
        until = self._clock.monotonic() + wait_s
        while limit > 0 and self._order:
            delivered, ends = self._take(limit)
            left_s = until - self._clock.monotonic()
            if delivered or left_s <= 0:
                return delivered
            if ends:
                self._link.wait_for(ends, left_s)
            else:
                self._link.pause(left_s)
        return []

    def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """Forget them, unless they were delivered again since. Safe to repeat.

        What cannot be said while Redis is away is said with the next take. Raises LeaseLostError
        when a token is not the present one; nothing was acknowledged then.
        """
        with self._owing:
            self._owed += delivered
        self._pay()

    def _take(self, limit: int) -> tuple[list[Delivered], dict[str, bytes]]:
        """What there is, or else the ends of the streams to wait at."""
        self._pay()
        self._look_back_after_a_loss()
        # Each take begins with another partition, so that a busy one cannot starve the others.
        self._order = [*self._order[1:], self._order[0]]
        places = [
            part for n in self._order for part in (n, self._tokens.get(n, ""), self._cursors[n])
        ]
        try:
            reply = self._link.script("take", limit, self._limits.visibility_ms, *places)
        except QueueError:
            return [], {}
        self._check(reply)
        for number, cursor, *_ in reply[0]:
            self._cursors[int(number)] = cursor
        delivered = [one for found in reply[1] if (one := self._read(*found)) is not None]
        # Where nothing was taken, the ends of the streams are told as well.
        ends = {f"results:{int(n)}": end[0] for n, _, *end in reply[0] if end}
        return delivered, ends

    def _look_back_after_a_loss(self) -> None:
        """What Redis handed out while the connection broke may not have arrived."""
        losses = self._link.losses
        if losses != self._losses_seen:
            self._losses_seen = losses
            self._cursors |= dict.fromkeys(self._tokens, _BEFORE)

    def _check(self, reply: Sequence[Any]) -> None:
        if reply[0] == b"lost":
            with self._owing:
                self._owed = []
            raise LeaseLostError(int(reply[1]))

    def _read(self, number: bytes, deliveries: int, entry: Sequence[Any]) -> Delivered | None:
        id_, flat = entry
        fields = dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}
        try:
            read = decode_result(fields[b"r"]) if b"r" in fields else _failed(fields)
        except QueueError as error:
            place = place_of_result(fields.get(b"r", b"")) or _place_beside(fields)
            self._bury(number, id_, str(error), place)
            if place is None:
                return None
            read = place
        return Delivered(_BAR.join((number.decode(), id_.decode(), str(deliveries))), read)

    def _bury(self, number: bytes, entry: bytes, reason: str, place: Result | None) -> None:
        """Keep it as a dead letter; it stays to be acknowledged where it has a place in order."""
        if not self._said_unreadable:
            self._said_unreadable = True
            logger.warning(
                "a result%s cannot be judged and is kept as a dead letter: %s; "
                "further ones are not logged",
                "" if place is None else f" of camera {place.camera}",
                reason,
            )
        lane = "" if place is None else lane_named(place.engine, place.camera, live=place.live)
        most, stays = self._limits.dead_letters, int(place is not None)
        try:
            self._link.script("bury_result", number, entry, reason, most, stays, lane)
        except QueueError:
            return  # it comes again

    def _pay(self) -> None:
        """Say what is owed; it stays owed while Redis is away."""
        with self._owing:
            owed = self._owed
            if not owed:
                return
            self._owed = []
        fences = [part for n, token in self._tokens.items() for part in (n, token)]
        args = [part for one in owed for part in _told(one)]
        try:
            reply = self._link.script("acknowledge_results", len(self._tokens), *fences, *args)
        except QueueError:
            with self._owing:
                self._owed = owed + self._owed
            return
        self._check(reply)


class RedisResults(PartitionResults):
    """The results of all partitions, shared by all who take them."""

    def __init__(
        self, link: Link, limits: Limits, clock: Clock, fence: CameraFence | None = None
    ) -> None:
        super().__init__(link, limits, clock, dict.fromkeys(range(limits.partitions)), fence)

    @property
    def partitions(self) -> int:
        """How many there are."""
        return self._limits.partitions

    def fenced(self, fence: CameraFence) -> "RedisResults":
        """The same for the sampler of one camera: what it says ends when another has the camera."""
        return RedisResults(self._link, self._limits, self._clock, fence)

    def partition(self, owned: Collection[int] | Mapping[int, int]) -> PartitionResults:
        """The results of these partitions alone, with the fencing token of each in a map."""
        wrong = [number for number in owned if not 0 <= number < self.partitions]
        if wrong:
            raise ValueError(f"partition {wrong[0]} is outside 0..{self.partitions - 1}")
        tokens: Mapping[int, int | None]
        tokens = {**owned} if isinstance(owned, Mapping) else dict.fromkeys(owned)
        return PartitionResults(self._link, self._limits, self._clock, tokens)


def _failed(fields: Mapping[bytes, bytes]) -> Result:
    """A job's failed result; without a task where the job is of another release's making."""
    try:
        job = decode_job(fields.get(b"j", b""), _NO_PIXELS)
        return failed_result(job, fields.get(b"w", b"").decode(errors="replace"))
    except QueueError:
        nameless = _nameless(fields)
        if nameless is not None:
            return nameless
        raise


def _nameless(fields: Mapping[bytes, bytes]) -> Result | None:
    """What is known of a job from the names beside it, so that those after it need not wait."""
    try:
        lane, picture, rest = (fields[name].decode() for name in (b"l", b"x", b"m"))
        engine, kind, camera = parts_of(lane)
        _, run, seq = parts_of(picture)
        _, ordinal, _, captured_at, size = rest.split(_BAR)
        width, height = (int(side) for side in size.split("x"))
        frame, at, size_wh = int(seq), float(captured_at), (width, height)
        place = place_in_order(camera, run, engine, int(ordinal), live=kind == "live")
        if not (0 <= frame <= MOST_ORDINAL and is_moment(at) and is_size(size_wh)):
            return None
        return replace(place, seq=frame, captured_at=at, size_wh=size_wh, unjudgeable=False)
    except (KeyError, ValueError, OverflowError, QueueError):
        return None


def _place_beside(fields: Mapping[bytes, bytes]) -> Result | None:
    """The place in the order of a failed job, whatever else is wrong with it."""
    try:
        lane, picture, rest = (fields[name].decode() for name in (b"l", b"x", b"m"))
        engine, kind, camera = parts_of(lane)
        _, run, _ = parts_of(picture)
        _, ordinal, _ = rest.split(_BAR, 2)
        return place_in_order(camera, run, engine, int(ordinal), live=kind == "live")
    except (KeyError, ValueError, QueueError):
        return None


def _told(delivered: Delivered) -> Iterator[str | int]:
    """What an acknowledgement says: the delivery, and the job that is no longer on its way."""
    yield from delivered.id.split(_BAR)
    result = delivered.result
    if result.last or result.health is not None:
        yield from ("", "")
    else:
        yield flight_named(result.engine, result.camera, result.run)
        yield result.ordinal


def packed(result: Result, partitions: int) -> tuple[int, bytes]:
    """A result's partition and its bytes."""
    try:
        data = encode_result(result)
    except QueueError as error:
        # A result that cannot travel is a failed one; without it a file would wait for ever.
        failed = {task: Failed(result.engine, str(error)) for task in result.answers}
        data = encode_result(replace(result, answers=failed))
    return partition_of(result.camera, partitions), data


def hand_on(
    link: Link,
    clock: Clock,
    wait_s: float,
    script: str,
    *args: Any,
    fence: CameraFence | None = None,
) -> bool:
    """Run a script until there is room; False when there was none, or no Redis, for `wait_s`.

    Raises CameraTakenError where the camera of the `fence` is another's by now.
    """
    until = clock.monotonic() + wait_s
    while True:
        try:
            done, *full = link.script(script, *args)
        except QueueError:
            done = 0
            full = []
        if done > 0:
            return True
        if done < 0 and fence is not None:
            raise CameraTakenError(fence.camera)
        left_s = until - clock.monotonic()
        if left_s <= 0:
            return False
        if full:
            link.wait_for({f"bell:room:results:{full[0].decode()}": full[1]}, left_s)
        else:
            link.pause(left_s)
