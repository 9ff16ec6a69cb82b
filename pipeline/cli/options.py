"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from pipeline.telemetry.logs import LogFormat

File = Annotated[Path, typer.Argument(help="The deployment file.", metavar="FILE")]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="PATH=VALUE", help="Override a key, such as site.name=Shop."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogFormatOption = Annotated[
    str, typer.Option("--log-format", metavar="text|json", help="Format of the log.")
]
Http = Annotated[
    str | None,
    typer.Option(
        "--http",
        metavar="[HOST]:PORT",
        help="Serve /healthz, /readyz and /metrics here. :9100 means 127.0.0.1:9100, this machine "
        "only; 0.0.0.0:9100 is reachable from other machines.",
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Apply the file whenever it changes, as `moonwatch reload` does once."
    ),
]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]
"""End when the process that started this one ends."""


def log_format(value: str) -> LogFormat:
    """A known log format; raises BadParameter."""
    for known in get_args(LogFormat):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise typer.BadParameter(f"{value!r} is not a log format; use text or json")
