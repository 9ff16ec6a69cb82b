"""What was seen, so that it can be judged again: every result of a camera, as it was judged.

Positions without pictures, kept for some days. A minute of one camera and engine is one compressed
block; what is kept of a minute that is not over are tails, one for each commit, which are cheap to
write.

Places and scores are rounded to 5 decimals *before* they are judged, so that what is judged again
is the same to the last bit: see `snapped`.
"""

import re
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

import msgspec

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import StoreError
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result
from pipeline.core.measures import BUCKET_S
from pipeline.core.store import EVER, Span

DECIMALS: Final = 5
"""Of places and scores; a hundredth of a pixel in a picture of a thousand."""
_STEPS = 10.0**DECIMALS

# The first byte of what is kept. What these mean never changes; other layouts get other numbers.
_BLOCK, _TAIL = 1, 65
# Far beyond a minute of any camera; what claims to hold more is damaged.
_MOST_BYTES = 512 * 1024 * 1024
_LEVEL = 6
_INT_64 = range(-(2**63), 2**63)
_LAST, _LIVE, _UNJUDGEABLE, _LOOKED = 1, 2, 4, 8
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ObservedFrame:
    """A result as it was judged, and what was made of it.

    Frames whose numbers are missing in between were never judged: their results did not come.
    """

    result: Result
    tracks: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """By task, the id of the confirmed track of each box of its answer; None for a box without."""


@dataclass(frozen=True, slots=True)
class ObservationBlock:
    """A minute of one camera and engine, compressed; `frames_of` opens it.

    There may be several of one minute, in order: of several runs, or where a clock was set back.
    """

    camera: str
    engine: str
    minute: int
    """The start of the minute in UTC seconds, a multiple of 60."""
    frames: int
    content: bytes


@dataclass(frozen=True, slots=True)
class ObservationTail:
    """Frames that were judged since the last commit, all of one camera, engine, run and minute."""

    camera: str
    engine: str
    run: str
    minute: int
    frames: int
    content: bytes
    begins: bool = False
    """Whether the minute begins: earlier tails of this camera and engine become blocks."""
    ends: bool = False
    """Whether the run ends: this one becomes a block as well."""
    anew: bool = False
    """Whether the run is played from its beginning: it replaces what was kept of it earlier."""


@dataclass(frozen=True, slots=True)
class Waypoint:
    """The whole state of a judge, as in a checkpoint, before it judged a certain result."""

    camera: str
    engine: str
    run: str
    ordinal: int
    """That of the result."""
    at: float
    """When the result's picture was captured, UTC seconds."""
    state: JsonValue


@dataclass(frozen=True, slots=True)
class ObservedSpan:
    """What is kept of one camera and engine."""

    camera: str
    engine: str
    first: int
    """The start of the first minute, UTC seconds."""
    last: int
    """The start of the last one."""
    blocks: int
    frames: int
    bytes: int


class ObservationHistory(Protocol):
    """What was seen, to be read. Every method raises StoreError when it cannot be read."""

    def observations(
        self,
        camera: str,
        engine: str | None = None,
        span: Span = EVER,
        *,
        newest_first: bool = False,
    ) -> Iterator[ObservationBlock]:
        """Blocks by minute and, within one, in the order of judging; read as they are asked for.

        A minute belongs to the span if a part of it does. The newest first means the newest minute
        first; blocks of one minute stay in the order of judging.
        """
        ...

    def waypoints(
        self, camera: str, engine: str | None = None, span: Span = EVER
    ) -> Sequence[Waypoint]:
        """States to begin from, by time: one an hour, at each start and whenever a lane begins."""
        ...

    def observed(self) -> Sequence[ObservedSpan]:
        """What is kept, by camera and engine."""
        ...


def minute_of(at: float) -> int:
    """The start of the minute of a moment."""
    return int(at // BUCKET_S) * int(BUCKET_S)


def snapped(result: Result) -> Result:
    """The result with places and scores rounded to 5 decimals, as it is judged and kept."""
    answers = result.answers
    if not any(isinstance(answer, Boxes | Points) for answer in answers.values()):
        if result.looked is None:
            return result
    else:
        answers = {task: _snapped_answer(answer) for task, answer in answers.items()}
    looked = result.looked
    if looked is not None:
        looked = _snapped_boxes(looked)
    return replace(result, answers=answers, looked=looked)


def _snapped_answer(answer: Answer) -> Answer:
    match answer:
        case Boxes(engine, boxes, scores, saturated):
            return Boxes(engine, _snapped_boxes(boxes), _snapped_scores(scores), saturated)
        case Points(engine, points, scores, saturated):
            spots = tuple(
                [(round(x * _STEPS) / _STEPS, round(y * _STEPS) / _STEPS) for x, y in points]
            )
            return Points(engine, spots, _snapped_scores(scores), saturated)
        case _:
            return answer


def _snapped_boxes(boxes: Sequence[Box]) -> tuple[Box, ...]:
    # In one go, as it is done with every box of every picture.
    sides = iter([round(side * _STEPS) / _STEPS for box in boxes for side in box])
    return tuple(zip(sides, sides, sides, sides, strict=True))


def _snapped_scores(scores: Sequence[float]) -> tuple[float, ...]:
    return tuple([round(score * _STEPS) / _STEPS for score in scores])


def frames_of(block: ObservationBlock) -> list[ObservedFrame]:
    """The frames of a block; raises StoreError with a sentence where it is damaged."""
    try:
        return unpacked(block.content, block.camera)
    except ValueError as error:
        raise StoreError(
            f"what camera {block.camera} saw on engine {block.engine} in the minute of "
            f"{block.minute} s (UTC) cannot be read: {error}; restore the store from a backup, or "
            "leave that minute out"
        ) from error


# --- Tails: rows as they come, quickly written -------------------------------------------------


class _TailBoxes(msgspec.Struct, array_like=True, tag="boxes"):
    engine: str
    boxes: tuple[tuple[float, float, float, float], ...]
    scores: tuple[float, ...]
    saturated: bool


class _TailPoints(msgspec.Struct, array_like=True, tag="points"):
    engine: str
    points: tuple[tuple[float, float], ...]
    scores: tuple[float, ...]
    saturated: bool


class _TailNumber(msgspec.Struct, array_like=True, tag="number"):
    engine: str
    value: int | str
    score: float | None
    saturated: bool


class _TailText(msgspec.Struct, array_like=True, tag="text"):
    engine: str
    text: str
    yes_probability: float | None


class _TailFailed(msgspec.Struct, array_like=True, tag="failed"):
    engine: str
    reason: str


_TailAnswer = _TailBoxes | _TailPoints | _TailNumber | _TailText | _TailFailed


class _TailFrame(msgspec.Struct, array_like=True):
    engine: str
    run: str
    ordinal: int
    seq: int
    captured_at: float
    size_wh: tuple[int, int]
    flags: int
    answers: dict[str, _TailAnswer]
    asked: dict[str, str]
    looked: tuple[tuple[float, float, float, float], ...] | None
    looking: tuple[str, ...]
    tracks: dict[str, tuple[int | None, ...]]


_encoder = msgspec.msgpack.Encoder()
_read_tail = msgspec.msgpack.Decoder(list[_TailFrame])


def tail(frames: Iterable[ObservedFrame]) -> bytes:
    """Frames as they are written in haste; `unpacked` reads them as well."""
    return bytes([_TAIL]) + _encoded([_tail_row(frame) for frame in frames])


def _tail_row(frame: ObservedFrame) -> tuple[Any, ...]:
    result = frame.result
    return (
        result.engine,
        result.run,
        result.ordinal,
        result.seq,
        result.captured_at,
        result.size_wh,
        _flags(result),
        {task: _tail_answer(answer) for task, answer in result.answers.items()},
        result.asked,
        result.looked,
        result.looking,
        frame.tracks,
    )


def _flags(result: Result) -> int:
    return (
        (_LAST if result.last else 0)
        | (_LIVE if result.live else 0)
        | (_UNJUDGEABLE if result.unjudgeable else 0)
    )


def _tail_answer(answer: Answer) -> tuple[Any, ...]:
    match answer:
        case Boxes(engine, boxes, scores, saturated):
            return ("boxes", engine, boxes, scores, saturated)
        case Points(engine, points, scores, saturated):
            return ("points", engine, points, scores, saturated)
        case Number(engine, value, score, saturated):
            return ("number", engine, value if value in _INT_64 else str(value), score, saturated)
        case Text(engine, text, yes_probability):
            return ("text", engine, text, yes_probability)
        case Failed(engine, reason):
            return ("failed", engine, reason)


def _of_tail(row: _TailFrame, camera: str) -> ObservedFrame:
    result = Result(
        camera=camera,
        run=row.run,
        engine=row.engine,
        ordinal=row.ordinal,
        seq=row.seq,
        captured_at=row.captured_at,
        size_wh=row.size_wh,
        live=bool(row.flags & _LIVE),
        answers={task: _answer_of_tail(answer) for task, answer in row.answers.items()},
        last=bool(row.flags & _LAST),
        asked=row.asked,
        looked=row.looked,
        looking=row.looking,
        unjudgeable=bool(row.flags & _UNJUDGEABLE),
    )
    return ObservedFrame(result, row.tracks)


def _answer_of_tail(answer: _TailAnswer) -> Answer:
    match answer:
        case _TailBoxes():
            return Boxes(answer.engine, answer.boxes, answer.scores, answer.saturated)
        case _TailPoints():
            return Points(answer.engine, answer.points, answer.scores, answer.saturated)
        case _TailNumber():
            return Number(answer.engine, int(answer.value), answer.score, answer.saturated)
        case _TailText():
            return Text(answer.engine, answer.text, answer.yes_probability)
        case _TailFailed():
            return Failed(answer.engine, answer.reason)


# --- Blocks: columns, compressed ---------------------------------------------------------------

_Kind = Literal["boxes", "points", "number", "text", "failed"]


class _FrameForm(msgspec.Struct, array_like=True, frozen=True):
    """What frames have in common: nearly all of a minute have the same few."""

    engine: str
    run: str
    size_wh: tuple[int, int]
    flags: int
    answers: tuple[tuple[str, _Kind, str, bool], ...]
    """Task, kind, engine and whether it is saturated."""
    asked: tuple[tuple[str, str], ...]
    looking: tuple[str, ...]
    tracked: tuple[str, ...]


class _Columns(msgspec.Struct, array_like=True):
    forms: list[_FrameForm]
    form: list[int]
    ordinals: list[int]
    """Each as the step from the one before."""
    seqs: list[int]
    times: list[int]
    """The bits of a double, as a whole number, and as the step from the one before."""
    counts: list[int]
    """Of boxes, points and regions."""
    tracks: list[int]
    """0 for none."""
    places: list[bytes]
    """One column for each side of the boxes, and one for their scores; as bytes by significance.
    A box of a track is stored as the step from the track's box before."""
    points: list[bytes]
    regions: list[bytes]
    words: list[str]
    """Of texts and failures, each once."""
    said: list[int]
    numbers: list[int | str]
    exact: list[float | None]
    """Scores of numbers and probabilities of texts."""


_read_block = msgspec.msgpack.Decoder(_Columns)
_MASK = 2**64 - 1
_double = struct.Struct("<d")
_bits = struct.Struct("<Q")


def packed(frames: Sequence[ObservedFrame]) -> bytes:
    """Frames of one camera and engine as a block; their numbers are as `snapped` leaves them.

    Raises ValueError where there are tracks of a task that do not belong to its boxes.
    """
    columns = _Packing()
    for frame in frames:
        columns.add(frame)
    return bytes([_BLOCK]) + zlib.compress(_encoded(columns.written()), _LEVEL)


class _Packing:
    def __init__(self) -> None:
        self._forms: dict[_FrameForm, int] = {}
        self._words: dict[str, int] = {}
        self._form: list[int] = []
        self._ordinals: list[int] = []
        self._seqs: list[int] = []
        self._times: list[int] = []
        self._counts: list[int] = []
        self._tracks: list[int] = []
        self._places: tuple[list[int], ...] = ([], [], [], [], [])
        self._points: tuple[list[int], ...] = ([], [], [])
        self._regions: tuple[list[int], ...] = ([], [], [], [])
        self._said: list[int] = []
        self._numbers: list[int | str] = []
        self._exact: list[float | None] = []
        self._before: dict[tuple[str, int], tuple[int, int, int, int, int]] = {}
        self._ordinal = self._seq = self._time = 0

    def add(self, frame: ObservedFrame) -> None:
        result, tracks = frame.result, frame.tracks
        kinds: list[tuple[str, _Kind, str, bool]] = []
        for task, answer in result.answers.items():
            match answer:
                case Boxes(engine, boxes, scores, saturated):
                    kinds.append((task, "boxes", engine, saturated))
                    self._add_boxes(task, boxes, scores, tracks.get(task))
                case Points(engine, points, scores, saturated):
                    kinds.append((task, "points", engine, saturated))
                    self._counts.append(len(points))
                    xs, ys, column = self._points
                    xs += [round(x * _STEPS) for x, _ in points]
                    ys += [round(y * _STEPS) for _, y in points]
                    column += [round(score * _STEPS) for score in scores]
                case Number(engine, value, score, saturated):
                    kinds.append((task, "number", engine, saturated))
                    self._numbers.append(value if value in _INT_64 else str(value))
                    self._exact.append(score)
                case Text(engine, text, yes_probability):
                    kinds.append((task, "text", engine, False))
                    self._said.append(self._words.setdefault(text, len(self._words)))
                    self._exact.append(yes_probability)
                case Failed(engine, reason):
                    kinds.append((task, "failed", engine, False))
                    self._said.append(self._words.setdefault(reason, len(self._words)))
        flags = _flags(result)
        if result.looked is not None:
            flags |= _LOOKED
            self._counts.append(len(result.looked))
            for column, side in zip(self._regions, zip(*result.looked, strict=True), strict=False):
                column += [round(value * _STEPS) for value in side]
        for task, ids in tracks.items():
            if ids and not isinstance(result.answers.get(task), Boxes):
                raise ValueError(f"there are tracks of `{task}`, which has no boxes")
        form = _FrameForm(
            result.engine,
            result.run,
            result.size_wh,
            flags,
            tuple(kinds),
            tuple(result.asked.items()),
            result.looking,
            tuple(tracks),
        )
        self._form.append(self._forms.setdefault(form, len(self._forms)))
        self._ordinals.append(result.ordinal - self._ordinal)
        self._seqs.append(result.seq - self._seq)
        bits = _bits.unpack(_double.pack(result.captured_at))[0]
        self._times.append(_signed(bits - self._time))
        self._ordinal, self._seq, self._time = result.ordinal, result.seq, bits

    def _add_boxes(
        self,
        task: str,
        boxes: Sequence[tuple[float, float, float, float]],
        scores: Sequence[float],
        ids: Sequence[int | None] | None,
    ) -> None:
        if ids is None:
            ids = (None,) * len(boxes)
        elif len(ids) != len(boxes):
            raise ValueError(f"{len(ids)} tracks of `{task}` are not one for each of its boxes")
        self._counts.append(len(boxes))
        left, top, right, bottom, column = self._places
        for (a, b, c, d), score, id_ in zip(boxes, scores, ids, strict=True):
            here = (
                round(a * _STEPS),
                round(b * _STEPS),
                round(c * _STEPS),
                round(d * _STEPS),
                round(score * _STEPS),
            )
            was = (0, 0, 0, 0, 0)
            if id_ is not None:
                key = (task, id_)
                was = self._before.get(key, was)
                self._before[key] = here
            self._tracks.append(id_ or 0)
            left.append(here[0] - was[0])
            top.append(here[1] - was[1])
            right.append(here[2] - was[2])
            bottom.append(here[3] - was[3])
            column.append(here[4] - was[4])

    def written(self) -> _Columns:
        return _Columns(
            forms=list(self._forms),
            form=self._form,
            ordinals=self._ordinals,
            seqs=self._seqs,
            times=self._times,
            counts=self._counts,
            tracks=self._tracks,
            places=[_by_significance(column) for column in self._places],
            points=[_by_significance(column) for column in self._points],
            regions=[_by_significance(column) for column in self._regions],
            words=list(self._words),
            said=self._said,
            numbers=self._numbers,
            exact=self._exact,
        )


def unpacked(content: bytes, camera: str = "") -> list[ObservedFrame]:
    """The frames of a block, or of a tail; raises ValueError with the reason it cannot be read.

    A block holds no camera's name, so that cameras can be renamed: whoever reads it says it.
    """
    kind = content[0] if content else None
    try:
        if kind == _TAIL:
            return [_of_tail(row, camera) for row in _read_tail.decode(content[1:])]
        if kind == _BLOCK:
            return _Unpacking(_read_block.decode(_decompressed(content[1:])), camera).frames()
    except (msgspec.DecodeError, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    except (IndexError, StopIteration, TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from error
    if kind is None:
        raise ValueError("it is empty")
    raise ValueError(f"it has layout {kind}, which this release does not read")


class _Unpacking:
    """The frames of columns; raises IndexError or StopIteration where something is missing."""

    def __init__(self, columns: _Columns, camera: str) -> None:
        self._columns = columns
        self._camera = camera
        places = [_of_significance(column) for column in columns.places]
        steps = (columns.form, columns.ordinals, columns.seqs, columns.times)
        if len(places) != 5 or len({*map(len, places)}) != 1 or len({*map(len, steps)}) != 1:
            raise IndexError
        self._steps = zip(*steps, strict=True)
        self._boxes = zip(columns.tracks, *places, strict=True)
        self._points = zip(*map(_of_significance, columns.points), strict=True)
        self._regions = zip(*map(_of_significance, columns.regions), strict=True)
        self._counts, self._said = iter(columns.counts), iter(columns.said)
        self._numbers, self._exact = iter(columns.numbers), iter(columns.exact)
        self._before: dict[tuple[str, int], tuple[int, int, int, int, int]] = {}
        self._nobody: dict[tuple[str, bool], Boxes] = {}

    def frames(self) -> list[ObservedFrame]:
        frames: list[ObservedFrame] = []
        asked = [dict(form.asked) for form in self._columns.forms]
        ordinal = seq = time = 0
        for form_index, ordinal_step, seq_step, time_step in self._steps:
            form = self._columns.forms[form_index]
            flags = form.flags
            ordinal, seq, time = ordinal + ordinal_step, seq + seq_step, (time + time_step) & _MASK
            answers: dict[str, Answer] = {}
            tracks: dict[str, tuple[int | None, ...]] = dict.fromkeys(form.tracked, ())
            for task, kind, engine, saturated in form.answers:
                if kind == "boxes":
                    answers[task], ids = self._next_boxes(task, engine, saturated=saturated)
                    if task in tracks:
                        tracks[task] = ids
                else:
                    answers[task] = self._next_answer(kind, engine, saturated=saturated)
            looked = None
            if flags & _LOOKED:
                looked = tuple(
                    [
                        (a / _STEPS, b / _STEPS, c / _STEPS, d / _STEPS)
                        for a, b, c, d in [next(self._regions) for _ in range(next(self._counts))]
                    ]
                )
            result = Result(
                camera=self._camera,
                run=form.run,
                engine=form.engine,
                ordinal=ordinal,
                seq=seq,
                captured_at=_double.unpack(_bits.pack(time))[0],
                size_wh=form.size_wh,
                live=bool(flags & _LIVE),
                answers=answers,
                last=bool(flags & _LAST),
                asked=asked[form_index],
                looked=looked,
                looking=form.looking,
                unjudgeable=bool(flags & _UNJUDGEABLE),
            )
            frames.append(ObservedFrame(result, tracks))
        return frames

    def _next_boxes(
        self, task: str, engine: str, *, saturated: bool
    ) -> tuple[Boxes, tuple[int | None, ...]]:
        number = next(self._counts)
        if number == 0:  # as in most looks of most cameras
            key = (engine, saturated)
            if key not in self._nobody:
                self._nobody[key] = Boxes(engine, (), (), saturated)
            return self._nobody[key], ()
        boxes: list[tuple[float, float, float, float]] = []
        scores: list[float] = []
        ids: list[int | None] = []
        before = self._before
        for _ in range(number):
            id_, a, b, c, d, e = next(self._boxes)
            if id_:
                was = before.get((task, id_))
                if was is not None:
                    a, b, c, d, e = a + was[0], b + was[1], c + was[2], d + was[3], e + was[4]
                before[task, id_] = (a, b, c, d, e)
            boxes.append((a / _STEPS, b / _STEPS, c / _STEPS, d / _STEPS))
            scores.append(e / _STEPS)
            ids.append(id_ or None)
        return Boxes(engine, tuple(boxes), tuple(scores), saturated), tuple(ids)

    def _next_answer(self, kind: _Kind, engine: str, *, saturated: bool) -> Answer:
        if kind == "points":
            found = [next(self._points) for _ in range(next(self._counts))]
            return Points(
                engine,
                tuple([(x / _STEPS, y / _STEPS) for x, y, _ in found]),
                tuple([score / _STEPS for _, _, score in found]),
                saturated,
            )
        if kind == "number":
            return Number(engine, int(next(self._numbers)), next(self._exact), saturated)
        words = self._columns.words[next(self._said)]
        return Failed(engine, words) if kind == "failed" else Text(engine, words, next(self._exact))


def _signed(step: int) -> int:
    """A step between two numbers of 64 bits as a signed one."""
    step &= _MASK
    return step - 2**64 if step >= 2**63 else step


def _by_significance(column: Sequence[int]) -> bytes:
    """Numbers of 32 bits, all lowest bytes first: the higher ones are nearly all zero."""
    # Signs in the lowest bit, so that small negative numbers are small.
    numbers = array("I", [value << 1 if value >= 0 else ~(value << 1) for value in column])
    if sys.byteorder == "big":
        numbers.byteswap()
    content = numbers.tobytes()
    return b"".join(content[place::4] for place in range(4))


def _of_significance(content: bytes) -> list[int]:
    size, rest = divmod(len(content), 4)
    if rest:
        raise IndexError
    mixed = bytearray(len(content))
    for place in range(4):
        mixed[place::4] = content[place * size : (place + 1) * size]
    numbers = array("I")
    numbers.frombytes(bytes(mixed))
    if sys.byteorder == "big":
        numbers.byteswap()
    return [value >> 1 if not value & 1 else ~(value >> 1) for value in numbers]


def _decompressed(content: bytes) -> bytes:
    reader = zlib.decompressobj()
    data = reader.decompress(content, _MOST_BYTES)
    if not reader.eof:
        raise zlib.error("it is cut off, or far too large")
    return data


def _encoded(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        # The name of a file may hold what is no character.
        return _encoder.encode(
            _without_surrogates(msgspec.to_builtins(value, builtin_types=(bytes,)))
        )


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
