"""A worker answers one engine's jobs: claim, batch, ask the engine, hand the results on.

A job is forgotten in the same step in which its result is handed on, so a worker that dies at any
moment leaves its jobs to another, and no job is answered twice.
"""

import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pipeline.core.answers import Answer, Failed
from pipeline.core.clock import Clock
from pipeline.core.engines import Engine
from pipeline.core.jobs import Result, result_of
from pipeline.core.queues import Claim, JobQueue
from pipeline.inference.batcher import Batcher, Batching
from pipeline.inference.condition import EngineCondition
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# How long a worker waits for a first job before it looks whether it should stop.
IDLE_S = 0.25


@dataclass(frozen=True, slots=True)
class EngineLane:
    """One engine at work: its name in the deployment, the model, and how its batches are made."""

    name: str
    engine: Engine
    batching: Batching
    snapshot_cameras: Collection[str] = field(default_factory=frozenset)
    """Cameras whose frames may be wanted as an event's picture."""


class Worker:
    """Answers the jobs of one lane. Knows no camera's meaning and no rule."""

    def __init__(self, lane: EngineLane, jobs: JobQueue, metrics: Metrics, clock: Clock) -> None:
        self._lane = lane
        self._jobs = jobs
        self._metrics = metrics
        self._clock = clock
        self._batcher = Batcher(jobs, lane.name, lane.batching, clock)
        self._condition = EngineCondition(lane.name)
        self._stop = threading.Event()

    def run(self) -> None:
        """Answer until stopped."""
        while not self._stop.is_set():
            self.step()

    def stop(self) -> None:
        """Finish the batch in hand, then return from `run`."""
        self._stop.set()

    def step(self, idle_s: float = IDLE_S) -> int:
        """Answer one batch; returns how many jobs it had."""
        claims = self._batcher.take(idle_s)
        if not claims:
            return 0
        self._observe_age("claimed", claims)
        self._count_reclaimed(claims)
        results = self._answer(claims)
        self._observe_age("answered", claims)
        self._hand_on(claims, results)
        return len(claims)

    def _observe_age(self, hop: str, claims: Sequence[Claim]) -> None:
        now = self._clock.now()
        for claim in claims:
            if claim.job.live:
                age_s = max(0.0, now - claim.job.frame.captured_at)
                self._metrics.frame_age_seconds.labels(hop).observe(age_s)

    def _count_reclaimed(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if claim.attempts > 1:
                self._metrics.jobs_retried.labels(self._lane.name).inc()
                self._metrics.jobs_reclaimed.labels(self._lane.name).inc()

    def _answer(self, claims: Sequence[Claim]) -> list[Result]:
        began = self._clock.monotonic()
        answers = self._ask(claims)
        self._condition.answered(answers)
        name = self._lane.name
        self._metrics.answer_seconds.labels(name).observe(self._clock.monotonic() - began)
        self._metrics.batch_size.labels(name).observe(len(claims))
        results = []
        for claim, given in zip(claims, answers, strict=True):
            job = claim.job
            by_task = dict(zip((task.id for task in job.tasks), given, strict=True))
            results.append(result_of(job, by_task))
            self._metrics.jobs_answered.labels(job.frame.camera, name).inc()
            failed = sum(isinstance(answer, Failed) for answer in given)
            if failed:
                self._metrics.tasks_failed.labels(job.frame.camera, name).inc(failed)
        return results

    def _ask(self, claims: Sequence[Claim]) -> list[list[Answer]]:
        try:
            return self._ask_engine(claims)
        except Exception:  # noqa: BLE001 - foreign code: what it raises must not end the lane
            self._condition.raised()
            if len(claims) > 1:
                self._metrics.jobs_retried.labels(self._lane.name).inc(len(claims))
        return [self._ask_one(claim) for claim in claims]

    def _ask_one(self, claim: Claim) -> list[Answer]:
        try:
            return self._ask_engine([claim])[0]
        except Exception as error:  # noqa: BLE001 - as above; the failure is the answer
            reason = f"{type(error).__name__}: {error}"
            return [Failed(self._lane.name, reason) for _ in claim.job.tasks]

    def _ask_engine(self, claims: Sequence[Claim]) -> list[list[Answer]]:
        answers = self._lane.engine.answer(
            [(claim.job.frame.pixels, claim.job.tasks) for claim in claims]
        )
        shape = [len(given) for given in answers]
        wanted = [len(claim.job.tasks) for claim in claims]
        if shape != wanted:
            raise ValueError(f"asked for {wanted} answers, the engine gave {shape}")
        return answers

    def _hand_on(self, claims: Sequence[Claim], results: Sequence[Result]) -> None:
        keep = self._lane.snapshot_cameras
        while not self._jobs.answer(claims, results, IDLE_S, keep):
            if self._stop.is_set():
                return
