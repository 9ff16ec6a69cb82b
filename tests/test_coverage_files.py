"""A run of tests with coverage ends well although a test killed a process that was measured."""

import sqlite3
from contextlib import closing
from pathlib import Path

import coverage
import pytest

from tests.coverage_files import remove_damaged


def measured(folder: Path, name: str) -> Path:
    """A file as a process leaves it."""
    file = folder / name
    data = coverage.CoverageData(basename=str(file))
    data.add_arcs({f"/module_{number}.py": [(-1, 1), (1, -1)] for number in range(200)})
    data.write()
    data.close()
    assert file.is_file()
    return file


def damage(file: Path, table: str) -> None:
    """Overwrite where a table begins."""
    with closing(sqlite3.connect(file)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = database.execute(query, (table,)).fetchone()
    with file.open("r+b") as written:
        written.seek((page - 1) * size)
        written.write(b"\xff" * size)


def test_damaged_files_are_removed_and_whole_ones_are_combined(tmp_path: Path) -> None:
    """Wherever the damage is."""
    whole = measured(tmp_path, "data.host.pid1.a")
    damage(measured(tmp_path, "data.host.pid2.b"), "arc")
    damage(measured(tmp_path, "data.host.pid3.c"), "meta")
    cut = measured(tmp_path, "data.host.pid4.d")
    cut.write_bytes(cut.read_bytes()[:7000])
    (tmp_path / "data.host.pid5.e").write_bytes(b"")
    (tmp_path / "data.host.pid6.f").write_text("no database" * 100)
    (tmp_path / "data").write_text("what was combined before is not looked at")
    found = remove_damaged(tmp_path, "data")
    assert [name.rpartition(".")[2] for name in found] == ["b", "c", "d", "e", "f"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", whole.name]


def test_what_is_removed_would_end_a_run(tmp_path: Path) -> None:
    """Otherwise nothing would have to be removed."""
    damage(measured(tmp_path, "data.host.pid1.a"), "arc")
    measuring = coverage.Coverage(data_file=str(tmp_path / "data"), config_file=False)
    with pytest.raises(coverage.exceptions.DataError, match="malformed"):
        measuring.combine([str(tmp_path)], strict=False, keep=True)
    assert remove_damaged(tmp_path, "data") == ["data.host.pid1.a"]
