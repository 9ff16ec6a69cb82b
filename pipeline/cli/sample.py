"""`moonwatch sample`: the cameras, in a process of its own."""

from typing import Annotated

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, WithParent
from pipeline.cli.stage_options import known_names, place_of_stage
from pipeline.deployment.loader import load
from pipeline.runtime.reports import Facts, Reporter
from pipeline.runtime.stage_process import serve
from pipeline.runtime.stages.base import Stage
from pipeline.runtime.stages.file_playback import ConfirmedSamplingStage, await_judges, standings_of

Cameras = Annotated[
    list[str], typer.Option("--camera", metavar="NAME", help="Only this camera; may be repeated.")
]


def sample(
    file: File,
    overrides: Overrides = [],
    camera: Cameras = [],
    http: Http = None,
    logs: LogFormatOption = "text",
    with_parent: WithParent = False,
) -> None:
    """Sample the cameras, in a process of its own; ends when all of them were files and ended."""
    deployment = load(file, overrides)
    chosen = {
        name: deployment.cameras[name]
        for name in known_names("--camera", camera, deployment.cameras)
    }
    deployment = deployment.model_copy(update={"cameras": chosen or deployment.cameras})
    process_context = place_of_stage(deployment, http, logs, with_parent=with_parent)

    def make(_: Reporter) -> tuple[Stage, Facts]:
        await_judges(process_context)
        stage = ConfirmedSamplingStage(
            process_context.context, lambda: standings_of(process_context.queues.presence)
        )
        return stage, lambda: {"progress": stage.progress()}

    serve("sampling", make, process_context)
