"""What every store promises of people; subclass the class to hold a store to it."""

import abc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeline.core.clock import Clock
from pipeline.core.people import (
    IDLE_S,
    JournalEntry,
    JournalQuestion,
    Patience,
    PeopleStore,
    Person,
    PersonChange,
    Role,
    SessionRecord,
    TokenRecord,
    TokenScope,
)
from pipeline.testing import ManualClock

ADA = Person("ada", "$argon2id$...", Role.ADMIN, None, 1000.25)
EVE = Person("eve", "$argon2id$...", Role.VIEWER, ("door", "till"), 1000.5)
NOW = 1_700_000_000.0
SESSION = SessionRecord("s1", "aa" * 32, "eve", NOW, NOW, "192.0.2.7", "Browser/1.0")
TOKEN = TokenRecord(
    "t1",
    "bb" * 32,
    "dashboard",
    (TokenScope.READ_EVENTS, TokenScope.WRITE_ACK),
    "ada",
    NOW,
    ("till",),
    NOW + 86400.5,
)


class PeopleContract(abc.ABC):
    """Kept exactly, ended together, and counted once however many ask at the same time."""

    @abc.abstractmethod
    def opened_people(self, clock: Clock) -> tuple[PeopleStore, Callable[[], None]]:
        """The people of the store as another process opens it, and what closes it."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """What the store takes for the time."""
        return ManualClock(NOW)

    @pytest.fixture
    def open_people(self, clock: ManualClock) -> Iterator[Callable[[], PeopleStore]]:
        """Opens the store; everything opened is closed in the end."""
        closing: list[Callable[[], None]] = []

        def once_more() -> PeopleStore:
            people, close = self.opened_people(clock)
            closing.append(close)
            return people

        yield once_more
        for close in closing:
            close()

    def test_all_comes_back_exactly(self, open_people: Callable[[], PeopleStore]) -> None:
        """From another process, too."""
        people = open_people()
        assert people.add_person(EVE)
        assert people.add_person(ADA)
        assert not people.add_person(EVE)
        people.add_session(SESSION)
        assert people.add_token(TOKEN)
        assert not people.add_token(replace(TOKEN, id="t2", digest="cc" * 32))
        other = open_people()
        assert list(other.people()) == [ADA, EVE]
        assert other.session(SESSION.digest) == (SESSION, EVE)
        assert other.token(TOKEN.digest) == (TOKEN, ADA)
        assert other.session("dd" * 32) is None
        assert other.token("dd" * 32) is None

    def test_only_one_is_the_first(self, open_people: Callable[[], PeopleStore]) -> None:
        """Of as many as try at the same time."""
        people, made = open_people(), []
        start = threading.Barrier(4)

        def make(name: str) -> None:
            start.wait()
            if people.add_person(replace(ADA, name=name), only_first=True):
                made.append(name)

        threads = [threading.Thread(target=make, args=(f"user{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [person.name for person in people.people()] == made

    def test_what_changes_a_person_ends_what_was_opened(
        self, open_people: Callable[[], PeopleStore]
    ) -> None:
        """Sessions always, and tokens with the right to make them."""
        people = open_people()
        boss = replace(ADA, name="boss")
        for person in (ADA, boss, EVE):
            people.add_person(person)
        people.add_session(replace(SESSION, who="ada"))
        people.add_token(TOKEN)
        assert people.change_person(replace(ADA, password="another")) is PersonChange.DONE
        assert people.session(SESSION.digest) is None
        found = people.token(TOKEN.digest)
        assert found is not None
        assert found[0].ended_at is None
        assert people.change_person(replace(ADA, role=Role.VIEWER)) is PersonChange.DONE
        found = people.token(TOKEN.digest)
        assert found is not None
        assert found[0].ended_at == NOW
        for change in (replace(boss, role=Role.OPERATOR), replace(boss, disabled_at=NOW)):
            assert people.change_person(change) is PersonChange.LAST_ADMIN
        assert people.remove_person("boss") is PersonChange.LAST_ADMIN
        assert people.remove_person("nobody") is PersonChange.UNKNOWN
        assert people.change_person(replace(EVE, name="nobody")) is PersonChange.UNKNOWN
        assert people.remove_person("ada") is PersonChange.DONE
        assert [person.name for person in people.people()] == ["boss", "eve"]

    def test_sessions_that_are_over_are_forgotten(
        self, open_people: Callable[[], PeopleStore], clock: ManualClock
    ) -> None:
        """Those that are used stay."""
        people = open_people()
        people.add_session(SESSION)
        people.add_session(replace(SESSION, id="s2", digest="cc" * 32, seen_at=NOW - 60))
        assert [session.id for session in people.sessions("eve")] == ["s1", "s2"]
        assert people.sessions("ada") == []
        clock.advance(IDLE_S - 30)
        people.saw_session(SESSION.digest, clock.now())
        people.saw_session(SESSION.digest, NOW)
        assert [session.id for session in people.sessions()] == ["s1"]
        people.add_session(replace(SESSION, id="s3", digest="ee" * 32, seen_at=clock.now()))
        assert people.session("cc" * 32) is None
        assert not people.end_session("s1", "ada")
        assert people.end_session("s1", "eve")
        assert people.end_sessions("eve") == 1

    def test_no_attempt_is_missed_when_many_come_at_once(
        self, open_people: Callable[[], PeopleStore]
    ) -> None:
        """Before anybody knows whether they fail."""
        people, patience_of = open_people(), Patience(3)
        start = threading.Barrier(6)
        waits: list[float] = []

        def attempt() -> None:
            start.wait()
            waits.append(people.attempt([("account eve", patience_of)], NOW))

        threads = [threading.Thread(target=attempt) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(waits) == [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]
        assert people.attempt([("account eve", patience_of)], NOW + 2) == 0.0
        assert people.attempt([("account eve", patience_of)], NOW + 3) == 3.0
        assert people.attempt([("account eve", patience_of)], NOW - 60) == 0.0, "a clock set back"
        people.succeeded("account eve")
        assert people.attempt([("account eve", patience_of)], NOW + 3) == 0.0
        assert people.attempt([("account ada", patience_of)], NOW + 3) == 0.0

    def test_the_audit_log_is_read_from_its_end(
        self, open_people: Callable[[], PeopleStore]
    ) -> None:
        """Whatever texts it has."""
        people = open_people()
        for n in range(5):
            people.note(JournalEntry(NOW + n, "eve\0\ud800", "looked at a clip", f"Door {n} 50%"))
        found = people.journal(JournalQuestion(words="dOOR", limit=2))
        assert [entry.subject for entry in found] == ["Door 4 50%", "Door 3 50%"]
        older = people.journal(JournalQuestion(before=found[-1].position, since=NOW + 1))
        assert [entry.at for entry in older] == [NOW + 2, NOW + 1]
        assert people.journal(JournalQuestion(words="5_%")) == []
        assert len(people.journal(JournalQuestion(words="50%", who=found[0].who))) == 5
