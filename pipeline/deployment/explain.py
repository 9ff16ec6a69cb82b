"""The deployment as moonwatch understood it: every value, its origin, and no secret."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from pipeline.core.address import MASK, Secret, masked, without_secrets
from pipeline.core.config import ByteCount, format_duration
from pipeline.deployment.loader import Loaded
from pipeline.deployment.problems.validation import hidden_in
from pipeline.deployment.yaml.tree import (
    List,
    Map,
    Node,
    Path,
    Scalar,
    child,
    dotted,
    scalars,
)

_PLAIN = re.compile(r"[A-Za-z][\w ./+-]*(?<! )|(?:\d+(?:ms|min|[smhdw]))+")
_NOT_PLAIN = frozenset({"null", "true", "false"})
# Comments begin here, or two spaces after a longer line.
_COMMENT_COLUMN = 56


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value, or a list of them, ready to be shown."""

    value: Any
    origin: str


_Shown = _Leaf | dict[str, Any]


def explain(loaded: Loaded) -> str:
    """The resolved deployment as YAML, with the origin of each value as a comment.

    Values that came from environment variables or secret files are masked, as are all secrets
    and the credentials in addresses. Without such values the result can be loaded again.
    """
    lines = ["# every value with its origin; secrets are shown as ***"]
    for text, origin in _lines(_shown(loaded.deployment, loaded.tree), 0):
        lines.append(f"{text:<{_COMMENT_COLUMN}}  # {origin}" if origin else text)
    return "\n".join(lines) + "\n"


def explain_data(loaded: Loaded) -> dict[str, Any]:
    """The same for a machine: `config`, and `origins` by dotted path."""
    shown = _shown(loaded.deployment, loaded.tree)
    origins = {dotted(path): leaf.origin for path, leaf in _leaves(shown, ())}
    return {"config": _values(shown), "origins": origins}


def _shown(value: Any, node: Node | None, unwritten: str = "default") -> _Shown:
    """A value as it was written; `unwritten` is the origin of the rest."""
    if isinstance(value, BaseModel):
        if isinstance(node, Scalar):  # settings that were switched on with a word
            unwritten = f"{node.origin}, default"
            node = None
        return {
            key: _shown(below, child(node, key), unwritten) for key, below in _fields(value).items()
        }
    if isinstance(value, Mapping) and (node is None or isinstance(node, Map)):
        return {key: _shown(below, child(node, key), unwritten) for key, below in value.items()}
    if node is None:
        return _Leaf(as_written(value), unwritten)
    return _Leaf(_written(value, node), _origins(node))


def _fields(model: BaseModel) -> dict[str, Any]:
    """A model's values under the keys an operator writes, `type` first."""
    fields = type(model).model_fields.items()
    values = {info.alias or name: getattr(model, name) for name, info in fields}
    return {key: values[key] for key in sorted(values, key=lambda key: key != "type")}


def _written(value: Any, node: Node) -> Any:
    """What the file says, with secrets masked."""
    if isinstance(value, Secret):
        return without_secrets(value.shown() or MASK, hidden_in(node))
    match node:
        case Scalar(shown=str(shown)):
            return _visible(shown)
        case Scalar(value=str(text)):
            return _visible(text)
        case Scalar():
            return node.value
        case List():
            values = list(value) if isinstance(value, list | tuple) else []
            values += [None] * (len(node.items) - len(values))
            return [_written(v, item) for v, item in zip(values, node.items, strict=False)]
        case Map():
            return {key: _written(_part(value, key), n) for key, n in node.entries.items()}


def _visible(text: str) -> str:
    """A text that should hold no secret, with whatever looks like one masked."""
    return masked(text) if "://" in text else without_secrets(text)


def _part(value: Any, key: str) -> Any:
    """What a model or map holds under a key."""
    if isinstance(value, BaseModel):
        return _fields(value).get(key)
    return value.get(key) if isinstance(value, Mapping) else None


def as_written(value: Any) -> Any:
    """A default as an operator would write it."""
    match value:
        case Secret():
            return value.shown() or MASK
        case timedelta():
            return format_duration(value)
        case ByteCount():
            return str(value)
        case datetime():
            return value.isoformat()
        case PurePath():
            return str(value)
        case BaseModel():
            return {key: as_written(below) for key, below in _fields(value).items()}
        case list() | tuple() | set() | frozenset():
            return [as_written(item) for item in value]
        case str():
            return _visible(value)
    return value


def _origins(node: Node) -> str:
    """The origin of a value, and those of its parts that were not written with it."""
    parts = (part for part in scalars(node) if part.origin.line is None or part.shown is not None)
    return "; ".join(dict.fromkeys([str(node.origin), *(str(part.origin) for part in parts)]))


def _lines(shown: _Shown, depth: int) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    assert isinstance(shown, dict)
    for key, below in shown.items():
        if isinstance(below, _Leaf):
            yield f"{indent}{_word(key)}: {flow(below.value)}", below.origin
        elif below:
            yield f"{indent}{_word(key)}:", ""
            yield from _lines(below, depth + 1)
        else:
            yield f"{indent}{_word(key)}: {{}}", "default"


def flow(value: Any) -> str:
    """A value in one line of YAML that reads back as the same."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_word(k)}: {flow(v)}" for k, v in value.items()) + "}"
        case list():
            return f"[{', '.join(map(flow, value))}]"
        case str():
            return _word(value.replace("$", "$$"))
    return json.dumps(value)


def _word(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN:
        return text
    return json.dumps(text, ensure_ascii=False)


def _leaves(shown: _Shown, path: Path) -> Iterator[tuple[Path, _Leaf]]:
    if isinstance(shown, _Leaf):
        yield path, shown
        return
    for key, below in shown.items():
        yield from _leaves(below, (*path, key))


def _values(shown: _Shown) -> Any:
    if isinstance(shown, _Leaf):
        return shown.value
    return {key: _values(below) for key, below in shown.items()}
