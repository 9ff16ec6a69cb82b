"""Events as one line of JSON."""

import json
from typing import Any


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
