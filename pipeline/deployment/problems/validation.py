"""Explains pydantic's errors in plain sentences, at the place where the operator wrote them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.core.address import MASK, Secret, secrets_in, without_secrets
from pipeline.deployment.fields import (
    Model,
    description,
    field_at,
    fields_by_key,
    is_secret,
    model_at,
    types_within,
)
from pipeline.deployment.problems.examples import example, number_hint, point_in
from pipeline.deployment.problems.suggestions import hint, meant_type, nearest
from pipeline.deployment.yaml.secret_files import SUFFIX
from pipeline.deployment.yaml.tree import (
    Key,
    List,
    Map,
    Node,
    Path,
    Scalar,
    child,
    file_at,
    find,
    line_at,
    plain,
    scalars,
)

MOST = 500
"""The most mistakes that are told at a time; a wrong file can hold a hundred thousand."""
TOO_MANY = "too_many"
"""The kind of a mistake that stands for those that are not told."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing pydantic rejected: its place in the tree, its kind, and a sentence about it."""

    path: Path
    kind: str
    message: str
    line: int | None = None
    file: str | None = None
    meant: str | None = None
    """For an unknown key or type, the known one that was most likely meant."""


def mistakes_of(error: ValidationError, model: Model, root: Node) -> list[Mistake]:
    """All that is wrong, one `Mistake` for each place, in pydantic's order."""
    data = plain(root)
    found: dict[Path, Mistake] = {}
    # Of a polygon in pixels the first coordinate is told, not each of them.
    lists: dict[tuple[Path, str], int] = {}
    for number, details in enumerate(error.errors(include_url=False, include_input=False)):
        if len(found) >= MOST:
            rest = error.error_count() - number
            message = f"about {rest} more problems are not shown; correct these first"
            found[()] = Mistake((), TOO_MANY, message)
            break
        mistake = _mistake(details, model, root, data)
        mistake = replace(
            mistake, line=line_at(root, mistake.path), file=file_at(root, mistake.path)
        )
        known = found.get(mistake.path)
        if known is None:
            place = (_list_of(mistake.path), mistake.kind)
            if place[0] != mistake.path and place in lists:
                lists[place] += 1
                continue
            lists[place] = 0
            found[mistake.path] = mistake
        elif mistake.message not in known.message and known.kind != "extra_forbidden":
            message = f"{known.message}, or {mistake.message}"
            found[mistake.path] = replace(known, message=message)
    meant = {(*m.path[:-1], m.meant) for m in found.values() if m.kind == "extra_forbidden"}
    # Where a map or `false` may stand and the map has a mistake, that it is not `false` is none.
    maps = {mistake.path[:size] for mistake in found.values() for size in range(len(mistake.path))}
    return [
        mistake
        for mistake in found.values()
        if not (mistake.kind == "missing" and mistake.path in meant)
        and not (mistake.kind == "literal_error" and mistake.path in maps)
    ]


def _list_of(path: Path) -> Path:
    """The path without indexes at its end: that of the list a value is in."""
    size = len(path)
    while size and isinstance(path[size - 1], int):
        size -= 1
    return path[:size]


def hidden_in(node: Node | None) -> set[str]:
    """What no sentence about a node may quote.

    Every value below it that came from outside the file, its variables', and the logins of what
    looks like an address, which may stand in the wrong place.
    """
    found: set[str] = set()
    for scalar in scalars(node) if node else ():
        found.update(text for text in scalar.hidden if text)
        found |= secrets_in(scalar.text)
    return found


def _mistake(details: ErrorDetails, model: Model, root: Node, data: Any) -> Mistake:
    kind, loc = details["type"], details["loc"]
    loc = tuple(key for key in loc if key != "[key]")
    if kind == "missing" and isinstance(loc[-1], int):
        path, kind = _place(root, loc[:-1]), "too_short"
        return Mistake(path, kind, "has too few values; a point is [x, y], such as [0.1, 0.6]")
    if kind == "missing":
        path = (*_place(root, loc[:-1]), loc[-1])
        return Mistake(path, kind, _missing(model_at(model, data, path[:-1]), str(loc[-1])))
    path = _place(root, loc)
    if kind == "extra_forbidden":
        return _unknown_key(path, model_at(model, data, path[:-1]))
    context = details.get("ctx", {})
    node = find(root, path)
    if node is not None and _is_secret_place(model, data, path):
        node = _hidden(node)
    say = _SENTENCES.get(kind)
    if kind == "string_pattern_mismatch":
        message = _misshapen(model_at(model, data, path[:-1]), str(path[-1]) if path else "", node)
    else:
        message = say(context, node) if say else _other(details)
    hidden = hidden_in(node)
    if say is not None and kind not in _QUOTING:
        # These sentences quote nothing from outside the file; one letter would be masked in all
        # of their words.
        hidden = {text for text in hidden if len(text) > _SHORT}
    message = without_secrets(message, hidden)
    if kind in _NUMBERS:
        message += number_hint(node)
    elif kind in _SHAPED and path:
        message += _right_shape(kind, model, data, path, node)
    meant = None
    if kind == "literal_error" and isinstance(node, Scalar) and node.text.isdecimal():
        meant = node.text if context["expected"] == node.text else None
    if kind == "union_tag_invalid":
        expected = re.findall(r"'([^']+)'", context["expected_tags"])
        meant = meant_type(str(context["tag"]), expected) or nearest(str(context["tag"]), expected)
    return Mistake(path, kind, message, meant=meant)


def _right_shape(kind: str, model: Model, data: Any, path: Path, node: Node | None) -> str:
    """`; write it like ...`, if there is something to show."""
    if not _is_secret_place(model, data, path):
        shown = example(model, data, path, node)
        if shown is not None and shown.startswith("[0."):  # a point
            return f"; a point is [x, y], such as {point_in(node) or shown}"
        if kind == "too_long":
            return ""
    else:
        shown = example(model, data, path, None)
    return f"; write it like {shown}" if shown and shown != "text" else ""


def _is_secret_place(model: Model, data: Any, path: Path) -> bool:
    """Whether what stands at a path is, or is written in place of, a secret or a map of them."""
    fields = (field_at(model, data, path[:size]) for size in range(1, len(path) + 1))
    return any(
        issubclass(kind, Secret)
        for info in fields
        if info is not None
        for kind in types_within(info.annotation)
    )


def _hidden(node: Node) -> Node:
    """A node that no sentence quotes; what is written there is a secret from now on."""
    for scalar in scalars(node):
        Secret(scalar.text)
    return replace(node, shown=MASK) if isinstance(node, Scalar) else node


def _place(node: Node | None, loc: tuple[Key, ...]) -> Path:
    """The part of a pydantic location that is a path in the tree: union tags are left out."""
    if not loc or node is None:
        return ()
    skipped = _place(node, loc[1:])
    below = child(node, loc[0])
    if below is None:
        return skipped
    descended = (loc[0], *_place(below, loc[1:]))
    return descended if len(descended) >= len(skipped) else skipped


def _missing(model: Model | None, key: str) -> str:
    meaning = description(model, key) if model else ""
    brief = re.split(r"[.;](?:\s|$)", meaning, maxsplit=1)[0]
    return f"is missing: {brief[:1].lower()}{brief[1:]}" if brief else "is missing"


def _misshapen(model: Model | None, key: str, node: Node | None) -> str:
    """What a text has to look like, in the words of its description: nobody reads patterns."""
    quoted = isinstance(node, Scalar) and node.shown is None and "://" not in node.text
    found = repr(node.text) if quoted and isinstance(node, Scalar) else "what is written here"
    meaning = description(model, key) if model else ""
    return f"{found} is not valid here" + (f"; it is: {meaning.rstrip('.')}" if meaning else "")


def _unknown_key(path: Path, model: Model | None) -> Mistake:
    fields = fields_by_key(model) if model else {}
    known = [*fields, *(f"{key}{SUFFIX}" for key, info in fields.items() if is_secret(info))]
    name = str(path[-1])
    text = f"is not a known key{hint(name, known, 'the keys here are')}"
    return Mistake(path, "extra_forbidden", text, meant=nearest(name, known))


def _other(details: ErrorDetails) -> str:
    error = details.get("ctx", {}).get("error")
    if details["type"] == "value_error" and error is not None:
        return str(error)
    message = details["msg"]
    return message[:1].lower() + message[1:]


def _is(node: Node | None) -> str:
    """`, not ...`: what is there instead."""
    match node:
        case Map():
            return ", not a map"
        case List():
            return ", not a list"
        case Scalar(value=None):
            return ", but it is empty"
        case Scalar(shown=None):
            # An address in a place that is not meant for one may hold anything.
            return ", not an address" if "://" in node.text else f", not {node.text!r}"
    return ""


def _type(context: Mapping[str, Any], node: Node | None) -> str:
    expected = re.findall(r"'([^']+)'", context["expected_tags"])
    name = str(context["tag"])
    meant = meant_type(name, expected)
    way_out = f"; did you mean {meant!r}?" if meant else hint(name, expected)
    return f"{name!r} is not a known type{way_out}"


def _no_type(_context: Mapping[str, Any], node: Node | None) -> str:
    keys = ", ".join(node.entries) if isinstance(node, Map) else ""
    return f"has no `type`{f' (only {keys})' if keys else ''}"


def _choice(context: Mapping[str, Any], node: Node | None) -> str:
    expected = re.findall(r"'([^']*)'", context["expected"]) or [str(context["expected"])]
    if not isinstance(node, Scalar) or node.shown is not None or "://" in node.text:
        return f"must be one of {', '.join(expected)}"
    if node.text in expected:  # text in quotes where a number is meant
        return f"must be {node.text}, without quotes"
    return f"{node.text!r} is not valid here{hint(node.text, expected, 'choose from')}"


def _says(text: str) -> Callable[[Mapping[str, Any], Node | None], str]:
    return lambda context, node: text.format(**context) + _is(node)


def _limit(text: str) -> Callable[[Mapping[str, Any], Node | None], str]:
    def said(context: Mapping[str, Any], _node: Node | None) -> str:
        # The limit of a duration comes in words, such as `1 day`.
        limits = {
            name: f"{value:g}" if isinstance(value, int | float) else value
            for name, value in context.items()
        }
        return text.format(**limits)

    return said


def _too_short(context: Mapping[str, Any], node: Node | None) -> str:
    least, actual = context["min_length"], context["actual_length"]
    return f"needs at least {least} {'entry' if least == 1 else 'entries'} but has {actual}"


def _short_text(context: Mapping[str, Any], node: Node | None) -> str:
    if context["min_length"] == 1:
        return "must not be empty"
    return f"must have at least {context['min_length']} characters"


_SHORT = 3
_QUOTING = frozenset(("union_tag_invalid", "literal_error", "enum"))
_MAP = _says("must be a map of keys and values")
_LIST = _says("must be a list, in [ ]")
_TEXT = _says("must be text")
_WHOLE = _says("must be a whole number")
_NUMBER = _says("must be a number")
_YES = _says("must be yes or no")
_DURATION = _says("must be a duration such as 500ms, 10s or 5m")
_NUMBERS = frozenset(
    ("int_type", "int_parsing", "int_from_float", "float_type", "float_parsing", "less_than_equal")
)
"""Kinds of mistakes for which a percentage is told as a share."""
_SHAPED = frozenset(
    (
        *("dict_type", "mapping_type", "model_type", "model_attributes_type", "task_kind"),
        *("list_type", "tuple_type", "set_type", "frozen_set_type", "string_type"),
        *("union_tag_not_found", "too_long"),
    )
)
"""Kinds of mistakes for which the right shape is shown."""
_SENTENCES: dict[str, Callable[[Mapping[str, Any], Node | None], str]] = {
    "union_tag_invalid": _type,
    "union_tag_not_found": _no_type,
    "literal_error": _choice,
    "enum": _choice,
    "string_type": _TEXT,
    "string_too_short": _short_text,
    "string_too_long": _limit("must have at most {max_length} characters"),
    "path_type": _says("must be a path"),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _YES,
    "bool_parsing": _YES,
    "time_delta_type": _DURATION,
    "time_delta_parsing": _DURATION,
    "dict_type": _MAP,
    "mapping_type": _MAP,
    "model_type": _MAP,
    "model_attributes_type": _MAP,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "greater_than": _limit("must be above {gt}"),
    "greater_than_equal": _limit("must be at least {ge}"),
    "less_than": _limit("must be below {lt}"),
    "less_than_equal": _limit("must be at most {le}"),
    "too_short": _too_short,
    "too_long": _limit("can have at most {max_length} entries but has {actual_length}"),
    "datetime_type": _says("must be a time such as 2026-11-22T08:00:00+01:00"),
    "datetime_parsing": _says("must be a time such as 2026-11-22T08:00:00+01:00"),
    "datetime_from_date_parsing": _says("must be a time such as 2026-11-22T08:00:00+01:00"),
    "timezone_aware": _says("must name its offset from UTC, such as 2026-11-22T08:00:00+01:00"),
}
