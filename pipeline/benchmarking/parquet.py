"""Rows of Parquet files, one at a time: a whole data set never is in memory."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.benchmarking.items import BenchmarkError, Json
from pipeline.core.machine import how_to_install

# So many rows are decoded at once; of the largest pictures that is some tens of megabytes.
ROWS_AT_ONCE = 8
_SPLIT = re.compile(r"(?P<split>[A-Za-z]+)-(?P<number>\d{5})-of-(?P<count>\d{5})")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class ParquetShards:
    """The Parquet files of one split, in order, and what they hold together."""

    files: tuple[Path, ...]
    columns: frozenset[str]
    rows: int

    @property
    def fingerprint(self) -> Json:
        """What tells this data from other data: names, sizes and rows of the files."""
        return [[file.name, file.stat().st_size] for file in self.files]

    def read(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Each row with its number, group by group; only these columns are read."""
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        number = 0
        for path in self.files:
            try:
                # Without this a whole group of rows is fetched before the first one is given.
                with ParquetFile(path, pre_buffer=False) as file:
                    for group in range(file.num_row_groups):
                        for batch in file.iter_batches(
                            ROWS_AT_ONCE, [group], list(columns), use_threads=False
                        ):
                            for row in batch.to_pylist():
                                yield number, row
                                number += 1
            except (ArrowException, OSError) as error:
                raise BenchmarkError(f"{path} cannot be read: {error}") from error


def open_shards(place: Path, split: str) -> ParquetShards:
    """The files at a path: one Parquet file, or those of the split in a folder and below it.

    Raises BenchmarkError where there are none, where one of a numbered series is missing, or where
    one is not a Parquet file.
    """
    files = _files_at(place, split)
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BenchmarkError(
            f"benchmarks need {error.name}; install it with: {how_to_install('benchmark')}"
        ) from error
    columns: frozenset[str] | None = None
    rows = 0
    for path in files:
        try:
            with ParquetFile(path) as file:
                here = frozenset(file.schema_arrow.names)
                rows += file.metadata.num_rows
        except (ArrowException, OSError) as error:
            raise BenchmarkError(_unreadable(path, error)) from error
        if columns is not None and here != columns:
            raise BenchmarkError(
                f"{path} has other columns than {files[0]}: {_named(here ^ columns)}; give a "
                "folder with the files of one data set"
            )
        columns = here
    if not rows:
        raise BenchmarkError(f"{place} has no rows")
    return ParquetShards(tuple(files), columns or frozenset(), rows)


def _files_at(place: Path, split: str) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise BenchmarkError(f"{place} does not exist")
    files = sorted(place.rglob("*.parquet"))
    if not files:
        raise BenchmarkError(f"{place} has no Parquet files (*.parquet), nor has a folder in it")
    numbered = {file: _SPLIT.fullmatch(file.stem) for file in files}
    splits = {found["split"] for found in numbered.values() if found}
    if splits:
        if split not in splits:
            raise BenchmarkError(
                f"{place} has the split {_named(splits)}; this benchmark is measured on {split!r}"
            )
        files = [file for file, found in numbered.items() if found and found["split"] == split]
        _check_complete(files)
    folders = {str(file.parent) for file in files}
    if len(folders) > 1:
        raise BenchmarkError(
            f"{place} has Parquet files in several folders ({_named(folders)}); give the one that "
            "is meant"
        )
    return files


def _check_complete(files: Sequence[Path]) -> None:
    found = [parts for file in files if (parts := _SPLIT.fullmatch(file.stem))]
    count = int(found[0]["count"])
    missing = set(range(count)) - {int(parts["number"]) for parts in found}
    if missing:
        raise BenchmarkError(
            f"{files[0].parent} has {count - len(missing)} of {count} files of the split "
            f"{found[0]['split']!r}: number {_named(f'{one:05}' for one in missing)} is missing"
        )


def _unreadable(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            is_pointer = file.read(len(_LFS)) == _LFS
    except OSError:
        is_pointer = False
    if is_pointer:
        return f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder"
    return f"{path} cannot be read as a Parquet file: {error}"


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
