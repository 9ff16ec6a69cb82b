"""`moonwatch models`: list, download and verify Moondream checkpoints."""

import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from pipeline.cli.options import AsJson
from pipeline.cli.tables import print_tables
from pipeline.core.errors import EngineError
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.models import DEFAULT_MODEL, ModelState
from pipeline.moondream.models import pull as pull_model
from pipeline.moondream.models import verify as verify_models

T = TypeVar("T")

models = typer.Typer(help="List, download and verify Moondream checkpoints.", no_args_is_help=True)

Model = Annotated[
    str, typer.Argument(help="The repository, such as vikhyatk/moondream2.", metavar="MODEL")
]
Revision = Annotated[str | None, typer.Option(help="The release, such as 2025-06-21.")]


@models.command("list")
def listed(as_json: AsJson = False) -> None:
    """List the known checkpoints, and which of them are downloaded."""
    _say(verify_models(), as_json=as_json)


@models.command()
def pull(model: Model = DEFAULT_MODEL, revision: Revision = None, as_json: AsJson = False) -> None:
    """Download a checkpoint into the Hugging Face cache and verify every byte."""
    state = _translated(lambda: pull_model(model, revision))
    _say([state], as_json=as_json)


@models.command()
def verify(
    model: Annotated[str | None, typer.Argument(help="One repository; by default all.")] = None,
    revision: Revision = None,
    as_json: AsJson = False,
) -> None:
    """Verify the cache. Exits with 1 if a file is damaged, or the given checkpoint is missing."""
    states = _translated(lambda: verify_models(model, revision))
    _say(states, as_json=as_json)
    damaged = [file for state in states for file in state.files if file.state == "damaged"]
    if damaged or (model is not None and not all(state.is_usable for state in states)):
        raise typer.Exit(1)


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except CheckpointError as error:
        raise EngineError(str(error)) from error


def _say(states: Sequence[ModelState], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_as_json(state) for state in states], indent=2))
        return
    table = Table(title="models", title_justify="left")
    for column in ("model", "revision", "note", "file", "state"):
        table.add_column(column, overflow="fold")
    for state in states:
        names = (state.model.model, state.model.release, state.model.note)
        for file in state.files:
            said = f"{file.state}: {file.detail}" if file.detail else file.state
            table.add_row(*names, file.file.path, said)
    print_tables([table])


def _as_json(state: ModelState) -> dict[str, object]:
    return {
        "model": state.model.model,
        "revision": state.model.release,
        "usable": state.is_usable,
        "files": [
            {
                "repository": file.file.repo,
                "file": file.file.path,
                "path": str(file.path) if file.path else None,
                "state": file.state,
                "detail": file.detail,
            }
            for file in state.files
        ],
    }
