"""Rules keep what they remember in dataclasses; here these become JSON and come back exactly."""

from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.core.events import JsonValue


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Versioned(Protocol):
    """A dataclass that says which layout it has."""

    version: ClassVar[int]
    """Raised when a field changes its meaning or its type, or one without a default comes. States
    of another version are not read: then the rule begins anew."""


T = TypeVar("T", bound=Versioned)


def dump(memory: Versioned) -> JsonValue:
    """A dataclass as JSON values, with its version; floats keep every bit."""
    kind: Any = type(memory)
    dumped: dict[str, JsonValue] = _adapter(kind).dump_python(memory, mode="json")
    return {"version": memory.version, **dumped}


def load(kind: type[T], saved: JsonValue) -> T:
    """The dataclass of a `dump`, also after a way through JSON text; raises ValueError.

    Fields it does not know are passed over. What has no version was written before there were
    any, and is version 1.
    """
    if not isinstance(saved, dict):
        raise ValueError("a state is a map")  # noqa: TRY004 - whatever is no state raises alike
    if saved.get("version", 1) != kind.version:
        raise ValueError(f"it has version {saved['version']!r}, and {kind.version} is read here")
    wanted: Any = kind
    fields = {name: value for name, value in saved.items() if name != "version"}
    try:
        loaded: T = _adapter(wanted).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"`{place}` cannot be read: {first['msg']}") from None
    return loaded
