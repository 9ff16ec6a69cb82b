"""Logs: one line for a person, or one JSON object for a machine, and nobody else's chatter."""

import io
import json
import logging
from datetime import datetime

from pipeline.telemetry.logs import LogFormat, set_up


def logged(log_format: LogFormat, level: str = "INFO") -> io.StringIO:
    """Where the logs go from now on."""
    stream = io.StringIO()
    set_up(log_format, level, stream)
    return stream


def raised() -> None:
    """Log an error with its traceback."""
    try:
        int("no number")
    except ValueError:
        logging.getLogger("pipeline.sampling.loop").exception("camera %s failed", "door")


def test_a_line_to_read() -> None:
    """Time, level, where, what."""
    stream = logged("text")
    logging.getLogger("pipeline.sampling.loop").warning("camera %s is away", "door")
    clock, level, where, *words = stream.getvalue().split()
    assert datetime.strptime(clock, "%H:%M:%S.%f").microsecond % 1000 == 0
    assert (level, where) == ("warning", "sampling.loop:")
    assert " ".join(words) == "camera door is away"


def test_an_error_shows_where_it_came_from() -> None:
    """The traceback stands below the line."""
    stream = logged("text")
    raised()
    first, second, *_, last = stream.getvalue().splitlines()
    assert first.endswith("camera door failed")
    assert second == "Traceback (most recent call last):"
    assert last.startswith("ValueError: invalid literal")


def test_a_line_for_a_machine() -> None:
    """Extras are keys of their own; a name in another script stays as it is."""
    stream = logged("json")
    logging.getLogger("pipeline.x").info("camera %s is away", "дверь", extra={"camera": "дверь"})
    line = json.loads(stream.getvalue())
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "info",
        "logger": "pipeline.x",
        "message": "camera дверь is away",
        "camera": "дверь",
    }
    assert "дверь" in stream.getvalue()


def test_an_error_is_one_line_for_a_machine() -> None:
    """However many lines its traceback and message have."""
    stream = logged("json")
    raised()
    logging.getLogger("pipeline.x").error("two\nlines", extra={"what": object()})
    first, second = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(first)["exception"]
    assert json.loads(second)["message"] == "two\nlines"


def test_less_than_the_level_is_not_said() -> None:
    """Debugging is silent unless asked for."""
    stream = logged("text", "WARNING")
    logging.getLogger("pipeline.x").info("hello")
    assert stream.getvalue() == ""


def test_setting_up_again_says_nothing_twice() -> None:
    """The last stream alone is written to."""
    first, second = logged("text"), logged("text")
    logging.getLogger("pipeline.x").info("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("hello") == 1


def test_libraries_that_tell_addresses_are_kept_quiet() -> None:
    """A line for each request would hold URLs, and with them tokens."""
    stream = logged("text")
    for name in ("httpx", "httpcore.connection", "urllib3.connectionpool", "pyvips"):
        logging.getLogger(name).info("GET https://hook.example/?token=abc")
    assert stream.getvalue() == ""
