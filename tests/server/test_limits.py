"""Who is let in, who is not and what they are told; what is given back, and what servers share."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.accounts import (
    DAY_S,
    NO_LIMITS,
    DaySpent,
    KeyLimits,
    KeyScope,
    RequestOutcome,
    UsageQuestion,
)
from pipeline.core.errors import StoreError
from pipeline.inference.callers import CallFacts
from pipeline.server.errors import ApiError
from pipeline.server.keys import make_key
from pipeline.server.ledger import Ledger
from pipeline.server.limits import GatePass, KeyGate
from pipeline.server.prices import PricesConfig
from pipeline.testing import ManualClock

NOON = 20_700 * DAY_S + DAY_S / 2
FACTS = CallFacts(
    crops=3, image_tokens=730, prompt_tokens=742, completion_tokens=5, prefill_ms=20.0
)


@dataclass(slots=True)
class Door:
    """A gate over a store, and keys to it."""

    store: SqlStore
    clock: ManualClock
    gate: KeyGate

    def key(self, name: str = "shop", limits: KeyLimits = NO_LIMITS, *scopes: KeyScope) -> str:
        """A key that the gate knows."""
        secret, record = make_key(
            name, self.clock.now(), scopes=scopes or (KeyScope.SERVE,), limits=limits
        )
        assert self.store.accounts.add_key(record)
        self.gate.follow()
        return secret.reveal()

    def enter(self, key: str | None, pictures: int = 1, host: str = "192.0.2.1") -> GatePass:
        """Knock."""
        header = None if key is None else f"Bearer {key}"
        return self.gate.enter(header, None, pictures=pictures, client_host=host)

    def refused(self, key: str | None, pictures: int = 1, host: str = "192.0.2.1") -> ApiError:
        """Knock in vain."""
        with pytest.raises(ApiError) as caught:
            self.enter(key, pictures, host)
        return caught.value


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[[], Door]]:
    """Opens a server's gate over the one store of the test, all on one clock."""
    clock, opened = ManualClock(NOON), []

    def once_more() -> Door:
        store = SqlStore(f"sqlite:///{tmp_path}/serve.db", clock, patience_s=0.1)
        ledger = Ledger(store.accounts, clock)
        prices = PricesConfig.model_validate({"per_1000_pictures": 0.626})
        opened.append(Door(store, clock, KeyGate(store.accounts, ledger, clock, prices=prices)))
        return opened[-1]

    yield once_more
    for door in opened:
        door.gate.close()
        door.store.close()


@pytest.fixture
def door(open_door: Callable[[], Door]) -> Door:
    """One gate."""
    return open_door()


def finish(entered: GatePass, status: int = 200, *, is_cancelled: bool = False) -> None:
    """The end of a request that took `FACTS`."""
    entered.finish(
        request_id="req_1",
        skill="query",
        model="moondream2",
        status=status,
        is_cancelled=is_cancelled,
        costs=FACTS,
    )
    entered.release()


def test_both_headers_are_understood(door: Door) -> None:
    """Either alone, or the one that is valid of two; a scheme in any case."""
    key = door.key()
    for headers in (
        (f"Bearer {key}", None),
        (f"bearer  {key} ", None),
        (None, key),
        ("Basic dXNlcjpwYXNz", key),
        ("Bearer mw_wrong", key),
        (f"Bearer {key}", "wrong"),
    ):
        entered = door.gate.enter(*headers, pictures=0, client_host="")
        assert entered.key_name == "shop"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eA==", "mw_x"])
def test_a_key_is_asked_for(door: Door, header: str | None) -> None:
    """Where there is none, as OpenAI's clients understand it."""
    with pytest.raises(ApiError, match="a key is needed") as caught:
        door.gate.enter(header, None, pictures=0, client_host="192.0.2.1")
    error = caught.value
    assert (error.status, error.type, error.code) == (
        401, "authentication_error", "invalid_api_key",
    )  # fmt: skip
    assert error.headers()["x-should-retry"] == "false"


def test_typos_unknown_expired_and_revoked_keys_are_told_apart(door: Door) -> None:
    """And none of the sentences holds the key."""
    key = door.key("shop")
    other = make_key("other", NOON, limits=NO_LIMITS)[0].reveal()
    forged = other.replace(other.split("_")[1], key.split("_")[1])
    assert "mistyped" in door.refused(key[:-1] + ("a" if key[-1] != "a" else "b")).message
    assert "mistyped" in door.refused(forged).message
    assert "not known" in door.refused(other).message
    door.store.accounts.revoke("shop", door.clock.now())
    door.gate.follow()
    error = door.refused(key)
    assert "the key shop was revoked" in error.message
    assert key not in str(error.body())


def test_a_key_expires_at_its_time(door: Door) -> None:
    """To the second, without a look at the store."""
    secret, record = make_key("shop", NOON, limits=NO_LIMITS)
    door.store.accounts.add_key(replace(record, expires_at=NOON + 60))
    door.gate.follow()
    door.enter(secret.reveal())
    door.clock.advance(60)
    assert "expired at 2026-09-04T12:01:00+00:00" in door.refused(secret.reveal()).message


def test_changes_reach_a_running_server(open_door: Callable[[], Door]) -> None:
    """A key that another process made opens, and is refused once it is revoked there."""
    here, there = open_door(), open_door()
    key = there.key()
    assert here.refused(key).status == 401
    here.gate.follow()
    here.enter(key)
    there.store.accounts.revoke("shop", NOON)
    here.gate.follow()
    assert here.refused(key).status == 401


def test_a_revoked_key_is_refused_within_two_seconds(door: Door) -> None:
    """By the thread that follows the store, in real time."""
    key = door.key()
    door.gate.start()
    door.store.accounts.revoke("shop", NOON)
    began = time.monotonic()
    while True:
        try:
            door.enter(key, 0)
        except ApiError:
            break
        assert time.monotonic() - began < 10
        threading.Event().wait(0.02)


def test_scopes(door: Door) -> None:
    """A key of one does not open the other; admin opens both."""
    serve = door.key("a")
    metrics = door.key("b", NO_LIMITS, KeyScope.METRICS)
    admin = door.key("c", NO_LIMITS, KeyScope.ADMIN)
    with pytest.raises(ApiError, match="needs the scope read:metrics") as caught:
        door.gate.identify(None, serve, client_host="", scope=KeyScope.METRICS)
    assert (caught.value.status, caught.value.code) == (403, "insufficient_permissions")
    assert door.refused(metrics).status == 403
    for scope in KeyScope:
        assert door.gate.identify(None, admin, client_host="", scope=scope).name == "c"
    assert door.gate.identify(None, metrics, client_host="", scope=KeyScope.METRICS).name == "b"


def test_requests_a_second(door: Door) -> None:
    """A burst, then one for each half second; what was refused takes nothing."""
    key = door.key("shop", KeyLimits(requests_per_second=2, burst=3))
    headers = [dict(door.enter(key, 0).headers()) for _ in range(3)]
    assert [one["x-ratelimit-remaining-requests"] for one in headers] == ["2", "1", "0"]
    assert headers[0]["x-ratelimit-limit-requests"] == "3"
    assert [one["x-ratelimit-reset-requests"] for one in headers] == ["500ms", "1s", "2s"]
    for _ in range(5):
        error = door.refused(key, 0)
    assert (error.status, error.type, error.code) == (
        429, "rate_limit_error", "rate_limit_exceeded",
    )  # fmt: skip
    said = error.headers()
    assert (said["retry-after"], said["retry-after-ms"]) == ("1", "500")
    assert said["x-ratelimit-remaining-requests"] == "0"
    door.clock.advance(0.499)
    assert door.refused(key, 0).status == 429
    door.clock.advance(0.001)
    door.enter(key, 0)
    assert door.refused(key, 0).status == 429
    door.clock.advance(1000)
    for _ in range(3):
        door.enter(key, 0)
    assert door.refused(key, 0).status == 429


def test_less_than_one_request_a_second(door: Door) -> None:
    """One at the start, and the next when it is time."""
    key = door.key("shop", KeyLimits(requests_per_second=0.1))
    door.enter(key)
    assert door.refused(key).retry_after_s == pytest.approx(10)
    door.clock.advance(10)
    door.enter(key)


def test_requests_at_once(door: Door) -> None:
    """A place is free again however a request ends, and only once."""
    key = door.key("shop", KeyLimits(at_once=2))
    one, two = door.enter(key), door.enter(key)
    error = door.refused(key)
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert "2 requests at once" in error.message
    for _ in range(3):
        one.release()
    door.enter(key)
    assert door.refused(key).status == 429
    two.release()
    door.enter(key)


@pytest.mark.parametrize(
    "error", [None, ValueError(), ApiError(400, "no"), asyncio.CancelledError()]
)
def test_async_with_frees_the_place_and_writes_it_down(
    door: Door, error: BaseException | None
) -> None:
    """Also where nobody says how it ended."""
    key = door.key("shop", KeyLimits(at_once=1))

    async def request() -> None:
        async with door.enter(key):
            if error is not None:
                raise error

    for _ in range(2):
        try:
            asyncio.run(request())
        except (ValueError, ApiError, asyncio.CancelledError) as raised:
            assert raised is error  # noqa: PT017
    door.gate.ledger.write()
    [total] = door.gate.usage(UsageQuestion())
    failed = isinstance(error, ValueError | ApiError)
    cancelled = isinstance(error, asyncio.CancelledError)
    assert (total.requests, total.failed, total.cancelled) == (2, 2 * failed, 2 * cancelled)
    assert total.cost == (0 if error is not None else 2 * 626_000)


def test_pictures_a_day(door: Door) -> None:
    """Counted when they are let in, for the day of UTC; questions without a picture go on."""
    key = door.key("shop", KeyLimits(pictures_per_day=3))
    entered = door.enter(key, 2)
    assert entered.headers()["x-ratelimit-remaining-pictures"] == "1"
    assert entered.headers()["x-ratelimit-reset-pictures"] == "12h0m0s"
    error = door.refused(key, 2)
    assert (error.status, error.type, error.code) == (
        429, "insufficient_quota", "insufficient_quota",
    )  # fmt: skip
    assert "3 pictures a day, and 2 are used" in error.message
    assert error.headers()["x-should-retry"] == "false"
    assert error.retry_after_s == DAY_S / 2
    door.enter(key, 1)
    assert door.refused(key, 1).status == 429
    door.enter(key, 0)
    door.clock.advance(DAY_S / 2 - 0.001)
    assert door.refused(key, 1).status == 429
    door.clock.advance(0.001)
    door.enter(key, 3)


def test_what_failed_takes_nothing(door: Door) -> None:
    """Its pictures are given back; a cancelled request's are not, once the model began with it."""
    key = door.key("shop", KeyLimits(pictures_per_day=1))
    finish(door.enter(key), 400)
    finish(door.enter(key), 500)
    door.enter(key).finish(request_id="", skill="query", model="", is_cancelled=True)
    in_line = replace(FACTS, completion_tokens=0, queued_ms=7.0, prefill_ms=0.0)
    door.enter(key).finish(request_id="", skill="query", model="", is_cancelled=True, costs=in_line)
    finish(door.enter(key), is_cancelled=True)
    assert door.refused(key).code == "insufficient_quota"
    door.gate.ledger.write()
    [total] = door.gate.usage(UsageQuestion())
    assert (total.requests, total.failed, total.cancelled, total.queued_ms) == (5, 2, 3, 7)
    assert (total.pictures, total.prompt_tokens, total.completion_tokens) == (1, 742, 5)
    assert total.cost == 626_000


def test_tokens_a_day(door: Door) -> None:
    """What runs may end; nothing new begins once they are used."""
    key = door.key("shop", KeyLimits(tokens_per_day=1000))
    one, two = door.enter(key), door.enter(key)
    assert one.headers()["x-ratelimit-remaining-tokens"] == "1000"
    finish(one)
    finish(two)
    assert "1000 tokens a day, and 1494 are used" in door.refused(key).message
    assert door.refused(key).headers()["x-ratelimit-remaining-tokens"] == "0"


def test_servers_share_the_limits_of_a_day(open_door: Callable[[], Door]) -> None:
    """As of their last exchange; a server that starts later knows what was used before."""
    here, there = open_door(), open_door()
    key = here.key("shop", KeyLimits(pictures_per_day=4, at_once=10))
    there.gate.follow()
    here.enter(key, 2)
    there.enter(key, 2)
    for _ in range(2):
        here.gate.follow()
        there.gate.follow()
    assert here.refused(key).status == there.refused(key).status == 429
    assert open_door().refused(key).status == 429
    assert here.gate.spent("shop", 20_700) == there.gate.spent("shop", 20_700) == DaySpent(4, 0)


def test_keys_of_one_name_share_its_limits(door: Door) -> None:
    """A key that was made anew does not double what may be used."""
    key = door.key("shop", KeyLimits(pictures_per_day=2))
    secret, record = make_key("shop", NOON, limits=KeyLimits(pictures_per_day=2))
    door.store.accounts.add_key(record, replaced_expire_at=NOON + 60)
    door.gate.follow()
    door.enter(key)
    door.enter(secret.reveal())
    assert door.refused(key).status == door.refused(secret.reveal()).status == 429
    door.clock.advance(60)
    assert door.refused(key).status == 401


def test_a_day_that_ends_in_the_middle_of_a_request(door: Door) -> None:
    """It belongs to the day it was let in on, in limits and in accounts."""
    door.clock.advance(DAY_S / 2 - 1)
    key = door.key("shop", KeyLimits(pictures_per_day=1))
    entered = door.enter(key)
    door.clock.advance(2)
    finish(door.enter(key))
    assert door.refused(key).status == 429
    finish(entered, 500)
    assert door.refused(key).status == 429
    assert door.gate.spent("shop", 20_700) == DaySpent(0, 0)
    assert door.gate.spent("shop", 20_701) == DaySpent(1, 747)
    assert entered.entry is not None
    assert entered.entry.day == 20_700
    assert entered.entry.seconds == 2


def test_a_clock_that_goes_back_gives_no_day_twice(door: Door) -> None:
    """What was used of yesterday is still used, and no bucket is filled by it."""
    key = door.key("shop", KeyLimits(pictures_per_day=1, requests_per_second=1, burst=2))
    door.enter(key)
    door.gate.follow()
    door.clock.advance(DAY_S)
    door.enter(key)
    door.gate.follow()
    set_back(door.clock, DAY_S + 3600)
    assert door.refused(key).code == "insufficient_quota"
    door.gate.follow()
    assert door.refused(key).code == "insufficient_quota"
    door.enter(key, 0)
    assert door.refused(key, 0).code == "rate_limit_exceeded"


def set_back(clock: ManualClock, seconds: float) -> None:
    """Put a clock back, as an operator or a time server does; no time passes by that."""
    clock._at -= seconds


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
def test_the_machine_s_time_zone_does_not_matter(
    door: Door, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a night in which clocks are changed either: a day is one of UTC, with 24 hours."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        change = 1_792_886_400.0  # 2026-10-25 00:00 UTC, the night of the change in Europe
        door.clock.advance(change - door.clock.now())
        key = door.key("shop", KeyLimits(pictures_per_day=24))
        for _ in range(24):
            door.enter(key)
            door.clock.advance(3599)
        assert door.refused(key).status == 429
        door.clock.advance(24)
        door.enter(key)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_failed_log_ins_of_an_address_are_slowed_down(door: Door) -> None:
    """Ten at once, then one in six seconds; a valid key from there opens all the same."""
    key = door.key()
    assert [door.refused("mw_x").status for _ in range(12)] == [401] * 10 + [429] * 2
    assert 0 < (door.refused("mw_x").retry_after_s or 0) <= 6
    door.enter(key)
    assert door.refused("mw_x", host="192.0.2.2").status == 401
    door.clock.advance(6)
    assert [door.refused("mw_x").status for _ in range(2)] == [401, 429]


def test_a_network_of_ipv6_is_one_address(door: Door) -> None:
    """Its owner has as many as there are; an IPv4 address in IPv6 is that address."""
    seen = [door.refused("mw_x", host=f"2001:db8::{number:x}").status for number in range(11)]
    assert seen == [401] * 10 + [429]
    for _ in range(10):
        door.refused("mw_x")
    assert door.refused("mw_x", host="::ffff:192.0.2.1").status == 429


def test_memory_is_bounded_whoever_knocks(door: Door) -> None:
    """A hundred thousand addresses leave four thousand behind, and those for a while."""
    for number in range(100_000):
        door.refused("mw_x", host=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(door.gate._failures) == len(door.gate._unsaid) == 4096
    door.clock.advance(61)
    door.gate.follow()
    assert (len(door.gate._failures), len(door.gate._unsaid)) == (0, 0)


def test_failures_are_said_once_a_minute_without_keys(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """How many, from how many addresses; nothing of what was sent."""
    caplog.set_level(logging.INFO)
    for _ in range(30):
        door.refused("mw_secretpart")
    door.clock.advance(60)
    door.gate.follow()
    [record] = caplog.records
    assert record.getMessage() == (
        "30 requests had no key that opens what they asked for, from 1 addresses; most, 30, from "
        "192.0.2.1"
    )


def test_a_server_without_keys(door: Door) -> None:
    """Everybody is `local`, and is written down as that."""
    gate = KeyGate(door.store.accounts, door.gate.ledger, door.clock, wants_keys=False)
    for header in (None, "Bearer mw_x"):
        finish(gate.enter(header, None, pictures=1, client_host="127.0.0.1"))
    gate.ledger.write()
    [total] = gate.usage(UsageQuestion())
    assert (total.key, total.requests) == ("local", 2)


def test_a_store_that_is_away(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """Keys are as they were last known, limits go on here, and it is said once."""
    key = door.key("shop", KeyLimits(pictures_per_day=3))
    with door.store._database.write("hold the lock"):
        door.enter(key)
        for _ in range(3):
            door.gate.follow()
        assert "as they were last known" in (door.gate.trouble or "")
        door.enter(key)
        assert len(caplog.records) == 1
    door.gate.follow()
    assert door.gate.trouble is None
    assert door.store.accounts.spend({}, 0) == {("shop", 20_700): DaySpent(2, 0)}
    door.enter(key)
    assert door.refused(key).status == 429


def test_a_gate_does_not_open_over_a_store_that_cannot_be_read(door: Door) -> None:
    """Limits would not hold."""
    with door.store._database.write("drop a table") as connection:
        connection.exec_driver_sql("DROP TABLE moonwatch_keys")
    with pytest.raises(StoreError):
        KeyGate(door.store.accounts, door.gate.ledger, door.clock)


def test_when_keys_were_used(door: Door) -> None:
    """Is in the store after a minute, or at the end."""
    key = door.key()
    door.clock.advance(5)
    door.enter(key)
    door.gate.close()
    assert door.store.accounts.keys()[0].last_used_at == NOON + 5


def test_prices_of_the_time(door: Door) -> None:
    """Other prices change nothing that was written down before."""
    key = door.key()
    finish(door.enter(key))
    door.gate.prices = PricesConfig.model_validate({"per_1000_pictures": 2, "currency": "EUR"})
    finish(door.enter(key))
    door.gate.ledger.write()
    costs = {total.currency: total.cost for total in door.gate.usage(UsageQuestion())}
    assert costs == {"USD": 626_000, "EUR": 2_000_000}


def test_a_request_is_written_down_once(door: Door) -> None:
    """The first word counts."""
    entered = door.enter(door.key())
    finish(entered)
    finish(entered, 500)
    assert entered.entry is not None
    assert entered.entry.outcome is RequestOutcome.DONE
    assert door.gate.ledger.state.waiting == 1


def test_many_threads_never_pass_a_limit(door: Door) -> None:
    """Eight of them knock four hundred times at a door for a hundred."""
    key = door.key("shop", KeyLimits(pictures_per_day=100))
    entered: list[GatePass] = []

    def knock() -> None:
        for _ in range(50):
            try:
                entered.append(door.enter(key))
            except ApiError:
                continue

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 100


def test_letting_in_takes_no_time(door: Door) -> None:
    """Nothing in it waits for anything: ten thousand take two seconds of work at most."""
    key = door.key("shop", KeyLimits(1e6, 10**6, 10**9, 10**9, 10**6))
    began = time.thread_time()
    for _ in range(10_000):
        finish(door.enter(key))
    assert time.thread_time() - began < 2
