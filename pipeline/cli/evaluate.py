"""`moonwatch evaluate`: a deployment's counts checked against a manual count."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.run_loop import one_camera, work
from pipeline.cli.signals import stop_on_signals
from pipeline.cli.tables import audits_table, comparison_table, print_tables
from pipeline.core.audits import Audit
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem, StoreError
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.insight.evaluation import (
    compare,
    read_truth,
    truth_template,
    uncounted,
    worst_error,
)
from pipeline.insight.summary import Summary, audit_json, last_audits
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.single_process import Run
from pipeline.telemetry.logs import set_up


def evaluate(
    file: File,
    truth: Annotated[
        Path | None, typer.Argument(help="The manual counts, as JSON.", metavar="TRUTH")
    ] = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
    camera: Annotated[
        str | None, typer.Option(help="Camera that was counted; by default the first one.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(help="Exit with 1 if an error is above this fraction, such as 0.1."),
    ] = None,
    template: Annotated[
        bool,
        typer.Option("--template", help="Print a file for the manual counts, to be filled in."),
    ] = False,
) -> None:
    """Check the counts on a clip against a manual count.

    `--template` prints what to count, and `moonwatch schema truth` the JSON Schema of the file.
    """
    if template:
        if truth is not None:
            said = f"writes no file; redirect it: moonwatch evaluate {file} --template > {truth}"
            raise ConfigError([Problem("--template", said)])
        deployment, name = one_camera(file, overrides, camera)
        typer.echo(json.dumps(truth_template(deployment.cameras[name]), indent=2))
        return
    if truth is None:
        said = f"is missing; moonwatch evaluate {file} --template prints one to fill in"
        raise ConfigError([Problem("TRUTH", said)])
    known = read_truth(truth)
    with tempfile.TemporaryDirectory(prefix="moonwatch-evaluate-") as folder:
        # A temporary store and no sinks: an evaluation leaves no trace and sends no alarms.
        own = [f"store.url=sqlite:///{folder}/events.db", "sinks={}", "queue={type: memory}"]
        deployment, name = one_camera(file, [*overrides, *own], camera)
        summary = _evaluated(deployment, quiet=as_json)
    rows = compare(deployment.cameras[name], known, summary)
    if not rows:
        raise ConfigError([Problem(str(truth), f"has no line or zone at which {name!r} counts")])
    worst = worst_error(rows)
    audits = [one for one in _audits(file, overrides) if one.camera == name]
    if as_json:
        found = [asdict(row) | {"error": round(row.error, 4)} for row in rows]
        told = {"rows": found, "worst": round(worst, 4)}
        told |= {"audits": [audit_json(one) for one in audits]} if audits else {}
        typer.echo(json.dumps(told, indent=2))
    else:
        print_tables([comparison_table(rows), *([audits_table(audits)] if audits else [])])
    for place in uncounted(deployment.cameras[name], known):
        typer.echo(f"{truth}: no rule of {name!r} counts at {place}; skipped", err=True)
    if max_error is not None and worst > max_error:
        raise MoonwatchError(f"the largest error is {worst:.3f}, above --max-error {max_error:g}")


def _audits(file: Path, overrides: list[str]) -> Sequence[Audit]:
    """What persons have found out about the file's own counts, if its store is there."""
    deployment = load(file, overrides)
    try:
        store = deployment.store.build_reader(SystemClock())
    except StoreError:  # a file that was never run is evaluated like any other
        return ()
    try:
        return last_audits(deployment, store.audits)
    except StoreError as error:
        typer.echo(f"audits are not shown: {error}", err=True)
        return ()
    finally:
        store.close()


def _evaluated(deployment: Deployment, *, quiet: bool) -> Summary:
    set_up("text", "WARNING")
    stop = stop_on_signals()
    with RunOwnership(deployment) as ownership:
        ownership.take(stop=stop)
        run = Run(deployment, ownership)
        summary = work(run, stop, quiet=quiet)
    reason = run.failure or run.shortfall
    if reason is not None:
        raise MoonwatchError(reason)
    if stop.is_set():
        raise MoonwatchError("stopped before the end of the clip, so there is nothing to compare")
    return summary
