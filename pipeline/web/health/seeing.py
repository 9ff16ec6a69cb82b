"""The status of a deployment as a visitor may see it: of his cameras, and all of it for the rest.

It is what `status_of` says, asked once in a while for all who look.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import BaseModel
from starlette.requests import HTTPConnection

from pipeline.core.address import without_secrets
from pipeline.core.errors import StoreError
from pipeline.core.frames import LEFT_OUT
from pipeline.core.machine import installed_version
from pipeline.core.store import EventFilter, History, Page, Span
from pipeline.deployment.model import Deployment
from pipeline.insight.status import (
    CameraStatus,
    DeploymentStatus,
    EngineStatus,
    RunStatus,
    SinkStatus,
    status_of,
)
from pipeline.reports.figures import quantile
from pipeline.web.access.visitor import Visitor
from pipeline.web.caching import ShortMemory, kept_for
from pipeline.web.health.storing import StorageStatus, storage_of
from pipeline.web.health.telling import PushStatus, push_status_of
from pipeline.web.state import WebState

Subject = Literal["camera", "sink", "sequence", "process", "deployment"]
Advice = Literal[
    "camera",
    "camera_gone",
    "late",
    "sink_refused",
    "sink_failing",
    "sink_behind",
    "not_running",
    "process",
    "file",
    "dead_letters",
    "store",
    "other",
]
"""What to do, as far as the sentence itself does not say it: a word for which the pages have a
sentence in each language."""
KEEP_S: Final = 2.0
_STORAGE_S = 60.0
_HOUR_S = 3600.0
_DAY_S = 86_400.0
_MOST_EVENTS = 2000
_SHORT = 3


class SeenTrouble(BaseModel):
    """Something that is wrong."""

    sentence: str
    about: Subject
    name: str
    """Of the camera, sink or sequence; empty otherwise."""
    advice: Advice


class CameraTrouble(BaseModel):
    """What is wrong with a camera, and what helps."""

    state: str
    since: float | None
    sentence: str
    help: str


class SeenCamera(BaseModel):
    """A camera. None stands for unknown."""

    name: str
    site: str
    state: str | None
    since: float | None
    reason: str | None
    message: str | None
    is_recording: bool
    is_sampled: bool
    sampled_a_second: float | None
    answered_a_second: float | None
    judged_a_second: float | None
    lag_s: float | None
    """Time since the capture of the newest judged frame."""
    sampled: int | None
    dropped: dict[str, int]
    """Frames lost since its processes were started, by reason."""
    failed: int | None
    """Tasks that no engine could answer."""
    troubles: list[CameraTrouble]
    judged_p50_s: float | None
    """From capture to judging, of the frames of the last hour; about, and of live cameras only."""
    judged_p95_s: float | None
    stored_p50_s: float | None
    """From capture to the store, of the events of the last hour."""
    stored_p95_s: float | None
    events_last_hour: int
    clips: dict[str, int]
    """Those of the last day, by what became of them."""
    is_armed: bool | None
    """None where its rules do not ask."""


class SeenBudget(BaseModel):
    """What is spent of what an engine may cost."""

    period: str
    used: int
    most: int
    of: str
    until: float


class SeenEngine(BaseModel):
    """An engine."""

    name: str
    waiting: int | None
    oldest_s: float | None
    answered: int | None
    """Frames since its processes were started."""
    answers: int | None
    """Jobs of the last ten minutes; the rest is about these."""
    batch: float | None
    """How many were answered together with each on average, itself included."""
    answer_p50_s: float | None
    """From submitting to the answer, about."""
    answer_p99_s: float | None
    budget: list[SeenBudget]


class SeenSink(BaseModel):
    """A sink. None stands for unknown."""

    name: str
    type: str
    state: str
    """All of it in a few words."""
    is_well: bool | None
    behind: int | None
    lag_s: float | None
    undelivered: int | None
    refused: str | None
    error: str | None
    waits_s: float | None
    skipped: int
    accepted_at: float | None
    took_s: float | None
    p50_s: float | None
    """From capture to delivery, of the last hour."""
    p95_s: float | None
    of_newest: int | None
    """How many of the hour these two are of; None where it is all of them."""
    last_minute: int
    last_hour: int
    refused_by: dict[str, int]


class SeenSequence(BaseModel):
    """A sequence of events."""

    name: str
    state: str
    behind: int | None
    awaiting: int | None
    reported: int | None
    last: float | None
    error: str | None


class SeenLook(BaseModel):
    """The second looks of a rule."""

    camera: str
    rule: str
    waiting: int
    confirmed: int
    rejected: int
    unverified: int


class SeenProcess(BaseModel):
    """A process of the deployment."""

    stage: str
    host: str
    pid: int
    up_s: float
    version: str
    not_ready: str | None
    stands_by: bool
    samples: list[str]


class SeenRun(BaseModel):
    """The run with all stages in one process."""

    since: float
    ended_at: float | None
    is_alive: bool
    heard_at: float
    state: str


class HealthInShort(BaseModel):
    """Whether all is well, and the first troubles."""

    ok: bool | None
    troubles: list[SeenTrouble]
    more: int
    unseen: str | None


class HealthAnswer(BaseModel):
    """How the deployment is, as far as the visitor may see it."""

    at: float
    """When it was asked, UTC seconds; it is asked at most every two seconds."""
    ok: bool | None
    """None if nothing is wrong but only part of it can be seen."""
    is_whole: bool
    """Whether it is about everything; about the visitor's cameras alone otherwise."""
    troubles: list[SeenTrouble]
    notes: list[str]
    unseen: str | None
    run: SeenRun | None
    cameras: list[SeenCamera]
    engines: list[SeenEngine]
    sinks: list[SeenSink]
    sequences: list[SeenSequence]
    second_looks: list[SeenLook]
    processes: list[SeenProcess]
    dead_letters: int | None
    storage: StorageStatus | None
    push: PushStatus | None
    """Of messages to browsers; None where they are off."""
    stored_p50_s: float | None
    """From capture to the store, of the events of the last hour of all live cameras."""
    stored_p95_s: float | None
    stored_of_newest: int | None
    """How many events of the hour the times to the store are of; None where it is all of them."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """How long the events of the last hour took to the store, by camera."""

    took_s: Mapping[str, list[float]]
    events: Mapping[str, int]
    of_newest: int | None = None


@dataclass(frozen=True, slots=True)
class SeenStatus:
    """All that is known, for nobody in particular."""

    at: float
    deployment: Deployment
    status: DeploymentStatus
    stored: _Stored
    storage: StorageStatus | None
    push: PushStatus | None


class HealthWatch:
    """Asks for the status, at most every two seconds for all who look."""

    def __init__(self, state: WebState) -> None:
        self._state = state
        self._memory: ShortMemory[SeenStatus] = ShortMemory(state.clock, KEEP_S)
        self._storage: ShortMemory[StorageStatus | None] = ShortMemory(state.clock, _STORAGE_S)

    def status(self) -> SeenStatus:
        """The status, at most two seconds old. What is out of reach is a trouble of it."""
        return self._memory.get(None, self._ask)

    def _ask(self) -> SeenStatus:
        state, now = self._state, self._state.clock.now()
        loaded = state.file.loaded
        status = status_of(loaded.deployment, state.clock, loaded.digest)
        # Beside a run, its report says so too.
        own = [one for one in state.troubles() if not any(one in said for said in status.troubles)]
        status = replace(status, troubles=[*status.troubles, *own])
        try:
            stored = _stored_in(loaded.deployment, state.store.history, now)
            storage = self._storage.get(
                None, lambda: storage_of(loaded.deployment, state.store, now)
            )
            push = push_status_of(loaded.deployment, state.store, now)
        except StoreError:  # it is among the troubles already
            stored, storage, push = _Stored({}, {}), None, None
        return SeenStatus(now, loaded.deployment, status, stored, storage, push)


def health_watch(connection: HTTPConnection) -> HealthWatch:
    """The one watch of the application, from any request."""
    state: WebState = connection.app.state.web
    return kept_for(connection.app, "health_watch", lambda: HealthWatch(state))


def health_for(seen: SeenStatus, visitor: Visitor) -> HealthAnswer:
    """What a visitor may see of it; whoever sees some cameras learns of nothing else."""
    status, deployment = seen.status, seen.deployment
    is_whole = visitor.cameras is None
    cameras = visitor.seen_of(status.cameras)
    troubles = [_trouble(sentence, status) for sentence in status.troubles]
    if not is_whole:
        troubles = [one for one in troubles if one.about == "camera" and one.name in cameras]
    ok = status.ok if is_whole else (False if troubles else None if status.unseen else True)
    took = [s for name in cameras for s in seen.stored.took_s.get(name, ())]
    stored = sorted(took)
    return HealthAnswer(
        at=seen.at,
        ok=ok,
        is_whole=is_whole,
        troubles=troubles,
        notes=[without_secrets(note) for note in status.notes] if is_whole else [],
        unseen=status.unseen,
        run=_run(status.run) if is_whole and status.run is not None else None,
        cameras=[_camera(name, status, deployment, seen.stored) for name in cameras],
        engines=[_engine(name, one, status) for name, one in status.engines.items()]
        if is_whole
        else [],
        sinks=[_sink(name, one, deployment) for name, one in status.sinks.items()]
        if is_whole
        else [],
        sequences=[
            SeenSequence(
                name=name,
                state=without_secrets(one.state),
                behind=one.behind,
                awaiting=one.awaiting,
                reported=one.reported,
                last=one.last,
                error=_shown(one.error),
            )
            for name, one in status.sequences.items()
        ]
        if is_whole
        else [],
        second_looks=[
            SeenLook(
                camera=one.camera,
                rule=one.rule,
                waiting=one.waiting,
                confirmed=one.confirmed,
                rejected=one.rejected,
                unverified=one.unverified,
            )
            for one in status.second_looks
            if one.camera in cameras
        ],
        processes=[
            SeenProcess(
                stage=one.stage,
                host=one.host,
                pid=one.pid,
                up_s=one.up_s,
                version=one.version,
                not_ready=_shown(one.not_ready),
                stands_by=one.stands_by,
                samples=list(one.samples),
            )
            for one in status.processes
        ]
        if is_whole
        else [],
        dead_letters=status.dead_letters if is_whole else None,
        storage=seen.storage if is_whole else None,
        push=seen.push if is_whole else None,
        stored_p50_s=quantile(stored, 0.5),
        stored_p95_s=quantile(stored, 0.95),
        stored_of_newest=seen.stored.of_newest,
    )


def in_short(seen: SeenStatus, visitor: Visitor) -> HealthInShort:
    """Whether all is well for a visitor, and the first troubles."""
    whole = health_for(seen, visitor)
    return HealthInShort(
        ok=whole.ok,
        troubles=whole.troubles[:_SHORT],
        more=max(0, len(whole.troubles) - _SHORT),
        unseen=whole.unseen,
    )


def diagnostic(answer: HealthAnswer) -> str:
    """All of it as a text to send to whoever helps; without secrets and without the file."""
    about = {
        "moonwatch": installed_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    head = "\n".join(f"{name}: {value}" for name, value in about.items())
    return without_secrets(f"{head}\n{answer.model_dump_json(indent=1)}\n")


def _trouble(sentence: str, status: DeploymentStatus) -> SeenTrouble:
    about, name = _about(sentence, status)
    return SeenTrouble(
        sentence=without_secrets(sentence), about=about, name=name, advice=_advice(sentence, about)
    )


def _about(sentence: str, status: DeploymentStatus) -> tuple[Subject, str]:
    named: tuple[tuple[Subject, Iterator[str]], ...] = (
        ("camera", iter(status.cameras)),
        ("sink", iter(status.sinks)),
        ("sequence", iter(status.sequences)),
    )
    for about, names in named:
        for name in names:
            if sentence.startswith((f"{about} {name} ", f"{about} {name}: ")):
                return about, name
    for report in status.processes:
        if sentence.startswith(f"{report.stage} on {report.host} ({report.pid})"):
            return "process", report.stage
    return "deployment", ""


def _lost(dropped: Mapping[str, int]) -> dict[str, int]:
    """Without what the file says shall be left out."""
    return {why: number for why, number in dropped.items() if why not in LEFT_OUT}


# How a sentence of `status_of` begins or goes on, and what then helps.
_ADVICE: tuple[tuple[str, Advice], ...] = (
    (" refused ", "sink_refused"),
    ("did not apply the file", "file"),
    ("of the file, others use", "file"),
    ("dead letters", "dead_letters"),
    ("process is running", "not_running"),
    ("did not shut down", "not_running"),
    ("have no processor", "not_running"),
    ("has no processor", "not_running"),
    (" behind", "sink_behind"),
    ("database", "store"),
    ("store", "store"),
)
# Of cameras, what a process says of them brings its own help along.
_CAMERA_ADVICE: tuple[tuple[str, Advice], ...] = (
    (" late, so its events are late too", "late"),
    (" has no sampler", "not_running"),
    (" has been ", "camera_gone"),
)


def _advice(sentence: str, about: Subject) -> Advice:
    if about == "camera":
        return next((advice for words, advice in _CAMERA_ADVICE if words in sentence), "camera")
    found = next((advice for words, advice in _ADVICE if words in sentence), None)
    if about == "sink" and found not in ("sink_refused", "sink_behind", "not_running"):
        return "sink_failing"
    return found or ("process" if about == "process" else "other")


def _camera(
    name: str, status: DeploymentStatus, deployment: Deployment, stored: _Stored
) -> SeenCamera:
    one: CameraStatus = status.cameras[name]
    figures = one.figures
    took = sorted(stored.took_s.get(name, ()))
    armed = status.armed.get(name)
    rates = one.per_second
    return SeenCamera(
        name=name,
        site=deployment.site_of(name).name,
        state=one.state,
        since=one.since,
        reason=_shown(one.reason),
        message=_shown(one.message),
        is_recording=deployment.cameras[name].source.is_recording,
        is_sampled=one.sampled_by is not None,
        sampled_a_second=rates.get("sampled"),
        answered_a_second=rates.get("answered"),
        judged_a_second=rates.get("judged"),
        lag_s=one.lag_s,
        sampled=None if figures is None else figures.sampled,
        dropped={} if figures is None else _lost(figures.dropped),
        failed=None if figures is None else figures.failed,
        troubles=[
            CameraTrouble(
                state=str(told["state"]),
                since=since if isinstance(since := told.get("since"), int | float) else None,
                sentence=without_secrets(str(told["sentence"])),
                help=without_secrets(str(told.get("help") or "")),
            )
            for told in one.troubles or ()
        ],
        judged_p50_s=one.judged_p50_s,
        judged_p95_s=one.judged_p95_s,
        stored_p50_s=quantile(took, 0.5),
        stored_p95_s=quantile(took, 0.95),
        events_last_hour=stored.events.get(name, 0),
        clips=dict(status.clips.get(name, {})),
        is_armed=None if armed is None else armed.is_armed,
    )


def _engine(name: str, one: EngineStatus, status: DeploymentStatus) -> SeenEngine:
    answered = [
        camera.figures.answered_by.get(name, 0)
        for camera in status.cameras.values()
        if camera.figures is not None
    ]
    return SeenEngine(
        name=name,
        waiting=one.waiting,
        oldest_s=one.oldest_s,
        answered=sum(answered) if answered else None,
        answers=one.answers,
        batch=one.batch,
        answer_p50_s=one.answer_p50_s,
        answer_p99_s=one.answer_p99_s,
        budget=[
            SeenBudget(period=b.period, used=b.used, most=b.most, of=b.of, until=b.until)
            for b in one.budget
        ],
    )


def _sink(name: str, one: SinkStatus, deployment: Deployment) -> SeenSink:
    figures = one.figures
    is_wrong = bool(one.error or one.undelivered)
    return SeenSink(
        name=name,
        type=deployment.sinks[name].type,
        state=without_secrets(one.state),
        is_well=False if is_wrong else True if one.state.startswith("no trouble") else None,
        behind=one.behind,
        lag_s=one.lag_s,
        undelivered=one.undelivered,
        refused=_shown(one.refused),
        error=_shown(one.error),
        waits_s=one.waits_s,
        skipped=one.skipped,
        accepted_at=figures.accepted_at,
        took_s=figures.took_s,
        p50_s=figures.p50_s,
        p95_s=figures.p95_s,
        of_newest=figures.of_newest,
        last_minute=figures.last_minute,
        last_hour=figures.last_hour,
        refused_by={without_secrets(why): n for why, n in figures.refused_by.items()},
    )


def _run(run: RunStatus) -> SeenRun:
    return SeenRun(
        since=run.since,
        ended_at=run.ended_at,
        is_alive=run.is_alive,
        heard_at=run.heard_at,
        state=run.state,
    )


def _shown(text: str | None) -> str | None:
    return None if text is None else without_secrets(text)


def _stored_in(deployment: Deployment, history: History, now: float) -> _Stored:
    """The newest events of the last hour; those of recordings are of another time."""
    live = {name for name, one in deployment.cameras.items() if not one.source.is_recording}
    took: dict[str, list[float]] = {}
    events: dict[str, int] = {}
    if not live:
        return _Stored(took, events)
    recent = history.events(EventFilter(span=Span(now - _HOUR_S, None)), Page(_MOST_EVENTS))
    for stored in recent:
        camera, late_s = stored.event.camera, stored.kept_at - stored.event.at
        # What was kept so long after its capture, or before it, was dated by a wrong clock.
        if camera in live and abs(late_s) <= _DAY_S:
            took.setdefault(camera, []).append(max(0.0, late_s))
            events[camera] = events.get(camera, 0) + 1
    return _Stored(took, events, _MOST_EVENTS if len(recent) == _MOST_EVENTS else None)
