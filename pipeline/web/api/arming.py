"""What operators do at run time: arm and disarm, switch rules, and change their limits."""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictInt

from pipeline.core.arming import ArmingBook
from pipeline.core.switching import (
    ENABLED,
    MORE_THAN,
    RuleSwitch,
    SwitchBook,
    SwitchKey,
    SwitchTimes,
    SwitchValue,
)
from pipeline.insight.status import armed_at
from pipeline.rules.base import RuleBase
from pipeline.rules.switched import file_limit, instead_of, limit_range, why_not
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["arming"])

_EVER: Final = float("inf")
_Named = Annotated[str, Field(max_length=200)]


class ComingChange(BaseModel):
    """What somebody asked for and does not hold yet."""

    at: float
    """UTC seconds from which it holds."""
    is_armed: bool
    by: str


class ArmedCamera(BaseModel):
    """Whether a camera is armed."""

    camera: str
    is_armed: bool
    since: float | None
    """UTC seconds; null for as long as is known."""
    by: str
    """Who did it; `the plan` where the file did."""
    coming: ComingChange | None
    silent: list[str]
    """Its rules that report nothing now, because of it."""


class ArmingAnswer(BaseModel):
    """The cameras with rules that want to know whether it is armed."""

    cameras: list[ArmedCamera]
    may_all: bool
    """Whether the visitor may arm and disarm all cameras at once."""


class ArmingWish(BaseModel):
    """Arm or disarm a camera, or all of them."""

    camera: _Named | None
    """Null for all cameras."""
    armed: bool


class HandSwitch(BaseModel):
    """That somebody switched something of a rule."""

    since: float
    """UTC seconds; up to a few seconds ahead of what was just asked for."""
    by: str


class HandLimit(BaseModel):
    """The limit of a rule that can be given one."""

    more_than: int | None
    """By the last word; null for no limit."""
    file: int | None
    """What the file says."""
    least: int
    most: int
    by_hand: HandSwitch | None
    """Null where it is as in the file."""


class SwitchedRule(BaseModel):
    """A rule by the last word on it."""

    camera: str
    rule: str
    type: str
    enabled: bool
    """Whether it tells events; it counts in both."""
    off: HandSwitch | None
    """Who switched it off."""
    limit: HandLimit | None
    """Null for a rule that takes no `more_than` by hand."""


class SwitchesAnswer(BaseModel):
    """Every rule of the cameras that the visitor sees."""

    rules: list[SwitchedRule]


class SwitchWish(BaseModel):
    """Switch a rule, or change its limit; what is left out stays."""

    camera: _Named
    rule: _Named
    enabled: bool | None = None
    more_than: StrictInt | None = None
    """Null, where it is there, for what the file says."""


@router.get("/arming")
def arming(visitor: Annotated[Visitor, needs(Permission.LOOK)], state: State) -> ArmingAnswer:
    """Whether each camera is armed that has a rule which asks."""
    return _arming(visitor, state)


@router.post("/arming")
def arm(
    wish: ArmingWish, visitor: Annotated[Visitor, needs(Permission.ARM)], state: State
) -> ArmingAnswer:
    """Arm or disarm; it holds two seconds later, until the plan or somebody says otherwise."""
    if wish.camera is None:
        if visitor.cameras is not None:
            raise WebError(
                403,
                f"{visitor.name} sees some of the cameras and cannot "
                f"{'arm' if wish.armed else 'disarm'} all of them; name one",
                place="camera",
            )
    else:
        _must_be_there(visitor, state, wish.camera)
    state.store.arm(wish.camera, wish.armed, visitor.name)
    action = "armed" if wish.armed else "disarmed"
    state.journal.note(visitor, action, wish.camera or "all cameras")
    return _arming(visitor, state)


@router.get("/switches")
def switches(visitor: Annotated[Visitor, needs(Permission.LOOK)], state: State) -> SwitchesAnswer:
    """How each rule is switched, and its limit beside that of the file."""
    return _switches(visitor, state)


@router.post("/switches")
def switch(
    wish: SwitchWish, visitor: Annotated[Visitor, needs(Permission.ARM)], state: State
) -> SwitchesAnswer:
    """Switch a rule or change its limit; it holds two seconds later, until said otherwise."""
    _must_be_there(visitor, state, wish.camera)
    camera = state.deployment.cameras.get(wish.camera)
    config = None if camera is None else camera.rules.get(wish.rule)
    if config is None:
        raise WebError(404, f"camera {wish.camera} has no rule {wish.rule!r}", place="rule")
    wanted = _wanted(wish)
    if not wanted:
        raise WebError(422, "say what to change: `enabled`, `more_than` or both")
    for key, value in wanted.items():
        why = why_not(config, key, value)
        if why is not None:
            raise WebError(422, why, place=key)
    if MORE_THAN in wanted and limit_range(config) is None:
        why = why_not(config, MORE_THAN, 0)  # it has no limit that could be the file's again
        raise WebError(422, why or "the rule takes no more_than by hand", place=MORE_THAN)
    for key, value in wanted.items():
        state.store.switch(
            wish.camera,
            wish.rule,
            key,
            value,
            visitor.name,
            instead_of=instead_of(config, key),
        )
    state.journal.note(visitor, "switched", f"{wish.camera}/{wish.rule}", _told(wanted))
    return _switches(visitor, state)


def _must_be_there(visitor: Visitor, state: WebState, camera: str) -> None:
    must_see(visitor, camera)
    if camera not in state.deployment.cameras:
        raise WebError(404, f"there is no camera {camera!r}")


def _arming(visitor: Visitor, state: WebState) -> ArmingAnswer:
    deployment, now = state.deployment, state.clock.now()
    book = ArmingBook(state.store.armings)
    book.refresh()
    found = []
    for name, armed in armed_at(deployment, book, now).items():
        if not visitor.sees(name):
            continue
        last, _ = book.last(name, _EVER)
        coming = None
        if last is not None and last.at > now:
            coming = ComingChange(at=last.at, is_armed=last.is_armed, by=last.by)
        unwanted = "disarmed" if armed.is_armed else "armed"
        rules = deployment.cameras[name].rules.items()
        found.append(
            ArmedCamera(
                camera=name,
                is_armed=armed.is_armed,
                since=armed.since,
                by=armed.by,
                coming=coming,
                silent=[rule for rule, config in rules if config.when == unwanted],
            )
        )
    may_all = visitor.may(Permission.ARM) and visitor.cameras is None
    return ArmingAnswer(cameras=found, may_all=may_all)


def _switches(visitor: Visitor, state: WebState) -> SwitchesAnswer:
    deployment = state.deployment
    book = SwitchBook(state.store.switches)
    book.refresh()
    return SwitchesAnswer(
        rules=[
            _switched(SwitchTimes(book, name, rule, deployment.cameras[name].was), config)
            for name in visitor.seen_of(deployment.cameras)
            for rule, config in deployment.cameras[name].rules.items()
        ]
    )


def _switched(times: SwitchTimes, config: RuleBase) -> SwitchedRule:
    """By the last word: what somebody just asked for is what he wants to see."""
    off, allowed, limit = times.enabled(_EVER), limit_range(config), None
    if allowed is not None:
        in_file = file_limit(config)
        limit = HandLimit(
            more_than=times.more_than(_EVER, in_file),
            file=in_file,
            least=allowed.least,
            most=allowed.most,
            by_hand=_by_hand(times.limit(_EVER, in_file)),
        )
    return SwitchedRule(
        camera=times.camera,
        rule=times.rule,
        type=getattr(config, "type", "rule"),
        enabled=off is None,
        off=_by_hand(off),
        limit=limit,
    )


def _by_hand(change: RuleSwitch | None) -> HandSwitch | None:
    return None if change is None else HandSwitch(since=change.at, by=change.by)


def _wanted(wish: SwitchWish) -> dict[SwitchKey, SwitchValue]:
    wanted: dict[SwitchKey, SwitchValue] = {}
    if wish.enabled is not None:
        wanted[ENABLED] = wish.enabled
    if MORE_THAN in wish.model_fields_set:
        wanted[MORE_THAN] = wish.more_than
    return wanted


def _told(wanted: dict[SwitchKey, SwitchValue]) -> str:
    said = []
    if ENABLED in wanted:
        said.append("on" if wanted[ENABLED] else "off")
    if MORE_THAN in wanted:
        limit = wanted[MORE_THAN]
        said.append(f"more_than {'as in the file' if limit is None else limit}")
    return ", ".join(said)
