"""What the commands for single stages share."""

from collections.abc import Callable, Collection
from pathlib import Path

from pipeline.cli.options import log_format
from pipeline.cli.signals import hang_up_on_signal, stop_on_signals
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.private_files import let_group_read
from pipeline.deployment.loader import read
from pipeline.deployment.model import Deployment
from pipeline.runtime.reload import DeploymentFile
from pipeline.runtime.stage_process import ProcessContext, process_context_of, stop_with_parent
from pipeline.telemetry.http import address_of
from pipeline.telemetry.logs import set_up


def stage_process(
    file: Path,
    overrides: list[str],
    http: str | None,
    logs: str,
    *,
    with_parent: bool,
    watch: bool,
    narrowed: Callable[[Deployment], Deployment] = lambda deployment: deployment,
) -> ProcessContext:
    """A process for one stage of a file, with logging and signals set up; raises ConfigError.

    `narrowed` is the part of the deployment that is this process's.
    """
    loaded = DeploymentFile(file, tuple(overrides), read(file, overrides), watch, narrowed)
    let_group_read(loaded.deployment.files.group)
    address = address_of(http) if http is not None else None
    set_up(log_format(logs))
    stop = stop_on_signals()
    process_context = process_context_of(loaded, address, stop, hang_up_on_signal())
    if with_parent:
        stop_with_parent(stop)
    return process_context


def known_names(option: str, names: list[str], known: Collection[str]) -> list[str]:
    """The names, each of which must be known; raises ConfigError."""
    problems = [
        Problem(option, f"{name!r} is not in the file; it has: {', '.join(known)}")
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return names
