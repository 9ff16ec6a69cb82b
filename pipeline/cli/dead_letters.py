"""`moonwatch dead-letters`: frames that no worker survived; look at them, try again, or let go."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.queues import DeadLetter, JobQueue
from pipeline.deployment.loader import load
from pipeline.runtime.stage_process import shared_queues
from pipeline.telemetry.logs import set_up


class DeadLetterAction(StrEnum):
    """What is done with dead letters."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


def dead_letters(
    action: Annotated[
        DeadLetterAction, typer.Argument(help="Show them, put them back, or forget them.")
    ],
    file: File,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones; see `list`.")
    ] = None,
    overrides: Overrides = [],
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at the frames that no worker survived, put them back, or forget them."""
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    queues = shared_queues(deployment, SystemClock())
    try:
        letters = queues.jobs.dead_letters()
        if action is DeadLetterAction.LIST:
            _say(letters, as_json=as_json)
            return
        chosen = [letter.id for letter in letters] if everything else list(ids or [])
        if not chosen and not everything:
            raise ConfigError([Problem("", f"name the dead letters to {action}, or --all")])
        _act(queues.jobs, action, chosen)
    finally:
        queues.close()


def _act(jobs: JobQueue, action: DeadLetterAction, chosen: Sequence[str]) -> None:
    act = jobs.retry if action is DeadLetterAction.RETRY else jobs.drop
    unknown = [letter for letter in chosen if not act(letter)]
    done = "put back" if action is DeadLetterAction.RETRY else "forgotten"
    typer.echo(f"{len(chosen) - len(unknown)} {done}")
    if unknown:
        raise MoonwatchError(f"there is no dead letter {', '.join(unknown)}")


def _say(letters: Sequence[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(letter) for letter in letters], indent=2))
        return
    if not letters:
        typer.echo("no dead letters")
        return
    table = Table(title="dead letters", title_justify="left", title_style="bold")
    for column in ("id", "camera", "engine", "frame", "attempts", "reason"):
        table.add_column(column)
    for one in letters:
        table.add_row(one.id, one.camera, one.engine, str(one.seq), str(one.attempts), one.reason)
    Console().print(table)
