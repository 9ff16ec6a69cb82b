"""`moonwatch check`: every mistake of a deployment file at once. Opens no camera or database.

With `--probe` it opens the recordings.
"""

import importlib
import json
from typing import Annotated, Any

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import missing_here, read


def check(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Read all recordings, and show when each begins, and what is in it."
        ),
    ] = False,
) -> None:
    """Report everything wrong with a deployment file. Exits with 2 if anything is.

    With --probe it exits with 1 if a recording cannot be played.
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
    if as_json:
        warnings = [_data(warning) for warning in found]
        answer: dict[str, Any] = {"ok": True, "warnings": warnings}
        if probe:
            answer |= _probe().as_json(deployment)
        typer.echo(json.dumps(answer, indent=2))
        raise typer.Exit(0 if answer["ok"] else 1)
    for warning in found:
        typer.echo(f"  warning: {warning}")
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


def _data(problem: Problem) -> dict[str, str | int | None]:
    return {
        "path": problem.path,
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
    }


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
