"""A lease of the store has one owner; others get it once it is given back, or stands still."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.errors import OwnershipLostError, StoreError
from pipeline.core.store import DELIVER, LeaseOwner, LeaseProof, LeaseRecord
from pipeline.runtime.ownership import StoreLease
from pipeline.testing import ManualClock

TTL = timedelta(minutes=5)
TTL_S = TTL.total_seconds()


class Reach(SqlStore):
    """A store that can be out of reach."""

    away = False

    def _check(self) -> None:
        if self.away:
            raise StoreError("the server is away")

    def lease(self, name: str) -> LeaseRecord | None:
        """Fail, or answer."""
        self._check()
        return super().lease(name)

    def take(
        self, name: str, owner: LeaseOwner, over: LeaseRecord | None = None
    ) -> LeaseProof | None:
        """Fail, or do it."""
        self._check()
        return super().take(name, owner, over)

    def renew(self, proof: LeaseProof) -> bool:
        """Fail, or do it."""
        self._check()
        return super().renew(proof)


@dataclass
class Crew:
    """Processes on one store, each with connections of its own."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    stores: list[Reach] = field(default_factory=list)

    def lease(self, owner: str) -> StoreLease:
        """One process's, not yet asked for."""
        self.stores.append(Reach(f"sqlite:///{self.folder}/moonwatch.db", self.clock))
        me = LeaseOwner(owner, f"host-{owner}", 1)
        return StoreLease(self.stores[-1], DELIVER, me, self.clock, TTL)

    def away(self, away: bool) -> None:
        """Whether the store is out of everybody's reach."""
        for store in self.stores:
            store.away = away


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """Nobody yet."""
    crew = Crew(tmp_path)
    yield crew
    for store in crew.stores:
        store.close()


def is_held(lease: StoreLease) -> bool:
    """Whether a lease is its process's own now."""
    return lease.proof is not None


def test_one_has_it_and_the_other_stands_by(crew: Crew) -> None:
    """However often both look, and although the first one's lease is renewed only by looking."""
    first, second = crew.lease("a"), crew.lease("b")
    for _ in range(6):
        first.look()
        second.look()
        crew.clock.advance(TTL_S / 3)
    assert (first.proof is not None, first.is_anothers) == (True, False)
    assert (second.proof, second.is_anothers, second.other_is_alive) == (None, True, True)
    assert second.other is not None
    assert second.other.owner == LeaseOwner("a", "host-a", 1)


def test_what_is_given_back_is_free_at_once(crew: Crew) -> None:
    """Whoever ends in order lets the other one go on, under a higher token."""
    first, second = crew.lease("a"), crew.lease("b")
    first.look()
    before = first.proof
    second.look()
    first.end()
    second.look()
    assert before is not None
    assert second.proof is not None
    assert second.proof.token > before.token
    assert not first.holds(before)


def test_a_dead_one_is_taken_over_from_and_notices_on_waking(crew: Crew) -> None:
    """Paused for longer than its lease it asks before its next step, and has lost it."""
    first, second = crew.lease("a"), crew.lease("b")
    first.look()
    proof = first.proof
    assert proof is not None
    assert first.holds(proof)
    second.look()
    crew.clock.advance(TTL_S - 1)
    second.look()
    assert not is_held(second)
    crew.clock.advance(1)
    second.look()
    assert is_held(second)
    assert not first.holds(proof)
    assert first.lost_to is not None
    assert first.lost_to.owner.id == "b"
    first.look()
    assert (first.proof, first.is_anothers) == (None, True)


def test_one_that_was_slow_and_met_nobody_goes_on(crew: Crew) -> None:
    """However long it stood still: nobody has written anything in between."""
    first = crew.lease("a")
    first.look()
    proof = first.proof
    crew.clock.advance(100 * TTL_S)
    first.look()
    assert first.proof is not None
    assert first.proof is proof


def test_a_sign_of_life_at_the_last_moment_counts(crew: Crew) -> None:
    """Whoever wants to take over what moved since it was looked at gets nothing."""
    first, second = crew.lease("a"), crew.lease("b")
    first.look()
    second.look()
    seen = second.other
    assert seen is not None
    first.look()
    assert crew.stores[1].take(DELIVER, LeaseOwner("b", "host-b", 2), over=seen) is None


def test_what_was_lost_and_got_again_is_another_turn(crew: Crew) -> None:
    """Whoever worked meanwhile has moved things on: what the first turn began must end."""
    first, second = crew.lease("a"), crew.lease("b")
    first.look()
    before = first.proof
    second.look()
    crew.clock.advance(TTL_S)
    second.look()
    second.end()
    first.look()
    assert before is not None
    assert first.proof is not None
    assert first.proof.token > before.token
    assert not first.holds(before)
    assert first.holds(first.proof)


def test_what_is_kept_only_is_not_taken_again(crew: Crew) -> None:
    """A run that lost its store stays without it, also once that is free."""
    first, second = crew.lease("a"), crew.lease("b")
    first.look()
    second.look()
    crew.clock.advance(TTL_S)
    second.look()
    second.end()
    first.keep()
    first.keep()
    assert first.proof is None
    assert first.lost_to is not None


def test_without_the_store_all_stays_as_it_is(crew: Crew, caplog: pytest.LogCaptureFixture) -> None:
    """Its owner goes on, for as long as it takes; whoever stands by goes on, and says so once."""
    first, second = crew.lease("a"), crew.lease("b")
    first.look()
    second.look()
    proof = first.proof
    assert proof is not None
    crew.away(True)
    for _ in range(3):
        crew.clock.advance(TTL_S)
        assert first.holds(proof)
        first.look()
        second.look()
        assert (first.proof, second.proof) == (proof, None)
    crew.away(False)
    second.look()
    assert second.proof is None, "its owner comes first"
    crew.clock.advance(TTL_S - 1)
    first.look()
    crew.clock.advance(1)
    second.look()
    assert (first.proof, second.proof) == (proof, None)
    assert first.holds(proof)
    assert caplog.text.count("store is not responding") == 1


def test_a_wrong_clock_takes_nothing_away(crew: Crew) -> None:
    """An owner whose clock is ten years ahead, or behind, is watched like any other."""
    first = crew.lease("a")
    first.look()
    crew.stores.append(Reach(f"sqlite:///{crew.folder}/moonwatch.db", ManualClock(2_000_000_000)))
    wrong = StoreLease(
        crew.stores[-1], DELIVER, LeaseOwner("b", "host-b", 1), ManualClock(2_000_000_000), TTL
    )
    for _ in range(3):
        wrong.look()
        first.look()
    assert wrong.proof is None
    assert first.proof is not None


@pytest.mark.parametrize("renewed", [True, False], ids=["its own copy", "an older copy"])
def test_a_store_that_was_put_back_is_taken_anew(crew: Crew, renewed: bool) -> None:
    """Under another token, as whoever works goes by positions of the file that is gone."""
    file = crew.folder / "moonwatch.db"
    past = crew.lease("past")
    past.look()
    first = crew.lease("a")
    if not renewed:
        _copy(file)
    past.end()
    first.look()
    if renewed:
        _copy(file)
    before = first.proof
    assert before is not None
    (crew.folder / "copy.db").replace(file)
    with pytest.raises(OwnershipLostError):
        crew.stores[1].advance("log", 1, lease=before)
    assert first.holds(before)  # for as long as it is sure of it
    first.look()
    assert first.proof is not None
    assert first.proof.token > before.token
    assert not first.holds(before)
    crew.stores[1].advance("log", 1, lease=first.proof)


def _copy(file: Path) -> None:
    """A back-up as docs/operations.md says it is made."""
    with closing(sqlite3.connect(file)) as source:
        source.execute(f"VACUUM INTO '{file.with_name('copy.db')}'")
