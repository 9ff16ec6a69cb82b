"""`moonwatch process`: the rules in a separate process."""

import re
from typing import Annotated, Any

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, Watch, WithParent
from pipeline.cli.stage_options import stage_process
from pipeline.core.errors import ConfigError, Problem, QueueError
from pipeline.processing.leases import PartitionLeases
from pipeline.runtime.reports import Facts, Reporter, reports_of
from pipeline.runtime.stage_process import (
    Make,
    ProcessContext,
    opened_store,
    serve,
)
from pipeline.runtime.stages.base import Stage
from pipeline.runtime.stages.processing import ShardedProcessingStage

Shard = Annotated[
    str | None,
    typer.Option(metavar="N/OF", help="A fixed share, such as 1/4; by default a fair share."),
]


def process(
    file: File,
    overrides: Overrides = [],
    shard: Shard = None,
    http: Http = None,
    logs: LogFormatOption = "text",
    watch: Watch = False,
    with_parent: WithParent = False,
) -> None:
    """Evaluate the rules in a separate process.

    Any number of these processes share the cameras.
    """
    process_context = stage_process(
        file, overrides, http, logs, with_parent=with_parent, watch=watch
    )
    partitions = process_context.queues.results.partitions
    # Results that it took for another processor's cameras would be discarded.
    serve(
        "processing",
        _processing(process_context, _shard(shard, partitions)),
        process_context,
        surely_agreed=True,
    )


def _processing(process_context: ProcessContext, shard: frozenset[int] | None) -> Make:
    def make(reporter: Reporter) -> tuple[Stage, Facts]:
        store = opened_store(process_context)
        results = process_context.queues.results
        leases = PartitionLeases(
            process_context.queues.leases,
            reporter.member,
            results.partitions,
            lambda: _processors(process_context),
            store.fences,
            shard=shard,
        )
        stage = ShardedProcessingStage(
            process_context.context, store, results, leases, lambda: _sampled(process_context)
        )

        def facts() -> dict[str, Any]:
            return {
                "partitions": sorted(leases.held),
                "troubles": stage.troubles,
                **stage.facts(),
            }

        return stage, facts

    return make


def _sampled(process_context: ProcessContext) -> frozenset[str] | None:
    """The cameras that some process samples; None when that is unknown."""
    try:
        reports = reports_of(process_context.queues.presence).values()
    except QueueError:
        return None
    return frozenset(name for report in reports if not report.is_last for name in report.samples)


def _processors(process_context: ProcessContext) -> int:
    """How many processors share the work; 1 when that is unknown."""
    try:
        reports = reports_of(process_context.queues.presence).values()
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
        message = (
            f"{text!r} is not a valid share; write 1/4 to 4/4, of up to {partitions} partitions"
        )
        raise ConfigError([Problem("--shard", message)])
    return frozenset(range(number - 1, partitions, of))
