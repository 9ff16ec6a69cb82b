"""Logs: one readable line, or one JSON object, for every change of state."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import IO, Literal

from pipeline.core.address import without_secrets

LogFormat = Literal["text", "json"]

# What every LogRecord has; anything else came through `extra` and belongs in the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


# Lines and tabs are part of tracebacks and lists of problems.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, and the extras."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(line, default=str, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    """`08:15:30.250 warning sampling.supervisor: message`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with a traceback below where there is one."""
        clock = _time_of(record)[11:23]
        name = record.name.removeprefix("pipeline.")
        # Words from outside must not command the terminal that shows them.
        message = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", record.getMessage())
        text = f"{clock} {record.levelname.lower():<7} {name}: {message}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return without_secrets(text)


def set_up(
    log_format: LogFormat, level: str = "INFO", stream: IO[str] | None = None
) -> logging.Handler:
    """Send all logs to `stream` (standard error by default); returns the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "libav", "urllib3", "huggingface_hub", "pyvips"):
        # Their lines for every request or picture can carry URLs; our own say what matters.
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return handler


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
