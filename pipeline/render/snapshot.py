"""One picture of a camera with its lines, zones and masks on it: `moonwatch snapshot`."""

import re
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
from pipeline.core.frames import Pixels
from pipeline.core.local_time import local_time
from pipeline.core.private_files import create_file, make_folder
from pipeline.core.sources import Need
from pipeline.core.store import EventFilter, Page
from pipeline.deployment.loader import ReadableParts
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.render.heat import draw_heat
from pipeline.render.sketch import Sketch, SketchedLine, drawn
from pipeline.rules.heat_map import HeatGrid, heat_of
from pipeline.runtime.assembly import expected_interval_s
from pipeline.runtime.questions import one_picture
from pipeline.runtime.reports import reports_of
from pipeline.runtime.stage_process import shared_queues
from pipeline.sampling.masks import Masks

# A picture whose time was asked for may be this much later, where recordings have gaps.
_LATER_S = 60.0
_EVENTS_LOOKED_AT = 200
# A kept picture that is older than this is not what the camera sees now.
_FRESH_S = 60.0
# How long a picture on its way is waited for; it is there until it is answered, often for a moment.
_LEAST_WAIT_S, _LONGEST_WAIT_S, _LOOK_AGAIN_S = 5.0, 20.0, 0.004


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


def write_sketch(
    parts: ReadableParts, name: str, at: str | None, out: Path, heat: str | None = None
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
    height, width = shot.pixels.shape[:2]
    when = local_time(shot.at, deployment.site_of(name).timezone)
    sheet = drawn(shot.pixels, sketch_of(camera, f"{name}   {when}   {width}×{height}"))
    done, data = cv2.imencode(".png", np.ascontiguousarray(sheet[:, :, ::-1]))
    if not done:
        raise SourceError(SourceFailure.UNSUPPORTED, f"a picture of {width}×{height} is no PNG")
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
    return shot


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
