"""A file is over when somebody has judged it to its end; what a queue forgot is played again."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.errors import QueueError
from pipeline.core.jobs import Job, Result
from pipeline.core.queues import Claim, Queues
from pipeline.deployment.loader import load
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.file_playback import ConfirmedSamplingStage, JudgedUpTo
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.contracts.queue_tools import answer
from tests.runtime.clips import camera, cut, deployment, written

LANE = ("plaza", "coco")
LAST = 4
"""The end of two seconds, two frames a second, is told under this number."""


class Desk:
    """A sampler, a queue, and somebody who says how far they have judged."""

    def __init__(
        self, file: Path, point: JudgedUpTo | None = None, clock: ManualClock | None = None
    ) -> None:
        self.clock = clock or ManualClock()
        self.queues: Queues = MemoryConfig(file_room=100).build(self.clock)
        self.judged: dict[tuple[str, str], JudgedUpTo | None] = {LANE: point}
        self.is_away = False
        context = StageContext(load(file), self.queues, Metrics(), self.clock)
        self.stage = ConfirmedSamplingStage(context, self._said)

    def _said(self) -> dict[tuple[str, str], JudgedUpTo | None]:
        if self.is_away:
            raise QueueError("redis is out of reach")
        return dict(self.judged)

    def look(self, after_s: float = 1.0) -> None:
        """Let time pass, and the stage look around."""
        self.clock.advance(after_s)
        self.stage.poll()

    def played(self) -> tuple[list[int], Result]:
        """Everything it sends until it tells the end: the ordinals of the jobs, and that end."""
        ends: list[Result] = []

        def told() -> bool:
            taken = self.queues.results.take(100, 0.0)
            self.queues.results.acknowledge(taken)
            ends.extend(one.result for one in taken if one.result.last)
            return bool(ends)

        wait_until(told)
        claims = self.queues.jobs.claim("coco", 100, 0.0)
        answer(self.queues, claims)
        return [claim.job.ordinal for claim in claims], ends[0]

    def is_over(self) -> bool:
        """Whether it has nothing left to do, once it has looked."""
        self.look()
        return self.stage.finished

    def judge(self, end: Result, ordinal: int) -> None:
        """Say that the run is judged up to there."""
        self.judged[LANE] = JudgedUpTo(end.run, ordinal, ended=ordinal == end.ordinal)


class HeldClock(ManualClock):
    """A clock by which nothing that is waited for becomes due."""

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until told to stop."""
        return stop is not None and stop.wait(30.0)


@contextmanager
def at_work(desk: Desk) -> Iterator[Desk]:
    """Start it, and stop it at the end."""
    desk.stage.start()
    try:
        yield desk
    finally:
        desk.stage.stop(1.0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A sampler of a file, at work."""
    clip = cut(tmp_path / "clip.mp4", 2.0)
    with at_work(Desk(written(tmp_path, deployment(tmp_path, {"plaza": camera(clip)})))) as desk:
        yield desk


@pytest.fixture
def realtime(tmp_path: Path) -> Path:
    """A deployment of a file that is played as fast as it was recorded."""
    cameras = {"plaza": camera(cut(tmp_path / "clip.mp4", 2.0), speed="realtime")}
    return written(tmp_path, deployment(tmp_path, cameras))


def test_read_is_not_over(desk: Desk) -> None:
    """Only the word of who judged it ends it, and only about this run."""
    ordinals, end = desk.played()
    assert (ordinals, end.ordinal) == ([0, 1, 2, 3], LAST)
    assert not desk.is_over()
    desk.judged[LANE] = JudgedUpTo("another recording", LAST, ended=True)
    assert not desk.is_over()
    desk.judge(end, LAST)
    assert desk.is_over()
    assert desk.stage.failure is None


def test_what_was_forgotten_is_played_again(desk: Desk) -> None:
    """From what was judged, once nothing more of it is judged for a while."""
    _, end = desk.played()
    desk.judge(end, 1)
    desk.look()
    desk.look(5.0)
    assert desk.queues.jobs.claim("coco", 1, 0.0) == []
    desk.look(5.0)
    assert desk.played()[0] == [2, 3]


def test_a_lost_end_is_told_again(desk: Desk) -> None:
    """All jobs are judged, and the end was forgotten: it comes alone."""
    _, end = desk.played()
    desk.judge(end, LAST - 1)
    desk.look()
    desk.look(9.0)
    ordinals, again = desk.played()
    assert ordinals == []
    assert (again.run, again.ordinal) == (end.run, LAST)


@pytest.mark.parametrize("why", ["queue away", "nobody judges"])
def test_while_nobody_can_say_nothing_is_played_again(desk: Desk, why: str) -> None:
    """A queue or a processor that is away is waited for, however long."""
    desk.played()
    desk.look()
    desk.is_away = why == "queue away"
    if why == "nobody judges":
        desk.judged.clear()
    for _ in range(5):
        desk.look(100.0)
    assert desk.queues.jobs.claim("coco", 1, 0.0) == []
    assert not desk.stage.finished


def first_of(desk: Desk) -> Job:
    """The next job that it sends, answered."""
    claims: list[Claim] = []

    def came() -> bool:
        claims.extend(desk.queues.jobs.claim("coco", 1, 0.0))
        return bool(claims)

    wait_until(came)
    answer(desk.queues, claims)
    return claims[0].job


def test_restarted_realtime_takes_no_time_for_what_is_judged(realtime: Path) -> None:
    """A file that is judged to its end is over at once, and sends nothing but its end."""
    with at_work(Desk(realtime)) as first:
        ordinals, end = first.played()
        assert (ordinals, first.clock.monotonic() > 1.5) == ([0, 1, 2, 3], True)
    with at_work(Desk(realtime, JudgedUpTo(end.run, LAST, ended=True), HeldClock())) as again:
        assert again.played()[0] == []
        assert again.is_over()


def test_restarted_realtime_goes_on_at_once_and_then_keeps_its_pace(realtime: Path) -> None:
    """The first job that is not judged is sent without a wait, the next one when it is due."""
    with at_work(Desk(realtime)) as first:
        _, end = first.played()
    with at_work(Desk(realtime, JudgedUpTo(end.run, 1, ended=False), HeldClock())) as again:
        assert first_of(again).ordinal == 2
        assert again.queues.jobs.claim("coco", 1, 0.0) == []


def test_a_pause_in_which_nothing_is_sent_is_no_standstill(
    realtime: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file keeps its pace for however long while all it sent is judged, and no longer."""
    caplog.set_level(logging.INFO)
    with at_work(Desk(realtime, clock=HeldClock())) as desk:
        job = first_of(desk)
        desk.judged[LANE] = JudgedUpTo(job.frame.run, job.ordinal, ended=False)
        for _ in range(5):
            desk.look(100.0)
        assert "playing the file again" not in caplog.text
        desk.judged[LANE] = None
        desk.look()
        desk.look(9.0)
        assert "playing the file again" in caplog.text
        assert first_of(desk).ordinal == 0
