"""The tracker, on walkers whose ways are known."""

import pytest

from pipeline.core.geometry import Box
from pipeline.tracking.config import TrackerConfig
from tests.tracking.scenes import (
    HEIGHT,
    START,
    Look,
    Path,
    ids,
    looks,
    person_tracker,
    run,
    standing,
    walking,
    way,
)

RIGHT, LEFT = (0.06, 0.0), (-0.06, 0.0)
"""A walk of 0.7 of the walker's heights a second, at 16:9."""


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
@pytest.mark.parametrize(
    ("paths", "people"),
    [
        # alone
        ([walking((0.1, 0.6), RIGHT)], 1),
        # two who meet and pass each other at half a height's distance
        ([walking((0.1, 0.6), RIGHT), walking((0.7, 0.68), LEFT)], 2),
        # side by side, a width apart
        ([walking((0.1, 0.6), RIGHT), walking((0.1, 0.7), RIGHT)], 2),
        # one behind the other, a height apart
        ([walking((0.1, 0.6), RIGHT), walking((0.2, 0.6), RIGHT)], 2),
        # behind a lamp post for a second
        ([walking((0.1, 0.6), RIGHT, hidden=(4.1, 5.1))], 1),
        # straight across each other's way
        ([walking((0.1, 0.6), RIGHT), walking((0.36, 0.2), (0.0, 0.08))], 2),
        # one stands, the other walks by
        ([walking((0.4, 0.6), (0.0, 0.0)), walking((0.1, 0.68), RIGHT)], 2),
        # in a hurry: twice as fast as others
        ([walking((0.05, 0.6), (0.12, 0.0))], 1),
        # gone for ten seconds, and somebody comes out there
        ([walking((0.1, 0.6), (0.01, 0.0), hidden=(4.0, 14.0))], 2),
    ],
)
def test_one_id_for_each_person_at_any_rate(paths: list[Path], people: int, fps: float) -> None:
    """As many ids as people, and each id stays with its own person."""
    seen = looks(paths, fps, seconds=_end(paths))
    shown = run(person_tracker(), seen)
    assert len(ids(shown)) == people
    for id_ in ids(shown):
        owners = {_owner(paths, at, x, y) for at, x, y in way(shown, id_)}
        assert len(owners) == 1, f"track {id_} changed hands"


def _end(paths: list[Path]) -> float:
    """When the first walker leaves the picture."""
    for tenth in range(180):
        places = [path(tenth / 10) for path in paths]
        if any(p is not None and not (0 < p[0] < 1 and p[1] < 1) for p in places):
            return tenth / 10
    return 18.0


def _owner(paths: list[Path], at: float, x: float, y: float) -> int:
    far = [
        abs(place[0] - x) + abs(place[1] - y) if (place := path(at)) is not None else 9.0
        for path in paths
    ]
    return far.index(min(far))


def test_positions_before_confirmation_come_with_it() -> None:
    """A track is shown when it is sure, and its first show brings all steps since the first."""
    seen = looks([walking((0.1, 0.6), RIGHT)], fps=10, seconds=2)
    shown = run(person_tracker(), seen)
    assert [len(tracks) for tracks in shown[:5]] == [0, 0, 0, 0, 1]
    (first,) = shown[4]
    assert [step.at for step in first.steps] == [look.at for look in seen[:5]]
    assert first.first_seen == START
    assert first.box == seen[4].boxes[0]
    (second,) = shown[5]
    assert [step.at for step in second.steps] == [seen[5].at]
    assert (second.label, second.score) == ("person", 0.6)


@pytest.mark.parametrize(
    ("fps", "first_shown_s"),
    [(10, 0.4), (5, 0.4), (2, 0.5), (1, 1.0), (0.25, 4.0)],
)
def test_confirmation_is_a_matter_of_seconds(fps: float, first_shown_s: float) -> None:
    """Seen twice, at least 0.4 s apart: the second look at 2 a second and below."""
    shown = run(person_tracker(), looks([walking((0.4, 0.6), (0.0, 0.0))], fps, 8, 0.8))
    first = next(index for index, tracks in enumerate(shown) if tracks)
    assert first / fps == pytest.approx(first_shown_s)


def test_seen_once_is_nobody() -> None:
    """A box of one look is never shown, and leaves nothing behind."""
    flash = Look(START, (standing(0.4, 0.6),), (0.9,))
    nothing = [Look(START + second, (), ()) for second in range(1, 4)]
    later = [Look(START + 4, (standing(0.4, 0.6),), (0.9,))]
    assert ids(run(person_tracker(), [flash, *nothing, *later])) == set()


def test_faint_boxes_continue_a_track_and_never_begin_one() -> None:
    """Below `start_score` a box keeps a known walker alive; alone it is nobody."""
    path = walking((0.1, 0.6), RIGHT)
    faint = looks([path], fps=5, seconds=6, score=0.3)
    assert ids(run(person_tracker(), faint)) == set()
    sure = looks([path], fps=5, seconds=6)
    mixed = [a if index < 5 else b for index, (a, b) in enumerate(zip(sure, faint, strict=True))]
    shown = run(person_tracker(), mixed)
    assert ids(shown) == {1}
    assert shown[-1][0].score == 0.3


def test_engines_without_scores_are_tracked() -> None:
    """Boxes that all have the score 1 are all believed."""
    shown = run(person_tracker(), looks([walking((0.1, 0.6), RIGHT)], 2, 6, score=1.0))
    assert ids(shown) == {1}


@pytest.mark.parametrize(("gap_s", "same"), [(1.0, True), (1.9, True), (2.5, False), (9.0, False)])
def test_forgets_after_seconds_not_frames(gap_s: float, same: bool) -> None:
    """Who stands there again after less than `forget_after` is the same, at 10 a second."""
    still = walking((0.4, 0.6), (0.0, 0.0), hidden=(2.0, 2.0 + gap_s))
    assert len(ids(run(person_tracker(), looks([still], 10, 15)))) == (1 if same else 2)


def test_slow_looks_are_no_absence() -> None:
    """With five seconds between looks nobody is forgotten for that alone."""
    still = walking((0.4, 0.6), (0.0, 0.0))
    assert ids(run(person_tracker(), looks([still], 0.2, 60))) == {1}


def test_who_leaves_at_the_edge_is_not_who_comes_in_there() -> None:
    """One walks out of the picture; another coming in a second later is somebody else."""
    leaver = looks([walking((0.80, 0.6), (0.06, 0.0))], 10, 3.1)
    nothing = [Look(START + 3.2 + tenth / 10, (), ()) for tenth in range(9)]
    comer = [
        Look(look.at + 4.1, look.boxes, look.scores)
        for look in looks([walking((0.98, 0.6), (-0.06, 0.0))], 10, 2)
    ]
    assert len(ids(run(person_tracker(), [*leaver, *nothing, *comer]))) == 2


def test_hidden_feet_stay_on_the_ground() -> None:
    """When something hides a walker's legs the feet keep their height below the head."""
    seen = looks([walking((0.1, 0.6), RIGHT)], fps=5, seconds=6)
    cut = [_without_legs(look) if 3.0 <= look.at - START <= 4.0 else look for look in seen]
    shown = run(person_tracker(), cut)
    feet = [step.feet for tracks in shown for track in tracks for step in track.steps]
    known = [one for one in feet if one is not None]
    assert len(known) == len(seen)
    assert [one.place[1] for one in known] == pytest.approx([0.6] * len(known), abs=0.2 * HEIGHT)
    assert min(one.height for one in known) > 0.8 * HEIGHT


def _without_legs(look: Look) -> Look:
    boxes = tuple((b[0], b[1], b[2], b[3] - 0.45 * HEIGHT) for b in look.boxes)
    return Look(look.at, boxes, look.scores)


def test_a_box_around_two_does_not_move_the_feet() -> None:
    """Where a box swallows a neighbour in front the feet stay a body's height below the head."""
    seen = looks([walking((0.1, 0.6), RIGHT)], fps=10, seconds=5)
    merged = [
        Look(look.at, tuple((b[0], b[1], b[2], b[3] + 0.04) for b in look.boxes), look.scores)
        if 3.0 <= look.at - START <= 3.3
        else look
        for look in seen
    ]
    shown = run(person_tracker(), merged)
    feet = [step.feet for tracks in shown for track in tracks for step in track.steps]
    assert len(feet) == len(seen)
    assert max(one.place[1] for one in feet if one is not None) < 0.61
    assert max(track.box[3] for tracks in shown for track in tracks) == pytest.approx(0.64), (
        "boxes are shown as they were detected"
    )


def test_who_sits_down_becomes_lower() -> None:
    """A box that stays low is believed after a while: nobody is given a giant's feet."""
    low: Box = (0.38, 0.5, 0.42, 0.58)
    seen = looks([walking((0.4, 0.6), (0.0, 0.0))], fps=5, seconds=3)
    sitting = [Look(START + 3.2 + n / 5, (low,), (0.6,)) for n in range(40)]
    shown = run(person_tracker(), [*seen, *sitting])
    assert ids(shown) == {1}
    assert shown[-1][0].box == low


def test_a_second_box_on_the_same_person_is_nobody() -> None:
    """A box beside that of a followed person which comes and goes does not become a track."""
    seen = [
        Look(look.at, (*look.boxes, _shifted(look.boxes[0])), (0.6, 0.5))
        if index % 3 == 0
        else look
        for index, look in enumerate(looks([walking((0.1, 0.6), RIGHT)], 5, 8))
    ]
    assert ids(run(person_tracker(), seen)) == {1}


def _shifted(box: Box) -> Box:
    return (box[0] + 0.004, box[1] + 0.02, box[2] + 0.004, box[3] + 0.02)


def test_two_cameras_share_nothing() -> None:
    """Trackers fed in turn number their own people from 1 and do not see each other's."""
    config = TrackerConfig()
    door, yard = config.build("person"), config.build("person")
    at_door = looks([walking((0.1, 0.6), RIGHT)], 5, 5)
    in_yard = looks([walking((0.9, 0.6), LEFT), walking((0.9, 0.9), LEFT)], 5, 5)
    mixed = [
        (door.update(a.at, a.boxes, a.scores), yard.update(b.at, b.boxes, b.scores))
        for a, b in zip(at_door, in_yard, strict=True)
    ]
    assert [a for a, _ in mixed] == run(person_tracker(), at_door)
    assert [b for _, b in mixed] == run(person_tracker(), in_yard)
    assert ids(b for _, b in mixed) == {1, 2}


def test_a_portrait_picture_is_tracked_as_well() -> None:
    """In a picture higher than wide the same walk covers more of the width, and is followed."""
    aspect = 9 / 16
    step = 0.7 * HEIGHT / aspect
    seen = looks([walking((0.05, 0.6), (step, 0.0))], fps=1, seconds=4)
    assert ids(run(TrackerConfig().build("person", aspect), seen)) == {1}


def test_a_stated_speed_is_kept_to() -> None:
    """A car at five heights a second is followed when `speed` says so, and not as a walker."""
    seen = looks([walking((0.0, 0.6), (0.42, 0.0))], fps=2, seconds=2)
    assert ids(run(person_tracker(TrackerConfig(speed=5.0)), seen)) == {1}
    assert ids(run(person_tracker(TrackerConfig(speed=0.7)), seen)) == set()


def test_a_speed_that_is_stated_later_replaces_what_was_learned() -> None:
    """A tracker that goes on from another's state takes its own settings for true."""
    fast = looks([walking((0.0, 0.6), (0.42, 0.0))], fps=2, seconds=2)
    learned = TrackerConfig().build("car")
    run(learned, fast)
    stated = person_tracker(TrackerConfig(speed=0.7))
    stated.restore(learned.state())
    later = [Look(look.at + 60, look.boxes, look.scores) for look in fast]
    assert ids(run(stated, later)) == set()


def test_an_empty_picture_has_no_tracks() -> None:
    """Nothing seen is nothing shown, at the beginning and in between."""
    tracker = person_tracker()
    assert tracker.update(START, (), ()) == ()
    assert run(tracker, looks([walking((0.1, 0.6), RIGHT)], 5, 2))[-1]
    assert tracker.update(START + 2.2, (), ()) == ()
