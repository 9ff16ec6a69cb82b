"""Which parts of a picture are shown, and how their boxes become one answer."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers import Answer, Boxes, Failed, Text
from pipeline.core.geometry import Box, iou
from pipeline.core.jobs import WHOLE
from pipeline.inference.cuts import MOST_CUTS, as_region, cuts_of, one_answer, share_of

HD = (1920, 1080)
SIDE = 512
fractions = st.floats(0.0, 1.0)


@st.composite
def regions(draw: st.DrawFn) -> Box:
    """A place of any size, anywhere."""
    x, y = draw(fractions), draw(fractions)
    w, h = draw(st.floats(0.001, 0.3)), draw(st.floats(0.001, 0.3))
    return (max(0.0, x - w), max(0.0, y - h), min(1.0, x + w), min(1.0, y + h))


many = st.lists(regions(), max_size=14)
sizes = st.tuples(st.integers(16, 4000), st.integers(16, 3000))


@given(many, sizes, st.sampled_from((64, 378, 512, 640)))
def test_every_place_is_shown_whole(places: list[Box], size_wh: tuple[int, int], side: int) -> None:
    """In a part that lies in the picture, is worth a pass of the net, and is one of a few."""
    cuts = cuts_of(places, size_wh, side)
    shown = [as_region(cut, size_wh) for cut in cuts]
    assert len(cuts) <= MOST_CUTS + 1
    assert bool(cuts) == bool(places)
    for left, top, right, bottom in cuts:
        assert 0 <= left < right <= size_wh[0]
        assert 0 <= top < bottom <= size_wh[1]
        assert right - left >= min(side, size_wh[0])
        assert bottom - top >= min(side, size_wh[1])
    slack_x, slack_y = 1 / size_wh[0], 1 / size_wh[1]
    for x_min, y_min, x_max, y_max in places:
        assert any(
            a <= x_min + slack_x and b <= y_min + slack_y and c >= x_max - slack_x
            and d >= y_max - slack_y
            for a, b, c, d in shown
        )  # fmt: skip


@given(many, st.randoms())
def test_the_order_of_places_does_not_matter(places: list[Box], chance: random.Random) -> None:
    """The same places give the same parts."""
    shuffled = list(places)
    chance.shuffle(shuffled)
    assert cuts_of(places, HD, SIDE) == cuts_of(shuffled, HD, SIDE)


@given(many)
def test_nothing_is_shown_twice(places: list[Box]) -> None:
    """No part lies in another one, but for the whole picture."""
    cuts = [cut for cut in cuts_of(places, HD, SIDE) if cut != (0, 0, *HD)]
    for a in cuts:
        assert not any(
            b != a and b[0] <= a[0] and b[1] <= a[1] and b[2] >= a[2] and b[3] >= a[3] for b in cuts
        )


def test_a_small_place_is_shown_at_the_size_of_the_net() -> None:
    """A person of 40 pixels in 4K is seen as large as he is, not an eighth of it."""
    assert cuts_of([(0.5, 0.5, 0.505, 0.52)], (3840, 2160), SIDE) == [(1674, 846, 2186, 1358)]


def test_neighbours_are_shown_together_and_strangers_apart() -> None:
    """Two who walk side by side are one part; two at both ends of the street are two."""
    near = cuts_of([(0.1, 0.5, 0.12, 0.55), (0.2, 0.5, 0.22, 0.55)], HD, SIDE)
    far = cuts_of([(0.1, 0.5, 0.12, 0.55), (0.8, 0.5, 0.82, 0.55)], HD, SIDE)
    assert (len(near), len(far)) == (1, 2)


def test_what_is_most_of_the_picture_is_the_whole_of_it() -> None:
    """In a small picture, and where all of it moves, parts show nothing more."""
    assert cuts_of([(0.4, 0.4, 0.5, 0.5)], (640, 480), SIDE) == [(0, 0, 640, 480)]
    assert cuts_of([(0.05, 0.05, 0.95, 0.95)], HD, SIDE) == [(0, 0, *HD)]


def test_the_whole_picture_and_what_moves_in_it() -> None:
    """A look at the whole does not see small things: what moves is shown as well."""
    cuts = cuts_of([WHOLE, (0.1, 0.5, 0.12, 0.55)], HD, SIDE)
    assert cuts[0] == (0, 0, *HD)
    assert len(cuts) == 2


def test_share_of_the_picture() -> None:
    """What two parts share counts once."""
    assert share_of([]) == 0.0
    assert share_of([WHOLE, (0.2, 0.2, 0.4, 0.4)]) == 1.0
    assert abs(share_of([(0.0, 0.0, 0.5, 0.5), (0.25, 0.25, 0.75, 0.75)]) - 0.4375) < 1e-9


def found(*boxes: Box, score: float = 0.8) -> Boxes:
    """An answer about a part."""
    return Boxes("net", boxes, (score,) * len(boxes))


def joined(*looks: tuple[Box, Answer], limit: int = 50) -> Answer:
    """The answer about the whole picture."""
    return one_answer(looks, "net", limit, SIDE, HD)


def test_boxes_are_put_where_they_are_in_the_picture() -> None:
    """In 0..1 of it."""
    answer = joined(((0.5, 0.5, 1.0, 1.0), found((0.2, 0.2, 0.4, 0.6))))
    assert isinstance(answer, Boxes)
    ((box,), (score,)) = answer.boxes_xyxy, answer.scores
    assert iou(box, (0.6, 0.6, 0.7, 0.8)) > 0.999
    assert score == 0.8


def test_a_thing_in_two_parts_is_one() -> None:
    """The better of two equal boxes stays."""
    left, right = (0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.75, 1.0)
    answer = joined(
        (left, found((0.7, 0.4, 0.8, 0.6))), (right, found((0.2, 0.4, 0.3, 0.6), score=0.9))
    )
    assert isinstance(answer, Boxes)
    assert answer.scores == (0.9,)


def test_the_whole_box_is_preferred() -> None:
    """Where the border of one part cuts a person in half, the other part has all of him."""
    left, right = (0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.75, 1.0)
    half = found((0.9, 0.4, 1.0, 0.8), score=0.95)  # .45 to .5 of the picture
    all_of_him = found((0.4, 0.4, 0.6, 0.8), score=0.6)  # .45 to .55
    answer = joined((left, half), (right, all_of_him))
    assert isinstance(answer, Boxes)
    assert answer.scores == (0.6,)


def test_what_only_a_border_shows_is_shown() -> None:
    """A half that nobody saw more of was seen."""
    answer = joined(((0.0, 0.0, 0.5, 1.0), found((0.9, 0.4, 1.0, 0.8))))
    assert isinstance(answer, Boxes)
    assert len(answer.boxes_xyxy) == 1


def test_two_people_stay_two() -> None:
    """Close to each other in one part, and whole."""
    answer = joined(
        (WHOLE, found((0.4, 0.4, 0.5, 0.8), (0.46, 0.4, 0.56, 0.8))),
        ((0.0, 0.0, 0.5, 0.5), found()),
    )
    assert isinstance(answer, Boxes)
    assert len(answer.boxes_xyxy) == 2


def test_no_more_than_were_asked_for() -> None:
    """The best ones, and a word that there may be more."""
    answer = joined(
        ((0.0, 0.0, 0.5, 1.0), found((0.1, 0.1, 0.2, 0.2), (0.5, 0.5, 0.6, 0.6))), limit=1
    )
    assert isinstance(answer, Boxes)
    assert (len(answer.boxes_xyxy), answer.saturated) == (1, True)


def test_a_part_that_was_not_answered_is_not_known() -> None:
    """Unknown is not zero: the answer about the whole picture fails."""
    parts = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    failure = Failed("net", "too dark")
    assert joined((parts[0], found()), (parts[1], failure)) == failure
    words = joined((parts[0], found()), (parts[1], Text("net", "two")))
    assert words == Failed("net", "the engine answered with a text instead of boxes")
