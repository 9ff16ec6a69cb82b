"""`moonwatch arm`: rules with `when: armed` report from now on."""

import getpass
import json
import socket
from collections.abc import Collection
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.arming import ArmingChange
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.local_time import local_time
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.telemetry.logs import set_up

Cameras = Annotated[
    list[str] | None,
    typer.Option("--camera", metavar="NAME", help="Only this camera; may be given again."),
]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who it is; your login unless given.")
]
_LONGEST_NAME = 200


def arm(
    file: File,
    overrides: Overrides = [],
    camera: Cameras = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Arm all cameras, or some: rules with `when: armed` report, until the plan changes next."""
    switch(load(file, overrides), camera or (), by, is_armed=True, as_json=as_json)


def switch(
    deployment: Deployment,
    cameras: Collection[str],
    by: str | None,
    *,
    is_armed: bool,
    as_json: bool,
) -> None:
    """Arm or disarm, and say what came of it; raises ConfigError for unknown cameras."""
    for name in cameras:
        if name not in deployment.cameras:
            close = get_close_matches(name, deployment.cameras, n=1)
            known = ", ".join(deployment.cameras)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {known}"
            raise ConfigError([Problem("--camera", f"there is no camera {name!r}{hint}")])
    who = author(by)
    set_up("text", "ERROR")
    store = deployment.store.build(SystemClock())
    try:
        targets: list[str | None] = [*dict.fromkeys(cameras)] or [None]
        changes = [store.arm(target, is_armed, who) for target in targets]
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([asdict(change) for change in changes], indent=2))
        return
    for change in changes:
        typer.echo(_line(change, deployment))
    for sentence in _nothing_to_switch(deployment, cameras):
        typer.echo(sentence)


def author(by: str | None) -> str:
    """Who does it: the name that was given, or the login; raises ConfigError for no name."""
    who = (by or f"{getpass.getuser()}@{socket.gethostname()}").strip()
    if not who or len(who) > _LONGEST_NAME or not who.isprintable():
        raise ConfigError(
            [Problem("--by", f"a name of 1 to {_LONGEST_NAME} letters, on one line, is needed")]
        )
    return who


def _line(change: ArmingChange, deployment: Deployment) -> str:
    whom = "all cameras" if change.camera is None else f"camera {change.camera}"
    site = deployment.site if change.camera is None else deployment.site_of(change.camera)
    state = "armed" if change.is_armed else "disarmed"
    return f"{whom}: {state} from {local_time(change.at, site.timezone)} on, by {change.by}"


def _nothing_to_switch(deployment: Deployment, cameras: Collection[str]) -> list[str]:
    chosen = cameras or deployment.cameras
    rules = [rule for name in chosen for rule in deployment.cameras[name].rules.values()]
    if any(rule.when != "always" for rule in rules):
        return []
    return ["no rule of theirs has `when: armed` or `when: disarmed`, so all report as before"]
