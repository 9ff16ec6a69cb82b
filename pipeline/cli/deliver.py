"""`moonwatch deliver`: the sinks in a separate process."""

from dataclasses import asdict
from typing import Any

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, Watch, WithParent
from pipeline.cli.stage_options import stage_process
from pipeline.core.store import DELIVER
from pipeline.runtime.media_links import file_pages, say_if_nothing_serves
from pipeline.runtime.ownership import StoreLease, this_process
from pipeline.runtime.reports import Facts, Reporter, reports_of
from pipeline.runtime.stage_process import opened_store, serve
from pipeline.runtime.stages.base import Stage
from pipeline.runtime.stages.delivery import DeliveryStage


def deliver(
    file: File,
    overrides: Overrides = [],
    http: Http = None,
    logs: LogFormatOption = "text",
    watch: Watch = False,
    with_parent: WithParent = False,
) -> None:
    """Deliver events to the sinks in a separate process.

    A second one is on standby.
    """
    process_context = stage_process(
        file, overrides, http, logs, with_parent=with_parent, watch=watch
    )

    def make(_: Reporter) -> tuple[Stage, Facts]:
        store, clock = opened_store(process_context), process_context.context.clock
        lease = StoreLease(store, DELIVER, this_process("delivery"), clock)
        stage = DeliveryStage(
            process_context.context,
            store,
            lease,
            store.history,
            store.audits,
            lambda: list(reports_of(process_context.queues.presence).values()),
        )

        def facts() -> dict[str, Any]:
            sinks = {lane.sink: asdict(lane) for lane in stage.status()}
            return {"sinks": sinks, "stands_by": stage.stands_by, "troubles": stage.troubles}

        return stage, facts

    deployment = process_context.context.deployment
    if process_context.http is None:
        say_if_nothing_serves(deployment)
    files = file_pages(deployment, process_context.context.clock)
    serve("delivery", make, process_context, files=files)
