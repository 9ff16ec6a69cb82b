"""`moonwatch reload`: apply a changed deployment file to all running processes."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.config import parse_duration
from pipeline.core.errors import MoonwatchError
from pipeline.deployment.loader import read
from pipeline.runtime.asked_reload import ask_to_reload
from pipeline.telemetry.logs import set_up


def reload(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    within: Annotated[
        str, typer.Option(help="How long to wait for answers, such as 20s.", metavar="DURATION")
    ] = "20s",
) -> None:
    """Apply a changed file to a running deployment.

    Every process reads its own copy of the file. A file with mistakes changes nothing. Exits with 0
    if every process now uses the current file, and with 1 if one does not.
    """
    loaded = read(file, overrides)
    try:
        within_s = parse_duration(within).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--within") from None
    set_up("text", "CRITICAL")
    found = ask_to_reload(loaded.deployment, loaded.digest, SystemClock(), within_s)
    if not found.answers:
        raise MoonwatchError(f"no process of {file} is running; start it with `moonwatch run`")
    answers = found.answers
    if as_json:
        rows = [asdict(answer) for answer in answers]
        typer.echo(json.dumps({"version": loaded.digest, "processes": rows}, indent=2))
    else:
        for answer in answers:
            typer.echo(f"{answer.stage} on {answer.host} ({answer.pid}): {answer.outcome}")
            for sentence in answer.said:
                typer.echo(f"  {sentence}")
    if not all(answer.good for answer in answers):
        raise typer.Exit(1)
