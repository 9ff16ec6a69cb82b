"""`include: cameras/*.yaml`: cameras and what belongs to them, in separate files.

An included file can have `cameras`, `defaults` (for its own cameras, applied before those of the
deployment file), `engines`, `sinks` and `sites`. A name can be defined in one file only. Anchors,
`x-` keys and line numbers belong to each file.
"""

import glob
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from types import MappingProxyType

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.text_files import UnreadableTextError, read_text_file
from pipeline.deployment.problems.suggestions import nearest
from pipeline.deployment.yaml.defaults import merge_defaults
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import (
    DEFAULTS,
    List,
    Map,
    Node,
    Origin,
    Scalar,
    child,
    line_at,
    problem_at,
)
from pipeline.deployment.yaml.variables import interpolate

INCLUDE = "include"
"""The key of the globs."""
NAMED_PARTS = ("cameras", "engines", "sinks", "sites")
"""The parts that can be spread over several files, each a map of names."""
# A video named instead of a YAML file should be reported at once.
_MAX_BYTES = 4 * 1024 * 1024


def read_text(path: FilePath) -> str:
    """The text of a file; raises ConfigError where it cannot be a deployment file."""
    try:
        return read_text_file(path, _MAX_BYTES)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError([Problem("", f"cannot read {path}: {why}")]) from error
    except UnreadableTextError as error:
        why = str(error).replace("is too large", "is too large to be a deployment file")
        raise ConfigError([Problem("", f"{path} {why}")]) from error


def merge_includes(
    root: Node,
    file: FilePath | None,
    environment: Mapping[str, str],
    files: list[FilePath],
    instead: Mapping[FilePath, str] = MappingProxyType({}),
) -> tuple[Node, list[Problem]]:
    """The tree without `include:`, with the content of the files, and the problems in them.

    Globs are relative to the folder of `file`, the deployment file; the files that they match
    are added to `files`. Those of which `instead` has a text are not read.
    """
    if not isinstance(root, Map) or INCLUDE not in root.entries:
        return root, []
    rest = {key: value for key, value in root.entries.items() if key != INCLUDE}
    found, problems = _found(root, file, environment)
    merged = replace(root, entries=rest)
    for name, path in found.items():
        files.append(path)
        part, wrong = _part(name, path, instead.get(path))
        problems += wrong
        if part is not None:
            merged, wrong = _merged(merged, part)
            problems += wrong
    return merged, problems


def _found(
    root: Map, file: FilePath | None, environment: Mapping[str, str]
) -> tuple[dict[str, FilePath], list[Problem]]:
    """The files that the globs match, in the order of the globs and of their names."""
    only = Map({INCLUDE: root.entries[INCLUDE]}, root.origin, root.key_lines)
    filled, problems, unresolved = interpolate(only, environment)
    written = child(filled, INCLUDE)
    folder = file.parent if file is not None else FilePath()
    found: dict[str, FilePath] = {}
    globs = list(enumerate(written.items)) if isinstance(written, List) else [(None, written)]
    for place, node in globs:
        path = (INCLUDE,) if place is None else (INCLUDE, place)
        if path in unresolved:
            continue
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
            message = "must be a file or a glob such as cameras/*.yaml, or a list of them"
            problems.append(problem_at(only, path, message))
            continue
        names = sorted(glob.glob(node.value, root_dir=folder, recursive=True))  # noqa: PTH207 - may be absolute
        names = [name for name in names if not (folder / name).is_dir()]
        shown = node.shown or node.value
        if not names:
            where = folder if str(folder) != "." else FilePath.cwd()
            message = f"no file matches {shown} (relative to {where}); correct it, or remove it"
            problems.append(problem_at(only, path, message))
        for name in names:
            if file is not None and os.path.realpath(folder / name) == os.path.realpath(file):
                message = f"{shown} matches this file itself; keep included files in another folder"
                problems.append(problem_at(only, path, message))
            else:
                found[name] = folder / name
    return found, problems


def _part(name: str, path: FilePath, text: str | None) -> tuple[Map | None, list[Problem]]:
    """The tree of an included file, with its own defaults merged in, and the problems in it."""
    try:
        text = read_text(path) if text is None else text
    except ConfigError as error:
        return None, [replace(problem, file=name) for problem in error.problems]
    tree, problems = read_yaml(text, lambda line: Origin(line=line, file=name))
    problems = [replace(problem, file=name) for problem in problems]
    if tree is None:  # an empty file includes nothing, and may be about to be written
        return None, problems
    if not isinstance(tree, Map):
        message = f"must be a map with the keys {', '.join((*NAMED_PARTS, DEFAULTS))}"
        return None, [*problems, Problem("", message, tree.origin.line, name)]
    kept = {}
    for key, value in tree.entries.items():
        if key in (*NAMED_PARTS, DEFAULTS):
            kept[key] = value
        else:
            problems.append(problem_at(tree, (key,), _not_here(key)))
    merged = merge_defaults(replace(tree, entries=kept))
    return merged if isinstance(merged, Map) else None, problems


def _not_here(key: str) -> str:
    if key in ("version", "site", "queue", "store", INCLUDE):
        return "belongs in the deployment file, not in an included file"
    known = (*NAMED_PARTS, DEFAULTS)
    guess = nearest(key, known)
    hint = f"did you mean {guess!r}?" if guess else f"an included file has {', '.join(known)}"
    return f"is not a known key; {hint}"


def _merged(root: Map, part: Map) -> tuple[Map, list[Problem]]:
    """Both trees as one; a name in both is a problem, and the first one wins."""
    problems: list[Problem] = []
    entries, lines = dict(root.entries), dict(root.key_lines)
    for kind, theirs in part.entries.items():
        if isinstance(theirs, Scalar) and theirs.value is None:
            continue
        if not isinstance(theirs, Map):
            message = "must be a map of names to settings"
            problems.append(problem_at(part, (kind,), message))
            continue
        ours = entries.get(kind)
        if ours is None or (isinstance(ours, Scalar) and ours.value is None):
            entries[kind] = theirs
            continue
        if not isinstance(ours, Map):  # refused at its own place
            continue
        named, named_lines = dict(ours.entries), dict(ours.key_lines)
        for name, value in theirs.entries.items():
            if name in named:
                first = _place(ours, name)
                message = f"is defined twice, in {first} and in {_place(theirs, name)}; rename one"
                problems.append(problem_at(part, (kind, name), message))
            else:
                named[name] = value
                named_lines[name] = theirs.key_lines[name]
        entries[kind] = replace(ours, entries=named, key_lines=named_lines)
    return replace(root, entries=entries, key_lines=lines), problems


def _place(named: Map, name: str) -> str:
    """Where a name of a map is written, in words."""
    file = named.entries[name].origin.file
    line = f"line {line_at(named, (name,))}"
    return f"{file} {line}" if file is not None else f"the deployment file, {line}"
