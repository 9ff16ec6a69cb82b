"""Reads a tree as a pydantic model, or as much of it as is valid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.deployment.problems.validation import TOO_MANY, Mistake, mistakes_of
from pipeline.deployment.yaml.short_forms import write_out
from pipeline.deployment.yaml.tree import (
    List,
    Map,
    Node,
    Origin,
    Path,
    Scalar,
    find,
    plain,
    put,
    without,
)

M = TypeVar("M", bound=BaseModel)
# Each round repairs what the previous one found; mistakes within mistakes do not nest deeper.
_MAX_ROUNDS = 12
# Errors for a number or boolean where text is expected: the text as written may be valid.
_WANTS_TEXT = frozenset({"string_type", "literal_error"})
_NO_TYPE = frozenset({"union_tag_invalid", "union_tag_not_found"})
# Errors for a word where settings are expected that can also be switched on and off.
_WANTS_SWITCH = frozenset({"model_type", "model_attributes_type", "dict_type"})
# `true` is a word where it came from a variable.
_SWITCHES = {
    **dict.fromkeys(("yes", "y", "on", "true", "t", "1"), True),
    **dict.fromkeys(("no", "n", "off", "false", "f", "0"), False),
}


@dataclass(frozen=True, slots=True)
class RemovableParts:
    """The parts of a model that are left out, or replaced, when something in them is wrong.

    Patterns are paths in which `*` stands for any key; the longest match counts.
    """

    removable: Sequence[tuple[str, ...]]
    stand_ins: Mapping[tuple[str, ...], Any]
    """For parts that must be there: values that pass."""
    keeping: Mapping[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    """For parts with references to others: keys that a stand-in keeps, so that they are checked."""
    references: frozenset[tuple[str, ...]] = frozenset()
    """Keys that name other parts: where such a key is missing, any name stands in for it."""
    types_by_reference: Mapping[str, str] = field(default_factory=dict)
    """A type for parts of unknown type, by a key that they have."""

    def likely(self, root: Node, path: Path) -> Map | None:
        """What stands in for a part of unknown type: its references, under a type that has them."""
        there = find(root, path)
        if not isinstance(there, Map):
            return None
        kept = {k: v for k, v in there.entries.items() if self.is_reference((*path, k))}
        kind = next((kind for key, kind in self.types_by_reference.items() if key in kept), None)
        if kind is None:
            return None
        lines = {key: line for key, line in there.key_lines.items() if key in kept}
        return Map({"type": _node(kind), **kept}, there.origin, lines)

    def is_reference(self, path: Path) -> bool:
        """Whether the key at the end of a path names another part."""
        return any(
            len(pattern) == len(path)
            and all(wanted in ("*", key) for wanted, key in zip(pattern, path, strict=True))
            for pattern in self.references
        )

    def matching(self, path: Path) -> tuple[str, ...] | None:
        """The longest pattern that matches the beginning of a path."""
        fitting = [
            pattern
            for pattern in (*self.removable, *self.stand_ins)
            if len(pattern) <= len(path)
            and all(wanted in ("*", key) for wanted, key in zip(pattern, path, strict=False))
        ]
        # Of two of the same length, the one with fewer `*`.
        return max(fitting, key=lambda p: (len(p), sum(key != "*" for key in p)), default=None)


@dataclass(frozen=True, slots=True)
class Draft(Generic[M]):
    """What could be read: the model without its invalid parts, and the mistakes in those."""

    model: M | None
    """None when too much is wrong to read anything."""
    mistakes: tuple[Mistake, ...]
    broken: frozenset[Path]
    """The parts that were left out or replaced."""
    root: Node
    """The tree with its words, numbers and switches as they were meant."""
    mended: Node
    """The tree that was read: with misspelled keys as they were meant, without invalid parts."""


def read_model(root: Node, model: type[M], parts: RemovableParts) -> Draft[M]:
    """Read `root` as `model`; invalid parts are left out one by one until the rest is valid."""
    mistakes: list[Mistake] = []
    broken: set[Path] = set()
    mended = root
    for _ in range(_MAX_ROUNDS):
        try:
            value = model.model_validate(plain(mended))
        except ValidationError as error:
            found = mistakes_of(error, model, mended)
        else:
            return Draft(value, tuple(mistakes), frozenset(broken), root, mended)
        if any(mistake.kind == TOO_MANY for mistake in found):
            mistakes += [one for one in found if _is_new(one, mistakes, broken)]
            break
        meant = _as_meant(mended, found)
        if meant is not mended:
            root, mended = _as_meant(root, found), meant
            continue
        for mistake in found:
            if _is_new(mistake, mistakes, broken):
                mistakes.append(mistake)
        for mistake in found:
            mended = _mend(mended, mistake, parts, broken)
        # A key whose name was corrected may hold a short form.
        mended = write_out(mended)
    return Draft(None, tuple(mistakes), frozenset(broken), root, mended)


def _as_meant(root: Node, found: Sequence[Mistake]) -> Node:
    """The tree with rejected values read another way, where there is one.

    YAML reads `12` and `true` as a number and a boolean; where text is expected they are text. It
    reads `yes` and `off` as text; where settings can be switched on and off, they are switches.
    """
    for mistake in found:
        node = find(root, mistake.path)
        if not isinstance(node, Scalar):
            continue
        if mistake.kind in _WANTS_TEXT and isinstance(node.value, int | float):
            root = put(root, mistake.path, replace(node, value=node.text))
        elif mistake.kind == "literal_error" and mistake.meant == node.text and node.shown:
            # A variable's value is text, also where the file would hold a number.
            root = put(root, mistake.path, replace(node, value=int(node.text)))
        elif mistake.kind in _WANTS_SWITCH and not isinstance(node.value, bool):
            meant = _SWITCHES.get(node.text.strip().lower())
            root = root if meant is None else put(root, mistake.path, replace(node, value=meant))
    return root


def _is_new(mistake: Mistake, known: Sequence[Mistake], broken: set[Path]) -> bool:
    """Whether it is neither known already nor a consequence of leaving parts out."""
    size = len(mistake.path)
    wrong = [old.path for old in known]
    emptied = mistake.kind == "too_short" and any(
        path[:size] == mistake.path for path in (*wrong, *broken)
    )
    # A part may be invalid only because one of its keys was left out.
    lacking = mistake.path in broken or any(path[:-1] == mistake.path for path in broken)
    return not (emptied or lacking) and mistake.path not in wrong


def _mend(root: Node, mistake: Mistake, parts: RemovableParts, broken: set[Path]) -> Node:
    if mistake.kind == "extra_forbidden":
        return _without_slip(root, mistake)
    if mistake.kind == "union_tag_invalid" and mistake.meant is not None:
        told = (*mistake.path, "type")
        if told not in broken and isinstance(find(root, told), Scalar):
            broken.add(told)
            return put(root, told, _node(mistake.meant))
    if mistake.kind in _NO_TYPE and (likely := parts.likely(root, mistake.path)) is not None:
        broken.add((*mistake.path, "type"))
        return put(root, mistake.path, likely)
    if mistake.kind == "missing" and parts.is_reference(mistake.path):
        broken.add(mistake.path)
        return put(root, mistake.path, _node("unknown"))
    holder = mistake.path[:-1]
    likely = parts.likely(root, holder) if mistake.kind == "missing" else None
    if likely is not None and (*holder, "type") not in broken:
        broken.add((*holder, "type"))
        return put(root, holder, likely)
    pattern = parts.matching(mistake.path)
    if pattern is None:
        return root
    key = _key_within(root, mistake, len(pattern))
    if key is not None and key not in broken:
        # Without this key the rest of the part may be valid, and its references are checked.
        broken.add(key)
        return without(root, key)
    path = mistake.path[: len(pattern)]
    if pattern in parts.stand_ins and not (path in broken and pattern in parts.keeping):
        broken.add(path)
        there = find(root, path)
        stand_in = _node(parts.stand_ins[pattern])
        if isinstance(there, Map) and isinstance(stand_in, Map):
            kept = {k: v for k, v in there.entries.items() if k in parts.keeping.get(pattern, ())}
            lines = {k: there.key_lines[k] for k in kept if k in there.key_lines}
            entries = {**stand_in.entries, **kept}
            stand_in = Map(entries, there.origin, lines)
        return put(root, path, stand_in)
    broken.add(path)
    return without(root, path)


def _key_within(root: Node, mistake: Mistake, size: int) -> Path | None:
    """The key of a part, `size` long, that a mistake is in; None where it is the part itself."""
    path = mistake.path[: size + 1]
    if mistake.kind == "missing" or len(path) <= size:
        return None
    is_there = isinstance(find(root, path[:-1]), Map) and find(root, path) is not None
    return path if is_there else None


def _without_slip(root: Node, mistake: Mistake) -> Node:
    """Removes an unknown key, or renames it to the key that was meant where that is free."""
    path, meant = mistake.path, mistake.meant
    holder, value = find(root, path[:-1]), find(root, path)
    if not isinstance(holder, Map) or value is None:
        return root
    if meant is None or meant in holder.entries:
        return without(root, path)
    lines = {meant if k == path[-1] else k: line for k, line in holder.key_lines.items()}
    entries = {meant if k == path[-1] else k: node for k, node in holder.entries.items()}
    return put(root, path[:-1], replace(holder, entries=entries, key_lines=lines))


def _node(value: Any) -> Node:
    origin = Origin(chosen="stands in")
    if isinstance(value, dict):
        return Map({key: _node(below) for key, below in value.items()}, origin)
    if isinstance(value, list):
        return List(tuple(_node(below) for below in value), origin)
    return Scalar(value, str(value), origin)
