"""Answers in words: as a file names them, and as they are compared."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema


def _as_words(value: Any) -> Any:
    """One answer or several; YAML turns an unquoted `yes` or `no` into true or false."""
    if isinstance(value, list | tuple):
        return tuple(word for part in value for word in _as_words(part))
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    return (str(value),) if isinstance(value, int | float | str) else value


_word = {"type": ["string", "boolean", "number"]}
_words_schema = WithJsonSchema({"anyOf": [_word, {"type": "array", "items": _word, "minItems": 1}]})
Words = Annotated[tuple[str, ...], BeforeValidator(_as_words), _words_schema]
"""One answer or several, as a rule names them."""


def plain(words: str) -> str:
    """Words as they are compared."""
    return " ".join(words.casefold().split()).rstrip(".!")


def yes_or_no(said: str) -> str | None:
    """The yes or no that a longer answer begins with, as in "yes, it is open"."""
    match = re.match(r"(yes|no)\b(?=\s*[,;:.!-])", said)
    return match[1] if match else None
