"""`moonwatch snapshot`: a camera's picture with its lines, zones and masks drawn on it."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import File, Overrides
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.private_files import let_group_read
from pipeline.deployment.loader import read_parts
from pipeline.deployment.problems.suggestions import nearest
from pipeline.render.snapshot import write_event, write_sketch
from pipeline.telemetry.logs import set_up


def snapshot(
    file: File,
    camera: Annotated[str, typer.Argument(help="The camera.", metavar="CAMERA")],
    out: Annotated[
        Path | None,
        typer.Option(help="The PNG (or, as .jpg, the JPEG) to write; by default CAMERA.png, here."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="The moment of a recording: 90s after its beginning, 12:30 at the site, or "
            "2026-06-01T12:30; its first picture when left out.",
        ),
    ] = None,
    heat: Annotated[
        str | None,
        typer.Option(
            metavar="RULE", help="A rule of the type heat_map: its whole map is drawn below."
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="A rule or a sequence: its last event, or the one nearest to --at, with what it "
            "is about and what it says."
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=200, max=4000, help="How wide the picture is drawn, in pixels."),
    ] = None,
    overrides: Overrides = [],
) -> None:
    """Draw a camera's lines, zones and masks on a picture of it, with coordinates at the edges.

    What is wrong in the file is said, and everything else is drawn. The arrow of a line points to
    its `in` side.
    """
    set_up("text", "ERROR")
    parts = read_parts(file, overrides)
    cameras = parts.deployment.cameras
    mine = [problem for problem in parts.problems if _concerns(problem, f"cameras.{camera}")]
    if camera not in cameras:
        if mine:
            raise ConfigError(mine)
        guess = nearest(camera, cameras)
        advice = f"did you mean {guess!r}?" if guess else f"it has {', '.join(cameras)}"
        raise ConfigError([Problem("CAMERA", f"{file} has no camera {camera!r}; {advice}")])
    # Without its masks, a picture would show what it must not.
    needed = [f"cameras.{camera}.source", f"cameras.{camera}.sample", "defaults", "include"]
    fatal = [one for one in parts.problems if any(_concerns(one, path) for path in needed)]
    if fatal or ("cameras", camera) in parts.broken:
        raise ConfigError(fatal or mine)
    for problem in parts.problems:
        typer.echo(f"  {problem}", err=True)
    let_group_read(parts.deployment.files.group)
    path = out or Path(f"{camera}.png")
    if rule is not None and heat is not None:
        raise ConfigError([Problem("--rule", "draws an event, and --heat a map; leave one out")])
    if rule is None:
        shot = write_sketch(parts, camera, at, path, heat, width)
    else:
        shot = write_event(parts, camera, rule, at, path, width)
    if shot.remark:
        typer.echo(shot.remark, err=True)
    if parts.problems:
        typer.echo("what is wrong in the file, above, is not drawn", err=True)
    typer.echo(str(path))


def _concerns(problem: Problem, path: str) -> bool:
    return problem.path == path or problem.path.startswith(f"{path}.")
