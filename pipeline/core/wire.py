"""Jobs and results as bytes: a version byte, then one msgpack array. Pixels travel beside them.

Every value is a list whose first item names it, such as `["detect", id, engine, label, 50]`; floats
travel as they are, to the last bit. What is not understood in full is refused with a sentence.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgpack  # type: ignore[import-untyped]

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import QueueError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.measures import Health
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point

VERSION = 1
"""Raised with every change of a layout below, so that an older reader refuses what is newer."""

_Reader = Callable[[Any], Any]
_Layout = tuple[type[Any], tuple[tuple[str, _Reader], ...]]
# Longest number written in digits, far above any count and far below what is slow to read.
_MAX_DIGITS = 400


def encode_job(job: Job) -> bytes:
    """A job without its pixels."""
    frame = job.frame
    tasks = [_write(task, _TASK_TAGS) for task in job.tasks]
    return _pack(
        "job",
        *(frame.camera, frame.run, frame.seq, frame.captured_at, frame.size_wh),
        *(job.engine, job.ordinal, job.live, tasks),
    )


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
    try:
        packed = msgpack.packb(message, default=_digits, unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError) as error:
        raise QueueError(f"a {message[0]} cannot be written: {error}") from error
    return bytes([VERSION]) + bytes(packed)


def _digits(value: object) -> str:
    """Whole numbers beyond 64 bits are written in digits; everything else is a mistake."""
    if isinstance(value, int) and abs(value) < 10**_MAX_DIGITS:
        return str(value)
    raise TypeError(f"{type(value).__name__} does not travel")


def _unpack(data: bytes, kind: str) -> list[Any]:
    if not data or data[0] != VERSION:
        version = data[0] if data else "none"
        raise QueueError(
            f"a {kind} has version {version}, this moonwatch reads version {VERSION}; "
            "let all processes run the same release"
        )
    try:
        message = msgpack.unpackb(data[1:], unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise QueueError(f"a {kind} is damaged: {type(error).__name__}") from error
    if not isinstance(message, list) or not message or message[0] != kind:
        raise QueueError(f"a {kind} was expected, and something else came")
    return message[1:]


def _read_fields(values: list[Any], layout: tuple[tuple[str, _Reader], ...]) -> dict[str, Any]:
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
    return [tag, *(getattr(value, name) for name, _ in _LAYOUTS[tag][1])]


def _tagged(tags: Mapping[type[Any], str]) -> _Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or not value or value[0] not in tags.values():
            raise ValueError(f"{_shown(value)} is none of {', '.join(tags.values())}")
        kind, fields = _LAYOUTS[value[0]]
        made = kind(**_read_fields(value[1:], fields))
        if isinstance(made, Boxes | Points):
            found = made.boxes_xyxy if isinstance(made, Boxes) else made.points_xy
            if len(found) != len(made.scores):
                raise ValueError(f"{len(found)} places with {len(made.scores)} scores")
        return made

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no text")  # noqa: TRY004 - all readers raise alike
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is neither true nor false")  # noqa: TRY004 - as above
    return value


def _whole(value: Any) -> int:
    if isinstance(value, str) and len(value) <= _MAX_DIGITS + 1:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{_shown(value)} is no whole number")  # noqa: TRY004 - as above
    return value


def _finite(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_shown(value)} is no number")
    return float(value)


def _many(reader: _Reader, exactly: int | None = None) -> _Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or (exactly is not None and len(value) != exactly):
            raise ValueError(f"{_shown(value)} is no list of {exactly or 'any number'}")
        return tuple(map(reader, value))

    return read


def _places(size: int) -> _Reader:
    """Lists of `size` numbers each; the shape of nearly all that travels, so it is quick."""
    slowly = _many(_many(_finite, size))

    def read(value: Any) -> tuple[tuple[float, ...], ...]:
        if isinstance(value, list):
            flat = [number for one in value if type(one) is list for number in one]
            if (
                {type(number) for number in flat} <= {float}
                and all(map(math.isfinite, flat))
                and all(type(one) is list and len(one) == size for one in value)
            ):
                return tuple(map(tuple, value))
        found: tuple[tuple[float, ...], ...] = slowly(value)
        return found

    return read


def _optional(reader: _Reader) -> _Reader:
    return lambda value: None if value is None else reader(value)


def _one_of(*words: str) -> _Reader:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{_shown(value)} is none of {', '.join(words)}")
        return str(value)

    return read


def _answers(value: Any) -> dict[str, Answer]:
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is no map")  # noqa: TRY004 - as above
    return {_text(task): _ANSWER(answer) for task, answer in value.items()}


def _health(value: Any) -> Health | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError(f"{_shown(value)} is no list")  # noqa: TRY004 - as above
    return Health(**_read_fields(value, _HEALTH))


def _shown(value: Any) -> str:
    text = type(value).__name__ if isinstance(value, list | dict) else ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


_SIZE = _many(_whole, 2)
_ASKED = (("id", _text), ("engine", _text))
_LOOKED_FOR = (*_ASKED, ("label", _text), ("max_objects", _whole))
_FOUND = (("scores", _many(_finite)), ("saturated", _flag))
_LAYOUTS: dict[str, _Layout] = {
    "detect": (Detect, _LOOKED_FOR),
    "point": (Point, _LOOKED_FOR),
    "count": (Count, _LOOKED_FOR),
    "ask": (
        Ask,
        (
            *_ASKED,
            ("question", _text),
            ("answers", _one_of("yes/no", "number", "text", "one of")),
            ("choices", _many(_text)),
            ("max_tokens", _whole),
        ),
    ),
    "caption": (
        Caption,
        (*_ASKED, ("length", _one_of("short", "normal", "long")), ("max_tokens", _whole)),
    ),
    "boxes": (Boxes, (("engine", _text), ("boxes_xyxy", _places(4)), *_FOUND)),
    "points": (Points, (("engine", _text), ("points_xy", _places(2)), *_FOUND)),
    "number": (
        Number,
        (("engine", _text), ("value", _whole), ("score", _optional(_finite)), ("saturated", _flag)),
    ),
    "text": (Text, (("engine", _text), ("text", _text), ("yes_probability", _optional(_finite)))),
    "failed": (Failed, (("engine", _text), ("reason", _text))),
}
_TASK_TAGS: dict[type[Any], str] = {
    _LAYOUTS[tag][0]: tag for tag in ("detect", "point", "count", "ask", "caption")
}
_ANSWER_TAGS: dict[type[Any], str] = {
    _LAYOUTS[tag][0]: tag for tag in ("boxes", "points", "number", "text", "failed")
}
_ANSWER = _tagged(_ANSWER_TAGS)
_PLACE = (("camera", _text), ("run", _text))
_JOB: tuple[tuple[str, _Reader], ...] = (
    *_PLACE,
    ("seq", _whole),
    ("captured_at", _finite),
    ("size_wh", _SIZE),
    ("engine", _text),
    ("ordinal", _whole),
    ("live", _flag),
    ("tasks", _many(_tagged(_TASK_TAGS))),
)
_RESULT: tuple[tuple[str, _Reader], ...] = (
    *_PLACE,
    ("engine", _text),
    ("ordinal", _whole),
    ("seq", _whole),
    ("captured_at", _finite),
    ("size_wh", _SIZE),
    ("live", _flag),
    ("answers", _answers),
    ("last", _flag),
    ("health", _health),
)
_HEALTH: tuple[tuple[str, _Reader], ...] = (
    ("camera", _text),
    ("at", _finite),
    ("state", _text),
    ("detail", _text),
)
