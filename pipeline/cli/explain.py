"""`moonwatch explain`: a deployment file as moonwatch understands it."""

import json

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.deployment import explain as explaining
from pipeline.deployment.loader import read


def explain(file: File, overrides: Overrides = [], as_json: AsJson = False) -> None:
    """Show every value of a deployment file, and its origin."""
    loaded = read(file, overrides)
    if as_json:
        typer.echo(json.dumps(explaining.explain_data(loaded), indent=2, default=str))
    else:
        typer.echo(explaining.explain(loaded), nl=False)
