"""`moonwatch check`: every mistake of a deployment file at once. Opens no camera or database."""

import json

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import read


def check(file: File, overrides: Overrides = [], as_json: AsJson = False) -> None:
    """Report everything wrong with a deployment file. Exits with 2 if anything is."""
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
    if as_json:
        warnings = [_data(warning) for warning in loaded.warnings]
        typer.echo(json.dumps({"ok": True, "warnings": warnings}, indent=2))
        return
    for warning in loaded.warnings:
        typer.echo(f"  warning: {warning}")
    rules = sum(len(camera.rules) for camera in deployment.cameras.values())
    typer.echo(
        f"{file}: valid. {_number(len(deployment.cameras), 'camera')}, "
        f"{_number(rules, 'rule')}, {_number(len(deployment.sinks), 'sink')}"
    )


def _data(problem: Problem) -> dict[str, str | int | None]:
    return {
        "path": problem.path,
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
    }


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
