"""Rules keep what they remember in dataclasses; here these become JSON and come back exactly."""

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from pipeline.core.events import JsonValue

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(memory: object) -> JsonValue:
    """A dataclass as JSON values; floats keep every bit."""
    kind: Any = type(memory)
    dumped: JsonValue = _adapter(kind).dump_python(memory, mode="json")
    return dumped


def load(kind: type[T], saved: JsonValue) -> T:
    """The dataclass of a `dump`, also after a way through JSON text; raises ValueError."""
    wanted: Any = kind
    loaded: T = _adapter(wanted).validate_python(saved)
    return loaded
