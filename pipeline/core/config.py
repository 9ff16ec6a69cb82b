"""The building blocks of deployment files: strict models, durations with units, points, secrets."""

import re
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    WithJsonSchema,
)

from pipeline.core.address import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.core.events import JsonValue
    from pipeline.core.machine import Lack

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
# Longer ones overflow when added to a date.
_LONGEST_S = 100 * 366 * 86400.0
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")
_SPOKEN = re.compile(
    r"(\d+(?:\.\d+)?)\s*((?i:secs?|seconds?|mins|minutes?|hrs?|hours?|days?|weeks?))"
)
_LARGEST = 10**18
_DURATION_PATTERN = r"^(\d+(\.\d+)?\s*(ms|s|min|m|h|d|w)\s*)+$"


class Config(BaseModel):
    """Base of all config values: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=False,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        defer_build=True,  # its validator is built when a file first needs it
    )

    def lacks(self) -> "Iterable[Lack]":
        """What this machine lacks for these settings, nested ones not counted."""
        return ()


def as_written(config: Config, without: Collection[str] = ()) -> "dict[str, JsonValue]":
    """A config as JSON that reads back as the same config, without the fields in `without`.

    Defaults are left out, so that a field added by a later release changes nothing; so are secrets
    and settings that are then empty.
    """
    dumped = config.model_dump(by_alias=True, exclude_defaults=True, exclude=set(without))
    return {name: _plain(value) for name, value in dumped.items() if value != {}}


def _plain(value: Any) -> "JsonValue":
    match value:
        case ByteCount():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case timedelta():
            return f"{value.total_seconds():.6f}s"
        case Secret():
            return None
        case _:
            return str(value)


def all_left_out() -> Any:
    """The default for a field of nested settings, used with `validate_default`: nothing is set.

    A default made by the settings class would build a second validator for that class, next to the
    one inside the model that has the field.
    """
    return {}


def parse_duration(value: Any) -> Any:
    """`500ms`, `10s`, `5m`, `1h30m`, `2d` → timedelta; rejects a number without a unit."""
    if isinstance(value, bool):  # pydantic would take `true` for one second
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueError alone
            "is not a valid duration; write it like 500ms, 10s, 5m, 1h30m or 2d"
        )
    if not isinstance(value, int | float | str):
        return value
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        hint = "0s" if float(text) == 0 else f"{text}s, {text}ms or {text}m"
        raise ValueError(f"a duration needs a unit: write {hint}, not {text}")
    parts = _PART.findall(text)
    if not parts or "".join(f"{n}{u}" for n, u in parts) != re.sub(r"\s", "", text):
        spoken = _SPOKEN.fullmatch(text)
        way_out = f"{spoken[1]}{spoken[2][0].lower()}" if spoken else ""
        raise ValueError(
            f"{text!r} is not a valid duration; write "
            + (way_out or "it like 500ms, 10s, 5m, 1h30m or 2d")
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST_S:
        raise ValueError("is longer than a hundred years; write it like 500ms, 10s, 5m or 2d")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest way to write a duration in a deployment file: `90s` is `1m30s`."""
    total_ms = round(value.total_seconds() * 1000)
    if total_ms % 1000:
        return f"{total_ms}ms"
    seconds, text = total_ms // 1000, ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        text += f"{amount}{unit}" if amount else ""
    return text or "0s"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


def _fraction(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        if value < 0:
            message = "x from the left and y from the top"
        elif value <= 100 and value == int(value):
            message = f"{value:g} % is {value / 100:g}, and 640 of 1280 pixels is 0.5"
        else:
            message = "640 of 1280 pixels is 0.5"
        raise ValueError(
            f"{value:g} is outside 0..1; coordinates are shares of the picture from 0 to 1: "
            f"{message}"
        )
    return value


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B")
_SIZE_UNITS = "kMGT"


class ByteCount(int):
    """A number of bytes that is shown as an operator writes it."""

    __slots__ = ()

    def __str__(self) -> str:
        for power in range(len(_SIZE_UNITS), 0, -1):
            for base, sign in ((1000, ""), (1024, "i")):
                if self and not self % base**power:
                    return f"{self // base**power}{_SIZE_UNITS[power - 1]}{sign}B"
        return f"{int(self)}B"


def parse_size(value: Any) -> ByteCount:
    """`500kB`, `64MB`, `1.5GB`, `1GiB` → bytes; rejects a number without a unit."""
    if isinstance(value, ByteCount):
        return value
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text) and not isinstance(value, bool):
        raise ValueError(f"{text!r} has no unit; write it like 500kB, 100MB or 1GiB")
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a valid size; write it like 500kB, 100MB or 1GiB")
    power = _SIZE_UNITS.upper().find(found[2].upper()) + 1 if found[2] else 0
    size = round(float(found[1]) * (1024 if found[3] else 1000) ** power)
    if not 0 < size <= _LARGEST:
        raise ValueError(f"{text!r} is not a size between 1B and a million TB")
    return ByteCount(size)


_duration_schema = WithJsonSchema(
    {"type": "string", "pattern": _DURATION_PATTERN, "examples": ["500ms", "10s", "5m", "2d"]}
)
Duration = Annotated[timedelta, BeforeValidator(parse_duration), _duration_schema]
"""A length of time, 0s allowed."""
PositiveDuration = Annotated[
    timedelta, BeforeValidator(parse_duration), AfterValidator(_positive), _duration_schema
]
"""A length of time above 0s."""
ByteSize = Annotated[
    ByteCount,
    PlainValidator(parse_size),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d+(\.\d+)?\s*[kKMGT]?i?B$",
            "examples": ["100MB"],
        }
    ),
]
"""A size of files or memory, in bytes."""
Fraction = Annotated[float, AfterValidator(_fraction)]
"""A coordinate or share in 0..1."""
XY = tuple[Fraction, Fraction]
"""A point of the picture, [x, y] in 0..1."""
