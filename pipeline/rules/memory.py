"""Rules keep their memory in dataclasses; here these are turned into JSON and restored exactly."""

from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.core.events import JsonValue
from pipeline.core.ranges import holds_finite


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Versioned(Protocol):
    """A dataclass with a version of its layout."""

    version: ClassVar[int]
    """Increased when a field changes its meaning or type, or one without a default is added. States
    of another version are not read: the rule then starts over."""


T = TypeVar("T", bound=Versioned)


def dump(memory: Versioned) -> JsonValue:
    """A dataclass as JSON values, with its version; floats keep every bit."""
    kind: Any = type(memory)
    dumped: dict[str, JsonValue] = _adapter(kind).dump_python(memory, mode="json")
    return {"version": memory.version, **dumped}


def load(kind: type[T], saved: JsonValue) -> T:
    """The dataclass of a `dump`, also after a round trip through JSON text; raises ValueError.

    Unknown fields are ignored. A state without a version is of version 1, which had none.
    """
    if not isinstance(saved, dict):
        raise ValueError("a state must be a mapping")  # noqa: TRY004 - one error for all bad states
    if saved.get("version", 1) != kind.version:
        raise ValueError(f"it has version {saved['version']!r}; this release reads {kind.version}")
    wanted: Any = kind
    fields = {name: value for name, value in saved.items() if name != "version"}
    try:
        loaded: T = _adapter(wanted).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"`{place}` cannot be read: {first['msg']}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not holds_finite(saved):
        raise ValueError("it holds a number that is beyond any that is measured")
    return loaded
