"""All stages of a deployment as processes of their own, over a queue that they share."""

import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.core.clock import SystemClock
from pipeline.core.errors import QueueError, SourceError, StoreError
from pipeline.core.sources import Need
from pipeline.delivery import LaneStatus
from pipeline.deployment.model import Deployment
from pipeline.processing.kept import read_lane
from pipeline.processing.plan import LanePlan
from pipeline.runtime.assembly import plans_of
from pipeline.runtime.child_processes import Children
from pipeline.runtime.reload import REQUEST_TTL, DeploymentFile, Reloader, new_request
from pipeline.runtime.reports import Report, reports_of
from pipeline.runtime.run_handle import Status
from pipeline.runtime.stage_process import DRAIN_S, shared_queues
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
"""The commands, in the order of their start, and what their stage is called."""
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """What the children are told: the deployment's file, and how it was called."""

    file: Path
    overrides: Sequence[str] = ()
    log_format: str = "text"
    http: ListenAddress | None = None
    """This process's own; its children answer on the ports after it, in the order of the stages."""
    watch: bool = False
    """Whether they look for themselves whether the file has changed."""

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
    """A deployment at work in children; the same handles as `Run`."""

    def __init__(self, file: DeploymentFile, order: Order) -> None:
        """Open the store; raises StoreError, or ConfigError where there is no queue to share."""
        deployment = file.deployment
        self.deployment = deployment
        self.metrics = Metrics()
        self._clock = SystemClock()
        self._queues = shared_queues(deployment, self._clock)
        self.store = deployment.store.build(self._clock)
        self._children = Children(order.commands(), self._clock)
        self._reloader = Reloader(file, self.update, self._clock, asked=self._asked)
        self._hung_up = threading.Event()
        self._reports: dict[str, Report] = {}
        self._now: dict[str, Report] = {}
        self._looked_at = float("-inf")
        self._runs: Mapping[str, str] | None = None
        self._finished = False
        self._began = self._clock.monotonic()

    def start(self) -> None:
        """Start the children."""
        self._began = self._clock.monotonic()
        self._children.start()

    def hang_up(self) -> None:
        """Have every process of the deployment read its file again, at the next poll."""
        self._hung_up.set()

    def update(self, deployment: Deployment) -> None:
        """Look after another version of the file; the children read it for themselves."""
        self.deployment = deployment
        self._runs = None
        self._finished = False
        # A sampler that had played all of its files to their end has something to do again, if not
        # it ends at once.
        self._children.revive("sample")

    @property
    def finished(self) -> bool:
        """Whether every camera was a file, and all of them are judged to their end."""
        return self._finished

    @property
    def failure(self) -> str | None:
        """Why a child is not started again."""
        return self._children.failure

    @property
    def shortfall(self) -> str | None:
        """Nothing: a child that fails is the failure of the run."""
        return None

    def ready(self) -> str | None:
        """Why not all stages are at work; None when they are."""
        at_work = {report.stage: report.not_ready for report in self._now.values()}
        reasons = [
            f"{stage}: {at_work.get(stage, 'is not running yet')}"
            for command, stage in STAGES.items()
            if at_work.get(stage, "is not running yet") and not self._children.is_over(command)
        ]
        return "; ".join(reasons) or None

    def progress(self) -> float | None:
        """How far the files are, 0..1; None where a live camera or a loop has no end."""
        return next((r.progress for r in self._now.values() if r.stage == "sampling"), None)

    def status(self) -> Status:
        """How the cameras and sinks are doing, as the children say."""
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
        """Look after the children, and whether there is anything left to do."""
        self._children.poll()
        if self._hung_up.is_set():
            with suppress(QueueError):  # said by the queue itself; the next poll tries again
                self._queues.requests.ask(new_request(), REQUEST_TTL)
                self._hung_up.clear()
        self._reloader.poll()
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        self._read_reports()
        for command, restarts in self._children.restarts().items():
            self.metrics.stage_restarts.labels(STAGES[command]).set(restarts)
        if self._children.is_over("sample"):
            self._finished = self._is_judged()

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Stop sampling, finish what is under way, deliver what is there."""
        for command in reversed(STAGES):
            self._children.stop(command, within_s)
            self._read_reports()

    def close(self) -> None:
        """Let go of the store, which can be asked until then what the run found."""
        self.store.close()
        self._queues.close()

    def _asked(self) -> str | None:
        try:
            return self._queues.requests.asked()
        except QueueError:
            return None  # said by the queue itself

    def _read_reports(self) -> None:
        """Those of the children; others may work on the same deployment, or did just before."""
        try:
            everybody = reports_of(self._queues.presence)
        except QueueError:
            return  # said by the queue itself
        host, pids = socket.gethostname(), self._children.pids
        self._now = {m: r for m, r in everybody.items() if r.host == host and r.pid in pids}
        self._reports.update(self._now)

    def _is_judged(self) -> bool:
        """Whether the store holds the ends of what the sampler has played."""
        if self._runs is None:
            self._runs = _runs_of(self.deployment)
        try:
            return all(
                self._has_ended(plan.camera, lane)
                for plan in plans_of(self.deployment)
                for lane in plan.lanes
            )
        except StoreError:
            return False  # said by the processor; the next look tries again

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
    """What a sampler calls the run of each file."""
    runs = {}
    for name, camera in deployment.cameras.items():
        if not camera.source.is_recording:
            continue
        source = camera.source.build()
        try:
            source.open(Need())
            runs[name] = source.run
        except SourceError as error:
            logger.warning("camera %s: %s", name, error)
        finally:
            source.close()
    return runs


def _lane(said: Mapping[str, Any]) -> LaneStatus:
    """A sink's status out of a report; keys of another release are passed over."""
    known = {name: said[name] for name in LaneStatus.__slots__ if name in said}
    return LaneStatus(**known)
