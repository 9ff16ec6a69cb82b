"""`moonwatch web`: the application in a browser."""

import json
from typing import Annotated

import typer

from pipeline.cli.options import File, LogFormatOption, Overrides, WithParent, log_format
from pipeline.cli.signals import hang_up_on_signal, stop_on_signals
from pipeline.core.clock import SystemClock
from pipeline.core.errors import MoonwatchError
from pipeline.runtime.stage_process import stop_with_parent
from pipeline.telemetry.logs import set_up
from pipeline.web.app import interface_description
from pipeline.web.reporting import ApplicationReporter
from pipeline.web.run import WebServer, open_state
from pipeline.web.state import WebState

_LOOK_S = 0.2


def _describe(wanted: bool) -> None:
    if wanted:
        typer.echo(json.dumps(interface_description(), indent=2))
        raise typer.Exit


def web(
    file: File,
    overrides: Overrides = [],
    listen: Annotated[
        str | None,
        typer.Option(metavar="[HOST]:PORT", help="Where to answer; :8090 by default."),
    ] = None,
    guest: Annotated[
        bool,
        typer.Option(
            "--guest",
            help="Let one browser of this machine look without a name, by a link that is shown.",
        ),
    ] = False,
    logs: LogFormatOption = "text",
    openapi: Annotated[
        bool,
        typer.Option(
            "--openapi",
            is_eager=True,
            callback=_describe,
            help="Print the API's description (OpenAPI, JSON) and end; takes no file.",
        ),
    ] = False,
    with_parent: WithParent = False,
) -> None:
    """Show a deployment in a browser: live pictures, events, numbers and how it is."""
    set_up(log_format(logs))
    stop, clock = stop_on_signals(), SystemClock()
    hang_up = hang_up_on_signal()
    if with_parent:
        stop_with_parent(stop)
    state = open_state(file, overrides, clock)
    try:
        server = WebServer(state, listen, local_only=guest)
        server.start()
        typer.echo(f"the application answers on {server.address}")
        _say_links(state, server, guest=guest)
        try:
            reporter = ApplicationReporter(state, clock)
            while not stop.wait(_LOOK_S) and server.failure is None:
                reporter.poll()
                if hang_up.is_set():
                    hang_up.clear()
                    state.file.look_now()
        finally:
            server.stop()
    finally:
        state.store.close()
    if server.failure is not None:
        raise MoonwatchError(server.failure)


def _say_links(state: WebState, server: WebServer, *, guest: bool) -> None:
    """To whoever started it, and never into the log."""
    if guest:
        link = f"{server.address}/sign-in#guest={state.entrance.offer_guest()}"
        typer.echo(f"look without a name, once: {link}")
    elif not state.entrance.has_people():
        link = f"{server.address}/set-up#{state.entrance.offer_set_up()}"
        typer.echo(f"there are no users yet; make the first one, an admin: {link}")
