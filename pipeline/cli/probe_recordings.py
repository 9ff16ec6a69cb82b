"""What `moonwatch check --probe` prints about a deployment's recordings and engines elsewhere."""

import typer

from pipeline.cli.tables import print_tables, probed_table
from pipeline.core.events import JsonValue
from pipeline.deployment.model import Deployment
from pipeline.insight.probing import probe, probe_engines


def as_json(deployment: Deployment) -> dict[str, JsonValue]:
    """What was found, and whether all of it can be used, for machines."""
    probed = list(probe(deployment))
    engines: dict[str, JsonValue] = {}
    for name, problems in probe_engines(deployment):
        engines[name] = [*problems]
    answer: dict[str, JsonValue] = {
        "ok": not any(one.failure for one in probed) and not any(engines.values()),
        "recordings": [one.as_json() for one in probed],
    }
    if engines:
        answer["engines"] = engines
    return answer


def show(deployment: Deployment) -> bool:
    """Print a table for each camera; whether all recordings and engines can be used."""
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
    for name, problems in probe_engines(deployment):
        for problem in problems:
            is_well = False
            typer.echo(f"  engine {name}: {problem}", err=True)
        if not problems:
            typer.echo(f"engine {name}: is there, and has the model")
    return is_well
