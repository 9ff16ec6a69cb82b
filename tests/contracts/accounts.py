"""What every store promises of keys and accounts; subclass the class to hold a store to it."""

import abc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeline.core.accounts import (
    DAY_S,
    AccountStore,
    DaySpent,
    KeyLimits,
    KeyRecord,
    KeyScope,
    LedgerEntry,
    RequestOutcome,
    UsageBy,
    UsageQuestion,
    UsageSum,
)
from pipeline.core.store import Span

NOON = 20_000 * DAY_S + DAY_S / 2
"""At noon of the day 20000."""
KEY = KeyRecord(
    "aaaaaaaaaa",
    "shop",
    "00" * 32,
    (KeyScope.SERVE, KeyScope.METRICS),
    KeyLimits(2.5, 4, 10_000, 10**12, 8),
    made_at=NOON,
    expires_at=NOON + 7.25,
)


def entry(number: int = 1, at: float = NOON) -> LedgerEntry:
    """A request that took something of everything."""
    return LedgerEntry(
        id=f"{number:032x}",
        at=at,
        request_id=f"req_{number}",
        key_id="aaaaaaaaaa",
        key_name="shop",
        skill="query",
        model="moondream2",
        outcome=RequestOutcome.DONE,
        status=200,
        pictures=1,
        crops=3,
        image_tokens=730,
        prompt_tokens=742,
        completion_tokens=5,
        reasoning_tokens=2,
        bytes_in=1000,
        queued_ms=1.0,
        prefill_ms=20.0,
        decode_ms=30.0,
        seconds=0.06,
        cost=626_000,
        currency="USD",
    )


class AccountsContract(abc.ABC):
    """Kept once, added up exactly, shared by all who open the store."""

    @abc.abstractmethod
    def opened_accounts(self) -> tuple[AccountStore, Callable[[], None]]:
        """The accounts of the store as another process opens it, and what closes it."""

    @pytest.fixture
    def open_accounts(self) -> Iterator[Callable[[], AccountStore]]:
        """Opens the store; everything opened is closed in the end."""
        closing: list[Callable[[], None]] = []

        def once_more() -> AccountStore:
            accounts, close = self.opened_accounts()
            closing.append(close)
            return accounts

        yield once_more
        for close in closing:
            close()

    @pytest.fixture
    def accounts(self, open_accounts: Callable[[], AccountStore]) -> AccountStore:
        """The accounts under test, empty."""
        return open_accounts()

    def test_a_key_comes_back_exactly(self, open_accounts: Callable[[], AccountStore]) -> None:
        """Also for another process, with one without limits and end beside it."""
        bare = KeyRecord("bbbbbbbbbb", "[x] 'é' \N{SNOWMAN}", "11" * 32, made_at=NOON + 1)
        first = open_accounts()
        assert first.keys() == []
        assert first.add_key(KEY)
        assert first.add_key(bare)
        assert open_accounts().keys() == [KEY, bare]

    def test_a_name_belongs_to_its_first_key(self, accounts: AccountStore) -> None:
        """Also once that is revoked: its accounts stay its own."""
        assert accounts.add_key(KEY)
        assert not accounts.add_key(replace(KEY, id="bbbbbbbbbb"))
        assert accounts.revoke("shop", NOON + 1) == 1
        assert accounts.revoke("shop", NOON + 2) == 0
        assert not accounts.add_key(replace(KEY, id="bbbbbbbbbb"))
        assert [key.revoked_at for key in accounts.keys()] == [NOON + 1]  # noqa: SIM118

    def test_a_key_that_takes_the_place_of_another(self, accounts: AccountStore) -> None:
        """The old one ends at the given time, or earlier if it was to; not one that was revoked."""
        new = replace(KEY, id="bbbbbbbbbb", made_at=NOON + 1, expires_at=None)
        assert not accounts.add_key(new, replaced_expire_at=NOON + 5)
        accounts.add_key(KEY)
        assert accounts.add_key(new, replaced_expire_at=NOON + 5)
        third = replace(new, id="cccccccccc", made_at=NOON + 2)
        assert accounts.add_key(third, replaced_expire_at=NOON + 100)
        ends = {key.id: key.expires_at for key in accounts.keys()}  # noqa: SIM118
        assert ends == {"aaaaaaaaaa": NOON + 5, "bbbbbbbbbb": NOON + 100, "cccccccccc": None}
        accounts.revoke("shop", NOON + 3)
        fourth = replace(new, id="dddddddddd", made_at=NOON + 4)
        assert not accounts.add_key(fourth, replaced_expire_at=NOON + 100)

    def test_every_change_of_keys_is_seen(self, open_accounts: Callable[[], AccountStore]) -> None:
        """By the number that other processes look at; use alone is none."""
        here, there = open_accounts(), open_accounts()
        versions = [there.keys_version()]
        here.add_key(KEY)
        versions.append(there.keys_version())
        here.add_key(replace(KEY, id="bbbbbbbbbb"), replaced_expire_at=NOON)
        versions.append(there.keys_version())
        here.revoke("shop", NOON)
        versions.append(there.keys_version())
        here.used({KEY.id: NOON})
        assert len({*versions}) == 4
        assert there.keys_version() == versions[-1]

    def test_when_a_key_was_used_last(self, accounts: AccountStore) -> None:
        """A process whose news come late does not put it back."""
        accounts.add_key(KEY)
        for at in (NOON + 5, NOON + 3):
            accounts.used({KEY.id: at, "nobody": at})
        assert accounts.keys()[0].last_used_at == NOON + 5

    def test_what_is_spent_is_added_up(self, open_accounts: Callable[[], AccountStore]) -> None:
        """Of all processes, by name and day, what is given back included, never below nothing."""
        here, there = open_accounts(), open_accounts()
        assert here.spend({("shop", 20_000): DaySpent(3, 100)}, 19_999) == {
            ("shop", 20_000): DaySpent(3, 100)
        }
        there.spend({("shop", 20_000): DaySpent(-1, 50), ("lab", 19_998): DaySpent(1, 1)}, 19_999)
        assert here.spend({}, 19_999) == {("shop", 20_000): DaySpent(2, 150)}
        there.spend({("shop", 20_000): DaySpent(-7, 0)}, 19_999)
        assert here.spend({}, 19_999) == {("shop", 20_000): DaySpent(0, 150)}

    def test_an_entry_is_kept_once(self, accounts: AccountStore) -> None:
        """However often it is written, in one batch or in several, it counts once."""
        assert accounts.keep([entry(1), entry(2), entry(1)]) == 2
        assert accounts.keep([entry(2), entry(3)]) == 1
        assert accounts.keep([]) == 0
        [total] = accounts.usage(UsageQuestion())
        assert (total.requests, total.pictures, total.cost) == (3, 3, 3 * 626_000)

    def test_sums_are_exact_and_complete(self, accounts: AccountStore) -> None:
        """Every figure; of what failed only that it was there, how long it took, and its bytes."""
        failed = replace(entry(2), outcome=RequestOutcome.FAILED, status=400, cost=0, currency="")
        cancelled = replace(entry(3), outcome=RequestOutcome.CANCELLED, status=499)
        accounts.keep([entry(1), failed, cancelled])
        for span in (Span(), Span(NOON - 1, NOON + 1)):
            bare, usd = accounts.usage(UsageQuestion((UsageBy.KEY, UsageBy.SKILL), span))
            assert usd == UsageSum(
                "shop", None, None, "query", "USD", 2, 0, 1, 2, 6, 1460, 1484, 10, 4,
                2000, 2, 40, 60, 120, 1_252_000,
            )  # fmt: skip
            assert bare == UsageSum(
                "shop", None, None, "query", "", 1, 1, 0, 0, 0, 0, 0, 0, 0, 1000, 1, 20, 30, 60, 0
            )

    def test_parts_of_days_and_whole_days_make_one_sum(self, accounts: AccountStore) -> None:
        """Each entry counts in the span it was let in in, and once, wherever the ends lie."""
        times = [NOON + hours * 3600 for hours in range(-30, 66, 6)]
        accounts.keep([entry(number, at) for number, at in enumerate(times)])
        ends = [None, *times, NOON + 1, NOON + DAY_S / 2, NOON + 1.5 * DAY_S]
        for since in ends:
            for until in ends:
                if since is not None and until is not None and since >= until:
                    continue
                inside = [
                    at
                    for at in times
                    if (since is None or at >= since) and (until is None or at < until)
                ]
                for by in ((UsageBy.KEY,), (UsageBy.DAY,), (UsageBy.MODEL, UsageBy.DAY)):
                    sums = accounts.usage(UsageQuestion(by, Span(since, until)))
                    assert sum(total.requests for total in sums) == len(inside)
                    if UsageBy.DAY in by:
                        days = {int(at // DAY_S) for at in inside}
                        assert {total.day for total in sums} == days

    def test_one_key_alone(self, accounts: AccountStore) -> None:
        """Sees nothing of others, whole days or not."""
        accounts.keep([entry(1), replace(entry(2), key_name="lab")])
        for span in (Span(), Span(NOON - 1, NOON + 1)):
            [total] = accounts.usage(UsageQuestion(span=span, key="lab"))
            assert (total.key, total.requests) == ("lab", 1)
            for nobody in ("sho", "\0", "%"):
                assert accounts.usage(UsageQuestion(span=span, key=nobody)) == []

    def test_old_entries_go_and_totals_stay(self, accounts: AccountStore) -> None:
        """A few at a time; what is left says how far the ledger goes back."""
        assert accounts.oldest_entry() is None
        accounts.keep([entry(number, NOON + number) for number in range(5)])
        assert accounts.forget_entries(NOON + 3, 2) == 2
        assert accounts.forget_entries(NOON + 3, 2) == 1
        assert accounts.forget_entries(NOON + 3, 2) == 0
        assert accounts.oldest_entry() == NOON + 3
        [total] = accounts.usage(UsageQuestion((UsageBy.DAY,)))
        assert (total.day, total.requests) == (20_000, 5)

    def test_odd_entries_hold_nobody_up(self, accounts: AccountStore) -> None:
        """Huge and negative numbers, characters that databases refuse: kept as far as they go."""
        odd = replace(
            entry(1),
            model="m\0\udc80",
            error="'); DROP TABLE moonwatch_ledger; --",
            prompt_tokens=10**30,
            completion_tokens=-5,
            seconds=float("nan"),
            queued_ms=float("inf"),
            cost=10**40,
        )
        assert accounts.keep([odd, entry(2)]) == 2
        assert sum(total.requests for total in accounts.usage(UsageQuestion())) == 2

    def test_many_writers_at_once(self, open_accounts: Callable[[], AccountStore]) -> None:
        """Nothing is lost between four processes that write and spend together."""
        stores = [open_accounts() for _ in range(4)]

        def work(place: int) -> None:
            for number in range(10):
                stores[place].keep([entry(100 * place + number)])
                stores[place].spend({("shop", 20_000): DaySpent(1, 2)}, 20_000)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [total] = stores[0].usage(UsageQuestion())
        assert total.requests == 40
        assert stores[0].spend({}, 20_000) == {("shop", 20_000): DaySpent(40, 80)}
