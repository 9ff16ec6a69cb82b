"""Events as entries of a Redis stream, each once, whatever is killed or comes again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from connectors.places.redis_place import RedisAccess
from connectors.sinks._base import BaseSinkConfig
from connectors.sinks._text import json_line
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, to_cloudevent
from pipeline.core.sinks import SinkContext

if TYPE_CHECKING:
    import redis

_AT_ONCE = 100
# Ids of the last entries: what comes again after a crash is one load, which is among them.
_REMEMBERED = 10_000
_FIELDS = 7
# One script, and so all or nothing: an event whose id is remembered is not added again.
_ADD = f"""
local added = 0
for first = 3, #ARGV, {_FIELDS} do
  local id = ARGV[first]
  if not redis.call('ZSCORE', KEYS[2], id) then
    local entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
      'ce_id', id, 'ce_source', ARGV[first + 1], 'ce_type', ARGV[first + 2],
      'ce_time', ARGV[first + 3], 'camera', ARGV[first + 4], 'rule', ARGV[first + 5],
      'data', ARGV[first + 6])
    redis.call('ZADD', KEYS[2], tonumber(string.match(entry, '^%d+')), id)
    added = added + 1
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -(tonumber(ARGV[2]) + 1))
return added
"""


class RedisStreamConfig(BaseSinkConfig, RedisAccess):
    """Add events to a Redis stream."""

    type: Literal["redis_stream"] = "redis_stream"
    stream: str = Field("moonwatch:events", min_length=1, max_length=512)
    """The stream's key. The key `{STREAM}:seen` beside it holds the ids of its last entries, by
    which what comes again is known."""
    keep: int = Field(100_000, ge=1)
    """About how many entries stay in the stream; the oldest go, read or not."""

    @property
    def at_once(self) -> int:
        """How many events one call adds, at most."""
        return _AT_ONCE

    def resource(self) -> str | None:
        """The stream."""
        place = self._place()
        return f"redis {place}/{place.database} {self.stream}"

    def build(self, context: SinkContext) -> "RedisStreamSink":
        """A sink that connects when the first event comes."""
        return RedisStreamSink(self, context)

    def probe(self, context: SinkContext) -> str:
        """Log in, and look at the stream. Raises SinkError."""
        sink = self.build(context)
        try:
            return sink.probe()
        finally:
            sink.close()


class RedisStreamSink:
    """One script call for each load. Exactly once among the last 10 000 entries."""

    def __init__(self, config: RedisStreamConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._target = config.target()
        self._client: redis.Redis | redis.RedisCluster | None = None
        stream = config.stream
        # Of one slot in a cluster, where what stands in braces decides.
        self._keys = (stream, f"{stream}:seen" if "{" in stream else f"{{{stream}}}:seen")

    def send(self, events: Sequence[Event]) -> None:
        """Add those that are not there yet; SinkError where Redis does not take them in time."""
        if not events:
            return
        import redis

        arguments: list[bytes | str | int] = [self._config.keep, _REMEMBERED]
        for event in events:
            record: dict[str, Any] = to_cloudevent(event, self._context.site_of(event))
            arguments += [
                record["id"],
                record["source"],
                record["type"],
                record["time"],
                event.camera.encode("utf-8", "backslashreplace"),
                event.rule.encode("utf-8", "backslashreplace"),
                json_line(record)[:-1],
            ]
        try:
            if self._client is None:
                self._client = self._target.connect()
            client: Any = self._client
            client.eval(_ADD, len(self._keys), *self._keys, *arguments)
        except (redis.RedisError, OSError) as error:
            self.close()
            raise SinkError(f"{self._target.name} {_reason(error, self._config)}") from None

    def probe(self) -> str:
        """Log in, and look at the stream; what was found. Raises SinkError."""
        import redis

        try:
            client: Any = self._target.connect()
            self._client = client
            client.ping()
            kind = client.type(self._config.stream)
        except (redis.RedisError, OSError) as error:
            self.close()
            raise SinkError(f"{self._target.name} {_reason(error, self._config)}") from None
        if kind not in (b"stream", "stream", b"none", "none"):
            raise SinkError(
                f"{self._target.name} has something else than a stream under "
                f"{self._config.stream}; choose another"
            )
        there = kind in (b"stream", "stream")
        return "answers, and has the stream" if there else "answers; the stream is not there yet"

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _reason(error: Exception, config: RedisStreamConfig) -> str:
    """What went wrong, without the library's words, which may quote the address."""
    import redis

    text = str(error)
    match error:
        case redis.AuthenticationError() | redis.exceptions.AuthorizationError():
            return "does not accept the login; check `username` and `password`"
        case redis.TimeoutError() | TimeoutError():
            return f"does not answer within {config.timeout.total_seconds():g} s"
        case redis.ReadOnlyError():
            return "may only be read just now; it is not the server to write to"
        case redis.exceptions.OutOfMemoryError():
            return "has no memory left; raise its `maxmemory`, or lower `keep`"
        case redis.exceptions.BusyLoadingError():
            return "is still loading its data"
        case redis.exceptions.NoPermissionError():
            return f"does not allow it; this user needs eval, xadd and zadd for {config.stream}"
        case redis.ResponseError():
            if "WRONGTYPE" in text:
                return f"has something else than a stream under {config.stream}; choose another"
            if "OOM" in text:
                return "has no memory left; raise its `maxmemory`, or lower `keep`"
            if "READONLY" in text:
                return "may only be read just now; it is not the server to write to"
            # Who has not logged in may not even send a script as long as ours, and is told so
            # as "Protocol error: unauthenticated bulk length".
            refusals = ("NOPERM", "NOAUTH", "WRONGPASS", "unauthenticated")
            if any(refusal in text for refusal in refusals):
                return "does not allow it; check `username`, `password` and the user's rights"
            return f"refused it ({text.split(' ', 1)[0][:40]})"
        case _:
            return f"cannot be reached ({type(error).__name__})"
