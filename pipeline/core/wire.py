"""Jobs and results as bytes: a version byte, then one msgpack array. Pixels are sent separately.

Every value is an array whose first item names it, such as `["detect", id, engine, label, 50]`;
floats are sent exactly. Releases know different fields, so fields are only ever added at the end of
an array: a reader ignores unknown ones and uses defaults for missing ones. Anything else that
cannot be read is an error. Messages of every release are kept in `tests/formats/` and stay
readable.

Every number and text has a range (`pipeline.core.ranges`), checked by msgspec while it reads, so
that what is judged can also be stored and delivered.
"""

import re
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import QueueError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.geometry import Box
from pipeline.core.jobs import Focus, Job, Result, unjudgeable_result
from pipeline.core.measures import Health
from pipeline.core.ranges import (
    EARLIEST,
    LATEST,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_ANSWERS,
    MOST_DIGITS,
    MOST_FOUND,
    MOST_NUMBER,
    MOST_ORDINAL,
    MOST_REGIONS,
    MOST_SIDE,
    PLACES,
    SCORES,
    cannot_stand_for,
)
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task

VERSION = 1
"""Increased only when a layout changes in a way that an older reader would misunderstand."""

# How many lists of tasks are kept unpacked, and the most bytes that one of them may have.
_REMEMBERED = 256
_LONG = 16_384
_MOST_TASKS = 1000
_MOST_CHOICES = 1000
_INT_64 = range(-(2**63), 2**64)
_SURROGATES = re.compile("[\ud800-\udfff]")

_Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
_Words = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Ordinal = Annotated[int, msgspec.Meta(ge=0, le=MOST_ORDINAL)]
_Moment = Annotated[float, msgspec.Meta(ge=EARLIEST, le=LATEST)]
# The seconds that a camera's clock can advance in one second.
_Rate = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=MOST_SIDE)]
_SideOrNone = Annotated[int, msgspec.Meta(ge=0, le=MOST_SIDE)]
_Score = Annotated[float, msgspec.Meta(ge=SCORES[0], le=SCORES[1])]
_Place = Annotated[float, msgspec.Meta(ge=PLACES[0], le=PLACES[1])]
_Scores = Annotated[tuple[_Score, ...], msgspec.Meta(max_length=MOST_FOUND)]
_Digits = Annotated[str, msgspec.Meta(max_length=MOST_DIGITS + 1)]


class _DetectOnWire(msgspec.Struct, array_like=True, tag="detect"):
    id: _Name
    engine: _Name
    label: _Words
    max_objects: int | _Digits = 50


class _PointOnWire(msgspec.Struct, array_like=True, tag="point"):
    id: _Name
    engine: _Name
    label: _Words
    max_objects: int | _Digits = 50


class _CountOnWire(msgspec.Struct, array_like=True, tag="count"):
    id: _Name
    engine: _Name
    label: _Words
    max_objects: int | _Digits = 50


class _AskOnWire(msgspec.Struct, array_like=True, tag="ask"):
    id: _Name
    engine: _Name
    question: _Words
    answers: Literal["yes/no", "number", "text", "one of"] = "text"
    choices: Annotated[tuple[_Words, ...], msgspec.Meta(max_length=_MOST_CHOICES)] = ()
    max_tokens: int | _Digits = 64


class _CaptionOnWire(msgspec.Struct, array_like=True, tag="caption"):
    id: _Name
    engine: _Name
    length: Literal["short", "normal", "long"] = "normal"
    max_tokens: int | _Digits = 256


class _BoxesOnWire(msgspec.Struct, array_like=True, tag="boxes"):
    engine: _Name
    places: Annotated[list[_Place], msgspec.Meta(max_length=4 * MOST_FOUND)]
    """Four numbers a box."""
    scores: _Scores
    saturated: bool = False


class _PointsOnWire(msgspec.Struct, array_like=True, tag="points"):
    engine: _Name
    places: Annotated[list[_Place], msgspec.Meta(max_length=2 * MOST_FOUND)]
    """Two numbers a point."""
    scores: _Scores
    saturated: bool = False


class _NumberOnWire(msgspec.Struct, array_like=True, tag="number"):
    engine: _Name
    value: int | _Digits
    """As digits where it has more than 64 bits."""
    score: _Score | None = None
    saturated: bool = False


class _TextOnWire(msgspec.Struct, array_like=True, tag="text"):
    engine: _Name
    text: _Words
    yes_probability: _Score | None = None


class _FailedOnWire(msgspec.Struct, array_like=True, tag="failed"):
    engine: _Name
    reason: _Words


class _HealthOnWire(msgspec.Struct, array_like=True):
    camera: _Name
    at: _Moment
    state: _Name
    detail: _Words = ""
    rate: _Rate | None = None


_Regions = Annotated[list[_Place], msgspec.Meta(max_length=4 * MOST_REGIONS)]
"""Four numbers a region."""


class _JobOnWire(msgspec.Struct, array_like=True, tag="job"):
    camera: _Name
    run: _Name
    seq: _Ordinal
    captured_at: _Moment
    size_wh: tuple[_Side, _Side]
    engine: _Name
    ordinal: _Ordinal
    live: bool
    tasks: bytes
    """A camera's jobs all have the same few tasks, so these are packed separately and cached."""
    regions: _Regions | None = None
    looking: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MOST_TASKS)] = ()
    """The tasks that look at the regions alone."""


_AnswerOnWire = _BoxesOnWire | _PointsOnWire | _NumberOnWire | _TextOnWire | _FailedOnWire
_TaskOnWire = _DetectOnWire | _PointOnWire | _CountOnWire | _AskOnWire | _CaptionOnWire


class _ResultOnWire(msgspec.Struct, array_like=True, tag="result"):
    camera: _Name
    run: _Name
    engine: _Name
    ordinal: Annotated[int, msgspec.Meta(ge=-1, le=MOST_ORDINAL)]
    """-1 of a result that carries a camera's state."""
    seq: Annotated[int, msgspec.Meta(ge=-1, le=MOST_ORDINAL)]
    captured_at: _Moment
    size_wh: tuple[_SideOrNone, _SideOrNone]
    live: bool
    answers: Annotated[dict[_Name, _AnswerOnWire], msgspec.Meta(max_length=MOST_ANSWERS)] = {}
    last: bool = False
    health: _HealthOnWire | None = None
    asked: Annotated[dict[_Name, _Words], msgspec.Meta(max_length=MOST_ANSWERS)] = {}
    looked: _Regions | None = None
    looking: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MOST_TASKS)] = ()


class _ResultsPlaceOnWire(msgspec.Struct, array_like=True, tag="result"):
    """A result of which only its place in the order is read."""

    camera: _Name
    run: _Name
    engine: _Name
    ordinal: _Ordinal
    seq: msgspec.Raw
    captured_at: msgspec.Raw
    size_wh: msgspec.Raw
    live: bool
    answers: msgspec.Raw = msgspec.Raw()
    last: msgspec.Raw = msgspec.Raw()
    health: msgspec.Raw = msgspec.Raw()


_NONE, _TRUE = msgspec.msgpack.encode(None), msgspec.msgpack.encode(True)
_encoder = msgspec.msgpack.Encoder()
_read_job = msgspec.msgpack.Decoder(_JobOnWire)
_read_result = msgspec.msgpack.Decoder(_ResultOnWire)
_read_place = msgspec.msgpack.Decoder(_ResultsPlaceOnWire)
_read_tasks = msgspec.msgpack.Decoder(
    Annotated[list[_TaskOnWire], msgspec.Meta(max_length=_MOST_TASKS)]
)


def encode_job(job: Job) -> bytes:
    """A job without its pixels; raises QueueError."""
    frame = job.frame
    return _packed(
        _JobOnWire(
            camera=frame.camera,
            run=frame.run,
            seq=frame.seq,
            captured_at=frame.captured_at,
            size_wh=frame.size_wh,
            engine=job.engine,
            ordinal=job.ordinal,
            live=job.live,
            tasks=_encoded([_task_to_wire(task) for task in job.tasks], "job"),
            regions=None if job.focus is None else list(chain.from_iterable(job.focus.regions)),
            looking=() if job.focus is None else job.focus.tasks,
        ),
        "job",
    )


def decode_job(data: bytes, pixels: Pixels) -> Job:
    """The job of `encode_job` with its pixels (H, W, 3) RGB; raises QueueError."""
    read = _unpacked(_read_job, data, "job")
    _check_name("run", read.run)
    frame = Frame(
        camera=read.camera,
        run=read.run,
        seq=read.seq,
        captured_at=read.captured_at,
        pixels=pixels,
        size_wh=read.size_wh,
    )
    # What is remembered is bounded, in number and in length.
    tasks_of = _unpacked_tasks if len(read.tasks) <= _LONG else _unpacked_tasks.__wrapped__
    focus = None
    if read.regions is not None:
        focus = Focus(_regions("regions", read.regions), read.looking)
    return Job(frame, read.engine, read.ordinal, tasks_of(read.tasks), read.live, focus)


def encode_result(result: Result) -> bytes:
    """A result with all its answers; raises QueueError."""
    health = result.health
    return _packed(
        _ResultOnWire(
            camera=result.camera,
            run=result.run,
            engine=result.engine,
            ordinal=result.ordinal,
            seq=result.seq,
            captured_at=result.captured_at,
            size_wh=result.size_wh,
            live=result.live,
            answers={task: _answer_to_wire(answer) for task, answer in result.answers.items()},
            last=result.last,
            health=None
            if health is None
            else _HealthOnWire(health.camera, health.at, health.state, health.detail, health.rate),
            asked=dict(result.asked),
            looked=None if result.looked is None else list(chain.from_iterable(result.looked)),
            looking=result.looking,
        ),
        "result",
    )


def decode_result(data: bytes) -> Result:
    """The result of `encode_result`; raises QueueError."""
    read = _unpacked(_read_result, data, "result")
    health = read.health
    if health is None and min(read.ordinal, read.seq) < 0:
        raise QueueError(f"a result has a negative ordinal or seq: {read.ordinal}, {read.seq}")
    if health is None and not read.last and min(read.size_wh) < 1:
        raise QueueError(f"a result's picture has no size: {read.size_wh}")
    _check_name("run", read.run)
    if health is not None:
        _check_name("health.state", health.state)
    return Result(
        camera=read.camera,
        run=read.run,
        engine=read.engine,
        ordinal=read.ordinal,
        seq=read.seq,
        captured_at=read.captured_at,
        size_wh=read.size_wh,
        live=read.live,
        answers={task: _answer_of_wire(task, answer) for task, answer in read.answers.items()},
        last=read.last,
        health=None
        if health is None
        else Health(health.camera, health.at, health.state, health.detail, health.rate),
        asked=read.asked,
        looked=None if read.looked is None else _regions("looked", read.looked),
        looking=read.looking,
    )


def place_of_result(data: bytes) -> Result | None:
    """The place in the order of a result that `decode_result` refuses, with nothing to judge.

    Without it the results after it would wait for one that never comes. None where even that is
    not known.
    """
    try:
        read = _unpacked(_read_place, data, "result")
        _check_name("run", read.run)
    except QueueError:
        return None
    if bytes(read.health) not in (b"", _NONE):
        return None
    last = bytes(read.last) == _TRUE
    return unjudgeable_result(
        read.camera, read.run, read.engine, read.ordinal, live=read.live, last=last
    )


def place_in_order(camera: str, run: str, engine: str, ordinal: int, *, live: bool) -> Result:
    """The same of a job that nobody can read, from the names beside it; raises QueueError."""
    for name, value in (("camera", camera), ("run", run), ("engine", engine)):
        _check_name(name, value)
        if len(value) > LONGEST_NAME:
            raise QueueError(f"`{name}` is longer than {LONGEST_NAME} characters")
    if not 0 <= ordinal <= MOST_ORDINAL:
        raise QueueError(f"`ordinal` is not 0 to {MOST_ORDINAL}")
    return unjudgeable_result(camera, run, engine, ordinal, live=live)


def _answer_to_wire(answer: Answer) -> _AnswerOnWire:
    match answer:
        case Boxes(engine, boxes, scores, saturated):
            return _BoxesOnWire(engine, list(chain.from_iterable(boxes)), scores, saturated)
        case Points(engine, points, scores, saturated):
            return _PointsOnWire(engine, list(chain.from_iterable(points)), scores, saturated)
        case Number(engine, value, score, saturated):
            return _NumberOnWire(engine, _int_to_wire(value), score, saturated)
        case Text(engine, text, yes_probability):
            return _TextOnWire(engine, text, yes_probability)
        case Failed(engine, reason):
            return _FailedOnWire(engine, reason)


def _answer_of_wire(task: str, answer: _AnswerOnWire) -> Answer:
    match answer:
        case _BoxesOnWire(engine=engine, scores=scores, saturated=saturated):
            boxes: Any = _places(task, answer.places, 4, scores)
            return Boxes(engine, boxes, scores, saturated)
        case _PointsOnWire(engine=engine, scores=scores, saturated=saturated):
            points: Any = _places(task, answer.places, 2, scores)
            return Points(engine, points, scores, saturated)
        case _NumberOnWire(engine=engine, score=score, saturated=saturated):
            return Number(engine, _int_of_wire(answer.value), score, saturated)
        case _TextOnWire(engine=engine, text=text, yes_probability=yes_probability):
            return Text(engine, text, yes_probability)
        case _FailedOnWire(engine=engine, reason=reason):
            return Failed(engine, reason)


def _places(
    task: str, flat: list[float], size: int, scores: tuple[float, ...]
) -> tuple[tuple[float, ...], ...]:
    """Split a list of numbers into places of `size` numbers each, one for each score."""
    if len(flat) != size * len(scores):
        raise QueueError(
            f"`{task}` cannot be read: {len(flat)} numbers are not {len(scores)} places of {size}"
        )
    return tuple(zip(*[iter(flat)] * size, strict=True))


def _regions(name: str, flat: list[float]) -> tuple[Box, ...]:
    if len(flat) % 4:
        raise QueueError(f"`{name}` cannot be read: {len(flat)} numbers are not places of 4")
    regions: Any = tuple(zip(*[iter(flat)] * 4, strict=True))
    for x_min, y_min, x_max, y_max in regions:
        if not (x_min < x_max and y_min < y_max):
            raise QueueError(f"`{name}` cannot be read: a region has no area")
    checked: tuple[Box, ...] = regions
    return checked


@lru_cache(maxsize=_REMEMBERED)
def _unpacked_tasks(data: bytes) -> tuple[Task, ...]:
    return tuple(_task_of_wire(task) for task in _decoded(_read_tasks, data, "job"))


def _task_to_wire(task: Task) -> _TaskOnWire:
    match task:
        case Detect(id=id_, engine=engine, label=label, max_objects=limit):
            return _DetectOnWire(id_, engine, label, _int_to_wire(limit))
        case Point(id=id_, engine=engine, label=label, max_objects=limit):
            return _PointOnWire(id_, engine, label, _int_to_wire(limit))
        case Count(id=id_, engine=engine, label=label, max_objects=limit):
            return _CountOnWire(id_, engine, label, _int_to_wire(limit))
        case Ask(id=id_, engine=engine, question=question, answers=answers, choices=choices):
            limit = task.max_tokens
            return _AskOnWire(id_, engine, question, answers, choices, _int_to_wire(limit))
        case Caption(id=id_, engine=engine, length=length, max_tokens=limit):
            return _CaptionOnWire(id_, engine, length, _int_to_wire(limit))


def _task_of_wire(task: _TaskOnWire) -> Task:
    match task:
        case _DetectOnWire(id=id_, engine=engine, label=label, max_objects=limit):
            return Detect(id_, engine, label, _int_of_wire(limit))
        case _PointOnWire(id=id_, engine=engine, label=label, max_objects=limit):
            return Point(id_, engine, label, _int_of_wire(limit))
        case _CountOnWire(id=id_, engine=engine, label=label, max_objects=limit):
            return Count(id_, engine, label, _int_of_wire(limit))
        case _AskOnWire(id=id_, engine=engine, question=question, answers=answers):
            limit = _int_of_wire(task.max_tokens)
            return Ask(id_, engine, question, answers, task.choices, limit)
        case _CaptionOnWire(id=id_, engine=engine, length=length, max_tokens=limit):
            return Caption(id_, engine, length, _int_of_wire(limit))


def _int_to_wire(value: int) -> int | str:
    """Integers beyond 64 bits are sent as digits."""
    return value if value in _INT_64 or abs(value) > 10**MOST_DIGITS else str(value)


def _int_of_wire(value: int | str) -> int:
    if isinstance(value, int):
        return value
    if not re.fullmatch(r"-?[0-9]+", value):
        raise QueueError(f"{value[:40]!r} is not a whole number")
    number = int(value)
    if abs(number) > MOST_NUMBER:
        raise QueueError(f"{value} is beyond any number that is counted or read")
    return number


def _check_name(name: str, value: str) -> None:
    if cannot_stand_for(value):
        raise QueueError(f"`{name}` cannot be read: it holds a null character")


def _sentence(said: str, type_: Any, kind: str) -> str:
    """The message of a msgspec error, with the name of the field instead of its number."""
    reason, _, place = said.partition(" - at ")
    found = re.match(r"`\$\[(\d+)\]", place)
    fields = getattr(type_, "__struct_fields__", ())
    if found is None or not 0 < int(found[1]) <= len(fields):
        return f"expected a {kind}, got something else: {reason}"
    # The first item is the tag.
    return f"`{fields[int(found[1]) - 1]}` of a {kind} cannot be read: {reason}"


def _packed(message: msgspec.Struct, kind: str) -> bytes:
    return bytes([VERSION]) + _encoded(message, kind)


def _encoded(value: Any, kind: str) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        # Half a character, which a model or a camera may produce, cannot be encoded in UTF-8.
        return _encoder.encode(_without_surrogates(msgspec.to_builtins(value)))
    except (TypeError, ValueError, OverflowError) as error:
        raise QueueError(f"a {kind} cannot be written: {error}") from error


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", value)
        case dict():
            return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value


def _unpacked(decoder: "msgspec.msgpack.Decoder[Any]", data: bytes, kind: str) -> Any:
    if not data or data[0] != VERSION:
        version = data[0] if data else "none"
        raise QueueError(
            f"a {kind} has version {version}, but this moonwatch reads version {VERSION}; "
            "run the same release in all processes"
        )
    return _decoded(decoder, data[1:], kind)


def _decoded(decoder: "msgspec.msgpack.Decoder[Any]", data: bytes, kind: str) -> Any:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise QueueError(_sentence(str(error), decoder.type, kind)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise QueueError(f"a {kind} is damaged: {type(error).__name__}") from error
