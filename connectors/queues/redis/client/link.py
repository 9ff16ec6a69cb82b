"""The one door to Redis: scripts run here, deadlines hold here, foreign errors end here."""

import itertools
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from connectors.places.redis_place import Target
from connectors.queues.redis.client.condition import full, read_info, replica, troubles_in
from connectors.queues.redis.client.lines import Command, Lines, opened
from connectors.queues.redis.client.scripts import SCRIPTS
from pipeline.core.address import without_secrets
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.retrying import Backoff, Rests

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Pauses between two tries to reach Redis.
_FIRST_PAUSE_S = 0.1
_PAUSES = Rests(_FIRST_PAUSE_S, longest_s=2.0, jitter=0.5)
# Of the timeout of a connection that a blocking read may use; the rest is for the way.
_BLOCKING_SHARE = 0.5

# A wait below Redis' own unit, of 1 ms, would be one without end; so would 0.001 s be, which is
# rounded down to less than one.
_SHORTEST_WAIT_S = 0.002


# What a large command gets instead of "authentication required".
_STRANGER = "unauthenticated"
# A Redis that is nearly full takes one frame and refuses the next: it takes them again once it has
# refused none for so long.
_CALM_S = 5.0
# How a script is told that its user lacks a permission.
_NOT_PERMITTED = "The user executing the script can't"
# What begins an error, or stands in the middle of one that stopped a script.
_CODE = re.compile(r"(?:^|[ -])(OOM|READONLY|MISCONF|NOREPLICAS|NOPERM)\b")


@dataclass(slots=True)
class _Refusal:
    """One reason for which Redis refuses calls, though it answers."""

    sentence: str
    back: str
    """What to say when it is over."""
    names: set[str]
    """The calls that were refused; when one of them works again, it is over."""
    last_at: float


class Link:
    """Connections to one Redis, shared by the threads of this process.

    While Redis is away one call at a time tries to reach it, after growing pauses; all others fail
    at once. Each change is logged once.
    """

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._lock = threading.Lock()
        # Finding a cluster's nodes takes time, in which others should still hear "away" at once.
        self._connecting = threading.Lock()
        self._lines: Lines | None = None
        self._backoff = Backoff(_PAUSES)
        self._next_try = 0.0
        self._away: str | None = None
        self._refusals: dict[str, _Refusal] = {}
        self.losses = 0
        """Rises with every call that was lost: what Redis handed out may never have arrived."""

    @property
    def is_away(self) -> bool:
        """Whether the last try to reach Redis failed."""
        return self._away is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong with Redis now, in a sentence."""
        refusals = list(self._refusals.values())
        return self._away or (refusals[0].sentence if refusals else None)

    def condition(self) -> Mapping[str, str]:
        """What Redis says of itself that is wrong, by kind; nothing if it may not be asked.

        Raises QueueError where it is out of reach.
        """
        import redis

        def ask(lines: Lines) -> bytes:
            try:
                answer = _ask(lines, "INFO")
            except redis.ResponseError:
                return b""
            return answer if isinstance(answer, bytes) else b""

        return dict(troubles_in(self._target.name, read_info(self._call("info", ask))))

    def ping(self) -> None:
        """Ask whether Redis is there; raises QueueError."""
        self._call("ping", lambda lines: _ask(lines, "PING"))

    def script(
        self,
        name: str,
        *args: str | bytes | float,
        storing: tuple[str, bytes, int] | None = None,
        is_done: Callable[[Any], bool] = lambda _answer: True,
    ) -> Any:
        """Run one of our scripts; raises QueueError.

        `is_done` says of an answer whether the script did what it is for: only then does Redis
        count as accepting it again.

        `storing` is a key (without the base), its value and its time to live in ms, which are
        written before, in the same round trip, where there is none yet. It does not pass through
        the script, because Lua would copy it several times.
        """
        first: list[Command] = []
        if storing is not None:
            key, value, ms = storing
            first.append(("SET", f"{self._target.base}:{key}", value, "PX", ms, "NX"))
        values = (self._target.base, *args)
        return self._call(name, lambda lines: _run(lines, SCRIPTS[name], values, first), is_done)

    def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of keys (without the base), None for what is not there; raises QueueError."""
        if not keys:
            return []
        names = [f"{self._target.base}:{key}" for key in keys]
        values: list[bytes | None] = self._call("fetch", lambda lines: _ask(lines, "MGET", *names))
        return values

    def pause(self, most_s: float) -> None:
        """Wait a little before the next try, at most `most_s`."""
        self._clock.wait(min(most_s, _FIRST_PAUSE_S))

    def wait_for(self, streams: Mapping[str, str | bytes], wait_s: float) -> None:
        """Return when one of the streams has an entry after its id, or sooner, or after `wait_s`.

        Away, it returns after `wait_s` all the same, so that a caller's loop never runs hot.
        """
        keys = [f"{self._target.base}:{name}" for name in streams]
        self._wait(
            wait_s,
            lambda lines, s: _ask(
                *(lines, "XREAD", "COUNT", 1, "BLOCK", round(s * 1000)),
                *("STREAMS", *keys, *streams.values()),
            ),
        )

    def read(
        self, streams: Mapping[str, str | bytes], count: int, wait_s: float
    ) -> list[tuple[str, bytes, dict[bytes, bytes]]]:
        """The entries of streams after the given ids: (stream, id, fields), oldest first in each.

        At most `count` of each stream. Waits up to `wait_s`, or for less, for the first; raises
        QueueError.
        """
        wait_s = min(wait_s, self._target.timeout_s * _BLOCKING_SHARE)
        names = {f"{self._target.base}:{name}".encode(): name for name in streams}
        blocking: Command = ()
        if wait_s >= _SHORTEST_WAIT_S:
            blocking = ("BLOCK", round(wait_s * 1000))
        places = ("STREAMS", *names, *streams.values())
        found = self._call(
            "read", lambda lines: _ask(lines, "XREAD", "COUNT", count, *blocking, *places)
        )
        return [
            (names[bytes(stream)], entry, dict(zip(fields[::2], fields[1::2], strict=True)))
            for stream, entries in _pairs(found)
            for entry, fields in entries
        ]

    def pop(self, name: str, wait_s: float) -> bytes | None:
        """Take the first value of a list, waiting up to `wait_s` or less; raises QueueError."""
        wait_s = min(wait_s, self._target.timeout_s * _BLOCKING_SHARE)
        key = f"{self._target.base}:{name}"
        found = self._call("pop", lambda lines: _ask(lines, "BLPOP", key, max(wait_s, 0.01)))
        return None if found is None else found[1]

    def wait_for_token(self, name: str, wait_s: float) -> None:
        """Take a token from a list, or return without one, sooner or after `wait_s`."""
        key = f"{self._target.base}:{name}"
        self._wait(wait_s, lambda lines, s: _ask(lines, "BLPOP", key, s))

    def _wait(self, wait_s: float, work: Callable[[Lines, float], Any]) -> None:
        wait_s = min(wait_s, self._target.timeout_s * _BLOCKING_SHARE)
        if wait_s < _SHORTEST_WAIT_S:
            return
        try:
            self._call("wait", lambda lines: work(lines, wait_s))
        except QueueError:
            self._clock.wait(wait_s)

    def close(self) -> None:
        """Let go of the connections; the next call opens new ones."""
        with self._connecting:
            lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()

    def _call(
        self,
        name: str,
        work: Callable[[Lines], T],
        is_done: Callable[[T], bool] = lambda _answer: True,
    ) -> T:
        import redis

        self._check_turn()
        try:
            done = work(self._connected())
        except (redis.RedisError, OSError) as error:
            raise self._translated(name, error) from None
        self._reached(name, is_done=is_done(done))
        return done

    def _check_turn(self) -> None:
        away = self._away
        if away is None:
            return
        with self._lock:
            now = self._clock.monotonic()
            if now < self._next_try:
                raise QueueError(away)
            self._set_next_try(now)

    def _set_next_try(self, now: float) -> None:
        self._next_try = now + self._backoff.next_s()

    def _connected(self) -> Lines:
        lines = self._lines
        if lines is None:
            with self._connecting:
                lines = self._lines
                if lines is None:
                    lines = self._lines = opened(self._target.connect(), self._clock)
        return lines

    def _translated(self, name: str, error: Exception) -> QueueError:
        import redis

        said = " ".join(without_secrets(str(error)).split()) or type(error).__name__
        if isinstance(error, redis.AuthenticationError) or _STRANGER in said:
            return self._lost(f"does not let us in: {said}; check the queue's user and password")
        if isinstance(error, redis.ReadOnlyError):
            # A failover may have made another server the primary: connections are made anew.
            self.losses += 1
            return self._refusal(name, said, "READONLY")
        if isinstance(error, redis.BusyLoadingError):
            return self._lost("is loading its data from disk; it answers once that is done")
        lost = not isinstance(error, redis.ResponseError) or isinstance(
            error, redis.exceptions.ClusterError
        )
        if lost:
            return self._lost(f"is out of reach: {said}")
        return self._refusal(name, said, _code_of(error, said))

    def _lost(self, what: str) -> QueueError:
        sentence = f"{self._target.name} {what}"
        with self._lock:
            first = self._away is None
            self._away = sentence
            self.losses += 1
            if first:
                self._backoff.reset()
                self._set_next_try(self._clock.monotonic())
        if first:
            logger.warning("%s", sentence)
        return QueueError(sentence)

    def _refusal(self, name: str, said: str, code: str) -> QueueError:
        kind, sentence, back = _reason(self._target.name, name, said, code)
        now = self._clock.monotonic()
        with self._lock:
            known = self._refusals.get(kind)
            if known is None:
                self._refusals[kind] = _Refusal(sentence, back, {name}, now)
            else:
                known.names.add(name)
                known.last_at = now
        if known is None:
            logger.error("%s", sentence)
        return QueueError(sentence)

    def _reached(self, name: str, *, is_done: bool) -> None:
        if self._away is None and not self._refusals:
            return
        now = self._clock.monotonic()
        with self._lock:
            back, self._away = self._away is not None, None
            over = [
                kind
                for kind, refusal in self._refusals.items()
                if is_done and name in refusal.names and now - refusal.last_at >= _CALM_S
            ]
            ended = [self._refusals.pop(kind).back for kind in over]
        if back:
            logger.info("%s is back", self._target.name)
        for sentence in ended:
            logger.info("%s", sentence)


def _code_of(error: Exception, said: str) -> str:
    """The code of a refusal, which the client, or a script that it stopped, may have wrapped."""
    import redis

    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return "OOM"
    if isinstance(error, redis.exceptions.NoPermissionError) or _NOT_PERMITTED in said:
        return "NOPERM"
    found = _CODE.search(said)
    return found[1] if found else ""


def _reason(redis_name: str, call: str, said: str, code: str) -> tuple[str, str, str]:
    """What kind of refusal it is, what to say about it, and what once it is over."""
    if code == "OOM":
        return code, full(redis_name), f"{redis_name} takes frames again"
    if code == "READONLY":
        return code, replica(redis_name), f"{redis_name} takes frames again"
    if code == "MISCONF":
        sentence = (
            f"{redis_name} refuses everything because it cannot save to its disk; free space there "
            "and see its log"
        )
        return code, sentence, f"{redis_name} takes frames again"
    if code == "NOREPLICAS":
        sentence = (
            f"{redis_name} refuses everything because too few replicas follow it; start them, or "
            "lower its `min-replicas-to-write`"
        )
        return code, sentence, f"{redis_name} takes frames again"
    advice = ""
    if code == "NOPERM":
        advice = "; give the queue's user the commands and keys that docs/operations.md names"
    return (
        f"{code} {call}",
        f"{redis_name} refuses {call}: {said}{advice}",
        f"{redis_name} accepts {call} again",
    )


def _run(
    lines: Lines, script: tuple[str, str], values: tuple[Any, ...], first: Sequence[Command]
) -> Any:
    """By the script's hash, and in full where Redis does not know it (yet, or any more)."""
    import redis

    digest, source = script
    *done, answer = lines.exchange([*first, ("EVALSHA", digest, 1, *values)])
    if isinstance(answer, redis.exceptions.NoScriptError):
        [answer] = lines.exchange([("EVAL", source, 1, *values)])
    for one in (*done, answer):
        if isinstance(one, Exception):
            raise one
    return answer


def _pairs(found: Any) -> list[tuple[bytes, list[Any]]]:
    """What XREAD found, which is a map in a later protocol, and nothing where there is nothing."""
    if isinstance(found, dict):
        flat = itertools.chain.from_iterable
        return [(stream, [*flat(parts)]) for stream, parts in found.items()]
    return list(found or ())


def _ask(lines: Lines, *command: Any) -> Any:
    [answer] = lines.exchange([command])
    if isinstance(answer, Exception):
        raise answer
    return answer
