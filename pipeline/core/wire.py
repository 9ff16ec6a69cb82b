"""Jobs and results as bytes: a version byte, then one msgpack array. Pixels are sent separately.

Every value is an array whose first item names it, such as `["detect", id, engine, label, 50]`;
floats are sent exactly. Releases know different fields, so fields are only ever added at the end of
an array: a reader ignores unknown ones and uses defaults for missing ones. Anything else that
cannot be read is an error. Messages of every release are kept in `tests/formats/` and stay
readable.
"""

import math
import re
from functools import lru_cache
from itertools import chain
from typing import Any, Literal

import msgspec

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import QueueError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.measures import Health
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task

VERSION = 1
"""Increased only when a layout changes in a way that an older reader would misunderstand."""

# How many lists of tasks are kept unpacked, and the most bytes that one of them may have.
_REMEMBERED = 256
_LONG = 16_384
# The longest number written in digits: far above any count and far below what is slow to read.
_MAX_DIGITS = 400
_INT_64 = range(-(2**63), 2**64)
_SURROGATES = re.compile("[\ud800-\udfff]")


class _DetectOnWire(msgspec.Struct, array_like=True, tag="detect"):
    id: str
    engine: str
    label: str
    max_objects: int | str = 50


class _PointOnWire(msgspec.Struct, array_like=True, tag="point"):
    id: str
    engine: str
    label: str
    max_objects: int | str = 50


class _CountOnWire(msgspec.Struct, array_like=True, tag="count"):
    id: str
    engine: str
    label: str
    max_objects: int | str = 50


class _AskOnWire(msgspec.Struct, array_like=True, tag="ask"):
    id: str
    engine: str
    question: str
    answers: Literal["yes/no", "number", "text", "one of"] = "text"
    choices: tuple[str, ...] = ()
    max_tokens: int | str = 64


class _CaptionOnWire(msgspec.Struct, array_like=True, tag="caption"):
    id: str
    engine: str
    length: Literal["short", "normal", "long"] = "normal"
    max_tokens: int | str = 256


class _BoxesOnWire(msgspec.Struct, array_like=True, tag="boxes"):
    engine: str
    places: list[float]
    """Four numbers a box."""
    scores: tuple[float, ...]
    saturated: bool = False


class _PointsOnWire(msgspec.Struct, array_like=True, tag="points"):
    engine: str
    places: list[float]
    """Two numbers a point."""
    scores: tuple[float, ...]
    saturated: bool = False


class _NumberOnWire(msgspec.Struct, array_like=True, tag="number"):
    engine: str
    value: int | str
    """As digits where it has more than 64 bits."""
    score: float | None = None
    saturated: bool = False


class _TextOnWire(msgspec.Struct, array_like=True, tag="text"):
    engine: str
    text: str
    yes_probability: float | None = None


class _FailedOnWire(msgspec.Struct, array_like=True, tag="failed"):
    engine: str
    reason: str


class _HealthOnWire(msgspec.Struct, array_like=True):
    camera: str
    at: float
    state: str
    detail: str = ""


class _JobOnWire(msgspec.Struct, array_like=True, tag="job"):
    camera: str
    run: str
    seq: int
    captured_at: float
    size_wh: tuple[int, int]
    engine: str
    ordinal: int
    live: bool
    tasks: bytes
    """A camera's jobs all have the same few tasks, so these are packed separately and cached."""


_AnswerOnWire = _BoxesOnWire | _PointsOnWire | _NumberOnWire | _TextOnWire | _FailedOnWire
_TaskOnWire = _DetectOnWire | _PointOnWire | _CountOnWire | _AskOnWire | _CaptionOnWire


class _ResultOnWire(msgspec.Struct, array_like=True, tag="result"):
    camera: str
    run: str
    engine: str
    ordinal: int
    seq: int
    captured_at: float
    size_wh: tuple[int, int]
    live: bool
    answers: dict[str, _AnswerOnWire] = {}
    last: bool = False
    health: _HealthOnWire | None = None
    asked: dict[str, str] = {}


_encoder = msgspec.msgpack.Encoder()
_read_job = msgspec.msgpack.Decoder(_JobOnWire)
_read_result = msgspec.msgpack.Decoder(_ResultOnWire)
_read_tasks = msgspec.msgpack.Decoder(list[_TaskOnWire])


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
        ),
        "job",
    )


def decode_job(data: bytes, pixels: Pixels) -> Job:
    """The job of `encode_job` with its pixels (H, W, 3) RGB; raises QueueError."""
    read = _unpacked(_read_job, data, "job")
    if min(read.size_wh) < 1:
        raise QueueError(f"a job's picture has no size: {read.size_wh}")
    if min(read.ordinal, read.seq) < 0:
        raise QueueError(f"a job has a negative ordinal or seq: {read.ordinal}, {read.seq}")
    _check_finite("captured_at", read.captured_at)
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
    return Job(frame, read.engine, read.ordinal, tasks_of(read.tasks), read.live)


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
            else _HealthOnWire(health.camera, health.at, health.state, health.detail),
            asked=dict(result.asked),
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
    _check_finite("captured_at", read.captured_at)
    if health is not None:
        _check_finite("health.at", health.at)
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
        else Health(health.camera, health.at, health.state, health.detail),
        asked=read.asked,
    )


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
            _check_finite(task, score or 0.0)
            return Number(engine, _int_of_wire(answer.value), score, saturated)
        case _TextOnWire(engine=engine, text=text, yes_probability=yes_probability):
            _check_finite(task, yes_probability or 0.0)
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
    # A sum is finite only if all its terms are, but it may overflow even then.
    if not (math.isfinite(sum(flat)) and math.isfinite(sum(scores))):
        _check_finite(task, *flat, *scores)
    return tuple(zip(*[iter(flat)] * size, strict=True))


@lru_cache(maxsize=_REMEMBERED)
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
    return value if value in _INT_64 or abs(value) >= 10**_MAX_DIGITS else str(value)


def _int_of_wire(value: int | str) -> int:
    if isinstance(value, int):
        return value
    if len(value) > _MAX_DIGITS + 1 or not re.fullmatch(r"-?[0-9]+", value):
        raise QueueError(f"{value[:40]!r} is not a whole number")
    return int(value)


def _check_finite(name: str, *values: float) -> None:
    if not all(map(math.isfinite, values)):
        raise QueueError(f"`{name}` cannot be read: it holds a number that is not finite")


def _sentence(said: str, type_: Any, kind: str) -> str:
    """The message of a msgspec error, with the name of the field instead of its number."""
    reason, _, place = said.partition(" - at ")
    found = re.match(r"`\$\[(\d+)\]", place)
    if found is None or found[1] == "0" or not issubclass(type_, msgspec.Struct):
        return f"expected a {kind}, got something else: {reason}"
    # The first item is the tag.
    name = type_.__struct_fields__[int(found[1]) - 1]
    return f"`{name}` of a {kind} cannot be read: {reason}"


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
