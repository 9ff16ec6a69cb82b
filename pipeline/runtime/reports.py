"""The report that each process of a deployment publishes about itself once a second."""

import json
import logging
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pipeline.core.errors import QueueError, StoreError
from pipeline.core.events import JsonValue
from pipeline.core.membership import Presence
from pipeline.core.ranges import (
    LONGEST_NAME,
    counted_number,
    is_finite,
    measured_number,
    readable,
)
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.runtime.reload import Reloader
from pipeline.runtime.stages.base import StageContext
from pipeline.telemetry.figures import CameraFigures, Figures, figures_of
from pipeline.telemetry.spreads import EngineSpeed, Lately, LatencyCounts

logger = logging.getLogger(__name__)

BEAT_S = 1.0
# Two beats may be late before a process counts as gone.
TTL = timedelta(seconds=3.5 * BEAT_S)
# Rates are averages over the last seconds.
_RATE_S = 10.0
# Names and sentences in one report: more than any deployment has cameras.
_MOST_NAMES = 10_000
_RATED = ("sampled", "answered", "judged")

Judged = Mapping[str, Mapping[str, tuple[str, int, bool] | None]]
"""For each camera and engine that a processor judges: run, last job, and whether the run has ended;
None if nothing is judged yet."""


Tallies = Mapping[str, Mapping[str, tuple[int, int, str]]]
"""For each camera and task that a processor judges: good answers, failures and the last reason."""


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one process. Its size is bounded by the number of cameras and engines."""

    stage: str
    host: str
    pid: int
    up_s: float
    not_ready: str | None = None
    figures: Figures = field(default_factory=dict)
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Frames a second by camera: sampled, answered and judged."""
    judged: Judged = field(default_factory=dict)
    tallies: Tallies = field(default_factory=dict)
    ages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """How old the newest answered frame was when it was judged, by camera and engine."""
    engines: Sequence[str] = ()
    """The engines that a worker has loaded."""
    speeds: Mapping[str, EngineSpeed] = field(default_factory=dict)
    """How engines did here in the last ten minutes."""
    judged_in: Mapping[str, LatencyCounts] = field(default_factory=dict)
    """How long frames of the last hour took from capture to judging here, by live camera."""
    wellness: Mapping[str, Sequence[Mapping[str, JsonValue]]] = field(default_factory=dict)
    """The troubles of each camera that is sampled here, none if it is well; without those of which
    nothing is known yet."""
    partitions: Sequence[int] = ()
    sinks: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    progress: float | None = None
    stands_by: bool = False
    """Another process is doing this stage's work; this one takes over if it ends."""
    is_last: bool = False
    """This is the last report of a process that ends."""
    is_beside: bool = False
    """It is no stage: it only says what is wrong beside them, and answers no request."""
    samples: Sequence[str] = ()
    """The cameras that a sampler has open."""
    stands_by_for: Sequence[str] = ()
    """The cameras that it would sample if no other process did."""
    over: Sequence[str] = ()
    """The files that it has played and that are judged to their end."""
    troubles: Sequence[str] = ()
    """What needs an operator's attention although work continues, as sentences."""
    shortfall: str = ""
    """What could not be played of files whose other parts were, in one sentence."""
    version: str = ""
    """The version of the deployment file that the process works by."""
    request: str = ""
    """The last request to read the file again that the process has answered."""
    outcome: str = ""
    """The outcome: a value of `pipeline.runtime.reload.Outcome`."""
    said: Sequence[str] = ()
    """Why, if the change was not applied."""
    notes: Sequence[str] = ()
    """What is worth knowing of it but not a problem, as sentences."""

    @property
    def place(self) -> str:
        """Where the process runs, in words."""
        return f"{self.host} ({self.pid})"

    def to_bytes(self) -> bytes:
        """As JSON."""
        said = {name: getattr(self, name) for name in self.__slots__}
        said["figures"] = {camera: one.as_json() for camera, one in self.figures.items()}
        said["speeds"] = {engine: one.as_json() for engine, one in self.speeds.items()}
        said["judged_in"] = {camera: one.counts for camera, one in self.judged_in.items()}
        return json.dumps(said, separators=(",", ":")).encode()

    @classmethod
    def of_bytes(cls, data: bytes) -> "Report | None":
        """The report, or None if it does not even name its process.

        Releases differ in what they report: unknown keys are ignored, and what is missing or
        cannot be read has its default.
        """
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        read: dict[str, Any] = {}
        for name, reader in _READERS.items():
            # One unreadable value does not invalidate the others.
            with suppress(LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
                read[name] = reader(said[name])
        return cls(**read) if read.keys() >= {"stage", "host", "pid", "up_s"} else None


def _judged(said: Any) -> Judged:
    return {
        readable(camera): {
            readable(engine): (str(point[0])[:LONGEST_NAME], _ordinal(point[1]), bool(point[2]))
            if point
            else None
            for engine, point in of.items()
        }
        for camera, of in said.items()
    }


def _tallies(said: Any) -> Tallies:
    return {
        readable(camera): {
            readable(task): (counted_number(tally[0]), counted_number(tally[1]), readable(tally[2]))
            for task, tally in of.items()
        }
        for camera, of in said.items()
    }


def _wellness(said: Any) -> dict[str, list[dict[str, JsonValue]]]:
    return {
        readable(camera): [
            {
                "state": readable(trouble["state"]),
                "since": _finite(trouble["since"]),
                "sentence": readable(trouble["sentence"]),
                "help": readable(trouble["help"]),
            }
            for trouble in troubles[:_MOST_NAMES]
        ]
        for camera, troubles in said.items()
    }


def _ages(said: Any) -> dict[str, dict[str, float]]:
    return {
        readable(camera): {readable(hop): _finite(age) for hop, age in of.items()}
        for camera, of in said.items()
    }


def _finite(value: Any) -> float:
    if not is_finite(value):
        raise ValueError(f"{str(value)[:40]} is not a number of seconds")
    return float(value)


def _ordinal(said: Any) -> int:
    return -1 if said == -1 else counted_number(said)


def _figures(said: Any) -> Figures:
    return {readable(camera): CameraFigures.of_json(of) for camera, of in said.items()}


def _speeds(said: Any) -> dict[str, EngineSpeed]:
    return {readable(engine): EngineSpeed.of_json(of) for engine, of in said.items()}


def _judged_in(said: Any) -> dict[str, LatencyCounts]:
    return {readable(camera): LatencyCounts.of_json(of) for camera, of in said.items()}


def _rates(said: Any) -> dict[str, dict[str, float]]:
    return {
        readable(camera): {readable(hop): measured_number(rate) for hop, rate in of.items()}
        for camera, of in said.items()
    }


def _sinks(said: Any) -> dict[str, dict[str, JsonValue]]:
    return {
        readable(sink): {readable(name): _plain(value) for name, value in of.items()}
        for sink, of in said.items()
    }


def _plain(value: Any) -> JsonValue:
    """A word, a number or counts about a sink."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):  # counts by reason
        return {readable(name): counted_number(count) for name, count in value.items()}
    if value is None or isinstance(value, bool) or is_finite(value):
        known: JsonValue = value
        return known
    raise ValueError(f"{type(value).__name__} is neither a word nor a number")


def _names(said: Any) -> tuple[str, ...]:
    return tuple(readable(name) for name in said[:_MOST_NAMES])


def _sentences(said: Any) -> tuple[str, ...]:
    return tuple(readable(sentence) for sentence in said[:_MOST_NAMES])


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "stage": readable,
    "host": readable,
    "pid": counted_number,
    "up_s": measured_number,
    "not_ready": lambda said: None if said is None else readable(said),
    "figures": _figures,
    "rates": _rates,
    "judged": _judged,
    "tallies": _tallies,
    "ages": _ages,
    "engines": _names,
    "speeds": _speeds,
    "judged_in": _judged_in,
    "wellness": _wellness,
    "partitions": lambda said: [counted_number(partition) for partition in said[:_MOST_NAMES]],
    "sinks": _sinks,
    "progress": lambda said: None if said is None else measured_number(said),
    "stands_by": bool,
    "is_last": bool,
    "is_beside": bool,
    "samples": _names,
    "stands_by_for": _names,
    "over": _names,
    "troubles": _sentences,
    "shortfall": readable,
    "version": readable,
    "request": readable,
    "outcome": readable,
    "said": _sentences,
    "notes": _sentences,
}


def new_member(stage: str) -> str:
    """A name that is unique to this start of this process."""
    return f"{stage}:{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def member_in_words(member: str) -> str:
    """Where a process runs, from its member name."""
    parts = member.rsplit(":", 3)
    return f"{parts[1]} ({parts[2]})" if len(parts) == 4 else readable(member)


def reports_of(presence: Presence) -> dict[str, Report]:
    """The last report of every process, by member; raises QueueError."""
    read = {member: Report.of_bytes(data) for member, data in presence.members().items()}
    return {member: report for member, report in sorted(read.items()) if report is not None}


Facts = Callable[[], dict[str, Any]]
"""What a stage adds to its process's report: some of `Report`'s fields."""


class Reporter:
    """Publishes this process's report once a second. `beat` is called by one thread."""

    def __init__(
        self, stage: str, context: StageContext, not_ready: Callable[[], str | None]
    ) -> None:
        self.member = new_member(stage)
        self.facts: Facts = dict
        """Set once the stage exists."""
        self.cameras: Collection[str] = context.deployment.cameras
        """Those in the file that the process works by; set again when it changes."""
        self.reloader: Reloader | None = None
        """Set once the stage exists: the file that the process works by."""
        self._stage = stage
        self._context = context
        self._not_ready = not_ready
        self._began = context.clock.monotonic()
        self._past: deque[tuple[float, Figures]] = deque()
        self._lately = Lately(context.metrics)
        self.unforeseen = UnforeseenErrors("reporting how it is", context.clock, logger)
        """What went wrong in the thread that publishes; its reports say so."""

    def beat(self, presence: Presence, *, last: bool = False, ttl: timedelta = TTL) -> None:
        """Publish the report. Nothing happens if the queue is out of reach."""
        try:
            report = replace(self._report_or_why_not(), is_last=last)
            presence.say(self.member, report.to_bytes(), ttl)
        except (QueueError, StoreError):
            return  # reported by the queue, or by those who write to the store

    def _report_or_why_not(self) -> Report:
        """A process whose report fails is alive nevertheless, and says why nothing is known."""
        try:
            report = self.report()
        except (QueueError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - it is in the report then
            self.unforeseen.happened(error)
            up_s = round(self._context.clock.monotonic() - self._began, 1)
            report = Report(self._stage, socket.gethostname(), os.getpid(), up_s)
        trouble = self.unforeseen.trouble
        return report if trouble is None else replace(report, troubles=[*report.troubles, trouble])

    def report(self) -> Report:
        """The current state of this process."""
        now = self._context.clock.monotonic()
        figures = figures_of(self._context.metrics, self.cameras)
        self._past.append((now, figures))
        while now - self._past[0][0] > _RATE_S:
            self._past.popleft()
        return Report(
            stage=self._stage,
            host=socket.gethostname(),
            pid=os.getpid(),
            up_s=round(now - self._began, 1),
            not_ready=self._not_ready(),
            figures=figures,
            rates=self._rates(now, figures),
            speeds=self._lately.speeds(now, has_queue=not self._context.deployment.queue.is_shared),
            judged_in=self._lately.judged(now),
            **self._of_file(),
            **self.facts(),
        )

    def _of_file(self) -> dict[str, Any]:
        if self.reloader is None:
            return {}
        last = self.reloader.last
        return {
            "version": self.reloader.version,
            "request": last.request if last else "",
            "outcome": str(last.outcome) if last else "",
            "said": list(last.said) if last else [],
        }

    def _rates(self, now: float, figures: Figures) -> dict[str, dict[str, float]]:
        then, before = self._past[0]
        if now <= then:
            return {}
        return {
            camera: {
                name: round(
                    (getattr(counted, name) - getattr(before[camera], name)) / (now - then), 2
                )
                for name in _RATED
            }
            for camera, counted in figures.items()
            if camera in before
        }
