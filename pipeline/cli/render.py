"""`moonwatch render`: an annotated clip of a run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import File, Overrides
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.private_files import let_group_read
from pipeline.deployment.loader import load
from pipeline.render.scene import render_camera


def render(
    file: File,
    tracks: Annotated[Path, typer.Option(help="File written by `run --record`.")],
    out: Annotated[Path, typer.Option(help="The clip to write.")],
    overrides: Overrides = [],
    camera: Annotated[
        str | None, typer.Option(help="Camera to draw; by default the first one.")
    ] = None,
) -> None:
    """Draw the boxes, trails and counts of a run onto its clip."""
    deployment = load(file, overrides)
    name = camera or next(iter(deployment.cameras))
    if name not in deployment.cameras:
        raise ConfigError([Problem("--camera", f"{file} has no camera {name!r}")])
    let_group_read(deployment.files.group)
    drawn = render_camera(deployment, name, tracks, out, progress=sys.stderr.isatty())
    typer.echo(f"{out}: {drawn} pictures")
