"""What was seen comes back exactly, every answer, time and gap, from blocks and from tails."""

import zlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import StoreError
from pipeline.core.jobs import Result, unjudgeable_result
from pipeline.core.observations import (
    ObservationBlock,
    ObservedFrame,
    frames_of,
    packed,
    snapped,
    tail,
    unpacked,
)
from pipeline.core.ranges import EARLIEST, LATEST, MOST_NUMBER, MOST_ORDINAL, PLACES, SCORES

places = st.floats(*PLACES)
scores = st.floats(*SCORES)
names = st.sampled_from(["people", "cars", "door", "ü"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """An answer of any kind."""
    engine = draw(st.sampled_from(["moondream", "onnx"]))
    match draw(st.sampled_from(["boxes", "points", "number", "text", "failed"])):
        case "boxes":
            found = draw(st.lists(st.tuples(st.tuples(places, places, places, places), scores)))
            boxes, given_scores = tuple(box for box, _ in found), tuple(s for _, s in found)
            return Boxes(engine, boxes, given_scores, draw(st.booleans()))
        case "points":
            spots = draw(st.lists(st.tuples(st.tuples(places, places), scores)))
            where, sure = tuple(spot for spot, _ in spots), tuple(s for _, s in spots)
            return Points(engine, where, sure, draw(st.booleans()))
        case "number":
            value = draw(st.integers(-MOST_NUMBER, MOST_NUMBER))
            return Number(engine, value, draw(st.none() | scores), draw(st.booleans()))
        case "text":
            return Text(engine, draw(texts), draw(st.none() | scores))
        case _:
            return Failed(engine, draw(texts))


@st.composite
def frames(draw: st.DrawFn) -> ObservedFrame:
    """A result with some of its boxes in tracks."""
    if draw(st.integers(0, 9)) == 0:
        ordinal, last = draw(st.integers(0, MOST_ORDINAL)), draw(st.booleans())
        return ObservedFrame(unjudgeable_result("", "r", "e", ordinal, live=True, last=last))
    looking = st.lists(st.tuples(places, places, places, places), max_size=3).map(tuple)
    result = Result(
        camera="",
        run=draw(st.sampled_from(["a", "b"])),
        engine="e",
        ordinal=draw(st.integers(0, MOST_ORDINAL)),
        seq=draw(st.integers(0, MOST_ORDINAL)),
        captured_at=draw(st.floats(EARLIEST, LATEST)),
        size_wh=draw(st.sampled_from([(640, 480), (480, 640), (1, 65535)])),
        live=draw(st.booleans()),
        answers=draw(st.dictionaries(names, answers(), max_size=3)),
        last=draw(st.booleans()),
        asked=draw(st.dictionaries(names, texts, max_size=2)),
        looked=draw(st.none() | looking),
        looking=tuple(draw(st.lists(names, max_size=2))),
    )
    ids = st.none() | st.integers(1, 5) | st.integers(1, MOST_ORDINAL)
    return ObservedFrame(
        snapped(result),
        {
            task: tuple(draw(ids) for _ in answer.boxes_xyxy)
            for task, answer in result.answers.items()
            if isinstance(answer, Boxes) and draw(st.booleans())
        },
    )


def written(frames: list[ObservedFrame]) -> str:
    """All that frames hold, to the last bit and in its order: 0.0 and -0.0 differ here."""
    return repr(frames)


@settings(max_examples=300, deadline=None)
@given(st.lists(frames(), max_size=8))
def test_frames_come_back_from_a_block_exactly(seen: list[ObservedFrame]) -> None:
    """Whatever was judged can be judged again: nothing is lost, rounded or reordered."""
    assert written(unpacked(packed(seen))) == written(seen)


@settings(max_examples=300, deadline=None)
@given(st.lists(frames(), max_size=8))
def test_frames_come_back_from_a_tail_exactly(seen: list[ObservedFrame]) -> None:
    """What is written in haste holds the same, and becomes the same block."""
    kept = unpacked(tail(seen))
    assert written(kept) == written(seen)
    assert packed(kept) == packed(seen)


@given(frames())
def test_what_was_rounded_stays(frame: ObservedFrame) -> None:
    """Rounding twice is rounding once, so that live and again are the same numbers."""
    assert written([replace(frame, result=snapped(frame.result))]) == written([frame])


@given(st.floats(*PLACES))
def test_rounding_moves_a_place_by_half_a_step_at_most(place: float) -> None:
    """And what has five decimals already keeps them."""
    box = (place, 0.12345, 0.5, 1.0)
    result = replace(RESULT, answers={"people": Boxes("e", (box,), (0.9,))})
    answer = snapped(result).answers["people"]
    assert isinstance(answer, Boxes)
    assert abs(answer.boxes_xyxy[0][0] - place) <= 0.000005 + 1e-12
    assert answer.boxes_xyxy[0][1:] == (0.12345, 0.5, 1.0)


RESULT = Result("gate", "run", "e", 3, 4, 1_790_000_000.25, (640, 480), live=True)
CONTENT = packed([ObservedFrame(RESULT)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\x07abc", "it has layout 7, which this release does not read"),
        (CONTENT[:-3], "it is cut off"),
        (CONTENT[:1] + b"x\x9c" + CONTENT[9:], "it is damaged"),
        (CONTENT[:1] + zlib.compress(b"\x93\x01\x02\x03"), "it is damaged"),
        (b"A\x91\x90", "it is damaged"),
    ],
)
def test_a_damaged_block_is_said(content: bytes, reason: str) -> None:
    """The sentence names camera, engine and minute, what is wrong with it, and what to do."""
    block = ObservationBlock("gate", "e", 1_790_000_000 // 60 * 60, 1, content)
    with pytest.raises(StoreError, match=reason) as caught:
        frames_of(block)
    assert "camera gate saw on engine e in the minute of 1789999980 s" in str(caught.value)
    assert "restore the store from a backup, or leave that minute out" in str(caught.value)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x01", b"A"]))
def test_no_damage_raises_anything_else(noise: bytes, kind: bytes) -> None:
    """Whatever a disk gives back is refused with a reason."""
    for content in (kind + noise, b"\x01" + zlib.compress(noise)):
        with suppress(ValueError):
            unpacked(content)


def test_a_run_with_half_a_character_in_its_name_is_kept() -> None:
    """A recording may be named with bytes that are no character."""
    seen = [ObservedFrame(replace(RESULT, run="a\udce4", answers={"b": Boxes("e", (), ())}))]
    for content in (tail(seen), packed(seen)):
        assert unpacked(content)[0].result.run == "a\N{REPLACEMENT CHARACTER}"


def test_tracks_that_do_not_fit_the_boxes_are_refused() -> None:
    """A mistake in what is kept is not kept."""
    seen = replace(RESULT, answers={"people": Boxes("e", (), ())})
    with pytest.raises(ValueError, match="not one for each"):
        packed([ObservedFrame(seen, {"people": (1,)})])
    with pytest.raises(ValueError, match="which has no boxes"):
        packed([ObservedFrame(seen, {"cars": (1,)})])
