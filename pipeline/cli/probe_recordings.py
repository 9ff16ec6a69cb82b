"""What `moonwatch check --probe` prints about the recordings of a deployment."""

import typer

from pipeline.cli.tables import print_tables, probed_table
from pipeline.core.events import JsonValue
from pipeline.deployment.model import Deployment
from pipeline.insight.probing import probe


def as_json(deployment: Deployment) -> dict[str, JsonValue]:
    """The recordings, and whether all of them can be played, for machines."""
    probed = list(probe(deployment))
    return {
        "ok": not any(one.failure for one in probed),
        "recordings": [one.as_json() for one in probed],
    }


def show(deployment: Deployment) -> bool:
    """Print a table for each camera; whether all recordings can be played."""
    is_well = True
    for one in probe(deployment):
        if one.is_live:
            typer.echo(f"{one.camera}: {one.source}, a live camera, is not opened by --probe")
            continue
        if one.files:
            print_tables([probed_table(one)])
        for remark in one.remarks:
            typer.echo(f"  warning: camera {one.camera}: {remark}")
        if one.failure is not None:
            is_well = False
            typer.echo(f"  camera {one.camera}: {one.failure}", err=True)
    return is_well
