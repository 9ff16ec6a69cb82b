"""`moonwatch dead-letters`: list, retry or drop frames that crashed every worker."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.tables import print_tables
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.queues import DeadLetter, JobQueue
from pipeline.deployment.loader import load
from pipeline.runtime.stage_process import shared_queues
from pipeline.telemetry.logs import set_up


class DeadLetterAction(StrEnum):
    """What to do with dead letters."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


def dead_letters(
    action: Annotated[
        DeadLetterAction,
        typer.Argument(help="List them, put them back on the queue, or drop them."),
    ],
    file: File,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="IDs as shown by `list`.")
    ] = None,
    overrides: Overrides = [],
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List, retry or drop frames that crashed every worker."""
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    queues = shared_queues(deployment, SystemClock())
    try:
        found = queues.jobs.dead_letters()
        if action is DeadLetterAction.LIST:
            _say(found, as_json=as_json)
            return
        chosen = [dead_letter.id for dead_letter in found] if everything else list(ids or [])
        if not chosen and not everything:
            raise ConfigError([Problem("", f"name the dead letters to {action}, or use --all")])
        _act(queues.jobs, action, chosen)
    finally:
        queues.close()


def _act(jobs: JobQueue, action: DeadLetterAction, chosen: Sequence[str]) -> None:
    act = jobs.retry if action is DeadLetterAction.RETRY else jobs.drop
    unknown = [name for name in chosen if not act(name)]
    done = "put back" if action is DeadLetterAction.RETRY else "dropped"
    typer.echo(f"{len(chosen) - len(unknown)} {done}")
    if unknown:
        raise MoonwatchError(f"no such dead letter: {', '.join(unknown)}")


def _say(found: Sequence[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(dead_letter) for dead_letter in found], indent=2))
        return
    if not found:
        typer.echo("no dead letters")
        return
    table = Table(title="dead letters", title_justify="left", title_style="bold")
    for column in ("id", "camera", "engine", "frame", "attempts", "reason"):
        table.add_column(column)
    for one in found:
        table.add_row(
            one.id, one.camera, one.engine, str(one.seq), str(one.attempts), Text(one.reason)
        )
    print_tables([table])
