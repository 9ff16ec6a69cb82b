"""A file is over when somebody has judged it to its end; what a queue forgot is played again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.app.config import load
from pipeline.app.replaying import ConfirmedSamplingStage, Standing
from pipeline.app.stages import Surroundings
from pipeline.core.errors import QueueError
from pipeline.core.jobs import Result
from pipeline.core.ports import Queues
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, wait_until
from tests.app.clips import camera, cut, deployment, written
from tests.contracts.queue_tools import answer

LANE = ("plaza", "coco")
LAST = 4
"""The end of two seconds, two frames a second, is told under this number."""


class Desk:
    """A sampler, a queue, and somebody who says how far they have judged."""

    def __init__(self, file: Path) -> None:
        self.clock = ManualClock()
        self.queues: Queues = MemoryConfig(file_room=100).build(self.clock)
        self.standings: dict[tuple[str, str], Standing | None] = {LANE: None}
        self.is_away = False
        around = Surroundings(load(file), self.queues, Metrics(), self.clock)
        self.stage = ConfirmedSamplingStage(around, self._said)

    def _said(self) -> dict[tuple[str, str], Standing | None]:
        if self.is_away:
            raise QueueError("redis is out of reach")
        return dict(self.standings)

    def look(self, after_s: float = 1.0) -> None:
        """Let time pass, and the stage look around."""
        self.clock.advance(after_s)
        self.stage.tend()

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
        self.standings[LANE] = Standing(end.run, ordinal, ended=ordinal == end.ordinal)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A sampler of a file, at work."""
    clip = cut(tmp_path / "clip.mp4", 2.0)
    desk = Desk(written(tmp_path, deployment(tmp_path, {"plaza": camera(clip)})))
    desk.stage.start()
    yield desk
    desk.stage.stop(1.0)


def test_read_is_not_over(desk: Desk) -> None:
    """Only the word of who judged it ends it, and only about this run."""
    ordinals, end = desk.played()
    assert (ordinals, end.ordinal) == ([0, 1, 2, 3], LAST)
    assert not desk.is_over()
    desk.standings[LANE] = Standing("another recording", LAST, ended=True)
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
        desk.standings.clear()
    for _ in range(5):
        desk.look(100.0)
    assert desk.queues.jobs.claim("coco", 1, 0.0) == []
    assert not desk.stage.finished
