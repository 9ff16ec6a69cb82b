"""`moonwatch infer`: the engines in a separate process."""

import importlib
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, Watch, WithParent
from pipeline.cli.stage_options import known_names, stage_process
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.machine import how_to_install
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import used_engines
from pipeline.runtime.reports import Facts, Reporter
from pipeline.runtime.stage_process import serve
from pipeline.runtime.stages.base import Stage
from pipeline.runtime.stages.inference import InferenceStage

if TYPE_CHECKING:
    from types import ModuleType

    from pipeline.server.stage import ServingStage

Engines = Annotated[
    list[str], typer.Option("--engine", metavar="NAME", help="Only this engine; may be repeated.")
]


def infer(
    file: File,
    overrides: Overrides = [],
    engine: Engines = [],
    http: Http = None,
    logs: LogFormatOption = "text",
    watch: Watch = False,
    with_parent: WithParent = False,
    serve_on: Annotated[
        str | None,
        typer.Option(
            "--serve",
            metavar="[HOST]:PORT",
            help="Answer callers over HTTP too, as `moonwatch serve` does, from the same engine; "
            "the section `server:` says how.",
        ),
    ] = None,
    no_auth: Annotated[
        bool,
        typer.Option("--no-auth", help="With --serve on this machine's own address: want no keys."),
    ] = False,
) -> None:
    """Run the engines in a separate process.

    Any number of these processes share the work.
    """
    if no_auth and serve_on is None:
        raise ConfigError([Problem("--no-auth", "means nothing without --serve")])
    serving = _serving() if serve_on is not None else None

    def narrowed(deployment: Deployment) -> Deployment:
        used = used_engines(deployment)
        known_names("--engine", engine, used)
        if serving is not None:  # said now: loading a model takes minutes
            serving.check_serving(deployment, serve_on, engine or used, no_auth=no_auth)
        return deployment

    process_context = stage_process(
        file, overrides, http, logs, with_parent=with_parent, watch=watch, narrowed=narrowed
    )

    def make(_: Reporter) -> tuple[Stage, Facts]:
        stage: InferenceStage | ServingStage = InferenceStage(process_context.context, engine)
        if serving is not None:
            stage = serving.serving_stage(stage, process_context.context, serve_on, no_auth=no_auth)
        return stage, lambda: {"engines": sorted(stage.engines), "notes": stage.notes}

    serve("inference", make, process_context)


def _serving() -> "ModuleType":
    """What answers callers; imported only where it is asked for, as it needs an extra."""
    try:
        return importlib.import_module("pipeline.server.stage")
    except ModuleNotFoundError as error:
        way_out = how_to_install("moondream,server")
        raise MoonwatchError(f"--serve needs {error.name}; install it with: {way_out}") from None
