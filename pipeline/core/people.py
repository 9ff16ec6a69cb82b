"""The port of people: who may use the application, how they are known, and what they did."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

IDLE_S: Final = 12 * 3600.0
"""A session ends when it was not used for so long."""
LONGEST_SESSION_S: Final = 30 * 86400.0
"""A session ends at the latest so long after its beginning."""


class Role(StrEnum):
    """Who somebody is; each may all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class TokenScope(StrEnum):
    """What a token opens."""

    READ_EVENTS = "read:events"
    READ_MEDIA = "read:media"
    READ_METRICS = "read:metrics"
    WRITE_ACK = "write:ack"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in by a password."""

    name: str
    """In small letters; unique."""
    password: str
    """Its hash, by argon2id."""
    role: Role
    cameras: tuple[str, ...] | None = None
    """The cameras that may be seen; None for all, also those of the future."""
    made_at: float = 0.0
    """UTC seconds."""
    disabled_at: float | None = None
    """Since when nobody can sign in by this name; None while one can."""

    @property
    def is_active_admin(self) -> bool:
        """Whether he can give rights to others."""
        return self.role is Role.ADMIN and self.disabled_at is None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A browser that somebody has signed in with. The secret itself is nowhere."""

    id: str
    """Names it in lists; opens nothing."""
    digest: str
    """SHA-256 of the secret in the cookie, in hexadecimal digits."""
    who: str
    began_at: float
    """UTC seconds, as the other times."""
    seen_at: float
    address: str = ""
    """Where he signed in from."""
    agent: str = ""
    """What his browser calls itself."""
    role: Role | None = None
    """Of somebody whom another service knows; None for a person of the store."""
    cameras: tuple[str, ...] | None = None
    """The same: what the other service lets him see."""

    def is_valid(self, now: float) -> bool:
        """Whether it still opens anything."""
        return now < self.seen_at + IDLE_S and now < self.began_at + LONGEST_SESSION_S


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What a program shows instead of a password, as it is kept: without the secret."""

    id: str
    """Names it in lists; opens nothing."""
    digest: str
    """SHA-256 of the token, in hexadecimal digits."""
    name: str
    """Unique, also among those that have ended: it stands in the audit log."""
    scopes: tuple[TokenScope, ...]
    made_by: str
    made_at: float
    """UTC seconds, as the other times."""
    cameras: tuple[str, ...] | None = None
    """The cameras that may be seen; None for all."""
    expires_at: float | None = None
    ended_at: float | None = None
    """When somebody ended it."""
    used_at: float | None = None

    @property
    def who(self) -> str:
        """How it is called where something was done or made by it."""
        return f"token {self.name}"

    def is_valid(self, now: float) -> bool:
        """Whether it still opens anything."""
        return self.ended_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Somebody did something."""

    at: float
    """UTC seconds."""
    who: str
    action: str
    subject: str
    detail: str = ""
    position: int = 0
    """Where it stands in the order of the store."""


@dataclass(frozen=True, slots=True)
class JournalQuestion:
    """Which entries of the audit log."""

    before: int | None = None
    """Only those before this position."""
    since: float | None = None
    until: float | None = None
    who: str | None = None
    words: str = ""
    """What action, subject or detail contain."""
    limit: int = 100


class PersonChange(StrEnum):
    """What came of changing or removing a person."""

    DONE = "done"
    UNKNOWN = "unknown"
    """There is nobody of this name."""
    CHANGED = "changed"
    """Nothing changed: somebody else has changed him meanwhile."""
    LAST_ADMIN = "last admin"
    """Nothing changed: nobody would be left who can give rights."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures in a row are let pass, before each further one takes its time."""

    failures: int
    first_s: float = 2.0
    """Doubles with each further failure."""
    longest_s: float = 300.0
    forgotten_after_s: float = 3600.0

    def wait_s(self, failures: int) -> float:
        """How long the next attempt has to wait after so many failures."""
        beyond = failures - self.failures
        if beyond < 0:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(beyond, 30))


class PeopleStore(Protocol):
    """People, sessions, tokens and the audit log. All methods raise StoreError."""

    def people(self) -> Sequence[Person]:
        """All of them, by their names."""
        ...

    def person(self, name: str) -> Person | None:
        """The one of this name."""
        ...

    def add_person(self, person: Person, *, only_first: bool = False) -> bool:
        """Keep a new person; False where the name is taken, or with `only_first` somebody is there.

        Sessions of an earlier one of the name have ended with him.
        """
        ...

    def change_person(self, person: Person, was: Person | None = None) -> PersonChange:
        """Keep what is new of a person, and end all his sessions.

        With `was` only if he still is that: what others change meanwhile must not be undone.
        """
        ...

    def remove_person(self, name: str) -> PersonChange:
        """Forget a person, and end all his sessions; the audit log keeps his name."""
        ...

    def add_session(self, session: SessionRecord) -> None:
        """Keep a session."""
        ...

    def session(self, digest: str) -> tuple[SessionRecord, Person | None] | None:
        """A session and whose it is; without a person for those whom another service knows."""
        ...

    def sessions(self, who: str | None = None) -> Sequence[SessionRecord]:
        """Sessions, the last used first."""
        ...

    def saw_session(self, digest: str, at: float) -> None:
        """A session was used."""
        ...

    def end_session(self, session_id: str, who: str | None = None) -> bool:
        """End a session, if it is this person's; False where there is none."""
        ...

    def end_sessions(self, who: str) -> int:
        """End all sessions of somebody; how many there were."""
        ...

    def add_token(self, token: TokenRecord) -> bool:
        """Keep a token; False where the name is or was another's."""
        ...

    def tokens(self) -> Sequence[TokenRecord]:
        """All that were ever made and are not forgotten, the newest first."""
        ...

    def token(self, digest: str) -> tuple[TokenRecord, Person | None] | None:
        """A token and who made it, if he is a person of the store."""
        ...

    def used_token(self, token_id: str, at: float) -> None:
        """A token was used."""
        ...

    def end_token(self, token_id: str, at: float) -> bool:
        """End a token, and those that were made by it; False where none was there, or had ended."""
        ...

    def attempt(self, tries: Sequence[tuple[str, Patience]], now: float) -> float:
        """Count an attempt to sign in under each of these keys, before it is known to fail.

        The seconds that it has to wait; then it was not counted. 0 for one that may go on.
        """
        ...

    def succeeded(self, key: str) -> None:
        """Forget the failures under a key."""
        ...

    def note(self, entry: JournalEntry) -> None:
        """Keep that somebody did something."""
        ...

    def journal(self, question: JournalQuestion) -> Sequence[JournalEntry]:
        """Entries of the audit log, the newest first."""
        ...
