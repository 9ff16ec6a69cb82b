"""What stands is remembered where nobody looks; who left is not."""

import json
from collections.abc import Sequence

import pytest

from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box, iou
from pipeline.core.jobs import Result
from pipeline.processing.standing import SAME_IOU, StandingMemory

HERE: Box = (0.40, 0.40, 0.45, 0.55)
THERE: Box = (0.80, 0.40, 0.85, 0.55)
LEFT, RIGHT = (0.3, 0.3, 0.6, 0.7), (0.7, 0.3, 1.0, 0.7)
"""Parts of the picture around these two."""
ALL = None
"""The whole picture."""


class Camera:
    """A memory that is shown one result after the other."""

    def __init__(self) -> None:
        self.memory = StandingMemory()
        self.ordinal = -1

    def result(self, lost: int = 0, run: str = "run") -> None:
        """The next result, after some that were lost."""
        self.ordinal += 1 + lost
        self.memory.note(Result("c", run, "e", self.ordinal, 0, 0.0, (1, 1), live=True))

    def sees(self, looked: Sequence[Box] | None, *boxes: Box, lost: int = 0) -> set[Box]:
        """What the answer is about a picture in which these boxes were seen."""
        self.result(lost)
        given = self.memory.see(Boxes("e", boxes, (0.9,) * len(boxes)), looked)
        assert given.carried == set(given.answer.boxes_xyxy) - set(boxes)
        assert len(set(given.answer.boxes_xyxy)) == len(given.answer.boxes_xyxy)
        assert len(given.answer.scores) == len(given.answer.boxes_xyxy)
        return set(given.answer.boxes_xyxy)

    def misses(self) -> None:
        """A result in which the task failed."""
        self.result()
        self.memory.failed()


@pytest.fixture
def camera() -> Camera:
    """One that has seen somebody stand here, in two looks at the whole picture."""
    made = Camera()
    for _ in range(2):
        assert made.sees(ALL, HERE) == {HERE}
    return made


def test_who_stands_is_there_where_nobody_looks(camera: Camera) -> None:
    """For as long as nothing moves there, with his box as it was."""
    for looked in ((), (RIGHT,), (), ()):
        assert camera.sees(looked) == {HERE}
    assert camera.sees((RIGHT,), THERE) == {HERE, THERE}


def test_what_was_seen_once_is_not_carried() -> None:
    """A box that flickered is nothing that stands."""
    camera = Camera()
    camera.sees(ALL)
    assert camera.sees(ALL, HERE) == {HERE}
    assert camera.sees(()) == set()
    assert camera.sees(ALL, HERE) == {HERE}
    assert camera.sees(()) == {HERE}


def test_who_is_not_seen_is_missed_in_that_look_and_forgotten_after_two(camera: Camera) -> None:
    """A detector misses one look now and then."""
    assert camera.sees(ALL) == set()
    assert camera.sees(()) == {HERE}
    assert camera.sees(ALL, HERE) == {HERE}
    assert camera.sees(ALL) == set()
    assert camera.sees(ALL) == set()
    assert camera.sees(()) == set()


def test_who_walks_off_leaves_no_ghost(camera: Camera) -> None:
    """He leaves motion in his place, which is looked at; from then on he is where he is seen."""
    step = (0.47, 0.40, 0.52, 0.55)
    assert camera.sees((LEFT,), step) == {step}
    assert camera.sees((LEFT,)) == set()
    for _ in range(3):
        assert camera.sees(()) == set()


def test_who_walks_is_never_in_two_places(camera: Camera) -> None:
    """Through parts of the picture that move with him."""
    for n in range(12):
        x = 0.40 + 0.04 * n
        walker = (x, 0.40, x + 0.05, 0.55)
        part = (max(0.0, x - 0.12), 0.3, min(1.0, x + 0.17), 0.7)
        assert camera.sees((part,), walker) == {walker}


def test_a_look_at_part_of_him_shows_no_second_one(camera: Camera) -> None:
    """What the border of a part cuts off of somebody who is known is he."""
    part = (0.42, 0.3, 0.7, 0.7)
    half = (0.42, 0.40, 0.45, 0.55)
    assert camera.sees((part,), half) == {HERE}
    small_part = (0.44, 0.3, 0.7, 0.7)
    assert camera.sees((small_part,), (0.44, 0.40, 0.45, 0.55)) == {HERE}
    assert camera.sees(()) == {HERE}


def test_a_box_that_is_not_exact_shows_no_second_one() -> None:
    """Who is seen small in the whole picture is seen somewhere about there, and is one."""
    camera = Camera()
    exact, close = (0.41, 0.41, 0.415, 0.43), (0.35, 0.35, 0.5, 0.5)
    camera.sees((close,), exact)
    camera.sees((close,), exact)
    about = (0.408, 0.404, 0.419, 0.432)
    assert iou(exact, about) < SAME_IOU
    assert camera.sees(ALL, about) == {about}
    assert camera.sees(()) == {exact}
    assert camera.sees(ALL, about) == {about}
    assert camera.sees(()) == {exact}


def test_a_look_that_shows_him_small_does_not_miss_him() -> None:
    """Who is seen only closely is not there any less because a look at the whole did not see him.

    Close looks are what he is missed in.
    """
    camera = Camera()
    small, close = (0.41, 0.41, 0.415, 0.43), (0.35, 0.35, 0.5, 0.5)
    camera.sees((close,), small)
    camera.sees((close,), small)
    for _ in range(3):
        assert camera.sees(ALL) == {small}
    assert camera.sees((close,)) == set()
    assert camera.sees((close,)) == set()
    assert camera.sees(()) == set()


def test_failures_in_a_row_end_what_is_taken_for_granted(camera: Camera) -> None:
    """Somebody may have walked off in what was not answered; two failures hide nothing."""
    camera.misses()
    camera.misses()
    assert camera.sees(()) == {HERE}
    for _ in range(3):
        camera.misses()
    assert camera.sees(()) == set()
    assert camera.sees(ALL, HERE) == {HERE}
    assert camera.sees(()) == {HERE}


@pytest.mark.parametrize(("lost", "carried"), [(0, True), (2, True), (3, False), (50, False)])
def test_results_that_are_missing_are_failures(camera: Camera, lost: int, carried: bool) -> None:
    """A gap in the numbers is one, whatever was in it."""
    assert (camera.sees((), lost=lost) == {HERE}) is carried


def test_a_new_run_begins_with_what_it_sees(camera: Camera) -> None:
    """A camera that was away for a while may have missed anything."""
    camera.result(run="another")
    assert not camera.memory.see(Boxes("e", (), ()), ()).carried


def test_it_goes_on_exactly_after_a_restart(camera: Camera) -> None:
    """At any moment, in another process, through JSON."""
    script: list[tuple[Sequence[Box] | None, tuple[Box, ...]]] = [
        ((), ()),
        ((LEFT,), (HERE,)),
        (ALL, (THERE,)),
        ((RIGHT,), (THERE,)),
        ((), ()),
        (ALL, (HERE, THERE)),
        ((), ()),
    ]
    other = Camera()
    for looked, boxes in script:
        other.memory = StandingMemory()
        other.memory.restore(json.loads(json.dumps(camera.memory.state())))
        other.ordinal = camera.ordinal
        assert other.sees(looked, *boxes) == camera.sees(looked, *boxes)
        assert other.memory.state() == camera.memory.state()


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"version": 2},
        {"version": 1, "run": "r", "ordinal": 1, "lost": 0, "standing": [[0.1]]},
        {"version": 1, "run": "r", "ordinal": 1, "lost": 0, "standing": [[9] * 8]},
        {"version": 1, "run": 3, "ordinal": 1, "lost": 0, "standing": []},
        {"version": 1, "run": "r", "ordinal": "x", "lost": 0, "standing": []},
        {"version": 1, "run": "r", "ordinal": 1, "lost": float("nan"), "standing": []},
    ],
)
def test_anything_else_is_refused(camera: Camera, state: object) -> None:
    """And nothing is changed."""
    before = camera.memory.state()
    with pytest.raises(ValueError, match=r"not what|none of a picture"):
        camera.memory.restore(state)  # type: ignore[arg-type]
    assert camera.memory.state() == before
