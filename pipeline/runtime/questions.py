"""One-off questions about a picture, a clip, or what a camera sees now: `moonwatch ask`."""

import re
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from connectors.sources.file import FileConfig
from connectors.sources.http import HttpConfig
from connectors.sources.live.reader import LiveSource
from connectors.sources.recordings.source import FileSource
from connectors.sources.rtsp import RtspConfig
from connectors.sources.webcam import WebcamConfig
from pipeline.core.address import masked
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.errors import ConfigError, Problem, SourceError, SourceFailure
from pipeline.core.events import JsonValue
from pipeline.core.frames import Pixels
from pipeline.core.sources import Need
from pipeline.core.tasks import Task
from pipeline.inference.engines.base import EngineConfigBase

# Frames of a clip that are decoded while an earlier one is being answered.
_AHEAD = 2
# A camera sends a picture within its own deadlines; this is for one that sends everything but.
_ONE_PICTURE_S = 30.0
_MOST_PIPED = 256 * 1024 * 1024
_PLACES = "rtsp://, rtsps://, http://, https://, webcam:0, or the path of a file"


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture to ask about; `at_s` is its position in the clip, in seconds."""

    at_s: float
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class AnsweredShot:
    """The answers about one picture; `at_s` is its position in the clip, in seconds."""

    at_s: float
    answers: dict[str, Answer]


def check_tasks(config: EngineConfigBase, tasks: Sequence[Task]) -> None:
    """Raise ConfigError with every task that the engine cannot answer."""
    problems = []
    for task in tasks:
        reason = config.problem_with(task)
        if reason:
            problems.append(Problem(f"--{type(task).__name__.lower()}", reason))
    if problems:
        raise ConfigError(problems)


def shots_of(place: str, every_s: float, at_s: float | None) -> Generator[Shot]:
    """The pictures to ask about: a clip's, `every_s` apart or the one at `at_s`; of anything else
    one. Raises ConfigError for a place that is none, and SourceError where it gives no picture.
    """
    scheme = place.partition("://")[0].lower() if "://" in place else ""
    if scheme == "file":
        place = unquote(urlsplit(place).path)
    cameras = [] if scheme == "file" else _cameras(place, scheme)
    if cameras:
        if at_s is not None:
            raise ConfigError([Problem("--at", "is for a clip; a camera shows what there is now")])
        yield Shot(0.0, _seen_by(cameras))
    elif place == "-":
        yield from _from_stdin(every_s, at_s)
    elif not Path(place).exists():
        raise ConfigError([Problem("", _no_file(place))])
    else:
        yield from _clip(place, every_s, at_s)


def _clip(path: str, every_s: float, at_s: float | None) -> Iterator[Shot]:
    source = FileConfig(path=path).build()
    source.open(Need(every_s=every_s if at_s is None else 0.0))
    try:
        first_at: float | None = None
        due_s, seen_s = at_s or 0.0, 0.0
        for picture in source.pictures():
            first_at = picture.captured_at if first_at is None else first_at
            seen_s = picture.captured_at - first_at
            if seen_s < due_s - 1e-6:
                continue
            yield Shot(round(seen_s, 3), picture.rgb())
            if at_s is not None:
                return
            due_s = seen_s + every_s
        if first_at is None:
            raise SourceError(SourceFailure.UNSUPPORTED, f"{path} holds no picture")
        if at_s is not None:
            message = f"{path} has no picture after {seen_s:.1f} s"
            raise ConfigError([Problem("--at", message)])
    finally:
        source.close()


def _from_stdin(every_s: float, at_s: float | None) -> Iterator[Shot]:
    """A picture that was piped in; a clip, too, if it can be read from the front."""
    if sys.stdin.isatty():
        message = "- stands for a picture that is piped in, as in `moonwatch ask - < yard.jpg`"
        raise ConfigError([Problem("", message)])
    content = sys.stdin.buffer.read(_MOST_PIPED + 1)
    if not content or len(content) > _MOST_PIPED:
        how = "is empty" if not content else f"holds more than {_MOST_PIPED >> 20} MB"
        raise ConfigError([Problem("", f"standard input {how}; pipe one picture into it")])
    with TemporaryDirectory(prefix="moonwatch-") as folder:
        path = Path(folder) / f"piped.{_suffix(content)}"
        path.write_bytes(content)
        try:
            yield from _clip(str(path), every_s, at_s)
        except SourceError as error:
            words = str(error).replace(str(path), "standard input")
            raise SourceError(error.reason, words) from None


def _suffix(content: bytes) -> str:
    known = ((b"\xff\xd8", "jpg"), (b"\x89PNG", "png"), (b"RIFF", "webp"), (b"BM", "bmp"))
    return next((suffix for magic, suffix in known if content.startswith(magic)), "mp4")


def _cameras(place: str, scheme: str) -> list[LiveSource]:
    """The ways to see the camera that is meant, the likeliest first; none where none is meant."""
    settings: list[dict[str, object]]
    kind: type[RtspConfig | HttpConfig | WebcamConfig]
    if scheme in ("rtsp", "rtsps"):
        kind, settings = RtspConfig, [{"url": place}]
    elif scheme in ("http", "https"):
        # What it sends is known once it is asked: a stream, else single pictures.
        kind, settings = HttpConfig, [{"url": place}, {"url": place, "poll": "1h"}]
    elif device := re.fullmatch(r"(?:webcam:|(?=/dev/video))(.+)", place):
        kind, settings = WebcamConfig, [{"device": device[1]}]
    elif scheme:
        name = re.sub(r"[^a-z0-9+.-]", "?", scheme)[:20]
        message = f"cannot look at {name}:// addresses; use {_PLACES}"
        raise ConfigError([Problem("", message)])
    else:
        return []
    try:
        return [kind.model_validate(keys).build() for keys in settings]
    except ValidationError as error:
        words = "; ".join(found["msg"].removeprefix("Value error, ") for found in error.errors())
        raise ConfigError([Problem("", f"the address {words}")]) from None


def _seen_by(cameras: Sequence[LiveSource]) -> Pixels:
    """What the camera sees now, by the first way that works; raises SourceError."""
    for camera in cameras[:-1]:
        try:
            return one_picture(camera)
        except SourceError as error:
            if error.reason is not SourceFailure.UNSUPPORTED:
                raise
    return one_picture(cameras[-1])


def one_picture(camera: LiveSource | FileSource) -> Pixels:
    """What a camera sees now, within a deadline; raises SourceError."""
    # Data may arrive for ever without a picture in them.
    late = threading.Timer(_ONE_PICTURE_S, camera.close)
    late.daemon = True
    late.start()
    try:
        camera.open(Need())
        for picture in camera.pictures():
            return picture.rgb()
        waiting_for = camera.waiting_for if isinstance(camera, LiveSource) else None
        message = waiting_for or f"the camera sent no picture in {_ONE_PICTURE_S:g} s"
        raise SourceError(SourceFailure.TIMEOUT, message)
    finally:
        late.cancel()
        camera.close()
        late.join(1.0)  # it ends at once, unless it is closing the camera itself


def _no_file(place: str) -> str:
    shown = masked(place)
    if re.match(r"[\w.-]+@|\d+\.\d+\.\d+\.\d+|[\w-]+(\.[\w-]+)+:\d", place):
        return f"there is no file {shown}; for a camera, begin with rtsp:// or http://"
    return f"there is no file {shown}"


def ask(
    engine: Engine,
    shots: Iterable[Shot],
    tasks: Sequence[Task],
    deadline_s: float,
    ahead: int = _AHEAD,
) -> Iterator[AnsweredShot]:
    """Answers about pictures, in their order, `ahead` at a time; raises what they raise."""
    asked: deque[tuple[float, Ticket]] = deque()
    for shot in shots:
        ticket = engine.submit(EngineRequest(shot.pixels, tasks, deadline_s))
        asked.append((shot.at_s, ticket))
        if len(asked) >= ahead:
            yield _reply(*asked.popleft())
    while asked:
        yield _reply(*asked.popleft())


def _reply(at_s: float, ticket: Ticket) -> AnsweredShot:
    tasks = ticket.request.tasks
    return AnsweredShot(at_s, dict(zip((task.id for task in tasks), ticket.result(), strict=True)))


def as_json(answer: Answer) -> JsonValue:
    """An answer as JSON; boxes and points are fractions (0..1) of the picture."""
    match answer:
        case Boxes():
            return {
                "boxes": [[round(v, 5) for v in box] for box in answer.boxes_xyxy],
                "scores": [round(score, 4) for score in answer.scores],
                "saturated": answer.saturated,
            }
        case Points():
            return {
                "points": [[round(v, 5) for v in point] for point in answer.points_xy],
                "scores": [round(score, 4) for score in answer.scores],
                "saturated": answer.saturated,
            }
        case Number():
            return {"number": answer.value, "saturated": answer.saturated}
        case Text():
            return {"text": answer.text, "yes_probability": answer.yes_probability}
        case Failed():
            return {"failed": answer.reason}


def as_text(answer: Answer) -> str:
    """An answer as text to read."""
    match answer:
        case Boxes():
            more = " or more" if answer.saturated else ""
            lines = [f"{len(answer.boxes_xyxy)}{more} found"]
            lines += [
                f"  {' '.join(f'{v:.3f}' for v in box)}  score {score:.2f}"
                for box, score in zip(answer.boxes_xyxy, answer.scores, strict=True)
            ]
            return "\n".join(lines)
        case Points():
            lines = [f"{len(answer.points_xy)} found"]
            lines += [
                f"  {x:.3f} {y:.3f}  score {score:.2f}"
                for (x, y), score in zip(answer.points_xy, answer.scores, strict=True)
            ]
            return "\n".join(lines)
        case Number():
            return str(answer.value) + (" or more" if answer.saturated else "")
        case Text() if answer.yes_probability is not None:
            return f"{answer.text} (yes: {answer.yes_probability * 100:.0f} %)"
        case Text():
            return answer.text
        case Failed():
            return f"failed: {answer.reason}"
