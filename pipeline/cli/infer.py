"""`moonwatch infer`: the engines, in a process of its own."""

from typing import Annotated

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, WithParent
from pipeline.cli.stage_options import known_names, place_of_stage
from pipeline.deployment.loader import load
from pipeline.runtime.assembly import used_engines
from pipeline.runtime.stage_process import serve
from pipeline.runtime.stages.inference import InferenceStage

Engines = Annotated[
    list[str], typer.Option("--engine", metavar="NAME", help="Only this engine; may be repeated.")
]


def infer(
    file: File,
    overrides: Overrides = [],
    engine: Engines = [],
    http: Http = None,
    logs: LogFormatOption = "text",
    with_parent: WithParent = False,
) -> None:
    """Answer with the engines, in a process of its own; as many as wanted share the work."""
    deployment = load(file, overrides)
    only = known_names("--engine", engine, used_engines(deployment))
    process_context = place_of_stage(deployment, http, logs, with_parent=with_parent)
    serve(
        "inference",
        lambda _: (InferenceStage(process_context.context, only), dict),
        process_context,
    )
