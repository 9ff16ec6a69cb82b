"""Feet that are hidden, ids that change, and who is still there."""

from dataclasses import replace

import pytest

from pipeline.core.geometry import Box
from pipeline.core.tracks import Feet, Step
from pipeline.rules.presence import ZonePresence
from pipeline.rules.stitching import Trail, continued, trail_of
from tests.rules.scene import context, seen, track

WHOLE: Box = (0.4, 0.3, 0.5, 0.6)
UPPER_HALF: Box = (0.4, 0.3, 0.5, 0.45)


def walked(*boxes: Box, every_s: float = 0.1) -> Trail:
    """The trail of one who was seen in these boxes, one after the other, in a square picture."""
    trail = trail_of(Step(0.0, boxes[0]), 1.0)
    for index, box in enumerate(boxes):
        trail.go(Step(index * every_s, box), 1.0)
    return trail


def test_feet_are_where_the_tracker_says() -> None:
    """With their noise and the body's whole height, whatever the box shows of it."""
    feet = Feet((0.45, 0.6), 0.004, (0.45, 0.61), 0.01, 0.3)
    trail = trail_of(Step(0.0, UPPER_HALF, feet), 2.0)

    assert (trail.xy, trail.noise, trail.height) == ((0.9, 0.6), 0.004, 0.3)
    moved = replace(feet, place=(0.5, 0.6))
    assert trail.go(Step(0.5, UPPER_HALF, moved), 2.0) == (1.0, 0.6)
    assert trail.speed == pytest.approx((0.1, 0.0))  # half of the way, as the smoothing is .5 s


def test_feet_of_a_tracker_that_does_not_tell_are_below_the_box() -> None:
    """Steps of other trackers, and of earlier releases, know boxes alone."""
    trail = walked(WHOLE, UPPER_HALF)

    assert trail.xy == pytest.approx((0.45, 0.45))
    assert trail.height == pytest.approx(0.15)
    assert 0.0 < trail.noise < 0.02 * trail.height


@pytest.mark.parametrize(
    ("new", "present", "found"),
    [
        (Step(0.7, (0.42, 0.3, 0.52, 0.6)), set(), 1),  # there, a little later
        (Step(0.7, (0.42, 0.3, 0.52, 0.6)), {1}, None),  # the old id is still seen
        (Step(2.0, (0.42, 0.3, 0.52, 0.6)), set(), None),  # too late
        (Step(0.2, (0.42, 0.3, 0.52, 0.6)), set(), None),  # at the same time
        (Step(0.7, (0.72, 0.3, 0.82, 0.6)), set(), None),  # elsewhere
        (Step(0.7, (0.42, 0.5, 0.52, 0.6)), set(), None),  # a child, or somebody far behind
    ],
)
def test_which_id_is_continued(new: Step, present: set[int], found: int | None) -> None:
    """A new id continues the one that vanished in its place a moment ago."""
    trails = {1: walked(WHOLE, WHOLE, WHOLE)}

    assert continued(trails, present, trail_of(new, 1.0), within_s=1.0) == found


def test_the_way_he_was_going_decides() -> None:
    """Of two who vanished, the one who was walking there is continued."""
    going = [(0.30 + i / 50, 0.3, 0.4 + i / 50, 0.6) for i in range(6)]
    trails = {1: walked(*[(0.42, 0.3, 0.52, 0.6)] * 6), 2: walked(*going)}

    assert continued(trails, (), trail_of(Step(1.0, (0.47, 0.3, 0.57, 0.6)), 1.0), 1.0) == 2


def test_presence_remembers_for_a_moment() -> None:
    """Two and a half samples, or a second; then he is gone, and with a new run at once."""
    presence = ZonePresence(context(1.0))
    presence.see(seen(0.0, track(1, 0.0, 0.2, 0.5)))

    presence.see(seen(2.5))
    assert presence.inside() == [1]
    presence.see(seen(2.75))
    assert presence.inside() == []
    presence.see(seen(3.0, track(2, 3.0, 0.2, 0.5)))
    presence.see(seen(4.0, run="r2"))
    assert presence.inside() == []


def test_presence_tells_who_was_renamed() -> None:
    """A new id takes over the old one's place."""
    presence = ZonePresence(context(0.5))

    assert presence.see(seen(0.0, track(1, 0.0, 0.2, 0.5))) == {}
    assert presence.see(seen(0.5, track(7, 0.5, 0.2, 0.5))) == {7: 1}
    assert presence.inside() == [7]


def test_in_a_lively_scene_nobody_is_waited_for_long() -> None:
    """Where a still scene is looked at every ten seconds, a lively one keeps its own pace."""
    presence = ZonePresence(context(10.0))
    presence.see(seen(0.0, track(1, 0.0, 0.2, 0.5)))

    presence.see(seen(10.0))
    assert presence.inside() == [1]
    presence.see(seen(10.5))
    assert presence.inside() == []
