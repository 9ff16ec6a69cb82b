"""Texts with `{{ values }}` of an event in them, in Jinja's language without what could do harm.

They see plain texts, numbers, lists and maps, and cannot run for long or write much.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from connectors.sinks._text import printable, readable
from pipeline.core.events import REPORT, Event, JsonValue
from pipeline.core.ranges import nearest_moment
from pipeline.core.sinks import SinkContext

MOST_BYTES: Final = 8192
"""What a template writes, at most, unless the sink allows more."""


_HIDDEN = (
    "asks for what the event has not; what is to be sent as it is stands between {% raw %} and "
    "{% endraw %}"
)


class TemplateError(ValueError):
    """A template cannot be used, or not for this event; the message is a sentence."""


class TextTemplate(str):
    """A template, as a config holds it; reading one compiles it, so that a faulty one is refused.

    A field of this type is tried by `check` on sample events of every rule that its sink gets.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls.checked,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def checked(cls, text: str) -> Self:
        """A template that can be compiled; TemplateError for any other."""
        _sandbox().compiled(text)
        return cls(text)

    @staticmethod
    def is_one(text: str) -> bool:
        """Whether a text has anything in it that is filled in."""
        return "{{" in text or "{%" in text

    def render(
        self,
        values: Mapping[str, JsonValue],
        *,
        most_bytes: int = MOST_BYTES,
        is_json: bool = False,
    ) -> str:
        """The text for these values; TemplateError where they lack something it asks for.

        With `is_json` the result has to be JSON.
        """
        text: str = _sandbox().rendered(self, values, most_bytes)
        if is_json:
            try:
                json.loads(text)
            except (ValueError, RecursionError) as error:
                raise TemplateError(
                    f"the template does not give JSON: {_place_of(error)}; texts are written "
                    "{{ text | json }}, without quotes around them"
                ) from None
        return text


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """A template of a sink's config, for `check`."""

    path: tuple[str, ...]
    """Where it stands below the sink."""
    template: TextTemplate
    is_json: bool = False
    is_secret: bool = False
    """Whether it must not be quoted."""
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    """What it can name beside `values_of`."""
    most_bytes: int = MOST_BYTES

    def problem_with(self, event: Event, context: SinkContext) -> str | None:
        """Why it cannot be used for an event, as a sentence; None where it can."""
        values = {**values_of(event, context), **self.extra}
        try:
            self.template.render(values, most_bytes=self.most_bytes, is_json=self.is_json)
        except TemplateError as error:
            return f"its template {_HIDDEN}" if self.is_secret else str(error)
        return None


def values_of(event: Event, context: SinkContext) -> dict[str, JsonValue]:
    """What templates can name, as plain texts, numbers, lists and maps.

    `link` and `clip_link` are null where nothing serves files. `picture_note` says why an event
    that should have a picture has none; sinks that send pictures replace it by what they know.
    """
    local = datetime.fromtimestamp(nearest_moment(event.at), ZoneInfo(context.timezone_of(event)))
    subject = event.subject
    clip = clip_reference(event)
    picture = picture_reference(event)
    shown = event.media[0] if event.type == REPORT and event.media else picture
    return {
        "id": event.record_id,
        "happening": event.id,
        "site": context.site_of(event),
        "camera": event.camera,
        "rule": event.rule,
        "type": event.type,
        "phase": event.phase,
        "update": event.update,
        "at": local.strftime("%Y-%m-%d %H:%M:%S"),
        "date": local.strftime("%Y-%m-%d"),
        "time": local.strftime("%H:%M:%S"),
        "iso": local.isoformat(timespec="milliseconds"),
        "unix": round(event.at, 3),
        "text": readable(event),
        "summary": _summary(event, local),
        "subject": {
            "label": subject.label if subject else "",
            "track": subject.track if subject else None,
            "box": [round(value, 4) for value in subject.box] if subject and subject.box else None,
        },
        "data": dict(event.data),
        "media": list(event.media),
        "link": context.link(shown) if shown else None,
        "clip_link": context.link(clip) if clip else None,
        "picture_note": str(event.data.get("snapshot_missing", "")),
    }


_SAID_ELSEWHERE = "coverage snapshot_missing clip_missing since until verified site file_type size"


def _summary(event: Event, local: datetime) -> str:
    """What people want to know at first: `18:30:05 person #7, line step, direction in`."""
    words = [local.strftime("%H:%M:%S")]
    if event.subject is not None and event.subject.label:
        words.append(event.subject.label)
        if event.subject.track is not None:
            words.append(f"#{event.subject.track}")
    facts = [
        f"{name.replace('_', ' ')} {_plain(value)}"
        for name, value in event.data.items()
        if name not in _SAID_ELSEWHERE.split()
        and isinstance(value, str | int | float)
        # A line's `names` give its directions other words; without them both are the same.
        and not (name == "name" and value == event.data.get("direction"))
    ]
    return printable(", ".join([" ".join(words), *facts]))


def _plain(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def picture_reference(event: Event) -> str | None:
    """The event's own picture; of an event that has those of others, the latest."""
    pictures = [one for one in event.media if one.endswith(".jpg")]
    own = [one for one in pictures if one.rpartition("/")[2] == f"{event.record_id}.jpg"]
    return (own or pictures)[-1] if pictures else None


def clip_reference(event: Event) -> str | None:
    """The clip that shows the event, which may not be there yet."""
    clip = event.data.get("clip")
    reference = clip.get("reference") if isinstance(clip, dict) else None
    return reference if isinstance(reference, str) else None


def _sandbox() -> Any:
    """Where templates are read; imported with the first one."""
    return import_module("connectors.sinks._sandbox")


def _place_of(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} in line {error.lineno}, column {error.colno} of the result"
    return "it is nested too deeply"
