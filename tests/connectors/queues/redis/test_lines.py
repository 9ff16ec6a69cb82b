"""Open lines to Redis: many commands in one exchange, and no answer ever heard by another."""

import inspect
import os
import threading
import warnings
from typing import Any

import hiredis
import pytest
import redis

from connectors.queues.redis.client.lines import OpenLines
from pipeline.testing import ManualClock, patience, wait_until
from tests.connectors.queues.redis import tools
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
server = tools._server
program = tools._program
NAME = "test-lines"


def opened(server: Redis, clock: ManualClock | None = None, timeout_s: float = 5.0) -> OpenLines:
    """Lines to the tests' server, which it knows by their name."""
    client = redis.Redis.from_url(
        server.url,
        client_name=NAME,
        protocol=2,
        socket_timeout=timeout_s,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )
    return OpenLines(client, clock or ManualClock())


def connected(server: Redis) -> list[str]:
    """The ids of the lines' connections, as the server sees them."""
    return [one["id"] for one in server.client.client_list() if one["name"] == NAME]


def hang_up(server: Redis) -> None:
    """Let the server close all of them."""
    for one in connected(server):
        server.client.client_kill_filter(_id=one)


def test_a_refusal_is_an_answer_among_others(server: Redis) -> None:
    """What Redis refuses comes back in its place, and the rest is heard."""
    lines = opened(server)
    key = f"{NAME}-text"
    stored, refused, found = lines.exchange(
        [("SET", key, b"\x00word", "PX", 9000), ("LPUSH", key, "x"), ("GET", key)]
    )
    assert (stored, found) == (b"OK", b"\x00word")
    assert isinstance(refused, redis.ResponseError)
    lines.close()


def test_threads_share_lines_and_never_an_answer(server: Redis) -> None:
    """Each hears what it said, and there are no more connections than threads."""
    lines = opened(server)
    wrong: list[list[bytes]] = []

    def talk(number: int) -> None:
        for n in range(100):
            said = [f"{number}-{n}".encode(), b"%d" % number * 50]
            heard = lines.exchange([("ECHO", one) for one in said])
            if heard != said:
                wrong.append(heard)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience(30))
    assert wrong == []
    assert 1 <= len(connected(server)) <= 6
    lines.close()
    wait_until(lambda: connected(server) == [])


def test_a_line_that_the_server_closed_while_it_rested_is_replaced(server: Redis) -> None:
    """A server may close idle connections; whoever calls next hears nothing of it."""
    clock = ManualClock()
    lines = opened(server, clock)
    lines.exchange([("PING",)])
    hang_up(server)
    clock.advance(60)
    assert lines.exchange([("PING",)]) == [b"PONG"]
    lines.close()


def test_a_line_that_breaks_takes_the_resting_ones_with_it(server: Redis) -> None:
    """One call fails where the server went away; the next one finds it again."""
    lines = opened(server)
    talking = [
        threading.Thread(target=lines.exchange, args=([("BLPOP", f"{NAME}-nothing", 0.1)],))
        for _ in range(3)
    ]
    for thread in talking:
        thread.start()
    for thread in talking:
        thread.join(patience(30))
    hang_up(server)
    with pytest.raises(redis.ConnectionError):
        lines.exchange([("PING",)])
    assert lines.exchange([("PING",)]) == [b"PONG"]
    lines.close()


def test_an_answer_that_comes_too_late_is_heard_by_nobody(server: Redis) -> None:
    """After a deadline the line is given up, with whatever was still to come on it."""
    lines = opened(server, timeout_s=0.2)
    with pytest.raises(redis.TimeoutError):
        lines.exchange([("BLPOP", f"{NAME}-nothing", 1), ("ECHO", "late")])
    assert lines.exchange([("ECHO", "next")]) == [b"next"]
    lines.close()


def test_closed_while_in_use_nothing_stays_open(server: Redis) -> None:
    """A call under way ends, with or without its answer, and its line is not kept."""
    lines = opened(server)

    def wait_long() -> None:
        with pytest.raises((redis.ConnectionError, OSError, ValueError)):
            lines.exchange([("BLPOP", f"{NAME}-nothing", 4)])

    waiting = threading.Thread(target=wait_long)
    waiting.start()
    wait_until(lambda: len(connected(server)) == 1)
    lines.close()
    waiting.join(patience(30))
    assert not waiting.is_alive()
    wait_until(lambda: connected(server) == [])


def test_a_fork_opens_lines_of_its_own(server: Redis) -> None:
    """A child never speaks on its parent's connection, where answers would go astray."""
    lines = opened(server)
    (own,) = lines.exchange([("CLIENT", "ID")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child runs no other thread
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(lines.exchange([("CLIENT", "ID")]) == [own])
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert lines.exchange([("CLIENT", "ID")]) == [own]
    lines.close()


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [
        (owner, *call)
        for owners, calls in (
            (
                (redis.ConnectionPool, redis.sentinel.SentinelConnectionPool),
                (("get_connection", ()), ("release", ("a connection",))),
            ),
            (
                (redis.Connection, redis.SSLConnection, redis.sentinel.SentinelManagedConnection),
                (
                    ("send_packed_command", ([b"a command"],)),
                    ("read_response", ()),
                    ("disconnect", ()),
                ),
            ),
        )
        for owner in owners
        for call in calls
    ],
)
def test_redis_py_still_has_the_calls_that_lines_stand_on(
    owner: type, name: str, arguments: tuple[object, ...]
) -> None:
    """They are its pool's and its connections', which a new release may change without a word."""
    what = f"{owner.__name__}.{name}"
    way = (
        f"which OpenLines calls with {len(arguments)} argument(s): change client/lines.py, or let "
        "it use redis-py's pipelines; benchmarks/queue.md says what those cost"
    )
    call = getattr(owner, name, None)
    assert callable(call), f"redis-py {redis.__version__} has no {what} any more, {way}"
    try:
        inspect.signature(call).bind("self", *arguments)
    except TypeError as error:
        pytest.fail(f"redis-py {redis.__version__} changed {what} ({error}), {way}")


def test_commands_are_packed_as_redis_reads_them() -> None:
    """One piece of bytes for a command of text, bytes and numbers."""
    command: Any = ("SET", "a", b"\x00", 1.5)
    assert hiredis.pack_command(command) == (
        b"*4\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n\x00\r\n$3\r\n1.5\r\n"
    ), "hiredis packs commands differently: change OpenLines in client/lines.py, which joins them"
