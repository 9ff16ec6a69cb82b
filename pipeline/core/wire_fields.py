"""Readers of single fields of a message: what msgpack unpacked in, a value out, or ValueError."""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

Reader = Callable[[Any], Any]
"""Takes what came and returns the value; raises ValueError with what is wrong."""

MAX_DIGITS = 400
"""Longest number written in digits, far above any count and far below what is slow to read."""


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")  # noqa: TRY004 - all readers raise alike
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")  # noqa: TRY004 - as above
    return value


def whole(value: Any) -> int:
    """A whole number, also one of more than 64 bits, which travels in digits."""
    if isinstance(value, str) and len(value) <= MAX_DIGITS + 1:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{shown(value)} is no whole number")  # noqa: TRY004 - as above
    return value


def finite(value: Any) -> float:
    """A number that is neither infinite nor none."""
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{shown(value)} is no number")
    return float(value)


def many(reader: Reader, exactly: int | None = None) -> Reader:
    """A list, of exactly so many where that is said."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or (exactly is not None and len(value) != exactly):
            raise ValueError(f"{shown(value)} is no list of {exactly or 'any number'}")
        return tuple(map(reader, value))

    return read


def numbers(value: Any) -> tuple[float, ...]:
    """A list of finite numbers; most messages consist of these, so it is quick."""
    # A sum is finite only where each of its terms is.
    if type(value) is list and set(map(type, value)) <= {float} and math.isfinite(sum(value)):
        return tuple(value)
    found: tuple[float, ...] = _any_numbers(value)
    return found


def places(size: int) -> Reader:
    """Places of `size` numbers each, which travel as one list of numbers."""

    def read(value: Any) -> tuple[tuple[float, ...], ...]:
        flat = numbers(value)
        if len(flat) % size:
            raise ValueError(f"{len(flat)} numbers are no places of {size}")
        return tuple(zip(*[iter(flat)] * size, strict=True))

    return read


def flattened(places: Any) -> list[float]:
    """What `places` reads."""
    return list(chain.from_iterable(places))


def optional(reader: Reader) -> Reader:
    """The same, or nothing."""
    return lambda value: None if value is None else reader(value)


def one_of(*words: str) -> Reader:
    """One of these words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{shown(value)} is none of {', '.join(words)}")
        return str(value)

    return read


def shown(value: Any) -> str:
    """A value in a sentence, cut where it is long."""
    text = type(value).__name__ if isinstance(value, list | dict) else ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


_any_numbers = many(finite)
