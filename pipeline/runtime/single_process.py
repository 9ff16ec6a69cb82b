"""All stages of a deployment in one process: started in order, stopped in reverse."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.core.errors import MoonwatchError, StoreError
from pipeline.core.queues import Queues
from pipeline.deployment.model import Deployment
from pipeline.runtime.final_delivery import FinalDelivery
from pipeline.runtime.ownership import RunOwnership
from pipeline.runtime.reload import DeploymentFile, Reloader
from pipeline.runtime.reports import Report, Reporter
from pipeline.runtime.run_handle import Status
from pipeline.runtime.stages.base import Stage, StageContext, StageThread
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.runtime.stages.inference import InferenceStage
from pipeline.runtime.stages.processing import ProcessingStage, ends_of
from pipeline.runtime.stages.sampling import SamplingStage
from pipeline.runtime.watching import Elsewhere, elsewhere_of
from pipeline.telemetry.figures import figures_of
from pipeline.telemetry.metrics import Metrics

# A run's report is written to its store, so less often than to Redis.
_BEAT_S = 2.0
_TTL = timedelta(seconds=7)
# How long each stage may take to finish its current work when a run is stopped.
DRAIN_S = 5.0


class Run:
    """A running deployment: `start` it, check `finished` and `failure` regularly, `stop` it."""

    def __init__(
        self,
        deployment: Deployment,
        ownership: RunOwnership,
        record: Path | None = None,
        file: DeploymentFile | None = None,
    ) -> None:
        """Start the engines and read the store, which is ours; raises EngineError, StoreError.

        With the `file` that the deployment was read from, other commands see it running, and it
        applies changes to the file.
        """
        self.deployment = deployment
        self.metrics = Metrics()
        self._ownership = ownership
        self._clock = ownership.clock
        self._queues = deployment.queue.build(self._clock)
        spending = ownership.store.spending
        context = StageContext(deployment, self._queues, self.metrics, self._clock, spending)
        self._inference = InferenceStage(context)
        self.store = ownership.store
        self._processing = ProcessingStage(context, self.store, record, ownership.proof)
        self._sampling = SamplingStage(context, self._processing.resumed, self._elsewhere)
        self._delivery = DeliveryStage(
            context,
            self.store,
            ownership.delivery,
            self.store.history,
            self.store.audits,
            self._cameras_report,
        )
        self._stages: tuple[Stage, ...] = (
            self._delivery,
            self._processing,
            self._inference,
            self._sampling,
        )
        self._final_delivery = FinalDelivery(self.store.history, self._clock)
        self._began = self._clock.monotonic()
        self._reporter = Reporter("run", context, self.ready)
        self._reporter.facts = self._facts
        self._presence: StageThread | None = None
        self.beside: Callable[[], str | None] = lambda: None
        """What is wrong with what goes on beside the stages, such as the application."""
        self._is_over = threading.Event()
        if file is not None:
            self._reporter.reloader = Reloader(
                file,
                self.update,
                self._clock,
                engines=lambda: self._inference.engines,
                asked=self._asked,
            )
            self._presence = StageThread("presence", self._beat, self._is_over.set)

    def start(self) -> None:
        """Start in reverse order: receivers are ready before there is anything to send."""
        self._began = self._clock.monotonic()
        for stage in self._stages:
            stage.start()
        if self._presence is not None:
            self._presence.start()

    def hang_up(self) -> None:
        """Read the file again at the next poll."""
        if self._reporter.reloader is not None:
            self._reporter.reloader.hang_up()

    def update(self, deployment: Deployment) -> None:
        """Continue with another version of the file; what is equal in both is not disturbed.

        Raises MoonwatchError if that is not possible; then everything is as before.
        """
        before, changed = self.deployment, []
        try:
            for stage in self._stages:  # receivers know a camera before its frames arrive
                changed.append(stage)
                stage.update(deployment)
        except MoonwatchError:
            for stage in reversed(changed):
                with suppress(MoonwatchError):
                    stage.update(before)
            raise
        self.deployment = deployment
        self._final_delivery.restart()
        self._reporter.cameras = deployment.cameras

    @property
    def queues(self) -> Queues:
        """What its stages share, and with them an application in this process."""
        return self._queues

    @property
    def finished(self) -> bool:
        """Whether all cameras are files, and all of them are judged to their end."""
        endless = self._sampling.without_end
        ends = {key for key in ends_of(self.deployment) if key[0] not in endless}
        if not (self._sampling.finished and self._processing.ended >= ends):
            return False
        try:
            return self._processing.clips.is_settled()
        except StoreError:
            return False

    @property
    def is_delivering(self) -> bool:
        """Whether events are left that a sink is still accepting."""
        return self._final_delivery.goes_on(self.deployment, self._delivery.status())

    @property
    def failure(self) -> str | None:
        """Why the run cannot continue; None while all is well."""
        parts = (self._ownership, self._delivery, self._processing, self._inference)
        return next((part.failure for part in parts if part.failure), None)

    @property
    def shortfall(self) -> str | None:
        """The file that could not be read, although the other cameras went on."""
        return self._sampling.camera_failure()

    @property
    def remarks(self) -> Sequence[str]:
        """What is wrong with recordings that were played, as sentences."""
        return self._sampling.troubles

    def ready(self) -> str | None:
        """Why some stage is not ready; None if all are."""
        reasons = [f"{stage.name}: {why}" for stage in self._stages if (why := stage.ready())]
        return "; ".join(reasons) or None

    def remark(self) -> str | None:
        """What is wrong although all stages are ready."""
        said = [told for stage in self._stages if (told := stage.remark())]
        return "; ".join([*said, *self._besides()]) or None

    def progress(self) -> float | None:
        """Progress through the files, 0..1; None if a live camera or a loop has no end."""
        return self._sampling.progress()

    def status(self) -> Status:
        """The state of cameras and sinks."""
        figures = figures_of(self.metrics, self.deployment.cameras)
        return Status(figures, self._delivery.status(), self._clock.monotonic() - self._began)

    def poll(self) -> None:
        """Do the regular work: wake delivery, measure, delete what is too old."""
        if self._reporter.reloader is not None:
            self._reporter.reloader.poll()
        for stage in self._stages:
            stage.poll()

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Stop sampling, finish work in progress, deliver what is left, release the store."""
        self._sampling.stop(within_s)
        deadline = self._clock.monotonic() + within_s
        while self._clock.monotonic() < deadline and self.failure is None:
            if not any(backlog.length for backlog in self._queues.jobs.backlog().values()):
                break
            self._clock.wait(0.02)
        for stage in (self._inference, self._processing, self._delivery):
            stage.stop(within_s)
        # What was decided last has its clip too, as far as it has come.
        self._sampling.clips.finish(within_s)
        self._processing.clips.step()
        if self._presence is not None:
            self._presence.stop(_BEAT_S)
            if self._owns_store():
                with suppress(StoreError):  # then it expires a little later
                    self.store.presence.leave(self._reporter.member)
        self._ownership.end()

    def close(self) -> None:
        """Close the store, which can be queried for results until then."""
        self.store.close()

    def _asked(self) -> str | None:
        try:
            return self.store.requests.asked()
        except StoreError:
            return None  # reported by those who write to it

    def _owns_store(self) -> bool:
        """Whether nobody has taken the store over, as after a pause; then nothing is written."""
        proof = self._ownership.run.proof
        return proof is not None and self._ownership.run.holds(proof)

    def _beat(self) -> None:
        while not self._is_over.is_set():
            try:
                if self._owns_store():
                    self._reporter.beat(self.store.presence, ttl=_TTL)
            except Exception as error:  # noqa: BLE001 - its next report says so
                self._reporter.unforeseen.happened(error)
            self._clock.wait(_BEAT_S, self._is_over)

    def _elsewhere(self) -> Elsewhere:
        """What becomes of frames after sampling: all of it happens in this process."""
        figures = figures_of(self.metrics, self.deployment.cameras)
        own = Report("run", "", 0, 0.0, figures=figures, **self._at_work())
        return elsewhere_of({"run": own})

    def _cameras_report(self) -> list[Report]:
        """What is known of the cameras, for sinks that show it."""
        return [
            Report(
                "run",
                "",
                0,
                0.0,
                figures=figures_of(self.metrics, self.deployment.cameras),
                wellness=self._sampling.watches.wellness,
                samples=[] if self._sampling.finished else sorted(self.deployment.cameras),
            )
        ]

    def _at_work(self) -> dict[str, Any]:
        return {"engines": sorted(self._inference.engines), **self._processing.facts()}

    def _besides(self) -> list[str]:
        told = (self.beside(), self._reporter.unforeseen.trouble)
        return [one for one in told if one is not None]

    def _facts(self) -> dict[str, Any]:
        return {
            **self._at_work(),
            "wellness": self._sampling.watches.wellness,
            "sinks": {lane.sink: asdict(lane) for lane in self._delivery.status()},
            "progress": self.progress(),
            "notes": self._inference.notes,
            "troubles": [
                *self._processing.troubles,
                *self._sampling.troubles,
                *self._delivery.troubles,
                *([beside] if (beside := self.beside()) is not None else ()),
            ],
            "samples": [] if self._sampling.finished else sorted(self.deployment.cameras),
        }
