"""Events on standard output: a line to read, or a line of JSON."""

import json
import sys
from collections.abc import Sequence
from typing import Literal

from connectors.sinks._base import BaseSinkConfig
from connectors.sinks._text import json_line, printable
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, JsonValue, timestamp, to_cloudevent
from pipeline.core.sinks import SinkContext


class StdoutConfig(BaseSinkConfig):
    """Print events."""

    type: Literal["stdout"] = "stdout"
    format: Literal["text", "json"] = "text"
    """`text` to read, `json` for CloudEvents, one a line."""

    def build(self, context: SinkContext) -> "StdoutSink":
        """A sink that writes to standard output."""
        return StdoutSink(self, context)


class StdoutSink:
    """Prints events; what comes again after a failure is printed again."""

    def __init__(self, config: StdoutConfig, context: SinkContext) -> None:
        self._json = config.format == "json"
        self._context = context

    def send(self, events: Sequence[Event]) -> None:
        """Print and flush; SinkError when the reader is gone."""
        lines = [
            json_line(to_cloudevent(event, self._context.site_of(event))).decode()
            if self._json
            else readable(event) + "\n"
            for event in events
        ]
        try:
            encoding = sys.stdout.encoding or "utf-8"
            text = "".join(lines).encode(encoding, "backslashreplace").decode(encoding)
            sys.stdout.write(text)
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            raise SinkError(f"standard output cannot be written: {error}") from error

    def close(self) -> None:
        """Nothing to let go of; standard output is not ours."""


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
