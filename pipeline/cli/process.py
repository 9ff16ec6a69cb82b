"""`moonwatch process`: the rules, in a process of its own."""

import re
from typing import Annotated, Any

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, WithParent
from pipeline.cli.stage_options import place_of_stage
from pipeline.core.errors import ConfigError, Problem, QueueError
from pipeline.deployment.loader import load
from pipeline.processing.tenure import Tenure, Terms
from pipeline.runtime.reports import Facts, Reporter, reports_of
from pipeline.runtime.stage_process import (
    Make,
    Workplace,
    opened_store,
    serve,
)
from pipeline.runtime.stages.base import Stage
from pipeline.runtime.stages.processing import ShardedProcessingStage, Share

Shard = Annotated[
    str | None,
    typer.Option(metavar="N/OF", help="A fixed share, like 1/4; a fair share by itself if not."),
]


def process(
    file: File,
    overrides: Overrides = [],
    shard: Shard = None,
    http: Http = None,
    logs: LogFormatOption = "text",
    with_parent: WithParent = False,
) -> None:
    """Judge the answers, in a process of its own; as many as wanted share the cameras."""
    place = place_of_stage(load(file, overrides), http, logs, with_parent=with_parent)
    partitions = place.queues.results.partitions
    # What it took of cameras that are another's would be let go.
    serve("processing", _processing(place, _shard(shard, partitions)), place, surely_agreed=True)


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
