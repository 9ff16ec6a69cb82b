"""Events on standard output: a line to read, or a line of JSON."""

import sys
from collections.abc import Sequence
from typing import Literal

from connectors.sinks._base import BaseSinkConfig
from connectors.sinks._text import json_line, readable
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, to_cloudevent
from pipeline.core.sinks import SinkContext


class StdoutConfig(BaseSinkConfig):
    """Print events."""

    type: Literal["stdout"] = "stdout"
    format: Literal["text", "json"] = "text"
    """`text` to read, `json` for CloudEvents, one a line."""

    @property
    def is_file(self) -> bool:
        """Always."""
        return True

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
