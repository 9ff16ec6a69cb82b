"""Where a body's feet are and how sure that is, whatever hides, cuts or jitters its box."""

import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

import pytest

from pipeline.core.geometry import Box
from pipeline.core.tracks import Feet
from pipeline.tracking.feet import (
    HIDDEN_S,
    LEAST_NOISE,
    FeetMemory,
    feet_from_json,
    first_feet,
)
from pipeline.tracking.motion import MotionModel, shape_of

HEIGHT = 0.3
SQUARE = MotionModel(speed=0.7, aspect=1.0)
WHOLE: Box = (0.4, 0.3, 0.5, 0.6)
UPPER_HALF: Box = (0.4, 0.3, 0.5, 0.45)


def body(x: float, feet: float, height: float = HEIGHT) -> Box:
    """The box of one who stands there, in a square picture."""
    return (x - height / 6, feet - height, x + height / 6, feet)


def followed(boxes: Sequence[Box], every_s: float = 0.1) -> tuple[FeetMemory, list[Feet]]:
    """The memory after boxes in a row, and where the feet were at each but the first."""
    memory = first_feet(0.0, boxes[0], SQUARE)
    seen = [
        memory.see(n * every_s, box, shape_of(box, 1.0), SQUARE) for n, box in enumerate(boxes) if n
    ]
    return memory, seen


def jittering(
    sd: float, lasting_s: float, every_s: float, seed: int
) -> Callable[[Box, float], Box]:
    """A detector whose edges are off by `sd` heights, each alike for `lasting_s` or anew."""
    random = Random(seed)
    keep = math.exp(-every_s / lasting_s) if lasting_s else 0.0
    off = [random.gauss(0.0, sd) for _ in range(4)]

    def seen(box: Box, height: float) -> Box:
        for edge in range(4):
            off[edge] = keep * off[edge] + math.sqrt(1 - keep**2) * random.gauss(0.0, sd)
        left, top, right, bottom = (place + o * height for place, o in zip(box, off, strict=True))
        return (left, top, right, bottom)

    return seen


@pytest.mark.parametrize("lasting_s", [0.0, 0.2], ids=["white", "wandering"])
@pytest.mark.parametrize("speed", [0.0, 0.1], ids=["still", "walking"])
@pytest.mark.parametrize("fps", [10, 5, 2, 1])
@pytest.mark.parametrize("sd", [0.01, 0.03, 0.05])
def test_noise_is_measured(sd: float, fps: int, speed: float, lasting_s: float) -> None:
    """Within a quarter after 150 boxes that are apart, for the still and the walking."""
    measured = []
    for seed in range(3):
        jitter = jittering(sd, lasting_s, 1 / fps, seed)
        height = 0.1
        boxes = [
            jitter(body(speed * height * n / fps, 0.6, height), height)
            for n in range(150 * math.ceil(0.4 * fps))
        ]
        memory, _ = followed(boxes, 1 / fps)
        measured.append(memory.noise**2)
    assert math.sqrt(sum(measured) / len(measured)) == pytest.approx(sd, rel=0.25)


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_who_walks_towards_a_near_camera_hides_nothing(fps: int) -> None:
    """His height doubles within three seconds, and the feet are within their noise all the time."""
    boxes, places = [], []
    for n in range(5 * fps):
        growth = 2.0 ** (max(n / fps - 2.0, 0.0) / 3.0)
        height = 0.2 * growth
        places.append(0.25 + 0.25 * growth)
        boxes.append(body(0.5, places[-1], height))
    _, seen = followed(boxes, 1 / fps)
    for feet, place in zip(seen, places[1:], strict=True):
        assert abs(feet.seen[1] - place) < 1e-9, "a box was not believed"
        assert abs(feet.place[1] - place) < 3.0 * feet.noise


FEET: list[tuple[str, list[Box], float]] = [
    ("whole", [WHOLE] * 5, 0.6),
    ("the lower half is hidden", [*[WHOLE] * 5, UPPER_HALF], 0.6),
    ("the head is hidden", [*[WHOLE] * 5, (0.4, 0.45, 0.5, 0.6)], 0.6),
    ("merged with one in front", [*[WHOLE] * 5, (0.4, 0.3, 0.5, 0.72)], 0.6),
    ("half out of the picture", [*[(0.4, 0.7, 0.5, 1.0)] * 5, (0.4, 0.8, 0.5, 1.0)], 1.0),
    ("half hidden from the beginning", [UPPER_HALF] * 5, 0.45),
]


@pytest.mark.parametrize(("boxes", "feet"), [row[1:] for row in FEET], ids=[row[0] for row in FEET])
def test_where_the_feet_are(boxes: list[Box], feet: float) -> None:
    """At the bottom of the box, or a body's height below the head where that is more likely."""
    _, seen = followed(boxes)
    assert seen[-1].place == pytest.approx((0.45, feet), abs=0.01)


def test_hidden_feet_go_on_with_the_head() -> None:
    """Who walks on behind a counter keeps his feet below his head."""
    visible = [(0.40 + i / 100, 0.3, 0.5 + i / 100, 0.6) for i in range(10)]
    hidden = [(0.50 + i / 100, 0.3 + i / 200, 0.6 + i / 100, 0.45) for i in range(8)]
    _, seen = followed([*visible, *hidden])
    assert seen[-1].place == pytest.approx((0.62, 0.635), abs=0.015)
    assert seen[-1].seen == pytest.approx((0.62, 0.635), abs=0.015)
    assert seen[-1].seen_noise > seen[8].seen_noise, "what is guessed is less sure"


@pytest.mark.parametrize("fps", [10, 5])
def test_hidden_legs_are_believed_in_until_they_are_gone_for_long(fps: int) -> None:
    """For a second and a half the feet stay; after two seconds somebody has sat down."""
    jitter = jittering(0.02, 0.0, 1 / fps, seed=1)
    standing = [jitter(WHOLE, HEIGHT) for _ in range(4 * fps)]
    hidden = [jitter(UPPER_HALF, HEIGHT) for _ in range(int(4.5 * fps))]
    _, seen = followed([*standing, *hidden], 1 / fps)
    low_since = len(standing) - 1
    for feet in seen[low_since : low_since + int(1.5 * fps)]:
        assert abs(feet.place[1] - 0.6) < min(3.0 * feet.noise, HEIGHT / 5)
        assert feet.height == pytest.approx(HEIGHT, rel=0.2)
    believed = seen[low_since + math.ceil((HIDDEN_S + 1.0) * fps) :]
    assert believed
    for feet in believed:
        assert feet.seen[1] == pytest.approx(0.45, abs=0.03)
    assert believed[-1].place[1] == pytest.approx(0.45, abs=0.03)
    assert believed[-1].height == pytest.approx(HEIGHT / 2, rel=0.1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_who_is_cut_by_a_side_has_a_middle_beyond_the_box(side: str) -> None:
    """Half a width from the edge that is seen, as long as a part of the body is."""
    middles = [0.25 - 0.01 * n for n in range(25)]
    if side == "right":
        middles = [1.0 - x for x in middles]
    boxes: list[Box] = []
    for x in middles:
        left, top, right, bottom = body(x, 0.6)
        boxes.append((max(left, 0.0), top, min(right, 1.0), bottom))
    _, seen = followed(boxes)
    for feet, x in zip(seen, middles[1:], strict=True):
        assert feet.seen[0] == pytest.approx(x, abs=0.01)
        assert feet.place[0] == pytest.approx(x, abs=0.02)


def test_who_is_cut_below_stands_on_the_edge() -> None:
    """Where the feet are beyond the lower edge nobody knows; the edge is not passed."""
    boxes: list[Box] = []
    for n in range(30):
        left, top, right, bottom = body(0.5, 0.85 + 0.01 * n)
        boxes.append((left, top, right, min(bottom, 1.0)))
    _, seen = followed(boxes)
    assert all(feet.place[1] <= 1.0 for feet in seen)
    assert seen[-1].place[1] == pytest.approx(1.0, abs=0.01)


def test_looks_that_follow_each_other_fast_say_less() -> None:
    """A detector's errors last: ten looks a second are not ten times as sure as one."""
    fast = followed([WHOLE] * 50, 0.1)[1][-1]
    slow = followed([WHOLE] * 50, 1.0)[1][-1]
    assert fast.seen_noise > 1.5 * slow.seen_noise


def test_the_noise_of_still_boxes_keeps_a_floor() -> None:
    """Boxes that never move by a hair are not taken for exact."""
    memory, _ = followed([WHOLE] * 300, 0.5)
    assert memory.noise == LEAST_NOISE


def test_the_memory_goes_on_through_json() -> None:
    """At any moment, hidden or not, in every bit."""
    jitter = jittering(0.03, 0.0, 0.2, seed=2)
    boxes = [jitter(WHOLE if n % 20 < 14 else UPPER_HALF, HEIGHT) for n in range(60)]
    whole, seen = followed(boxes, 0.2)
    for cut in range(1, 60, 7):
        memory, before = followed(boxes[:cut], 0.2)
        text = json.dumps(memory.to_json(), allow_nan=False)
        other = feet_from_json(json.loads(text))
        after = [
            other.see(n * 0.2, boxes[n], shape_of(boxes[n], 1.0), SQUARE) for n in range(cut, 60)
        ]
        assert [*before, *after] == seen
        assert other == whole
    assert all(a != b for a, b in pairwise(seen))


@pytest.mark.parametrize("missing", ["at", "motion", "noise", "earlier"])
def test_what_is_no_memory_is_refused(missing: str) -> None:
    """A key that is missing is an error, not a guess."""
    kept = followed([WHOLE] * 5)[0].to_json()
    del kept[missing]
    with pytest.raises(KeyError):
        feet_from_json(kept)


def entering(seconds: float) -> Box:
    """Somebody of half the picture's height who comes up from under its lower edge."""
    bottom = 1.35 - 0.35 * seconds
    return (0.45, bottom - 0.5, 0.55, min(bottom, 1.0))


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_who_comes_in_over_the_lower_edge_has_feet_where_the_box_ends(fps: int) -> None:
    """The height of what has come into the picture grows fast: it tells nothing of the body's."""
    feet = first_feet(0.0, entering(0.0), SQUARE)
    whole = 0
    for look in range(1, 2 * fps + 1):
        at = look / fps
        box = entering(at)
        seen = feet.see(at, box, shape_of(box, 1.0), SQUARE)
        if box[3] < 0.98:
            whole += 1
            assert seen.seen[1] == pytest.approx(box[3])
            assert seen.place[1] == pytest.approx(box[3], abs=0.05)
            assert seen.height == pytest.approx(0.5, abs=0.02)
    assert whole >= fps / 2


def test_whether_it_was_whole_is_kept() -> None:
    """A state resumes with it, and one of an earlier release stands for somebody seen whole."""
    kept = first_feet(0.0, entering(0.0), SQUARE).to_json()
    assert not feet_from_json(kept).whole
    del kept["whole"]
    assert feet_from_json(kept).whole
