"""Jobs and results as bytes: exact both ways, and whatever else comes is refused."""

import contextlib
import itertools
import math
from dataclasses import replace
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers import ANSWER_TYPES, Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import QueueError
from pipeline.core.frames import Frame
from pipeline.core.jobs import Focus, Job, Result, health_result
from pipeline.core.measures import Health
from pipeline.core.ranges import EARLIEST, LATEST, MOST_SIDE, PLACES, SCORES
from pipeline.core.tasks import (
    TASK_TYPES,
    Ask,
    Caption,
    Count,
    Detect,
    Point,
    Task,
    question_of,
)
from pipeline.core.wire import VERSION, decode_job, decode_result, encode_job, encode_result

NO_PIXELS = np.zeros((0, 0, 3), np.uint8)

texts = st.text(max_size=12)
names = texts.map(lambda text: text.replace("\0", ""))
wholes = st.integers(0, 2**53)
limits = st.integers(-(10**29), 10**30)
times = st.floats(EARLIEST, LATEST)
places = st.floats(*PLACES)
scores = st.floats(*SCORES)


def placed(size: int) -> st.SearchStrategy[tuple[tuple[Any, ...], tuple[float, ...]]]:
    """Equally many places of `size` numbers and scores."""
    one = st.tuples(st.tuples(*[places] * size), scores)
    return st.lists(one, max_size=4).map(
        lambda found: (tuple(place for place, _ in found), tuple(score for _, score in found))
    )


looked_for = (texts, texts, texts, limits)
tasks: st.SearchStrategy[Task] = st.one_of(
    st.builds(Detect, *looked_for),
    st.builds(Point, *looked_for),
    st.builds(Count, *looked_for),
    st.builds(
        Ask,
        texts,
        texts,
        texts,
        st.sampled_from(("yes/no", "number", "text", "one of")),
        st.lists(texts, max_size=3).map(tuple),
        limits,
    ),
    st.builds(Caption, texts, texts, st.sampled_from(("short", "normal", "long")), limits),
)
answers: st.SearchStrategy[Answer] = st.one_of(
    st.tuples(texts, placed(4), st.booleans()).map(lambda a: Boxes(a[0], a[1][0], a[1][1], a[2])),
    st.tuples(texts, placed(2), st.booleans()).map(lambda a: Points(a[0], a[1][0], a[1][1], a[2])),
    st.builds(Number, texts, st.integers(-(10**29), 10**30), st.none() | scores, st.booleans()),
    st.builds(Text, texts, texts, st.none() | scores),
    st.builds(Failed, texts, texts),
)
sizes = st.tuples(st.integers(1, MOST_SIDE), st.integers(1, MOST_SIDE))
regions = st.lists(
    st.sampled_from(((0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 1 / 3, 0.4), (-0.5, 0.0, 0.1, 1.5))),
    max_size=4,
).map(tuple)
jobs = st.builds(
    lambda camera, run, seq, at, size, engine, ordinal, asked, live, focus: Job(
        Frame(camera, run, seq, at, NO_PIXELS, size), engine, ordinal, tuple(asked), live, focus
    ),
    *(texts, names, wholes, times, sizes, texts, wholes, st.lists(tasks, max_size=4)),
    st.booleans(),
    st.none() | st.builds(Focus, regions, st.lists(texts, max_size=3).map(tuple)),
)
results = st.builds(
    Result,
    *(texts, names, texts, wholes, wholes, times, sizes, st.booleans()),
    st.dictionaries(texts, answers, max_size=4),
    st.booleans(),
    st.none() | st.builds(Health, texts, times, names, texts),
    looked=st.none() | regions,
    looking=st.lists(texts, max_size=3).map(tuple),
)


@given(jobs)
def test_a_job_comes_back_as_it_was(job: Job) -> None:
    """Every kind of task, any text and number; the pixels are those given beside it."""
    got = decode_job(encode_job(job), NO_PIXELS)
    frame, put = got.frame, job.frame
    assert (got.engine, got.ordinal, got.tasks, got.live) == (
        *(job.engine, job.ordinal, job.tasks, job.live),
    )
    assert got.focus == job.focus
    assert (frame.camera, frame.run, frame.seq, frame.size_wh) == (
        *(put.camera, put.run, put.seq, put.size_wh),
    )
    assert frame.captured_at.hex() == put.captured_at.hex()
    assert frame.pixels is NO_PIXELS


@given(results)
def test_a_result_comes_back_as_it_was(result: Result) -> None:
    """Every kind of answer, floats to the last bit and sign, numbers of many digits."""
    got = decode_result(encode_result(result))
    assert got == result
    assert repr(got.captured_at) == repr(result.captured_at)


@pytest.mark.parametrize("flat", [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5, 0.6], [0.1, 0.2, 7.0, 0.3]])
def test_a_region_that_is_none_is_refused(flat: list[float]) -> None:
    """Three numbers, no area, or far outside the picture."""
    job = Job(
        Frame("c", "r", 0, 0.0, NO_PIXELS, (1, 1)),
        *("e", 0, (), True),
        focus=Focus(((0.0, 0.0, 1.0, 1.0),), ("t",)),
    )
    message = msgpack.unpackb(encode_job(job)[1:])
    message[message.index([0.0, 0.0, 1.0, 1.0])] = flat
    with pytest.raises(QueueError, match="`regions`"):
        decode_job(bytes([VERSION]) + msgpack.packb(message), NO_PIXELS)


def test_half_a_character_is_replaced() -> None:
    """A lone surrogate, which no encoding of text has a place for, travels as its replacement."""
    asked = (Ask("a", "e", "is it \ud83d?", choices=("\udfff", "b")),)
    job = Job(Frame("c", "r", 0, 0.0, NO_PIXELS, (1, 1)), "e", 0, asked, live=True)
    assert decode_job(encode_job(job), NO_PIXELS).tasks == (
        Ask("a", "e", "is it \ufffd?", choices=("\ufffd", "b")),
    )
    result = Result("c", "r", "e", 1, 2, 3.5, (4, 5), live=True, answers={"t": Text("e", "\ud800")})
    assert decode_result(encode_result(result)).answers == {"t": Text("e", "\ufffd")}


def test_fields_of_a_later_release_are_passed_over() -> None:
    """What is added at the end of a message, an answer or a camera's state, is no trouble."""
    answers = {"t": ["number", "e", 1, None, False, "new"], "u": ["text", "e", "hm", None, {}]}
    message = msgpack.unpackb(changed(answers=answers, health=["c", 1.0, "black", "", None, 7])[1:])
    read = decode_result(bytes([VERSION]) + msgpack.packb([*message, "new", [1]]))
    assert read.answers == {"t": Number("e", 1), "u": Text("e", "hm")}
    assert read.health == Health("c", 1.0, "black")


def test_fields_of_an_earlier_release_may_be_missing() -> None:
    """What is missing at the end has its default."""
    message = msgpack.unpackb(changed(answers={"t": ["number", "e", 1]})[1:])
    read = decode_result(bytes([VERSION]) + msgpack.packb(message[:10]))
    assert (read.answers, read.last, read.health) == ({"t": Number("e", 1)}, False, None)


def test_every_type_has_a_layout() -> None:
    """A task or answer type that is added must be taught to travel."""
    asked: dict[type, Task] = {
        Detect: Detect("a", "e", "x"),
        Point: Point("a", "e", "x"),
        Count: Count("a", "e", "x"),
        Ask: Ask("a", "e", "x"),
        Caption: Caption("a", "e"),
    }
    told: dict[type, Answer] = {
        Boxes: Boxes("e", (), ()),
        Points: Points("e", (), ()),
        Number: Number("e", 1),
        Text: Text("e", "x"),
        Failed: Failed("e", "x"),
    }
    assert set(asked) == set(TASK_TYPES)
    assert set(told) == set(ANSWER_TYPES)
    job = Job(Frame("c", "r", 0, 0.0, NO_PIXELS, (1, 1)), "e", 0, tuple(asked.values()), live=True)
    assert decode_job(encode_job(job), NO_PIXELS).tasks == job.tasks


def test_health_travels() -> None:
    """A camera's state has no engine and no place in the order, and arrives all the same."""
    result = health_result(Health("door", 12.5, "offline", "timeout"), run="r")
    assert decode_result(encode_result(result)) == result


def test_the_rate_of_a_cameras_clock_travels() -> None:
    """With its state; one that no clock can have is refused."""
    health = Health("door", 12.5, "clock", "stands", 0.84)
    assert decode_result(encode_result(health_result(health))).health == health
    for rate in (float("nan"), float("inf"), 1e300):
        with pytest.raises(QueueError):
            decode_result(encode_result(health_result(replace(health, rate=rate))))


def _read(data: bytes) -> None:
    """Read bytes as both kinds; anything but a QueueError is a crash."""
    for read in (decode_result, lambda data: decode_job(data, NO_PIXELS)):
        with contextlib.suppress(QueueError):
            read(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    """Also behind a right version byte."""
    _read(data)
    _read(bytes([VERSION]) + data)


@given(
    st.one_of(jobs.map(encode_job), results.map(encode_result)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 10_000),
)
def test_damaged_messages_are_refused_or_read(
    data: bytes, flips: list[tuple[int, int]], cut: int
) -> None:
    """Bytes changed and the end cut off: a sentence or a whole message, never a crash."""
    damaged = bytearray(data)
    for at, value in flips:
        damaged[at % len(damaged)] = value
    _read(bytes(damaged))
    _read(bytes(damaged[: cut % (len(damaged) + 1)]))


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | texts
anything = st.recursive(
    leaves | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=20,
)


@given(st.sampled_from(("job", "result")), st.lists(anything, max_size=12))
def test_well_packed_nonsense_is_refused(kind: str, fields: list[Any]) -> None:
    """The right framing around any values."""
    _read(bytes([VERSION]) + msgpack.packb([kind, *fields], unicode_errors="surrogatepass"))


def test_deep_nesting_is_refused() -> None:
    """A message that nests a thousand lists ends in a sentence."""
    _read(bytes([VERSION]) + b"\x91" * 1000 + b"\xc0")


RESULT = Result("c", "r", "e", 1, 2, 3.5, (4, 5), live=True, answers={"t": Number("e", 1)})


def changed(**fields: Any) -> bytes:
    """A result's message with some of its fields replaced."""
    names = [
        *("camera", "run", "engine", "ordinal", "seq", "captured_at"),
        *("size_wh", "live", "answers", "last", "health"),
    ]
    message = msgpack.unpackb(encode_result(RESULT)[1:])
    for name, value in fields.items():
        message[1 + names.index(name)] = value
    return bytes([VERSION]) + bytes(msgpack.packb(message))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "version none"),
        (bytes([VERSION + 1]), "version 2, but this moonwatch reads version 1"),
        (b"\x80\x04\x95", "version 128"),  # a pickle
        (encode_result(RESULT)[:-1], "damaged"),
        (encode_result(RESULT) + b"\x00", "damaged"),
        (changed(camera=7), "`camera`"),
        (changed(ordinal=True), "`ordinal`"),
        (changed(ordinal=-1), "a negative ordinal or seq"),
        (changed(captured_at=math.nan), "`captured_at`"),
        (changed(captured_at="soon"), "`captured_at`"),
        (changed(size_wh=[0, 5]), "no size"),
        (changed(size_wh=[1, 2, 3]), "`size_wh`"),
        (changed(live=1), "`live`"),
        (changed(answers={"t": ["number", "e"]}), "`answers`"),
        (changed(answers={"t": ["boxes", "e", [], [0.5], False]}), "0 numbers are not 1 places"),
        (changed(answers={"t": ["boxes", "e", [0.5], [0.5], False]}), "1 numbers are not 1 places"),
        (changed(answers={"t": ["boxes", "e", [math.inf] * 4, [0.5], False]}), "`answers`"),
        (changed(answers={"t": ["verdict"]}), "`answers`"),
        (changed(health=["c", 1.0]), "`health`"),
        (changed(health=["c", math.inf, "offline", ""]), "`health`"),
    ],
    ids=itertools.count(),
)
def test_what_is_wrong_is_said(data: bytes, words: str) -> None:
    """One sentence names the field or the version."""
    with pytest.raises(QueueError, match=words.replace("(", r"\(")):
        decode_result(data)


def test_a_job_is_no_result() -> None:
    """A message of the other kind is refused, and a picture without a size."""
    job = Job(Frame("c", "r", 0, 0.0, NO_PIXELS, (0, 5)), "e", 0, (), live=True)
    with pytest.raises(QueueError, match="expected a result"):
        decode_result(encode_job(job))
    with pytest.raises(QueueError, match="`size_wh` of a job cannot be read: Expected `int` >= 1"):
        decode_job(encode_job(job), NO_PIXELS)


def test_what_cannot_be_written_is_refused_where_it_is_put() -> None:
    """A value of a foreign type is the sender's mistake."""
    odd = Result("c", "r", "e", 0, 0, 1.0, (1, 1), live=True, answers={"t": Text("e", b"x")})  # type: ignore[arg-type]
    assert encode_result(odd)  # bytes travel, and are refused by the reader
    with pytest.raises(QueueError, match="`answers` of a result cannot be read: Expected `str`"):
        decode_result(encode_result(odd))
    odd = Result("c", "r", "e", 0, 0, 1.0, (1, 1), live=True, answers={"t": Text("e", object())})  # type: ignore[arg-type]
    with pytest.raises(QueueError, match=r"cannot be written: .* type object"):
        encode_result(odd)


def test_a_result_says_what_was_asked() -> None:
    """So that an answer to a question that was edited since is recognised."""
    asked = {"people": question_of(Detect("people", "fast", "person"))}
    result = Result(
        camera="door",
        run="r",
        engine="fast",
        ordinal=0,
        seq=0,
        captured_at=12.5,
        size_wh=(64, 48),
        live=True,
        answers={"people": Boxes("fast", (), ())},
        asked=asked,
    )
    assert decode_result(encode_result(result)) == result
    assert question_of(Detect("humans", "other", "person")) == asked["people"]
    assert question_of(Detect("people", "fast", "car")) != asked["people"]
    assert question_of(Count("people", "fast", "person")) != asked["people"]
