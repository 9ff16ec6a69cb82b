"""Judges the partitions that this process owns, for as long as it owns them.

Whenever they change, and whenever something was taken over or out of reach, a fresh processor
resumes from the store. What the old one had judged but not stored is void: its results come again.
So there is one way to begin, and no state to carry over.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.core.errors import FencedOffError, LeaseLostError, QueueError, StoreError
from pipeline.core.measures import Health
from pipeline.core.membership import partition_of
from pipeline.core.queues import PartitionedResults
from pipeline.core.retrying import SaidOnce
from pipeline.core.store import Commit
from pipeline.processing.leases import PartitionLeases
from pipeline.processing.plan import CameraPlan
from pipeline.processing.processor import (
    IDLE_S,
    LaneKey,
    Processor,
    ProcessorContext,
    TaskTally,
    UnknownCamera,
)

logger = logging.getLogger(__name__)

# Pause before retrying something that is out of reach.
_RETRY_S = 0.5


class Shards:
    """A processor for the leased partitions. One thread calls `step` or `run`."""

    def __init__(
        self,
        plans: Sequence[CameraPlan],
        context: ProcessorContext,
        results: PartitionedResults,
        leases: PartitionLeases,
    ) -> None:
        """`context` is what the processors work with, except its results and fences."""
        self._plans = plans
        self._next_plans: Sequence[CameraPlan] | None = None
        self._context = context
        self._results = results
        self._leases = leases
        self._stop = threading.Event()
        self._held: Mapping[int, int] = {}
        self._processor: Processor | None = None
        self._store_said = SaidOnce(logger, "store is responding again")

    @property
    def is_judging(self) -> bool:
        """Whether a processor is running."""
        return self._processor is not None

    @property
    def judged(self) -> Mapping[LaneKey, tuple[str, int, bool] | None]:
        """For each lane here, its run and last job that are stored, and whether it ended."""
        processor = self._processor
        return processor.judged if processor is not None else {}

    @property
    def verifying(self) -> frozenset[str]:
        """Cameras with events that wait for a second look."""
        processor = self._processor
        return processor.verifying if processor is not None else frozenset()

    def note(self, health: Health) -> bool:
        """Judge a camera's state with the next batch; False if its partition is not owned here."""
        processor = self._processor
        if processor is None or self._partition(health.camera) not in self._held:
            return False
        processor.note(health)
        return True

    @property
    def tallies(self) -> Mapping[tuple[str, str], TaskTally]:
        """Answers and failures of engines, by camera and task."""
        processor = self._processor
        return processor.tallies if processor is not None else {}

    @property
    def ages(self) -> Mapping[LaneKey, float]:
        """How old each lane's newest answered live frame was when it was judged, in seconds."""
        processor = self._processor
        return processor.ages if processor is not None else {}

    @property
    def troubles(self) -> list[str]:
        """What needs an operator's attention although judging continues."""
        processor = self._processor
        return processor.troubles if processor is not None else []

    @property
    def unknown_cameras(self) -> Mapping[str, UnknownCamera]:
        """Cameras whose results arrive here although they are not in the file."""
        processor = self._processor
        return processor.unknown_cameras if processor is not None else {}

    def update(self, plans: Sequence[CameraPlan]) -> None:
        """Judge by other plans from the next batch on; may be called from any thread."""
        self._next_plans = plans

    @property
    def is_up_to_date(self) -> bool:
        """Whether the plans of the last `update` are in use."""
        processor = self._processor
        return self._next_plans is None and (processor is None or processor.is_up_to_date)

    def run(self) -> None:
        """Judge until stopped; what was taken is stored before it returns, or comes again."""
        while not self._stop.is_set():
            self.step()

    def stop(self) -> None:
        """Return from `run` after the current batch."""
        self._stop.set()
        processor = self._processor
        if processor is not None:
            processor.stop()

    def step(self, idle_s: float = IDLE_S) -> int:
        """Judge one batch of results; returns how many were taken from the queue."""
        held = self._leases.held
        self._take_update()
        try:
            if self._processor is None or held != self._held:
                self._begin(held)
            if self._processor is not None:
                return self._processor.step(idle_s)
        except (LeaseLostError, FencedOffError) as error:
            self._processor = None
            self._leases.lose(error.partition)
            return 0
        except QueueError:
            self._processor = None  # the queue reports it
        except StoreError as error:
            self._processor = None
            self._store_said.lost(f"store is not responding; retrying: {error}")
        self._context.clock.wait(_RETRY_S if held else idle_s, self._stop)
        return 0

    def _begin(self, held: Mapping[int, int]) -> None:
        """Fence all other processes off, then resume from the store."""
        self._processor = None
        if held:
            self._context.store.commit(Commit(fences=held))
            context = replace(
                self._context,
                results=self._results.partition(held),
                fences=held,
                owns=lambda camera: self._partition(camera) in held,
            )
            processor = Processor(self._owned(held), context)
            processor.resume()
            self._processor = processor
            if self._stop.is_set():
                processor.stop()
        self._say_held(held)
        self._held = held
        self._leases.use(held.keys())

    def _take_update(self) -> None:
        plans = self._next_plans
        if plans is None:
            return
        self._plans = plans
        if self._processor is not None:
            self._processor.update(self._owned(self._held))
        if self._next_plans is plans:
            self._next_plans = None

    def _owned(self, held: Mapping[int, int]) -> list[CameraPlan]:
        return [plan for plan in self._plans if self._partition(plan.camera) in held]

    def _partition(self, camera: str) -> int:
        return partition_of(camera, self._results.partitions)

    def _say_held(self, held: Mapping[int, int]) -> None:
        self._store_said.works()
        self._context.metrics.partitions_held.set(len(held))
        taken = sum(self._held.get(partition) != token for partition, token in held.items())
        self._context.metrics.partitions_taken.inc(taken)
        if held.keys() != self._held.keys():
            names = ", ".join(str(partition) for partition in sorted(held)) or "none"
            logger.info("judging partitions %s of %d", names, self._results.partitions)
