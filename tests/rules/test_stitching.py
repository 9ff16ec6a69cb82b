"""Feet that are hidden, ids that change, and who is still there."""

import pytest

from pipeline.core.geometry import Box
from pipeline.core.tracks import Step
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


FEET: list[tuple[str, list[Box], float]] = [
    ("whole", [WHOLE] * 3, 0.6),
    ("the lower half is hidden", [*[WHOLE] * 3, UPPER_HALF], 0.6),
    ("the head is hidden", [*[WHOLE] * 3, (0.4, 0.45, 0.5, 0.6)], 0.6),
    ("a stride shorter", [*[WHOLE] * 3, (0.4, 0.3, 0.5, 0.56)], 0.56),
    ("sat down: believed after two seconds", [*[WHOLE] * 3, *[UPPER_HALF] * 25], 0.45),
    ("half out of the picture", [*[(0.4, 0.7, 0.5, 1.0)] * 3, (0.4, 0.8, 0.5, 1.0)], 1.0),
    ("half hidden from the beginning", [UPPER_HALF] * 3, 0.45),
]


@pytest.mark.parametrize(("boxes", "feet"), [row[1:] for row in FEET], ids=[row[0] for row in FEET])
def test_where_the_feet_are(boxes: list[Box], feet: float) -> None:
    """At the bottom of the box, or a body's height below the head where that is more likely."""
    assert walked(*boxes).xy == pytest.approx((0.45, feet), abs=0.01)


def test_hidden_feet_go_on_with_the_head() -> None:
    """Who walks on behind a counter keeps his feet below his head."""
    visible = [(0.40 + i / 100, 0.3, 0.5 + i / 100, 0.6) for i in range(10)]
    hidden = [(0.50 + i / 100, 0.3 + i / 100, 0.6 + i / 100, 0.45) for i in range(8)]

    assert walked(*visible, *hidden).xy == pytest.approx((0.62, 0.67), abs=0.01)


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
