"""Decides whether a camera is well: its pictures arrive, are sampled, answered and judged, in time.

It is decided here alone, from progress: from how long something has been waiting for the next
step, not from what a step said last. The process that samples a camera asks once a second (see
`pipeline.runtime.watching`); events, the log, `/readyz`, metrics and `status` say what it finds.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.measures import Health

# How long a recording's frames may wait for an answer: nobody watches it as it happens.
FILE_PATIENCE_S = 60.0
# What an engine takes may double at times; after its own deadline it says that it failed.
_PACES, _BEYOND_DEADLINE_S = 2.0, 2.0
# However small the patience: an answer may take a moment, a processor waits for what is missing
# before, and an event is not late for a few seconds.
_SHORTEST_ANSWER_S, _SHORTEST_JUDGING_S, _SHORTEST_AGE_S = 3.0, 5.0, 10.0
# Drops for as long as this share of the patience are no burst.
_STREAK_SHARE = 0.6
# An engine that has answered nothing for this share of the patience may be dead.
SILENT_SHARE = 0.5
# The least share of dropped frames that counts as a trouble, and the fewest frames.
_DROPPED_SHARE, _FEWEST_DROPPED = 0.05, 2
# A late camera is in time again well below the limit, so that it does not alternate.
_IN_TIME_SHARE = 0.7

FOUND_HERE = (
    "masked",
    "unqueued",
    "overloaded",
    "unanswered",
    "failing",
    "unjudged",
    "late",
)
"""The troubles that are found here; all others are reported by the camera's sampler."""

_HELP = {
    "offline": "check the camera's power, network and address",
    "clock": "set the camera's clock by NTP, lower its frame rate or update its firmware",
}
STILL_JUDGED = ("clock",)
"""Troubles in which judging goes on, so that they do not concern readiness."""
HAS = {"clock": "has a wrong clock"}
"""What a camera does in a trouble whose state is no word for it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong with a camera."""

    state: str
    """One word, as in events: `camera_` and this word."""
    sentence: str
    """What is wrong; its subject is the camera."""
    help: str
    """What helps."""
    about: tuple[str, ...] = ()
    """The engines or tasks concerned; none if it concerns the whole camera."""
    since: float | None = None
    """When it began, in UTC seconds, if its sampler has said so."""

    def __str__(self) -> str:
        return f"{self.sentence}; {self.help}" if self.help else self.sentence


@dataclass(frozen=True, slots=True)
class EngineProgress:
    """How the frames for one engine get on. Durations in seconds, None where nothing waits."""

    unanswered_s: float | None = None
    """How long a frame has waited while none was answered."""
    unjudged_s: float | None = None
    """How long an answer has waited while none was judged."""
    age_s: float | None = None
    """How old the newest judged frame was when it was judged."""
    interval_s: float = 0.0
    """The longest normal time between two of its frames."""
    pace_s: float = 0.0
    """The longest that its answers have lately taken: a slow engine is not a dead one."""
    deadline_s: float = 0.0
    """How long it may take for a frame."""
    workers: int | None = None
    """Running workers that have it; None if unknown."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How one task is answered."""

    engine: str
    failing_s: float | None = None
    """How long its engine has failed at every frame; None if the last answer was good."""
    reason: str = ""
    """Why it failed last."""


@dataclass(frozen=True, slots=True)
class CameraProgress:
    """Everything by which a camera is judged."""

    patience_s: float
    """How long a step may stand still: `offline_after`, or longer for a recording."""
    is_live: bool = True
    reported: Sequence[Health] = ()
    """The ongoing troubles that its sampler has found in its pictures."""
    is_hidden: bool = False
    """Whether privacy masks cover the whole picture."""
    unqueued_s: float | None = None
    """How long the queue has not taken any of its frames."""
    queue: str | None = None
    """What the queue says about that."""
    dropping_s: float | None = None
    """How long frames have been dropped, again and again, because the queue was full."""
    dropped: int = 0
    """Frames dropped because of that, of those `sent`, within the last `patience_s`."""
    sent: int = 0
    engines: Mapping[str, EngineProgress] = field(default_factory=dict)
    tasks: Mapping[str, TaskProgress] = field(default_factory=dict)
    processors: int | None = None
    """Running processors; None if unknown."""
    is_known: bool = True
    """Whether a processor has the camera in its file."""


def troubles_of(progress: CameraProgress, ongoing: Collection[str] = ()) -> tuple[Trouble, ...]:
    """What is wrong with a camera now; nothing if it is well.

    `ongoing` are the states of the troubles that were found the last time.
    """
    return (
        *_reported(progress.reported),
        *_hidden(progress),
        *_unqueued(progress),
        *_unanswered(progress),
        *_unjudged(progress),
        *_failing(progress),
        *_overloaded(progress, ongoing),
        *_late(progress, ongoing),
    )


def _reported(reported: Sequence[Health]) -> Iterator[Trouble]:
    for health in reported:
        detail = f": {health.detail}" if health.detail else ""
        # A sentence with a way out of its own needs no second one.
        advice = "" if ";" in health.detail else _HELP.get(health.state, "")
        sentence = f"{HAS.get(health.state, f'is {health.state}')}{detail}"
        yield Trouble(health.state, sentence, advice, since=health.at)


def _hidden(progress: CameraProgress) -> Iterator[Trouble]:
    if progress.is_hidden:
        yield Trouble(
            "masked",
            "is masked: its privacy masks cover the whole picture",
            "leave some of the picture free in `sample.masks`",
        )


def _unqueued(progress: CameraProgress) -> Iterator[Trouble]:
    waiting_s = progress.unqueued_s
    if waiting_s is None or waiting_s <= progress.patience_s:
        return
    why = f": {progress.queue}" if progress.queue else ""
    yield Trouble(
        "unqueued",
        f"is not analysed: the queue has taken none of its frames for {waiting_s:.0f} s{why}",
        "see that the queue's server runs, is reachable and has memory left",
    )


def _unanswered(progress: CameraProgress) -> Iterator[Trouble]:
    late: dict[str, float] = {}
    if not progress.is_known:
        return  # what becomes of its frames is not reported: see `_unjudged`
    for name, engine in progress.engines.items():
        limit_s = max(progress.patience_s, _SHORTEST_ANSWER_S)
        if engine.workers != 0:
            slow_s = min(_PACES * engine.pace_s, engine.deadline_s + _BEYOND_DEADLINE_S)
            limit_s = max(limit_s, slow_s)
        if engine.unanswered_s is not None and engine.unanswered_s > limit_s:
            late[name] = engine.unanswered_s
    if not late:
        return
    without = [name for name in late if progress.engines[name].workers == 0]
    names, longest_s = _listed("engine", late), max(late.values())
    if without:
        why = f", and no worker is running for {', '.join(without)}"
        options = " ".join(f"--engine {name}" for name in without)
        advice = f"start one with `moonwatch infer FILE {options}`"
    else:
        why, advice = "", "see the worker's log, and restart it"
    yield Trouble(
        "unanswered",
        f"is not analysed: {names} answered none of its frames for {longest_s:.0f} s{why}",
        advice,
        tuple(late),
    )


def _unjudged(progress: CameraProgress) -> Iterator[Trouble]:
    waits_s = {
        name: engine.unjudged_s if progress.is_known else engine.unanswered_s
        for name, engine in progress.engines.items()
    }
    limit_s = max(progress.patience_s, _SHORTEST_JUDGING_S)
    late = {name: waited for name, waited in waits_s.items() if (waited or 0.0) > limit_s}
    if not late:
        return
    if progress.processors == 0:
        why, advice = ", and no processor is running", "start one with `moonwatch process FILE`"
    elif not progress.is_known:
        why = ", because no processor has it in its file"
        advice = "`moonwatch reload FILE` makes all processes read the file again"
    else:
        why, advice = "", "see the processor's log, and whether the store responds"
    longest_s = max(waited or 0.0 for waited in late.values())
    yield Trouble(
        "unjudged",
        f"is not judged: its frames have waited for {longest_s:.0f} s{why}",
        advice,
        tuple(late),
    )


def _failing(progress: CameraProgress) -> Iterator[Trouble]:
    late = {
        name: task
        for name, task in progress.tasks.items()
        if task.failing_s is not None and task.failing_s > progress.patience_s
    }
    if not late:
        return
    longest_s = max(task.failing_s or 0.0 for task in late.values())
    engines = _listed("engine", dict.fromkeys(task.engine for task in late.values()))
    reason = next(iter(late.values())).reason
    yield Trouble(
        "failing",
        f"is not analysed: {engines} failed at every frame for {_listed('task', late)} "
        f"for {longest_s:.0f} s: {reason}",
        "see the log of the worker",
        tuple(late),
    )


def _overloaded(progress: CameraProgress, ongoing: Collection[str]) -> Iterator[Trouble]:
    if progress.dropping_s is None or not progress.is_live:
        return
    if "overloaded" not in ongoing:
        is_burst = progress.dropping_s < _STREAK_SHARE * progress.patience_s
        fewest = max(_FEWEST_DROPPED, _DROPPED_SHARE * progress.sent)
        if is_burst or progress.dropped < fewest:
            return
    names = _listed("engine", progress.engines)
    yield Trouble(
        "overloaded",
        f"is overloaded: {progress.dropped} of {progress.sent} frames were dropped within "
        f"{progress.patience_s:.0f} s because the queue was full: {names} cannot keep up",
        "sample fewer frames (`every:`, `motion: true`), use a faster engine or GPU, or start "
        "more workers with `moonwatch infer FILE`",
    )


def _late(progress: CameraProgress, ongoing: Collection[str]) -> Iterator[Trouble]:
    share = _IN_TIME_SHARE if "late" in ongoing else 1.0
    late = {
        name: engine.age_s
        for name, engine in progress.engines.items()
        if engine.age_s is not None
        and engine.age_s > share * (max(progress.patience_s, _SHORTEST_AGE_S) + engine.interval_s)
    }
    if not late or not progress.is_live:
        return
    longest_s = max(late.values())
    yield Trouble(
        "late",
        f"is judged {longest_s:.0f} s late, so its events are late too",
        "start more workers or processors, or sample fewer frames (`every:`)",
        tuple(late),
    )


def _listed(noun: str, names: Collection[str]) -> str:
    plural = "s" if len(names) > 1 else ""
    return f"{noun}{plural} {', '.join(names)}"
