"""Tells who comes: by a session, a token, a trusted proxy or a link."""

import hmac
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from starlette.requests import HTTPConnection

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.people import (
    LONGEST_SESSION_S,
    Patience,
    PeopleStore,
    Person,
    PersonChange,
    Role,
    SessionRecord,
)
from pipeline.web.access import passwords, secret_texts
from pipeline.web.access.peer import Peer, peer_of
from pipeline.web.access.permissions import GUEST, permissions_of
from pipeline.web.access.visitor import Visitor
from pipeline.web.config import WebConfig, WebProxyConfig
from pipeline.web.problems import WebError

logger = logging.getLogger(__name__)

SECURE_COOKIE: Final = "__Host-moonwatch"
"""A browser takes it over https alone, and from this very host."""
PLAIN_COOKIE: Final = "moonwatch"
OF_ACCOUNT: Final = Patience(5)
OF_ADDRESS: Final = Patience(20)
_SEEN_EVERY_S = 300.0
_LINK_LASTS_S = 86400.0
_LONGEST_AGENT = 200
_LONGEST_NAME = 128
_NOBODY = "the name or the password is wrong"
BY_LINK: Final = "guest"
_GUEST = Visitor(BY_LINK, GUEST, None, Role.VIEWER)


class FailureJournal(Protocol):
    """What failures to sign in are written into."""

    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Keep it."""
        ...


@dataclass(slots=True)
class OneTimeLink:
    """A secret that opens something once."""

    digest: str
    until: float
    """Of the monotonic clock."""


class Entrance:
    """Knows people, tokens and links; usable from any thread.

    Sessions of guests, and the links, are known to this process alone and end with it.
    """

    def __init__(self, people: PeopleStore, clock: Clock, config: Callable[[], WebConfig]) -> None:
        self._people, self._clock, self._config = people, clock, config
        self._lock = threading.Lock()
        self._set_up_lock = threading.Lock()
        self._set_up: OneTimeLink | None = None
        self._guest_link: OneTimeLink | None = None
        self._guests: dict[str, SessionRecord] = {}
        self._seen: dict[str, float] = {}
        self._had_people = False

    @property
    def lets_guests_in(self) -> bool:
        """Whether somebody may look without a name, by a link."""
        return self._guest_link is not None or bool(self._guests)

    def peer(self, connection: HTTPConnection) -> Peer:
        """The other end of a connection."""
        return peer_of(connection, self._config())

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Who it is; raises StoreError, or WebError for a token that opens nothing."""
        given = connection.headers.get("authorization")
        if given is not None:
            return self._by_token(given)
        peer = self.peer(connection)
        proxy = peer.proxy
        if proxy is not None and proxy.user_header is not None:
            found = _by_proxy(connection, proxy, proxy.user_header)
            if found is not None:
                return found
        secret = connection.cookies.get(cookie_name(peer))
        return None if secret is None else self._by_session(secret)

    def has_people(self) -> bool:
        """Whether there is anybody who may sign in, here or elsewhere. Raises StoreError."""
        config = self._config()
        if config.is_signed_in_elsewhere or not config.passwords:
            return True
        if not self._had_people:
            self._had_people = bool(self._people.people())
        return self._had_people

    def offer_set_up(self) -> str:
        """A new secret by which the first user can be made, once."""
        text = secret_texts.new_text()
        self._set_up = self._link(text)
        return text

    def offer_guest(self) -> str:
        """A new secret by which somebody may look, once."""
        text = secret_texts.new_text()
        self._guest_link = self._link(text)
        return text

    def set_up(self, secret: str, name: str, password: str) -> Person:
        """Make the first user, an admin. Raises WebError."""
        self._must_take_passwords()
        try:
            name = passwords.checked_name(name)
        except ValueError as error:
            raise WebError(422, str(error), place="name") from None
        try:
            password = passwords.checked_password(password, name)
        except ValueError as error:
            raise WebError(422, str(error), place="password") from None
        with self._set_up_lock:
            if not self._opens(self._set_up, secret):
                raise WebError(
                    403,
                    "this link has been used or is too old; start `moonwatch web` again for "
                    "another, or make a user with `moonwatch user add`",
                )
            hashed = passwords.hash_of(password)
            person = Person(name, hashed, Role.ADMIN, None, self._clock.now())
            is_first = self._people.add_person(person, only_first=True)
            self._set_up = None
        if not is_first:
            raise WebError(409, "there is a user already: sign in, or ask an admin")
        return person

    def sign_in(self, name: str, password: str, peer: Peer, agent: str) -> tuple[str, Person]:
        """A new session's secret, and whose it is; raises WebError 401, 403 or 429."""
        self._must_take_passwords()
        name = name.strip().lower()[:_LONGEST_NAME]
        account = f"account {name}"
        tries = [(account, OF_ACCOUNT), (f"address {peer.network}", OF_ADDRESS)]
        wait_s = self._people.attempt(tries, self._clock.now())
        if wait_s > 0.0:
            raise WebError(
                429,
                f"too many attempts have failed; try again in {max(1, round(wait_s))} s",
                retry_after_s=wait_s,
            )
        person = self._people.person(name)
        if not passwords.fits(password, None if person is None else person.password):
            raise WebError(401, _NOBODY)
        if person is None or person.disabled_at is not None:
            raise WebError(401, _NOBODY)
        self._people.succeeded(account)
        secret = self.begin_session(person.name, peer, agent)
        # Whatever changes a person ends his sessions: this one must not be of the time before.
        if self._people.person(name) != person:
            self._end_session(secret_texts.digest_of(secret))
            raise WebError(401, _NOBODY)
        return secret, person

    def begin_session(
        self,
        who: str,
        peer: Peer,
        agent: str,
        role: Role | None = None,
        cameras: tuple[str, ...] | None = None,
    ) -> str:
        """A new session's secret; with a role for somebody whom another service knows."""
        secret = secret_texts.new_text()
        now = self._clock.now()
        session = SessionRecord(
            id=secret_texts.new_id(),
            digest=secret_texts.digest_of(secret),
            who=who,
            began_at=now,
            seen_at=now,
            address=peer.address,
            agent=agent[:_LONGEST_AGENT],
            role=role,
            cameras=cameras,
        )
        self._people.add_session(session)
        return secret

    def come_by_link(self, secret: str, peer: Peer, agent: str) -> tuple[str, Visitor]:
        """A guest's new session; raises WebError 403."""
        with self._lock:
            if not self._opens(self._guest_link, secret):
                raise WebError(
                    403,
                    "this link has been used or is too old; start `moonwatch web --guest` again "
                    "for another",
                )
            self._guest_link = None
            cookie = secret_texts.new_text()
            now = self._clock.now()
            digest = secret_texts.digest_of(cookie)
            guest = SessionRecord(secret_texts.new_id(), digest, BY_LINK, now, now, peer.address)
            self._guests[digest] = replace(guest, agent=agent[:_LONGEST_AGENT])
        return cookie, _GUEST

    def note_failure(self, name: str, peer: Peer, journal: "FailureJournal") -> None:
        """Write down that somebody could not sign in. Raises StoreError.

        Of a name that nobody has nothing is kept: it may be a password, in the wrong field.
        """
        known = self._people.person(name.strip().lower()[:_LONGEST_NAME])
        who = Visitor("somebody unknown" if known is None else known.name, frozenset())
        journal.note(who, "failed to sign in", peer.address)

    def sign_out(self, connection: HTTPConnection) -> None:
        """End the session that a request belongs to, if there is one."""
        secret = connection.cookies.get(cookie_name(self.peer(connection)))
        if secret is None:
            return
        digest = secret_texts.digest_of(secret)
        with self._lock:
            if self._guests.pop(digest, None) is not None:
                return
        self._end_session(digest)

    def change_password(self, name: str, old: str, new: str, peer: Peer) -> None:
        """Give oneself another password, which ends all one's sessions. Raises WebError."""
        self._must_take_passwords()
        account = f"account {name}"
        wait_s = self._people.attempt([(account, OF_ACCOUNT)], self._clock.now())
        if wait_s > 0.0:
            why = f"too many attempts have failed; try again in {max(1, round(wait_s))} s"
            raise WebError(429, why, retry_after_s=wait_s)
        person = self._people.person(name)
        if not passwords.fits(old, None if person is None else person.password) or person is None:
            raise WebError(403, "the old password is wrong", place="old")
        self._people.succeeded(account)
        try:
            checked = passwords.checked_password(new, name)
        except ValueError as error:
            raise WebError(422, str(error), place="new") from None
        changed = replace(person, password=passwords.hash_of(checked))
        change = self._people.change_person(changed, person)
        if change is PersonChange.CHANGED:
            raise WebError(409, "somebody else has changed this user meanwhile; try again")
        if change is not PersonChange.DONE:
            raise WebError(404, f"there is no user {name!r}")

    def _must_take_passwords(self) -> None:
        if not self._config().passwords:
            raise WebError(403, "passwords are not taken here (`web.passwords`)")

    def _end_session(self, digest: str) -> None:
        found = self._people.session(digest)
        if found is not None:
            self._people.end_session(found[0].id)

    def _link(self, text: str) -> OneTimeLink:
        return OneTimeLink(secret_texts.digest_of(text), self._clock.monotonic() + _LINK_LASTS_S)

    def _opens(self, link: OneTimeLink | None, secret: str) -> bool:
        given = secret_texts.digest_of(secret)
        if link is None or not hmac.compare_digest(given, link.digest):
            return False
        return self._clock.monotonic() < link.until

    def _by_token(self, given: str) -> Visitor | None:
        scheme, _, token = given.partition(" ")
        token = token.strip()
        body = token.removeprefix(secret_texts.TOKEN_PREFIX)
        if scheme.lower() != "bearer" or body == token or not secret_texts.can_be_text(body):
            return None
        found = self._people.token(secret_texts.digest_of(token))
        now = self._clock.now()
        if found is None or not found[0].is_valid(now):
            return None
        record, maker = found
        if maker is not None and not maker.is_active_admin:
            return None
        if now - (record.used_at or 0.0) >= _SEEN_EVERY_S:
            self._touch(record.id, lambda: self._people.used_token(record.id, now))
        cameras = None if record.cameras is None else frozenset(record.cameras)
        return Visitor(record.who, permissions_of(record.scopes), cameras)

    def _by_session(self, secret: str) -> Visitor | None:
        if not secret_texts.can_be_text(secret):
            return None
        digest, now = secret_texts.digest_of(secret), self._clock.now()
        with self._lock:
            guest = self._guests.get(digest)
        if guest is not None:
            return self._as_guest(guest, now)
        found = self._people.session(digest)
        if found is None or not found[0].is_valid(now):
            return None
        session, person = found
        if now - session.seen_at >= _SEEN_EVERY_S:
            self._touch(session.id, lambda: self._people.saw_session(digest, now))
        config = self._config()
        if session.role is not None:
            # What the provider has said holds for its time, and while that provider is asked.
            oidc = config.oidc
            if oidc is None or now >= session.began_at + oidc.signed_in_for.total_seconds():
                return None
            visitor = Visitor.of_role(session.who, session.role, session.cameras)
            return replace(visitor, session=session.id, is_of_provider=True)
        if not config.passwords or person is None or person.disabled_at is not None:
            return None
        visitor = Visitor.of_role(session.who, person.role, person.cameras)
        return replace(visitor, session=session.id)

    def _as_guest(self, guest: SessionRecord, now: float) -> Visitor | None:
        with self._lock:
            if not guest.is_valid(now):
                self._guests.pop(guest.digest, None)
                return None
            self._guests[guest.digest] = replace(guest, seen_at=now)
        return replace(_GUEST, session=guest.id)

    def _touch(self, what: str, write: Callable[[], None]) -> None:
        """Write down a use, at most now and then, also where the store lets nobody write."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._seen.get(what, float("-inf")) < _SEEN_EVERY_S:
                return
            if len(self._seen) > 10_000:
                self._seen.clear()
            self._seen[what] = now
        try:
            write()
        except StoreError as error:
            logger.warning("that somebody is here could not be written down: %s", error)


def cookie_name(peer: Peer) -> str:
    """The name of the cookie on a connection."""
    return SECURE_COOKIE if peer.is_encrypted else PLAIN_COOKIE


def cookie_header(peer: Peer, secret: str) -> str:
    """The header that gives a browser its session; with an empty secret, that takes it away."""
    lasts = round(LONGEST_SESSION_S) if secret else 0
    secure = "; Secure" if peer.is_encrypted else ""
    name = cookie_name(peer)
    return f"{name}={secret}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Lax{secure}"


def _by_proxy(
    connection: HTTPConnection, proxy: WebProxyConfig, user_header: str
) -> Visitor | None:
    names = connection.headers.getlist(user_header)
    name = names[0].strip() if len(names) == 1 else ""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        return None
    said = connection.headers.getlist(proxy.groups_header)
    groups = [group.strip() for group in ",".join(said).split(",") if group.strip()]
    role = proxy.role_of(groups)
    if role is None:
        raise WebError(403, f"{name} is in no group that may use the application")
    cameras = None if role is Role.ADMIN else proxy.cameras_of(groups)
    return Visitor.of_role(name.lower(), role, cameras)
