"""The day so far, and reports as files."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from pipeline.deployment.capturing import with_named_doors
from pipeline.reports.making import MEDIA_TYPES, ReportFormat, file_name, made
from pipeline.reports.periods import PeriodKind, period
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.caching import ShortMemory, kept_for
from pipeline.web.health.seeing import HealthInShort, health_watch, in_short
from pipeline.web.numbers.choosing import counting, narrowed
from pipeline.web.numbers.files import needing_package, sent_file
from pipeline.web.numbers.today import DayOfSite, DayWish, days_of_sites
from pipeline.web.problems import WebError
from pipeline.web.state import State

router = APIRouter(tags=["numbers"])
_KEEP_S = 10.0


class TodayAnswer(BaseModel):
    """The opening page."""

    now: float
    sites: list[DayOfSite]
    """Those with rules that count."""
    health: HealthInShort


@router.get("/today")
def today(
    visitor: Annotated[Visitor, needs(Permission.MEASURE)],
    state: State,
    request: Request,
    day: Annotated[date | None, Query(description="Another day than the last one.")] = None,
) -> TodayAnswer:
    """The day so far against the same day of the week before, up to this minute."""
    if day is not None and not date(1971, 1, 1) <= day <= date(2400, 1, 1):
        raise WebError(422, f"{day} is too far away; choose a day of the stored time", place="day")
    now = state.clock.now()
    deployment = state.deployment
    rules = counting(deployment, visitor)

    def make() -> list[DayOfSite]:
        wish = DayWish(rules, now, day)
        with state.heavy.turn(visitor.name):
            return days_of_sites(deployment, state.store.history, state.store.audits, wish)

    memory = kept_for(
        request.app, "todays", lambda: ShortMemory[list[DayOfSite]](state.clock, _KEEP_S)
    )
    # Another version of the file is another question.
    key = (state.file.loaded.digest, tuple(rules), day, now // 60)
    return TodayAnswer(
        now=now,
        sites=memory.get(key, make),
        health=in_short(health_watch(request).status(), visitor),
    )


@router.get("/reports/file", response_class=StreamingResponse)
def report_file(
    visitor: Annotated[Visitor, needs(Permission.MEASURE)],
    state: State,
    kind: PeriodKind,
    name: Annotated[
        str, Query(max_length=40, description="Such as 2026-11-26, 2026-W47, 2026-11 or last.")
    ],
    form: Annotated[ReportFormat, Query(alias="format")] = "pdf",
    site: Annotated[
        str | None, Query(max_length=200, description="One of the file's `sites`; its own if none.")
    ] = None,
) -> StreamingResponse:
    """A report of the cameras that the visitor may see, as `moonwatch report` makes it."""
    deployment = state.deployment
    if site is not None and site not in deployment.sites:
        raise WebError(404, f"there is no site {site!r}", place="site")
    place = deployment.site if site is None else deployment.sites[site]
    now = state.clock.now()
    try:
        chosen = period(kind, name, now, place.opening_hours)
    except ValueError as error:
        raise WebError(422, str(error), place="name") from None
    if chosen.span(place.opening_hours)[0] > now:
        raise WebError(422, f"{chosen.title} has not begun yet", place="name")
    seen = narrowed(deployment, counting(deployment, visitor))
    if visitor.cameras is not None:  # what the till sold is against all who came in
        bare = with_named_doors(deployment, site).model_copy(update={"sales": None})
        update = {"site": bare} if site is None else {"sites": {**seen.sites, site: bare}}
        seen = seen.model_copy(update=update)
    state.journal.note(visitor, "exported a report", chosen.name, f"{form}, {place.name}")
    with state.heavy.turn(visitor.name):
        content = needing_package(
            lambda: made(seen, state.store.history, chosen, now, form, site, state.store.audits)
        )
    saved = file_name("report", chosen, form)
    return sent_file(saved, MEDIA_TYPES[form], lambda file: file.write(content))
