"""What processes measured that a test killed: a file that was cut off while it was written."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


def remove_damaged(folder: Path, stem: str) -> Sequence[str]:
    """Remove the files `stem.*` of `folder` that are no whole databases; returns their names.

    Coverage passes over a file that it cannot open, but a damage further inside ends the whole
    run while the files are combined.
    """
    damaged = [file for file in sorted(folder.glob(f"{stem}.*")) if not _is_whole(file)]
    for file in damaged:
        file.unlink(missing_ok=True)
    return [file.name for file in damaged]


def _is_whole(file: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            (said,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            database.execute("SELECT * FROM meta").fetchall()
    except sqlite3.DatabaseError:
        return False
    return bool(said == "ok")
