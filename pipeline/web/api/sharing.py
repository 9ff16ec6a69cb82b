"""Links to one picture or clip for people who do not sign in: made, listed, ended and opened."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from pipeline.core.shared_links import SharedKind, SharedLink
from pipeline.web.access import secret_texts
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.protection import SHARED
from pipeline.web.access.visitor import Visitor
from pipeline.web.api.events import clip_of, finder_of, found_event
from pipeline.web.caching import kept_for
from pipeline.web.config import WebShareConfig
from pipeline.web.events.files import LooksNoted, file_answer
from pipeline.web.problems import WebError
from pipeline.web.sharing.opening import DAY_S, Admitted, SharedMedia, may_share, opened
from pipeline.web.sharing.page import language_of, refused_page, shared_page
from pipeline.web.state import State, WebState

router = APIRouter(tags=["sharing"])
shared = APIRouter(include_in_schema=False)
"""What a link opens; outside of the API, as nobody has signed in."""
_Sharer = Annotated[Visitor, needs(Permission.SHARE)]
_MOST_LINKS: Final = 100
_BOTH: Final = ["GET", "HEAD"]
_looks = LooksNoted()


class ShareWish(BaseModel):
    """What is to be shared, and for how long."""

    event: Annotated[str, Field(min_length=1, max_length=200)]
    kind: SharedKind
    nth: Annotated[int, Field(ge=1, le=1000)] = 1
    """Which of its pictures, or which part of its clip."""
    days: Annotated[int, Field(ge=1, le=7)] | None = None
    """As many as the file allows, where it is left out."""


class SharedLinkSaid(BaseModel):
    """A link that still opens; not the secret."""

    id: str
    event: str
    kind: SharedKind
    camera: str
    made_by: str
    made_at: float
    until: float
    opened: int
    opened_at: float | None


class MadeLink(BaseModel):
    """A new link."""

    link: SharedLinkSaid
    path: str
    """Its address below that of the application; told only now."""


@router.get("/shared-links")
def shared_links(
    visitor: _Sharer,
    state: State,
    of_all: Annotated[bool, Query(alias="all", description="Of everybody, for admins.")] = False,
) -> list[SharedLinkSaid]:
    """The links that still open, the newest first."""
    if of_all and not visitor.may(Permission.ADMINISTER):
        raise WebError(403, f"{visitor.name} may not do this: it takes {Permission.ADMINISTER}")
    share = state.deployment.web.share
    if share is None:
        return []
    who = None if of_all else visitor.name
    now = state.clock.now()
    found = state.store.shared_links.links(now, who)
    return [
        _said(one, share) for one in found if visitor.sees(one.camera) and _until(one, share) > now
    ]


@router.post("/shared-links")
def share(wish: ShareWish, visitor: _Sharer, state: State) -> MadeLink:
    """Make a link; what it shows is seen by whoever has it, without signing in."""
    config = state.deployment.web.share
    if config is None:
        said = "links without signing in are off; `web: {share: {days: 7}}` in the file allows them"
        raise WebError(409, said)
    if not may_share(state, visitor):
        said = (
            "only users of the application can share: what they may is asked again each time a "
            "link is opened"
        )
        raise WebError(409, said)
    if wish.days is not None and wish.days > config.days:
        raise WebError(422, f"a link opens for {config.days} days at most", place="days")
    one = found_event(finder_of(state, visitor), wish.event)
    if wish.kind is SharedKind.PICTURE:
        there = len(one.pictures)
    else:
        clip = clip_of(state, one)
        there = 0 if clip is None else len(clip.files)
    if there < wish.nth:
        raise WebError(404, f"there is no such {wish.kind} of this event", place="kind")
    text, now = secret_texts.new_text(), state.clock.now()
    link = SharedLink(
        id=secret_texts.new_id(),
        digest=secret_texts.digest_of(text),
        happening=one.id,
        kind=wish.kind,
        nth=wish.nth,
        camera=one.camera,
        made_by=visitor.name,
        made_at=now,
        until=now + (wish.days or config.days) * DAY_S,
    )
    detail = f"link {link.id}, for {wish.days or config.days} days"
    state.journal.note(visitor, f"shared a {link.kind}", f"{one.camera} {one.id}", detail)
    if not state.store.shared_links.add_link(link, _MOST_LINKS):
        raise WebError(409, f"{_MOST_LINKS} links of yours are open: end one of them first")
    return MadeLink(link=_said(link, config), path=f"{SHARED}{text}")


@router.delete("/shared-links/{link_id}", status_code=204)
def end_link(visitor: _Sharer, state: State, link_id: str) -> None:
    """End a link of one's own, or as an admin any; what it showed is not found by it any more."""
    who = None if visitor.may(Permission.ADMINISTER) else visitor.name
    ended = state.store.shared_links.end_link(link_id[:40], who)
    if ended is None:
        raise WebError(404, f"there is no link {link_id[:40]!r} of yours")
    subject = f"{ended.camera} {ended.happening}"
    detail = f"link {ended.id} of {ended.made_by}"
    state.journal.note(visitor, "ended a shared link", subject, detail)


@shared.api_route(f"{SHARED}{{text}}", methods=_BOTH)
def shared_page_of(text: str, request: Request, state: State) -> Response:
    """The page of a link."""
    language = language_of(request.headers.get("accept-language", ""))
    try:
        found = _opened(request, state, text)
    except WebError as error:
        if error.status != 404:
            raise
        return HTMLResponse(refused_page(language), 404)
    if request.method == "GET":
        state.store.shared_links.opened_link(found.link.id, state.clock.now())
    timezone = _timezone(state, found.link.camera)
    return HTMLResponse(shared_page(found, timezone, f"{SHARED}{text}/media", language))


@shared.api_route(f"{SHARED}{{text}}/media", methods=_BOTH)
def shared_media_of(text: str, request: Request, state: State) -> Response:
    """The picture or clip of a link, in the parts that a player asks for."""
    found = _opened(request, state, text)
    # Its own name says more than the page does.
    name = f"{found.link.kind}.{found.reference.rpartition('.')[2]}"
    return file_answer(name, found.content, request.headers, download=False)


def _opened(request: Request, state: WebState, text: str) -> SharedMedia:
    admitted = kept_for(request.app, "shared_admitted", Admitted)
    found = opened(state, admitted, text, state.entrance.peer(request).network)
    link = found.link
    somebody = Visitor(f"link {link.id} of {link.made_by}", frozenset())
    subject = f"{link.camera} {link.happening}"
    _looks.note(state.journal, somebody, f"looked at a shared {link.kind}", subject)
    return found


def _timezone(state: WebState, camera: str) -> str:
    deployment = state.deployment
    if camera in deployment.cameras:
        return deployment.site_of(camera).timezone
    return deployment.site.timezone


def _until(link: SharedLink, share: WebShareConfig) -> float:
    return min(link.until, link.made_at + share.days * DAY_S)


def _said(link: SharedLink, share: WebShareConfig) -> SharedLinkSaid:
    return SharedLinkSaid(
        id=link.id,
        event=link.happening,
        kind=link.kind,
        camera=link.camera,
        made_by=link.made_by,
        made_at=link.made_at,
        until=_until(link, share),
        opened=link.opened,
        opened_at=link.opened_at,
    )
