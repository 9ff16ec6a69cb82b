"""Asks all processes of a deployment to read their file again, and gathers what they answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.deployment.model import Deployment
from pipeline.runtime.meeting import MeetingPoint, meeting_point
from pipeline.runtime.reload import APPLIED, REQUEST_TTL, new_request
from pipeline.runtime.reports import Report, reports_of

_LOOK_S = 0.2
NO_ANSWER = "did not answer"
_NO_ANSWER_YET = "it may be busy or paused; check with `moonwatch status`"
_DIFFERS = "its copy of the file, or its environment, differs from the one read here"


@dataclass(frozen=True, slots=True)
class ProcessAnswer:
    """One process's answer about the changed file."""

    stage: str
    host: str
    pid: int
    outcome: str
    said: Sequence[str]
    good: bool
    """Whether it uses the current file."""


@dataclass(frozen=True, slots=True)
class ReloadAnswers:
    """What all processes answered to one request."""

    request: str
    answers: Sequence[ProcessAnswer]
    """Empty where no process is running."""
    complete: bool
    """Whether each has answered."""


def ask_to_reload(
    deployment: Deployment,
    version: str,
    clock: Clock,
    within_s: float,
    stop: Callable[[], bool] = lambda: False,
) -> ReloadAnswers:
    """Ask, and wait for answers; `version` is the digest of the file as it is now.

    Raises QueueError or StoreError where the processes cannot be reached.
    """
    with meeting_point(deployment, clock) as meeting:
        asked = _running(meeting)
        request = new_request()
        if not asked:
            return ReloadAnswers(request, (), complete=True)
        meeting.requests.ask(request, REQUEST_TTL)
        deadline = clock.monotonic() + within_s
        while True:
            # A process that ends meanwhile need not answer; a new one has read the current file.
            present = _running(meeting)
            asked = {m: present.get(m, r) for m, r in asked.items() if m in present}
            if all(r.request == request for r in asked.values()):
                break
            if clock.monotonic() >= deadline or stop():
                break
            clock.wait(_LOOK_S)
    return _answers(asked, request, version)


def answers_to(deployment: Deployment, request: str, version: str, clock: Clock) -> ReloadAnswers:
    """What the running processes have answered to a request until now; raises as above."""
    with meeting_point(deployment, clock) as meeting:
        return _answers(_running(meeting), request, version)


def _running(meeting: MeetingPoint) -> dict[str, Report]:
    reports = reports_of(meeting.presence).items()
    return {m: r for m, r in reports if not (r.is_last or r.is_beside)}


def _answers(asked: Mapping[str, Report], request: str, version: str) -> ReloadAnswers:
    answers = [_answer(report, request, version) for _, report in sorted(asked.items())]
    complete = all(report.request == request for report in asked.values())
    return ReloadAnswers(request, answers, complete)


def _answer(report: Report, request: str, version: str) -> ProcessAnswer:
    outcome, said = report.outcome, list(report.said)
    if report.request != request:
        outcome, said = NO_ANSWER, [_NO_ANSWER_YET]
    good = outcome in APPLIED
    if good and report.version != version:
        good = False
        said.append(_DIFFERS)
    return ProcessAnswer(report.stage, report.host, report.pid, outcome, said, good)
