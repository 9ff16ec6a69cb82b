"""One picture of a camera with its lines, zones and masks on it: `moonwatch snapshot`."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np

from connectors.sources.file import FileConfig
from connectors.sources.recordings.source import FileSource, ProbedFile
from pipeline.core.clock import SystemClock
from pipeline.core.config import format_duration, parse_duration
from pipeline.core.errors import (
    ConfigError,
    Problem,
    QueueError,
    SourceError,
    SourceFailure,
    StoreError,
    UnreadablePictureError,
)
from pipeline.core.events import Event, timestamp
from pipeline.core.frames import Pixels
from pipeline.core.local_time import local_time
from pipeline.core.observations import ObservationHistory, frames_of
from pipeline.core.private_files import create_file, make_folder
from pipeline.core.sources import Need
from pipeline.core.store import EventFilter, Page, Span
from pipeline.deployment.loader import ReadableParts
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.render.heat import draw_heat
from pipeline.render.sketch import Sketch, SketchedBox, SketchedLine, drawn
from pipeline.rules.base import RuleBase
from pipeline.rules.heat_map import HeatGrid, heat_of
from pipeline.runtime.assembly import expected_interval_s
from pipeline.runtime.questions import one_picture
from pipeline.runtime.reports import reports_of
from pipeline.runtime.stage_process import shared_queues
from pipeline.sampling.masks import Masks

# A picture whose time was asked for may be this much later, where recordings have gaps.
_LATER_S = 60.0
_EARLIER_S = 1.0
_EVENTS_LOOKED_AT = 200
# A kept picture that is older than this is not what the camera sees now.
_FRESH_S = 60.0
# How long a picture on its way is waited for; it is there until it is answered, often for a moment.
_LEAST_WAIT_S, _LONGEST_WAIT_S, _LOOK_AGAIN_S = 5.0, 20.0, 0.004
_EVENTS_DRAWN = 10_000
_QUALITY = 68
# Keys of an event's data that the drawing says, or that are about what is not drawn.
_NOT_SHOWN = frozenset(
    {"zone", "line", "along", "served", "since", "alone_since", "until", "coverage"}
)


@dataclass(frozen=True, slots=True)
class CameraShot:
    """A picture of a camera, masks filled."""

    pixels: Pixels
    at: float
    """When it was captured, in UTC seconds."""
    remark: str = ""
    """Where it is from and how old it is, where that is not a matter of course; empty if it is."""


def shot_of(deployment: Deployment, name: str, at: str | None) -> CameraShot:
    """A picture of a camera: at a moment of its recording, or of what it sees now.

    Raises SourceError where there is none, and ConfigError for a moment that is none.
    """
    camera = deployment.cameras[name]
    if camera.source.is_recording:
        zone = deployment.site_of(name).timezone
        shot = _of_recording(camera.source, zone, at)
    elif at is not None:
        said = f"is for a recording; camera {name!r} is live and shows what there is now"
        raise ConfigError([Problem("--at", said)])
    else:
        shot = _of_live(deployment, name)
    masks = Masks(camera.sample.mask_polygons)
    return CameraShot(masks.fill(shot.pixels), shot.at, shot.remark)


def sketch_of(camera: CameraConfig, caption: str) -> Sketch:
    """Everything of a camera that has a place in its picture."""
    names: dict[str, list[str]] = {line: [] for line in camera.lines}
    for rule in camera.rules.values():
        called = rule.called_in()
        for line in rule.references().lines:
            if called is not None and line in names:
                names[line].append(called)
    return Sketch(
        lines={
            line: SketchedLine(config.shape(), tuple(dict.fromkeys(names[line])) or ("in",))
            for line, config in camera.lines.items()
        },
        zones={zone: config.shape() for zone, config in camera.zones.items()},
        masks=camera.sample.mask_polygons,
        caption=caption,
    )


def write_event(
    parts: ReadableParts,
    name: str,
    rule: str,
    at: str | None,
    out: Path,
    width: int | None = None,
) -> CameraShot:
    """Write a picture of an event of a rule of a recording, with what the rule is about.

    Without a moment it is of the rule's last event that has begun, else of the nearest one.
    """
    deployment = parts.deployment
    camera = deployment.cameras[name]
    if not camera.source.is_recording:
        said = f"is for a recording; camera {name!r} is live. `snapshot: true` keeps its pictures"
        raise ConfigError([Problem("--rule", said)])
    zone = deployment.site_of(name).timezone
    moment = None
    if at is not None:
        begin = _probed(camera.source.build(SystemClock(), zone))[0].start
        moment = recording_moment(at, begin, zone)
    config = camera.rules.get(rule)
    if config is not None and config.has_map:
        return _write_map(deployment, name, rule, at, out, width)
    event, seen_at = _event(deployment, name, rule, moment)
    try:
        shot = shot_of(deployment, name, timestamp(seen_at))
    except ConfigError as error:
        # Nobody has given this moment: it is the event's. A recording that is looped or was
        # replaced has events at times that are not in the file.
        told = "; ".join(problem.message for problem in error.problems)
        said = f"the picture of its event {event.record_id} cannot be found: {told}"
        if event.media:
            said += f"; what was kept of it is {event.media[0]} in the media folder"
        raise ConfigError([Problem("--rule", said)]) from None
    used = _used(deployment, name, rule)
    lines = {line for one in used for line in one.references().lines}
    zones = {area for one in used for area in one.references().zones}
    arrows = {getattr(one, "along", None) for one in used}
    everything = sketch_of(camera, "")
    boxes: list[SketchedBox] = []
    if event.subject is not None and event.subject.box is not None:
        track = event.subject.track
        label = event.subject.label if track is None else f"{event.subject.label} #{track}"
        boxes.append(SketchedBox(event.subject.box, label))
    kind = event.type if config is None else getattr(config, "type", event.type)
    sketch = replace(
        everything,
        lines={
            line: replace(one, is_arrow=line in arrows)
            for line, one in everything.lines.items()
            if line in lines
        },
        zones={area: one for area, one in everything.zones.items() if area in zones},
        boxes=boxes,
        values=[*_names(kind, rule), local_time(event.at, zone), *_values(event)],
        grid=False,
        width=width,
    )
    _write(drawn(shot.pixels, sketch), out)
    return shot


def _write_map(
    deployment: Deployment, camera: str, rule: str, at: str | None, out: Path, width: int | None
) -> CameraShot:
    """Write a picture of all of a rule's heat map, which has no events."""
    grid = _heat(deployment, camera, rule)
    shot = shot_of(deployment, camera, at)
    longest = max(grid.seconds.values(), default=0.0)
    seconds = f"{sum(grid.seconds.values()):.0f} s of people"
    values = [*_names("heat_map", rule), seconds, f"longest in a cell {longest:.1f} s"]
    sketch = Sketch({}, {}, (), values=values, grid=False, width=width)
    _write(drawn(draw_heat(shot.pixels, grid), sketch), out)
    return shot


def _event(
    deployment: Deployment, camera: str, rule: str, moment: float | None
) -> tuple[Event, float]:
    """The event that is to be drawn, and when its frame was; ConfigError where there is none."""
    names = [*deployment.cameras[camera].rules, *deployment.sequences]
    if rule not in names:
        said = f"there is no rule {rule!r}; there are {', '.join(names) or 'none'}"
        raise ConfigError([Problem("--rule", said)])
    try:
        store = deployment.store.build_reader(SystemClock())
        try:
            wanted = EventFilter(cameras=(camera,), rules=(rule,))
            found = [kept.event for kept in store.history.events(wanted, Page(_EVENTS_DRAWN))]
            begun = [event for event in found if event.phase in ("single", "start")]
            if not begun:
                said = f"the store holds no event of {rule!r} yet; start `moonwatch run` first"
                raise ConfigError([Problem("--rule", said)])
            event = max(begun, key=lambda one: one.at)
            if moment is not None:
                event = min(begun, key=lambda one: abs(one.at - moment))
            return event, _seen_at(store, event)
        finally:
            store.close()
    except StoreError as error:
        raise ConfigError([Problem("--rule", f"the store cannot be read: {error}")]) from None


def _seen_at(observations: ObservationHistory, event: Event) -> float:
    """When the frame was captured that led to an event, which may be a little after it."""
    span = Span(event.at - _EARLIER_S, event.at + _LATER_S)
    for block in observations.observations(event.camera, None, span):
        for frame in frames_of(block):
            if (frame.result.run, frame.result.seq) == (event.run, event.seq):
                return frame.result.captured_at
    return event.at


def _used(deployment: Deployment, camera: str, rule: str) -> list[RuleBase]:
    """The rule of a name; those of its parts, if it is a sequence."""
    rules = deployment.cameras[camera].rules
    names = {rule}
    sequence = deployment.sequences.get(rule)
    if rule not in rules and sequence is not None:
        parts = (sequence.first, sequence.then, sequence.without)
        names = {part.rule for part in parts if part is not None}
    return [rules[name] for name in names if name in rules]


def _names(kind: str, rule: str) -> list[str]:
    """A rule's type, and its name where that is another one."""
    return [kind] if kind == rule else [kind, f"rule {rule}"]


def _values(event: Event) -> Iterator[str]:
    """What an event says, as far as it is a number or a word, and not said by the drawing."""
    for key, value in event.data.items():
        if key in _NOT_SHOWN or isinstance(value, dict | list) or value is None:
            continue
        said = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{key} {value:g}" if isinstance(value, float) else f"{key} {said}"


def write_sketch(
    parts: ReadableParts,
    name: str,
    at: str | None,
    out: Path,
    heat: str | None = None,
    width: int | None = None,
) -> CameraShot:
    """Write the picture as a PNG; returns what is under the drawing.

    With `heat` the map of that rule is drawn below the lines and zones.
    """
    deployment = parts.deployment
    camera = deployment.cameras[name]
    grid = None if heat is None else _heat(deployment, name, heat)
    shot = shot_of(deployment, name, at)
    if grid is not None:
        shot = replace(shot, pixels=draw_heat(shot.pixels, grid))
    rows, columns = shot.pixels.shape[:2]
    when = local_time(shot.at, deployment.site_of(name).timezone)
    sketch = sketch_of(camera, f"{name}   {when}   {columns}×{rows}")
    sheet = drawn(shot.pixels, replace(sketch, width=width))
    _write(sheet, out)
    return shot


def _write(sheet: Pixels, out: Path) -> None:
    """Write a drawing: a PNG, or a JPEG where its name says so."""
    height, width = sheet.shape[:2]
    is_jpeg = out.suffix.lower() in (".jpg", ".jpeg")
    shown = np.ascontiguousarray(sheet[:, :, ::-1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1] if is_jpeg else []
    done, data = cv2.imencode(".jpg" if is_jpeg else ".png", shown, quality)
    if not done:
        raise SourceError(
            SourceFailure.UNSUPPORTED, f"a picture of {width}×{height} cannot be written"
        )
    part = out.with_name(f"{out.name}.part")
    try:
        make_folder(out.parent)
        create_file(part)
        part.write_bytes(data.tobytes())
        part.replace(out)
    except OSError as error:
        # A picture that was there before stays, and half a one is of no use.
        with suppress(OSError):
            part.unlink(missing_ok=True)
        said = f"{out} cannot be written: {error.strerror}; name another file"
        raise ConfigError([Problem("--out", said)]) from None


def _heat(deployment: Deployment, camera: str, rule: str) -> HeatGrid:
    """All that the store has of a heat map; raises ConfigError where that is nothing."""
    rules = deployment.cameras[camera].rules
    maps = [name for name, config in rules.items() if config.has_map]
    if rule not in maps:
        there = f"its heat maps are {', '.join(maps)}" if maps else "it has no heat map"
        said = f"camera {camera!r} has no rule {rule!r} of the type heat_map; {there}"
        raise ConfigError([Problem("--heat", said)])
    try:
        store = deployment.store.build_reader(SystemClock())
        try:
            grid = heat_of(store.history.buckets(camera, rule))
        finally:
            store.close()
    except StoreError as error:
        raise ConfigError([Problem("--heat", f"the store cannot be read: {error}")]) from None
    if grid is None:
        said = f"the store holds nothing of {rule!r} yet; start `moonwatch run`, and draw it later"
        raise ConfigError([Problem("--heat", said)])
    return grid


def _of_recording(config: FileConfig, zone: str, at: str | None) -> CameraShot:
    source = config.build(SystemClock(), zone)
    if at is None:
        source.open(Need())
        try:
            for picture in source.pictures():
                return CameraShot(picture.rgb(), picture.captured_at)
        finally:
            source.close()
        raise SourceError(SourceFailure.UNSUPPORTED, f"{config.path} holds no picture")
    files = _probed(source)
    begin, end = files[0].start, files[-1].start + files[-1].length_s
    wanted = recording_moment(at, begin, zone)
    span = f"it lasts from {local_time(begin, zone)} to {local_time(end, zone)}"
    if not begin - 1 <= wanted <= end:
        said = f"{at!r} is {local_time(wanted, zone)}, which is not in the recording; {span}"
        raise ConfigError([Problem("--at", said)])
    for picture in source.excerpt(files, wanted - 0.001, wanted + _LATER_S):
        return CameraShot(picture.rgb(), picture.captured_at)
    said = f"there is no picture at {local_time(wanted, zone)}, nor in the minute after it; {span}"
    raise ConfigError([Problem("--at", said)])


def _probed(source: FileSource) -> list[ProbedFile]:
    """The files that can be read; raises SourceError where there is none."""
    files: list[ProbedFile] = []
    try:
        files.extend(source.probe())
    except SourceError:
        if not files:
            raise
    return files


def recording_moment(text: str, begin: float, zone: str) -> float:
    """UTC seconds of `90s` into a recording, of `12:30` in it, or of `2026-06-01T12:30`.

    A time of day is the first one at the site after the recording's beginning. Raises ConfigError.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", text):
        with suppress(ValueError):
            clock = time.fromisoformat(text.zfill(5) if len(text) < 6 else text)
            first = datetime.fromtimestamp(begin, ZoneInfo(zone))
            here = datetime.combine(first.date(), clock, first.tzinfo)
            # A second for recordings that begin within the one that is named.
            if here.timestamp() < begin - 1:
                here += timedelta(days=1)
            return here.timestamp()
    try:
        if re.fullmatch(r"[\d.]+\s*[a-z][\w. ]*", text):
            position: timedelta = parse_duration(text)
            return begin + position.total_seconds()
        read = datetime.fromisoformat(text)
    except ValueError:
        said = (
            f"{text[:64]!r} is no moment of a recording; write 90s for one and a half minutes "
            "after its beginning, 12:30 or 12:30:05 for a time of day, or 2026-06-01T12:30"
        )
        raise ConfigError([Problem("--at", said)]) from None
    return (read if read.tzinfo is not None else read.replace(tzinfo=ZoneInfo(zone))).timestamp()


def _of_live(deployment: Deployment, name: str) -> CameraShot:
    """What the camera sees now, without opening it where somebody else has a fresh picture.

    Many a camera has room for one viewer. So a picture that is on its way through Redis comes
    first, then a fresh one of an event; only then is the camera opened. Where that fails, it is the
    newest one that was kept.
    """
    clock = SystemClock()
    passing, trouble = _on_its_way(deployment, name, clock)
    if passing is not None:
        return _aged(passing, "is on its way through Redis", clock)
    kept = _last_kept(deployment, name)
    if kept is not None and -_FRESH_S <= clock.now() - kept.at <= _FRESH_S:
        return _aged(kept, "was kept of the camera's last event", clock, trouble)
    try:
        pixels = one_picture(deployment.cameras[name].source.build(clock))
    except SourceError as error:
        if kept is None:
            raise
        failed = f"the camera gives no picture now ({error}); "
        return _aged(kept, "was kept of its last event with one", clock, trouble + failed)
    return CameraShot(pixels, clock.now(), f"{trouble}the camera was opened for this picture")


def _aged(shot: CameraShot, origin: str, clock: SystemClock, before: str = "") -> CameraShot:
    """The same with where it is from and how old it is."""
    age_s = max(0.0, clock.now() - shot.at)
    step_s = 0.1 if age_s < 10 else 1 if age_s < 120 else 60
    age = format_duration(timedelta(seconds=round(age_s / step_s) * step_s))
    return CameraShot(shot.pixels, shot.at, f"{before}this picture {origin}; it is {age} old")


def _on_its_way(
    deployment: Deployment, name: str, clock: SystemClock
) -> tuple[CameraShot | None, str]:
    """A fresh picture of a camera that a sampler has open, waited for; and what is in the way."""
    if not deployment.queue.is_shared:
        return None, ""
    camera = deployment.cameras[name]
    every_s = min((expected_interval_s(camera, task) for task in camera.tasks), default=0.0)
    queues = shared_queues(deployment, clock)
    try:
        reports = reports_of(queues.presence).values()
        if not any(name in report.samples for report in reports if not report.is_last):
            return None, ""
        until = clock.monotonic() + min(_LONGEST_WAIT_S, max(_LEAST_WAIT_S, 2 * every_s + 1))
        while clock.monotonic() < until:
            with suppress(UnreadablePictureError):
                found = queues.shelf.newest(name, deployment.engines)
                if found is not None and clock.now() - found.captured_at <= _FRESH_S:
                    return CameraShot(found.pixels, found.captured_at), ""
            clock.wait(_LOOK_AGAIN_S)
    except QueueError as error:
        return None, f"{error}; "
    finally:
        queues.close()
    return None, "no picture came through Redis in time; "


def _last_kept(deployment: Deployment, name: str) -> CameraShot | None:
    """The newest stored picture of the camera's events."""
    with suppress(StoreError):
        store = deployment.store.build_reader(SystemClock())
        try:
            events = store.history.events(EventFilter(cameras=(name,)), Page(_EVENTS_LOOKED_AT))
        finally:
            store.close()
        media = deployment.store.build_media()
        for one in events:
            for reference in one.event.media:
                if reference.endswith(".jpg") and media.has(reference):
                    path = media.local(reference)
                    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
                    if pixels is not None:
                        return CameraShot(np.asarray(pixels, np.uint8), one.event.at)
    return None
