"""Users, tokens and the audit log: for admins."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from pipeline.core.people import (
    JournalQuestion,
    Person,
    PersonChange,
    Role,
    TokenRecord,
    TokenScope,
)
from pipeline.web.access import passwords, secret_texts
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.api.session import Text
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["people"])

Admin = Annotated[Visitor, needs(Permission.ADMINISTER)]
Name = Annotated[str, Path(max_length=64)]
Cameras = Annotated[
    list[Annotated[str, Field(max_length=64)]] | None,
    Field(max_length=1000, description="The cameras that may be seen; null for all."),
]
_DAY_S = 86400.0
_MOST_TOKENS = 200


class PersonInfo(BaseModel):
    """Somebody who may sign in."""

    name: str
    role: Role
    cameras: list[str] | None
    made_at: float
    disabled_at: float | None
    sessions: int
    """How many browsers he has signed in with."""


class NewPerson(BaseModel):
    """A user to be made."""

    name: Text
    password: Text
    role: Role
    cameras: Cameras = None


class PersonPatch(BaseModel):
    """What changes of a user; what is left out stays. His sessions end."""

    password: Text | None = None
    role: Role | None = None
    cameras: Cameras = None
    disabled: bool | None = None


class TokenInfo(BaseModel):
    """A token, without its secret."""

    id: str
    name: str
    scopes: list[TokenScope]
    cameras: list[str] | None
    made_by: str
    made_at: float
    expires_at: float | None
    ended_at: float | None
    used_at: float | None


class NewToken(BaseModel):
    """A token to be made."""

    name: Annotated[str, Field(max_length=64)]
    scopes: Annotated[list[TokenScope], Field(min_length=1, max_length=len(TokenScope))]
    cameras: Cameras = None
    days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """After how many days it ends; null for never."""


class MadeToken(BaseModel):
    """A new token. Its text is told this once."""

    text: str
    token: TokenInfo


class JournalRow(BaseModel):
    """Somebody did something."""

    position: int
    at: float
    who: str
    action: str
    subject: str
    detail: str


class JournalPage(BaseModel):
    """A page of the audit log, the newest first."""

    entries: list[JournalRow]
    before: int | None
    """What the next page is asked with; null where this is the last one."""


@router.get("/people")
def people(visitor: Admin, state: State) -> list[PersonInfo]:
    """All users, by their names."""
    return [_person_info(state, person) for person in state.store.people.people()]


@router.post("/people", status_code=201)
def add_person(wanted: NewPerson, visitor: Admin, state: State) -> PersonInfo:
    """Make a user."""
    name = _checked("name", passwords.checked_name, wanted.name)
    password = _checked("password", passwords.checked_password, wanted.password, name)
    cameras = _known_cameras(state, wanted.cameras, wanted.role)
    hashed = passwords.hash_of(password)
    person = Person(name, hashed, wanted.role, cameras, state.clock.now())
    if not state.store.people.add_person(person):
        raise WebError(409, f"there is a user {name!r} already", place="name")
    state.journal.note(visitor, "made the user", name, _rights(person))
    return _person_info(state, person)


@router.patch("/people/{name}")
def change_person(name: Name, wanted: PersonPatch, visitor: Admin, state: State) -> PersonInfo:
    """Change a user's role, cameras or password, or disable him; his sessions end."""
    person = state.store.people.person(name)
    if person is None:
        raise WebError(404, f"there is no user {name!r}")
    changed, told = person, []
    if wanted.role is not None:
        changed = replace(changed, role=wanted.role)
    given = wanted.model_fields_set
    if "cameras" in given or wanted.role is not None:
        asked = wanted.cameras if "cameras" in given else _list(person.cameras)
        if changed.role is Role.ADMIN and "cameras" not in given:
            asked = None
        changed = replace(changed, cameras=_known_cameras(state, asked, changed.role, person))
        told.append(_rights(changed))
    if wanted.password is not None:
        password = _checked("password", passwords.checked_password, wanted.password, name)
        changed = replace(changed, password=passwords.hash_of(password))
        told.append("another password")
    if wanted.disabled is not None:
        since = person.disabled_at or state.clock.now()
        changed = replace(changed, disabled_at=since if wanted.disabled else None)
        told.append("disabled" if wanted.disabled else "enabled")
    _must_be_done(name, state.store.people.change_person(changed, person))
    state.journal.note(visitor, "changed the user", name, ", ".join(told))
    return _person_info(state, changed)


@router.delete("/people/{name}", status_code=204)
def remove_person(name: Name, visitor: Admin, state: State) -> None:
    """Remove a user: his sessions and the tokens that he made end."""
    _must_be_done(name, state.store.people.remove_person(name))
    state.journal.note(visitor, "removed the user", name)


@router.delete("/people/{name}/sessions", status_code=204)
def end_sessions_of(name: Name, visitor: Admin, state: State) -> None:
    """Sign a user out everywhere."""
    ended = state.store.people.end_sessions(name)
    state.journal.note(visitor, "ended all sessions of", name, str(ended))


@router.get("/tokens")
def tokens(visitor: Admin, state: State) -> list[TokenInfo]:
    """All tokens, the newest first, also those that have ended."""
    return [_token_info(token) for token in state.store.people.tokens()]


@router.post("/tokens", status_code=201)
def add_token(wanted: NewToken, visitor: Admin, state: State) -> MadeToken:
    """Make a token; the answer alone has its text."""
    name = wanted.name.strip()
    if not name or not name.isprintable():
        raise WebError(422, "a token has a name that says who uses it", place="name")
    if visitor.cameras is not None:
        raise WebError(403, "only who sees all cameras can make tokens")
    is_admin = TokenScope.ADMIN in wanted.scopes
    cameras = _known_cameras(state, wanted.cameras, Role.ADMIN if is_admin else Role.VIEWER)
    now = state.clock.now()
    there = [token for token in state.store.people.tokens() if token.is_valid(now)]
    if len(there) >= _MOST_TOKENS:
        raise WebError(409, f"there are {_MOST_TOKENS} tokens already; end some first")
    text = secret_texts.TOKEN_PREFIX + secret_texts.new_text()
    record = TokenRecord(
        id=secret_texts.new_id(),
        digest=secret_texts.digest_of(text),
        name=name,
        scopes=tuple(scope for scope in TokenScope if scope in wanted.scopes),
        made_by=visitor.name,
        made_at=now,
        cameras=cameras,
        expires_at=None if wanted.days is None else now + wanted.days * _DAY_S,
    )
    if not state.store.people.add_token(record):
        why = f"there is, or was, a token {name!r}: its entries in the audit log stay its own"
        raise WebError(409, why, place="name")
    state.journal.note(visitor, "made the token", name, ", ".join(record.scopes))
    return MadeToken(text=text, token=_token_info(record))


@router.delete("/tokens/{token_id}", status_code=204)
def end_token(token_id: Annotated[str, Path(max_length=64)], visitor: Admin, state: State) -> None:
    """End a token at once."""
    if not state.store.people.end_token(token_id, state.clock.now()):
        raise WebError(404, f"there is no token {token_id!r} that has not ended")
    state.journal.note(visitor, "ended the token", token_id)


@router.get("/journal")
def journal(
    visitor: Admin,
    state: State,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    since: Annotated[float | None, Query(ge=0, le=1e11)] = None,
    until: Annotated[float | None, Query(ge=0, le=1e11)] = None,
    who: Annotated[str | None, Query(max_length=128)] = None,
    words: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> JournalPage:
    """The audit log: who looked at what, and who changed what."""
    question = JournalQuestion(before, since, until, who or None, words.strip(), limit + 1)
    found = state.store.people.journal(question)
    rows = [
        JournalRow(
            position=entry.position,
            at=entry.at,
            who=entry.who,
            action=entry.action,
            subject=entry.subject,
            detail=entry.detail,
        )
        for entry in found[:limit]
    ]
    return JournalPage(entries=rows, before=rows[-1].position if len(found) > limit else None)


def _checked(place: str, check: Any, *given: str) -> str:
    try:
        return str(check(*given))
    except ValueError as error:
        raise WebError(422, str(error), place=place) from None


def _known_cameras(
    state: WebState, cameras: list[str] | None, role: Role, before: Person | None = None
) -> tuple[str, ...] | None:
    """The cameras of a list, which the file has; raises WebError."""
    if cameras is None:
        return None
    if role is Role.ADMIN:
        raise WebError(
            422, "an admin sees all cameras: he could give them to himself", place="cameras"
        )
    known = set(state.deployment.cameras)
    known |= set((before.cameras or ()) if before is not None else ())
    for camera in cameras:
        if camera not in known:
            raise WebError(422, f"there is no camera {camera!r}", place="cameras")
    return tuple(sorted(set(cameras)))


def _must_be_done(name: str, change: PersonChange) -> None:
    if change is PersonChange.UNKNOWN:
        raise WebError(404, f"there is no user {name!r}")
    if change is PersonChange.CHANGED:
        raise WebError(409, f"somebody else has changed {name} meanwhile; try again")
    if change is PersonChange.LAST_ADMIN:
        raise WebError(409, f"{name} is the last admin; make somebody else one first")


def _rights(person: Person) -> str:
    seen = "all cameras" if person.cameras is None else ", ".join(person.cameras) or "no camera"
    return f"{person.role}: {seen}"


def _list(cameras: tuple[str, ...] | None) -> list[str] | None:
    return None if cameras is None else list(cameras)


def _person_info(state: WebState, person: Person) -> PersonInfo:
    return PersonInfo(
        name=person.name,
        role=person.role,
        cameras=_list(person.cameras),
        made_at=person.made_at,
        disabled_at=person.disabled_at,
        sessions=len(state.store.people.sessions(person.name)),
    )


def _token_info(token: TokenRecord) -> TokenInfo:
    return TokenInfo(
        id=token.id,
        name=token.name,
        scopes=list(token.scopes),
        cameras=_list(token.cameras),
        made_by=token.made_by,
        made_at=token.made_at,
        expires_at=token.expires_at,
        ended_at=token.ended_at,
        used_at=token.used_at,
    )
