"""The processing stage: all cameras if the results stay in this process, else its share of them."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.stores.clip_files import ClipFileStore
from connectors.stores.files import FileMediaStore
from pipeline.core.arming import ArmingBook
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.measures import Health
from pipeline.core.queues import PartitionedResults
from pipeline.core.store import LeaseProof, Store
from pipeline.core.switching import ByHand, SwitchBook
from pipeline.deployment.model import Deployment
from pipeline.processing.leases import LOOK_S, PartitionLeases
from pipeline.processing.processor import LaneKey, Processor, ProcessorContext
from pipeline.processing.shards import Shards
from pipeline.processing.snapshots import Snapshots
from pipeline.processing.track_log import TrackRecorder
from pipeline.runtime.assembly import engines_of, plans_of
from pipeline.runtime.stages.base import StageContext, StageThread, stop_threads
from pipeline.runtime.stages.clip_desk import ClipDesk
from pipeline.runtime.stages.delivery import introduce_sinks
from pipeline.runtime.stages.retention import Retention

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_UNSAMPLED = "no process samples it; start one with `moonwatch sample FILE`"
# How long after its last result a camera counts as sampled.
_UNKNOWN_FOR_S = 60.0
# How long an edit may wait for the store.
_UPDATE_WITHIN_S = 5.0
_UPDATE_LOOK_S = 0.02


class ProcessingStage:
    """Judges the results of every camera."""

    name = "processing"
    engines: Collection[str] = ()
    finished = False

    def __init__(
        self,
        context: StageContext,
        store: Store,
        record: Path | None = None,
        lease: Callable[[], LeaseProof | None] = lambda: None,
    ) -> None:
        """Read where to resume; raises StoreError. `lease` proves ownership of the store."""
        self._recorder = TrackRecorder(record) if record else None
        media = context.deployment.store.build_media(store)
        self._pruning = Retention(context.deployment, store, media, context.clock, lease)
        processor_context = replace(
            _processor_context(context, store, media, self._recorder), lease=lease
        )
        self._by_hand = ByHand(processor_context.arming, processor_context.switches)
        self._processor = Processor(plans_of(context.deployment, self._by_hand), processor_context)
        self.resumed = {
            # The end has the number that the next job has, should the recording have grown.
            key: (checkpoint.run, checkpoint.ordinal - checkpoint.ended)
            for key, checkpoint in self._processor.resume().items()
        }
        self._thread = StageThread("processing", self._processor.run, self._processor.stop)
        self._deployment, self._clock = context.deployment, context.clock
        self.clips = _clip_desk(context, store, media)

    def start(self) -> None:
        """Begin to judge."""
        self._thread.start()
        self.clips.use(self._deployment)

    def update(self, deployment: Deployment) -> None:
        """Judge by another version of the file; what is judged as before is not disturbed.

        Raises StoreError if the store is not responding in time, and then all is as before.
        """
        _change(
            self._processor, self._deployment, deployment, self._by_hand, self._thread, self._clock
        )
        self._deployment = deployment
        self._pruning.update(deployment)
        self.clips.use(deployment)

    def poll(self) -> None:
        """Delete what is too old."""
        self._pruning.look()

    def stop(self, within_s: float) -> None:
        """Judge what is left."""
        if stop_threads([self._thread], within_s) and self._thread.failure is None:
            while self._processor.step(0.0):
                pass
        self.clips.stop(within_s)
        self._pruning.close()
        if self._recorder is not None:
            self._recorder.close()

    @property
    def troubles(self) -> list[str]:
        """What needs an operator's attention although judging continues."""
        kept = [self._pruning.trouble] if self._pruning.trouble else []
        return [*kept, *self._processor.troubles]

    def facts(self) -> dict[str, Any]:
        """What it adds to its process's report."""
        return judging_facts(self._processor)

    @property
    def failure(self) -> str | None:
        """Why a thread has failed."""
        return self._thread.failure or self.clips.failure

    @property
    def ended(self) -> frozenset[LaneKey]:
        """Camera and engine of every file that is judged to its end."""
        return self._processor.ended

    def remark(self) -> str | None:
        """What needs attention although judging continues."""
        return "; ".join(self.troubles) or None

    def ready(self) -> str | None:
        """Always ready: the store was read when this was created."""
        return None


class ShardedProcessingStage:
    """Judges the results of the partitions that this process owns, for as long as it owns them."""

    name = "processing"
    engines: Collection[str] = ()
    finished = False

    def __init__(
        self,
        context: StageContext,
        store: Store,
        results: PartitionedResults,
        leases: PartitionLeases,
        sampled: Callable[[], Collection[str] | None] = lambda: None,
    ) -> None:
        """No partition is owned before `start`.

        `sampled` names the cameras that some process samples; None while that is not known.
        """
        self._sampled = sampled
        self._orphans = Orphans()
        self._looked_at = float("-inf")
        self._deployment, self._store = context.deployment, store
        media = context.deployment.store.build_media(store)
        self._pruning = Retention(context.deployment, store, media, context.clock)
        self.leases = leases
        processor_context = _processor_context(context, store, media, None)
        self._by_hand = ByHand(processor_context.arming, processor_context.switches)
        self._shards = Shards(
            plans_of(context.deployment, self._by_hand),
            processor_context,
            results,
            leases,
        )
        self._clock = context.clock
        self.clips = _clip_desk(context, store, media)
        self._threads = (
            StageThread("processing", self._shards.run, self._shards.stop),
            _keeper(leases, context.clock),
        )

    def start(self) -> None:
        """Begin to take partitions and to judge; raises StoreError."""
        # Before any events are stored: a sink that is new to the store begins with the next one.
        introduce_sinks(self._deployment, self._store)
        for thread in self._threads:
            thread.start()
        self.clips.use(self._deployment)

    def update(self, deployment: Deployment) -> None:
        """Judge by another version of the file; what is judged as before is not disturbed.

        Raises StoreError if the store is not responding in time, and then all is as before.
        """
        _change(
            self._shards, self._deployment, deployment, self._by_hand, self._threads[0], self._clock
        )
        self._deployment = deployment
        self._pruning.update(deployment)
        self.clips.use(deployment)

    def poll(self) -> None:
        """Delete what is too old, and report cameras that nobody samples."""
        self._pruning.look()
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        for name in self._orphans.look(now, self._deployment, self._sampled()):
            health = Health(name, self._clock.now(), "offline", _UNSAMPLED)
            if not self._shards.note(health):
                continue  # it is another processor's to report
            logger.warning("camera %s is offline: %s", name, _UNSAMPLED, extra={"camera": name})

    def stop(self, within_s: float) -> None:
        """Store what is judged, then let other processors take over at once."""
        judging, keeping = self._threads
        stopped = stop_threads([judging], within_s)
        stop_threads([keeping], within_s)
        self.clips.stop(within_s)
        self._pruning.close()
        if stopped:
            self.leases.end()

    @property
    def troubles(self) -> list[str]:
        """What needs an operator's attention although judging continues."""
        found = [self._pruning.trouble] if self._pruning.trouble else []
        now = self._clock.now()
        for name, unknown in self._shards.unknown_cameras.items():
            if now - unknown.last < _UNKNOWN_FOR_S:
                found.append(
                    f"camera {name} is sampled but not in this processor's file; its "
                    f"{unknown.results} results were discarded; `moonwatch reload FILE` makes all "
                    "processes read the file again"
                )
        return [*found, *self._shards.troubles]

    def facts(self) -> dict[str, Any]:
        """What it adds to its process's report."""
        return judging_facts(self._shards)

    @property
    def failure(self) -> str | None:
        """Why a thread has failed."""
        found = (thread.failure for thread in self._threads if thread.failure)
        return next(found, self.clips.failure)

    @property
    def judged(self) -> Mapping[LaneKey, tuple[str, int, bool] | None]:
        """For each lane here, its run and last job that are stored, and whether it ended."""
        return self._shards.judged

    def remark(self) -> str | None:
        """What needs attention although judging continues."""
        return "; ".join(self.troubles) or None

    def ready(self) -> str | None:
        """Why it cannot judge: it owns no partition, or the store or queue is not responding."""
        if not self.leases.held:
            return "does not own any partition of the results yet"
        return None if self._shards.is_judging else "the store or the queue is not responding"


class Orphans:
    """Notices live cameras that no process samples: nobody else could say so of them."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._said: set[str] = set()

    def look(
        self, now: float, deployment: Deployment, sampled: Collection[str] | None
    ) -> list[str]:
        """Those that have been without a sampler for `offline_after`, each once."""
        if sampled is None:
            self._since.clear()
            return []
        orphaned = {
            name: camera.sample.offline_after.total_seconds()
            for name, camera in deployment.cameras.items()
            if name not in sampled and not camera.source.is_recording
        }
        self._since = {name: self._since.get(name, now) for name in orphaned}
        late = {name for name, limit_s in orphaned.items() if now - self._since[name] > limit_s}
        new, self._said = late - self._said, (self._said & orphaned.keys()) | late
        return sorted(new)


def judging_facts(judging: Processor | Shards) -> dict[str, Any]:
    """How far each lane is judged, how its tasks were answered, and how old its frames were."""
    judged: dict[str, dict[str, tuple[str, int, bool] | None]] = {}
    for (camera, engine), last in judging.judged.items():
        if last is not None and last[2] and camera in judging.verifying:
            continue  # its file is over once its events are looked at: until then nobody knows
        judged.setdefault(camera, {})[engine] = last
    tallies: dict[str, dict[str, tuple[int, int, str]]] = {}
    for (camera, task), tally in judging.tallies.items():
        told = (tally.answered, tally.failed, tally.reason)
        tallies.setdefault(camera, {})[task] = told
    ages: dict[str, dict[str, float]] = {}
    for (camera, engine), age in judging.ages.items():
        ages.setdefault(camera, {})[engine] = round(age, 3)
    return {"judged": judged, "tallies": tallies, "ages": ages}


def ends_of(deployment: Deployment) -> frozenset[LaneKey]:
    """Camera and engine of everything that is judged."""
    return frozenset(
        (name, engine)
        for name, camera in deployment.cameras.items()
        for engine in engines_of(camera)
    )


def _change(
    judging: Processor | Shards,
    old: Deployment,
    new: Deployment,
    by_hand: ByHand,
    thread: StageThread,
    clock: Clock,
) -> None:
    """Wait until the judging thread has taken the new plans, so that the samplers may go ahead."""
    judging.update(plans_of(new, by_hand))
    deadline = clock.monotonic() + _UPDATE_WITHIN_S
    while not judging.is_up_to_date and thread.failure is None:
        if clock.monotonic() > deadline:
            judging.update(plans_of(old, by_hand))
            raise StoreError("the store is not responding, so cameras are judged as before")
        clock.wait(_UPDATE_LOOK_S)


def _keeper(leases: PartitionLeases, clock: Clock) -> StageThread:
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            leases.look()
            clock.wait(LOOK_S, stop)

    return StageThread("leases", keep, stop.set)


def _clip_desk(context: StageContext, store: Store, media: FileMediaStore) -> ClipDesk:
    files = ClipFileStore(media)
    return ClipDesk(store.clips, context.queues.clips, context.clock, files.checked, files.is_kept)


def _processor_context(
    context: StageContext, store: Store, media: FileMediaStore, recorder: TrackRecorder | None
) -> ProcessorContext:
    return ProcessorContext(
        results=context.queues.results,
        store=store,
        snapshots=Snapshots(context.queues.shelf, media),
        metrics=context.metrics,
        clock=context.clock,
        watcher=recorder,
        arming=ArmingBook(store.armings, context.clock),
        switches=SwitchBook(store.switches, context.clock),
        jobs=context.queues.jobs,
        live=context.queues.live,
    )
