"""`moonwatch check`: every mistake of a deployment file at once. Opens no camera or database.

With `--probe` it opens the recordings.
"""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import read

if TYPE_CHECKING:
    from pipeline.deployment.model import Deployment
    from pipeline.insight.probing import ProbedCamera


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
    if as_json:
        warnings = [_data(warning) for warning in loaded.warnings]
        answer: dict[str, Any] = {"ok": True, "warnings": warnings}
        probed = _probed(deployment) if probe else []
        if probe:
            answer |= {"recordings": [one.as_json() for one in probed]}
            answer["ok"] = not any(one.failure for one in probed)
        typer.echo(json.dumps(answer, indent=2))
        raise typer.Exit(0 if answer["ok"] else 1)
    for warning in loaded.warnings:
        typer.echo(f"  warning: {warning}")
    rules = sum(len(camera.rules) for camera in deployment.cameras.values())
    typer.echo(
        f"{file}: valid. {_number(len(deployment.cameras), 'camera')}, "
        f"{_number(rules, 'rule')}, {_number(len(deployment.sinks), 'sink')}"
    )
    if probe:
        _show(_probed(deployment))


def _probed(deployment: "Deployment") -> "list[ProbedCamera]":
    # Only here: it takes as long to import as a whole check.
    from pipeline.insight.probing import probe

    return list(probe(deployment))


def _show(probed: "list[ProbedCamera]") -> None:
    from rich.console import Console

    from pipeline.cli.tables import probed_table

    console = Console()
    for one in probed:
        if one.is_live:
            typer.echo(f"{one.camera}: {one.source}, a live camera, is not opened by --probe")
            continue
        if one.files:
            console.print(probed_table(one))
        for remark in one.remarks:
            typer.echo(f"  warning: camera {one.camera}: {remark}")
        if one.failure is not None and one.failure not in one.remarks:
            typer.echo(f"  camera {one.camera}: {one.failure}", err=True)
    if any(one.failure for one in probed):
        raise typer.Exit(1)


def _data(problem: Problem) -> dict[str, str | int | None]:
    return {
        "path": problem.path,
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
    }


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
