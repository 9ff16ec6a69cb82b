"""`moonwatch check`: every mistake of a deployment file at once. Opens no camera or database.

With `--probe` it opens the recordings and asks engines elsewhere, with `--with-memory` it opens the
database.
"""

import importlib
import json
from typing import Annotated, Any

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem, StoreError
from pipeline.deployment.loader import Loaded, located, missing_here, read


def check(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Read all recordings, show when each begins and what is in it, and see whether "
            "engines elsewhere are there.",
        ),
    ] = False,
    with_memory: Annotated[
        bool,
        typer.Option(
            "--with-memory",
            help="Also warn of lines and zones in bad places, from what was seen there so far.",
        ),
    ] = False,
) -> None:
    """Report everything wrong with a deployment file. Exits with 2 if anything is.

    With --probe it exits with 1 if a recording cannot be played, or an engine not be asked.
    """
    try:
        loaded = read(file, overrides)
    except ConfigError as error:
        if as_json:
            problems = [_data(problem) for problem in error.problems]
            typer.echo(json.dumps({"ok": False, "problems": problems}, indent=2))
        else:
            for problem in error.problems:
                typer.echo(f"  {problem}", err=True)
            typer.echo(f"{file}: {_number(len(error.problems), 'problem')}", err=True)
        raise typer.Exit(2) from None
    deployment = loaded.deployment
    found = (*loaded.warnings, *missing_here(loaded))
    note: str | None = None
    if with_memory:
        learned, note = _memory(loaded)
        found = (*found, *learned)
    if as_json:
        warnings = [_data(warning) for warning in found]
        answer: dict[str, Any] = {"ok": True, "warnings": warnings}
        if with_memory:
            answer["memory"] = note
        if probe:
            answer |= _probe().as_json(deployment)
        typer.echo(json.dumps(answer, indent=2))
        raise typer.Exit(0 if answer["ok"] else 1)
    for warning in found:
        typer.echo(f"  warning: {warning}")
    if note is not None:
        typer.echo(f"  {note}")
    rules = sum(len(camera.rules) for camera in deployment.cameras.values())
    typer.echo(
        f"{file}: valid. {_number(len(deployment.cameras), 'camera')}, "
        f"{_number(rules, 'rule')}, {_number(len(deployment.sinks), 'sink')}"
    )
    if probe and not _probe().show(deployment):
        raise typer.Exit(1)


def _probe() -> Any:
    """What reads recordings; importing it takes as long as a whole check without it."""
    return importlib.import_module("pipeline.cli.probe_recordings")


def _memory(loaded: Loaded) -> tuple[list[Problem], str | None]:
    """What was learned about the file's lines and zones, and a sentence where nothing was."""
    doctor = importlib.import_module("pipeline.insight.doctor")
    try:
        diagnosis = doctor.diagnose(loaded.deployment, SystemClock())
    except StoreError as error:
        return [], f"nothing is known of lines and zones, as the store cannot be read: {error}"
    found = located(loaded, diagnosis.problems())
    return found, None if diagnosis.is_learned else doctor.NOT_LEARNED


def _data(problem: Problem) -> dict[str, str | int | None]:
    return {
        "path": problem.path,
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
    }


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
