"""`moonwatch discover`: finds ONVIF cameras and words them as YAML to paste."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from connectors.sources.onvif_client import probe_network
from pipeline.cli.options import AsJson
from pipeline.core.config import parse_duration
from pipeline.core.errors import ConfigError, Problem
from pipeline.insight.discovering import (
    PASSWORD_VARIABLE,
    addresses_in,
    as_yaml,
    describe_all,
)
from pipeline.telemetry.logs import set_up


def discover(
    address: Annotated[
        list[str],
        typer.Option(
            metavar="HOST[:PORT]",
            help="A camera, or a range such as 10.0.0.0/28, instead of asking the network; "
            "repeatable.",
        ),
    ] = [],
    user: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"The cameras' user; the password comes from --password-file, the variable "
            f"{PASSWORD_VARIABLE}, or a prompt.",
        ),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file that holds the password.")
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long cameras on the network may take.")
    ] = "3s",
    as_json: AsJson = False,
) -> None:
    """Find ONVIF cameras, and print them as YAML to paste, with what they say of their streams.

    Exits with 1 where no camera was found that can be used.
    """
    set_up("text", "CRITICAL")
    try:
        wait_s = min(60.0, parse_duration(wait).total_seconds())
    except ValueError as error:
        raise ConfigError([Problem("--wait", str(error))]) from None
    addresses: list[tuple[str, bool]] = []
    for one in address:
        try:
            addresses += addresses_in(one)
        except ValueError as error:
            raise ConfigError([Problem("--address", str(error))]) from None
    password = _password(password_file) if user is not None else ""
    if not address:
        devices, remarks = probe_network(wait_s)
        addresses = [(device.address, True) for device in devices]
        for remark in remarks:
            typer.echo(remark, err=True)
        if not addresses:
            typer.echo(
                f"no camera answered within {wait_s:g} s; multicast does not pass routers, VLANs "
                "and the bridges of containers: name cameras or a range with --address",
                err=True,
            )
    found = list(describe_all(list(dict.fromkeys(addresses)), user, password))
    if as_json:
        typer.echo(json.dumps({"cameras": [one.as_json() for one in found]}, indent=2))
    else:
        typer.echo(as_yaml(found, user), nl=False)
    if not any(one.camera is not None for one in found):
        raise typer.Exit(1)


def _password(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(
                [Problem("--password-file", f"{file} cannot be read: {reason}")]
            ) from None
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise ConfigError(
            [
                Problem(
                    "--user",
                    f"needs a password: give --password-file or the variable {PASSWORD_VARIABLE}",
                )
            ]
        )
    answer: str = typer.prompt("password", hide_input=True, err=True)
    return answer
