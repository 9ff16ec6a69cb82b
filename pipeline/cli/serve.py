"""`moonwatch serve`: the model as a service over HTTP."""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import LogFormatOption, Overrides, log_format
from pipeline.cli.signals import stop_on_signals
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.private_files import let_group_read
from pipeline.deployment.loader import load, parse
from pipeline.deployment.model import Deployment
from pipeline.inference.callers import Callers
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.server.accounts import Accounts
from pipeline.server.app import interface_description
from pipeline.server.config import ServeConfig
from pipeline.server.loading import LateCallers
from pipeline.server.place import accounts_store, shown_store
from pipeline.server.run import ModelServer, limits_of, served_engine, settings_of
from pipeline.telemetry.logs import set_up
from pipeline.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pipeline.inference.engines._moondream import MoondreamEngine

_LOOK_S = 0.2
# What a deployment without cameras is written like: only its engine and its server are used.
_ALONE = """\
version: 1
cameras: {none: {source: {type: file, path: none}}}
engines: {moondream: {type: moondream}}
"""


def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A deployment file with the engine and the section `server:`; without one, "
            "everything comes from the options.",
            metavar="[FILE]",
        ),
    ] = None,
    overrides: Overrides = [],
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="The file's engine that answers.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST]:PORT",
            help="Where to listen; :8080, which is this machine only, by default.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER", help="The model, without a file.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="RELEASE[@COMMIT]", help="Its release.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    max_crops: Annotated[
        int | None, typer.Option(metavar="N", help="Local crops of a picture at most.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where keys and accounts are kept, without a file; see `token`."
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Want no keys; only on this machine's own address.")
    ] = False,
    openapi: Annotated[
        bool,
        typer.Option("--openapi", help="Print the interface in OpenAPI's form, and end."),
    ] = False,
    logs: LogFormatOption = "text",
) -> None:
    """Answer questions about pictures over HTTP, as the clients of OpenAI and Moondream ask them.

    Without a file, settings are given with --set too, such as
    --set server.prices.per_1000_pictures=0.6.
    """
    if openapi:
        typer.echo(json.dumps(interface_description(), indent=2))
        return
    asked = {
        "model": model,
        "revision": revision,
        "device": device,
        "dtype": dtype,
        "max_crops": max_crops,
    }
    deployment = _deployment(file, overrides, asked)
    settings = settings_of(deployment, listen, no_auth=no_auth)
    name = served_engine(deployment, engine)
    config = deployment.engines[name]
    assert isinstance(config, MoondreamConfig)
    for lack in config.lacks():
        if lack.is_fatal:
            raise ConfigError([Problem(f"engines.{name}.{lack.key}", lack.message)])
    let_group_read(deployment.files.group)
    set_up(log_format(logs))
    # OpenCV's own start breaks where two threads import it at once: the one that loads the model,
    # and one that answers.
    importlib.import_module("cv2")
    stop, clock = stop_on_signals(), SystemClock()
    where = accounts_store(file, store, overrides)
    accounts = Accounts(
        where, clock, prices=settings.prices, ledger=settings.ledger, wants_keys=not no_auth
    )
    callers, engines = _late(config, settings, clock)
    try:
        server = ModelServer(callers, accounts, settings, Metrics(), clock)
    except BaseException:
        accounts.close()
        raise
    server.start()
    callers.start()
    typer.echo(f"answering on {server.address}/v1; keys and accounts are in {shown_store(where)}")
    failure = None
    try:
        while not stop.wait(_LOOK_S) and failure is None:
            failure = server.failure or callers.failure or _stopped(engines)
    finally:
        server.stop(settings.finish_within.total_seconds())
        for one in engines:
            one.close()
    if failure is not None:
        raise MoonwatchError(failure)


def _deployment(
    file: Path | None, overrides: list[str], asked: dict[str, str | int | None]
) -> Deployment:
    """The file's deployment, or one that the options describe; raises ConfigError."""
    given = {key: value for key, value in asked.items() if value is not None}
    if file is not None:
        if given:
            option = next(iter(given)).replace("_", "-")
            message = f"the file says what its engines are; use --set engines.NAME.{option}=..."
            raise ConfigError([Problem(f"--{option}", message)])
        return load(file, overrides)
    engine = [f"engines.moondream.{key}={value}" for key, value in given.items()]
    return parse(_ALONE, [*engine, *overrides]).deployment


def _late(
    config: MoondreamConfig, settings: ServeConfig, clock: Clock
) -> tuple[LateCallers, list["MoondreamEngine"]]:
    """Callers whose engine is loaded once they are started, and a list that it then is in."""
    engines: list[MoondreamEngine] = []

    def opened() -> Callers:
        engine = config.build(clock)
        engines.append(engine)
        return engine.open_callers(limits_of(settings))

    return LateCallers(opened), engines


def _stopped(engines: list["MoondreamEngine"]) -> str | None:
    return next((engine.failure for engine in engines if engine.failure), None)
