"""An event is something that happened, as a rule saw it; on the wire it is CloudEvents 1.0 JSON."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args
from urllib.parse import quote

from pipeline.core.ranges import LONGEST_NAME, MOST_ORDINAL, is_finite, is_moment, nearest_moment

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
Phase = Literal["start", "update", "end", "single"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
TYPE_PREFIX = "io.moonwatch"
REPORT = "report"
"""The type of the events that carry a report: their rule is its name, and they have no camera."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about: a track, where there is one."""

    label: str
    track: int | None = None
    box: tuple[float, float, float, float] | None = None
    """(x_min, y_min, x_max, y_max) in 0..1 of the frame at the event's time."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `id` names the happening; its start, updates and end share it."""

    id: str
    type: str
    """The rule's type, such as `line_crossing`, or `camera` for a camera's own health."""
    phase: Phase
    camera: str
    rule: str
    at: float
    """UTC seconds, in capture time."""
    subject: Subject | None = None
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    update: int = 0
    """Counts the updates of one happening, from 1; 0 for other phases."""
    seq: int | None = None
    """The frame that led to the event, where there is one; `run` and `seq` identify the picture."""
    run: str | None = None
    media: tuple[str, ...] = ()
    """References to stored pictures, relative to the media folder."""
    position: int | None = field(default=None, compare=False, repr=False)
    """Where it stands in the store's order of arrival; None before it is there. No part of what
    happened, and of what is sent."""

    @property
    def record_id(self) -> str:
        """Unique for each phase of each happening: the key that identifies duplicates."""
        match self.phase:
            case "single":
                return self.id
            case "update":
                return f"{self.id}.update-{self.update}"
            case phase:
                return f"{self.id}.{phase}"

    def with_media(self, *references: str) -> "Event":
        """The same event with references to stored pictures."""
        return replace(self, media=self.media + references)


def is_about_health(event: Event) -> bool:
    """Whether it is about trouble with a camera itself, not about what a rule saw."""
    return event.rule == "camera" and event.type.startswith("camera_")


def event_id(camera: str, rule: str, subject: str, started_at: float) -> str:
    """A deterministic id: the same camera, rule, subject and start time give the same 26 letters.

    The start time is rounded to milliseconds, so that a float's last bits never matter.
    """
    text = "\x1f".join((camera, rule, subject, str(round(started_at * 1000))))
    return hashlib.blake2b(text.encode(), digest_size=13).hexdigest()


def timestamp(at: float) -> str:
    """RFC 3339 in UTC with milliseconds, such as `2026-11-22T08:15:30.250Z`.

    What lies outside the years 1900 to 2200, as only a damaged record can, is shown as their edge.
    """
    moment = datetime.fromtimestamp(round(nearest_moment(at), 3), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_cloudevent(event: Event, site: str) -> dict[str, JsonValue]:
    """The event as CloudEvents 1.0 JSON; `source` and `id` together are unique."""
    data: dict[str, JsonValue] = {
        "camera": event.camera,
        "rule": event.rule,
        "phase": event.phase,
        "happening": event.id,
    }
    if event.subject is not None:
        subject: dict[str, JsonValue] = {"label": event.subject.label}
        if event.subject.track is not None:
            subject["track"] = event.subject.track
        if event.subject.box is not None:
            subject["box"] = [round(value, 4) for value in event.subject.box]
        data["subject"] = subject
    data.update(event.data)
    if event.media:
        data["media"] = list(event.media)
    return {
        "specversion": "1.0",
        "id": event.record_id,
        "source": f"/moonwatch/{quote(site, safe='')}/{quote(event.camera, safe='')}".rstrip("/"),
        "type": f"{TYPE_PREFIX}.{event.type}.v1",
        "subject": event.rule,
        "time": timestamp(event.at),
        "datacontenttype": "application/json",
        "data": data,
    }


_SURROGATES = re.compile("[\ud800-\udfff]")
# Levels of maps and lists in an event's data.
_DEEPEST = 64


def event_to_json(event: Event) -> str:
    """One line of ASCII JSON; default values are left out.

    JSON has no NaN or infinity: inside `data` they become null, which means unknown.
    """
    record: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "phase": event.phase,
        "camera": event.camera,
        "rule": event.rule,
        "at": event.at,
        "update": event.update or None,
        "seq": event.seq,
        "run": event.run,
        "subject": _subject_to_json(event.subject),
        "data": dict(event.data) or None,
        "media": list(event.media) or None,
    }
    record = {name: value for name, value in record.items() if value is not None}
    try:
        return json.dumps(record, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(record), separators=(",", ":"), allow_nan=False)


def event_from_json(text: str) -> Event:
    """The event that `event_to_json` wrote; raises ValueError for anything else.

    Fields that a later release added are ignored, so that sinks keep working after a downgrade.
    """
    try:
        record = json.loads(text)
    except RecursionError:
        raise ValueError("an event's record is nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("an event's record must be a JSON object")  # noqa: TRY004
    try:
        event = Event(
            id=record["id"],
            type=record["type"],
            phase=record["phase"],
            camera=record["camera"],
            rule=record["rule"],
            at=record["at"],
            subject=_subject_from_json(record.get("subject")),
            data=record.get("data", {}),
            update=record.get("update", 0),
            seq=record.get("seq"),
            run=record.get("run"),
            media=tuple(record.get("media", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"a field of the event's record is missing or malformed: {error}"
        ) from None
    fault = _fault_of(event)
    if fault is not None:
        raise ValueError(f"an event's record {fault}")
    return event


def _fault_of(event: Any) -> str | None:
    """What keeps a record from being an event that every sink can send."""
    if event.phase not in PHASES:
        return f"has the unknown phase {event.phase!r}"
    for name in ("id", "type", "camera", "rule"):
        value = getattr(event, name)
        if not isinstance(value, str) or len(value) > LONGEST_NAME or _SURROGATES.search(value):
            return f"has a `{name}` that is not a name"
    if not is_moment(event.at):
        return "has an `at` that is not a time between 1900 and 2200"
    for name in ("update", "seq"):
        value = getattr(event, name)
        if not (value is None or (type(value) is int and 0 <= value <= MOST_ORDINAL)):
            return f"has a `{name}` that is not a number of frames"
    if not (event.run is None or isinstance(event.run, str)):
        return "has a `run` that is not a text"
    if not all(isinstance(reference, str) for reference in event.media):
        return "has a reference to a picture that is not a text"
    if not isinstance(event.data, dict):
        return "has `data` that are not a map"
    return _fault_of_value(event.data) or _fault_of_subject(event.subject)


def _fault_of_subject(subject: Any) -> str | None:
    if subject is None:
        return None
    box, track = subject.box, subject.track
    if not isinstance(subject.label, str) or not (track is None or type(track) is int):
        return "has a subject that is neither label nor track"
    if box is not None and not (len(box) == 4 and all(map(is_finite, box))):
        return "has a box that is not four numbers"
    return None


def _fault_of_value(value: Any, depth: int = _DEEPEST) -> str | None:
    """What keeps a value from being read again by any reader of JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return "holds a number that is not finite"
    if not isinstance(value, dict | list):
        return None
    if depth == 0:
        return "is nested too deeply"
    inner = value.values() if isinstance(value, dict) else value
    faults = (_fault_of_value(item, depth - 1) for item in inner)
    return next((fault for fault in faults if fault is not None), None)


def _subject_to_json(subject: Subject | None) -> JsonValue:
    if subject is None:
        return None
    box: JsonValue = None if subject.box is None else list(subject.box)
    return {"label": subject.label, "track": subject.track, "box": box}


def _subject_from_json(value: Any) -> Subject | None:
    if value is None:
        return None
    box = value["box"]
    return Subject(value["label"], value["track"], None if box is None else tuple(box))


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
