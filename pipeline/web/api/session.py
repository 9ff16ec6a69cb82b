"""Signing in and out, one's own password and sessions, and the first user."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from pipeline.core.people import Role, SessionRecord
from pipeline.web.access.entrance import BY_LINK, cookie_header
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["session"])

Text = Annotated[str, Field(max_length=256)]
"""A name, a password or a secret, as it comes; the longest password has so many characters."""


class SignIn(BaseModel):
    """A name with its password, or the secret of a link for guests."""

    name: Text = ""
    password: Text = ""
    link: Text = ""


class SetUp(BaseModel):
    """The first user, with the secret of the link that makes him."""

    link: Text
    name: Text
    password: Text


class NewPassword(BaseModel):
    """Another password for oneself."""

    old: Text
    new: Text


class ConnectionInfo(BaseModel):
    """How the browser reaches the application."""

    is_encrypted: bool
    is_local: bool
    """Whether the browser is on the same machine."""
    warning: str | None
    """What others can read or change on the way; null for nothing."""


class SignInElsewhere(BaseModel):
    """The provider that one may sign in at."""

    label: str
    """What follows "Sign in with"."""
    url: str
    """Where that begins; `next` says where in the application it ends."""


class SessionInfo(BaseModel):
    """Who asks, what he may, and how one signs in."""

    visitor: str | None
    """The name; null for somebody who has to sign in."""
    role: Role | None
    permissions: list[Permission]
    cameras: list[str] | None
    """The cameras that may be seen; null for all."""
    needs_set_up: bool
    """Whether there are no users yet: the first one is made by the link in the terminal."""
    sign_out_url: str | None
    """Where the browser goes to sign out, if not here alone."""
    has_password: bool
    """Whether who asks has a password here, and can change it."""
    takes_passwords: bool
    """Whether one signs in by a password at all."""
    provider: SignInElsewhere | None
    """Where else; null for nowhere."""
    connection: ConnectionInfo


class OneSession(BaseModel):
    """A browser that somebody has signed in with."""

    id: str
    who: str
    began_at: float
    seen_at: float
    address: str
    agent: str
    is_this: bool
    """Whether the question came from it."""


@router.get("/session")
def who_am_i(request: Request, state: State) -> SessionInfo:
    """Who asks, as far as that is known."""
    return _info(request, state, state.doors.visitor(request))


@router.post("/session")
def sign_in(wanted: SignIn, request: Request, response: Response, state: State) -> SessionInfo:
    """Sign in; the cookie of the answer is the session."""
    peer, agent = state.entrance.peer(request), request.headers.get("user-agent", "")
    if wanted.link:
        secret, visitor = state.entrance.come_by_link(wanted.link, peer, agent)
    else:
        try:
            secret, person = state.entrance.sign_in(wanted.name, wanted.password, peer, agent)
        except WebError as error:
            if error.status == 401:
                state.entrance.note_failure(wanted.name, peer, state.journal)
            raise
        visitor = Visitor.of_role(person.name, person.role, person.cameras)
    state.entrance.sign_out(request)
    state.journal.note(visitor, "signed in", peer.address)
    response.headers["Set-Cookie"] = cookie_header(peer, secret)
    return _info(request, state, visitor)


@router.delete("/session", status_code=204)
def sign_out(request: Request, response: Response, state: State) -> None:
    """End the session, if there is one."""
    visitor = state.doors.visitor(request)
    state.entrance.sign_out(request)
    if visitor is not None:
        state.journal.note(visitor, "signed out", "")
    response.headers["Set-Cookie"] = cookie_header(state.entrance.peer(request), "")


@router.post("/set-up")
def set_up(wanted: SetUp, request: Request, response: Response, state: State) -> SessionInfo:
    """Make the first user, an admin, and sign him in."""
    person = state.entrance.set_up(wanted.link, wanted.name, wanted.password)
    peer, agent = state.entrance.peer(request), request.headers.get("user-agent", "")
    visitor = Visitor.of_role(person.name, person.role, person.cameras)
    state.journal.note(visitor, "made the first user", person.name)
    secret = state.entrance.begin_session(person.name, peer, agent)
    response.headers["Set-Cookie"] = cookie_header(peer, secret)
    return _info(request, state, visitor)


@router.put("/password")
def change_password(
    wanted: NewPassword,
    request: Request,
    response: Response,
    visitor: Annotated[Visitor, needs(Permission.ACCOUNT)],
    state: State,
) -> SessionInfo:
    """Give oneself another password: all other sessions end."""
    _person_with_session(visitor)
    peer, agent = state.entrance.peer(request), request.headers.get("user-agent", "")
    state.entrance.change_password(visitor.name, wanted.old, wanted.new, peer)
    state.journal.note(visitor, "changed the password of", visitor.name)
    secret = state.entrance.begin_session(visitor.name, peer, agent)
    response.headers["Set-Cookie"] = cookie_header(peer, secret)
    return _info(request, state, visitor)


@router.get("/sessions")
def sessions(
    visitor: Annotated[Visitor, needs(Permission.ACCOUNT)],
    state: State,
    everybody: Annotated[bool, Query(description="Also those of others; for admins.")] = False,
) -> list[OneSession]:
    """One's own sessions, the last used first."""
    if everybody and not visitor.may(Permission.ADMINISTER):
        raise WebError(403, "only an admin sees the sessions of others")
    found = state.store.people.sessions(None if everybody else visitor.name)
    return [_shown(session, visitor) for session in found]


@router.delete("/sessions/{session_id}", status_code=204)
def end_session(
    session_id: str, visitor: Annotated[Visitor, needs(Permission.ACCOUNT)], state: State
) -> None:
    """End one of one's own sessions, or as an admin anybody's."""
    whose = None if visitor.may(Permission.ADMINISTER) else visitor.name
    if not state.store.people.end_session(session_id, whose):
        raise WebError(404, f"there is no session {session_id!r}")
    state.journal.note(visitor, "ended the session", session_id)


def _person_with_session(visitor: Visitor) -> None:
    if visitor.session is None or visitor.is_of_provider:
        raise WebError(403, "the password is kept where you have signed in, and not here")


def _shown(session: SessionRecord, visitor: Visitor) -> OneSession:
    return OneSession(
        id=session.id,
        who=session.who,
        began_at=session.began_at,
        seen_at=session.seen_at,
        address=session.address,
        agent=session.agent,
        is_this=session.id == visitor.session,
    )


def _info(request: Request, state: WebState, visitor: Visitor | None) -> SessionInfo:
    peer = state.entrance.peer(request)
    web = state.deployment.web
    proxy, oidc = web.proxy, web.oidc
    sign_out_url = None
    if visitor is not None and visitor.is_of_provider:
        sign_out_url = "/api/v1/session/oidc/end"
    elif visitor is not None and visitor.session is None and proxy is not None:
        sign_out_url = proxy.sign_out_url
    is_person = visitor is not None and visitor.role is not None and visitor.name != BY_LINK
    has_session = visitor is not None and visitor.session is not None
    is_of_provider = visitor is not None and visitor.is_of_provider
    warning = None
    if not peer.is_encrypted and not peer.is_local:
        warning = (
            "This connection is not encrypted: whoever is in the same network can read the "
            "password and the pictures. Set up https with `web.tls`, or a proxy that has it."
        )
    return SessionInfo(
        visitor=None if visitor is None else visitor.name,
        role=None if visitor is None else visitor.role,
        permissions=[] if visitor is None else sorted(visitor.permissions),
        cameras=None if visitor is None or visitor.cameras is None else sorted(visitor.cameras),
        needs_set_up=visitor is None and not state.entrance.has_people(),
        sign_out_url=sign_out_url,
        has_password=is_person and has_session and not is_of_provider,
        takes_passwords=web.passwords,
        provider=(
            None
            if oidc is None
            else SignInElsewhere(
                label=oidc.shown_label, url=f"{oidc.application_url}/api/v1/session/oidc"
            )
        ),
        connection=ConnectionInfo(
            is_encrypted=peer.is_encrypted, is_local=peer.is_local, warning=warning
        ),
    )
