"""Rows as CSV, JSON lines or Parquet: row by row, the same bytes for the same rows."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Literal

from pipeline.core.errors import MoonwatchError
from pipeline.core.machine import how_to_install
from pipeline.reports.export import Cell, Export, ExportColumn

ExportFormat = Literal["csv", "jsonl", "parquet"]
_AT_ONCE = 10_000
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(export: Export, file: BinaryIO) -> int:
    """RFC 4180 in UTF-8 with a heading. A text that a spreadsheet would run begins with `'`."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    written = 0
    try:
        writer.writerow([column.name for column in export.columns])
        for row in export.rows:
            writer.writerow([_harmless(cell) for cell in row])
            written += 1
    finally:
        text.detach()
    return written


def write_jsonl(export: Export, file: BinaryIO) -> int:
    """An object a line; what is not known is null."""
    names = [column.name for column in export.columns]
    written = 0
    for row in export.rows:
        line = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False)
        file.write(line.encode("utf-8", "replace") + b"\n")
        written += 1
    return written


def write_parquet(export: Export, file: BinaryIO) -> int:
    """Apache Parquet, typed by the columns; raises MoonwatchError where pyarrow is missing."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MoonwatchError(
            "the format parquet needs pyarrow; install it with: "
            f"{how_to_install('parquet')}, or write csv"
        ) from None
    kinds = {"text": arrow.string(), "number": arrow.float64(), "whole": arrow.int64()}
    schema = arrow.schema(
        [
            arrow.field(column.name, kinds[column.kind], metadata={"meaning": column.meaning})
            for column in export.columns
        ]
    )
    written = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for block in _blocks(export.rows):
            written += len(block)
            columns = [
                _column(export.columns[i], [row[i] for row in block])
                for i in range(len(export.columns))
            ]
            writer.write_table(arrow.table(columns, schema=schema))
    return written


WRITERS: Mapping[ExportFormat, Callable[[Export, BinaryIO], int]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
"""Each writes all rows, and returns how many they were."""


def _harmless(cell: Cell) -> Any:
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def _column(column: ExportColumn, cells: Sequence[Cell]) -> list[Any]:
    if column.kind == "number":
        return [None if cell is None else float(cell) for cell in cells]
    return list(cells)


def _blocks(rows: Iterator[Sequence[Cell]]) -> Iterator[list[Sequence[Cell]]]:
    block: list[Sequence[Cell]] = []
    for row in rows:
        block.append(row)
        if len(block) == _AT_ONCE:
            yield block
            block = []
    if block:
        yield block
