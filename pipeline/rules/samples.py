"""Made-up events as rules report them, to try templates with, and to send by hand.

Each has what all events of its type and phase have, and nothing that only some have: a template
that can be filled in for these can be filled in for all.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pipeline.core.arming import ARMING
from pipeline.core.events import REPORT, Event, JsonValue, Phase, Subject, event_id, timestamp
from pipeline.core.switching import SWITCHING
from pipeline.core.tasks import Detect, Task
from pipeline.core.verifying import DETAIL, VERIFIED
from pipeline.rules.base import RuleBase
from pipeline.rules.sequence import SEQUENCE

_Samples = Iterator[tuple[Phase, dict[str, JsonValue]]]
_Makes = Callable[[RuleBase, bool], _Samples]

_BOX = (0.4, 0.3, 0.5, 0.7)
_LASTED_S = 72.5
_ENDED: Final = "over"


def rule_samples(
    camera: str, rule: str, config: RuleBase, task: Task | None, at: float, label: str = ""
) -> Iterator[Event]:
    """Events of a rule; of one that reports none there are none."""
    has_boxes = task is None or isinstance(task, Detect)
    makes = _BY_TYPE.get(_type_of(config))
    if makes is None:
        return
    for phase, data in makes(config, has_boxes):
        since = timestamp(at - _LASTED_S)
        told = {name: since if value == "SINCE" else value for name, value in data.items()}
        if phase != "end":
            told["coverage"] = 0.98
        if config.verify is not None:
            told |= {VERIFIED: "confirmed", DETAIL: {"engine": config.verify.engine or ""}}
        yield Event(
            id=event_id(camera, rule, "7", at - _LASTED_S),
            type=_type_of(config),
            phase=phase,
            camera=camera,
            rule=rule,
            at=at,
            subject=Subject(label or "person", 7, _BOX) if has_boxes else None,
            data=told,
            update=1 if phase == "update" else 0,
        )


def sequence_sample(name: str, camera: str, at: float) -> Event:
    """The event of a sequence."""
    one: dict[str, JsonValue] = {
        "camera": camera,
        "rule": "rule",
        "id": event_id(camera, "rule", "7", at),
        "time": timestamp(at),
    }
    data: dict[str, JsonValue] = {"seconds": 12.5, "first": one, "then": dict(one)}
    return Event(event_id(camera, name, "", at), SEQUENCE, "single", camera, name, at, data=data)


def report_sample(name: str, site: str, at: float) -> Event:
    """The event of a report, without its file."""
    data: dict[str, JsonValue] = {
        "site": site,
        "period": "2026-W47",
        "title": "week 47",
        "file": f"{name}-2026-W47.html",
        "file_type": "text/html",
        "size": 12345,
    }
    return Event(event_id("", name, "", at), REPORT, "single", "", name, at, data=data)


def arming_sample(camera: str, at: float) -> Event:
    """The event that says that something was armed."""
    data: dict[str, JsonValue] = {"armed": True, "by": "command line"}
    return Event(event_id(camera, ARMING, "", at), ARMING, "single", camera, ARMING, at, data=data)


def switching_sample(camera: str, rule: str, at: float) -> Event:
    """The event that says that a rule was switched."""
    data: dict[str, JsonValue] = {"rule": rule, "enabled": False, "by": "command line"}
    id_ = event_id(camera, SWITCHING, rule, at)
    return Event(id_, SWITCHING, "single", camera, SWITCHING, at, data=data)


def health_samples(camera: str, type_: str, at: float) -> Iterator[Event]:
    """The events of a camera's trouble: its beginning and its end."""
    trouble = type_.removeprefix("camera_")
    for phase in ("start", "end"):
        data: dict[str, JsonValue] = {"state": trouble}
        if phase == "end":
            data["seconds"] = _LASTED_S
        id_ = event_id(camera, "camera", trouble, at - _LASTED_S)
        yield Event(
            id_, type_, "start" if phase == "start" else "end", camera, "camera", at, data=data
        )


def sampled_types() -> frozenset[str]:
    """The types of rules of which there are samples."""
    return frozenset(_BY_TYPE)


def _type_of(config: RuleBase) -> str:
    return str(getattr(config, "type", ""))


def _zone(config: RuleBase) -> dict[str, JsonValue]:
    zone = getattr(config, "zone", None)
    return {} if zone is None else {"zone": zone}


def _end(**more: JsonValue) -> dict[str, JsonValue]:
    return {"until": "SINCE", **more, "reason": _ENDED}


def _line_crossing(config: RuleBase, _: bool) -> _Samples:
    data: dict[str, JsonValue] = {"line": getattr(config, "line", "")}
    staff: dict[str, JsonValue] = {} if getattr(config, "staff", None) is None else {"staff": False}
    yield "single", {**data, "direction": "in", "name": "in", "in": 17, "out": 12, **staff}


def _limit(config: RuleBase, _: bool) -> _Samples:
    name, limit = config.limit()  # type: ignore[attr-defined]
    if limit is None:
        return
    data = {**_zone(config), "count": 5, "extreme": 6, name: limit, "since": "SINCE"}
    yield "start", data
    if getattr(config, "update_every", None):
        yield "update", data
    yield "end", {**data, **_end(seconds=_LASTED_S)}


def _dwell(config: RuleBase, _: bool) -> _Samples:
    data = {**_zone(config), "since": "SINCE", "seconds": _LASTED_S}
    yield "start", data
    yield "end", {**data, **_end(visits=3, mean_seconds=45.5)}


def _absence(config: RuleBase, _: bool) -> _Samples:
    data: dict[str, JsonValue] = {**_zone(config), "since": "SINCE", "seconds": _LASTED_S}
    yield "start", data
    yield "end", {**data, **_end()}


def _queue(config: RuleBase, _: bool) -> _Samples:
    same: dict[str, JsonValue] = {**_zone(config), "served": getattr(config, "served", None)}
    if getattr(config, "more_than", None) is not None:
        limit = {"count": 5, "extreme": 6, "more_than": config.more_than}  # type: ignore[attr-defined]
        data = {**same, "about": "length", **limit, "since": "SINCE"}
        yield "start", data
        yield "end", {**data, **_end(seconds=_LASTED_S)}
    if getattr(config, "longer_than", None) is not None:
        data = {**same, "about": "wait", "since": "SINCE", "seconds": _LASTED_S}
        yield "start", data
        yield "end", {**data, **_end(outcome="served")}


def _tailgating(config: RuleBase, _: bool) -> _Samples:
    line = getattr(config, "line", "")
    yield "single", {"line": line, "direction": "in", "seconds": 1.5, "after": 6}


def _wrong_way(config: RuleBase, _: bool) -> _Samples:
    line = getattr(config, "line", None)
    if line is not None:
        yield "single", {"line": line, "direction": getattr(config, "wrong", None)}
        return
    yield "single", {**_zone(config), "along": getattr(config, "along", None), "distance": 2.5}


def _speed(config: RuleBase, _: bool) -> _Samples:
    if getattr(config, "over", None) is None:
        return
    said: dict[str, JsonValue] = {
        **_zone(config),
        "since": "SINCE",
        "kmh": 42.5,
        "uncertainty_kmh": 2.5,
        "over": getattr(config, "over", None),
    }
    yield "start", said
    yield "end", {**said, "mean_kmh": 38.5, **_end(seconds=_LASTED_S)}


def _left_object(config: RuleBase, has_boxes: bool) -> _Samples:
    if not has_boxes:
        data: dict[str, JsonValue] = {"count": 1, "usual": 0, "since": "SINCE"}
        yield "start", data
        yield "end", {**data, **_end(seconds=_LASTED_S)}
        return
    data = {**_zone(config), "since": "SINCE", "seconds": _LASTED_S}
    yield "start", {**data, "alone_since": "SINCE"}
    yield "end", {**data, **_end()}


def _removed_object(config: RuleBase, has_boxes: bool) -> _Samples:
    if not has_boxes:
        yield "single", {"count": 0, "usual": 1, "until": "SINCE"}
        return
    seen: dict[str, JsonValue] = {"since": "SINCE", "until": "SINCE", "seconds": _LASTED_S}
    yield "single", {**_zone(config), **seen, "how": "gone"}


def _condition(config: RuleBase, _: bool) -> _Samples:
    wanted = list(getattr(config, "is_", ()))
    first: JsonValue = wanted[0] if wanted else "yes"
    data: dict[str, JsonValue] = {
        "is": first if len(wanted) <= 1 else [*wanted],
        "answer": first,
        "since": "SINCE",
    }
    yield "start", data
    yield "end", {**data, **_end(seconds=_LASTED_S)}


_BY_TYPE: Final[Mapping[str, _Makes]] = {
    "line_crossing": _line_crossing,
    "occupancy": _limit,
    "count": _limit,
    "crowding": _limit,
    "dwell": _dwell,
    "absence": _absence,
    "queue": _queue,
    "tailgating": _tailgating,
    "wrong_way": _wrong_way,
    "speed": _speed,
    "left_object": _left_object,
    "removed_object": _removed_object,
    "parking": _absence,
    "condition": _condition,
}
