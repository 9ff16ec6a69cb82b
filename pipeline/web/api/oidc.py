"""Signing in at the provider of `web.oidc`: the browser goes there, and comes back."""

import logging
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from pipeline.core.people import Patience
from pipeline.web.access.entrance import cookie_header
from pipeline.web.access.oidc import (
    OidcArrival,
    OidcEntrance,
    begun_cookie,
    begun_cookie_name,
    local_place,
    place_of,
)
from pipeline.web.access.oidc_claims import OidcError, OidcFailure
from pipeline.web.access.peer import Peer
from pipeline.web.access.visitor import Visitor
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

logger = logging.getLogger(__name__)
router = APIRouter(tags=["session"])

_OF_ADDRESS = Patience(20)
_MOST_SAID = 4096


# Pages of browsers, and no part of the API that programs use.
@router.get("/session/oidc", include_in_schema=False)
def begin(
    request: Request, state: State, next_place: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """Send the browser to the provider."""
    try:
        begun = _provider(state).begin(next_place)
    except OidcError as error:
        return _failed(error, local_place(next_place))
    answer = RedirectResponse(begun.address, 303)
    answer.headers.append("Set-Cookie", begun_cookie(state.entrance.peer(request), begun.cookie))
    return answer


@router.get("/session/oidc/back", include_in_schema=False)
def come_back(request: Request, state: State) -> Response:
    """Let in who comes from the provider, or say on the page for signing in why not."""
    _provider(state)
    peer = state.entrance.peer(request)
    # One of each: with two of a kind nobody knows which of them another part would read.
    said = {
        name: value
        for name, value in request.query_params.items()
        if len(request.query_params.getlist(name)) == 1 and len(value) <= _MOST_SAID
    }
    cookie = request.cookies.get(begun_cookie_name(peer))
    try:
        arrival = _arrival(state, peer, cookie, said)
    except OidcError as error:
        _note_failure(state, error, peer.address)
        answer = _failed(error, place_of(cookie))
    else:
        answer = _let_in(request, state, arrival)
    answer.headers.append("Set-Cookie", begun_cookie(peer, ""))
    return answer


@router.get("/session/oidc/end", include_in_schema=False)
def go_out(state: State) -> Response:
    """Send the browser to where one signs out at the provider; the session here has ended."""
    try:
        address = _provider(state).way_out()
    except OidcError as error:
        logger.warning("signing out at the provider is not possible: %s", error)
        address = None
    return RedirectResponse(address or "/sign-in", 303)


def _provider(state: WebState) -> OidcEntrance:
    if state.oidc is None or state.deployment.web.oidc is None:
        raise WebError(404, "nobody signs in at a provider here: there is no `web.oidc`")
    return state.oidc


def _arrival(
    state: WebState, peer: Peer, cookie: str | None, said: Mapping[str, str]
) -> OidcArrival:
    people, key = state.store.people, f"provider {peer.network}"
    wait_s = people.attempt([(key, _OF_ADDRESS)], state.clock.now())
    if wait_s > 0.0:
        raise OidcError(OidcFailure.TOO_MANY, f"{peer.network} has to wait {wait_s:.0f} s")
    arrival = _provider(state).finish(cookie, said)
    people.succeeded(key)
    return arrival


def _let_in(request: Request, state: WebState, arrival: OidcArrival) -> Response:
    person, peer = arrival.person, state.entrance.peer(request)
    people = state.store.people
    for session in people.sessions():
        # What the provider said before must not hold on in another browser.
        is_as_before = (session.role, session.cameras) == (arrival.role, arrival.cameras)
        if person.is_called(session.who) and not is_as_before:
            people.end_session(session.id)
    state.entrance.sign_out(request)
    agent = request.headers.get("user-agent", "")
    secret = state.entrance.begin_session(person.who, peer, agent, arrival.role, arrival.cameras)
    visitor = Visitor.of_role(person.who, arrival.role, arrival.cameras)
    detail = f"as {arrival.role}, by {person.issuer}, subject {person.subject}"
    state.journal.note(visitor, "signed in", peer.address, detail)
    answer = RedirectResponse(arrival.next, 303)
    answer.headers.append("Set-Cookie", cookie_header(peer, secret))
    return answer


def _note_failure(state: WebState, error: OidcError, address: str) -> None:
    person, people = error.person, state.store.people
    if person is not None:
        for session in people.sessions():
            if person.is_called(session.who):
                people.end_session(session.id)
    if error.failure not in (OidcFailure.STALE, OidcFailure.TOO_MANY):
        # What any stranger can cause at no cost stands in the log alone.
        who = Visitor("somebody unknown" if person is None else person.who, frozenset())
        detail = f"by the provider: {error.failure}"
        state.journal.note(who, "failed to sign in", address, detail)


def _failed(error: OidcError, next_place: str) -> Response:
    logger.warning("somebody could not sign in at the provider: %s", error)
    wanted = "" if next_place == "/" else f"&next={quote(next_place, safe='')}"
    return RedirectResponse(f"/sign-in?problem={error.failure}{wanted}", 303)
