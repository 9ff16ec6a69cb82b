"""`moonwatch schema`: the JSON Schema of deployment files."""

import json

import typer

from pipeline.deployment.json_schema import json_schema


def schema() -> None:
    """Print the JSON Schema of deployment files, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))
