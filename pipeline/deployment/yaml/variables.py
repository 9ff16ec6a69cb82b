"""`${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$` in every value of a tree."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.core.address import MASK
from pipeline.core.errors import Problem
from pipeline.deployment.problems.suggestions import nearest
from pipeline.deployment.yaml.tree import (
    List,
    Map,
    Node,
    Path,
    Scalar,
    problem_at,
    written_at,
)

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PART = re.compile(
    rf"(?P<dollar>\$\$)|\$\{{(?P<name>{_NAME})(?::(?P<how>[-?])(?P<text>(?:[^}}$]|\$(?!\{{))*))?\}}"
    r"|(?P<odd>\$\{)"
)


def interpolate(
    root: Node, environment: Mapping[str, str]
) -> tuple[Node, list[Problem], frozenset[Path]]:
    """The tree with all references replaced, the problems, and the paths left unchanged."""
    problems: list[Problem] = []
    unresolved: set[Path] = set()

    def visit(node: Node, path: Path) -> Node:
        match node:
            case Map():
                entries = {key: visit(value, (*path, key)) for key, value in node.entries.items()}
                same = all(entries[key] is value for key, value in node.entries.items())
                return node if same else replace(node, entries=entries)
            case List():
                items = tuple(visit(item, (*path, i)) for i, item in enumerate(node.items))
                same = all(new is old for new, old in zip(items, node.items, strict=True))
                return node if same else replace(node, items=items)
            case Scalar() if "$" in node.text and isinstance(node.value, str):
                filler = _Filler(environment)
                filled = filler.fill(node)
                if filler.mistakes:
                    unresolved.add(path)
                told = written_at(root, path)
                problems.extend(problem_at(root, path, text, told) for text in filler.mistakes)
                return filled
        return node

    return visit(root, ()), problems, frozenset(unresolved)


def _is_text(value: str) -> bool:
    """Whether it can be written anywhere; bytes that are not UTF-8 come as lone surrogates."""
    return not any(0xD800 <= ord(character) < 0xE000 for character in value)


@dataclass(slots=True)
class _Filler:
    """Replaces the references of one value."""

    environment: Mapping[str, str]
    mistakes: list[str] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)

    def fill(self, node: Scalar) -> Scalar:
        value = _PART.sub(lambda part: self._replacement(part, masked=False), node.text)
        if self.mistakes:
            return node
        shown = _PART.sub(lambda part: self._replacement(part, masked=True), node.text)
        return replace(
            node,
            value=value,
            text=value,
            origin=replace(node.origin, variables=tuple(self.used)),
            shown=shown if self.used else None,
            hidden=(value, *self.used.values()) if self.used else (),
        )

    def _replacement(self, part: re.Match[str], *, masked: bool) -> str:
        if part["dollar"]:
            return "$"
        if part["odd"]:
            if not masked:
                self.mistakes.append(
                    "has a `${` that is not a valid reference; write ${NAME}, ${NAME:-default} or "
                    "${NAME:?message}, and $$ for a dollar sign"
                )
            return part[0]
        name, how = part["name"], part["how"]
        value = self.environment.get(name)
        if value and not (value.isascii() or _is_text(value)):
            if not masked:
                self.mistakes.append(f"the environment variable {name} is not UTF-8 text")
            return part[0]
        if value or (value is not None and how is None):
            self.used[name] = value
            return MASK if masked else value
        if how == "-":
            return str(part["text"])
        if not masked:
            self.mistakes.append(self._absent(name, part["text"] if how == "?" else None))
        return part[0]

    def _absent(self, name: str, message: str | None) -> str:
        if message:
            return f"the environment variable {name} is not set: {message}"
        guess = nearest(name, self.environment)
        if guess is not None:
            return f"the environment variable {name} is not set; did you mean {guess}?"
        return f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
