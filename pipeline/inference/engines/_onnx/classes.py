"""Which classes a net knows: by the settings, the file's metadata, or COCO's tables."""

import ast
import json
from collections.abc import Mapping, Sequence

from pipeline.inference.engines._coco import NAMES

_UNUSED_91 = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_80: Mapping[int, str] = dict(enumerate(NAMES))
COCO_91: Mapping[int, str] = dict(
    zip((n for n in range(91) if n not in _UNUSED_91), NAMES, strict=True)
)
"""The numbers that COCO itself gives its 80 names, from 1 to 90 with gaps."""
TABLES = {"coco": COCO_80, "coco91": COCO_91}
_KEYS = ("names", "class_names", "classes", "labels", "id2label", "categories")


def plain(label: str) -> str:
    """A label for comparing: case and spaces do not matter."""
    return " ".join(label.lower().split())


def in_metadata(metadata: Mapping[str, str]) -> dict[int, str] | None:
    """The names by class number that a file's metadata gives, in any usual spelling."""
    by_key = {key.lower(): text for key, text in metadata.items()}
    for key in _KEYS:
        names = _names(by_key.get(key, ""))
        if names:
            return names
    return None


def _names(text: str) -> dict[int, str] | None:
    text = text.strip()
    if not text:
        return None
    value = _value(text)
    if isinstance(value, str):
        parts = value.splitlines() if "\n" in value else value.split(",")
        value = [part.strip() for part in parts if part.strip()]
    if isinstance(value, Mapping):
        try:
            return {int(number): str(name) for number, name in value.items()}
        except (TypeError, ValueError):
            return _turned(value)
    if isinstance(value, Sequence) and all(isinstance(name, str) for name in value):
        return dict(enumerate(value)) or None
    return None


def _turned(value: Mapping[object, object]) -> dict[int, str] | None:
    """Numbers by name, which some files hold."""
    numbers = list(value.values())
    if all(isinstance(number, int) for number in numbers):
        return {int(str(number)): str(name) for name, number in value.items()}
    return None


def _value(text: str) -> object:
    """JSON, or the literal of Python that Ultralytics writes; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
