"""The one door to Redis: scripts run here, deadlines hold here, foreign errors end here."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from connectors.queues.redis.client.lines import Command, Lines, opened
from connectors.queues.redis.client.scripts import SCRIPTS
from connectors.queues.redis.client.target import Target
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
        self._refused: set[str] = set()
        self.losses = 0
        """Rises with every call that was lost: what Redis handed out may never have arrived."""

    @property
    def is_away(self) -> bool:
        """Whether the last try to reach Redis failed."""
        return self._away is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong with Redis now, in a sentence."""
        return self._away

    def ping(self) -> None:
        """Ask whether Redis is there; raises QueueError."""
        self._call("ping", lambda lines: _ask(lines, "PING"))

    def script(
        self, name: str, *args: str | bytes | float, storing: tuple[str, bytes, int] | None = None
    ) -> Any:
        """Run one of our scripts; raises QueueError.

        `storing` is a key (without the base), its value and its time to live in ms, which are
        written before, in the same round trip, where there is none yet. It does not pass through
        the script, because Lua would copy it several times.
        """
        first: list[Command] = []
        if storing is not None:
            key, value, ms = storing
            first.append(("SET", f"{self._target.base}:{key}", value, "PX", ms, "NX"))
        values = (self._target.base, *args)
        return self._call(name, lambda lines: _run(lines, SCRIPTS[name], values, first))

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

    def _call(self, name: str, work: Callable[[Lines], T]) -> T:
        import redis

        self._check_turn()
        try:
            done = work(self._connected())
        except (redis.RedisError, OSError) as error:
            raise self._translated(name, error) from None
        self._reached(name)
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
        lost = not isinstance(error, redis.ResponseError) or isinstance(
            error, redis.ReadOnlyError | redis.exceptions.ClusterError
        )
        return self._lost(f"is out of reach: {said}") if lost else self._refusal(name, said)

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

    def _refusal(self, name: str, said: str) -> QueueError:
        sentence = f"{self._target.name} refuses {name}: {said}"
        with self._lock:
            first = name not in self._refused
            self._refused.add(name)
        if first:
            logger.error("%s", sentence)
        return QueueError(sentence)

    def _reached(self, name: str) -> None:
        if self._away is None and not self._refused:
            return
        with self._lock:
            back, self._away = self._away is not None, None
            accepted = name in self._refused
            self._refused.discard(name)
        if back:
            logger.info("%s is back", self._target.name)
        if accepted:
            logger.info("%s accepts %s again", self._target.name, name)


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


def _ask(lines: Lines, *command: Any) -> Any:
    [answer] = lines.exchange([command])
    if isinstance(answer, Exception):
        raise answer
    return answer
