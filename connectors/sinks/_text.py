"""Events as one line: of JSON, or of words."""

import json
from typing import Any

from pipeline.core.events import Event, JsonValue, timestamp


def printable(text: str) -> str:
    """A text that cannot break its line or command a terminal: such letters are shown escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def json_line(value: Any) -> bytes:
    """Compact JSON in UTF-8 with a newline; what UTF-8 cannot hold is escaped."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(value, separators=(",", ":")).encode()
    return text + b"\n"


def readable(event: Event) -> str:
    """One line, such as `2026-11-22T08:15:30.250Z door footfall single person #7 direction=in`.

    Words from outside cannot break the line or command the terminal: what is not printable is
    shown escaped.
    """
    words = [timestamp(event.at), event.camera or event.type, event.rule, event.phase]
    if event.subject is not None:
        words.append(event.subject.label)
        if event.subject.track is not None:
            words.append(f"#{event.subject.track}")
    words += [f"{name}={_value(value)}" for name, value in event.data.items()]
    return printable(" ".join(words))


def _value(value: JsonValue) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value if value and " " not in value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
