"""A time of day as a deployment file writes it, such as 22:00."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DAY_MINUTES = 24 * 60
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


def _parse_clock(value: Any) -> Any:
    """`22:00`; also 1320, which is what YAML 1.1 readers make of an unquoted 22:00."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 60 <= value <= _DAY_MINUTES:
            way_out = f"write {value}:00" if 0 <= value < 25 else 'write it in quotes, like "22:00"'
            raise ValueError(f"{value} is not a time of day; {way_out}")
        return f"{value // 60:02}:{value % 60:02}"
    match = _CLOCK.fullmatch(str(value).strip())
    hours, minutes = (int(match[1]), int(match[2])) if match else (99, 99)
    if minutes > 59 or hours * 60 + minutes > _DAY_MINUTES:
        raise ValueError(f'{value!r} is not a time of day; write it like "22:00", up to "24:00"')
    return f"{hours:02}:{minutes:02}"


TimeOfDay = Annotated[
    str,
    BeforeValidator(_parse_clock),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,2}:\d{2}$"}),
]
"""From "00:00" to "24:00", on a wall clock; always with two digits for the hour."""
