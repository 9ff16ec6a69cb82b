"""`moonwatch reload`: apply a changed deployment file to all running processes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.config import parse_duration
from pipeline.core.errors import MoonwatchError
from pipeline.deployment.loader import read
from pipeline.runtime.meeting import meeting_point
from pipeline.runtime.reload import APPLIED, REQUEST_TTL, new_request
from pipeline.runtime.reports import Report, reports_of
from pipeline.telemetry.logs import set_up

_LOOK_S = 0.2
_NO_ANSWER = "did not answer"


def reload(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    within: Annotated[
        str, typer.Option(help="How long to wait for answers, such as 20s.", metavar="DURATION")
    ] = "20s",
) -> None:
    """Apply a changed file to a running deployment.

    Every process reads its own copy of the file. A file with mistakes changes nothing. Exits with 0
    if every process now uses the current file, and with 1 if one does not.
    """
    loaded = read(file, overrides)
    try:
        within_s = parse_duration(within).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--within") from None
    set_up("text", "CRITICAL")
    clock = SystemClock()
    with meeting_point(loaded.deployment, clock) as meeting:
        asked = {m: r for m, r in reports_of(meeting.presence).items() if not r.is_last}
        if not asked:
            raise MoonwatchError(f"no process of {file} is running; start it with `moonwatch run`")
        request = new_request()
        meeting.requests.ask(request, REQUEST_TTL)
        deadline = clock.monotonic() + within_s
        answered: Mapping[str, Report] = {}
        while clock.monotonic() < deadline:
            # A process that ends meanwhile need not answer; a new one has read the current file.
            present = {m: r for m, r in reports_of(meeting.presence).items() if not r.is_last}
            asked = {m: present.get(m, r) for m, r in asked.items() if m in present}
            answered = {m: r for m, r in asked.items() if r.request == request}
            if len(answered) == len(asked):
                break
            clock.wait(_LOOK_S)
    answers = [_answer(report, request, loaded.digest) for _, report in sorted(asked.items())]
    if as_json:
        rows = [asdict(answer) for answer in answers]
        typer.echo(json.dumps({"version": loaded.digest, "processes": rows}, indent=2))
    else:
        for answer in answers:
            typer.echo(f"{answer.stage} on {answer.host} ({answer.pid}): {answer.outcome}")
            for sentence in answer.said:
                typer.echo(f"  {sentence}")
    if not all(answer.good for answer in answers):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _ProcessAnswer:
    """One process's answer about the changed file."""

    stage: str
    host: str
    pid: int
    outcome: str
    said: Sequence[str]
    good: bool
    """Whether it uses the current file."""


def _answer(report: Report, request: str, version: str) -> _ProcessAnswer:
    outcome, said = report.outcome, list(report.said)
    if report.request != request:
        outcome, said = _NO_ANSWER, ["it may be busy or paused; check with `moonwatch status`"]
    good = outcome in APPLIED
    if good and report.version != version:
        good = False
        said.append("its copy of the file, or its environment, differs from the one read here")
    return _ProcessAnswer(report.stage, report.host, report.pid, outcome, said, good)
