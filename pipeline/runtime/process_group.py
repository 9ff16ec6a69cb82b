"""All stages of a deployment as separate processes that share a queue."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.core.clock import SystemClock
from pipeline.core.errors import QueueError, SourceError, StoreError
from pipeline.delivery import LaneStatus
from pipeline.deployment.model import Deployment
from pipeline.processing.kept import read_lane
from pipeline.processing.plan import LanePlan
from pipeline.runtime.assembly import plans_of
from pipeline.runtime.child_processes import Children
from pipeline.runtime.final_delivery import FinalDelivery
from pipeline.runtime.reload import REQUEST_TTL, DeploymentFile, Reloader, new_request
from pipeline.runtime.reports import TTL, Report, new_member, reports_of
from pipeline.runtime.run_handle import Status
from pipeline.runtime.stage_process import DRAIN_S, shared_queues
from pipeline.runtime.stages.sampling import remark_on
from pipeline.runtime.watching import in_words
from pipeline.telemetry.figures import added
from pipeline.telemetry.http import ListenAddress
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

STAGES = {
    "deliver": "delivery",
    "process": "processing",
    "infer": "inference",
    "sample": "sampling",
}
"""The commands in the order of their start, each with the name of its stage."""
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """The options that the children are started with."""

    file: Path
    overrides: Sequence[str] = ()
    log_format: str = "text"
    http: ListenAddress | None = None
    """This process's own; its children use the ports after it, in the order of the stages."""
    watch: bool = False
    """Whether each child watches the file for changes."""

    def commands(self) -> dict[str, list[str]]:
        """The arguments of each child, by its command."""
        return {command: self._command(n, command) for n, command in enumerate(STAGES, 1)}

    def _command(self, nth: int, command: str) -> list[str]:
        told = [command, str(self.file), "--log-format", self.log_format]
        if command == "sample":
            told.append("--all-groups")
        for override in self.overrides:
            told += ["--set", override]
        if self.watch:
            told.append("--watch")
        if self.http is not None:
            told += ["--http", f"{self.http.host}:{self.http.port + nth}"]
        return told


class ScaledRun:
    """A deployment that runs in child processes; the same interface as `Run`."""

    def __init__(self, file: DeploymentFile, order: Order) -> None:
        """Open the store; raises StoreError, or ConfigError if the queue cannot be shared."""
        deployment = file.deployment
        self.deployment = deployment
        self.metrics = Metrics()
        self._clock = SystemClock()
        self._queues = shared_queues(deployment, self._clock)
        self.store = deployment.store.build(self._clock)
        self._final_delivery = FinalDelivery(self.store.history, self._clock)
        self._children = Children(order.commands(), self._clock)
        self._reloader = Reloader(file, self.update, self._clock, asked=self._asked)
        self._hung_up = threading.Event()
        self._reports: dict[str, Report] = {}
        self._now: dict[str, Report] = {}
        self._looked_at = float("-inf")
        self._runs: Mapping[str, str] | None = None
        self._finished = False
        self._began = self._clock.monotonic()
        self._member = new_member("run")
        self.beside: Callable[[], str | None] = lambda: None
        """What is wrong with what goes on beside the stages, such as the application."""
        self.beside_pids: Callable[[], Collection[int]] = frozenset
        """The processes that go on beside the stages, whose reports are this run's as well."""

    def start(self) -> None:
        """Start the children."""
        self._began = self._clock.monotonic()
        self._children.start()

    def hang_up(self) -> None:
        """Have every process of the deployment read its file again, at the next poll."""
        self._hung_up.set()

    def update(self, deployment: Deployment) -> None:
        """Supervise another version of the file; the children read it themselves."""
        self.deployment = deployment
        self._runs = None
        self._finished = False
        self._final_delivery.restart()
        # A sampler that had finished its files may have work again; if not, it ends.
        self._children.revive("sample")

    @property
    def finished(self) -> bool:
        """Whether all cameras are files, and all of them are judged to their end."""
        return self._finished

    @property
    def is_delivering(self) -> bool:
        """Whether events are left that a sink is still accepting."""
        return self._final_delivery.goes_on(self.deployment, self.status().sinks)

    @property
    def failure(self) -> str | None:
        """Why a child is not restarted."""
        return self._children.failure

    @property
    def shortfall(self) -> str | None:
        """What the sampler could not play of its files; a child that fails fails the run."""
        return next((r.shortfall for r in self._reports.values() if r.shortfall), None)

    @property
    def remarks(self) -> Sequence[str]:
        """What is wrong with recordings that were played, as the sampler reports it."""
        samplers = [r for r in self._reports.values() if r.stage == "sampling"]
        return samplers[-1].troubles if samplers else ()

    def ready(self) -> str | None:
        """Why some stage is not ready; None if all are."""
        at_work = {report.stage: report.not_ready for report in self._now.values()}
        reasons = [
            f"{stage}: {at_work.get(stage, 'is not running yet')}"
            for command, stage in STAGES.items()
            if at_work.get(stage, "is not running yet") and not self._children.is_over(command)
        ]
        return "; ".join(reasons) or None

    def remark(self) -> str | None:
        """What is wrong although all stages are ready."""
        now = list(self._now.values())
        unwell = {
            name: in_words(tuple(told))
            for report in now
            for name, told in report.wellness.items()
            if told
        }
        said = [trouble for report in now for trouble in report.troubles]
        cameras = remark_on(len(self.deployment.cameras), unwell)
        if (beside := self.beside()) is not None:
            said.append(beside)
        return "; ".join([cameras, *said] if cameras else said) or None

    def progress(self) -> float | None:
        """Progress through the files, 0..1; None if a live camera or a loop has no end."""
        return next((r.progress for r in self._now.values() if r.stage == "sampling"), None)

    def status(self) -> Status:
        """The state of cameras and sinks, as the children report it."""
        figures = added([report.figures for report in self._reports.values()])
        up_s = self._clock.monotonic() - self._began
        present = added([report.figures for report in self._now.values()])
        here = {
            name: replace(counted, up=name in present and present[name].up)
            for name, counted in figures.items()
        }
        sinks = [_lane(said) for report in self._now.values() for said in report.sinks.values()]
        return Status(here, sinks, up_s)

    def poll(self) -> None:
        """Restart children that have failed, and see whether there is anything left to do."""
        self._children.poll()
        if self._hung_up.is_set():
            with suppress(QueueError):  # the queue reports it; the next poll tries again
                self._queues.requests.ask(new_request(), REQUEST_TTL)
                self._hung_up.clear()
        self._reloader.poll()
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        self._tell_beside(now)
        self._read_reports()
        for command, restarts in self._children.restarts().items():
            self.metrics.stage_restarts.labels(STAGES[command]).set(restarts)
        if self._children.is_over("sample"):
            self._finished = self._is_judged()

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Stop sampling, finish work in progress, deliver what is left."""
        for command in reversed(STAGES):
            self._children.stop(command, within_s)
            self._read_reports()

    def close(self) -> None:
        """Close the store, which can be queried for results until then."""
        self.store.close()
        self._queues.close()

    def _asked(self) -> str | None:
        try:
            return self._queues.requests.asked()
        except QueueError:
            return None  # the queue reports it

    def _tell_beside(self, now: float) -> None:
        """Publish what no stage could: that what goes on beside them does not work."""
        if (trouble := self.beside()) is None:
            return  # what was said expires
        up_s = round(now - self._began, 1)
        report = Report(
            "run", socket.gethostname(), os.getpid(), up_s, troubles=[trouble], is_beside=True
        )
        with suppress(QueueError):  # the queue reports it
            self._queues.presence.say(self._member, report.to_bytes(), TTL)

    def _read_reports(self) -> None:
        """Only the children's: other processes may work on the same deployment."""
        try:
            everybody = reports_of(self._queues.presence)
        except QueueError:
            return  # the queue reports it
        host, pids = socket.gethostname(), {*self._children.pids, *self.beside_pids()}
        self._now = {m: r for m, r in everybody.items() if r.host == host and r.pid in pids}
        self._reports.update(self._now)

    def _is_judged(self) -> bool:
        """Whether the store has the end of every file that the sampler has played."""
        if self._runs is None:
            self._runs = _runs_of(self.deployment)
        try:
            return all(
                self._has_ended(plan.camera, lane)
                for plan in plans_of(self.deployment)
                for lane in plan.lanes
            )
        except StoreError:
            return False  # the processor reports it; the next look tries again

    def _has_ended(self, camera: str, lane: LanePlan) -> bool:
        runs = self._runs or {}
        checkpoint = self.store.checkpoint(camera, lane.engine)
        if checkpoint is None or not checkpoint.ended or checkpoint.run != runs.get(camera):
            return False
        try:
            return read_lane(checkpoint.state, lane).terms() == lane.terms()
        except ValueError:
            return False


def _runs_of(deployment: Deployment) -> dict[str, str]:
    """The name that a sampler gives to the run of each file."""
    runs = {}
    for name, camera in deployment.cameras.items():
        if not camera.source.is_recording:
            continue
        source = camera.source.build(zone=deployment.site_of(name).timezone)
        try:
            runs[name] = source.named()
        except SourceError as error:
            logger.warning("camera %s: %s", name, error)
    return runs


def _lane(said: Mapping[str, Any]) -> LaneStatus:
    """A sink's status from a report; keys of other releases are ignored."""
    known = {name: said[name] for name in LaneStatus.__slots__ if name in said}
    return LaneStatus(**known)
