"""Questions about what was seen before: stored pictures of events, or pictures of a recording."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from connectors.sources.file import FileConfig
from pipeline.core.answers import Answer, Failed
from pipeline.core.clock import SystemClock
from pipeline.core.engines import AsksElsewhere, Engine
from pipeline.core.errors import ConfigError, EngineError, Problem, SourceError
from pipeline.core.events import Event, timestamp
from pipeline.core.frames import Pixels
from pipeline.core.private_files import create_file
from pipeline.core.store import EventFilter, History, Page, Span
from pipeline.core.tasks import Ask
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.references import able_engines
from pipeline.processing.snapshots import MISSING
from pipeline.runtime.questions import Shot, ask
from pipeline.sampling.masks import Masks

_PAGE = 500
_JPEG = ".jpg"


@dataclass(frozen=True, slots=True)
class PastPicture:
    """A picture of the past, and what it is of."""

    camera: str
    at: float
    reference: str
    """Where an event's picture is kept, as a path or the address of an object; of a recording its
    path and the seconds into it."""
    rule: str = ""
    event: str = ""
    """The record id of the event, where it is of one."""
    file: str = ""
    """Where the picture of an event can be read here: its path, or that of a copy."""
    masked: bool = False
    """Whether the reference is a copy in which the camera's present masks are filled, as the stored
    picture is older than they are."""


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """What was answered about one picture."""

    picture: PastPicture
    answer: Answer


@dataclass(frozen=True, slots=True)
class Pictureless:
    """An event that cannot be asked about, and why."""

    camera: str
    rule: str
    at: float
    event: str
    reason: str


@dataclass(frozen=True, slots=True)
class EventPictures:
    """What there is to ask about."""

    pictures: Sequence[PastPicture]
    """The newest first."""
    without: Sequence[Pictureless]
    more: bool
    """Whether there are older ones, beyond the limit."""


def event_pictures(
    deployment: Deployment, history: History, chosen: EventFilter, limit: int
) -> EventPictures:
    """The pictures of events, the newest first, each once; raises StoreError."""
    pictures: dict[str, PastPicture] = {}
    media = deployment.store.build_media()
    without: list[Pictureless] = []
    for event in _newest_first(history, chosen):
        references = [reference for reference in event.media if reference.endswith(_JPEG)]
        lacking = None if references else _why_none(deployment, event)
        for reference in references:
            if reference in pictures:
                continue
            if not media.has(reference):
                lacking = f"its picture {media.where}/{reference} is gone"
                continue
            pictures[reference] = PastPicture(
                event.camera, event.at, reference, event.rule, event.record_id
            )
        # The end of a happening has no picture of its own.
        if lacking is not None and (event.phase in ("start", "single") or references):
            without.append(
                Pictureless(event.camera, event.rule, event.at, event.record_id, lacking)
            )
    # By when it happened, as the end of a period is given: events arrive in another order.
    ordered = sorted(pictures.values(), key=lambda one: -one.at)
    kept = ordered[:limit]
    while len(kept) < len(ordered) and timestamp(ordered[len(kept)].at) == timestamp(kept[-1].at):
        kept = ordered[: len(kept) + 1]
    # From a bucket only those are fetched that are asked about.
    kept = [
        replace(
            one,
            reference=f"{media.where}/{one.reference}",
            file=str(media.local(one.reference)),
        )
        for one in kept
    ]
    return EventPictures(kept, without, more=len(kept) < len(ordered))


def _newest_first(history: History, chosen: EventFilter) -> Iterator[Event]:
    beyond: int | None = None
    while True:
        page = history.events(chosen, Page(_PAGE, beyond))
        yield from (one.event for one in page)
        if len(page) < _PAGE:
            return
        beyond = page[-1].position


def _why_none(deployment: Deployment, event: Event) -> str:
    missing = event.data.get(MISSING)
    if isinstance(missing, str):
        return missing
    camera = deployment.cameras.get(event.camera)
    rule = None if camera is None else camera.rules.get(event.rule)
    if rule is not None and not rule.snapshot:
        return f"its rule keeps no pictures; add `snapshot: true` to {event.camera}.{event.rule}"
    return "it was stored without a picture"


def start_engine(deployment: Deployment, name: str | None, question: Ask) -> tuple[str, Engine]:
    """The named engine of the file, or the only one that can answer; raises ConfigError."""
    able = able_engines(deployment, question)
    if name is not None and name not in deployment.engines:
        known = ", ".join(deployment.engines)
        raise ConfigError([Problem("--engine", f"there is no engine {name!r}; there are {known}")])
    if name is not None:
        reason = deployment.engines[name].problem_with(question)
        if reason is not None:
            raise ConfigError([Problem("--engine", f"engine {name!r} {reason}")])
    elif len(able) != 1:
        found = "none of the file's engines can answer it; add one, such as {type: moondream}"
        if able:
            found = f"several engines can answer it; name one with --engine: {', '.join(able)}"
        raise ConfigError([Problem("QUESTION", found)])
    chosen = name or able[0]
    try:
        engine = deployment.engines[chosen].build(SystemClock())
    except EngineError as error:
        raise EngineError(f"engine {chosen!r} could not be started: {error}") from error
    if isinstance(engine, AsksElsewhere):
        # A budget of the file holds for this command by itself.
        engine.name_as(chosen, deployment.site.timezone, None)
    return chosen, engine


class PresentMasks:
    """Fills the masks that a camera has now in pictures that may be older than they are.

    What is shown is then a copy in a folder of this user alone, and never the stored picture.
    """

    def __init__(self, deployment: Deployment) -> None:
        cameras = deployment.cameras.items()
        self._masks = {name: Masks(one.sample.mask_polygons) for name, one in cameras}
        # Stored under the name that the camera had then.
        for name, one in cameras:
            for was in one.was:
                self._masks.setdefault(was, self._masks[name])
        self.folder: Path | None = None
        """Where the copies are; None where none was needed."""
        self.copies = 0

    def fill(self, picture: PastPicture, pixels: Pixels) -> tuple[PastPicture, Pixels]:
        """What may be shown and asked; raises ConfigError where the copy cannot be written."""
        masks = self._masks.get(picture.camera)
        if masks is None or not masks.shows_hidden(pixels):
            return picture, pixels
        pixels = masks.fill(pixels)
        done, data = cv2.imencode(_JPEG, np.ascontiguousarray(pixels[:, :, ::-1]))
        self.copies += 1
        try:
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="moonwatch-masked-"))
            copy = self.folder / f"{self.copies:05}{_JPEG}"
            create_file(copy)
            copy.write_bytes(data.tobytes() if done else b"")
        except OSError as error:
            said = f"no masked copy of a picture can be written: {error.strerror}; free some room"
            raise ConfigError([Problem(tempfile.gettempdir(), said)]) from None
        return replace(picture, reference=str(copy), file=str(copy), masked=True), pixels


def ask_events(
    engine: Engine,
    pictures: Sequence[PastPicture],
    question: Ask,
    masks: PresentMasks,
    *,
    deadline_s: float,
    ahead: int,
    stopped: Callable[[], bool],
) -> Iterator[PastAnswer]:
    """Answers in the order of the pictures, `ahead` at a time, until it is stopped.

    The masks of today are filled before the engine sees a picture.
    """
    asked: list[PastPicture] = []
    unreadable: list[tuple[int, PastAnswer]] = []

    def shots() -> Iterator[Shot]:
        for picture in pictures:
            if stopped():
                return
            pixels = cv2.imread(picture.file, cv2.IMREAD_COLOR_RGB)
            if pixels is None:
                failed = Failed(question.engine, f"{picture.reference} cannot be read as a picture")
                unreadable.append((len(asked), PastAnswer(picture, failed)))
                continue
            shown, masked = masks.fill(picture, np.asarray(pixels, np.uint8))
            asked.append(shown)
            yield Shot(picture.at, masked)

    for number, reply in enumerate(ask(engine, shots(), [question], deadline_s, ahead)):
        while unreadable and unreadable[0][0] <= number:
            yield unreadable.pop(0)[1]
        yield PastAnswer(asked[number], reply.answers[question.id])
    yield from (answer for _, answer in unreadable)


def ask_recording(
    deployment: Deployment,
    camera: str,
    engine: Engine,
    question: Ask,
    *,
    every_s: float,
    span: Span,
    deadline_s: float,
    ahead: int,
    stopped: Callable[[], bool],
) -> Iterator[PastAnswer]:
    """Answers about a recording's pictures, `every_s` apart, until it is stopped.

    Masks are filled before the engine sees a picture. Raises SourceError.
    """
    config = deployment.cameras[camera].source
    if not isinstance(config, FileConfig):
        raise ConfigError([Problem("--camera", f"{camera!r} is live; only recordings have a past")])
    zone = deployment.site_of(camera).timezone
    source = config.build(SystemClock(), zone)
    files = list(source.probe())
    begin, end = files[0].start, files[-1].start + files[-1].length_s
    masks = Masks(deployment.cameras[camera].sample.mask_polygons)
    first = begin if span.since is None else max(begin, span.since)
    last = end if span.until is None else min(end, span.until)
    if first >= last:
        raise ConfigError([Problem("--since", f"the recording of {camera!r} has nothing then")])
    moments: list[float] = []

    def shots() -> Iterator[Shot]:
        # On a grid of the clock, so that asking again from anywhere asks the same pictures.
        due = begin + -(-(first - begin) // every_s) * every_s
        while due < last and not stopped():
            # What is between two questions need not be decoded.
            picture = next(iter(source.excerpt(files, due - 0.001, min(due + every_s, last))), None)
            if picture is not None:
                moments.append(picture.captured_at)
                yield Shot(picture.captured_at, masks.fill(picture.rgb()))
            due += every_s

    try:
        for number, reply in enumerate(ask(engine, shots(), [question], deadline_s, ahead)):
            at = moments[number]
            reference = f"{Path(config.path)}@{at - begin:.1f}s"
            yield PastAnswer(PastPicture(camera, at, reference), reply.answers[question.id])
    except SourceError as error:
        raise SourceError(error.reason, f"camera {camera!r}: {error}") from None
