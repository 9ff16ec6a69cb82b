"""`--set path.to.key=value`: a value that overrides the file, written as YAML."""

import re
from collections.abc import Sequence

from pipeline.core.errors import Problem
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import Key, List, Map, Node, Origin, Path, Scalar, child, put

# Far longer than any path in a deployment.
_MAX_KEYS = 64
_PATH = re.compile(r"[\w.\-]*")
_KEY = re.compile(r"[^.\s=\[\]]+")


def apply_overrides(root: Node, overrides: Sequence[str]) -> tuple[Node, list[Problem]]:
    """The tree with every `path=value` applied, in the order given, and the problems in them."""
    problems: list[Problem] = []
    for override in overrides:
        dotted_path, equals, text = override.partition("=")
        place = f"--set {dotted_path}"
        names = dotted_path.strip().split(".")
        if not equals or len(names) > _MAX_KEYS or not all(map(_KEY.fullmatch, names)):
            # What is not a path may contain a value, which may be a password.
            begin = _PATH.match(dotted_path)
            place = f"--set {begin[0] if begin else ''}".strip()
            problems.append(Problem(place, "write it as path.to.key=value"))
            continue
        value, wrong = _parse(text, dotted_path.strip())
        if wrong:
            problems += [Problem(place, problem.message) for problem in wrong]
            continue
        path = _resolve(root, names)
        if isinstance(path, str):
            problems.append(Problem(place, path))
        else:
            root = put(root, path, value)
    return root, problems


def _parse(text: str, name: str) -> tuple[Node, list[Problem]]:
    origin = Origin(override=name)
    value, problems = read_yaml(text, lambda _line: origin)
    return value or Scalar(None, "", origin), problems


def _resolve(root: Node, names: list[str]) -> Path | str:
    """The path of these names in this tree, or why there is none."""
    path: list[Key] = []
    node: Node | None = root
    for position, name in enumerate(names):
        key: Key = name
        if isinstance(node, List):
            if not name.isdecimal() or int(name) >= len(node.items):
                return (
                    f"{'.'.join(names[:position])} is a list of length {len(node.items)}; "
                    f"use an index from 0 instead of {name!r}"
                )
            key = int(name)
        elif isinstance(node, Scalar) and node.value is not None:
            return f"{'.'.join(names[:position])} is a single value and has no key {name!r}"
        path.append(key)
        node = child(node, key) if isinstance(node, Map | List) else None
    return tuple(path)
