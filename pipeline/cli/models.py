"""`moonwatch models`: list, download and verify Moondream checkpoints."""

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from pipeline.cli.options import AsJson
from pipeline.cli.tables import print_tables
from pipeline.core.errors import EngineError
from pipeline.core.machine import how_to_install
from pipeline.moondream.checkpoints.models import DEFAULT_MODEL, FileState, ModelState
from pipeline.moondream.checkpoints.models import pull as pull_model
from pipeline.moondream.checkpoints.models import verify as verify_models
from pipeline.moondream.checkpoints.releases import RELEASES
from pipeline.moondream.checkpoints.revisions import NO_SMALL_MODEL
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.pictures.vips import has_vips

T = TypeVar("T")

models = typer.Typer(help="List, download and verify Moondream checkpoints.", no_args_is_help=True)

Model = Annotated[
    str, typer.Argument(help="The repository, such as vikhyatk/moondream2.", metavar="MODEL")
]
Revision = Annotated[
    str | None,
    typer.Option(help="The release, such as 2025-06-21, or RELEASE@COMMIT of any repository."),
]


@models.command("list")
def listed(as_json: AsJson = False) -> None:
    """List the known checkpoints, and which of them are downloaded."""
    _say(verify_models(), as_json=as_json)


@models.command()
def pull(
    model: Model = DEFAULT_MODEL,
    revision: Revision = None,
    trust_changed: Annotated[
        bool,
        typer.Option(help="Take files that differ from what was first seen, as they are now."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a checkpoint into the Hugging Face cache and verify every byte.

    A file whose hash is not known here is recorded, and refused if it differs later.
    """
    state = _translated(lambda: pull_model(model, revision, trust_changed=trust_changed))
    # Reads headers only: whatever a worker would refuse is said now. By name, as it needs torch.
    checkpoint = importlib.import_module("pipeline.moondream.checkpoints.checkpoint")
    _translated(lambda: checkpoint.open_checkpoint(model, revision))
    _say([state], as_json=as_json)


@models.command()
def verify(
    model: Annotated[str | None, typer.Argument(help="One repository; by default all.")] = None,
    revision: Revision = None,
    as_json: AsJson = False,
) -> None:
    """Verify the cache. Exits with 1 if a file is damaged or changed, or the given one missing."""
    states = _translated(lambda: verify_models(model, revision))
    _say(states, as_json=as_json)
    wrong = ("damaged", "changed")
    damaged = [file for state in states for file in state.files if file.state in wrong]
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
    for column in ("model", "release", "stored", "resizer", "tokenizer", "file", "hash", "state"):
        table.add_column(column, overflow="fold")
    for state in states:
        known, release = state.model, RELEASES[state.model.release]
        names = (known.model, known.release, known.stored, release.resizer, release.tokenizer)
        for file in state.files:
            said = f"{file.state}: {file.detail}" if file.detail else file.state
            table.add_row(*names, file.file.path, _trust(file), said)
    print_tables([table])
    typer.echo(
        f"resizer: what the release resizes pictures with by default; vips {_vips_here()}.\n"
        "hash: pinned = known to moonwatch; first seen = recorded when it was fetched, and "
        "compared since.\n"
        f"There is no 0.5B model: {NO_SMALL_MODEL}."
    )


def _trust(file: FileState) -> str:
    if file.file.sha256 is not None:
        return "pinned"
    return "first seen" if file.state in ("first seen", "changed") else "unchecked"


def _vips_here() -> str:
    if has_vips():
        return "is installed here"
    return f"is not installed here ({how_to_install('vips')})"


def _as_json(state: ModelState) -> dict[str, object]:
    release = RELEASES[state.model.release]
    return {
        "model": state.model.model,
        "revision": state.model.release,
        "release": state.model.release,
        "stored": state.model.stored,
        "tokenizer": release.tokenizer,
        "pixels": release.pixels,
        "resizer": release.resizer,
        "note": state.model.note,
        "usable": state.is_usable,
        "files": [
            {
                "repository": file.file.repo,
                "revision": file.file.revision,
                "file": file.file.path,
                "sha256": file.file.sha256,
                "hash": _trust(file),
                "path": str(file.path) if file.path else None,
                "state": file.state,
                "detail": file.detail,
            }
            for file in state.files
        ],
    }
