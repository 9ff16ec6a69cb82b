"""The tree of a deployment file: every value with its origin. Trees never change; edits copy."""

from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.core.errors import Problem

Key = str | int
Path = tuple[Key, ...]
DEFAULTS = "defaults"
"""The key of the settings merged into every camera."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written, and where its parts came from."""

    line: int | None = None
    """Line of the file, from 1; None for what is not in the file."""
    file: str | None = None
    """The included file, as the glob found it; None for the deployment file itself."""
    override: str | None = None
    """The path of the `--set` that gave the value."""
    from_defaults: bool = False
    """Written under `defaults:` and merged into a camera."""
    variables: tuple[str, ...] = ()
    """Environment variables that it contains."""
    secret_file: str | None = None
    """The file that an `x_file` key named."""
    chosen: str | None = None
    """Why the value was filled in, if it was not written."""

    def __str__(self) -> str:
        """The origin in words, such as `line 12, from ${CAM_PASSWORD}`."""
        parts = []
        if self.override is not None:
            parts.append("--set")
        if self.chosen is not None:
            parts.append(self.chosen)
        if self.line is not None:
            file = f"{self.file} " if self.file is not None else ""
            parts.append(f"{file}line {self.line}" + (" (defaults)" if self.from_defaults else ""))
        if self.variables:
            parts.append("from " + ", ".join(f"${{{name}}}" for name in self.variables))
        if self.secret_file is not None:
            parts.append(f"from the file {self.secret_file}")
        return ", ".join(parts) or "default"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `text` is what was written, before YAML made it a number or boolean."""

    value: str | int | float | bool | None
    text: str
    origin: Origin
    shown: str | None = None
    """The text with values from variables and files masked, if it has any."""
    hidden: tuple[str, ...] = ()
    """What must not appear in any message."""


@dataclass(frozen=True, slots=True)
class Map:
    """Keys and their values, in the file's order."""

    entries: MappingType[str, "Node"]
    origin: Origin
    key_lines: MappingType[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class List:
    """Values in a row."""

    items: tuple["Node", ...]
    origin: Origin


Node = Scalar | Map | List


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    match node:
        case Scalar():
            return node.value
        case Map():
            return {key: plain(child) for key, child in node.entries.items()}
        case List():
            return [plain(child) for child in node.items]


def child(node: Node | None, key: Key) -> Node | None:
    """What a map holds under a key, or a list at an index; None where there is nothing."""
    match node:
        case Map():
            return node.entries.get(str(key))
        case List() if isinstance(key, int) and 0 <= key < len(node.items):
            return node.items[key]
    return None


def find(node: Node | None, path: Path) -> Node | None:
    """The node at a path, or None."""
    for key in path:
        node = child(node, key)
    return node


def put(node: Node, path: Path, new: Node) -> Node:
    """The tree with `new` at `path`; missing maps on the way are created."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(node, List):
        items = list(node.items)
        items[int(key)] = put(items[int(key)], rest, new)
        return replace(node, items=tuple(items))
    below = child(node, key)
    if not isinstance(below, Map | List):
        below = Map({}, new.origin)
    entries = dict(node.entries) if isinstance(node, Map) else {}
    entries[str(key)] = put(below, rest, new)
    return Map(entries, node.origin, node.key_lines if isinstance(node, Map) else {})


def without(node: Node, path: Path) -> Node:
    """The tree without the node at `path`; the same tree where there is none."""
    below = child(node, path[0])
    if below is None:
        return node
    if len(path) > 1:
        return put(node, path[:1], without(below, path[1:]))
    if isinstance(node, List):
        return replace(node, items=tuple(x for i, x in enumerate(node.items) if i != path[0]))
    if isinstance(node, Map):
        return replace(node, entries={k: v for k, v in node.entries.items() if k != path[0]})
    return node


def line_at(root: Node, path: Path) -> int | None:
    """The line of the key at the end of a path, or of the nearest node above it."""
    node: Node | None = root
    line = root.origin.line
    for key in path:
        holder, node = node, child(node, key)
        key_line = holder.key_lines.get(str(key)) if isinstance(holder, Map) else None
        if node is None:
            return key_line or line
        written_at = key_line or node.origin.line or line
        line = written_at if node.origin.override is None else None
    return line


def file_at(root: Node, path: Path) -> str | None:
    """The included file of that line; None for the deployment file itself."""
    node: Node | None = root
    file = root.origin.file
    for key in path:
        node = child(node, key)
        if node is None:
            break
        file = node.origin.file
    return file


def problem_at(root: Node, path: Path, message: str, shown: Path | None = None) -> Problem:
    """A problem with the node at `path`, at its line; `shown` is the path it names instead."""
    place = dotted(path if shown is None else shown)
    return Problem(place, message, line_at(root, path), file_at(root, path))


def written_at(root: Node, path: Path) -> Path:
    """The path under which a camera's value was written: its own, or that under `defaults`."""
    node = find(root, path)
    return (DEFAULTS, *path[2:]) if node is not None and node.origin.from_defaults else path


def scalars(node: Node) -> Iterator[Scalar]:
    """Every scalar below a node."""
    match node:
        case Scalar():
            yield node
        case Map():
            for below in node.entries.values():
                yield from scalars(below)
        case List():
            for below in node.items:
                yield from scalars(below)


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node with its path, a holder before what it holds."""
    yield path, node
    if isinstance(node, Map):
        for key, below in node.entries.items():
            yield from walk(below, (*path, key))
    elif isinstance(node, List):
        for index, below in enumerate(node.items):
            yield from walk(below, (*path, index))


def dotted(path: Path) -> str:
    """A path as an operator writes it: `cameras.door.tasks.people`."""
    return ".".join(str(key) for key in path)
