"""`moonwatch sample`, `infer`, `process`, `deliver`: one stage each, in a process of its own."""

import re
from collections.abc import Collection
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pipeline.app.build import used_engines
from pipeline.app.commands.options import (
    File,
    Http,
    LogFormatOption,
    Overrides,
    WithParent,
    log_format,
)
from pipeline.app.commands.working import stop_on_signals
from pipeline.app.config import load
from pipeline.app.delivering import SharedDeliveryStage
from pipeline.app.deployment import Deployment
from pipeline.app.judged import await_judges, standings_of
from pipeline.app.judging import ShardedProcessingStage, Share
from pipeline.app.replaying import ConfirmedSamplingStage
from pipeline.app.reports import Facts, Reporter, reports_of
from pipeline.app.serving import Make, Workplace, opened_store, serve, stop_with_parent, workplace
from pipeline.app.stages import InferenceStage, Stage
from pipeline.core.errors import ConfigError, Problem, QueueError
from pipeline.delivery.duty import Duty
from pipeline.processing.tenure import Tenure, Terms
from pipeline.telemetry.http import address_of
from pipeline.telemetry.logs import set_up

Engines = Annotated[
    list[str], typer.Option("--engine", metavar="NAME", help="Only this engine; may be repeated.")
]
Cameras = Annotated[
    list[str], typer.Option("--camera", metavar="NAME", help="Only this camera; may be repeated.")
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="N/OF", help="A fixed share, like 1/4; a fair share by itself if not."),
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
        name: deployment.cameras[name] for name in _known("--camera", camera, deployment.cameras)
    }
    deployment = deployment.model_copy(update={"cameras": chosen or deployment.cameras})
    place = _place(deployment, http, logs, with_parent=with_parent)

    def make(_: Reporter) -> tuple[Stage, Facts]:
        await_judges(place)
        stage = ConfirmedSamplingStage(place.around, lambda: standings_of(place.queues.presence))
        return stage, lambda: {"progress": stage.progress()}

    serve("sampling", make, place)


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
    only = _known("--engine", engine, used_engines(deployment))
    place = _place(deployment, http, logs, with_parent=with_parent)
    serve("inference", lambda _: (InferenceStage(place.around, only), dict), place)


def process(
    file: File,
    overrides: Overrides = [],
    shard: Shard = None,
    http: Http = None,
    logs: LogFormatOption = "text",
    with_parent: WithParent = False,
) -> None:
    """Judge the answers, in a process of its own; as many as wanted share the cameras."""
    place = _place(load(file, overrides), http, logs, with_parent=with_parent)
    partitions = place.queues.results.partitions
    # What it took of cameras that are another's would be let go.
    serve("processing", _processing(place, _shard(shard, partitions)), place, surely_agreed=True)


def deliver(
    file: File,
    overrides: Overrides = [],
    http: Http = None,
    logs: LogFormatOption = "text",
    with_parent: WithParent = False,
) -> None:
    """Deliver events to the sinks, in a process of its own; a second one stands by."""
    place = _place(load(file, overrides), http, logs, with_parent=with_parent)

    def make(reporter: Reporter) -> tuple[Stage, Facts]:
        duty = Duty(place.queues.leases, reporter.member, place.around.clock)
        stage = SharedDeliveryStage(place.around, opened_store(place), duty)

        def facts() -> dict[str, Any]:
            sinks = {lane.sink: asdict(lane) for lane in stage.status()}
            return {"sinks": sinks, "stands_by": stage.stands_by}

        return stage, facts

    serve("delivery", make, place)


def _known(option: str, names: list[str], known: Collection[str]) -> list[str]:
    """The names, all of which there are; raises ConfigError."""
    problems = [
        Problem(option, f"there is no {name!r} at work; there is: {', '.join(known)}")
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return names


def _place(deployment: Deployment, http: str | None, logs: str, *, with_parent: bool) -> Workplace:
    address = address_of(http) if http is not None else None
    set_up(log_format(logs))
    stop = stop_on_signals()
    place = workplace(deployment, address, stop)
    if with_parent:
        stop_with_parent(stop)
    return place


def _processing(place: Workplace, shard: frozenset[int] | None) -> Make:
    def make(reporter: Reporter) -> tuple[Stage, Facts]:
        terms = Terms(reporter.member, place.queues.results.partitions, shard)
        tenure = Tenure(place.queues.leases, terms, lambda: _processors(place))
        share = Share(place.queues.results, tenure)
        stage = ShardedProcessingStage(place.around, opened_store(place), share)

        def facts() -> dict[str, Any]:
            judged: dict[str, dict[str, tuple[str, int, bool] | None]] = {}
            for (camera, engine), last in stage.judged.items():
                judged.setdefault(camera, {})[engine] = last
            return {"judged": judged, "partitions": sorted(tenure.held)}

        return stage, facts

    return make


def _processors(place: Workplace) -> int:
    """How many there are to share with; the least when nobody can tell."""
    try:
        reports = reports_of(place.queues.presence).values()
    except QueueError:
        return 1
    return sum(report.stage == "processing" and not report.is_last for report in reports)


def _shard(text: str | None, partitions: int) -> frozenset[int] | None:
    """The partitions of a share like 1/4: every fourth, from the first; raises ConfigError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= of <= partitions:
        message = f"{text!r} is no share; write 1/4 to 4/4, of up to {partitions} partitions"
        raise ConfigError([Problem("--shard", message)])
    return frozenset(range(number - 1, partitions, of))
