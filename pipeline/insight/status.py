"""Status of a deployment, seen from outside: from its processes, its queue and its store."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline.core.arming import Armed, ArmedTimes, ArmingBook, ArmingChange
from pipeline.core.clips import FAILED, Clip
from pipeline.core.clock import Clock
from pipeline.core.delivery_figures import FIGURES, DeliveryFigures
from pipeline.core.errors import QueueError, StoreError
from pipeline.core.events import JsonValue
from pipeline.core.local_time import local_time
from pipeline.core.measures import Health
from pipeline.core.private_files import is_readable_by_everybody
from pipeline.core.queues import Backlog
from pipeline.core.sinks import HELD_BACK, HeldBack
from pipeline.core.spending import BudgetSpent, Spending
from pipeline.core.store import RUN, EventFilter, LeaseRecord, Page, StoredEvent
from pipeline.core.switching import RuleSwitch, SwitchBook, SwitchTimes
from pipeline.core.verifying import OUTCOMES, VerificationCount
from pipeline.deployment.model import Deployment
from pipeline.processing.health import ENDED_BY
from pipeline.rules.sequence import SEQUENCE
from pipeline.rules.switched import file_limit, limit_range
from pipeline.runtime.assembly import expected_interval_s, used_engines
from pipeline.runtime.ownership import LEASE_TTL, LOOK_S, is_gone
from pipeline.runtime.reload import APPLIED
from pipeline.runtime.reports import Report, reports_of
from pipeline.runtime.sequences import cursor_of, cursors_of
from pipeline.runtime.stage_process import shared_queues
from pipeline.runtime.watching import in_words
from pipeline.runtime.wellness import HAS
from pipeline.telemetry.figures import CameraFigures, Figures, added
from pipeline.telemetry.spreads import speeds_added, spreads_added

if TYPE_CHECKING:
    from connectors.stores.sql import SqlStore

STAGES = ("sampling", "inference", "processing", "delivery")
UNKNOWN = "unknown"
# Several renewals may be missing: a database that is slow for a moment does not end a run.
_SILENT_S = 3 * LEASE_TTL.total_seconds()
# A process that is not found, and has missed two renewals, is gone.
_MISSED_S = 2 * LOOK_S
_AGAIN_S = 0.1
# How late, beyond the time between two frames, the newest may be processed before it is a problem.
_LATE_S = 10.0
# How long events may wait for a sink while none is delivered.
_SINK_WAITS_S = 15.0
_UNSEEN = (
    "No run is active, so only the contents of the store are known, such as each camera's last "
    "state; start one with `moonwatch run FILE`"
)


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera. None stands for unknown."""

    state: str | None = None
    """Its last reported state, such as online or offline."""
    since: float | None = None
    reason: str | None = None
    """Why it is in that state, if known; in a word or two where its source failed."""
    message: str | None = None
    """The sentence of a source that failed: what happened, and the way out."""
    sampled_by: str | None = None
    """The process that has it open."""
    standing_by: Sequence[str] = ()
    """The processes that would take it over if that one ended."""
    figures: CameraFigures | None = None
    """Since the running processes were started."""
    per_second: Mapping[str, float] = field(default_factory=dict)
    lag_s: float | None = None
    """Time since the capture of the newest processed frame, live cameras only."""
    judged_p50_s: float | None = None
    """What half of the frames of the last hour took from capture to judging at most, about; live
    cameras only."""
    judged_p95_s: float | None = None
    """What 95 of 100 of them took at most."""
    troubles: Sequence[Mapping[str, JsonValue]] | None = None
    """What is wrong with it, as the process that samples it finds: state, since, sentence and
    help; None if that is not known."""


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """What is spent of what an engine may cost in this hour or day."""

    period: str
    used: int
    most: int
    of: str
    """What is counted: pictures or requests."""
    until: float
    """When it begins anew, in UTC seconds."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What waits for one engine."""

    waiting: int | None = None
    oldest_s: float | None = None
    budget: Sequence[BudgetStatus] = ()
    """What is spent of its budget; empty without one, or if that is not known."""
    answers: int | None = None
    """How many jobs it answered in the last ten minutes."""
    batch: float | None = None
    """How many jobs were answered together with each of them on average, itself included."""
    answer_p50_s: float | None = None
    """What half of them took at most from submitting to the answer, about."""
    answer_p99_s: float | None = None
    """What 99 of 100 of them took at most."""


@dataclass(frozen=True, slots=True)
class SecondLookStatus:
    """What became of the happenings of a rule with `verify`, as far as they are still stored."""

    camera: str
    rule: str
    waiting: int = 0
    """Events that wait for an answer now."""
    confirmed: int = 0
    rejected: int = 0
    unverified: int = 0

    @property
    def shares(self) -> str:
        """The three as shares of all, in words."""
        numbers = {name: getattr(self, name) for name in OUTCOMES}
        every = sum(numbers.values())
        if not every:
            return "none yet"
        return ", ".join(f"{n / every:.0%} {name}" for name, n in numbers.items() if n)


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink."""

    behind: int | None = None
    undelivered: int | None = None
    """Events that it refused, kept to be sent again."""
    refused: str | None = None
    """Why it refused the last of them."""
    error: str | None = None
    """Why delivery fails now, as the delivery process reports it."""
    waits_s: float | None = None
    """How long events have waited for it while none was delivered."""
    skipped: int = 0
    """Events that were too old for it when their turn came, since delivery began."""
    held_back: HeldBack | None = None
    """Of a sink that holds events back for later messages: what became of them."""
    figures: DeliveryFigures = field(default_factory=DeliveryFigures)
    """Its last success, how long events take to it, and what it refused by reason; as the process
    that delivers has noted in the store."""
    lag_s: float | None = None
    """Age of the oldest event that waits for it; None while none waits, or if that is unknown."""
    state: str = UNKNOWN
    """All of it in a few words."""


@dataclass(frozen=True, slots=True)
class SequenceStatus:
    """One of the `sequences`."""

    behind: int | None = None
    """Events that nobody has looked at yet."""
    awaiting: int | None = None
    """With `without`: events whose time is not over; None if nobody says."""
    unknown: int | None = None
    """With `without`: events of this run after which nobody could see whether something came."""
    reported: int | None = None
    """How many are in the store."""
    last: float | None = None
    """When the last of them happened, in UTC seconds."""
    error: str | None = None
    """Why it cannot be judged now, as the delivery process reports it."""
    state: str = UNKNOWN
    """All of it in a few words."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The `moonwatch run` with all stages in one process, as recorded in its store."""

    host: str
    pid: int
    since: float
    ended_at: float | None
    """When it ended; None while it is running, or if it was killed."""
    is_alive: bool
    """Whether it renewed its record within the last seconds."""
    heard_at: float
    """When it last did."""
    state: str
    """All of it in a sentence."""


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """Everything that can be seen of a deployment."""

    run: RunStatus | None = None
    """With a queue in memory; None if it has never run."""
    processes: Sequence[Report] = ()
    cameras: Mapping[str, CameraStatus] = field(default_factory=dict)
    engines: Mapping[str, EngineStatus] = field(default_factory=dict)
    sinks: Mapping[str, SinkStatus] = field(default_factory=dict)
    sequences: Mapping[str, SequenceStatus] = field(default_factory=dict)
    second_looks: Sequence[SecondLookStatus] = ()
    """Of the rules with `verify`, and of those that had one."""
    unowned: Sequence[int] = ()
    """Partitions of the results that have no processor."""
    dead_letters: int | None = None
    clips: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """How many clips of the last day are wanted, held, ready, partial and failed, by camera."""
    armed: Mapping[str, Armed] = field(default_factory=dict)
    """Of the cameras that have rules which report only when armed, or only when disarmed."""
    troubles: Sequence[str] = ()
    """What is wrong, in sentences."""
    notes: Sequence[str] = ()
    """What is worth knowing but not a problem."""
    unseen: str | None = None
    """Why part of it cannot be seen now."""

    @property
    def ok(self) -> bool | None:
        """Whether all is well; None if nothing is wrong but only part of it can be seen."""
        if self.troubles:
            return False
        return None if self.unseen else True

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        said: dict[str, Any] = asdict(self)
        said["ok"] = self.ok
        return said


# Clips of so long are counted.
_CLIPS_S = 86400.0

Spendings = Mapping[str, Sequence[BudgetSpent]]
"""What is spent of the budget of each engine that has one."""


@dataclass(frozen=True, slots=True)
class _QueueFacts:
    """What the queue knows."""

    reports: Sequence[Report] = ()
    waiting: Mapping[str, Backlog] = field(default_factory=dict)
    dead_letters: int | None = None
    unowned: Sequence[int] = ()
    trouble: str | None = None
    server: Sequence[str] = ()
    """What its server says of itself that is wrong."""
    spent: Spendings = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether there was an answer."""
        return self.dead_letters is not None

    @property
    def is_delivering(self) -> bool:
        """Whether a delivery process is running."""
        return any(r.stage == "delivery" and not r.stands_by for r in self.reports)


@dataclass(frozen=True, slots=True)
class _StoreFacts:
    """What the store knows."""

    behind: Mapping[str, int] = field(default_factory=dict)
    oldest: Mapping[str, float] = field(default_factory=dict)
    """When the oldest event that waits for a sink was stored, in UTC seconds."""
    figures: Mapping[str, DeliveryFigures] = field(default_factory=dict)
    undelivered: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    held_back: Mapping[str, HeldBack] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    run: LeaseRecord | None = None
    is_run_gone: bool = False
    """Whether its process is known to have ended without a word."""
    reports: Sequence[Report] = ()
    """Of the run that uses it, with a queue in memory."""
    spent: Spendings = field(default_factory=dict)
    verified: Sequence[VerificationCount] = ()
    verifying: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The events that wait for a second look, by camera and rule."""
    clips: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    armings: Sequence[ArmingChange] = ()
    switches: Sequence[RuleSwitch] = ()
    failed_clip: Clip | None = None
    """The last one of these that failed."""
    sequences: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """How many of each are stored, and when the last one happened."""
    trouble: str | None = None


def status_of(deployment: Deployment, clock: Clock, version: str | None = None) -> DeploymentStatus:
    """The current status of a deployment. What cannot be reached is a trouble, not an error.

    `version` is that of the deployment file, to compare with those of the processes.
    """
    seen, kept = _ask_queue(deployment, clock), _ask_store(deployment, clock)
    if not deployment.queue.is_shared:
        seen = replace(seen, reports=kept.reports)
    figures = added([report.figures for report in seen.reports])
    now = clock.now()
    cameras = {name: _camera(name, seen, kept, figures, now) for name in deployment.cameras}
    spent = {**seen.spent, **kept.spent}
    engines = {
        name: _engine(name, seen, spent.get(name, ()), now) for name in used_engines(deployment)
    }
    sinks = {name: _sink(name, seen, kept, now) for name in deployment.sinks}
    is_unseen = not deployment.queue.is_shared and not kept.reports
    notes = []
    versions = {report.version for report in seen.reports if report.version}
    if version is not None and versions and version not in versions:
        notes.append(
            "what was read here differs from what the processes read: the file has changed since, "
            "which `moonwatch reload FILE` applies, or they have other options or variables"
        )
    known = {*deployment.cameras, *(was for c in deployment.cameras.values() for was in c.was)}
    notes += [
        f"the store has a history of camera {name}, which is not in the file; if it has another "
        f"name now, write `was: {name}` there"
        for name in sorted(kept.health.keys() - known)
    ]
    notes += _note_on_clips(kept)
    armed = armed_at(deployment, _book_of(kept), now)
    notes += _note_on_arming(deployment, armed)
    notes += _note_on_switches(deployment, kept, now)
    file = deployment.store.file
    if file is not None and is_readable_by_everybody(file):
        notes.append(
            f"every user of this machine can read {file}, which holds what cameras saw; "
            f"`chmod o= {file}*` changes that"
        )
    notes += [f"{one.stage} on {one.place}: {note}" for one in seen.reports for note in one.notes]
    status = DeploymentStatus(
        run=_run(kept, deployment),
        processes=seen.reports,
        cameras=cameras,
        engines=engines,
        sinks=sinks,
        sequences={name: _sequence(name, seen, kept) for name in deployment.sequences},
        second_looks=_second_looks(deployment, kept),
        unowned=seen.unowned,
        dead_letters=seen.dead_letters,
        clips=kept.clips,
        armed=armed,
        notes=notes,
        unseen=_UNSEEN if is_unseen else None,
    )
    troubles = [trouble for trouble in (seen.trouble, kept.trouble) if trouble]
    troubles += seen.server
    if status.run is not None and status.run.ended_at is None and not status.run.is_alive:
        troubles.append(status.run.state)
    troubles += _of_processes(status, shared=seen.is_known)
    troubles += _of_versions(status)
    troubles += _of_samplers(status, deployment)
    troubles += _of_judging(status, deployment)
    troubles += _of_cameras(status, deployment)
    unserved = seen.is_known and not seen.is_delivering
    troubles += _of_sinks(status, unserved=unserved)
    troubles += _of_sequences(status, unserved=unserved)
    return replace(status, troubles=troubles)


def _ask_queue(deployment: Deployment, clock: Clock) -> _QueueFacts:
    if not deployment.queue.is_shared:
        return _QueueFacts()
    queues = shared_queues(deployment, clock)
    try:
        owned = queues.leases.owners()
        return _QueueFacts(
            reports=[r for r in reports_of(queues.presence).values() if not r.is_last],
            waiting=queues.jobs.backlog(),
            dead_letters=len(queues.jobs.dead_letters()),
            unowned=[p for p in range(queues.results.partitions) if p not in owned],
            server=list(queues.link.condition().values()),
            spent=_spent(deployment, queues.spending, clock.now()),
        )
    except QueueError as error:
        return _QueueFacts(trouble=str(error))
    finally:
        queues.close()


def _note_on_clips(kept: _StoreFacts) -> list[str]:
    """Why the last clip could not be had; what still goes on is a trouble of its process."""
    number = sum(states.get(FAILED, 0) for states in kept.clips.values())
    if not number or kept.failed_clip is None:
        return []
    clips = "1 clip" if number == 1 else f"{number} clips"
    last = kept.failed_clip
    return [
        f"{clips} of the last day could not be had, the last one of camera {last.wish.camera}: "
        f"{last.reason}"
    ]


def _book_of(kept: _StoreFacts) -> ArmingBook:
    book = ArmingBook()
    for change in kept.armings:
        book.add(change)
    return book


def armed_at(deployment: Deployment, book: ArmingBook, at: float) -> dict[str, Armed]:
    """Whether each camera is armed whose rules want to know, at a moment in UTC seconds."""
    return {
        name: ArmedTimes(deployment.site_of(name).arming_plan, book, name).at(at)
        for name, camera in deployment.cameras.items()
        if any(rule.when != "always" for rule in camera.rules.values())
    }


def _note_on_arming(deployment: Deployment, armed: Mapping[str, Armed]) -> Iterator[str]:
    for name, state in armed.items():
        wanted = "disarmed" if state.is_armed else "armed"
        rules = deployment.cameras[name].rules.items()
        silent = [rule for rule, config in rules if config.when == wanted]
        said = "armed" if state.is_armed else "disarmed"
        if state.since is not None:
            said += f" since {local_time(state.since, deployment.site_of(name).timezone)}"
        said += f" by {state.by}" if state.by else ""
        those = f"; {', '.join(silent)} {'reports' if len(silent) == 1 else 'report'} nothing"
        yield f"camera {name} is {said}{those if silent else ''}"


def _note_on_switches(deployment: Deployment, kept: _StoreFacts, now: float) -> Iterator[str]:
    """Each rule that is off, or has another limit than in the file."""
    book = SwitchBook()
    for change in kept.switches:
        book.add(change)
    for name, camera in deployment.cameras.items():
        zone = deployment.site_of(name).timezone
        for rule, config in camera.rules.items():
            times, limit = SwitchTimes(book, name, rule, camera.was), file_limit(config)
            off = times.enabled(now)
            if off is not None:
                since = local_time(off.at, zone)
                yield f"camera {name}, rule {rule} is off since {since} by {off.by}; it counts on"
            other = times.limit(now, limit) if limit_range(config) is not None else None
            if other is not None:
                yield (
                    f"camera {name}, rule {rule} has more_than {other.value} since "
                    f"{local_time(other.at, zone)} by {other.by}; the file says "
                    f"{'none' if limit is None else limit}"
                )


def _ask_store(deployment: Deployment, clock: Clock) -> _StoreFacts:
    try:
        # Reading changes nothing, so it works with the store of any release.
        store = deployment.store.build_reader(clock)
    except StoreError as error:
        return _StoreFacts(trouble=str(error))
    try:
        run, is_run_gone = _owner_of(store, deployment, clock)
        refused = store.undelivered_counts()
        newest = [store.undelivered(sink, limit=1, newest_first=True) for sink in refused]
        names = [*deployment.sinks, *cursors_of(deployment)]
        cursors = {name: store.cursor(name) for name in names}
        waiting = {
            name: store.outbox(cursor.position, 1)
            for name, cursor in cursors.items()
            if cursor.behind
        }
        clips = store.clips.clip_counts(clock.now() - _CLIPS_S)
        failed = store.clips.clips((FAILED,), limit=1, newest_first=True) if clips else []
        return _StoreFacts(
            clips=clips,
            armings=store.armings.changes(),
            switches=store.switches.changes(),
            failed_clip=next(iter(failed), None),
            sequences=_sequences_in(store, deployment),
            behind={name: cursor.behind for name, cursor in cursors.items()},
            oldest={
                name: first[0].kept_at
                for name, first in waiting.items()
                if first and isinstance(first[0], StoredEvent)
            },
            figures=_figures_in(store, deployment, clock.now()),
            undelivered=refused,
            refused={entry.sink: entry.reason for some in newest for entry in some},
            held_back=_held_back_in(store, deployment),
            health={health.camera: health for health in store.history.latest_health()},
            run=run,
            is_run_gone=is_run_gone,
            reports=_reports_in(store),
            verified=store.second_looks.verification_counts(),
            verifying=store.second_looks.waiting_counts(),
            spent={} if deployment.queue.is_shared else _spent_in(deployment, store, clock.now()),
        )
    except StoreError as error:
        return _StoreFacts(trouble=str(error))
    finally:
        store.close()


def _owner_of(
    store: "SqlStore", deployment: Deployment, clock: Clock
) -> tuple[LeaseRecord | None, bool]:
    """Who runs on the store, and whether he is known to be gone.

    A process that is not found on this host may be one of a container with the same host name. So
    it is not called gone before it has missed two renewals, which are waited for.
    """
    record = store.lease(RUN)
    if record is None or record.ended_at is not None or deployment.queue.is_shared:
        return record, False
    until, never = clock.monotonic() + 2 * _MISSED_S, threading.Event()
    while is_gone(record.owner) and abs(record.silent_s) < _MISSED_S:
        clock.wait(_AGAIN_S, never)
        again = store.lease(RUN)
        if again is None or again.ended_at is not None or again.renewals != record.renewals:
            return again, False
        record = again
        if clock.monotonic() >= until:
            break
    return record, is_gone(record.owner)


def _held_back_in(store: "SqlStore", deployment: Deployment) -> dict[str, HeldBack]:
    found = {}
    for name, config in deployment.sinks.items():
        noted = store.notes_of(name).note(HELD_BACK) if config.type == "notify" else None
        if noted is not None:
            found[name] = HeldBack.read(noted)
    return found


def _figures_in(
    store: "SqlStore", deployment: Deployment, now: float
) -> dict[str, DeliveryFigures]:
    try:
        found = {
            name: DeliveryFigures.of_text(store.notes_of(name).note(FIGURES))
            for name in deployment.sinks
        }
    except StoreError:
        return {}  # a store of a release without notes
    # What was counted before is of another minute and hour by now.
    return {
        name: replace(
            one,
            p50_s=one.p50_s if now - (one.noted_at or 0.0) <= 3600 else None,
            p95_s=one.p95_s if now - (one.noted_at or 0.0) <= 3600 else None,
            last_minute=one.last_minute if now - (one.noted_at or 0.0) <= 60 else 0,
            last_hour=one.last_hour if now - (one.noted_at or 0.0) <= 3600 else 0,
        )
        for name, one in found.items()
    }


def _reports_in(store: "SqlStore") -> list[Report]:
    try:
        reports = reports_of(store.presence).values()
    except StoreError:
        return []  # a store of a release without reports
    return [report for report in reports if not report.is_last]


def _sequences_in(store: "SqlStore", deployment: Deployment) -> dict[str, tuple[int, float]]:
    names = tuple(deployment.sequences)
    found: dict[str, tuple[int, float]] = {}
    if not names:
        return found
    for count in store.history.counts(EventFilter(rules=names, types=(SEQUENCE,))):
        events, _ = found.get(count.rule, (0, 0.0))
        found[count.rule] = (events + count.events, 0.0)
    for name, (events, _) in found.items():
        # In the order of arrival: the latest time may be of a clock that was ahead.
        newest = store.history.events(EventFilter(rules=(name,), types=(SEQUENCE,)), Page(limit=1))
        found[name] = (events, newest[0].event.at if newest else 0.0)
    return found


def _spent(deployment: Deployment, spending: Spending, now: float) -> Spendings:
    zone = deployment.site.timezone
    limited = {n: deployment.engines[n].allowances(now, zone) for n in used_engines(deployment)}
    return {name: spending.spent(name, limits) for name, limits in limited.items() if limits}


def _spent_in(deployment: Deployment, store: "SqlStore", now: float) -> Spendings:
    try:
        return _spent(deployment, store.spending, now)
    except StoreError:
        return {}  # a store of a release without budgets


def _run(kept: _StoreFacts, deployment: Deployment) -> RunStatus | None:
    record = kept.run
    if record is None or deployment.queue.is_shared:
        return None
    host, pid = record.owner.host, record.owner.pid
    silent_s = abs(record.silent_s)
    is_alive = record.ended_at is None and silent_s <= _SILENT_S and not kept.is_run_gone

    def local(at: float) -> str:
        return local_time(at, deployment.site.timezone)

    heard = f"last heard {silent_s:.0f} s ago"
    if record.ended_at is not None:
        state = f"run ended at {local(record.ended_at)}; it was process {pid} on {host}"
    elif is_alive:
        state = f"run has been active since {local(record.since)}, process {pid} on {host}"
        state += f", {heard}" if silent_s > _MISSED_S else ""
    elif kept.is_run_gone:
        state = (
            f"run did not shut down cleanly: process {pid} on {host} is gone; it was last seen at "
            f"{local(record.renewed_at)}"
        )
    else:
        state = (
            f"run did not shut down cleanly: process {pid} on {host} was last seen at "
            f"{local(record.renewed_at)}; if it still runs, it cannot write to the store"
        )
    return RunStatus(host, pid, record.since, record.ended_at, is_alive, record.renewed_at, state)


def _second_looks(deployment: Deployment, kept: _StoreFacts) -> list[SecondLookStatus]:
    found = {
        (name, rule): SecondLookStatus(name, rule)
        for name, camera in deployment.cameras.items()
        for rule, config in camera.rules.items()
        if config.verify is not None
    }
    for (camera, rule), waiting in kept.verifying.items():
        before = found.get((camera, rule)) or SecondLookStatus(camera, rule)
        found[camera, rule] = replace(before, waiting=waiting)
    for count in kept.verified:
        if count.outcome in OUTCOMES:
            key = (count.camera, count.rule)
            before = found.get(key) or SecondLookStatus(*key)
            told: dict[str, Any] = {count.outcome: count.happenings}
            found[key] = replace(before, **told)
    return list(found.values())


def _camera(
    name: str, seen: _QueueFacts, kept: _StoreFacts, figures: Figures, now: float
) -> CameraStatus:
    counted = figures.get(name)
    per_second: dict[str, float] = {}
    for report in seen.reports:
        for hop, rate in report.rates.get(name, {}).items():
            per_second[hop] = round(per_second.get(hop, 0.0) + rate, 2)
    health = kept.health.get(name)
    until = counted.judged_until if counted else 0.0
    samplers = [report for report in seen.reports if name in report.samples]
    wellness = [report.wellness[name] for report in samplers if name in report.wellness]
    if wellness:
        troubles = [trouble for told in wellness for trouble in told]
        first = troubles[0] if troubles else None
        state = str(first["state"]) if first else "online"
        if first:
            says = HAS.get(state, f"is {state}")
            detail = str(first["sentence"]).removeprefix(f"{says}: ")
            health = Health(name, _number(first["since"]), state, detail)
        elif health is None or health.state in ENDED_BY:
            health = Health(name, health.at if health else now, state)
        else:
            health = Health(name, health.at, state)
    else:
        troubles = None
    judged = spreads_added(r.judged_in[name] for r in seen.reports if name in r.judged_in)
    # A camera's last reported state is valid while a sampler watches it.
    is_watched = bool(samplers) or (health is not None and health.state in ENDED_BY)
    if not is_watched:
        health = None
    return CameraStatus(
        sampled_by=samplers[0].place if samplers else None,
        standing_by=[report.place for report in seen.reports if name in report.stands_by_for],
        state=health.state if health else None,
        since=health.at if health else None,
        reason=(health.reason or None) if health else None,
        message=(health.message or None) if health else None,
        figures=counted,
        per_second=per_second,
        lag_s=round(max(0.0, now - until), 3) if until else None,
        judged_p50_s=_rounded(judged.quantile(0.5)),
        judged_p95_s=_rounded(judged.quantile(0.95)),
        troubles=troubles,
    )


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _engine(name: str, seen: _QueueFacts, spent: Sequence[BudgetSpent], now: float) -> EngineStatus:
    budget = [
        BudgetStatus(
            one.allowance.period,
            one.used,
            one.allowance.most,
            one.allowance.of,
            one.allowance.ends_at,
        )
        for one in spent
    ]
    said = [report.speeds[name] for report in seen.reports if name in report.speeds]
    status = EngineStatus(budget=budget)
    if said:
        speed = speeds_added(said)
        status = EngineStatus(
            speed.waiting,
            speed.oldest_s,
            budget,
            speed.took.total,
            round(speed.batched / speed.jobs, 2) if speed.jobs else None,
            _rounded(speed.took.quantile(0.5)),
            _rounded(speed.took.quantile(0.99)),
        )
    if not seen.is_known:
        return status
    waiting = seen.waiting.get(name, Backlog(0, None))
    oldest_s = None if waiting.oldest is None else round(max(0.0, now - waiting.oldest), 3)
    return replace(status, waiting=waiting.length, oldest_s=oldest_s)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _sink(name: str, seen: _QueueFacts, kept: _StoreFacts, now: float) -> SinkStatus:
    errors = [report.sinks[name].get("error") for report in seen.reports if name in report.sinks]
    error = next((str(error) for error in errors if error), None)
    sink = SinkStatus(
        behind=kept.behind.get(name),
        undelivered=None if kept.trouble else kept.undelivered.get(name, 0),
        refused=kept.refused.get(name),
        error=error,
        held_back=kept.held_back.get(name),
        figures=kept.figures.get(name, DeliveryFigures()),
    )
    if sink.behind and name in kept.oldest:
        sink = replace(sink, lag_s=round(max(0.0, now - kept.oldest[name]), 1))
    served = [
        report.sinks[name]
        for report in seen.reports
        if name in report.sinks and not report.stands_by
    ]
    is_served = bool(served)
    sink = replace(sink, skipped=sum(_whole(lane.get("skipped")) for lane in served))
    if sink.behind and is_served:
        since = [_number(lane["waiting_since"]) for lane in served if lane.get("waiting_since")]
        if not since and all(lane.get("behind") == 0 for lane in served) and name in kept.oldest:
            # Its process sees nothing to deliver, but here something waits.
            since = [kept.oldest[name]]
        if since:
            sink = replace(sink, waits_s=round(max(0.0, now - min(since)), 1))
    state = _in_words(sink, seen, is_served=is_served)
    if sink.held_back is not None:
        state += f"; {sink.held_back.in_words()}"
    return replace(sink, state=state)


def _sequence(name: str, seen: _QueueFacts, kept: _StoreFacts) -> SequenceStatus:
    cursor = cursor_of(name)
    served = [
        report.sinks[cursor]
        for report in seen.reports
        if cursor in report.sinks and not report.stands_by
    ]
    error = next((str(lane["error"]) for lane in served if lane.get("error")), None)
    reported, last = kept.sequences.get(name, (0, None))
    # The cursor of one that waits stays where it is: its process knows what it has looked at.
    behind = kept.behind.get(cursor)
    awaiting = max((_whole(lane.get("awaiting")) for lane in served), default=None)
    if awaiting and behind is not None:
        behind = max(_whole(lane.get("behind")) for lane in served)
    if error:
        state = error
    elif seen.is_known and not seen.is_delivering:
        state = "no delivery process is running"
    else:
        state = "no trouble" if served else UNKNOWN
    return SequenceStatus(
        behind=behind,
        awaiting=awaiting,
        unknown=max((_whole(lane.get("unknown")) for lane in served), default=None),
        reported=None if kept.trouble else reported,
        last=last,
        error=error,
        state=state,
    )


def _whole(value: JsonValue) -> int:
    return int(_number(value))


def _in_words(sink: SinkStatus, seen: _QueueFacts, *, is_served: bool) -> str:
    if sink.error:
        return sink.error
    if sink.undelivered:
        return f"refused {_events(sink.undelivered)}, the last one: {sink.refused}"
    if seen.is_known and not seen.is_delivering:
        return "no delivery process is running"
    return "no trouble" if is_served and sink.undelivered is not None else UNKNOWN


def _of_processes(status: DeploymentStatus, *, shared: bool) -> list[str]:
    at_work = {report.stage for report in status.processes if not report.stands_by}
    troubles = [f"no {s} process is running" for s in STAGES if shared and s not in at_work]
    troubles += [
        f"{report.stage} on {report.host} ({report.pid}) is not ready: {report.not_ready}"
        for report in status.processes
        if report.not_ready
    ]
    troubles += [
        f"{report.stage} on {report.place}: {trouble}"
        for report in status.processes
        for trouble in report.troubles
    ]
    if status.unowned:
        names = ", ".join(map(str, status.unowned))
        have = "have" if len(status.unowned) > 1 else "has"
        noun = "partitions" if len(status.unowned) > 1 else "partition"
        troubles.append(f"{noun} {names} {have} no processor")
    if status.dead_letters:
        count = status.dead_letters
        troubles.append(f"{count} dead letters: `moonwatch dead-letters list FILE` lists them")
    return troubles


def _of_versions(status: DeploymentStatus) -> Iterator[str]:
    """Processes that use another version of the file than the rest, or could not apply a change."""
    known = [report for report in status.processes if report.version]
    versions = Counter(report.version for report in known)
    if len(versions) > 1:
        usual = versions.most_common(1)[0][0]
        for report in known:
            if report.version != usual:
                yield (
                    f"{report.stage} on {report.place} uses version {report.version} of the file, "
                    f"others use {usual}; update all with `moonwatch reload FILE`"
                )
    for report in status.processes:
        if report.outcome and report.outcome not in APPLIED:
            why = f": {'; '.join(report.said)}" if report.said else ""
            yield f"{report.stage} on {report.place} did not apply the file, {report.outcome}{why}"


def _of_judging(status: DeploymentStatus, deployment: Deployment) -> Iterator[str]:
    """Cameras whose frames are not processed, or processed too late."""
    processors = [report for report in status.processes if report.stage == "processing"]
    judged = {name for report in processors for name in report.judged}
    ready = [report for report in processors if not report.not_ready]
    for name, camera in status.cameras.items():
        if ready and not status.unowned and camera.sampled_by and name not in judged:
            yield (
                f"camera {name} is sampled but not processed: no processor knows it; "
                "`moonwatch reload FILE` makes all processes read the file again"
            )
        elif camera.state == "online" and camera.lag_s is not None and camera.troubles is None:
            config = deployment.cameras[name]
            every_s = min(expected_interval_s(config, task) for task in config.tasks)
            if camera.lag_s > _LATE_S + every_s:
                late_s = f"{camera.lag_s:.0f} s"
                yield f"camera {name} is processed {late_s} late, so its events are late too"


def _of_samplers(status: DeploymentStatus, deployment: Deployment) -> Iterator[str]:
    """Cameras without a sampler, if any sampler is running."""
    samplers = [report for report in status.processes if report.stage == "sampling"]
    over = {name for report in samplers for name in report.over}
    ready = [report for report in samplers if not report.not_ready]
    for name, camera in status.cameras.items() if ready else ():
        if camera.sampled_by is not None or name in over:
            continue
        group = deployment.cameras[name].group
        if camera.standing_by:
            yield f"camera {name} is being handed over to another sampler"
        elif group is not None:
            advice = f"start one with `moonwatch sample FILE --group {group}`"
            yield f"camera {name} of group {group} has no sampler; {advice}"
        else:
            yield f"camera {name} has no sampler: no running one was started for it"


def _of_cameras(status: DeploymentStatus, deployment: Deployment) -> list[str]:
    troubles = []
    for name, camera in status.cameras.items():
        if camera.troubles is not None:
            for trouble in camera.troubles:
                since = local_time(_number(trouble["since"]), deployment.site_of(name).timezone)
                troubles.append(f"camera {name} {in_words((trouble,))} (since {since})")
        elif camera.state in ENDED_BY and camera.since is not None:
            why = "".join(f": {word}" for word in (camera.reason, camera.message) if word)
            since = local_time(camera.since, deployment.site_of(name).timezone)
            says = HAS.get(camera.state)
            been = f"{says} (since {since})" if says else f"has been {camera.state} since {since}"
            troubles.append(f"camera {name} {been}{why}")
    return troubles


def _of_sinks(status: DeploymentStatus, *, unserved: bool) -> list[str]:
    troubles = []
    for name, sink in status.sinks.items():
        if sink.error:
            troubles.append(f"sink {name}: {sink.error}")
        if sink.undelivered:
            refused = _events(sink.undelivered)
            shows = "`moonwatch undelivered list FILE` shows why"
            troubles.append(f"sink {name} refused {refused}; {shows}")
        if not sink.error and sink.waits_s is not None and sink.waits_s > _SINK_WAITS_S:
            troubles.append(
                f"sink {name} is {_events(sink.behind or 0)} behind, and none was delivered for "
                f"{sink.waits_s:.0f} s; see the log of the delivery process, and whether it uses "
                "this store"
            )
        if sink.behind and unserved:
            troubles.append(
                f"sink {name} is {_events(sink.behind)} behind and no delivery process is running"
            )
    return troubles


def _of_sequences(status: DeploymentStatus, *, unserved: bool) -> Iterator[str]:
    for name, sequence in status.sequences.items():
        if sequence.error:
            yield f"sequence {name}: {sequence.error}"
        if sequence.behind and unserved:
            yield (
                f"sequence {name} is {_events(sequence.behind)} behind and no delivery process is "
                "running"
            )


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"
