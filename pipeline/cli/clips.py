"""`moonwatch clips`: which clips events asked for, and what became of each."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, get_args

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.moments import Since, Until, span_of
from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.tables import print_tables
from pipeline.core.clips import Clip, ClipState
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import JsonValue, timestamp
from pipeline.core.local_time import local_time
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.suggestions import hint
from pipeline.telemetry.logs import set_up


class ClipIs(StrEnum):
    """What became of a clip."""

    WANTED = "wanted"
    HELD = "held"
    READY = "ready"
    PARTIAL = "partial"
    FAILED = "failed"


def clips(
    file: File,
    camera: Annotated[str | None, typer.Option(help="Only of this camera.")] = None,
    state: Annotated[
        list[ClipIs] | None, typer.Option(help="Only in this state; may be given again.")
    ] = None,
    since: Since = None,
    until: Until = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """List the clips of events: what is there, how much before the event it shows, or why not.

    The period is that of the events. See docs/clips.md.
    """
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    if camera is not None and camera not in deployment.cameras:
        said = f"there is no camera {camera!r}{hint(camera, deployment.cameras)}"
        raise ConfigError([Problem("--camera", said)])
    clock = SystemClock()
    span = span_of(since, until, clock.now(), deployment.site.timezone)
    store = deployment.store.build_reader(clock)
    try:
        chosen = {one.value for one in state or ()}
        states: list[ClipState] = [one for one in get_args(ClipState) if one in chosen]
        found = [
            clip
            for clip in store.clips.clips(states, camera, limit=10**9)
            if (span.since is None or span.since <= clip.wish.event_at)
            and (span.until is None or clip.wish.event_at < span.until)
        ]
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([_as_json(clip) for clip in found], indent=2))
    elif found:
        print_tables([_table(found, deployment)])
    else:
        wanted = any(
            rule.clip for one in deployment.cameras.values() for rule in one.rules.values()
        )
        typer.echo("no clips" if wanted else "no clips: no rule has `clip: true`")


def _as_json(clip: Clip) -> JsonValue:
    wish, got_s = clip.wish, clip.preroll_s
    return {
        "reference": wish.reference,
        "camera": wish.camera,
        "run": wish.run,
        "state": clip.state,
        "reason": clip.reason,
        "event_at": timestamp(wish.event_at),
        "from": timestamp(wish.since),
        "to": timestamp(wish.until),
        "before": {
            "asked": round(clip.asked_s, 3),
            "got": None if got_s is None else round(got_s, 3),
        },
        "folder": clip.folder,
        "files": [
            {
                "reference": reference,
                "from": timestamp(one.since),
                "to": timestamp(one.until),
                "bytes": one.size,
                "sha256": one.digest,
                "codec": one.codec,
                "width": one.width,
                "height": one.height,
                "pictures": one.pictures,
            }
            for reference, one in clip.files
        ],
    }


def _table(found: Sequence[Clip], deployment: Deployment) -> Table:
    table = Table(title="clips", title_justify="left", title_style="bold")
    for column in ("event", "camera", "state", "before", "length", "size", "files", "reason"):
        table.add_column(column, overflow="fold")
    for clip in found:
        wish, got_s = clip.wish, clip.preroll_s
        files = clip.files
        seconds = sum(one.until - one.since for _, one in files)
        size = sum(one.size for _, one in files)
        table.add_row(
            local_time(wish.event_at, deployment.site_of(wish.camera).timezone),
            wish.camera,
            clip.state,
            f"{'nothing' if got_s is None else f'{got_s:.1f}'} of {clip.asked_s:.1f} s",
            f"{seconds:.1f} s" if files else "",
            f"{size / 1e6:.1f} MB" if files else "",
            Text(" ".join(reference for reference, _ in files) or wish.reference),
            Text(clip.reason),
        )
    return table
