"""Jobs and results as bytes: a version byte, then one msgpack array. Pixels travel beside them.

Every value is a list whose first item names it, such as `["detect", id, engine, label, 50]`; floats
travel as they are, to the last bit. What is not understood in full is refused with a sentence.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgpack  # type: ignore[import-untyped]

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import QueueError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.measures import Health
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.core.wire_fields import (
    MAX_DIGITS,
    Reader,
    finite,
    flag,
    flattened,
    many,
    numbers,
    one_of,
    optional,
    places,
    shown,
    text,
    whole,
)

VERSION = 1
"""Raised with every change of a layout below, so that an older reader refuses what is newer."""

_Layout = tuple[type[Any], tuple[tuple[str, Reader], ...]]
# Lists of tasks that are kept unpacked, and the length in bytes of the longest of them.
_REMEMBERED = 256
_LONG = 16_384


def encode_job(job: Job) -> bytes:
    """A job without its pixels."""
    frame = job.frame
    return _pack(
        "job",
        *(frame.camera, frame.run, frame.seq, frame.captured_at, frame.size_wh),
        *(job.engine, job.ordinal, job.live, _packed_tasks(job.tasks)),
    )


@lru_cache(maxsize=_REMEMBERED)
def _packed_tasks(tasks: tuple[Task, ...]) -> bytes:
    """A camera's jobs all have the same few tasks, so these travel packed once more."""
    return _packed([_write(task, _TASK_TAGS) for task in tasks], "job")


def decode_job(data: bytes, pixels: Pixels) -> Job:
    """The job of `encode_job` with its pixels (H, W, 3) RGB; raises QueueError."""
    read = _read_fields(_unpack(data, "job"), _JOB)
    frame = Frame(
        camera=read["camera"],
        run=read["run"],
        seq=read["seq"],
        captured_at=read["captured_at"],
        pixels=pixels,
        size_wh=read["size_wh"],
    )
    if min(frame.size_wh) < 1:
        raise QueueError(f"a job's picture has no size: {frame.size_wh}")
    return Job(frame, read["engine"], read["ordinal"], read["tasks"], read["live"])


def encode_result(result: Result) -> bytes:
    """A result with all its answers."""
    answers = {task: _write(answer, _ANSWER_TAGS) for task, answer in result.answers.items()}
    health = result.health
    told = [health.camera, health.at, health.state, health.detail] if health else None
    return _pack(
        "result",
        *(result.camera, result.run, result.engine, result.ordinal, result.seq),
        *(result.captured_at, result.size_wh, result.live, answers, result.last, told),
    )


def decode_result(data: bytes) -> Result:
    """The result of `encode_result`; raises QueueError."""
    result = Result(**_read_fields(_unpack(data, "result"), _RESULT))
    if result.health is None and min(result.ordinal, result.seq) < 0:
        raise QueueError(f"a result has no place in the order: {result.ordinal}, {result.seq}")
    if result.health is None and not result.last and min(result.size_wh) < 1:
        raise QueueError(f"a result's picture has no size: {result.size_wh}")
    return result


def _pack(*message: Any) -> bytes:
    return bytes([VERSION]) + _packed(message, message[0])


def _packed(value: Any, kind: str) -> bytes:
    try:
        return bytes(msgpack.packb(value, default=_digits, unicode_errors="surrogatepass"))
    except (TypeError, ValueError, OverflowError) as error:
        raise QueueError(f"a {kind} cannot be written: {error}") from error


def _digits(value: object) -> str:
    """Whole numbers beyond 64 bits are written in digits; everything else is a mistake."""
    if isinstance(value, int) and abs(value) < 10**MAX_DIGITS:
        return str(value)
    raise TypeError(f"{type(value).__name__} does not travel")


def _unpack(data: bytes, kind: str) -> list[Any]:
    if not data or data[0] != VERSION:
        version = data[0] if data else "none"
        raise QueueError(
            f"a {kind} has version {version}, this moonwatch reads version {VERSION}; "
            "let all processes run the same release"
        )
    message = _unpacked(data[1:], kind)
    if not isinstance(message, list) or not message or message[0] != kind:
        raise QueueError(f"a {kind} was expected, and something else came")
    return message[1:]


def _unpacked(data: bytes, kind: str) -> Any:
    try:
        return msgpack.unpackb(data, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise QueueError(f"a {kind} is damaged: {type(error).__name__}") from error


def _tasks(value: Any) -> tuple[Task, ...]:
    if not isinstance(value, bytes):
        raise ValueError(f"{shown(value)} is no packed list")  # noqa: TRY004 - all readers raise alike
    # What is remembered is bounded, in number and in length.
    return _unpacked_tasks(value) if len(value) <= _LONG else _unpacked_tasks.__wrapped__(value)


@lru_cache(maxsize=_REMEMBERED)
def _unpacked_tasks(value: bytes) -> tuple[Task, ...]:
    found: tuple[Task, ...] = many(_tagged(_TASK_TAGS))(_unpacked(value, "job"))
    return found


def _read_fields(values: list[Any], layout: tuple[tuple[str, Reader], ...]) -> dict[str, Any]:
    if len(values) != len(layout):
        raise QueueError(f"{len(layout)} fields were expected, {len(values)} came")
    read = {}
    name = ""
    try:
        for (name, reader), value in zip(layout, values, strict=True):
            read[name] = reader(value)
    except ValueError as error:
        raise QueueError(f"`{name}` cannot be read: {error}") from error
    return read


def _write(value: Any, tags: Mapping[type[Any], str]) -> list[Any]:
    tag = tags[type(value)]
    fields = [getattr(value, name) for name, _ in _LAYOUTS[tag][1]]
    if isinstance(value, Boxes | Points):
        fields[1] = flattened(fields[1])
    return [tag, *fields]


def _tagged(tags: Mapping[type[Any], str]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or not value or value[0] not in tags.values():
            raise ValueError(f"{shown(value)} is none of {', '.join(tags.values())}")
        kind, fields = _LAYOUTS[value[0]]
        made = kind(**_read_fields(value[1:], fields))
        if isinstance(made, Boxes | Points):
            found = made.boxes_xyxy if isinstance(made, Boxes) else made.points_xy
            if len(found) != len(made.scores):
                raise ValueError(f"{len(found)} places with {len(made.scores)} scores")
        return made

    return read


def _answers(value: Any) -> dict[str, Answer]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no map")  # noqa: TRY004 - as above
    return {text(task): _ANSWER(answer) for task, answer in value.items()}


def _health(value: Any) -> Health | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError(f"{shown(value)} is no list")  # noqa: TRY004 - as above
    return Health(**_read_fields(value, _HEALTH))


_SIZE = many(whole, 2)
_ASKED = (("id", text), ("engine", text))
_LOOKED_FOR = (*_ASKED, ("label", text), ("max_objects", whole))
_FOUND = (("scores", numbers), ("saturated", flag))
_LAYOUTS: dict[str, _Layout] = {
    "detect": (Detect, _LOOKED_FOR),
    "point": (Point, _LOOKED_FOR),
    "count": (Count, _LOOKED_FOR),
    "ask": (
        Ask,
        (
            *_ASKED,
            ("question", text),
            ("answers", one_of("yes/no", "number", "text", "one of")),
            ("choices", many(text)),
            ("max_tokens", whole),
        ),
    ),
    "caption": (
        Caption,
        (*_ASKED, ("length", one_of("short", "normal", "long")), ("max_tokens", whole)),
    ),
    "boxes": (Boxes, (("engine", text), ("boxes_xyxy", places(4)), *_FOUND)),
    "points": (Points, (("engine", text), ("points_xy", places(2)), *_FOUND)),
    "number": (
        Number,
        (("engine", text), ("value", whole), ("score", optional(finite)), ("saturated", flag)),
    ),
    "text": (Text, (("engine", text), ("text", text), ("yes_probability", optional(finite)))),
    "failed": (Failed, (("engine", text), ("reason", text))),
}
_TASK_TAGS: dict[type[Any], str] = {
    _LAYOUTS[tag][0]: tag for tag in ("detect", "point", "count", "ask", "caption")
}
_ANSWER_TAGS: dict[type[Any], str] = {
    _LAYOUTS[tag][0]: tag for tag in ("boxes", "points", "number", "text", "failed")
}
_ANSWER = _tagged(_ANSWER_TAGS)
_PLACE = (("camera", text), ("run", text))
_JOB: tuple[tuple[str, Reader], ...] = (
    *_PLACE,
    ("seq", whole),
    ("captured_at", finite),
    ("size_wh", _SIZE),
    ("engine", text),
    ("ordinal", whole),
    ("live", flag),
    ("tasks", _tasks),
)
_RESULT: tuple[tuple[str, Reader], ...] = (
    *_PLACE,
    ("engine", text),
    ("ordinal", whole),
    ("seq", whole),
    ("captured_at", finite),
    ("size_wh", _SIZE),
    ("live", flag),
    ("answers", _answers),
    ("last", flag),
    ("health", _health),
)
_HEALTH: tuple[tuple[str, Reader], ...] = (
    ("camera", text),
    ("at", finite),
    ("state", text),
    ("detail", text),
)
