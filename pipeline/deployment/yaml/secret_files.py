"""`x_file: path` in place of a secret `x`: its value is the file's content, stripped."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path as FilePath

from pipeline.core.address import MASK
from pipeline.core.errors import Problem
from pipeline.core.text_files import UnreadableTextError, read_text_file
from pipeline.deployment.fields import Model, fields_by_key, is_secret, model_at
from pipeline.deployment.yaml.tree import (
    Map,
    Node,
    Path,
    Scalar,
    plain,
    problem_at,
    written_at,
)

SUFFIX = "_file"
# A secret is a line or a key; a video named by mistake should be reported, not read.
_MAX_BYTES = 64 * 1024


def read_secret_files(
    root: Node, model: Model, files: list[FilePath] | None = None
) -> tuple[Node, list[Problem], frozenset[Path]]:
    """The tree with every `x_file` of a secret field `x` read, the problems, and the bad paths.

    The files that it names are added to `files`.
    """
    problems: list[Problem] = []
    unread: set[Path] = set()
    # Plain data of a large fleet takes a tenth of a second to make, and most have no such file.
    data = cache(lambda: plain(root))

    def visit(node: Node, path: Path) -> Node:
        if not isinstance(node, Map):
            return node
        entries = {key: visit(value, (*path, key)) for key, value in node.entries.items()}
        lines = dict(node.key_lines)
        for key, field in _secret_file_keys(model, data, path, entries):
            written = entries.pop(key)
            if files is not None and isinstance(written, Scalar) and written.text:
                files.append(FilePath(written.text))
            secret = (
                _read(written)
                if field not in entries
                else f"is given together with `{field}`; keep one"
            )
            if isinstance(secret, str):
                told = written_at(root, (*path, key))
                problems.append(problem_at(root, (*path, key), secret, told))
                unread.add((*path, field))
                # Stands in for the secret, so that its field is not reported missing too.
                secret = Scalar("unknown", "unknown", written.origin, shown=MASK)
            entries.setdefault(field, secret)
            if key in lines:
                lines[field] = lines.pop(key)
        return replace(node, entries=entries, key_lines=lines)

    return visit(root, ()), problems, frozenset(unread)


def _secret_file_keys(
    model: Model, data: Callable[[], object], path: Path, entries: dict[str, Node]
) -> list[tuple[str, str]]:
    """The keys of a map that name a file for a secret field, with that field's key."""
    if not any(key.endswith(SUFFIX) for key in entries):
        return []
    stands_for = model_at(model, data(), path)
    fields = fields_by_key(stands_for) if stands_for else {}
    return [
        (key, field)
        for key in list(entries)
        if key not in fields
        and key.endswith(SUFFIX)
        and (field := key.removesuffix(SUFFIX)) in fields
        and is_secret(fields[field])
    ]


def _read(written: Node) -> Scalar | str:
    """The secret, or why it cannot be read."""
    if not isinstance(written, Scalar) or not isinstance(written.value, str) or not written.value:
        return "must name a file"
    name = written.shown or written.value
    try:
        text = read_text_file(FilePath(written.value), _MAX_BYTES).strip()
    except OSError as error:
        return f"cannot read {name}: {error.strerror or type(error).__name__}"
    except UnreadableTextError as error:
        why = str(error).replace(
            "is too large", f"is too large for a secret (more than {_MAX_BYTES // 1024} KiB)"
        )
        return f"{name} {why}"
    if "\0" in text:
        return f"{name} is not a text file"
    if not text:
        return f"{name} is empty"
    origin = replace(written.origin, secret_file=name)
    return Scalar(text, text, origin, shown=MASK, hidden=(text,))
