"""Reads YAML into a tree with line numbers, in the spelling of YAML 1.2.

`yes`, `no`, `on`, `off`, `22:00` and `2026-11-22` remain text; a duplicate key is a mistake; keys
that begin with `x-` are ignored everywhere.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml

from pipeline.core.errors import Problem
from pipeline.deployment.yaml.tree import Key, List, Map, Node, Origin, Path, Scalar, dotted

_TAG = "tag:yaml.org,2002:"
# Far above any deployment. A few lines of nested aliases can expand to billions of values, and deep
# nesting overflows the stack of the C parser, which would crash Python.
_MAX_ALIASED = 100_000
_MAX_DEPTH = 64
# Python refuses to read much longer numbers, and no deployment needs one.
_MAX_DIGITS = 100
# A reference without quotes inside { } or [ ], where its own braces mean a map.
_QUOTED = re.compile(r" (?:'(?!<)[^']{2,}'|\"[^\"]{2,}\")")
_BARE_REFERENCE = re.compile(r"[{\[].*[:,\[]\s*[^\s\"',]*\$\{")
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"

# What YAML allows in a text; a NUL may also come out of an escape such as "\\0".
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_SCALARS = frozenset(_TAG + kind for kind in ("null", "bool", "int", "float", "str", "merge"))
_MAP, _LIST = f"{_TAG}map", f"{_TAG}seq"
_NULLS = frozenset(("~", "null", "Null", "NULL", ""))

_TOO_DEEP = f"is nested more than {_MAX_DEPTH} levels deep"

_base: type = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(_base):  # type: ignore[misc]
    """Composes nodes; what a plain scalar means is decided by the YAML 1.2 core rules below."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Called on entering every node."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            mark = parent.start_mark if parent is not None else None
            raise yaml.composer.ComposerError(None, None, _TOO_DEEP, mark)

    def ascend_resolver(self) -> None:
        """Called on leaving it."""
        self._depth -= 1


for _kind, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", rf"(?:{_FLOAT}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.0123456789")),
    ("merge", r"<<$", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern), _first)


def read_yaml(
    text: str, origin: Callable[[int], Origin] | None = None
) -> tuple[Node | None, list[Problem]]:
    """The tree of a YAML text, None where it is empty or unreadable, and all problems in it.

    `origin` makes a node's origin from its line, counted from 1.
    """
    if (odd := _UNPRINTABLE.search(text)) is not None:
        line = text.count("\n", 0, odd.start()) + 1
        return None, [Problem("", f"has {_named(odd[0])}; delete it", line)]
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return None, [_syntax_problem(error, text)]
    except yaml.YAMLError as error:
        return None, [Problem("", f"is not valid YAML: {str(error).splitlines()[0]}")]
    finally:
        loader.dispose()
    if node is None:
        return None, []
    converter = _NodeBuilder(origin or (lambda line: Origin(line=line)))
    tree = converter.convert(node, ())
    return (None, converter.problems) if converter.overflown else (tree, converter.problems)


def _named(character: str) -> str:
    """A character that cannot be shown, in words."""
    if 0xD800 <= ord(character) < 0xE000:
        return "a character that is not UTF-8 text"
    return f"the unprintable character U+{ord(character):04X}"


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    line = error.problem_mark.line + 1 if error.problem_mark else None
    written = text.splitlines()[line - 1] if line and line <= len(text.splitlines()) else ""
    # What PyYAML quotes may be a piece of a password that lacks quotes.
    problem, advice = _QUOTED.sub("", error.problem or "cannot be read"), ""
    if problem == _TOO_DEEP:
        return Problem("", f"{problem}, more than any deployment needs", line)
    if "\t" in written[: len(written) - len(written.lstrip())]:
        advice = "; indent with spaces, never with tabs"
    elif "mapping values are not allowed" in problem:
        advice = "; put text that contains `: ` in quotes, and check the indentation"
    elif _BARE_REFERENCE.search(written):
        advice = '; inside { } and [ ], write "${NAME}" in quotes'
    elif "cannot start any token" in problem:
        advice = "; put text that begins with %, @ or ` in quotes"
    elif "incompatible YAML document" in problem or "unknown directive" in problem:
        advice = "; remove the line that begins with %"
    elif "expected a single document" in (error.context or ""):
        problem = "contains more than one document; keep one, and remove the `---`"
    elif "undefined alias" in problem:
        advice = "; define the anchor before its alias; put text that begins with * in quotes"
    return Problem("", f"is not valid YAML: {problem}{advice}", line)


class _NodeBuilder:
    """Makes a tree from PyYAML's nodes, and collects the problems in them."""

    def __init__(self, origin: Callable[[int], Origin]) -> None:
        self.problems: list[Problem] = []
        self.overflown = False
        self._origin = origin
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._aliased = 0

    def convert(self, node: yaml.Node, path: Path) -> Node:
        # A node is seen again only through an alias of it, or of something that contains it.
        self._aliased += id(node) in self._seen
        self._seen.add(id(node))
        line = node.start_mark.line + 1
        why = self._overflow(node)
        if self.overflown or why is not None:
            if not self.overflown:
                self._complain(path, line, why or "")
            self.overflown = True
            return Scalar(None, "", self._origin(line))
        tag = node.tag
        if not _is_plain(node):
            tag = f"{_TAG}str"
            self._complain(
                path,
                line,
                "has a tag, which is not supported; put text that begins with ! in quotes, and for "
                "secrets use ${NAME} or `*_file`",
            )
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._map(node, path, line)
            if isinstance(node, yaml.SequenceNode):
                items = (self.convert(item, (*path, i)) for i, item in enumerate(node.value))
                return List(tuple(items), self._origin(line))
            text = node.value
            # Only in double quotes can a character be escaped.
            is_quoted = isinstance(node, yaml.ScalarNode) and node.style == '"'
            if is_quoted and (odd := _UNPRINTABLE.search(text)) is not None:
                self._complain(path, line, f"has {_named(odd[0])}, which no setting can hold")
                text = _UNPRINTABLE.sub("?", text)
            try:
                value = _scalar_value(tag, text)
            except ValueError:  # `!!int abc`
                self._complain(path, line, f"has the tag !!{tag.removeprefix(_TAG)} and is not one")
                value = text
            return Scalar(value, text, self._origin(line))
        finally:
            self._open.remove(id(node))

    def _overflow(self, node: yaml.Node) -> str | None:
        """Why a node is rejected; None where it is not."""
        if id(node) in self._open:
            return "an alias is used inside its own anchor"
        if self._aliased > _MAX_ALIASED:
            return f"its aliases expand to more than {_MAX_ALIASED} values"
        if len(self._open) >= _MAX_DEPTH:
            return f"its aliases nest it more than {_MAX_DEPTH} levels deep"
        return None

    def _map(self, node: yaml.MappingNode, path: Path, line: int) -> Map:
        entries: dict[str, Node] = {}
        key_lines: dict[str, int] = {}
        merged: list[Map] = []
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(path, key_line, "a key must be text, not a list or a map")
            elif key_node.tag == f"{_TAG}merge":
                merged += self._merged(value_node, path)
            elif key_node.value.startswith("x-"):
                continue
            elif key_node.value in entries:
                first = key_lines[key_node.value]
                where = f"on lines {first} and {key_line}" if first != key_line else "on one line"
                message = f"is defined twice, {where}; keep one of them"
                self._complain((*path, key_node.value), key_line, message)
            else:
                name = key_node.value
                entries[name] = self.convert(value_node, (*path, name))
                key_lines[name] = key_line
        return _with_merged(Map(entries, self._origin(line), key_lines), merged)

    def _merged(self, node: yaml.Node, path: Path) -> list[Map]:
        """The maps that `<<:` names, nearest first."""
        value = self.convert(node, path)
        parts = value.items if isinstance(value, List) else (value,)
        if not self.overflown and not all(isinstance(part, Map) for part in parts):
            self._complain(path, node.start_mark.line + 1, "`<<` can only merge maps")
        return [part for part in parts if isinstance(part, Map)]

    def _complain(self, path: tuple[Key, ...], line: int, message: str) -> None:
        self.problems.append(Problem(dotted(path), message, line))


def _is_plain(node: yaml.Node) -> bool:
    """Whether it has no tag, or one of YAML's own that says what it is."""
    if isinstance(node, yaml.ScalarNode):
        return node.tag in _SCALARS
    return bool(node.tag == (_MAP if isinstance(node, yaml.MappingNode) else _LIST))


def _with_merged(own: Map, merged: list[Map]) -> Map:
    entries, lines = dict(own.entries), dict(own.key_lines)
    for part in merged:
        for key, value in part.entries.items():
            if key not in entries:
                entries[key] = value
                lines[key] = part.key_lines[key]
    return Map(entries, own.origin, lines)


def _scalar_value(tag: str, text: str) -> str | int | float | bool | None:
    match tag.removeprefix(_TAG):
        case "null":
            if text not in _NULLS:
                raise ValueError(text)
            return None
        case "bool":
            if text.lower() not in ("true", "false"):
                raise ValueError(text)
            return text.lower() == "true"
        case "int" if len(text) <= _MAX_DIGITS:
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text[2:] if base != 10 else text, base)
        case "float":
            lowered = text.lower().replace(".inf", "inf").replace(".nan", "nan")
            return float(lowered)
    return text
