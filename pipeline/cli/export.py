"""`moonwatch export`: counts, events and visits for spreadsheets and databases."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from pipeline.cli.moments import Since, Until, span_of
from pipeline.cli.options import File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.private_files import create_file, make_folder
from pipeline.core.store import EVER
from pipeline.deployment.loader import load
from pipeline.deployment.problems.suggestions import hint
from pipeline.reports.export import counts, events, observations, visits
from pipeline.reports.steps import STEPS
from pipeline.reports.writing import WRITERS
from pipeline.telemetry.logs import set_up


class What(StrEnum):
    """What can be exported."""

    COUNTS = "counts"
    EVENTS = "events"
    VISITS = "visits"
    OBSERVATIONS = "observations"


class ExportAs(StrEnum):
    """Formats."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def export(
    file: File,
    what: Annotated[What, typer.Option(help="What to export.")] = What.COUNTS,
    step: Annotated[
        str, typer.Option(metavar="1m|15m|1h|1d|1w", help="Length of a step of counts.")
    ] = "1h",
    form: Annotated[ExportAs, typer.Option("--format", help="Format.")] = ExportAs.CSV,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="File to write; standard output otherwise.")
    ] = None,
    since: Since = None,
    until: Until = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only of this camera; may be given again.")
    ] = None,
    overrides: Overrides = [],
) -> None:
    """Write what is stored as CSV, JSON lines or Parquet. See docs/export.md for the columns.

    What is not known is empty, with the share of the time that is known beside it.
    """
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    if step not in STEPS:
        raise ConfigError([Problem("--step", f"{step!r} is not a step; write {', '.join(STEPS)}")])
    cameras = camera or []
    problems = [
        Problem("--camera", f"there is no camera {name!r}{hint(name, deployment.cameras)}")
        for name in cameras
        if name not in deployment.cameras
    ]
    if problems:
        raise ConfigError(problems)
    if form is ExportAs.PARQUET:
        refuse_terminal(out, "Parquet")
    clock = SystemClock()
    span = span_of(since, until, clock.now(), deployment.site.timezone)
    store = deployment.store.build_reader(clock)
    try:
        match what:
            case What.COUNTS:
                chosen = counts(deployment, store.history, step, span, cameras)
            case What.EVENTS:
                chosen = events(deployment, store.history, span, cameras, store.clips)
            case What.VISITS:
                chosen = visits(deployment, store.history, span, cameras)
            case What.OBSERVATIONS:
                chosen = observations(deployment, store, span, cameras)
        with written_to(out) as target:
            rows = WRITERS[form.value](chosen, target)
    finally:
        store.close()
    if out is not None:
        typer.echo(f"{out}: {rows} rows of {what}")
    if not rows:
        which = " of that; choose another time or camera" if span != EVER or cameras else ""
        typer.echo(f"moonwatch: no {what} are stored{which}", err=True)


def refuse_terminal(out: Path | None, what: str) -> None:
    """Raise ConfigError where bytes that are no text would be written to a terminal."""
    if out is None and sys.stdout.isatty():
        raise ConfigError([Problem("--out", f"{what} is not text; name a file for it")])


@contextmanager
def written_to(path: Path | None) -> Iterator[BinaryIO]:
    """A file that is there as a whole or not at all, or standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f"{path.name}.part")
    try:
        make_folder(path.parent)
        create_file(part)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise MoonwatchError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
