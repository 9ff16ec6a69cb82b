"""What the commands of the single stages share."""

from collections.abc import Collection

from pipeline.cli.options import log_format
from pipeline.cli.run_loop import stop_on_signals
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.model import Deployment
from pipeline.runtime.stage_process import ProcessContext, stop_with_parent, workplace
from pipeline.telemetry.http import address_of
from pipeline.telemetry.logs import set_up


def place_of_stage(
    deployment: Deployment, http: str | None, logs: str, *, with_parent: bool
) -> ProcessContext:
    """A place for one stage with logging and signals set up; raises ConfigError."""
    address = address_of(http) if http is not None else None
    set_up(log_format(logs))
    stop = stop_on_signals()
    process_context = workplace(deployment, address, stop)
    if with_parent:
        stop_with_parent(stop)
    return process_context


def known_names(option: str, names: list[str], known: Collection[str]) -> list[str]:
    """The names, all of which there are; raises ConfigError."""
    problems = [
        Problem(option, f"there is no {name!r} at work; there is: {', '.join(known)}")
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return names
