"""Full files put aside as `events.000001.jsonl`, `events.000002.jsonl`, ..., the oldest deleted."""

import re
from pathlib import Path

from connectors.sinks._tail import is_ours


def put_aside(path: Path, keep: int) -> Path:
    """Rename a file to the next number and delete all but the newest `keep` of its kind.

    A file of somebody else with such a name is neither deleted nor written over.
    """
    older = put_aside_before(path)
    number = _number(older[-1], path) + 1 if older else 1
    aside = path.with_name(f"{path.stem}.{number:06d}{path.suffix}")
    path.rename(aside)
    own = [file for file in older if file.is_file() and not file.is_symlink() and is_ours(file)]
    for file in [*own, aside][:-keep]:
        file.unlink(missing_ok=True)
    return aside


def put_aside_before(path: Path) -> list[Path]:
    """The files put aside so far, oldest first."""
    files = [file for file in path.parent.iterdir() if _number(file, path)]
    return sorted(files, key=lambda file: _number(file, path))


def _number(file: Path, path: Path) -> int:
    pattern = rf"{re.escape(path.stem)}\.(\d{{6,}}){re.escape(path.suffix)}"
    found = re.fullmatch(pattern, file.name)
    return int(found[1]) if found else 0
