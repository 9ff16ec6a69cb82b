"""Messages of events to one's own browsers: which devices, and of what."""

import hashlib
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from pipeline.core.pushing import FORGOTTEN_AFTER_S, MOST_DEVICES, PushDevice, PushWishes
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.config import WebPushConfig
from pipeline.web.problems import WebError
from pipeline.web.pushing.desk import PushDesk
from pipeline.web.pushing.sealing import checked_keys
from pipeline.web.pushing.services import LONGEST_ENDPOINT, checked_endpoint
from pipeline.web.state import State, WebState

router = APIRouter(tags=["push"])
_Person = Annotated[Visitor, needs(Permission.ACCOUNT)]
_DeviceId = Annotated[str, Path(max_length=64)]
_Named = Annotated[str, Field(max_length=200)]
_Minute = Annotated[int, Field(ge=0, le=1439)]
_MOST_NAMED: Final = 1000
_LONGEST_AGENT: Final = 200
_LONGEST_PAUSE_S: Final = 86_400.0


class ChosenRule(BaseModel):
    """A rule of a camera; trouble of the camera itself is its rule `camera`."""

    camera: _Named
    rule: _Named


class QuietTime(BaseModel):
    """When nothing is told, by the minutes of the day; past midnight if `until` is smaller."""

    since: _Minute
    until: _Minute


class PushChoice(BaseModel):
    """What somebody wants to be told of, on all his devices."""

    cameras: Annotated[list[_Named], Field(max_length=_MOST_NAMED)] | None = None
    """None for all that he may see."""
    rules: Annotated[list[ChosenRule], Field(max_length=_MOST_NAMED)] | None = None
    """None for all."""
    ends: bool = False
    """Whether also the end of what he was told of."""
    quiet: QuietTime | None = None
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    """Of the quiet hours."""
    pause_s: Annotated[float, Field(ge=0, le=_LONGEST_PAUSE_S)] = 300.0
    """How long after a message nothing more is told of the same rule of the same camera."""


class OwnDevice(BaseModel):
    """One of one's own browsers; its address at the push service is told to nobody."""

    id: str
    agent: str
    """What the browser calls itself."""
    made_at: float
    """UTC seconds, as the other times."""
    seen_at: float
    """When the application was last opened there."""
    until: float | None
    """When it is told nothing more if the application is not opened there; None where that is up
    to a session."""
    told_at: float | None
    trouble: str
    """Why its push service did not take the last message; empty if it did."""


class PushInfo(BaseModel):
    """Whether and how one is told of events."""

    state: Literal["off", "missing", "unknown_person", "on"]
    """Off in the file; a library is missing; somebody whom a proxy knows alone; or on."""
    why: str
    """Why nobody can be told; empty if somebody can."""
    public_key: str | None
    """What a browser subscribes with."""
    devices: list[OwnDevice]
    most_devices: int
    choice: PushChoice


class BrowserKeys(BaseModel):
    """What messages for a browser are encrypted with."""

    p256dh: Annotated[str, Field(max_length=128)]
    auth: Annotated[str, Field(max_length=64)]


class NewDevice(BaseModel):
    """A browser's subscription, as the browser itself says it."""

    endpoint: Annotated[str, Field(max_length=LONGEST_ENDPOINT)]
    keys: BrowserKeys
    language: Literal["en", "de"] = "en"


class TrialResult(BaseModel):
    """What came of a trial message."""

    is_sent: bool
    why: str
    """Why it was not taken; empty if it was."""


@router.get("/push")
def push_info(visitor: _Person, state: State) -> PushInfo:
    """Whether one is told of events, on which devices and of what."""
    desk, store = state.push, state.store.pushing
    config = None if desk is None else desk.config
    lacks = None if desk is None else desk.lacks
    key = None
    found: Literal["off", "missing", "unknown_person", "on"] = "off"
    why = "messages are off: the file has no `web.push`"
    if desk is not None and config is not None:
        if lacks is not None:
            found, why = "missing", lacks
        elif visitor.session is None:
            found, why = "unknown_person", _BY_PROXY
        else:
            found, why, key = "on", "", desk.signer(config).public_key
    wishes = store.wishes().get(visitor.name, PushWishes())
    return PushInfo(
        state=found,
        why=why,
        public_key=key,
        devices=[_shown(device) for device in store.devices(visitor.name)],
        most_devices=MOST_DEVICES,
        choice=_choice(wishes, visitor),
    )


@router.put("/push/choice")
def choose(wanted: PushChoice, visitor: _Person, state: State) -> PushChoice:
    """Say what one wants to be told of."""
    rules = wanted.rules or []
    for camera in {*(wanted.cameras or []), *(one.camera for one in rules)} - {""}:
        must_see(visitor, camera)
    if wanted.timezone not in available_timezones():
        raise WebError(422, f"there is no time zone {wanted.timezone!r}", place="timezone")
    wishes = PushWishes(
        cameras=None if wanted.cameras is None else tuple(dict.fromkeys(wanted.cameras)),
        rules=None if wanted.rules is None else tuple((one.camera, one.rule) for one in rules),
        ends=wanted.ends,
        quiet=None if wanted.quiet is None else (wanted.quiet.since, wanted.quiet.until),
        timezone=wanted.timezone,
        pause_s=wanted.pause_s,
    )
    state.store.pushing.keep_wishes(visitor.name, wishes)
    state.journal.note(visitor, "chose what messages tell of", visitor.name)
    return _choice(wishes, visitor)


@router.post("/push/devices", status_code=201)
def add_device(wanted: NewDevice, request: Request, visitor: _Person, state: State) -> OwnDevice:
    """Be told on this browser; what is known of it already is brought up to date."""
    desk, config = _at_work(state)
    if visitor.session is None:
        raise WebError(409, _BY_PROXY)
    try:
        endpoint = checked_endpoint(wanted.endpoint, config)
    except ValueError as error:
        raise WebError(422, str(error), place="endpoint") from None
    try:
        public_key, auth = checked_keys(wanted.keys.p256dh, wanted.keys.auth)
    except ValueError as error:
        raise WebError(422, str(error), place="keys") from None
    now, people = state.clock.now(), state.store.people
    session = next((s for s in people.sessions(visitor.name) if s.id == visitor.session), None)
    if session is None:
        raise WebError(401, "sign in first")
    device = PushDevice(
        id=hashlib.sha256(endpoint.encode()).hexdigest()[:24],
        who=visitor.name,
        endpoint=endpoint,
        public_key=public_key,
        auth=auth,
        language=wanted.language,
        made_at=now,
        seen_at=now,
        session=session.id,
        is_foreign=session.role is not None,
        agent=request.headers.get("user-agent", "")[:_LONGEST_AGENT],
    )
    is_new = all(one.id != device.id for one in state.store.pushing.devices(visitor.name))
    if not state.store.pushing.add_device(device):
        raise WebError(
            409, f"you are told on {MOST_DEVICES} devices already: remove one of them first"
        )
    if is_new:
        state.journal.note(visitor, "switched messages on", device.id, device.agent)
    desk.look_now()
    return _shown(device)


@router.delete("/push/devices/{device_id}", status_code=204)
def remove_device(device_id: _DeviceId, visitor: _Person, state: State) -> None:
    """Be told nothing more on one of one's own devices."""
    if not state.store.pushing.remove_device(device_id, visitor.name):
        raise WebError(404, f"you have no device {device_id!r}")
    state.journal.note(visitor, "switched messages off", device_id)


@router.post("/push/devices/{device_id}/trial")
def trial(device_id: _DeviceId, visitor: _Person, state: State) -> TrialResult:
    """Send a message to one of one's own devices, to see whether it comes."""
    desk, _ = _at_work(state)
    found = [one for one in state.store.pushing.devices(visitor.name) if one.id == device_id]
    if not found:
        raise WebError(404, f"you have no device {device_id!r}")
    wait_s = desk.trial_wait_s(visitor.name)
    if wait_s > 0:
        raise WebError(429, "one trial after the other: wait a few seconds", retry_after_s=wait_s)
    why = desk.trial(found[0])
    return TrialResult(is_sent=why is None, why=why or "")


_BY_PROXY: Final = (
    "you are known by a proxy alone, which is asked at each request: nobody could say who may "
    "still be told while you are away"
)


def _at_work(state: WebState) -> tuple[PushDesk, WebPushConfig]:
    desk = state.push
    config = None if desk is None else desk.config
    if desk is None or config is None:
        raise WebError(409, "messages are off: the file has no `web.push`")
    if desk.lacks is not None:
        raise WebError(409, desk.lacks)
    return desk, config


def _shown(device: PushDevice) -> OwnDevice:
    return OwnDevice(
        id=device.id,
        agent=device.agent,
        made_at=device.made_at,
        seen_at=device.seen_at,
        until=None if device.is_foreign else device.seen_at + FORGOTTEN_AFTER_S,
        told_at=device.told_at,
        trouble=device.trouble,
    )


def _choice(wishes: PushWishes, visitor: Visitor) -> PushChoice:
    """Of what he may still see: his list of cameras may have changed since."""
    cameras, rules, quiet = wishes.cameras, wishes.rules, wishes.quiet
    return PushChoice(
        cameras=None if cameras is None else visitor.seen_of(cameras),
        rules=None
        if rules is None
        else [ChosenRule(camera=c, rule=r) for c, r in rules if visitor.sees(c)],
        ends=wishes.ends,
        quiet=None if quiet is None else QuietTime(since=quiet[0], until=quiet[1]),
        timezone=wishes.timezone,
        pause_s=wishes.pause_s,
    )
