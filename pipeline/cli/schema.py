"""`moonwatch schema`: the JSON Schema of deployment files, and of manual counts."""

import json
from typing import Annotated

import typer

from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.json_schema import json_schema
from pipeline.insight.evaluation import truth_schema


def schema(
    of: Annotated[
        str, typer.Argument(metavar="deployment|truth", help="Of which kind of file.")
    ] = "deployment",
) -> None:
    """Print the JSON Schema of deployment files, for editors, or of `evaluate`'s manual counts."""
    kinds = {"deployment": json_schema, "truth": truth_schema}
    if of not in kinds:
        said = f"there is no schema of {of[:40]!r}; there are {' and '.join(kinds)}"
        raise ConfigError([Problem("", said)])
    typer.echo(json.dumps(kinds[of](), indent=2))
