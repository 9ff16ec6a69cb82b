"""What sinks refused: sent again or dropped, by those who may."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from pipeline.core.address import without_secrets
from pipeline.core.store import Undelivered
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.api.events import SentSaid, finder_of, found_event, sent_of
from pipeline.web.events.sending import send_again
from pipeline.web.problems import WebError
from pipeline.web.state import State

router = APIRouter(tags=["deliveries"])
MOST_SHOWN: Final = 500
_Deliverer = Annotated[Visitor, needs(Permission.DELIVER)]
_Looker = Annotated[Visitor, needs(Permission.LOOK)]


class RefusedSaid(BaseModel):
    """An event that a sink refused."""

    sink: str
    event: str
    """The id of the happening."""
    record_id: str
    camera: str
    rule: str
    at: float
    reason: str
    attempts: int


class RefusedPage(BaseModel):
    """What sinks refused and nobody has dropped."""

    refused: list[RefusedSaid]
    total: int
    """How many there are that the visitor may see."""
    beyond: str | None
    """What brings the next page; null where this is the last one."""


class RefusedChoice(BaseModel):
    """Which of what sinks refused of a happening."""

    event: Annotated[str, Field(max_length=200)]
    sink: Annotated[str, Field(max_length=200)] | None = None
    """Only this sink; all of them where none is named."""


class SettledSaid(BaseModel):
    """What became of it."""

    delivered: int
    dropped: int
    left: int
    trouble: str
    """Why some were not delivered; empty if all were."""
    sent: list[SentSaid]
    """How the happening stands now."""


@router.get("/deliveries/refused")
def refused(
    visitor: _Looker,
    state: State,
    limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = MOST_SHOWN,
    beyond: Annotated[str | None, Query(max_length=250, pattern=r"^[0-9]{1,18}/")] = None,
) -> RefusedPage:
    """What sinks refused, the newest first."""
    position, _, sink = (beyond or "").partition("/")
    last = (int(position), sink) if beyond else None
    happenings = state.store.happenings
    letters = happenings.refused(visitor.cameras, last, limit)
    keys = [letter.record_id[:26] for letter in letters]
    there = {
        stored.position: stored.event
        for one in happenings.happenings(keys).values()
        for stored in one.events
        if visitor.sees(one.camera)
    }
    shown = [
        RefusedSaid(
            sink=letter.sink,
            event=there[letter.position].id,
            record_id=letter.record_id,
            camera=there[letter.position].camera,
            rule=there[letter.position].rule,
            at=there[letter.position].at,
            reason=without_secrets(letter.reason),
            attempts=letter.attempts,
        )
        for letter in letters
        if letter.position in there
    ]
    ends = len(letters) < limit
    return RefusedPage(
        refused=shown,
        total=happenings.refused_count(visitor.cameras),
        beyond=None if ends else f"{letters[-1].position}/{letters[-1].sink}",
    )


@router.post("/deliveries/retry")
def retry(visitor: _Deliverer, state: State, choice: RefusedChoice) -> SettledSaid:
    """Send once more what sinks refused of a happening."""
    letters = _letters(visitor, state, choice)
    done = send_again(state.deployment, state.store, state.clock, letters)
    state.journal.note(visitor, "sent again", choice.event, choice.sink or "all sinks")
    return _settled(
        visitor,
        state,
        choice,
        delivered=sum(one.delivered for one in done),
        dropped=sum(one.gone for one in done),
        left=sum(one.left for one in done),
        trouble=without_secrets(
            "; ".join(f"{one.sink}: {one.trouble}" for one in done if one.trouble)
        ),
    )


@router.post("/deliveries/drop")
def drop(visitor: _Deliverer, state: State, choice: RefusedChoice) -> SettledSaid:
    """Give up what sinks refused of a happening: it stays here, and is sent nowhere."""
    dropped = state.store.discard(_letters(visitor, state, choice))
    state.journal.note(visitor, "dropped", choice.event, choice.sink or "all sinks")
    return _settled(visitor, state, choice, delivered=0, dropped=dropped, left=0, trouble="")


def _letters(visitor: Visitor, state: State, choice: RefusedChoice) -> Sequence[Undelivered]:
    finder = finder_of(state, visitor)
    letters = finder.deliveries.letters_of(found_event(finder, choice.event))
    chosen = [one for one in letters if choice.sink in (None, one.sink)]
    if not chosen:
        who = "no sink" if choice.sink is None else f"sink {choice.sink!r}"
        raise WebError(409, f"{who} refused nothing of this event, or somebody was quicker")
    return chosen


def _settled(
    visitor: Visitor,
    state: State,
    choice: RefusedChoice,
    *,
    delivered: int,
    dropped: int,
    left: int,
    trouble: str,
) -> SettledSaid:
    finder = finder_of(state, visitor)
    return SettledSaid(
        delivered=delivered,
        dropped=dropped,
        left=left,
        trouble=trouble,
        sent=sent_of(finder, found_event(finder, choice.event)),
    )
