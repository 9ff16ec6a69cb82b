"""What every board of live pictures keeps to."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.core.answers import Failed
from pipeline.core.jobs import Result
from pipeline.core.live import (
    JUDGED_KEPT,
    PREVIEWS_KEPT,
    JudgedView,
    LiveBoard,
    LiveReader,
    Preview,
    SeenThing,
    Shown,
)
from pipeline.testing import patience

PREVIEW = Preview("door", "run", 7, 1_764_230_400.25, (320, 180), b"\xff\xd8...", ("coco",))
THING = SeenThing("person", 12, 0.91, (0.4, 0.2, 0.5, 0.8), (0.45, 0.79), "counted")
JUDGED = JudgedView(
    "door",
    "run",
    7,
    1_764_230_400.25,
    "coco",
    "true",
    (THING, SeenThing("person", None, 0.5, (0.1, 0.1, 0.2, 0.3), (0.15, 0.3))),
    ((0.5, 0.5),),
    {"lights": "off"},
    ("queue",),
)
ANSWER = Result("door", "question/x", "coco", 0, 0, 1.0, (3, 2), False, {"x": Failed("coco", "no")})


def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + patience(10)
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_of(reader: LiveReader, least: int) -> list[Shown]:
    """What is new of a camera, at least so many."""
    read: list[Shown] = []

    def is_there() -> bool:
        read.extend(reader.take(["door"], 0.5))
        return len(read) >= least

    until(is_there)
    return read


class LiveContract:
    """Subclasses give a fixture `board`."""

    @pytest.fixture
    def board(self) -> LiveBoard:
        """The board that is tested."""
        raise NotImplementedError

    def test_a_camera_is_watched_once_somebody_says_so(self, board: LiveBoard) -> None:
        """As wide as is asked, and no other camera is."""
        assert board.watched("door") is None
        board.watch({"door": 480})
        until(lambda: board.watched("door") == 480)
        assert board.watched("till") is None

    def test_what_is_shown_is_read_as_it_was(self, board: LiveBoard) -> None:
        """A picture and what was made of it, in their order, each once and by each reader."""
        board.watch({"door": 480})
        reader, other = board.reader(), board.reader()
        board.show(PREVIEW)
        board.tell(JUDGED)
        for one in (reader, other):
            read = read_of(one, 2)
            assert sorted(read, key=lambda shown: type(shown).__name__) == [JUDGED, PREVIEW]
            assert one.take(["door"], 0.0) == []
        board.show(replace(PREVIEW, seq=8))
        until(lambda: reader.take(["door"], 0.5) == [replace(PREVIEW, seq=8)])

    def test_only_the_cameras_that_are_asked_for_are_read(self, board: LiveBoard) -> None:
        """What is shown of another waits until it is asked for, or is gone."""
        board.watch({"door": 480, "till": 480})
        reader = board.reader()
        board.show(PREVIEW)
        board.show(replace(PREVIEW, camera="till"))
        assert reader.take([], 0.0) == []
        until(lambda: reader.take(["till"], 0.2) == [replace(PREVIEW, camera="till")])
        until(lambda: reader.take(["till", "door"], 0.2) == [PREVIEW])

    def test_who_reads_late_finds_the_newest_alone(self, board: LiveBoard) -> None:
        """Nothing grows for who does not read."""
        board.watch({"door": 480})
        for seq in range(100):
            board.show(replace(PREVIEW, seq=seq))
            board.tell(replace(JUDGED, seq=seq))
        read = board.reader().take(["door"], 0.5)
        pictures = [one.seq for one in read if isinstance(one, Preview)]
        judged = [one.seq for one in read if isinstance(one, JudgedView)]
        assert pictures == list(range(100 - PREVIEWS_KEPT, 100))
        assert judged == list(range(100 - JUDGED_KEPT, 100))

    def test_an_answer_is_taken_once(self, board: LiveBoard) -> None:
        """By who waits for it; nobody waits for ever."""
        assert board.replied("none", 0.0) is None
        board.reply("mine", ANSWER)
        assert board.replied("mine", patience(5)) == ANSWER
        assert board.replied("mine", 0.0) is None
