"""`moonwatch run`: all stages of a deployment, in one process or one process each."""

import json
import logging
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.beside import ApplicationProcess, ApplicationThread, Beside
from pipeline.cli.options import AsJson, File, Http, LogFormatOption, Overrides, Watch, log_format
from pipeline.cli.run_loop import work
from pipeline.cli.signals import hang_up_on_signal, stop_on_signals
from pipeline.cli.tables import print_tables, remarks_table, summary_tables
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.private_files import let_group_read
from pipeline.deployment.loader import missing_here, read
from pipeline.deployment.model import Deployment
from pipeline.runtime.media_links import file_pages, say_if_nothing_serves
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.process_group import Order, ScaledRun
from pipeline.runtime.reload import DeploymentFile
from pipeline.runtime.single_process import Run
from pipeline.telemetry.http import HealthAnswers, ListenAddress, address_of, answering
from pipeline.telemetry.logs import set_up

logger = logging.getLogger(__name__)


def run(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    logs: LogFormatOption = "text",
    http: Http = None,
    record: Annotated[
        Path | None, typer.Option(help="Write all tracks to this file, for `render`.")
    ] = None,
    watch: Watch = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="If another run uses the store, wait for it to end.")
    ] = False,
) -> None:
    """Run all stages of a deployment.

    Ends when all of its cameras are files that have ended. With a queue in memory the stages share
    this process, and no other run can use the store. With Redis each stage is a separate process,
    supervised by this one; they serve --http on the ports after this one's, and share the work with
    other runs.
    """
    loaded = DeploymentFile(file, tuple(overrides), read(file, overrides), watch)
    deployment = loaded.deployment
    let_group_read(deployment.files.group)
    if missing := missing_here(loaded.loaded, only_fatal=True):
        raise ConfigError(missing)
    address = address_of(http) if http is not None else None
    set_up(log_format(logs))
    for problem in missing_here(loaded.loaded):
        logger.warning("%s", problem)
    stop, hang_up = stop_on_signals(), hang_up_on_signal()
    if not deployment.queue.is_shared:
        with RunOwnership(deployment) as ownership:
            if ownership.take(stop=stop, wait=wait):
                running = Run(deployment, ownership, record, loaded)
                beside = ApplicationThread(file, overrides, SystemClock(), running.queues)
                _run(running, deployment, stop, hang_up, address, beside, as_json=as_json)
    elif record is not None:
        message = "needs all stages in one process: `--set queue={type: memory}`"
        raise ConfigError([Problem("--record", message)])
    else:
        scaled = ScaledRun(loaded, Order(file, tuple(overrides), logs, address, watch))
        child = ApplicationProcess(file, overrides, logs, SystemClock())
        scaled.beside_pids = lambda: child.pids
        _run(scaled, deployment, stop, hang_up, address, child, as_json=as_json)
    if stop.is_set() and not as_json:
        typer.echo("stopped; run it again to resume", err=True)


def _run(
    running: Run | ScaledRun,
    deployment: Deployment,
    stop: threading.Event,
    hang_up: threading.Event,
    address: ListenAddress | None,
    beside: Beside,
    *,
    as_json: bool,
) -> None:
    """Run to the end and print the results; raises MoonwatchError on failure.

    With `web.listen` the application answers `beside` it.
    """
    files = file_pages(deployment, SystemClock())
    answers = HealthAnswers(running.ready, running.metrics.exposition, running.remark, files)
    if address is None:
        say_if_nothing_serves(deployment)
    with answering(address, answers):
        running.beside = lambda: beside.trouble
        is_wanted = deployment.web.listen is not None
        look = beside.poll if is_wanted else None
        try:
            summary = work(running, stop, hang_up, quiet=as_json, look=look)
        finally:
            beside.stop()
    if as_json:
        answer = summary.as_json() | {"remarks": list(running.remarks)}
        typer.echo(json.dumps(answer, indent=2))
    else:
        scope = "counts and events: everything in the store; frames: this run only"
        Console().print(scope, style="dim")
        tables = [*summary_tables(summary)]
        if running.remarks:
            tables.append(remarks_table(running.remarks))
        print_tables(tables)
    reason = running.failure or running.shortfall
    if reason is None and not stop.is_set():
        reason = summary.undelivered()
    elif summary.behind:
        typer.echo(summary.undelivered(), err=True)
    if reason is not None:
        raise MoonwatchError(reason)
