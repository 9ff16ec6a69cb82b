"""Events as text for stores: exact to the last bit of every float, and back."""

import json
import math
from dataclasses import fields
from typing import Any, get_args

from pipeline.core.events import Event, JsonValue, Phase, Subject

_PHASES = frozenset(get_args(Phase))
_FIELDS = frozenset(field.name for field in fields(Event))


def event_to_json(event: Event) -> str:
    """One line of ASCII JSON; what has its default value is left out.

    JSON has no word for NaN and the infinities: inside `data` they become null, unknown.
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
    """The event that `event_to_json` wrote; ValueError says what is wrong with anything else."""
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("an event's record must be a JSON object")  # noqa: TRY004
    unknown = sorted(record.keys() - _FIELDS)
    if unknown:
        raise ValueError(f"an event's record has unknown fields: {', '.join(unknown)}")
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
        raise ValueError(f"an event's record lacks or garbles {error}") from None
    if event.phase not in _PHASES:
        raise ValueError(f"an event's record has the unknown phase {event.phase!r}")
    return event


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
