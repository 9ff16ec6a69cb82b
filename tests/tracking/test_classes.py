"""Kinds that are taken for each other: boxes of one body, votes, and states that are shared."""

import pytest

from pipeline.core.events import JsonValue
from pipeline.tracking.classes import MOST_VOTES, kind_of, merged, voted
from pipeline.tracking.config import TrackerConfig
from pipeline.tracking.sharing import adapted
from tests.tracking.scenes import START, standing

HERE, BESIDE = standing(0.4, 0.6), standing(0.43, 0.6)
SHIFTED = standing(0.402, 0.602)


def test_boxes_of_two_kinds_on_one_body_are_one_thing() -> None:
    """It has the surer box, and the scores of both kinds; neighbours stay two."""
    boxes, scores, votes = merged([HERE, BESIDE, SHIFTED], [0.6, 0.7, 0.8], ["car", "car", "truck"])
    assert boxes == [SHIFTED, BESIDE]
    assert scores == [0.8, 0.7]
    assert votes == [{"truck": 0.8, "car": 0.6}, {"car": 0.7}]


def test_boxes_of_one_kind_are_never_merged() -> None:
    """A detector has dropped its own second boxes already."""
    boxes, _, _ = merged([HERE, SHIFTED], [0.6, 0.8], ["car", "car"])
    assert len(boxes) == 2


def test_the_scores_so_far_decide() -> None:
    """A tie changes nothing, one look more does, and nothing is remembered for ever."""
    votes: dict[str, float] = {}
    kinds, kind = [], ""
    for label in ("truck", "car", "car", "truck", "truck", "truck"):
        votes = voted(votes, {label: 0.8})
        kind = kind_of(votes, kind)
        kinds.append(kind)
    assert kinds == ["truck", "truck", "car", "car", "truck", "truck"]
    for _ in range(1000):
        votes = voted(votes, {"car": 1.0})
    assert sum(votes.values()) == pytest.approx(MOST_VOTES)
    assert votes["truck"] < 1e-6


def state(at_x: float, next_id: int) -> JsonValue:
    """The state of a tracker of one kind that follows one thing."""
    tracker = TrackerConfig().build("car")
    kept = tracker.state()
    assert isinstance(kept, dict)
    for second in range(2):
        tracker.update(START + second, [standing(at_x, 0.6)], [0.9])
    kept = tracker.state()
    assert isinstance(kept, dict)
    return {**kept, "next_id": next_id}


def test_trackers_of_single_kinds_become_a_shared_one() -> None:
    """The first keeps its ids, the others' things get new ones."""
    shared = adapted({"car": state(0.2, 5), "truck": state(0.6, 9)}, ("car", "truck"))
    tracker = TrackerConfig().build("car")
    tracker.restore(shared)
    boxes, scores, votes = merged(
        [standing(0.2, 0.6), standing(0.6, 0.6)], [0.9, 0.9], ["car", "truck"]
    )
    tracks = tracker.update(START + 2, boxes, scores, votes, ("car", "truck"))
    assert [(track.id, track.label) for track in tracks] == [(1, "car"), (9, "truck")]


def test_a_shared_tracker_becomes_one_of_a_single_kind() -> None:
    """It keeps what is of its kind, under the same ids."""
    shared = adapted({"car": state(0.2, 5), "truck": state(0.6, 9)}, ("car", "truck"))
    tracker = TrackerConfig().build("truck")
    tracker.restore(adapted({"truck": shared}, ()))
    tracks = tracker.update(START + 2, [standing(0.6, 0.6)], [0.9])
    assert [(track.id, track.label) for track in tracks] == [(9, "truck")]


@pytest.mark.parametrize("damage", [None, [], {}, {"things": 3}, {"things": [4], "next_id": 1}])
def test_what_is_no_state_is_refused(damage: JsonValue) -> None:
    """As every state that cannot be read."""
    with pytest.raises(ValueError, match=r"it has no|expected a mapping"):
        adapted({"car": damage, "truck": damage}, ("car", "truck"))
    with pytest.raises(ValueError, match=r"it has no|expected a mapping"):
        adapted({"car": damage}, ())
