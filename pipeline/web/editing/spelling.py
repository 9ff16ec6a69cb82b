"""Values as somebody would write them into a file by hand."""

import json
import math
import re
from collections.abc import Mapping

from pipeline.core.events import JsonValue

WIDTH = 100
"""Lines are kept this short where they can be."""
_BARE = re.compile(r"\d+(?:\.\d+)?(?:ms|s|min|m|h|d|w)|[A-Za-z_](?:[\w ./%°+*-]*[\w.%°+*])?")
_KEY = re.compile(r"[A-Za-z0-9_][\w-]*")
_NOT_TEXT = re.compile(r"(?i)~|null|true|false|\.inf|\.nan")
_BREAKS = {"\x85": "\\N", "\u2028": "\\L", "\u2029": "\\P"}


def scalar(value: JsonValue, style: str = "") -> str:
    """A single value; `style` is the quote that it had."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float() if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
            return str(int(value))
        case int() | float():
            return repr(value)
    text = str(value)
    if style == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if style != '"' and _BARE.fullmatch(text) and not _NOT_TEXT.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(_BREAKS.get(character, character) for character in quoted)


def key(name: str) -> str:
    """A key of a map."""
    return name if _KEY.fullmatch(name) else scalar(name, '"')


def inline(value: JsonValue) -> str:
    """A value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(name)}: {inline(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return scalar(value)


def entry(name: str, value: JsonValue, indent: int, step: int, line_end: str) -> str:
    """A key with its value, without its own indent: in one line, or as a block if that is long."""
    flat = f"{key(name)}: {inline(value)}"
    holds_maps = isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values())
    if (
        not isinstance(value, Mapping)
        or not value
        or (not holds_maps and indent + len(flat) <= WIDTH)
    ):
        return flat
    inner = indent + step
    rows = (entry(one, what, inner, step, line_end) for one, what in value.items())
    return f"{key(name)}:" + "".join(f"{line_end}{' ' * inner}{row}" for row in rows)
