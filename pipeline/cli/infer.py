"""`moonwatch infer`: the engines in a separate process."""

from typing import Annotated

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, Watch, WithParent
from pipeline.cli.stage_options import known_names, stage_process
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import used_engines
from pipeline.runtime.reports import Facts, Reporter
from pipeline.runtime.stage_process import serve
from pipeline.runtime.stages.base import Stage
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
    watch: Watch = False,
    with_parent: WithParent = False,
) -> None:
    """Run the engines in a separate process.

    Any number of these processes share the work.
    """

    def narrowed(deployment: Deployment) -> Deployment:
        known_names("--engine", engine, used_engines(deployment))
        return deployment

    process_context = stage_process(
        file, overrides, http, logs, with_parent=with_parent, watch=watch, narrowed=narrowed
    )

    def make(_: Reporter) -> tuple[Stage, Facts]:
        stage = InferenceStage(process_context.context, engine)
        return stage, lambda: {"engines": sorted(stage.engines), "notes": stage.notes}

    serve("inference", make, process_context)
